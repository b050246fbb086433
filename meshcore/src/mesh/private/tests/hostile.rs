//! Somebody without the key, who records, replays, reflects, redirects and floods.

use super::super::config::{BURST, MAX_QUEUE, MAX_STRANGERS};
use super::segment::{LINK, Packet, Segment, inner, key, ms, sealer, station};
use super::{Sealer, pair};
use crate::mesh::DropReason;
use crate::types::{Destination, Instant, LinkId};
use crate::wire::frame::FrameType;
use crate::wire::sealed::{Content, Nonce, Proof};

const ATTACKER: usize = 99;

#[test]
fn open_and_foreign_frames_are_dropped_without_an_answer() {
    let mut segment = pair();
    let sent = segment.log.len();
    let open = inner(FrameType::Hello, 0, 0);
    assert_eq!(segment.deliver(1, station(0), open.clone()), Err(DropReason::NotSealed));
    assert_eq!(segment.deliver(1, station(0), Vec::new()), Err(DropReason::NotSealed));
    let mut foreign = Vec::new();
    Sealer::new(&key(1), [0; 32]).seal(LINK, Destination::Group, &open, &mut foreign).unwrap();
    assert_eq!(segment.deliver(1, station(0), foreign), Err(DropReason::BadTag));
    assert_eq!(segment.log.len(), sent);
}

#[test]
fn a_replayed_frame_is_dropped_from_any_station() {
    let mut segment = pair();
    segment.send(0, Destination::Station(station(1)), &inner(FrameType::Stream, 0, 0));
    segment.hello(0, 1);
    segment.run(ms(5));
    let before = segment.hosts[1].received.clone();
    let recorded: Vec<_> = segment.log.iter().filter(|packet| packet.from == station(0)).cloned().collect();
    assert!(recorded.len() > 4);
    let sent = segment.log.len();
    for packet in recorded {
        for from in [0, ATTACKER] {
            let result = segment.deliver(1, station(from), packet.frame.clone());
            assert_eq!(result, Err(DropReason::Replayed));
        }
    }
    // Nothing was answered, and nobody lost anything.
    assert_eq!((segment.log.len(), &segment.hosts[1].received), (sent, &before));
    assert_eq!(segment.tables(1), (1, 0));
}

#[test]
fn recorded_sessions_are_useless_later() {
    let mut segment = pair();
    for number in 0..50 {
        segment.send(0, Destination::Station(station(1)), &inner(FrameType::Stream, 0, number));
        segment.hello(1, number);
        segment.run(ms(20));
    }
    let recorded = std::mem::take(&mut segment.log);
    for host in 0..2 {
        segment.restart(host);
    }
    segment.hosts[0].stations.clear();
    segment.run(ms(60_000));
    // Everything once more, as it was, to a node that has forgotten it all. The other one is gone.
    let replayed: usize = recorded.iter().map(|packet| packet.frame.len()).sum();
    for packet in &recorded {
        let _ = segment.deliver(1, packet.from, packet.frame.clone());
        segment.run(ms(20));
    }
    assert!(segment.hosts[1].received.is_empty());
    assert_eq!(segment.tables(1).0, 0);
    let answered: usize = segment.log.iter().map(|packet| packet.frame.len()).sum();
    assert!(answered > 0 && answered * 5 < replayed, "{answered} of {replayed}");
}

#[test]
fn what_a_living_session_sent_earlier_is_useless_after_a_restart() {
    let mut segment = pair();
    let to = Destination::Station(station(1));
    for number in 0..50 {
        segment.send(0, to, &inner(FrameType::Stream, 0, number));
    }
    let recorded = segment.log.clone();
    segment.restart(1);
    // The sender answers the challenge, being alive: so it is believed, and its old frames are not.
    let result = segment.deliver(1, station(0), recorded[recorded.len() - 9].frame.clone());
    assert_eq!(result, Err(DropReason::UnprovenSession));
    segment.run(ms(10));
    assert_eq!(segment.tables(1).0, 1);
    segment.hosts[1].received.clear();
    for packet in recorded.iter().filter(|packet| packet.from == station(0)) {
        assert_eq!(segment.deliver(1, packet.from, packet.frame.clone()), Err(DropReason::Replayed));
    }
    assert!(segment.hosts[1].received.is_empty());
}

#[test]
fn overtaking_from_another_station_gains_nothing() {
    let mut segment = pair();
    let frame = inner(FrameType::Stream, 0, 0);
    segment.send(0, Destination::Station(station(1)), &frame);
    let sealed = segment.log.last().unwrap().frame.clone();
    // The attacker's copy is there first.
    assert_eq!(segment.deliver(1, station(ATTACKER), sealed), Err(DropReason::UnprovenStation));
    segment.run(ms(5));
    assert_eq!(segment.hosts[1].received.last(), Some(&frame));
    // A challenge went to the attacker, who cannot answer it.
    let challenge = segment.log.last().unwrap().clone();
    assert_eq!((challenge.to, challenge.frame.len()), (Destination::Station(station(ATTACKER)), 108));
    assert_eq!(segment.deliver(1, station(ATTACKER), challenge.frame), Err(DropReason::Reflected));
    let next = inner(FrameType::Stream, 0, 1);
    segment.send(0, Destination::Station(station(1)), &next);
    segment.run(ms(5));
    assert_eq!(segment.hosts[1].received.last(), Some(&next));
}

