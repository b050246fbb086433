//! Frames that travel, echoes, and paths that are found dead.

use super::forge::{Puppet, address, advert, seqno, station};
use super::routes::{introduce, sent_within, with_puppet};
use super::sim::{MTU, Sim, ms};
use super::{is_restarted, is_unreachable};
use crate::mesh::{DropReason, HEADER_LEN, Handled, LinkInfo, MeshEvent};
use crate::types::{Address, LinkId};
use crate::wire::echo::{Echo, EchoKind};
use crate::wire::frame::{FrameHeader, FrameType, TrafficClass};
use crate::wire::probe::Probe;

fn travelling(kind: FrameType, from: usize, to: usize, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = (address(from), address(to));
    let header = FrameHeader { kind, hop_limit, class: TrafficClass::Bulk, source, destination };
    [&header.emit(payload.len() as u16)[..], payload].concat()
}

fn is_change(event: &MeshEvent) -> bool {
    matches!(event, MeshEvent::RouteChanged { .. })
}

#[test]
fn a_frame_crosses_a_chain() {
    let mut sim = Sim::chain(1, 5);
    assert!(sim.all_reach_all());
    assert_eq!(sim.path(0, 4), [0, 1, 2, 3, 4]);
    let route = sim.hosts[0].mesh.route(address(4)).unwrap();
    assert_eq!((route.hops, route.metric, route.mtu), (4, 4 * 96, MTU - HEADER_LEN));
    assert!(sim.data(0, 4, b"hello"));
    sim.run(ms(20));
    assert_eq!(sim.hosts[4].deliveries, [(address(0), b"hello".to_vec())]);
    assert!(sim.hosts.iter().take(4).all(|host| host.deliveries.is_empty()));
}

#[test]
fn a_relay_passes_on_what_it_may_and_counts_the_rest() {
    let mut sim = Sim::chain(2, 3);
    let now = sim.now;
    let give = |sim: &mut Sim, from: usize, mut bytes: Vec<u8>| match sim.hosts[1].mesh.handle_frame(
        now,
        LinkId(1),
        station(from),
        &mut bytes,
    ) {
        Ok(Handled::Forward { hop, frame }) => Ok((hop.link, hop.to, frame.to_vec())),
        Err(reason) => Err(reason),
        other => panic!("{other:?}"),
    };
    let data = |hop_limit, payload: &[u8]| travelling(FrameType::Stream, 0, 2, hop_limit, payload);
    // Padding is cut off, and the hop limit counts down.
    let padded = [data(9, b"abc"), vec![0; 17]].concat();
    assert_eq!(give(&mut sim, 0, padded), Ok((LinkId(2), station(2), data(8, b"abc"))));
    assert_eq!(give(&mut sim, 0, data(1, b"abc")), Err(DropReason::HopLimitExceeded));
    assert_eq!(give(&mut sim, 0, data(9, &[0; MTU])), Err(DropReason::TooBig));
    // From somebody who does not count as a neighbour, perhaps as it has not heard of our restart.
    assert_eq!(give(&mut sim, 7, data(9, b"abc")), Err(DropReason::UnknownNeighbour));
    let nowhere = travelling(FrameType::Stream, 0, 9, 9, b"abc");
    assert_eq!(give(&mut sim, 0, nowhere), Err(DropReason::NoRoute));
    let everyone = [&data(9, b"abc")[..24], &[0xff; 16], b"abc"].concat();
    assert_eq!(give(&mut sim, 0, everyone), Err(DropReason::NotForUs));
    let mut unknown = data(9, b"abc");
    unknown[1] = 99;
    assert_eq!(give(&mut sim, 0, unknown), Err(DropReason::NotForUs));
    let hello = travelling(FrameType::Hello, 0, 1, 9, b"abc");
    assert_eq!(give(&mut sim, 0, hello), Err(DropReason::HopLimit));
    assert_eq!(sim.dropped(1, DropReason::NotForUs), 2);
}

#[test]
fn who_sends_to_a_dead_end_is_reminded_of_what_it_missed() {
    let (mut sim, puppet) = with_puppet();
    let before = sim.hosts[0].frames;
    let data = travelling(FrameType::Stream, 1, 9, 9, b"x");
    for _ in 0..100 {
        assert_eq!(sim.give(0, 0, puppet.node, &data), Err(DropReason::NoRoute));
    }
    assert_eq!(sim.hosts[0].frames - before, 32, "a burst of answers and no more");
}

