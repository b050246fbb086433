//! Whole nodes with their threads, disks and sockets, in one process and a network namespace of its own.

#![allow(clippy::disallowed_methods)] // tests are drivers

mod common;
#[path = "common/homes.rs"]
mod homes;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::{in_namespace, ip};
use homes::{KEYS, home};
use meshcore::{ErrorKind, Event, IncomingMessage, MessageId, Node, NodeId, Status, Warning};
use tempfile::TempDir;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

async fn start(home: &Path) -> Node {
    Node::builder().home(home).start().await.unwrap()
}

/// The first event that `wanted` makes something of; others are dropped.
async fn wait_for<T>(node: &Node, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    let search = async {
        loop {
            let event = node.events().next().await.expect("the node runs");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, search).await.expect("waited in vain")
}

async fn found(node: &Node, other: NodeId) {
    wait_for(node, |event| matches!(event, Event::NodeFound(info) if info.id == other).then_some(())).await;
}

async fn message(node: &Node) -> IncomingMessage {
    wait_for(node, |event| if let Event::Message(message) = event { Some(message) } else { None }).await
}

async fn status(node: &Node, wanted: (MessageId, Status)) {
    let is_it =
        |event| matches!(event, Event::Status { id, status, .. } if (id, status) == wanted).then_some(());
    wait_for(node, is_it).await;
}

#[test]
fn two_nodes_talk_over_udp_and_across_a_restart() {
    in_namespace("two_nodes_talk_over_udp_and_across_a_restart", || async {
        let homes = KEYS.map(home);
        let (alice, bob) = (start(homes[0].path()).await, start(homes[1].path()).await);
        found(&alice, bob.id()).await;
        found(&bob, alice.id()).await;
        for number in 0..100 {
            let id = alice.send(bob.id(), format!("there {number}")).await.unwrap();
            let there = message(&bob).await;
            assert_eq!((there.text.as_str(), there.id), (format!("there {number}").as_str(), id));
            status(&alice, (id, Status::Delivered)).await;
            bob.send(there.from, "back").await.unwrap();
            assert_eq!(message(&alice).await.text, "back");
            // The last one stays unconfirmed.
            if number < 99 {
                bob.confirm(&there).unwrap();
            }
        }
        bob.stop().await;
        wait_for(&alice, |event| matches!(event, Event::NodeLost(_)).then_some(())).await;
        let id = alice.send(bob.id(), "while you were away").await.unwrap();
        let bob = start(homes[1].path()).await;
        assert_eq!(message(&bob).await.text, "there 99");
        assert_eq!(message(&bob).await.text, "while you were away");
        status(&alice, (id, Status::Delivered)).await;
    });
}

#[test]
fn a_stop_answers_everything_and_loses_nothing() {
    in_namespace("a_stop_answers_everything_and_loses_nothing", || async {
        let homes = KEYS.map(home);
        let (alice, bob) = (Arc::new(start(homes[0].path()).await), start(homes[1].path()).await);
        found(&alice, bob.id()).await;
        bob.stop().await;
        let (accepted, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let (alice, to) = (Arc::clone(&alice), bob.id());
                let (accepted, refused) = (Arc::clone(&accepted), Arc::clone(&refused));
                std::thread::spawn(move || {
                    for _ in 0..1000 {
                        let (accepted, refused) = (Arc::clone(&accepted), Arc::clone(&refused));
                        alice.send_then(to, "hello", None, move |result| {
                            match result {
                                Ok(_) => accepted.fetch_add(1, Ordering::SeqCst),
                                Err(error) => {
                                    assert_eq!(error.kind(), ErrorKind::Stopped);
                                    refused.fetch_add(1, Ordering::SeqCst)
                                }
                            };
                        });
                    }
                })
            })
            .collect();
        // Somewhere in between, twice at the same time.
        alice.send(bob.id(), "the first").await.unwrap();
        tokio::join!(alice.stop(), alice.stop());
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        let (accepted, refused) = (accepted.load(Ordering::SeqCst), refused.load(Ordering::SeqCst));
        assert_eq!(accepted + refused, 4000);
        while alice.events().next().await.is_some() {}
        assert!(alice.events().is_stopped());
        assert_eq!(alice.nodes().await.unwrap_err().kind(), ErrorKind::Stopped);
        assert_eq!(alice.resolve("x").await.unwrap_err().kind(), ErrorKind::Stopped);
        assert_eq!(alice.send(bob.id(), "late").await.unwrap_err().kind(), ErrorKind::Stopped);
        alice.stop().await;

        let (alice, bob) = (start(homes[0].path()).await, start(homes[1].path()).await);
        for number in 0..=accepted {
            let message = message(&bob).await;
            assert!(["hello", "the first"].contains(&message.text.as_str()), "message {number}");
            bob.confirm(&message).unwrap();
        }
        drop(alice);
        assert!(bob.events().try_next().is_none_or(|event| !matches!(event, Event::Message(_))));
    });
}

