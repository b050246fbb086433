//! What anybody on the segment may send: rubbish, altered and repeated frames, made-up nodes, a copied key.

use std::time::Duration;

use meshcore::node::{Event, Warning};
use meshcore::types::{Address, LinkAddr};
use meshcore::wire::frame::{FrameHeader, FrameType, HEADER_LEN, ONE_HOP, TrafficClass};
use meshcore::wire::hello::{Heard, Hello};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::net::{Faults, World, address};
use crate::{ALICE, BOB, SECOND, for_seeds, is_present, meet, pair, receive, send, take_texts};

const SOON: Duration = Duration::from_millis(500);

/// Two nodes in conversation, and every frame of it.
fn conversation(seed: u64) -> (World, Vec<Vec<u8>>) {
    let mut world = World::new(seed, &[ALICE, BOB], Faults::NONE);
    world.capture = Some(Vec::new());
    world.start(0);
    world.start(1);
    meet(&mut world);
    for (from, to) in [(0, 1), (1, 0), (0, 1)] {
        send(&mut world, from, to, &"hello ".repeat(500));
        receive(&mut world, to, SECOND);
    }
    // Until the hellos of the start are over.
    world.run_until(SECOND, |_| false);
    let frames = world.capture.take().unwrap();
    (world, frames)
}

fn is_stream(frame: &[u8]) -> bool {
    frame[1] == u8::from(FrameType::Stream)
}

/// Changes, cuts, lengthens or splices a frame.
fn mutate(rng: &mut StdRng, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = frames[rng.random_range(0..frames.len())].clone();
    match rng.random_range(0..6) {
        0 => frame.truncate(rng.random_range(0..frame.len())),
        1 => frame.extend((0..rng.random_range(1..600)).map(|_| rng.random::<u8>())),
        2 => {
            let other = &frames[rng.random_range(0..frames.len())];
            let at = rng.random_range(0..frame.len().min(other.len()));
            frame.splice(at.., other[at..].iter().copied());
        }
        3 => {}
        _ => {
            for _ in 0..rng.random_range(1..4) {
                // Every second time in the headers, where it hurts most.
                let limit = if rng.random() { frame.len() } else { frame.len().min(HEADER_LEN + 24) };
                let at = rng.random_range(0..limit);
                frame[at] = rng.random();
            }
        }
    }
    frame
}

/// The conversation goes on: no handshake is needed, hardly a frame is lost.
fn assert_undisturbed(world: &mut World) {
    let frames = world.frames;
    for (from, to) in [(0, 1), (1, 0)] {
        send(world, from, to, "still there?");
        let (texts, took) = receive(world, to, 30 * SECOND);
        assert_eq!(texts, ["still there?"]);
        assert!(took < Duration::from_millis(50), "took {took:?}");
    }
    assert!(world.frames - frames < 20, "{} frames", world.frames - frames);
}