#[test]
fn an_echo_tells_the_hops_one_by_one() {
    let mut sim = Sim::chain(3, 4);
    for hop_limit in 1..6 {
        let now = sim.now;
        let id = sim.hosts[0].mesh.echo(now, address(3), hop_limit).unwrap();
        sim.drain(0);
        sim.run(ms(50));
        let Some((_, MeshEvent::Echo { id: answered, from, arrived, rtt })) = sim.hosts[0].events.last()
        else {
            panic!("no answer")
        };
        let relay = address(usize::from(hop_limit).min(3));
        assert_eq!((*answered, *from, *arrived), (id, relay, hop_limit >= 3));
        assert!(*rtt > ms(0) && *rtt < ms(50));
    }
    let now = sim.now;
    assert_eq!(sim.hosts[0].mesh.echo(now, address(3), 0), None);
    assert_eq!(sim.hosts[0].mesh.echo(now, address(9), 9), None);
}

#[test]
fn echoes_are_answered_within_limits_and_forged_answers_ignored() {
    let (mut sim, puppet) = with_puppet();
    let echo = |kind, id| {
        let mut payload = Vec::new();
        Echo { kind, id }.emit(&mut payload);
        payload
    };
    let before = sim.hosts[0].frames;
    for id in 0..200 {
        let request = travelling(FrameType::Echo, 1, 0, 9, &echo(EchoKind::Request, id));
        let _ = sim.give(0, 0, puppet.node, &request);
    }
    assert_eq!(sim.dropped(0, DropReason::RateLimited), 200 - 64);
    assert!(sim.hosts[0].frames - before <= 64 + 1);
    let now = sim.now;
    let id = sim.hosts[0].mesh.echo(now, address(1), 9).unwrap();
    sim.drain(0);
    let answers = [
        travelling(FrameType::Echo, 1, 0, 9, &echo(EchoKind::Reply, id ^ 1)),
        travelling(FrameType::Echo, 1, 0, 9, &echo(EchoKind::Exceeded, id)),
        travelling(FrameType::Echo, 5, 0, 9, &echo(EchoKind::Reply, id)),
    ];
    for answer in answers {
        assert_eq!(sim.give(0, 0, puppet.node, &answer), Err(DropReason::Unsolicited));
    }
    let answer = travelling(FrameType::Echo, 1, 0, 9, &echo(EchoKind::Reply, id));
    assert_eq!(sim.give(0, 0, puppet.node, &answer), Ok(()));
    assert_eq!(sim.give(0, 0, puppet.node, &answer), Err(DropReason::Unsolicited));
}

/// 0 - 1 - 3 and 0 - 2 - 3.
fn square(seed: u64) -> Sim {
    let mut sim = Sim::new(seed);
    for segments in [[1, 2], [1, 3], [2, 4], [3, 4]] {
        sim.add(&segments);
    }
    sim.run(ms(5_000));
    assert!(sim.all_reach_all());
    sim
}

/// A frame every 50 ms from 0 to 3; gives the longest time without a delivery.
fn longest_gap(sim: &mut Sim, frames: usize, confirm: bool) -> u128 {
    let (mut last, mut longest) = (sim.now, 0);
    for _ in 0..frames {
        let before = sim.hosts[3].deliveries.len();
        sim.data(0, 3, b"x");
        sim.run(ms(50));
        if sim.hosts[3].deliveries.len() > before {
            longest = longest.max((sim.now - last).as_millis());
            last = sim.now;
            if confirm {
                sim.hosts[0].mesh.confirm_path(address(3));
            }
        }
    }
    longest.max((sim.now - last).as_millis())
}

#[test]
fn a_silent_next_hop_is_left_within_a_second() {
    for seed in 0..20 {
        let mut sim = square(seed);
        assert!(longest_gap(&mut sim, 20, true) <= 50);
        let relay = sim.path(0, 3)[1];
        sim.hosts[relay].up = false;
        assert!(longest_gap(&mut sim, 60, true) < 600, "seed {seed}");
        assert_eq!(sim.path(0, 3), [0, 3 - relay, 3]);
        let node = address(3);
        let count = |event: MeshEvent| sim.count(0, |e| *e == event);
        assert_eq!((count(MeshEvent::Unreachable { node }), count(MeshEvent::RouteChanged { node })), (0, 1));
    }
}

#[test]
fn a_relay_that_swallows_frames_is_avoided() {
    let mut sim = square(7);
    let relay = sim.path(0, 3)[1];
    sim.hosts[relay].swallows = true;
    let gap = longest_gap(&mut sim, 100, true);
    assert!((1_400..1_800).contains(&gap), "{gap} ms");
    assert_eq!(sim.path(0, 3), [0, 3 - relay, 3]);
}

