//! Nodes that run as tasks of the application's runtime, in a network namespace of their own.

#![allow(clippy::disallowed_methods)] // tests are drivers

mod common;
#[path = "common/homes.rs"]
mod homes;

use std::path::Path;
use std::time::Duration;

use common::in_namespace;
use homes::{KEYS, home};
use meshcore::{Builder, ErrorKind, Event, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

fn builder(home: &Path) -> Builder {
    Node::builder().home(home).on_current_runtime()
}

async fn found(node: &Node, other: &Node) {
    let is_it = |event| matches!(event, Some(Event::NodeFound(info)) if info.id == other.id());
    let search = async { while !is_it(node.events().next().await) {} };
    timeout(PATIENCE, search).await.expect("the nodes find each other");
}

#[test]
fn two_nodes_and_their_application_share_one_thread() {
    in_namespace("two_nodes_and_their_application_share_one_thread", || async {
        let homes = KEYS.map(home);
        let near = builder(homes[0].path()).start().await.unwrap();
        let far = builder(homes[1].path()).start().await.unwrap();
        found(&near, &far).await;
        found(&far, &near).await;
        let threads = std::fs::read_dir("/proc/self/task").unwrap().filter(|task| {
            let name = task.as_ref().unwrap().path().join("comm");
            std::fs::read_to_string(name).unwrap().trim() == "meshchat"
        });
        assert_eq!(threads.count(), 0, "engines have no thread");

        let mut listener = far.listen().await.unwrap();
        let client = near.connect(far.id()).await.unwrap();
        let server = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        let mut writes = client.open().await.unwrap();
        let data: Vec<u8> =
            (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let write = async {
            for chunk in data.chunks(100_000) {
                writes.write_chunk(chunk.to_vec()).await.unwrap();
                writes.write_all(b"|").await.unwrap();
            }
            writes.shutdown().await.unwrap();
            assert!(writes.write_chunk(vec![1]).await.is_err(), "the stream was finished");
        };
        let read = async {
            let mut got = Vec::new();
            server.accept().await.unwrap().read_to_end(&mut got).await.unwrap();
            got
        };
        let ((), got) = timeout(PATIENCE, async { tokio::join!(write, read) }).await.unwrap();
        assert!(got == data.chunks(100_000).flat_map(|chunk| [chunk, b"|"].concat()).collect::<Vec<_>>());

        let id = near.send(far.id(), "still here").await.unwrap();
        let delivered = async {
            loop {
                match near.events().next().await {
                    Some(Event::Status { id: of, status, .. })
                        if (of, status) == (id, meshcore::Status::Delivered) =>
                    {
                        break;
                    }
                    other => assert!(other.is_some()),
                }
            }
        };
        timeout(PATIENCE, delivered).await.expect("the message arrives");
        // Each ends at once, and its home is free then.
        for (node, home) in [near, far].into_iter().zip(&homes) {
            timeout(PATIENCE, node.stop()).await.expect("the engine ends");
            assert!(node.events().is_stopped());
            let again = builder(home.path()).start().await.unwrap();
            assert_eq!(again.id(), node.id());
            timeout(PATIENCE, again.stop()).await.expect("the engine ends");
        }
    });
}

#[test]
fn who_stops_looking_after_the_runtime_has_stopped_the_node() {
    in_namespace("who_stops_looking_after_the_runtime_has_stopped_the_node", || async {
        let home = home(KEYS[0]);
        let path = home.path().to_owned();
        let node = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(builder(&path).start()).unwrap()
        });
        let node = node.join().unwrap();
        assert!(node.events().is_stopped());
        assert_eq!(node.nodes().await.unwrap_err().kind(), ErrorKind::Stopped);
        node.stop_blocking();
        let again = builder(home.path()).start().await.unwrap();
        // A handle that is dropped asks the engine to stop; the home is free when it has.
        drop(again);
        let start = async {
            loop {
                match builder(home.path()).start().await {
                    Ok(node) => break node,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::HomeInUse, "{error}"),
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, start).await.expect("the engine ends").stop().await;
    });
}

#[test]
fn a_start_needs_a_runtime_that_it_can_stay_in() {
    let home = home(KEYS[0]);
    let error = builder(home.path()).start_blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let bare = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = bare.block_on(builder(home.path()).start()).unwrap_err();
    assert!(error.to_string().contains("I/O"), "{error}");
    let mut outside = Box::pin(builder(home.path()).start());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = outside.as_mut().poll(&mut context) else {
        panic!("there is no runtime here")
    };
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}
