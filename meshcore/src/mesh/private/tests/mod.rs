mod hostile;
mod segment;
mod vectors;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Sealer;
use super::config::{MAX_BLOCKS, MAX_MEMBERS};
use crate::mesh::DropReason;
use crate::types::{Destination, Instant, LinkId};
use crate::wire::frame::FrameType;
use segment::{LINK, Segment, inner, key, ms, sealer, station};

/// Two nodes that trust each other.
fn pair() -> Segment {
    let mut segment = Segment::new(1, 2);
    segment.hello(0, 0);
    segment.hello(1, 0);
    segment.run(ms(10));
    assert_eq!((segment.tables(0), segment.tables(1)), ((1, 0), (1, 0)));
    segment
}

#[test]
fn first_contact_takes_one_round_trip_more_than_in_the_open() {
    let mut segment = Segment::new(1, 2);
    let old = segment.hello(1, 7);
    segment.run(ms(3000));
    segment.restart(0);
    segment.log.clear();
    let new = segment.hello(0, 8);
    segment.run(ms(4));
    // Hello, challenge, challenge and answer, answer: the hello of the other follows at once.
    assert_eq!(segment.hosts[0].received, [old]);
    segment.run(ms(1));
    assert_eq!(segment.hosts[1].received, [new]);
    // And all of them look alike.
    let lengths: Vec<_> = segment.log.iter().map(|packet| packet.frame.len()).collect();
    assert_eq!(lengths, [108; 6]);
}

#[test]
fn nodes_that_start_at_once_meet_as_fast() {
    let mut segment = Segment::new(2, 2);
    let hellos = [segment.hello(0, 1), segment.hello(1, 2)];
    segment.run(ms(4));
    assert_eq!(segment.hosts[0].received, [hellos[1].clone()]);
    assert_eq!(segment.hosts[1].received, [hellos[0].clone()]);
}

#[test]
fn every_pair_meets_in_spite_of_loss_and_reordering() {
    for seed in 0..20 {
        let mut segment = Segment::new(seed, 8);
        (segment.loss, segment.jitter) = (0.2, ms(5));
        for round in 0..30 {
            for host in 0..8 {
                segment.hello(host, round);
            }
            segment.run(ms(1000));
        }
        segment.loss = 0.0;
        for host in 0..8 {
            segment.hosts[host].received.clear();
        }
        let last: Vec<_> = (0..8).map(|host| segment.hello(host, 99)).collect();
        segment.run(ms(20));
        for host in 0..8 {
            let mut received = segment.hosts[host].received.clone();
            received.sort();
            let others: Vec<_> = last.iter().filter(|hello| **hello != last[host]).cloned().collect();
            assert_eq!(received, others, "seed {seed}, host {host}");
            assert_eq!(segment.tables(host), (7, 0), "seed {seed}, host {host}");
        }
    }
}

#[test]
fn reordered_frames_arrive_once_each() {
    for seed in 0..20 {
        let mut segment = pair();
        segment.jitter = ms(50);
        let to = Destination::Station(station(1));
        let mut sent: Vec<_> = (0..1000).map(|number| inner(FrameType::Stream, 0, number)).collect();
        segment.hosts[1].received.clear();
        for frame in &sent {
            segment.send(0, to, frame);
            let copy = segment.log.last().unwrap().clone();
            segment.inject(copy);
        }
        segment.run(ms(100));
        let mut received = std::mem::take(&mut segment.hosts[1].received);
        assert_ne!(received, sent, "seed {seed}: nothing was reordered");
        received.sort();
        sent.sort();
        assert_eq!(received, sent, "seed {seed}");
        assert_eq!(segment.dropped(1, DropReason::Replayed), 1000);
    }
}

#[test]
fn a_node_that_restarts_is_believed_after_a_round_trip() {
    let mut segment = pair();
    segment.restart(1);
    // Traffic goes on: the first frame of the other is lost and brings the proof about.
    let to = Destination::Station(station(1));
    for number in 0..5 {
        segment.send(0, to, &inner(FrameType::Stream, 0, number));
        segment.run(ms(1));
    }
    segment.run(ms(5));
    let last = inner(FrameType::Stream, 0, 4);
    assert!(segment.hosts[1].received.contains(&last));
    assert_eq!(segment.tables(1), (1, 0));
    // The dead session stays where it was proven; nothing can be sent in it any more.
    assert_eq!(segment.tables(0), (2, 0));
}

