//! Peers that lie, flood and repeat.

use proptest::prelude::*;

use super::sim::{OUTSIDER, Sim, address, check_bounds, ms, node};
use super::stream::segment;
use super::{NOW, WALL, events, frame, handshake, sent};
use crate::types::{UnixTime, V1Address};
use crate::v1::{DropReason, V1, V1CloseReason, V1Destination, V1Event, V1StreamId};
use crate::wire::v1::{FrameHeader, FrameType, HEADER_LEN, SegmentKind};

fn made_up(index: u32) -> V1Address {
    let [a, b, c, d] = index.to_be_bytes();
    V1Address([0x06, 0xee, a, b, c, d])
}

#[test]
fn a_forged_acknowledgement_delivers_nothing() {
    let mut v1 = node(1);
    let (own, peer, other) = (address(1), address(2), address(3));
    let id = v1.send(NOW, WALL, peer, "secret").unwrap();
    let status = |origin, id: u64, text: &str| frame(FrameType::Status, origin, own, id, text.as_bytes());
    let ack = format!("ACK:{}", id.0);
    let forgeries = [
        (other, status(other, 1, &ack)),
        (peer, status(peer, 2, &format!("ACK:{}", id.0 + 1))),
        (peer, status(peer, 3, &format!("{ack}x"))),
        (peer, status(peer, 4, "ACK:")),
        (peer, frame(FrameType::Status, peer, V1Address::EVERYONE, 5, ack.as_bytes())),
    ];
    for (from, forgery) in forgeries {
        assert_eq!(v1.handle_frame(NOW, WALL, from, &forgery), Err(DropReason::UnexpectedStatus));
    }
    assert!(events(&mut v1).is_empty());
    v1.handle_frame(NOW, WALL, peer, &status(peer, 6, &ack)).unwrap();
    assert_eq!(events(&mut v1), [V1Event::Delivered { id }]);
    assert_eq!(v1.handle_frame(NOW, WALL, peer, &status(peer, 7, &ack)), Err(DropReason::UnexpectedStatus));
}

#[test]
fn this_nodes_own_frames_are_not_taken_from_others() {
    let mut v1 = node(1);
    let (own, peer) = (address(1), address(2));
    for (from, origin, destination) in [
        (own, own, V1Address::EVERYONE),
        (peer, own, own),
        (peer, own, peer),
        (own, peer, own),
        (own, peer, address(3)),
    ] {
        let result = v1.handle_frame(NOW, WALL, from, &handshake(origin, destination, 1));
        assert_eq!(result, Err(DropReason::OwnAddress));
    }
    assert!(sent(&mut v1).is_empty() && events(&mut v1).is_empty());
}

#[test]
fn floods_of_made_up_origins_are_bounded_and_others_go_on() {
    let (mut v1, own, friend) = (node(1), address(1), address(2));
    let mut now = NOW;
    for round in 0..2 {
        v1.handle_frame(now, WALL, friend, &handshake(friend, V1Address::EVERYONE, round)).unwrap();
        now += ms(5000);
    }
    let mut sent_frames = 0;
    for index in 0..100_000 {
        now += std::time::Duration::from_micros(100);
        let (origin, id) = (made_up(index), u64::from(index));
        let flood = match index % 5 {
            0 => handshake(origin, V1Address::EVERYONE, id),
            1 => handshake(origin, own, id),
            2 => frame(FrameType::Message, origin, own, id, b"spam"),
            3 => segment(origin, own, id, (1, SegmentKind::Syn, 0, 0), &[]),
            _ => frame(FrameType::Message, origin, address(9), id, b"spam"),
        };
        let _ = v1.handle_frame(now, WALL, origin, &flood);
        v1.handle_timeout(now, WALL);
        check_bounds(&v1);
        if index % 5000 == 0 {
            let hello = handshake(friend, V1Address::EVERYONE, 1000 + id);
            v1.handle_frame(now, WALL, friend, &hello).unwrap();
            let message = frame(FrameType::Message, friend, own, 2000 + id, b"real");
            v1.handle_frame(now, WALL, friend, &message).unwrap();
            let relayed = frame(FrameType::Message, friend, address(9), 3000 + id, b"real");
            v1.handle_frame(now, WALL, friend, &relayed).unwrap();
        }
        sent_frames += sent(&mut v1).len();
    }
    let told = events(&mut v1);
    let real = |event: &&V1Event| matches!(event, V1Event::Message { text, .. } if text == "real");
    assert_eq!(told.iter().filter(real).count(), 20);
    assert!(!told.contains(&V1Event::NodeLost { node: friend }));
    // Ten seconds at the rates of the buckets: 20 handshakes, 20 messages and SYNs, 50 rebroadcasts a second.
    assert!(sent_frames < 64 + 10 * (20 + 20 + 50) + 100, "{sent_frames} frames in answer to the flood");
    assert!(told.len() < 2000, "{} events", told.len());
}

