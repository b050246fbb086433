//! Messages that go through other nodes.

use std::time::Duration;

use meshcore::node::Event;

use meshcore::wire::frame::{FrameType, HEADER_LEN};

use crate::net::{Faults, Segment, World, address};
use crate::{ALICE, BOB, CAROL, SECOND, for_seeds, is_present, receive, send, take_texts};

/// Alice and Carol, who hear Bob and not each other.
fn chain(seed: u64, faults: Faults) -> World {
    let mut world = World::new(seed, &[ALICE, BOB, CAROL], faults);
    let wire = |members: &[usize], mtu| Segment { members: Some(members.to_vec()), mtu, up: true };
    world.segments = vec![wire(&[0, 1], 1500), wire(&[1, 2], 1200)];
    (0..3).for_each(|index| world.start(index));
    world
}

fn all_meet(world: &mut World, limit: Duration) {
    let ids: Vec<_> = world.stations.iter().map(|station| station.id).collect();
    let present = |world: &World, at: usize| {
        ids.iter().enumerate().all(|(i, id)| i == at || is_present(world, at, *id))
    };
    let met = world.run_until(limit, |world| (0..ids.len()).all(|at| present(world, at)));
    assert!(met, "the nodes have not found each other");
}

#[test]
fn a_relay_carries_what_it_cannot_read() {
    let mut world = chain(1, Faults::NONE);
    world.capture = Some(Vec::new());
    all_meet(&mut world, SECOND);
    let carol = world.stations[2].id;
    let route = world.with(0, |stack, _| stack.route_to(carol)).unwrap();
    assert_eq!((route.next_hop, route.hops, route.mtu), (world.stations[1].id, 2, 1160));
    let secret = "nobody but Carol may read this ".repeat(200);
    send(&mut world, 0, 2, &secret);
    let (texts, took) = receive(&mut world, 2, SECOND);
    assert!(texts == [secret.as_str()] && took < Duration::from_millis(200), "took {took:?}");
    let seen = world.capture.take().unwrap().concat();
    assert!(!seen.windows(10).any(|window| secret.as_bytes().starts_with(window)));
}

#[test]
fn messages_survive_a_relay_that_loses_and_restarts() {
    for_seeds(6, |seed| {
        let mut world = chain(seed, Faults::HARSH);
        all_meet(&mut world, 60 * SECOND);
        let mut got = Vec::new();
        for number in 0..20 {
            send(&mut world, 0, 2, &format!("message {number}"));
            if number % 7 == 3 {
                world.crash(1);
                world.run_until(5 * SECOND, |_| false);
                world.start(1);
            }
            world.run_until(SECOND, |_| false);
            got.extend(take_texts(&mut world, 2));
        }
        world.run_until(120 * SECOND, |world| {
            got.extend(take_texts(world, 2));
            got.len() >= 20
        });
        assert_eq!(got, crate::expected(20));
    });
}

#[test]
fn a_session_survives_the_loss_of_one_of_two_links() {
    let mut world = chain(3, Faults::NONE);
    // A third wire joins Alice and Carol directly.
    world.segments.push(Segment { members: Some(vec![0, 2]), mtu: 1500, up: true });
    (0..3).for_each(|index| {
        world.crash(index);
        world.start(index);
    });
    all_meet(&mut world, SECOND);
    send(&mut world, 0, 2, "first");
    assert_eq!(receive(&mut world, 2, SECOND).0, ["first"]);
    for (up, hops) in [(false, 2), (true, 1), (false, 2)] {
        world.segments[2].up = up;
        send(&mut world, 0, 2, "and on");
        let (texts, took) = receive(&mut world, 2, 5 * SECOND);
        assert!(texts == ["and on"] && took < SECOND, "{texts:?} after {took:?}");
        world.run_until(15 * SECOND, |_| false);
        let carol = world.stations[2].id;
        assert_eq!(world.with(0, |stack, _| stack.route_to(carol)).unwrap().hops, hops);
    }
    let lost = |event: &Event| matches!(event, Event::NodeLost(_));
    assert!(!world.stations[0].seen.iter().any(lost) && !world.stations[2].seen.iter().any(lost));
}

#[test]
fn a_connection_measures_another_way_anew() {
    let mut world = chain(8, Faults::NONE);
    world.segments.push(Segment { members: Some(vec![0, 2]), mtu: 1500, up: true });
    (0..3).for_each(|index| {
        world.crash(index);
        world.start(index);
    });
    all_meet(&mut world, SECOND);
    let carol = world.stations[2].id;
    let connection = world.with(0, |stack, now| stack.connect(now, carol)).unwrap();
    world.run_until(SECOND, |_| false);
    let stream = world.with(0, |stack, _| stack.transport().open(connection)).unwrap();
    // Each link takes the same time, each way.
    for (up, links) in [(true, 1), (false, 2)] {
        world.segments[2].up = up;
        for _ in 0..5 {
            world.with(0, |stack, _| stack.transport().write(connection, stream, b"anything")).unwrap();
            world.run_until(SECOND, |_| false);
        }
        let statistics = world.with(0, |stack, _| stack.transport().statistics(connection)).unwrap();
        assert!(statistics.min_rtt >= 2 * links * Faults::NONE.delay, "{links} links: {statistics:?}");
        assert!(statistics.min_rtt < 2 * (links + 1) * Faults::NONE.delay, "{links} links: {statistics:?}");
    }
}

