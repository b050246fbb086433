//! Nodes among themselves; [`hostile`] has those that do not play by the rules.

mod hostile;
mod sim;
mod stream;

use crate::types::{Instant, UnixTime, V1Address};
use crate::v1::{V1, V1Destination, V1Error, V1Event, V1MessageId};
use crate::wire::v1::{FrameHeader, FrameType, HEADER_LEN};
use sim::{Sim, address, ms, node};

const NOW: Instant = Instant::from_micros(1_000_000);
const WALL: UnixTime = UnixTime::from_millis(1_732_255_200_000);

fn frame(kind: FrameType, origin: V1Address, destination: V1Address, id: u64, body: &[u8]) -> Vec<u8> {
    let mut header = [0; HEADER_LEN];
    FrameHeader { kind, origin, destination, ttl: 3, id }.emit(&mut header);
    [&header, body].concat()
}

fn handshake(origin: V1Address, destination: V1Address, id: u64) -> Vec<u8> {
    frame(FrameType::Handshake, origin, destination, id, &[])
}

/// What a node wants to send.
fn sent(v1: &mut V1) -> Vec<(V1Destination, FrameHeader, Vec<u8>)> {
    let mut all = Vec::new();
    let mut frame = Vec::new();
    while let Some(to) = v1.poll_transmit(&mut frame) {
        let (header, body) = FrameHeader::parse(&frame).unwrap();
        all.push((to, header, body.to_vec()));
        frame.clear();
    }
    all
}

fn events(v1: &mut V1) -> Vec<V1Event> {
    std::iter::from_fn(|| v1.poll_event()).collect()
}

#[test]
fn the_first_handshake_is_sent_at_once_and_then_every_five_seconds() {
    let mut v1 = node(1);
    let mut now = NOW;
    assert!(v1.poll_timeout() <= Some(now));
    for round in 0..4 {
        v1.handle_timeout(now, WALL);
        let frames = sent(&mut v1);
        assert_eq!(frames.len(), 1, "round {round}");
        let (to, header, body) = &frames[0];
        assert_eq!(
            (*to, header.destination, header.kind),
            (V1Destination::Everyone, V1Address::EVERYONE, FrameType::Handshake)
        );
        assert!(body.is_empty() && header.ttl == 1);
        let next = v1.poll_timeout().unwrap();
        assert_eq!(next - now, ms(5000));
        now = next;
    }
}

#[test]
fn a_new_node_is_answered_and_an_answer_ends() {
    let mut sim = Sim::new(1, 2);
    sim.hosts[1].up = false;
    sim.run(ms(3000));
    sim.hosts[1].up = true;
    sim.run(ms(300));
    assert_eq!((sim.known(0), sim.known(1)), (1, 1), "found before the next handshake is due");
    let directed =
        |sim: &Sim| sim.wire.iter().filter(|(_, header)| header.destination != V1Address::EVERYONE).count();
    assert_eq!(directed(&sim), 2, "an answer, and its answer");
    sim.run(ms(60_000));
    assert_eq!(directed(&sim), 2);
}

#[test]
fn a_handshake_for_us_is_answered_with_one() {
    let mut v1 = node(1);
    let (peer, own) = (address(2), address(1));
    v1.handle_frame(NOW, WALL, peer, &handshake(peer, own, 5)).unwrap();
    let frames = sent(&mut v1);
    assert_eq!(frames.len(), 1);
    assert_eq!(
        (frames[0].0, frames[0].1.kind, frames[0].1.destination),
        (V1Destination::One(peer), FrameType::Handshake, peer)
    );
    assert_eq!(events(&mut v1), [V1Event::NodeFound { node: peer }]);
    // A program that answers answers does not keep us busy.
    for id in 6..100 {
        v1.handle_frame(NOW + ms(id), WALL, peer, &handshake(peer, own, id)).unwrap();
    }
    assert!(sent(&mut v1).is_empty());
    v1.handle_frame(NOW + ms(1100), WALL, peer, &handshake(peer, own, 100)).unwrap();
    assert_eq!(sent(&mut v1).len(), 1);
}

#[test]
fn a_whole_segment_that_starts_at_once_finds_itself_without_a_storm() {
    let hosts = 40;
    let mut sim = Sim::new(2, hosts);
    sim.run(ms(4900));
    assert!((0..hosts).all(|host| sim.known(host) == hosts - 1));
    let most = sim.hosts.iter().map(|host| host.sent).max().unwrap();
    assert!(most <= 1 + 32 + 100, "{most} frames of one host");
    sim.run(ms(10_000));
    let before: usize = sim.hosts.iter().map(|host| host.sent).sum();
    sim.run(ms(50_000));
    let after: usize = sim.hosts.iter().map(|host| host.sent).sum();
    assert_eq!(after - before, hosts * 10, "at rest there are only handshakes to everyone");
}

