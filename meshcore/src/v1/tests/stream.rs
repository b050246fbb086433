//! Streams in both roles.

use proptest::prelude::*;

use super::sim::{MTU, Sim, address, ms, node};
use super::{NOW, WALL, events, frame, sent};
use crate::types::V1Address;
use crate::v1::{DropReason, V1, V1CloseReason, V1Destination, V1Error, V1Event, V1StreamId};
use crate::wire::v1::{FrameType, SEGMENT_HEADER_LEN, Segment, SegmentKind};

fn segment_of(body: &[u8]) -> (Segment, &[u8]) {
    Segment::parse(body).unwrap()
}

pub(super) fn segment(
    origin: V1Address,
    to: V1Address,
    id: u64,
    (stream, kind, seq, ack): (u16, SegmentKind, u32, u32),
    data: &[u8],
) -> Vec<u8> {
    let mut header = [0; SEGMENT_HEADER_LEN];
    Segment { stream, kind, seq, ack }.emit(&mut header);
    frame(FrameType::Message, origin, to, id, &[&header, data].concat())
}

fn data_of(events: &[V1Event]) -> Vec<u8> {
    let data = |event: &V1Event| {
        if let V1Event::StreamData { data, .. } = event { data.clone() } else { Vec::new() }
    };
    events.iter().flat_map(data).collect()
}

#[test]
fn a_server_answers_as_v1_demands() {
    let (mut v1, own, peer) = (node(1), address(1), address(2));
    let mut id = 100;
    let mut answer = |v1: &mut V1, fields, data: &[u8]| {
        id += 1;
        let mut frame = segment(peer, own, id, fields, data);
        frame.resize(frame.len().max(46), 0);
        v1.handle_frame(NOW, WALL, peer, &frame).unwrap();
        let frames = sent(v1);
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].0, frames[0].1.destination), (V1Destination::One(peer), peer));
        segment_of(&frames[0].2).0
    };
    let syn_ack = answer(&mut v1, (7, SegmentKind::Syn, u32::MAX, 0), &[]);
    assert_eq!((syn_ack.stream, syn_ack.kind, syn_ack.ack), (7, SegmentKind::SynAck, 0));
    let ours = syn_ack.seq.wrapping_add(1);
    let ack = answer(&mut v1, (7, SegmentKind::Data, 0, ours), b"ahoj\n");
    assert_eq!(ack, Segment { stream: 7, kind: SegmentKind::Ack, seq: ours, ack: 5 });
    v1.write(NOW, WALL, V1StreamId(1), b"hello").unwrap();
    let frames = sent(&mut v1);
    let data = Segment { stream: 7, kind: SegmentKind::Data, seq: ours, ack: 5 };
    assert_eq!(segment_of(&frames[0].2), (data, &b"hello"[..]));
    let ack = answer(&mut v1, (7, SegmentKind::Fin, 5, ours), &[]);
    assert_eq!(ack, Segment { stream: 7, kind: SegmentKind::Ack, seq: ours.wrapping_add(5), ack: 6 });
    let stream = V1StreamId(1);
    let expected = [
        V1Event::StreamOpened { stream, peer, by_peer: true },
        V1Event::StreamData { stream, data: b"ahoj\n".to_vec() },
        V1Event::StreamClosed { stream, reason: V1CloseReason::Peer },
    ];
    assert_eq!(events(&mut v1), expected);
    assert_eq!(v1.write(NOW, WALL, stream, b"x"), Err(V1Error::UnknownStream));
    // A FIN that comes again, for its ACK may have been lost.
    let ack = answer(&mut v1, (7, SegmentKind::Fin, 5, 77), &[]);
    assert_eq!((ack.seq, ack.ack), (77, 6));
}

