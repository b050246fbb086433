//! Identity records and clocks: old ones, outdated ones, missing ones, and names that two nodes use.

use std::time::Duration;

use meshcore::node::{Event, SendError, Warning};
use meshcore::types::{NodeId, UnixTime};

use crate::net::{Faults, World};
use crate::{ALICE, BOB, CAROL, SECOND, is_present, meet, pair, receive, send};

/// Type of frames that carry identity records.
const RECORD: u8 = 3;

fn nickname(world: &World, at: usize, of: NodeId) -> Option<String> {
    let nodes = world.stations[at].stack.as_ref().unwrap().nodes();
    let info = nodes.into_iter().find(|info| info.id == of)?;
    info.nickname.map(|name| name.to_string())
}

fn warnings(world: &World, at: usize) -> Vec<Warning> {
    let warning = |event: &Event| if let Event::Warning(w) = event { Some(w.clone()) } else { None };
    world.stations[at].seen.iter().filter_map(warning).collect()
}

#[test]
fn a_record_that_has_run_out_introduces_nobody() {
    let mut world = World::new(1, &[ALICE, BOB], Faults::NONE);
    world.stations[1].validity = SECOND;
    let bob = world.stations[1].id;
    world.start(1);
    world.run_until(2 * SECOND, |_| false);
    world.start(0);
    let frames = world.frames;
    assert!(!world.run_until(120 * SECOND, |world| is_present(world, 0, bob)));
    assert!(world.frames - frames < 150, "{} frames", world.frames - frames);
    let refused = world.with(0, |stack, now| stack.send(now, bob, "hello".into(), None));
    assert_eq!(refused, Err(SendError::UnknownNode(bob)));
    // A new start brings a new record.
    world.stations[1].validity = Duration::from_secs(1000);
    world.crash(1);
    world.start(1);
    meet(&mut world);
    send(&mut world, 0, 1, "hello");
    assert_eq!(receive(&mut world, 1, SECOND).0, ["hello"]);
}

#[test]
fn a_node_that_has_lost_its_number_takes_a_higher_one() {
    let mut world = pair(2, Faults::NONE);
    let bob = world.stations[1].id;
    let restart_as = |world: &mut World, name: &str, life: u32| {
        world.crash(1);
        world.stations[1].nickname = name.to_owned();
        world.stations[1].life = life - 1;
        world.start(1);
        world.run_until(5 * SECOND, |_| false);
        meet(world);
    };
    restart_as(&mut world, "robert", 7);
    assert_eq!(nickname(&world, 0, bob), Some("robert".into()));
    for (name, life) in [("old", 3), ("same", 8), ("rob", 20)] {
        restart_as(&mut world, name, life);
        assert_eq!(nickname(&world, 0, bob).as_deref(), Some(name));
        send(&mut world, 0, 1, "hello");
        assert_eq!(receive(&mut world, 1, SECOND).0, ["hello"]);
    }
}

#[test]
fn a_nickname_that_is_taken_is_told_once() {
    let mut world = World::new(3, &[ALICE, BOB, CAROL], Faults::NONE);
    world.stations[2].nickname = "node1".into();
    let (bob, carol) = (world.stations[1].id, world.stations[2].id);
    world.start(0);
    world.start(1);
    meet(&mut world);
    for name in ["node1", "node1", "carol", "node1"] {
        world.stations[2].nickname = name.into();
        world.start(2);
        let is_known = |world: &mut World| {
            is_present(world, 0, carol) && nickname(world, 0, carol).as_deref() == Some(name)
        };
        assert!(world.run_until(20 * SECOND, is_known));
        world.crash(2);
        assert!(world.run_until(20 * SECOND, |world| !is_present(world, 0, carol)));
    }
    let nickname = "node1".parse().unwrap();
    assert_eq!(
        warnings(&world, 0),
        [Warning::NicknameTaken { nickname, known: bob, verified: false, other: carol }]
    );
    let resolved = world.stations[0].stack.as_ref().unwrap().resolve("node1");
    assert!(resolved.is_err(), "{resolved:?}");
}

#[test]
fn a_message_waits_until_its_recipient_knows_the_sender() {
    let mut world = World::new(4, &[ALICE, BOB], Faults::NONE);
    world.filter = |to, frame| to != 1 || frame[1] != RECORD;
    let (alice, bob) = (world.stations[0].id, world.stations[1].id);
    world.start(0);
    world.start(1);
    assert!(world.run_until(SECOND, |world| is_present(world, 0, bob)));
    send(&mut world, 0, 1, "are you there?");
    assert_eq!(receive(&mut world, 1, 5 * SECOND).0, [""; 0]);
    assert_eq!(nickname(&world, 1, alice), None);
    world.filter = |_, _| true;
    meet(&mut world);
    assert_eq!(receive(&mut world, 1, 5 * SECOND).0, ["are you there?"]);
    send(&mut world, 1, 0, "yes");
    assert_eq!(receive(&mut world, 0, SECOND).0, ["yes"]);
}

#[test]
fn jumps_of_the_wall_clock_disturb_nobody() {
    let mut world = pair(5, Faults::NONE);
    for epoch in [0, 4_000_000_000_000, 1_700_000_000_000, u64::MAX / 2] {
        world.epoch = UnixTime::from_millis(epoch);
        send(&mut world, 0, 1, "hello");
        assert_eq!(receive(&mut world, 1, SECOND).0, ["hello"]);
        world.run_until(30 * SECOND, |_| false);
        let ids = [world.stations[0].id, world.stations[1].id];
        assert!(is_present(&world, 0, ids[1]) && is_present(&world, 1, ids[0]));
    }
    world.crash(1);
    world.epoch = UnixTime::from_millis(0);
    world.start(1);
    meet(&mut world);
    send(&mut world, 1, 0, "hello");
    assert_eq!(receive(&mut world, 0, SECOND).0, ["hello"]);
}