#[test]
fn a_node_in_use_cannot_be_pushed_out() {
    let (mut v1, own) = (node(1), address(1));
    let (streaming, awaited, idle) = (address(2), address(3), address(4));
    for friend in [streaming, awaited, idle] {
        v1.handle_frame(NOW, WALL, friend, &handshake(friend, V1Address::EVERYONE, 1)).unwrap();
    }
    v1.handle_frame(NOW, WALL, streaming, &segment(streaming, own, 2, (1, SegmentKind::Syn, 0, 0), &[]))
        .unwrap();
    v1.send(NOW, WALL, awaited, "are you there?").unwrap();
    for index in 0..5000 {
        let (origin, now) = (made_up(index), NOW + ms(10 * u64::from(index)));
        let _ = v1.handle_frame(now, WALL, origin, &handshake(origin, V1Address::EVERYONE, 1));
    }
    let known = |address| v1.nodes(NOW).any(|node| node.address == address);
    assert_eq!([streaming, awaited, idle].map(known), [true, true, false]);
}

#[test]
fn made_up_streams_push_out_neither_used_ones_nor_our_own() {
    let (mut v1, own, friend) = (node(1), address(1), address(2));
    let ours = v1.connect(NOW, WALL, address(3)).unwrap();
    v1.handle_frame(NOW, WALL, friend, &segment(friend, own, 1, (1, SegmentKind::Syn, 0, 0), &[])).unwrap();
    v1.handle_frame(NOW, WALL, friend, &segment(friend, own, 2, (1, SegmentKind::Data, 1, 0), b"hi"))
        .unwrap();
    let theirs = V1StreamId(2);
    let mut now = NOW;
    for index in 0..4000 {
        now += ms(1);
        let origin = made_up(index);
        let _ =
            v1.handle_frame(now, WALL, origin, &segment(origin, own, 1, (1, SegmentKind::Syn, 0, 0), &[]));
        check_bounds(&v1);
        sent(&mut v1);
    }
    assert_eq!(v1.streams.len(), 64);
    let closed = |stream| V1Event::StreamClosed { stream, reason: V1CloseReason::Replaced };
    let told = events(&mut v1);
    assert!(!told.contains(&closed(ours)) && !told.contains(&closed(theirs)));
    assert!(told.contains(&closed(V1StreamId(3))));
    // When every stream is in use, newcomers are refused.
    let streams: Vec<_> = (0..4000).map(made_up).collect();
    for origin in streams {
        let _ =
            v1.handle_frame(now, WALL, origin, &segment(origin, own, 2, (1, SegmentKind::Data, 1, 0), b"x"));
        sent(&mut v1);
    }
    let late = segment(made_up(9999), own, 1, (1, SegmentKind::Syn, 0, 0), &[]);
    assert_eq!(v1.handle_frame(now + ms(9999), WALL, made_up(9999), &late), Err(DropReason::TableFull));
}