#[test]
fn a_stream_can_be_closed_while_it_is_opened() {
    let (mut v1, own, peer) = (node(1), address(1), address(2));
    let stream = v1.connect(NOW, WALL, peer).unwrap();
    v1.close(NOW, WALL, stream).unwrap();
    assert_eq!(v1.close(NOW, WALL, stream), Err(V1Error::NotOpen));
    let frames = sent(&mut v1);
    let [syn, fin] = [0, 1].map(|index: usize| segment_of(&frames[index].2).0);
    assert_eq!((fin.kind, fin.stream, fin.seq), (SegmentKind::Fin, syn.stream, syn.seq.wrapping_add(1)));
    // The answer to the SYN comes too late, that to the FIN does not.
    let syn_ack = segment(peer, own, 1, (syn.stream, SegmentKind::SynAck, 5, fin.seq), &[]);
    assert_eq!(v1.handle_frame(NOW, WALL, peer, &syn_ack), Err(DropReason::UnexpectedSegment));
    let ack = segment(peer, own, 2, (syn.stream, SegmentKind::Ack, 6, fin.seq.wrapping_add(1)), &[]);
    v1.handle_frame(NOW, WALL, peer, &ack).unwrap();
    assert_eq!(events(&mut v1), [V1Event::StreamClosed { stream, reason: V1CloseReason::Here }]);
}

#[test]
fn a_client_talks_as_v1_demands() {
    let (mut v1, own, peer) = (node(1), address(1), address(2));
    let stream = v1.connect(NOW, WALL, peer).unwrap();
    assert_eq!(v1.write(NOW, WALL, stream, b"x"), Err(V1Error::NotOpen));
    let frames = sent(&mut v1);
    assert_eq!(frames[0].0, V1Destination::Everyone, "nobody has heard of the peer");
    let (syn, _) = segment_of(&frames[0].2);
    assert_eq!((syn.kind, syn.ack), (SegmentKind::Syn, 0));
    let (n, next) = (syn.stream, syn.seq.wrapping_add(1));
    for forged in [(n, next.wrapping_add(1)), (n.wrapping_add(1), next)] {
        let frame = segment(peer, own, 5, (forged.0, SegmentKind::SynAck, 9, forged.1), &[]);
        assert!(v1.handle_frame(NOW, WALL, peer, &frame).is_err());
    }
    v1.handle_frame(NOW, WALL, peer, &segment(peer, own, 6, (n, SegmentKind::SynAck, 9, next), &[])).unwrap();
    v1.write(NOW, WALL, stream, b"ahoj").unwrap();
    v1.close(NOW, WALL, stream).unwrap();
    let frames = sent(&mut v1);
    assert_eq!(frames.len(), 2, "a SYN|ACK is not answered");
    assert!(frames.iter().all(|(to, ..)| *to == V1Destination::One(peer)));
    let (data, text) = segment_of(&frames[0].2);
    assert_eq!(
        (data, text),
        (Segment { stream: n, kind: SegmentKind::Data, seq: next, ack: 10 }, &b"ahoj"[..])
    );
    let (fin, _) = segment_of(&frames[1].2);
    assert_eq!(fin, Segment { stream: n, kind: SegmentKind::Fin, seq: next.wrapping_add(4), ack: 10 });
    let ack = |id, ack| segment(peer, own, id, (n, SegmentKind::Ack, 10, ack), &[]);
    v1.handle_frame(NOW, WALL, peer, &ack(7, next.wrapping_add(4))).unwrap();
    assert_eq!(events(&mut v1).len(), 1);
    v1.handle_frame(NOW, WALL, peer, &ack(8, next.wrapping_add(5))).unwrap();
    assert_eq!(events(&mut v1), [V1Event::StreamClosed { stream, reason: V1CloseReason::Here }]);
}

#[test]
fn two_nodes_chat() {
    let mut sim = Sim::new(10, 2);
    sim.run(ms(300));
    let near = sim.at(0, |v1, now, wall| v1.connect(now, wall, address(1))).unwrap();
    sim.run(ms(10));
    let Some(V1Event::StreamOpened { stream: far, by_peer: true, .. }) = sim.hosts[1].events.last().cloned()
    else {
        panic!("{:?}", sim.hosts[1].events);
    };
    assert_eq!(
        sim.hosts[0].events.last(),
        Some(&V1Event::StreamOpened { stream: near, peer: address(1), by_peer: false })
    );
    let (long, short) = ("Žofie ".repeat(3000), "ok");
    sim.at(0, |v1, now, wall| v1.write(now, wall, near, long.as_bytes())).unwrap();
    sim.at(1, |v1, now, wall| v1.write(now, wall, far, short.as_bytes())).unwrap();
    sim.run(ms(10));
    assert_eq!(data_of(&sim.take_events(0)), short.as_bytes());
    let mut pieces = Vec::new();
    for event in sim.take_events(1) {
        if let V1Event::StreamData { data, .. } = event {
            pieces.push(String::from_utf8(data).unwrap());
        }
    }
    assert!(pieces.len() > long.len() / MTU);
    pieces.sort_unstable();
    assert_eq!(pieces.concat().len(), long.len());
    sim.at(1, |v1, now, wall| v1.close(now, wall, far)).unwrap();
    sim.run(ms(10));
    assert_eq!(sim.take_events(0), [V1Event::StreamClosed { stream: near, reason: V1CloseReason::Peer }]);
    assert_eq!(sim.take_events(1), [V1Event::StreamClosed { stream: far, reason: V1CloseReason::Here }]);
}

