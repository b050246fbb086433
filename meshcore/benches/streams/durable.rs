//! Messages that are on both disks before they count as delivered, beside what a sync of that disk costs.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use meshcore::{Event, Node, NodeId, Status};
use tokio::sync::oneshot;

use crate::kernel::percentiles;
use crate::namespaces::{Side, World};
use crate::nodes::{PATIENCE, on_side};

/// Messages that are sent one right after the other.
const MANY: usize = 40_000;

/// Of those, so many wait for their acceptance at the same time.
const WINDOW: usize = 2_000;

/// Messages that are sent alone, each after the delivery of the one before; as many syncs and round trips.
const ALONE: usize = 100;

/// No more are answered one right after the other.
const PINGS: usize = 50;

const TEXT: usize = 100;

/// Messages a second, many at once; milliseconds, medians: of one alone until it is delivered, of a sync, of a round trip; the
/// first of these over the sum of the others.
pub(crate) fn messages(world: &World, link: &str) -> Vec<f64> {
    let (tell, id) = oneshot::channel();
    let (finish, finished) = oneshot::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(|| {
            on_side(world, link, Side::Right, async |node| {
                tell.send(node.id()).unwrap();
                let confirming = async {
                    while let Some(event) = node.events().next().await {
                        if let Event::Message(message) = event {
                            node.confirm(&message).unwrap();
                        }
                    }
                };
                tokio::select! {
                    () = confirming => {}
                    _ = finished => {}
                }
            });
        });
        let near = scope.spawn(|| {
            on_side(world, link, Side::Left, async |node| {
                let peer = id.await.unwrap();
                let round_trip = round_trip(node, peer).await;
                let alone = alone(node, peer).await;
                let rate = many(node, peer).await;
                let sync = sync(node.home());
                finish.send(()).unwrap();
                vec![rate, alone, sync, round_trip, alone / (sync + round_trip)]
            })
        });
        near.join().unwrap()
    })
}

async fn many(node: &Node, peer: NodeId) -> f64 {
    let text = "x".repeat(TEXT);
    let begin = Instant::now();
    let sending = async {
        let mut accepted = std::collections::VecDeque::new();
        for _ in 0..MANY {
            accepted.push_back(node.send(peer, text.clone()));
            if accepted.len() == WINDOW {
                accepted.pop_front().unwrap().await.unwrap();
            }
        }
    };
    tokio::join!(sending, delivered(node, MANY));
    MANY as f64 / begin.elapsed().as_secs_f64()
}

async fn alone(node: &Node, peer: NodeId) -> f64 {
    let mut times = Vec::with_capacity(ALONE);
    // The first one opens the session.
    for number in 0..=ALONE {
        let begin = Instant::now();
        node.send(peer, "x".repeat(TEXT)).await.unwrap();
        delivered(node, 1).await;
        if number > 0 {
            times.push(begin.elapsed());
        }
    }
    percentiles(times)[0] * 1e-3
}

async fn delivered(node: &Node, count: usize) {
    let mut delivered = 0;
    while delivered < count {
        let event = node.events().next().await.expect("the node runs");
        delivered += usize::from(matches!(event, Event::Status { status: Status::Delivered, .. }));
    }
}

async fn round_trip(node: &Node, peer: NodeId) -> f64 {
    let (begin, timeout) = (Instant::now(), Duration::from_secs(1));
    while node.ping(peer, timeout).await.is_err() {
        assert!(begin.elapsed() < PATIENCE, "the nodes do not find each other");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        times.push(node.ping(peer, timeout).await.unwrap().rtt);
    }
    percentiles(times)[0] * 1e-3
}

/// What a database does for a commit of a few rows: it appends some pages and waits until the disk has them.
fn sync(folder: &Path) -> f64 {
    let mut file = File::create(folder.join("sync")).unwrap();
    let mut times = Vec::with_capacity(ALONE);
    for _ in 0..ALONE {
        let begin = Instant::now();
        file.write_all(&[7; 8192]).unwrap();
        file.sync_data().unwrap();
        times.push(begin.elapsed());
    }
    percentiles(times)[0] * 1e-3
}