#[test]
fn two_rebroadcasting_nodes_do_not_play_ping_pong() {
    for seed in 0..10 {
        let mut sim = Sim::new(seed, 3);
        (sim.duplication, sim.delay) = (0.5, ms(5));
        sim.run(ms(300));
        sim.wire.clear();
        for id in 0..50 {
            let header = FrameHeader {
                kind: FrameType::Message,
                origin: made_up(id),
                destination: made_up(1_000_000),
                ttl: 255,
                id: 1,
            };
            let mut bytes = [0; HEADER_LEN];
            header.emit(&mut bytes);
            sim.transmit(OUTSIDER, made_up(id), V1Destination::Everyone, &bytes);
            sim.run(ms(50));
        }
        sim.run(ms(2000));
        let count = |host| sim.wire.iter().filter(|(by, header)| *by == host && header.ttl > 200).count();
        assert_eq!([count(0), count(1), count(2)], [50, 50, 50], "each rebroadcasts each frame once");
    }
}

#[test]
fn a_flood_does_not_make_relays_forget() {
    let mut sim = Sim::new(1, 2);
    sim.run(ms(300));
    let looping = frame(FrameType::Message, made_up(0), made_up(1_000_000), 1, b"round and round");
    for round in 0..3000u32 {
        let origin = made_up(1 + round);
        let flood = frame(FrameType::Message, origin, made_up(1_000_000), 1, b"flood");
        sim.transmit(OUTSIDER, origin, V1Destination::Everyone, &flood);
        sim.transmit(OUTSIDER, made_up(0), V1Destination::Everyone, &looping);
        sim.run(ms(3));
    }
    for host in 0..2 {
        let passed =
            |origin| sim.wire.iter().filter(|(by, header)| *by == host && header.origin == origin).count();
        assert_eq!(passed(made_up(0)), 1);
        let all = sim.wire.iter().filter(|(by, header)| *by == host && header.origin.0[0] == 0x06).count();
        assert!((400..=12 + 9 * 50 + 50).contains(&all), "{all} rebroadcasts in nine seconds");
    }
}

#[test]
fn replayed_messages_are_shown_once() {
    let (mut v1, own, friend) = (node(1), address(1), address(2));
    let message = |id| frame(FrameType::Message, friend, own, id, b"pay 5");
    v1.handle_frame(NOW, WALL, friend, &message(1)).unwrap();
    let mut padded = message(1);
    padded.resize(46, 0);
    for replay in [&message(1), &padded] {
        for from in [friend, address(3)] {
            assert_eq!(v1.handle_frame(NOW, WALL, from, replay), Err(DropReason::Duplicate));
        }
    }
    // Nobody else makes this node forget.
    for index in 0..10_000 {
        let flood = frame(FrameType::Message, address(4), own, index, b"spam");
        let _ = v1.handle_frame(NOW + ms(50 * index), WALL, address(4), &flood);
        sent(&mut v1);
    }
    assert_eq!(v1.handle_frame(NOW + ms(600_000), WALL, friend, &message(1)), Err(DropReason::Duplicate));
    v1.handle_frame(NOW + ms(600_000), WALL, friend, &message(2)).unwrap();
}

#[test]
fn a_frame_forged_in_advance_does_not_suppress_the_real_one() {
    let (mut v1, own, friend) = (node(1), address(1), address(2));
    v1.handle_frame(NOW, WALL, address(3), &frame(FrameType::Message, friend, own, 7, b"forged")).unwrap();
    v1.handle_frame(NOW, WALL, friend, &frame(FrameType::Message, friend, own, 7, b"real")).unwrap();
    v1.handle_frame(NOW, WALL, friend, &frame(FrameType::Broadcast, friend, own, 7, b"real")).unwrap();
    v1.handle_frame(NOW, WALL, friend, &frame(FrameType::Message, friend, V1Address::EVERYONE, 7, b"real"))
        .unwrap();
    assert_eq!(events(&mut v1).len(), 4);
}

#[test]
fn what_is_not_acknowledged_is_not_shown() {
    let (mut v1, own, friend) = (node(1), address(1), address(2));
    for id in 0..1000 {
        let _ = v1.handle_frame(NOW, WALL, friend, &frame(FrameType::Message, friend, own, id, b"flood"));
    }
    assert_eq!((sent(&mut v1).len(), events(&mut v1).len()), (32, 32));
    v1.handle_frame(NOW + ms(50), WALL, friend, &frame(FrameType::Message, friend, own, 999, b"flood"))
        .unwrap();
}