#[test]
fn a_stream_goes_through_others() {
    let mut sim = Sim::new(11, 3);
    sim.deaf = vec![(0, 2)];
    sim.duplication = 0.3;
    sim.run(ms(300));
    let near = sim.at(0, |v1, now, wall| v1.connect(now, wall, address(2))).unwrap();
    sim.run(ms(10));
    for line in ["one\n", "two\n", "three\n"] {
        sim.at(0, |v1, now, wall| v1.write(now, wall, near, line.as_bytes())).unwrap();
        sim.run(ms(10));
    }
    assert_eq!(data_of(&sim.hosts[2].events), b"one\ntwo\nthree\n");
    assert!(sim.hosts[1].events.iter().all(|event| matches!(event, V1Event::NodeFound { .. })));
}

#[test]
fn what_is_lost_is_missing_and_what_comes_twice_is_shown_once() {
    for seed in 0..30 {
        let mut sim = Sim::new(seed, 2);
        sim.run(ms(300));
        let near = sim.at(0, |v1, now, wall| v1.connect(now, wall, address(1))).unwrap();
        sim.run(ms(10));
        (sim.loss, sim.duplication, sim.delay) = (0.2, 0.5, ms(30));
        for line in 0..200 {
            let line = format!("{line};");
            sim.at(0, |v1, now, wall| v1.write(now, wall, near, line.as_bytes())).unwrap();
            sim.run(ms(10));
        }
        sim.run(ms(100));
        let shown = String::from_utf8(data_of(&sim.hosts[1].events)).unwrap();
        let mut lines: Vec<u32> = shown.split_terminator(';').map(|line| line.parse().unwrap()).collect();
        let in_order = lines.is_sorted();
        let arrived = lines.len();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), arrived, "shown twice");
        assert!((140..200).contains(&arrived) && !in_order, "{arrived} lines: the network did no harm");
    }
}

#[test]
fn data_that_overtakes_the_answer_to_syn_opens_the_stream() {
    let (mut v1, own, peer) = (node(1), address(1), address(2));
    let stream = v1.connect(NOW, WALL, peer).unwrap();
    let (syn, _) = segment_of(&sent(&mut v1)[0].2);
    let next = syn.seq.wrapping_add(1);
    v1.handle_frame(NOW, WALL, peer, &segment(peer, own, 5, (syn.stream, SegmentKind::Data, 1, next), b"hi"))
        .unwrap();
    let expected = [
        V1Event::StreamOpened { stream, peer, by_peer: false },
        V1Event::StreamData { stream, data: b"hi".to_vec() },
    ];
    assert_eq!(events(&mut v1), expected);
    let late = segment(peer, own, 4, (syn.stream, SegmentKind::SynAck, 0, next), &[]);
    assert_eq!(v1.handle_frame(NOW, WALL, peer, &late), Err(DropReason::UnexpectedSegment));
    assert!(events(&mut v1).is_empty());
}

#[test]
fn two_frames_of_one_millisecond_are_two() {
    let (mut v1, own, peer) = (node(1), address(1), address(2));
    v1.handle_frame(NOW, WALL, peer, &segment(peer, own, 5, (7, SegmentKind::Syn, 0, 0), &[])).unwrap();
    v1.handle_frame(NOW, WALL, peer, &segment(peer, own, 5, (7, SegmentKind::Data, 1, 0), b"at once"))
        .unwrap();
    v1.handle_frame(NOW, WALL, peer, &segment(peer, own, 5, (7, SegmentKind::Fin, 8, 0), &[])).unwrap();
    let told = events(&mut v1);
    assert_eq!(data_of(&told), b"at once");
    assert!(matches!(told.last(), Some(V1Event::StreamClosed { reason: V1CloseReason::Peer, .. })));
}