#[test]
fn an_answer_counts_only_from_the_station_that_was_asked() {
    let mut segment = Segment::new(1, 2);
    segment.hello(0, 0);
    segment.run(ms(2));
    let answer = segment.log.last().unwrap().clone();
    assert_eq!((answer.from, answer.to), (station(0), Destination::Station(station(1))));
    // It also carries a challenge, and so has an answer; but it proves nothing from there, and may prove it later.
    assert_eq!(segment.deliver(1, station(ATTACKER), answer.frame.clone()), Ok(false));
    assert_eq!(segment.tables(1).0, 0);
    segment.run(ms(1));
    assert_eq!(segment.tables(1).0, 1);
    assert_eq!(segment.deliver(1, station(0), answer.frame), Err(DropReason::Replayed));
}

#[test]
fn an_answer_that_comes_too_late_proves_nothing() {
    let mut segment = Segment::new(1, 2);
    segment.delay = ms(5100);
    segment.hello(0, 0);
    segment.run(ms(60_000));
    assert_eq!(segment.tables(1).0, 0);
    segment.delay = ms(10);
    segment.hello(0, 1);
    segment.run(ms(60_000));
    assert_eq!(segment.tables(1), (1, 0));
}

#[test]
fn an_answer_to_an_earlier_challenge_proves_nothing() {
    let mut segment = Segment::new(1, 2);
    segment.hello(0, 0);
    let hello = segment.log.last().unwrap().clone();
    segment.run(ms(2));
    let answer = segment.log.last().unwrap().clone();
    // The attacker keeps the answer back, and the node that gave it is gone when another challenge is drawn.
    segment.lose();
    segment.hosts[0].stations.clear();
    segment.run(ms(6000));
    for packet in [hello, answer.clone()] {
        assert_ne!(segment.deliver(1, packet.from, packet.frame), Ok(true));
    }
    assert_eq!(segment.dropped(1, DropReason::UnprovenSession), 2);
    assert_eq!(segment.tables(1).0, 0);
}

#[test]
fn a_member_that_asks_on_and_on_fills_no_more_than_the_queue() {
    let mut segment = pair();
    let to = segment.hosts[1].sealer.links[&LINK].outgoing.id;
    let asking = Proof { to, challenge: Some(Nonce([1; 16])), answer: None };
    let now = segment.now;
    for number in 0..MAX_QUEUE + 100 {
        let mut frame = Vec::new();
        let link = segment.hosts[0].sealer.links.get_mut(&LINK).unwrap();
        link.outgoing.seal(&Content::Proof(asking), &mut frame).unwrap();
        let result = segment.hosts[1].sealer.open(now, LINK, station(0), &mut frame);
        assert_eq!(result, if number < MAX_QUEUE { Ok(None) } else { Err(DropReason::QueueFull) });
    }
    let mut out = Vec::new();
    let sent = std::iter::from_fn(|| segment.hosts[1].sealer.poll_transmit(&mut out)).count();
    assert_eq!(sent, MAX_QUEUE);
}

#[test]
fn a_frame_that_was_held_back_is_useless_later() {
    let mut segment = pair();
    let to = Destination::Station(station(1));
    let mut held = |number| {
        let mut frame = Vec::new();
        let inner = inner(FrameType::Stream, 0, number);
        segment.hosts[0].sealer.seal(LINK, to, &inner, &mut frame).unwrap();
        frame
    };
    let frames = [held(0), held(1)];
    let last = segment.hello(0, 1);
    segment.run(ms(4990));
    assert_eq!(segment.hosts[1].received.last(), Some(&last));
    assert_eq!(segment.deliver(1, station(0), frames[0].clone()), Ok(true));
    segment.run(ms(20));
    assert_eq!(segment.deliver(1, station(0), frames[1].clone()), Err(DropReason::Replayed));
}

#[test]
fn reflected_frames_are_dropped() {
    let mut segment = pair();
    let own: Vec<_> = segment.log.iter().filter(|packet| packet.from == station(1)).cloned().collect();
    for packet in own {
        for from in [1, ATTACKER] {
            let result = segment.deliver(1, station(from), packet.frame.clone());
            assert_eq!(result, Err(DropReason::Reflected));
        }
        // Over another link of the same node as well.
        let now = segment.now;
        let mut frame = packet.frame;
        let result = segment.hosts[1].sealer.open(now, LinkId(2), station(1), &mut frame);
        assert_eq!(result, Err(DropReason::Reflected));
    }
}