#[test]
fn a_silent_neighbour_comes_back_with_its_first_answer() {
    let (mut sim, mut puppet) = with_puppet();
    let mut probes = Vec::new();
    for _ in 0..12 {
        let now = sim.now;
        sim.hosts[0].mesh.next_hop(now, address(1));
        puppet.hello(&mut sim);
        probes.extend(sent_within(&mut sim, FrameType::Probe, 100));
    }
    assert!(!sim.reaches(0, 1), "it says hello and does not answer");
    assert_eq!(sim.count(0, is_unreachable), 0, "not told before a second has passed");
    probes.extend(sent_within(&mut sim, FrameType::Probe, 1_000));
    assert!(probes.len() <= 6, "{} questions", probes.len());
    sim.drain(0);
    assert_eq!(sim.count(0, is_unreachable), 1);
    let mut answer = Vec::new();
    let nonce = Probe::parse(probes.last().unwrap()).unwrap().nonce;
    Probe { answer: true, nonce: nonce ^ 0x8000_0000 }.emit(&mut answer);
    assert_eq!(puppet.say(&mut sim, FrameType::Probe, address(0), &answer), Err(DropReason::Unsolicited));
    answer.clear();
    Probe { answer: true, nonce }.emit(&mut answer);
    puppet.say(&mut sim, FrameType::Probe, address(0), &answer).unwrap();
    assert!(sim.reaches(0, 1));
}

#[test]
fn probes_are_answered_to_neighbours_and_not_too_often() {
    let (mut sim, puppet) = with_puppet();
    let mut question = Vec::new();
    Probe { answer: false, nonce: 5 }.emit(&mut question);
    let ask = |sim: &mut Sim| puppet.say(sim, FrameType::Probe, address(0), &question);
    for _ in 0..8 {
        assert_eq!(ask(&mut sim), Ok(()));
    }
    assert_eq!(ask(&mut sim), Err(DropReason::RateLimited));
    sim.run(ms(20));
    assert_eq!((ask(&mut sim), ask(&mut sim)), (Ok(()), Err(DropReason::RateLimited)));
    let stranger = Puppet { node: 8, instance: 1, seqno: 0, version: 0 };
    let refused = stranger.say(&mut sim, FrameType::Probe, address(0), &question);
    assert_eq!(refused, Err(DropReason::UnknownNeighbour));
    let forged = Puppet { node: 1, ..stranger };
    assert_eq!(
        forged.say(&mut sim, FrameType::Probe, Address::EVERYONE, &question),
        Err(DropReason::NotForUs)
    );
}

#[test]
fn a_restart_behind_relays_is_told() {
    let mut sim = Sim::chain(8, 4);
    sim.restart(3, 3);
    sim.run(ms(2_000));
    assert_eq!((sim.count(0, is_restarted), sim.count(0, is_unreachable)), (1, 0));
    assert!(sim.all_reach_all());
}

#[test]
fn the_other_of_two_links_takes_over() {
    let mut sim = Sim::new(12);
    sim.add(&[0, 1]);
    sim.add(&[0, 1]);
    sim.run(ms(5_000));
    let now = sim.now;
    let first = sim.hosts[0].mesh.next_hop(now, address(1)).unwrap().link;
    sim.hosts[0].mesh.remove_link(now, first);
    sim.drain(0);
    let second = sim.hosts[0].mesh.next_hop(now, address(1)).unwrap().link;
    assert_ne!(first, second);
    assert!(sim.hosts[0].mesh.is_verified(address(1)));
    sim.hosts[0].mesh.remove_link(now, second);
    sim.drain(0);
    assert_eq!(sim.hosts[0].mesh.next_hop(now, address(1)), None);
    sim.run(ms(1_100));
    assert_eq!((sim.count(0, is_unreachable), sim.count(0, is_change)), (1, 1));
    // The interface comes back: nothing of before counts, and all is well in a moment.
    sim.hosts[0].mesh.add_link(sim.now, first, LinkInfo::new(MTU, true));
    sim.drain(0);
    sim.run(ms(50));
    assert!(sim.all_reach_all());
}

#[test]
fn routes_are_told_on_other_links_and_not_on_the_same_wire() {
    let (mut sim, mut puppet) = with_puppet();
    let now = sim.now;
    sim.hosts[0].mesh.add_link(now, LinkId(1), LinkInfo::new(MTU, true));
    puppet.update(&mut sim, 1, 2, &[advert(5, seqno(1, 0), 96)]).unwrap();
    introduce(&mut sim, 5, 1);
    let tell = |sim: &mut Sim, link: u32| {
        let mut out = Vec::new();
        let now = sim.now;
        let mesh = &mut sim.hosts[0].mesh;
        let scope = mesh.links[&LinkId(link)].scope;
        mesh.router.emit_refresh(now, scope, None, 1400, &mut out);
        out.windows(16).filter(|bytes| [address(1), address(5)].iter().any(|node| node.0 == **bytes)).count()
    };
    assert_eq!((tell(&mut sim, 0), tell(&mut sim, 1)), (0, 2));
}