#[test]
fn nobody_answers_a_syn() {
    let mut sim = Sim::new(12, 1);
    let stream = sim.at(0, |v1, now, wall| v1.connect(now, wall, address(1))).unwrap();
    sim.run(ms(4900));
    assert!(sim.hosts[0].events.is_empty());
    sim.run(ms(200));
    assert_eq!(sim.hosts[0].events, [V1Event::StreamClosed { stream, reason: V1CloseReason::NoAnswer }]);
}

#[test]
fn nobody_answers_a_fin() {
    let mut sim = Sim::new(13, 2);
    let stream = sim.at(0, |v1, now, wall| v1.connect(now, wall, address(1))).unwrap();
    sim.run(ms(10));
    sim.hosts[1].up = false;
    sim.at(0, |v1, now, wall| v1.close(now, wall, stream)).unwrap();
    sim.run(ms(5100));
    assert_eq!(
        sim.hosts[0].events.last(),
        Some(&V1Event::StreamClosed { stream, reason: V1CloseReason::NoAnswer })
    );
}

#[test]
fn both_ends_close_at_once() {
    let mut sim = Sim::new(14, 2);
    let near = sim.at(0, |v1, now, wall| v1.connect(now, wall, address(1))).unwrap();
    sim.run(ms(10));
    sim.at(0, |v1, now, wall| v1.close(now, wall, near)).unwrap();
    sim.at(1, |v1, now, wall| v1.close(now, wall, V1StreamId(1))).unwrap();
    sim.run(ms(100));
    for host in 0..2 {
        let closed = |event: &V1Event| matches!(event, V1Event::StreamClosed { .. });
        assert_eq!(sim.hosts[host].events.iter().filter(|event| closed(event)).count(), 1);
    }
}

#[test]
fn a_silent_stream_is_closed_and_the_peer_is_told() {
    let mut sim = Sim::new(15, 2);
    let near = sim.at(0, |v1, now, wall| v1.connect(now, wall, address(1))).unwrap();
    sim.run(ms(10));
    let minute = ms(60_000);
    for _ in 0..3 {
        sim.run(minute * 14);
        sim.at(0, |v1, now, wall| v1.write(now, wall, near, b"still here")).unwrap();
    }
    sim.run(minute * 16);
    let reason =
        |event: &V1Event| if let V1Event::StreamClosed { reason, .. } = event { Some(*reason) } else { None };
    let reasons: Vec<_> = (0..2).filter_map(|host| sim.hosts[host].events.iter().find_map(reason)).collect();
    assert!(reasons.contains(&V1CloseReason::Idle), "{reasons:?}");
    assert_eq!(reasons.len(), 2);
}

#[test]
fn a_peer_that_starts_anew_gets_a_new_stream() {
    let (mut v1, own, peer) = (node(1), address(1), address(2));
    for id in [5, 6] {
        v1.handle_frame(NOW, WALL, peer, &segment(peer, own, id, (1, SegmentKind::Syn, 0, 0), &[])).unwrap();
    }
    let expected = [
        V1Event::StreamOpened { stream: V1StreamId(1), peer, by_peer: true },
        V1Event::StreamClosed { stream: V1StreamId(1), reason: V1CloseReason::Replaced },
        V1Event::StreamOpened { stream: V1StreamId(2), peer, by_peer: true },
    ];
    assert_eq!(events(&mut v1), expected);
    // With other numbers, its oldest one makes room.
    for number in 2..=5 {
        let frame = segment(peer, own, 10 + u64::from(number), (number, SegmentKind::Syn, 0, 0), &[]);
        v1.handle_frame(NOW + ms(number.into()), WALL, peer, &frame).unwrap();
    }
    let told = events(&mut v1);
    assert!(told.contains(&V1Event::StreamClosed { stream: V1StreamId(2), reason: V1CloseReason::Replaced }));
    assert_eq!(v1.streams.len(), 4);
}