#[test]
fn a_node_that_moves_to_another_station_is_believed_after_a_round_trip() {
    let mut segment = pair();
    segment.hosts[0].stations = vec![station(50)];
    segment.hello(0, 1);
    segment.run(ms(5));
    let last = segment.hello(0, 2);
    segment.run(ms(1));
    assert_eq!(segment.hosts[1].received.last(), Some(&last));
    assert_eq!(segment.dropped(1, DropReason::UnprovenStation), 1);
}

#[test]
fn two_nodes_behind_one_station_are_told_apart() {
    let mut segment = Segment::new(3, 3);
    segment.hosts[2].stations = vec![station(1)];
    for host in 0..3 {
        segment.hello(host, 0);
        segment.run(ms(5));
    }
    segment.hosts[0].received.clear();
    let hellos = [segment.hello(1, 1), segment.hello(2, 1)];
    segment.run(ms(5));
    assert_eq!(segment.hosts[0].received, hellos);
    let to = Destination::Station(station(1));
    let frame = inner(FrameType::Stream, 0, 0);
    segment.send(0, to, &frame);
    segment.run(ms(1));
    for host in [1, 2] {
        assert_eq!(segment.hosts[host].received.last(), Some(&frame));
    }
}

#[test]
fn each_copy_of_a_group_frame_arrives_from_its_station() {
    let mut segment = Segment::new(4, 2);
    segment.jitter = ms(2);
    for host in 0..2 {
        segment.hosts[host].stations = vec![station(host), station(10 + host)];
    }
    for round in 0..20 {
        segment.hello(0, round);
        segment.hello(1, round);
        for family in [0, 10] {
            segment.send(0, Destination::Station(station(family + 1)), &inner(FrameType::Stream, 0, round));
        }
        segment.run(ms(200));
    }
    for host in 0..2 {
        segment.hosts[host].received.clear();
    }
    let hello = segment.hello(0, 100);
    let frame = inner(FrameType::Stream, 0, 100);
    segment.send(0, Destination::Station(station(11)), &frame);
    segment.run(ms(200));
    let mut received = segment.hosts[1].received.clone();
    received.sort();
    let mut expected = [hello.clone(), hello, frame];
    expected.sort();
    assert_eq!(received, expected);
    // A unicast frame is taken once, whatever station it seems to come from.
    let mut copy = segment.log.last().unwrap().clone();
    for from in [station(10), station(0)] {
        copy.from = from;
        assert_eq!(segment.deliver(1, copy.from, copy.frame.clone()), Err(DropReason::Replayed));
    }
}

#[test]
fn a_spent_session_is_followed_by_a_new_one() {
    let mut segment = pair();
    let outgoing = &mut segment.hosts[0].sealer.links.get_mut(&LINK).unwrap().outgoing;
    let id = outgoing.id;
    outgoing.blocks = MAX_BLOCKS - 1;
    let last = segment.hello(0, 1);
    segment.run(ms(5));
    assert_eq!(segment.hosts[1].received.last(), Some(&last));
    segment.hello(0, 2);
    segment.run(ms(5));
    assert_ne!(segment.hosts[0].sealer.links[&LINK].outgoing.id, id);
    let next = segment.hello(0, 3);
    segment.run(ms(5));
    assert_eq!(segment.hosts[1].received.last(), Some(&next));
}

#[test]
fn of_too_many_members_the_most_silent_one_goes() {
    let mut segment = Segment::new(5, 2);
    segment.hello(1, 0);
    segment.run(ms(10));
    for number in 1..=MAX_MEMBERS {
        segment.restart(0);
        segment.hello(0, 0);
        segment.run(ms(5));
        let host = segment.tables(1);
        assert_eq!(host, ((number + 1).min(MAX_MEMBERS), 0));
        segment.log.clear();
    }
    segment.restart(0);
    segment.hello(0, 0);
    segment.run(ms(5));
    let last = segment.hello(0, 1);
    segment.run(ms(5));
    assert_eq!((segment.tables(1).0, segment.hosts[1].received.last()), (MAX_MEMBERS, Some(&last)));
}

