//! Disks that are full or broken for a while, on either side.

use std::time::Duration;

use meshcore::message::store::StoreError;
use meshcore::node::{Event, Warning};
use meshcore::types::Status;

use crate::disk::Fault;
use crate::net::{Faults, World};
use crate::{SECOND, pair, receive, send, take_texts};

/// Takes the warnings about storage that a node has given.
fn storage_warnings(world: &mut World, at: usize) -> usize {
    let is_one = |event: &Event| matches!(event, Event::Warning(Warning::Storage(_)));
    let count = world.stations[at].seen.iter().filter(|event| is_one(event)).count();
    world.stations[at].seen.retain(|event| !is_one(event));
    count
}

#[test]
fn a_full_disk_of_the_receiver_delays_messages_and_costs_little() {
    let mut world = pair(1, Faults::NONE);
    for round in 0..3 {
        world.stations[1].disk.fault = Fault::Full;
        for number in 0..20 {
            send(&mut world, 0, 1, &format!("message {number}"));
        }
        let frames = world.frames;
        world.run_until(300 * SECOND, |_| false);
        assert_eq!(storage_warnings(&mut world, 1), 1, "round {round}");
        assert_eq!(take_texts(&mut world, 1), [""; 0]);
        // A dozen handshakes with increasing pauses, each with two seconds of probes, and the hellos of both.
        let frames = world.frames - frames;
        assert!(frames < 1800, "{frames} frames");
        world.stations[1].disk.fault = Fault::None;
        let mut got = Vec::new();
        let all = world.run_until(31 * SECOND, |world| {
            got.extend(take_texts(world, 1));
            got.len() >= 20
        });
        assert!(all, "{} of 20", got.len());
        assert_eq!(got, (0..20).map(|number| format!("message {number}")).collect::<Vec<_>>());
    }
}

#[test]
fn a_node_with_a_full_disk_still_sends_what_it_had_accepted() {
    let mut world = pair(2, Faults::NONE);
    world.segments[0].up = false;
    send(&mut world, 0, 1, "accepted before");
    world.run_until(SECOND, |_| false);
    world.stations[0].disk.fault = Fault::Full;
    world.segments[0].up = true;
    send(&mut world, 0, 1, "refused");
    let (texts, took) = receive(&mut world, 1, 60 * SECOND);
    assert_eq!(texts, ["accepted before"]);
    assert!(took < 10 * SECOND, "took {took:?}");
    let answers: Vec<_> = world.stations[0].answers.iter().map(|(_, answer)| answer.clone()).collect();
    assert!(matches!(answers[..], [Ok(()), Err(StoreError::Full { .. })]), "{answers:?}");

    world.run_until(300 * SECOND, |_| false);
    assert_eq!(storage_warnings(&mut world, 0), 1);
    assert_eq!(take_texts(&mut world, 1), [""; 0]);
    let delivered = |world: &World| {
        let is_delivered = |event: &Event| matches!(event, Event::Status { status: Status::Delivered, .. });
        world.stations[0].seen.iter().filter(|event| is_delivered(event)).count()
    };
    // Not told before it is on disk, for after a restart it would be untrue.
    assert_eq!(delivered(&world), 0);
    world.stations[0].disk.fault = Fault::None;
    send(&mut world, 0, 1, "accepted again");
    assert_eq!(receive(&mut world, 1, SECOND).0, ["accepted again"]);
    assert!(world.run_until(SECOND, |world| delivered(world) == 2));
}

#[test]
fn a_disk_that_cannot_be_read_for_a_while_holds_nothing_up_for_long() {
    let mut world = pair(3, Faults::NONE);
    send(&mut world, 0, 1, "hello");
    world.run_until(Duration::from_millis(4), |_| false);
    // Accepted; the session is being made, and then the outbox cannot be loaded.
    world.stations[0].disk.fault = Fault::Broken;
    world.run_until(2 * SECOND, |_| false);
    world.stations[0].disk.fault = Fault::None;
    let (texts, took) = receive(&mut world, 1, 60 * SECOND);
    assert_eq!(texts, ["hello"]);
    assert!(took < 5 * SECOND, "took {took:?}");
    assert_eq!(storage_warnings(&mut world, 0), 1);
}