/// Hands what a node has to send to another one, over a link.
fn forward(from: &mut Sealer, to: &mut Sealer, link: LinkId, at: usize) -> Vec<Result<bool, DropReason>> {
    let mut results = Vec::new();
    let mut frame = Vec::new();
    while from.poll_transmit(&mut frame).is_some() {
        let opened =
            to.open(Instant::from_micros(1), link, station(at), &mut frame).map(|inner| inner.is_some());
        results.push(opened);
        frame.clear();
    }
    results
}

#[test]
fn a_frame_of_one_link_is_useless_on_another() {
    let (mut a, mut b) = (sealer(1), sealer(2));
    let now = Instant::from_micros(1);
    for node in [&mut a, &mut b] {
        node.seal(LinkId(2), Destination::Group, &[2], &mut Vec::new()).unwrap();
    }
    let mut recorded = Vec::new();
    a.seal(LINK, Destination::Group, &inner(FrameType::Hello, 0, 0), &mut recorded).unwrap();
    // Both nodes have links 1 and 2; the frame of link 1 comes in over link 2.
    let result = b.open(now, LinkId(2), station(ATTACKER), &mut recorded);
    assert_eq!(result, Err(DropReason::UnprovenSession));
    // Even if the attacker carries the challenge to its sender: on link 2 that has another session.
    let results = forward(&mut b, &mut a, LinkId(2), ATTACKER);
    assert_eq!(results, [Err(DropReason::UnprovenSession)]);
    // The sender asks in turn, naming a session that lives on link 2: that is the beginning of a true acquaintance.
    assert_eq!(forward(&mut a, &mut b, LinkId(2), ATTACKER), [Ok(false)]);
}

#[test]
fn a_flood_of_dead_sessions_stays_bounded_and_hurts_nobody() {
    let mut segment = Segment::new(7, 3);
    for host in 0..2 {
        segment.hello(host, 0);
        segment.run(ms(10));
    }
    let (start, mut challenges) = (segment.now, 0);
    segment.log.clear();
    assert_eq!(segment.tables(1).0, 2);
    let mut joined = None;
    for number in 0..8000 {
        let mut dead = Vec::new();
        sealer(1_000_000 + number).seal(LINK, Destination::Group, &[2, 1], &mut dead).unwrap();
        let from = station(1000 + number as usize % 700);
        assert!(segment.deliver(1, from, dead).is_err());
        segment.now += ms(1) / 4;
        if number % 400 == 399 {
            // A member goes on, and one that has just started comes in.
            if number == 799 {
                segment.restart(2);
            }
            segment.hello(0, number as u32);
            segment.hello(2, number as u32);
            segment.hello(1, number as u32);
            challenges += segment.log.iter().filter(|packet| packet.from == station(1)).count();
            segment.log.clear();
            segment.run(ms(10));
            joined = joined.or((segment.tables(1).0 == 3).then_some(number));
        }
        assert!(segment.tables(1).1 <= MAX_STRANGERS);
    }
    let seconds = (segment.now - start).as_secs_f64();
    let bound = f64::from(BURST) + 500.0 * seconds;
    assert!(
        f64::from(BURST) < challenges as f64 && (challenges as f64) < bound + 100.0,
        "{challenges}, {bound}"
    );
    assert_eq!(segment.tables(1).1, MAX_STRANGERS);
    assert!(joined.is_some_and(|number| number < 2400), "{joined:?}");
    let last = segment.hello(0, 9999);
    segment.run(ms(10));
    assert_eq!(segment.hosts[1].received.last(), Some(&last));
}

#[test]
fn a_dead_session_is_challenged_ever_less_often() {
    let mut segment = Segment::new(8, 2);
    let mut dead = Vec::new();
    sealer(1).seal(LINK, Destination::Group, &[2, 1], &mut dead).unwrap();
    let mut times = Vec::new();
    let start = segment.now;
    for _ in 0..4500 {
        let before = segment.log.len();
        let _ = segment.deliver(1, station(ATTACKER), dead.clone());
        times.extend((segment.log.len() > before).then(|| (segment.now - start).as_millis()));
        segment.now += ms(1);
    }
    assert_eq!(times, [0, 100, 300, 700, 1500, 2300, 3100, 3900]);
}

#[test]
fn replayed_challenges_cause_no_more_than_they_cost() {
    let mut segment = Segment::new(9, 2);
    segment.hello(0, 0);
    segment.run(ms(1));
    let challenge = segment.log.last().unwrap().clone();
    assert_eq!(challenge.from, station(1));
    segment.hosts[1].stations.clear();
    segment.log.clear();
    // The challenger is gone; what it sent names a living session.
    for number in 0..1000 {
        let packet = Packet { from: station(ATTACKER + number % 3), ..challenge.clone() };
        segment.inject(packet);
        segment.run(ms(1));
    }
    let answers: Vec<_> = segment.log.iter().filter(|packet| packet.from == station(0)).collect();
    assert!((20..=3 * 21).contains(&answers.len()), "{}", answers.len());
    assert!(answers.iter().all(|packet| packet.frame.len() <= challenge.frame.len()));
    assert_eq!(segment.tables(0), (0, 4));
}