#[test]
fn links_are_forgotten_with_their_sessions() {
    let mut segment = pair();
    segment.hosts[0].sealer.remove_link(LINK);
    segment.hello(0, 1);
    assert_eq!(segment.tables(0), (0, 0));
    segment.run(ms(10));
    assert_eq!(segment.tables(0), (1, 0));
}

#[test]
fn frames_that_are_too_long_are_refused() {
    let mut node = sealer(1);
    let mut out = vec![1, 2, 3];
    let long = vec![0; 65_517];
    assert_eq!(node.seal(LINK, Destination::Group, &long, &mut out), Err(DropReason::Unsealable));
    assert_eq!((out.as_slice(), node.counters().dropped(DropReason::Unsealable)), (&[1, 2, 3][..], 1));
    node.seal(LINK, Destination::Group, &long[1..], &mut out).unwrap();
    assert_eq!(out.len(), 3 + 65_516 + Sealer::OVERHEAD);
}

#[test]
fn no_secret_is_shown() {
    let node = sealer(1);
    let text = format!("{node:?}");
    let secret = key(0).to_text();
    assert!(!text.contains(secret.trim()), "{text}");
    let bytes = format!("{:?}", &hex::decode(secret.trim()).unwrap()[..4]);
    assert!(!text.contains(bytes.trim_matches(['[', ']'])), "{text}");
}

/// Everything that decides what a node does next, but the random numbers not yet drawn.
fn state(node: &Sealer) -> String {
    format!("{:?}", node.links)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_bit_is_refused_and_changes_nothing(len in 40..700usize, group: bool, known: bool, seed: u64) {
        let mut segment = pair();
        let mut rng = StdRng::from_seed([seed as u8; 32]);
        if !known {
            segment.restart(1);
        }
        let receiver = &mut segment.hosts[1].sealer;
        receiver.seal(LINK, Destination::Group, &[2, 1], &mut Vec::new()).unwrap();
        let before = state(receiver);
        let to = if group { Destination::Group } else { Destination::Station(station(1)) };
        let mut frame = Vec::new();
        segment.hosts[0].sealer.seal(LINK, to, &vec![5; len], &mut frame).unwrap();
        let receiver = &mut segment.hosts[1].sealer;
        for bit in (0..28 * 8).chain((0..50).map(|_| rng.random_range(28 * 8..frame.len() * 8))) {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(receiver.open(segment.now, LINK, station(0), &mut bad).is_err(), "bit {}", bit);
        }
        for cut in 0..frame.len() {
            let mut bad = frame[..cut].to_vec();
            prop_assert!(receiver.open(segment.now, LINK, station(0), &mut bad).is_err());
        }
        prop_assert_eq!(receiver.poll_transmit(&mut Vec::new()), None);
        prop_assert_eq!(state(receiver), before);
        let opened = receiver.open(segment.now, LINK, station(0), &mut frame).map(|inner| inner.map(|i| i.to_vec()));
        prop_assert_eq!(opened, if known { Ok(Some(vec![5; len])) } else { Err(DropReason::UnprovenSession) });
    }

    #[test]
    fn what_is_sealed_is_opened(frame in proptest::collection::vec(any::<u8>(), 0..2000), group: bool) {
        let mut segment = pair();
        let to = if group { Destination::Group } else { Destination::Station(station(1)) };
        segment.send(0, to, &frame);
        segment.run(ms(1));
        prop_assert_eq!(segment.hosts[1].received.last(), Some(&frame));
        let sealed = &segment.log.last().unwrap().frame;
        prop_assert!(sealed.len() <= frame.len() + Sealer::OVERHEAD + 63);
        prop_assert!(frame.len() < 8 || !sealed.windows(frame.len()).any(|part| part == frame));
    }

    #[test]
    fn arbitrary_bytes_are_survived(
        frames in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..200), any::<bool>()), 0..20),
    ) {
        let mut node = sealer(1);
        for (mut frame, sealed) in frames {
            if let (Some(start), true) = (frame.first_chunk_mut(), sealed) {
                *start = [2, 127, 0, 64];
            }
            prop_assert!(node.open(Instant::from_micros(1), LinkId(2), station(3), &mut frame).is_err());
        }
        prop_assert_eq!(node.poll_transmit(&mut Vec::new()), None);
    }
}