#[test]
fn a_connection_goes_on_as_soon_as_its_peer_is_in_reach_again() {
    for away in [2, 5, 13, 30, 50] {
        let mut world = World::new(away, &[ALICE, BOB], Faults::NONE);
        (0..2).for_each(|index| world.start(index));
        all_meet(&mut world, SECOND);
        let bob = world.stations[1].id;
        let connection = world.with(0, |stack, now| stack.connect(now, bob)).unwrap();
        world.run_until(SECOND, |_| false);
        let stream = world.with(0, |stack, _| stack.transport().open(connection)).unwrap();
        world.segments[0].up = false;
        world.with(0, |stack, _| stack.transport().write(connection, stream, &[7; 100_000])).unwrap();
        world.run_until(u32::try_from(away).unwrap() * SECOND, |_| false);
        assert!(!is_present(&world, 0, bob));
        world.segments[0].up = true;
        let found = world.run_until(20 * SECOND, |world| is_present(world, 0, bob));
        let statistics =
            |world: &mut World| world.with(0, |stack, _| stack.transport().statistics(connection));
        let before = statistics(&mut world).unwrap().packets_received;
        let goes_on = |world: &mut World| statistics(world).unwrap().packets_received > before;
        assert!(found && world.run_until(SECOND / 4, goes_on), "after {away} s");
    }
}

#[test]
fn a_ping_is_answered_by_who_does_not_know_the_asker_yet() {
    let mut world = World::new(7, &[ALICE, BOB], Faults::NONE);
    // Bob gets no identity record, and so has no route to Alice.
    world.filter = |to, frame| to != 1 || frame[1] != u8::from(FrameType::IdentityRecord);
    (0..2).for_each(|index| world.start(index));
    let bob = world.stations[1].id;
    assert!(world.run_until(SECOND, |world| is_present(world, 0, bob)));
    world.with(0, |stack, now| stack.echo(now, bob, 128, SECOND)).unwrap();
    world.run_until(SECOND / 2, |_| false);
    assert!(world.with(0, |stack, _| stack.poll_echo()).unwrap().1.unwrap().arrived);
}

#[test]
fn pings_and_their_limits() {
    let mut world = chain(4, Faults::NONE);
    all_meet(&mut world, SECOND);
    let (bob, carol) = (world.stations[1].id, world.stations[2].id);
    let limits = [(128, carol, true), (2, carol, true), (1, bob, false)];
    for (hop_limit, answers, arrives) in limits {
        let id = world.with(0, |stack, now| stack.echo(now, carol, hop_limit, SECOND)).unwrap();
        world.run_until(SECOND / 2, |_| false);
        let (answered, answer) = world.with(0, |stack, _| stack.poll_echo()).unwrap();
        let answer = answer.unwrap();
        assert_eq!((answered, answer.from, answer.arrived), (id, Some(answers), arrives));
        assert!(answer.rtt > Duration::ZERO && answer.rtt < Duration::from_millis(10));
    }
    world.segments[1].up = false;
    let id = world.with(0, |stack, now| stack.echo(now, carol, 128, SECOND)).unwrap();
    world.run_until(2 * SECOND, |_| false);
    assert_eq!(world.with(0, |stack, _| stack.poll_echo()), Some((id, None)));
}

fn broadcasts(world: &mut World, at: usize) -> Vec<String> {
    let text = |event: &Event| match event {
        Event::Broadcast { text, .. } => Some(text.clone()),
        _ => None,
    };
    world.stations[at].seen.drain(..).filter_map(|event| text(&event)).collect()
}

#[test]
fn a_broadcast_reaches_everybody_once() {
    // Carol hears Alice twice: through Bob and over a wire of their own, and every frame comes twice.
    let mut world = chain(5, Faults { duplication: 1.0, ..Faults::NONE });
    world.segments.push(Segment { members: Some(vec![0, 2]), mtu: 1500, up: true });
    all_meet(&mut world, 2 * SECOND);
    world.with(0, |stack, now| stack.broadcast(now, "dinner is ready")).unwrap();
    world.run_until(SECOND, |_| false);
    for (at, expected) in [(0, vec![]), (1, vec!["dinner is ready"]), (2, vec!["dinner is ready"])] {
        assert_eq!(broadcasts(&mut world, at), expected, "node {at}");
    }
}

#[test]
fn nobody_can_flood_the_mesh_with_broadcasts() {
    let mut world = chain(6, Faults::NONE);
    all_meet(&mut world, SECOND);
    world.capture = Some(Vec::new());
    let results: Vec<_> =
        (0..20).map(|n| world.with(0, |stack, now| stack.broadcast(now, &n.to_string())).is_ok()).collect();
    assert_eq!(results.iter().filter(|ok| **ok).count(), 8);
    world.run_until(SECOND, |_| false);
    assert_eq!(broadcasts(&mut world, 2).len(), 8);

    // Altered, it is signed by nobody; repeated, it came before.
    let is_broadcast = |frame: &&Vec<u8>| frame[1] == u8::from(FrameType::Broadcast);
    let mut frame = world.capture.take().unwrap().iter().find(is_broadcast).unwrap().clone();
    let frames = world.frames;
    for number in 0..1000u64 {
        world.inject(1, address(0), &frame);
        // The sequence and the content.
        frame[HEADER_LEN + 8..HEADER_LEN + 16].copy_from_slice(&number.to_be_bytes());
        *frame.last_mut().unwrap() ^= 1;
    }
    world.run_until(SECOND, |_| false);
    assert_eq!((broadcasts(&mut world, 1).len(), broadcasts(&mut world, 2).len()), (8, 0));
    assert!(world.frames - frames < 50, "{} frames", world.frames - frames);
}