#[test]
fn rubbish_and_altered_packets_change_nothing() {
    for_seeds(10, |seed| {
        let (mut world, frames) = conversation(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let packets: Vec<_> = frames.into_iter().filter(|frame| is_stream(frame)).collect();
        for _ in 0..1500 {
            let (to, from) = (rng.random_range(0..2), address(rng.random_range(0..3)));
            if rng.random() {
                let len = rng.random_range(0..1600);
                world.inject(to, from, &(0..len).map(|_| rng.random()).collect::<Vec<u8>>());
            }
            let packet = mutate(&mut rng, &packets);
            // An alteration that makes it a frame of another type is for the next test.
            if packet.get(1) == packets[0].get(1) {
                world.inject(to, from, &packet);
            }
        }
        for at in 0..2 {
            assert_eq!(
                world.stations[at].seen.iter().filter(|e| !matches!(e, Event::Status { .. })).count(),
                0
            );
        }
        assert_undisturbed(&mut world);
    });
}

#[test]
fn altered_frames_of_any_type_break_nothing_for_long() {
    for_seeds(10, |seed| {
        let (mut world, frames) = conversation(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..3000 {
            let (to, from) = (rng.random_range(0..2), address(rng.random_range(0..3)));
            let frame = mutate(&mut rng, &frames);
            world.inject(to, from, &frame);
            world.run_until(Duration::from_micros(rng.random_range(0..2000)), |_| false);
        }
        // A hello with a number ahead of its time silences the true ones until they have caught up: seven at most.
        world.run_until(32 * SECOND, |_| false);
        for (from, to) in [(0, 1), (1, 0)] {
            send(&mut world, from, to, "still there?");
            let (texts, took) = receive(&mut world, to, 60 * SECOND);
            assert_eq!(texts, ["still there?"]);
            assert!(took < SECOND, "took {took:?}");
        }
    });
}

/// A hello of a node that does not exist and claims to hear `listed`.
fn made_up_hello(rng: &mut StdRng, listed: &[Heard]) -> Vec<u8> {
    let hello = Hello {
        seqno: rng.random(),
        interval: 300,
        instance: rng.random(),
        version: rng.random(),
        total: listed.len() as u16,
    };
    let mut frame = vec![0; HEADER_LEN];
    hello.emit(listed.iter().copied(), &mut frame);
    let header = FrameHeader {
        kind: FrameType::Hello,
        hop_limit: ONE_HOP,
        class: TrafficClass::Control,
        source: Address(rng.random()),
        destination: Address::EVERYONE,
    };
    let payload_len = (frame.len() - HEADER_LEN) as u16;
    frame[..HEADER_LEN].copy_from_slice(&header.emit(payload_len));
    frame
}

#[test]
fn a_flood_of_made_up_hellos_leaves_a_conversation_alone() {
    let (mut world, _) = conversation(1);
    let mut rng = StdRng::seed_from_u64(1);
    let frames = world.frames;
    let start = world.now;
    for number in 0..10_000u64 {
        // Each claims to hear both, with the number that their latest hellos may have.
        let heard = |node| Heard { node, seqno: rng.random(), rxcost: 256, instance: rng.random() };
        let listed: Vec<_> = world.stations.iter().map(|station| station.id.address()).map(heard).collect();
        let hello = made_up_hello(&mut rng, &listed);
        let from = LinkAddr::new(&(1000 + number).to_be_bytes()).unwrap();
        for to in 0..2 {
            world.inject(to, from, &hello);
        }
        world.run_until(Duration::from_micros(500), |_| false);
        if number % 1000 == 999 {
            assert_undisturbed(&mut world);
        }
    }
    let (time, sent) = ((world.now - start).as_secs_f64(), (world.frames - frames) as f64);
    assert!(sent / time < 400.0, "{} frames per second of both", sent / time);
    for at in 0..2 {
        assert_eq!(world.stations[at].stack.as_ref().unwrap().nodes().len(), 1);
        assert!(world.stations[at].seen.iter().all(|event| matches!(event, Event::Status { .. })));
    }
}

#[test]
fn forged_restarts_slow_nothing_down() {
    let (mut world, frames) = conversation(2);
    let hello = frames.iter().find(|frame| frame[1] == u8::from(FrameType::Hello)).unwrap();
    let (header, payload) = FrameHeader::parse(hello).unwrap();
    let (mut forged, _) = Hello::parse(payload).unwrap();
    let author = usize::from(header.source == world.stations[1].id.address());
    let (victim, author_id) = (1 - author, world.stations[author].id);
    let text = "x".repeat(500_000);
    for round in 0..100u64 {
        forged.instance = round;
        forged.seqno = forged.seqno.wrapping_add(1);
        let node = world.stations[victim].id.address();
        let listed = [Heard { node, seqno: 0, rxcost: 256, instance: 0 }];
        let mut frame = hello[..HEADER_LEN].to_vec();
        forged.emit(listed, &mut frame);
        let payload_len = (frame.len() - HEADER_LEN) as u16;
        frame[..HEADER_LEN].copy_from_slice(&header.emit(payload_len));
        world.inject(victim, address(author), &frame);
        if round % 10 == 0 {
            send(&mut world, victim, author, &text);
            let (texts, took) = receive(&mut world, author, 10 * SECOND);
            assert!(texts == [text.as_str()] && took < SOON, "round {round}: {took:?}");
        }
        world.run_until(Duration::from_millis(100), |_| false);
    }
    assert!(is_present(&world, victim, author_id));
}

#[test]
fn a_copied_key_is_told_and_messages_still_arrive() {
    for_seeds(4, |seed| {
        let mut world = World::new(seed, &[ALICE, BOB, ALICE], Faults::NONE);
        world.start(0);
        world.start(1);
        meet(&mut world);
        world.start(2);
        world.run_until(20 * SECOND, |_| false);
        for at in [0, 2] {
            let conflicts = world.stations[at].seen.iter();
            let conflicts = conflicts.filter(|e| matches!(e, Event::Warning(Warning::AddressConflict)));
            assert_eq!(conflicts.count(), 1, "node {at}");
        }
        for number in 0..10 {
            send(&mut world, 1, 0, &format!("message {number}"));
        }
        let mut got = Vec::new();
        world.run_until(60 * SECOND, |world| {
            got.extend(take_texts(world, 0));
            got.extend(take_texts(world, 2));
            got.len() >= 10
        });
        got.sort();
        got.dedup();
        assert_eq!(got.len(), 10, "{got:?}");
        // When the copy is gone, all is as before.
        world.crash(2);
        world.run_until(20 * SECOND, |_| false);
        take_texts(&mut world, 0);
        send(&mut world, 1, 0, "only you");
        assert_eq!(receive(&mut world, 0, 15 * SECOND).0, ["only you"]);
    });
}

#[test]
fn a_conversation_survives_its_own_echo() {
    let mut world = pair(3, Faults { duplication: 0.9, ..Faults::NONE });
    send(&mut world, 0, 1, "hello");
    assert_eq!(receive(&mut world, 1, SOON).0, ["hello"]);
    assert_undisturbed(&mut world);
}