#[test]
fn a_handle_may_be_dropped_anywhere() {
    in_namespace("a_handle_may_be_dropped_anywhere", || async {
        let home = home(KEYS[0]);
        // Inside a runtime.
        drop(start(home.path()).await);
        // As the last one, by a callback on the engine's thread.
        let node = Arc::new(start(home.path()).await);
        let (dropped, outcome) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let last = Arc::clone(&node);
        node.send_then(NodeId([7; 32]), "hello", None, move |result| {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::UnknownNode);
            released.recv().unwrap();
            let drop_it = std::panic::AssertUnwindSafe(|| drop(last));
            dropped.send(std::panic::catch_unwind(drop_it).is_ok()).unwrap();
        });
        drop(node);
        release.send(()).unwrap();
        assert!(outcome.recv_timeout(PATIENCE).unwrap(), "the drop has panicked");
        // While it starts: the node that nobody wants any more gives its home back.
        let mut abandoned = Box::pin(Node::builder().home(home.path()).start());
        let pending =
            std::future::poll_fn(|cx| std::task::Poll::Ready(abandoned.as_mut().poll(cx).is_pending()));
        assert!(pending.await);
        drop(abandoned);
        let free = async {
            loop {
                match Node::builder().home(home.path()).start().await {
                    Ok(node) => return node,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::HomeInUse),
                }
            }
        };
        timeout(PATIENCE, free).await.expect("the home is in use for ever").stop().await;
    });
}

/// The ends of a cable.
fn cable(a: &str, b: &str) {
    ip(&format!("link add {a} type veth peer name {b}"));
    for end in [a, b] {
        ip(&format!("link set {end} up"));
    }
}

#[test]
fn a_link_that_cannot_send_is_told_once() {
    in_namespace("a_link_that_cannot_send_is_told_once", || async {
        ip("addr flush dev lo");
        ip("route add prohibit 192.0.2.0/24");
        cable("a0", "b0");
        let homes = KEYS.map(home);
        let builder = Node::builder().home(homes[0].path()).link("udp:192.0.2.1:7").link("ethernet:a0");
        let alice = builder.start().await.unwrap();
        let mut told = Vec::new();
        let mut note = |event: &Event| {
            if let Event::Warning(warning) = event {
                told.push(warning.to_string());
            }
        };
        let bob = Node::builder().home(homes[1].path()).link("ethernet:b0").start().await.unwrap();
        for last in [false, true] {
            wait_for(&alice, |event| {
                note(&event);
                matches!((event, last), (Event::NodeFound(_), false) | (Event::NodeLost(_), true))
                    .then_some(())
            })
            .await;
            // Meanwhile alice says hello more than once on both links.
            bob.stop().await;
        }
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("link udp:192.0.2.1:7: Permission denied"), "{told:?}");
    });
}

#[test]
fn links_come_and_go_while_a_node_runs() {
    in_namespace("links_come_and_go_while_a_node_runs", || async {
        // Each has a link that works from the start, and leads nowhere.
        cable("a1", "b1");
        ip("link add c0 type veth peer name d0");
        let homes = KEYS.map(home);
        let start = |home: &TempDir, links: [&str; 2]| {
            let builder = Node::builder().home(home.path()).link(links[0]).link(links[1]);
            async move { builder.start().await.unwrap() }
        };
        let alice = start(&homes[0], ["ethernet:a0", "ethernet:a1"]).await;
        let bob = start(&homes[1], ["ethernet:lo", "ethernet:b0"]).await;
        for node in [&alice, &bob] {
            assert_eq!(node.links().iter().filter(|link| link.error.is_some()).count(), 1);
        }
        for _ in 0..2 {
            cable("a0", "b0");
            found(&alice, bob.id()).await;
            found(&bob, alice.id()).await;
            ip("link del a0");
            for node in [&alice, &bob] {
                wait_for(node, |event| matches!(event, Event::Warning(Warning::Link { .. })).then_some(()))
                    .await;
                wait_for(node, |event| matches!(event, Event::NodeLost(_)).then_some(())).await;
            }
        }
        // A start with nothing but links that do not work is an error.
        let home = tempfile::tempdir().unwrap();
        let builder = Node::builder().home(home.path()).link("ethernet:c0").link("ethernet:nowhere");
        let error = builder.key_bits(2048).start().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Link);
        assert!(error.to_string().contains("ip link set c0 up"), "{error}");
    });
}

#[test]
fn a_start_that_fails_leaves_the_home_free() {
    in_namespace("a_start_that_fails_leaves_the_home_free", || async {
        let home = home(KEYS[0]);
        for _ in 0..50 {
            let error = Node::builder().home(home.path()).link("ethernet:nowhere").start().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Link, "{error}");
        }
        let node = start(home.path()).await;
        let error = Node::builder().home(home.path()).start().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HomeInUse);
        node.stop().await;
        start(home.path()).await;
    });
}

#[test]
fn an_engine_that_dies_answers_everybody() {
    in_namespace("an_engine_that_dies_answers_everybody", || async {
        let home = home(KEYS[0]);
        let node = start(home.path()).await;
        let (release, released) = mpsc::channel();
        node.send_then(NodeId([7; 32]), "hello", None, move |_| {
            let () = released.recv().unwrap();
            std::panic::resume_unwind(Box::new("a callback panics"));
        });
        // These wait in the queue when it happens.
        let (answer, answers) = mpsc::channel();
        for _ in 0..10 {
            let answer = answer.clone();
            node.send_then(NodeId([7; 32]), "hello", None, move |result| answer.send(result).unwrap());
        }
        let nodes = node.nodes();
        release.send(()).unwrap();
        for _ in 0..10 {
            assert_eq!(answers.recv_timeout(PATIENCE).unwrap().unwrap_err().kind(), ErrorKind::Stopped);
        }
        assert_eq!(nodes.await.unwrap_err().kind(), ErrorKind::Stopped);
        assert_eq!(timeout(PATIENCE, node.events().next()).await, Ok(None));
        node.stop().await;
        start(home.path()).await.stop().await;
    });
}