#[test]
fn what_cannot_be_answered_is_not_taken() {
    let (mut v1, own, friend) = (node(1), address(1), address(2));
    v1.handle_frame(NOW, WALL, friend, &segment(friend, own, 1, (1, SegmentKind::Syn, 0, 0), &[])).unwrap();
    while v1.broadcast(NOW, WALL, "all of you").is_ok() {}
    events(&mut v1);
    let frames = [
        frame(FrameType::Message, friend, own, 2, b"text"),
        frame(FrameType::Message, friend, address(3), 3, b"text"),
        segment(friend, own, 4, (2, SegmentKind::Syn, 0, 0), &[]),
        segment(friend, own, 5, (1, SegmentKind::Data, 1, 0), b"x"),
        segment(friend, own, 6, (1, SegmentKind::Fin, 2, 0), &[]),
    ];
    for frame in &frames {
        assert_eq!(v1.handle_frame(NOW, WALL, friend, frame), Err(DropReason::QueueFull));
    }
    assert!(events(&mut v1).is_empty());
    sent(&mut v1);
    for frame in &frames {
        v1.handle_frame(NOW, WALL, friend, frame).unwrap();
    }
    assert_eq!((sent(&mut v1).len(), events(&mut v1).len()), (5, 4));
}

#[test]
fn answers_to_handshakes_are_limited() {
    let (mut v1, own) = (node(1), address(1));
    for index in 0..60 {
        let origin = made_up(index);
        v1.handle_frame(NOW, WALL, origin, &handshake(origin, own, 1)).unwrap();
    }
    assert_eq!((sent(&mut v1).len(), v1.nodes(NOW).count()), (32, 60));
    let late = made_up(60);
    v1.handle_frame(NOW + ms(50), WALL, late, &handshake(late, own, 1)).unwrap();
    assert_eq!(sent(&mut v1).len(), 1);
}

#[test]
fn what_comes_on_streams_is_limited() {
    let (mut v1, own, friend) = (node(1), address(1), address(2));
    // A FIN is answered without a stream, but not without end.
    for id in 0..1000 {
        let fin = segment(friend, own, id, (9, SegmentKind::Fin, 0, 0), &[]);
        let _ = v1.handle_frame(NOW, WALL, friend, &fin);
    }
    assert_eq!(sent(&mut v1).len(), 32);
    let now = NOW + ms(5000);
    v1.handle_frame(now, WALL, friend, &segment(friend, own, 1, (1, SegmentKind::Syn, 0, 0), &[])).unwrap();
    sent(&mut v1);
    events(&mut v1);
    let mut acks = 0;
    for id in 0..1000u32 {
        let data = segment(friend, own, id.into(), (1, SegmentKind::Data, id, 0), b"x");
        let _ = v1.handle_frame(now, WALL, friend, &data);
        acks += sent(&mut v1).len();
    }
    assert_eq!((acks, events(&mut v1).len()), (512, 512));
}

#[test]
fn an_undrained_node_stays_within_its_queue() {
    let (mut v1, own, friend) = (node(1), address(1), address(2));
    v1.handle_frame(NOW, WALL, friend, &segment(friend, own, 0, (1, SegmentKind::Syn, 0, 0), &[])).unwrap();
    let mut results = Vec::new();
    for id in 1..1000u32 {
        let data = segment(friend, own, id.into(), (1, SegmentKind::Data, id, 0), b"x");
        results.push(v1.handle_frame(NOW, WALL, friend, &data));
        v1.handle_timeout(NOW + ms(5000 * u64::from(id)), WALL);
        check_bounds(&v1);
    }
    assert!(results.contains(&Err(DropReason::QueueFull)));
    let shown = events(&mut v1).iter().filter(|event| matches!(event, V1Event::StreamData { .. })).count();
    let acks = sent(&mut v1).iter().filter(|(_, header, _)| header.kind == FrameType::Message).count();
    assert_eq!(shown + 1, acks, "what was shown was acknowledged, as was the SYN");
}

