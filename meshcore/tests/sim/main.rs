//! Whole nodes in virtual time: every layer above the driver, with faults on the wire and crashes.

#![allow(clippy::disallowed_methods)] // tests are drivers

mod delivery;
mod disk;
mod hostile;
mod identities;
mod insider;
mod kills;
mod mailbox;
mod net;
mod people;
mod relay;
mod rooms;
mod sessions;
mod starved;
mod storage;
mod streams;

use std::collections::BTreeSet;
use std::time::Duration;

use meshcore::node::Event;
use meshcore::types::{MessageId, NodeId, Status};
use net::{Faults, World};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const ALICE: &str = include_str!("../keys/message/rsa2048.pem");
const BOB: &str = include_str!("../keys/message/rsa2048b.pem");

const CAROL: &str = include_str!("../keys/message/rsa2048c.pem");

const SECOND: Duration = Duration::from_secs(1);

/// Runs `test` for seeds; a failure names the seed, and `SIM_SEED=n` runs that one alone.
fn for_seeds(count: u64, test: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let seeds = match std::env::var("SIM_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| test(seed)) {
            eprintln!("failed with seed {seed}; replay it with SIM_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn is_present(world: &World, at: usize, other: NodeId) -> bool {
    let nodes = world.stations[at].stack.as_ref().map(|stack| stack.nodes()).unwrap_or_default();
    nodes.iter().any(|node| node.id == other && node.present)
}

/// Two nodes that have found each other.
fn pair(seed: u64, faults: Faults) -> World {
    let mut world = World::new(seed, &[ALICE, BOB], faults);
    world.start(0);
    world.start(1);
    meet(&mut world);
    world
}

fn meet(world: &mut World) {
    let (alice, bob) = (world.stations[0].id, world.stations[1].id);
    let met = world.run_until(60 * SECOND, |world| is_present(world, 0, bob) && is_present(world, 1, alice));
    assert!(met, "the nodes have not found each other");
}

/// Texts of the messages that a node was handed, in order; confirms them as an application does.
fn take_texts(world: &mut World, at: usize) -> Vec<String> {
    let mut texts = Vec::new();
    let events: Vec<_> = world.stations[at].seen.drain(..).collect();
    for event in events {
        if let Event::Message(message) = event {
            world.stations[at].disk.confirm(message.arrival);
            if world.stations[at].stack.is_some() {
                world.with(at, |stack, now| stack.handle_confirmed(now, message.arrival));
            }
            texts.push(message.text);
        }
    }
    texts
}

fn send(world: &mut World, from: usize, to: usize, text: &str) {
    let id = world.stations[to].id;
    world.with(from, |stack, now| stack.send(now, id, text.into(), None)).unwrap();
}

/// Runs until the next messages come to a node: their texts and how long it took.
fn receive(world: &mut World, at: usize, limit: Duration) -> (Vec<String>, Duration) {
    let start = world.now;
    let mut texts = Vec::new();
    world.run_until(limit, |world| {
        texts.extend(take_texts(world, at));
        !texts.is_empty()
    });
    (texts, world.now - start)
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("message {number}")).collect()
}

#[test]
fn two_nodes_find_each_other_at_once() {
    let mut world = World::new(1, &[ALICE, BOB], Faults::NONE);
    world.start(0);
    world.run_until(10 * SECOND, |_| false);
    world.start(1);
    let start = world.now;
    meet(&mut world);
    let took = world.now - start;
    assert!(took < Duration::from_millis(50), "took {took:?}");
}

#[test]
fn first_message_is_delivered_quickly_and_reported() {
    let mut world = pair(2, Faults::NONE);
    let bob = world.stations[1].id;
    let start = world.now;
    world.with(0, |stack, now| stack.send(now, bob, "hello".into(), None)).unwrap();
    let mut statuses = Vec::new();
    let delivered = world.run_until(SECOND, |world| {
        for event in world.stations[0].seen.drain(..) {
            if let Event::Status { status, .. } = event {
                statuses.push(status);
            }
        }
        statuses.contains(&Status::Delivered)
    });
    assert!(delivered);
    // That it was sent is told when no receipt comes for a while.
    assert_eq!(statuses, [Status::Delivered]);
    assert_eq!(take_texts(&mut world, 1), ["hello"]);
    let took = world.now - start;
    assert!(took < Duration::from_millis(100), "took {took:?}");
}

#[test]
fn no_text_is_on_the_wire() {
    let mut world = pair(3, Faults::NONE);
    world.capture = Some(Vec::new());
    let bob = world.stations[1].id;
    let secret = "the treasure lies under the old oak";
    world.with(0, |stack, now| stack.send(now, bob, secret.into(), None)).unwrap();
    assert!(world.run_until(SECOND, |world| !take_texts(world, 1).is_empty()));
    let frames = world.capture.take().unwrap();
    assert!(frames.len() > 4);
    for frame in frames {
        assert!(!frame.windows(8).any(|window| secret.as_bytes().windows(8).any(|s| s == window)));
    }
}

#[test]
fn messages_cross_in_order_both_ways_under_faults() {
    for_seeds(12, |seed| {
        let mut world = pair(seed, Faults::HARSH);
        let ids = [world.stations[0].id, world.stations[1].id];
        for number in 0..60 {
            for (from, to) in [(0, 1), (1, 0)] {
                world
                    .with(from, |stack, now| stack.send(now, ids[to], format!("message {number}"), None))
                    .unwrap();
            }
        }
        let mut got = [Vec::new(), Vec::new()];
        let all = world.run_until(120 * SECOND, |world| {
            for (at, texts) in got.iter_mut().enumerate() {
                texts.extend(take_texts(world, at));
            }
            got.iter().all(|texts| texts.len() >= 60)
        });
        assert!(all, "only {} and {} of 60", got[0].len(), got[1].len());
        world.run_until(5 * SECOND, |_| false);
        for (at, texts) in got.iter_mut().enumerate() {
            texts.extend(take_texts(&mut world, at));
            assert_eq!(*texts, expected(60));
        }
    });
}

#[test]
fn a_large_message_arrives() {
    let mut world = pair(4, Faults { loss: 0.02, ..Faults::NONE });
    let bob = world.stations[1].id;
    let text = "0123456789abcdef".repeat(1 << 16);
    world.with(0, |stack, now| stack.send(now, bob, text.clone(), None)).unwrap();
    let mut got = Vec::new();
    assert!(world.run_until(60 * SECOND, |world| {
        got.extend(take_texts(world, 1));
        !got.is_empty()
    }));
    assert_eq!(got, [text]);
}

#[test]
fn a_message_waits_for_a_node_that_is_away() {
    let mut world = pair(5, Faults::NONE);
    let bob = world.stations[1].id;
    world.crash(1);
    assert!(world.run_until(60 * SECOND, |world| !is_present(world, 0, bob)));
    world.with(0, |stack, now| stack.send(now, bob, "later".into(), None)).unwrap();
    world.run_until(SECOND, |_| false);
    world.crash(0);
    world.run_until(10 * SECOND, |_| false);
    world.start(0);
    world.run_until(10 * SECOND, |_| false);
    world.start(1);
    let mut got = Vec::new();
    assert!(world.run_until(10 * SECOND, |world| {
        got.extend(take_texts(world, 1));
        !got.is_empty()
    }));
    assert_eq!(got, ["later"]);
}

#[test]
fn crashes_lose_nothing_and_show_nothing_twice() {
    for_seeds(10, |seed| {
        let mut world = pair(seed, Faults { loss: 0.05, ..Faults::NONE });
        let bob = world.stations[1].id;
        let mut accepted = 0;
        let mut got = Vec::new();
        for round in 0..6 {
            for _ in 0..40 {
                world
                    .with(0, |stack, now| stack.send(now, bob, format!("message {accepted}"), None))
                    .unwrap();
                accepted += 1;
            }
            // The sender is killed only when everything it was given has been committed: only that was accepted.
            let pause = Duration::from_millis(5 + 7 * (seed % 5));
            world.run_until(pause, |world| {
                got.extend(take_texts(world, 1));
                false
            });
            got.extend(take_texts(&mut world, 1));
            let victim = usize::from(round % 2 == 0);
            world.crash(victim);
            world.start(victim);
        }
        let done = world.run_until(180 * SECOND, |world| {
            got.extend(take_texts(world, 1));
            got.len() >= accepted
        });
        let missing: Vec<_> = expected(accepted)
            .into_iter()
            .collect::<BTreeSet<_>>()
            .difference(&got.iter().cloned().collect())
            .cloned()
            .collect();
        assert!(done, "missing: {missing:?}");
        assert_eq!(got, expected(accepted));
    });
}

#[test]
fn both_crash_at_random_and_every_accepted_message_arrives_once() {
    for_seeds(40, |seed| {
        let mut world = pair(seed, Faults { loss: 0.05, duplication: 0.05, ..Faults::HARSH });
        let mut rng = StdRng::seed_from_u64(seed);
        let ids = [world.stations[0].id, world.stations[1].id];
        let mut sent: [Vec<(MessageId, String)>; 2] = Default::default();
        let mut got: [Vec<String>; 2] = Default::default();
        let mut take = |world: &mut World| {
            for (at, texts) in got.iter_mut().enumerate() {
                texts.extend(take_texts(world, at));
            }
            [got[0].len(), got[1].len()]
        };
        for _ in 0..12 {
            for _ in 0..rng.random_range(0..30) {
                let from = rng.random_range(0..2);
                let text = format!("message {:04}", sent[from].len());
                // A crash right after they met may have forgotten the other one: that is refused.
                let id = world.with(from, |stack, now| stack.send(now, ids[1 - from], text.clone(), None));
                sent[from].extend(id.ok().map(|id| (id, text)));
            }
            let pause = Duration::from_millis(rng.random_range(0..400));
            world.run_until(pause, |world| {
                take(world);
                false
            });
            for at in 0..2 {
                if rng.random_bool(0.4) {
                    world.crash(at);
                    world.run_until(Duration::from_millis(rng.random_range(0..3000)), |_| false);
                    world.start(at);
                }
            }
        }
        let accepted = |world: &World, from: usize| {
            let answers: BTreeSet<_> = world.stations[from].answers.iter().map(|(id, _)| *id).collect();
            sent[from]
                .iter()
                .filter(|(id, _)| answers.contains(id))
                .map(|(_, t)| t.clone())
                .collect::<Vec<_>>()
        };
        let enough = [accepted(&world, 1).len(), accepted(&world, 0).len()];
        world.run_until(60 * SECOND, |world| {
            let got = take(world);
            got[0] >= enough[0] && got[1] >= enough[1]
        });
        world.run_until(5 * SECOND, |_| false);
        take(&mut world);
        for from in 0..2 {
            // A message whose acceptance died with the process may arrive or not.
            let got = &got[1 - from];
            assert!(got.is_sorted() && got.windows(2).all(|pair| pair[0] != pair[1]), "{got:?}");
            let accepted = accepted(&world, from);
            let missing: Vec<_> = accepted.iter().filter(|text| !got.contains(text)).collect();
            assert!(missing.is_empty(), "{missing:?} of {}", accepted.len());
        }
    });
}

#[test]
fn idle_nodes_say_little() {
    let mut world = pair(7, Faults::NONE);
    send(&mut world, 0, 1, "hello");
    world.run_until(120 * SECOND, |_| false);
    let bytes = world.bytes;
    world.run_until(600 * SECOND, |_| false);
    let rate = (world.bytes - bytes) / 600;
    assert!(rate <= 60, "{rate} bytes per second of both together");
}

#[test]
fn a_node_that_leaves_is_lost_soon() {
    let mut world = pair(6, Faults::NONE);
    let bob = world.stations[1].id;
    world.with(1, |stack, now| stack.leave(now));
    world.crash(1);
    let start = world.now;
    assert!(world.run_until(60 * SECOND, |world| !is_present(world, 0, bob)));
    assert!(world.now - start < SECOND);
}