#[test]
fn a_syn_that_was_taken_or_that_crosses_ours_is_dropped() {
    let (mut v1, own, peer) = (node(1), address(1), address(2));
    let syn = |id, number, seq| segment(peer, own, id, (number, SegmentKind::Syn, seq, 0), &[]);
    v1.handle_frame(NOW, WALL, peer, &syn(5, 1, 0)).unwrap();
    assert_eq!(v1.handle_frame(NOW, WALL, peer, &syn(5, 1, 9)), Err(DropReason::UnexpectedSegment));
    sent(&mut v1);
    v1.connect(NOW, WALL, peer).unwrap();
    let number = segment_of(&sent(&mut v1)[0].2).0.stream;
    assert_eq!(v1.handle_frame(NOW, WALL, peer, &syn(6, number, 0)), Err(DropReason::UnexpectedSegment));
    assert_eq!(events(&mut v1).len(), 1);
}

#[test]
fn a_write_that_does_not_fit_changes_nothing() {
    let (mut v1, own, peer) = (node(1), address(1), address(2));
    v1.handle_frame(NOW, WALL, peer, &segment(peer, own, 5, (1, SegmentKind::Syn, 0, 0), &[])).unwrap();
    let (syn_ack, _) = segment_of(&sent(&mut v1)[0].2);
    assert_eq!(v1.write(NOW, WALL, V1StreamId(1), &vec![b'x'; 257 * MTU]), Err(V1Error::Busy));
    assert!(sent(&mut v1).is_empty());
    v1.write(NOW, WALL, V1StreamId(1), b"").unwrap();
    v1.write(NOW, WALL, V1StreamId(1), b"x").unwrap();
    let frames = sent(&mut v1);
    assert_eq!((frames.len(), segment_of(&frames[0].2).0.seq), (1, syn_ack.seq.wrapping_add(1)));
}

#[test]
fn this_node_opens_no_more_than_four_streams_with_a_peer() {
    let mut v1 = node(1);
    let opened = (0..10).filter(|_| v1.connect(NOW, WALL, address(2)).is_ok()).count();
    assert_eq!(opened, 4);
    let opened = (0..100).filter(|index| v1.connect(NOW, WALL, address(10 + index)).is_ok()).count();
    assert_eq!(opened, 60);
    let numbers: std::collections::BTreeSet<u16> =
        sent(&mut v1).iter().take(4).map(|(.., body)| segment_of(body).0.stream).collect();
    assert_eq!(numbers.len(), 4);
}

proptest! {
    /// Whatever segments come, from whomever, in whatever order: nothing panics, and every stream ends once.
    #[test]
    fn arbitrary_segments(
        steps in proptest::collection::vec(
            (0..3usize, 0..3u16, prop::sample::select(vec![1u8, 2, 3, 4, 8]), any::<u32>(), 0..20usize, 0..4u8, 0..20_000u64),
            0..200,
        ),
    ) {
        let (mut v1, own) = (node(0), address(0));
        let mut now = NOW;
        let mut opened = 0;
        let mut closed = std::collections::BTreeSet::new();
        for (id, (peer, number, flags, seq, len, command, pause)) in steps.into_iter().enumerate() {
            now += ms(pause);
            let peer = address(peer);
            match command {
                0 => drop(v1.connect(now, WALL, peer)),
                1 => drop(v1.write(now, WALL, V1StreamId(seq.into()), b"x")),
                2 => drop(v1.close(now, WALL, V1StreamId(opened))),
                _ => {
                    let body = [&number.to_be_bytes()[..], &[flags], &seq.to_be_bytes(), &seq.to_be_bytes(), &vec![b'x'; len]];
                    let frame = frame(FrameType::Message, peer, own, id as u64, &body.concat());
                    let _ = v1.handle_frame(now, WALL, peer, &frame);
                }
            }
            v1.handle_timeout(now, WALL);
            super::sim::check_bounds(&v1);
            sent(&mut v1);
            for event in events(&mut v1) {
                match event {
                    V1Event::StreamOpened { stream, .. } => opened = opened.max(stream.0),
                    V1Event::StreamClosed { stream, .. } => prop_assert!(closed.insert(stream)),
                    V1Event::StreamData { stream, .. } => prop_assert!(!closed.contains(&stream)),
                    _ => {}
                }
            }
        }
    }
}