#[test]
fn a_clock_that_jumps_does_no_harm() {
    let mut sim = Sim::new(9, 2);
    sim.run(ms(300));
    let mut last = 0;
    for clock in [1_732_255_200_000, 5, u64::MAX / 2, 0, 1_732_255_200_000, u64::MAX - 10_000_000] {
        sim.hosts[0].clock = clock;
        let text = format!("at {clock}");
        let id = sim.at(0, |v1, now, wall| v1.send(now, wall, address(1), &text)).unwrap();
        assert!(id.0 > last);
        last = id.0;
        sim.run(ms(1000));
        assert_eq!(sim.hosts[0].events.last(), Some(&V1Event::Delivered { id }));
        assert_eq!(sim.texts(1).last(), Some(&text.as_str()));
    }
    sim.run(ms(20_000));
    assert_eq!((sim.known(0), sim.known(1)), (1, 1));
}

#[test]
fn the_end_of_message_ids_and_strange_frames() {
    let (mut v1, own, friend) = (node(1), address(1), address(2));
    v1.handle_frame(
        NOW,
        UnixTime::from_millis(u64::MAX),
        friend,
        &frame(FrameType::Message, friend, own, u64::MAX, b"\xff\xfe"),
    )
    .unwrap();
    let text = events(&mut v1);
    assert_eq!(text, [V1Event::Message { from: friend, text: "\u{fffd}\u{fffd}".into(), to_all: false }]);
    let to_all = segment(friend, V1Address::EVERYONE, 5, (1, SegmentKind::Syn, 0, 0), &[]);
    assert_eq!(v1.handle_frame(NOW, WALL, friend, &to_all), Err(DropReason::Malformed));
    let unknown = frame(FrameType::Unknown(9), friend, address(3), 6, b"x");
    assert_eq!(v1.handle_frame(NOW, WALL, friend, &unknown), Err(DropReason::UnknownType));
    let long = frame(FrameType::Message, friend, address(3), 7, &[b'x'; 1478]);
    assert_eq!(v1.handle_frame(NOW, WALL, friend, &long), Err(DropReason::TooLong));
    for (kind, reason) in [
        (SegmentKind::Data, DropReason::UnknownStream),
        (SegmentKind::Ack, DropReason::UnknownStream),
        (SegmentKind::SynAck, DropReason::UnknownStream),
    ] {
        let stray = segment(friend, own, 8, (1, kind, 0, 0), b"x");
        assert_eq!(v1.handle_frame(NOW, WALL, friend, &stray), Err(reason));
    }
}

proptest! {
    #[test]
    fn arbitrary_frames(
        frames in proptest::collection::vec(
            (0..4u8, 0..6u8, 0..4usize, 0..4usize, 0..4u8, 0..4u64, proptest::collection::vec(any::<u8>(), 0..60), 0..5000u64),
            0..100,
        ),
    ) {
        let mut v1: V1 = node(0);
        let mut now = NOW;
        for (raw, kind, origin, destination, ttl, id, body, pause) in frames {
            now += ms(pause);
            let destination = if destination == 3 { V1Address::EVERYONE } else { address(destination) };
            let mut header = [0; HEADER_LEN];
            FrameHeader { kind: kind.into(), origin: address(origin), destination, ttl, id }.emit(&mut header);
            let payload = if raw == 0 { body } else { [&header[..], &body].concat() };
            let before = (v1.queue.len(), v1.events.len());
            if v1.handle_frame(now, WALL, address(origin), &payload).is_err() {
                prop_assert_eq!((v1.queue.len(), v1.events.len()), before);
            }
            v1.handle_timeout(now, WALL);
            check_bounds(&v1);
            prop_assert!(v1.poll_timeout() > Some(now));
            for (_, header, _) in sent(&mut v1) {
                let ttl = FrameHeader::parse(&payload).map(|(received, _)| received.ttl);
                prop_assert!(header.origin == address(0) || ttl == Ok(header.ttl + 1));
            }
        }
    }
}