#[test]
fn a_silent_node_is_lost() {
    let mut sim = Sim::new(3, 2);
    sim.run(ms(100));
    sim.hosts[1].up = false;
    sim.run(ms(17_300));
    assert_eq!(sim.known(0), 1);
    sim.run(ms(300));
    assert_eq!(sim.known(0), 0);
    let node = address(1);
    assert_eq!(sim.take_events(0), [V1Event::NodeFound { node }, V1Event::NodeLost { node }]);
    sim.hosts[1].up = true;
    sim.run(ms(300));
    assert_eq!(sim.take_events(0), [V1Event::NodeFound { node }]);
}

#[test]
fn a_message_is_delivered_and_acknowledged() {
    let mut sim = Sim::new(4, 3);
    sim.run(ms(300));
    let id = sim.at(0, |v1, now, wall| v1.send(now, wall, address(1), "Žofie: ahoj\n")).unwrap();
    assert_eq!(sim.wire.last().unwrap().1.id, id.0);
    sim.run(ms(100));
    assert_eq!(sim.hosts[0].events.last(), Some(&V1Event::Delivered { id }));
    let message = V1Event::Message { from: address(0), text: "Žofie: ahoj\n".into(), to_all: false };
    assert_eq!(sim.hosts[1].events.last(), Some(&message));
    assert!(sim.texts(2).is_empty());
    sim.run(ms(20_000));
    assert!(!sim.hosts[0].events.contains(&V1Event::Failed { id }), "both delivered and failed");
}

#[test]
fn a_message_to_nobody_fails() {
    let mut sim = Sim::new(5, 2);
    let id = sim.at(0, |v1, now, wall| v1.send(now, wall, address(7), "hello?")).unwrap();
    sim.run(ms(4900));
    assert!(!sim.hosts[0].events.contains(&V1Event::Failed { id }));
    sim.run(ms(200));
    assert_eq!(sim.hosts[0].events.last(), Some(&V1Event::Failed { id }));
}

#[test]
fn a_broadcast_reaches_everyone_and_nobody_answers() {
    let mut sim = Sim::new(6, 4);
    sim.run(ms(300));
    sim.wire.clear();
    sim.at(0, |v1, now, wall| v1.broadcast(now, wall, "all of you")).unwrap();
    sim.run(ms(100));
    for host in 1..4 {
        let message = V1Event::Message { from: address(0), text: "all of you".into(), to_all: true };
        assert_eq!(sim.hosts[host].events.last(), Some(&message));
    }
    assert_eq!(sim.wire.len(), 1);
}

#[test]
fn nodes_that_do_not_hear_each_other_talk_through_others() {
    for seed in 0..20 {
        let mut sim = Sim::new(seed, 4);
        sim.duplication = 0.3;
        sim.deaf = vec![(0, 2), (0, 3), (1, 3)];
        sim.run(ms(6000));
        let id = sim.at(0, |v1, now, wall| v1.send(now, wall, address(3), "far away")).unwrap();
        sim.run(ms(100));
        assert_eq!(sim.texts(3), ["far away"]);
        assert_eq!(sim.hosts[0].events.last(), Some(&V1Event::Delivered { id }));
    }
}

#[test]
fn an_answer_takes_the_way_of_the_frame_or_a_known_shorter_one() {
    let (mut v1, own, peer, relay) = (node(1), address(1), address(2), address(3));
    let answer = |v1: &mut V1, now, from, id| {
        v1.handle_frame(now, WALL, from, &frame(FrameType::Message, peer, own, id, b"ahoj")).unwrap();
        let (to, header, _) = sent(v1).remove(0);
        assert_eq!((header.kind, header.destination, header.ttl), (FrameType::Status, peer, 8));
        to
    };
    assert_eq!(answer(&mut v1, NOW, relay, 1), V1Destination::Everyone);
    assert_eq!(answer(&mut v1, NOW, peer, 2), V1Destination::One(peer));
    v1.handle_frame(NOW, WALL, peer, &handshake(peer, V1Address::EVERYONE, 3)).unwrap();
    assert_eq!(answer(&mut v1, NOW + ms(17_000), relay, 4), V1Destination::One(peer));
    assert_eq!(answer(&mut v1, NOW + ms(17_500), relay, 5), V1Destination::Everyone);
    assert_eq!(v1.nodes(NOW + ms(17_500)).map(|node| node.direct).collect::<Vec<_>>(), [false]);
}

#[test]
fn what_is_for_another_node_is_rebroadcast_while_its_ttl_lasts() {
    let mut v1 = node(1);
    for (ttl, expected) in [(255, Some(254)), (1, Some(0)), (0, None)] {
        let header = FrameHeader {
            kind: FrameType::Status,
            origin: address(2),
            destination: address(3),
            ttl,
            id: u64::from(ttl),
        };
        let mut bytes = [0; HEADER_LEN];
        header.emit(&mut bytes);
        let frame = [&bytes[..], b"ACK:5\0\0"].concat();
        let result = v1.handle_frame(NOW, WALL, address(2), &frame);
        assert_eq!(result.is_ok(), expected.is_some());
        let passed_on: Vec<_> = expected
            .map(|ttl| (V1Destination::Everyone, FrameHeader { ttl, ..header }, b"ACK:5\0\0".to_vec()))
            .into_iter()
            .collect();
        assert_eq!(sent(&mut v1), passed_on);
    }
    assert!(events(&mut v1).is_empty());
}

#[test]
fn a_text_that_v1_cannot_carry_is_refused() {
    let mut v1 = node(1);
    let to = address(2);
    let long = "x".repeat(v1.max_text_len());
    assert!(v1.send(NOW, WALL, to, &long).is_ok());
    assert_eq!(v1.send(NOW, WALL, to, &format!("{long}x")), Err(V1Error::TooLong { len: 1478, max: 1477 }));
    assert_eq!(v1.send(NOW, WALL, to, ""), Err(V1Error::Empty));
    assert_eq!(v1.send(NOW, WALL, address(1), "x"), Err(V1Error::OwnAddress));
    assert_eq!(v1.send(NOW, WALL, V1Address::EVERYONE, "x"), Err(V1Error::NotAStation));
    assert_eq!(v1.connect(NOW, WALL, V1Address([0xff; 6])), Err(V1Error::NotAStation));
    for text in ["ab\u{1}defghijklm", "end\0", "\u{1b}[1m", "\u{7f}"] {
        assert_eq!(v1.send(NOW, WALL, to, text), Err(V1Error::ControlCharacter));
        assert_eq!(v1.broadcast(NOW, WALL, text), Err(V1Error::ControlCharacter));
    }
    assert!(v1.broadcast(NOW, WALL, "a\tb\r\nc and more").is_ok());
    assert_eq!(sent(&mut v1).len(), 2);
}

#[test]
fn commands_are_refused_when_too_much_is_under_way() {
    let mut v1 = node(1);
    let sent_ids: Vec<V1MessageId> =
        (0..300).filter_map(|_| v1.send(NOW, WALL, address(2), "x").ok()).collect();
    assert_eq!(sent_ids.len(), 256);
    assert_eq!(v1.broadcast(NOW, WALL, "x"), Err(V1Error::Busy));
    assert_eq!(v1.connect(NOW, WALL, address(2)), Err(V1Error::Busy));
    assert_eq!(sent(&mut v1).len(), 256);
    // The queue is empty now, but as many still wait for their acknowledgement.
    assert_eq!(v1.send(NOW, WALL, address(2), "x"), Err(V1Error::Busy));
    assert!(v1.broadcast(NOW, WALL, "x").is_ok());
    v1.handle_timeout(NOW + ms(5000), WALL);
    assert_eq!(events(&mut v1), sent_ids.iter().map(|id| V1Event::Failed { id: *id }).collect::<Vec<_>>());
    assert!(v1.send(NOW + ms(5000), WALL, address(2), "x").is_ok());
}

#[test]
fn the_smallest_interface_still_carries_something() {
    let mut v1 = V1::new(address(1), 0, [0; 32]);
    assert_eq!(v1.max_text_len(), 23);
    v1.send(NOW, WALL, address(2), &"x".repeat(23)).unwrap();
}

#[test]
fn loss_and_repetition_show_in_the_status_and_nothing_is_shown_twice() {
    for seed in 0..30 {
        let mut sim = Sim::new(seed, 5);
        (sim.loss, sim.duplication, sim.delay) = (0.2, 0.3, ms(20));
        sim.run(ms(12_000));
        let mut ids = Vec::new();
        for round in 0..100 {
            let from = round % 5;
            let text = format!("message {round}");
            ids.push((
                from,
                sim.at(from, |v1, now, wall| v1.send(now, wall, address((from + 1) % 5), &text)).unwrap(),
            ));
            sim.run(ms(100));
        }
        sim.run(ms(6000));
        let mut shown: Vec<String> = (0..5).flat_map(|host| sim.texts(host)).map(str::to_owned).collect();
        let arrived = shown.len();
        shown.sort();
        shown.dedup();
        assert_eq!(shown.len(), arrived, "shown twice");
        let mut delivered = 0;
        for (from, id) in ids {
            let events = &sim.hosts[from].events;
            let count = |event: V1Event| events.iter().filter(|other| **other == event).count();
            let (good, bad) = (count(V1Event::Delivered { id }), count(V1Event::Failed { id }));
            assert_eq!(good + bad, 1, "one outcome");
            delivered += good;
        }
        assert!(delivered <= arrived && delivered > 40, "{delivered} delivered, {arrived} arrived");
    }
}
