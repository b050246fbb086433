//! Neighbours come, stay and go.

use std::collections::BTreeSet;

use super::forge::{address, frame, heard, hello, station};
use super::sim::{MTU, Sim, ms};
use super::{is_restarted, is_unreachable};
use crate::mesh::config::{Config, DUPLICATE_WINDOW, REPORT_WINDOW};
use crate::mesh::output::Control;
use crate::mesh::{DropReason, HEADER_LEN, LinkInfo, MeshEvent, NextHop};
use crate::types::{Address, LinkId};
use crate::wire::frame::{FrameHeader, FrameType};
use crate::wire::hello::{ENTRY_LEN, FIXED_LEN, Heard, Hello};

fn pair(seed: u64) -> Sim {
    let mut sim = Sim::new(seed);
    sim.add(&[0]);
    sim.add(&[0]);
    sim.run(ms(5_000));
    sim
}

#[test]
fn two_nodes_find_each_other_in_milliseconds() {
    for seed in 0..50 {
        let mut sim = Sim::new(seed);
        sim.add(&[0]);
        sim.run(ms(12_345));
        sim.add(&[0]);
        // Hello, answer, answer; update, request, record.
        sim.run(ms(25));
        assert!(sim.all_reach_all());
        for host in 0..2 {
            let node = address(1 - host);
            let events: Vec<_> = sim.hosts[host].events.iter().map(|(_, event)| event).collect();
            assert!(matches!(events[0], MeshEvent::IdentityWanted { number: 1, .. }));
            assert!(matches!(events[1], MeshEvent::IdentityReceived { .. }));
            assert_eq!(events[2..], [&MeshEvent::Reachable { node }]);
        }
        let now = sim.now;
        let hop = sim.hosts[0].mesh.next_hop(now, address(1)).unwrap();
        assert_eq!(hop, NextHop { link: LinkId(0), to: station(1), mtu: MTU - HEADER_LEN });
    }
}

#[test]
fn two_idle_nodes_cost_less_than_100_bytes_a_second() {
    let mut sim = pair(1);
    let before: Vec<usize> = sim.hosts.iter().map(|host| host.bytes).collect();
    sim.run(ms(1_000_000));
    for (host, before) in sim.hosts.iter().zip(before) {
        assert!(host.bytes - before < 32_000, "{} bytes in 1000 s", host.bytes - before);
    }
}

/// The budget holds on UDP too, where the group hello goes out over IPv6 and over IPv4.
#[test]
fn an_idle_udp_link_costs_less_than_100_bytes_a_second() {
    let hello = HEADER_LEN + FIXED_LEN + ENTRY_LEN;
    let both = (14 + 40 + 8 + hello) + (14 + 20 + 8 + hello);
    assert!(both as f64 / Config::default().hello_interval.as_secs_f64() < 80.0);
}

#[test]
fn a_lossy_segment_stays_connected() {
    for seed in 0..10 {
        let mut sim = Sim::new(seed);
        (sim.loss, sim.duplication) = (0.1, 0.2);
        for _ in 0..6 {
            sim.add(&[0]);
        }
        sim.run(ms(30_000));
        assert!(sim.all_reach_all());
        for (a, b) in (0..6).flat_map(|a| (0..6).map(move |b| (a, b))) {
            assert!(a == b || sim.hosts[a].mesh.is_verified(address(b)), "{a} has no record of {b}");
        }
    }
}

#[test]
fn a_silent_neighbour_is_lost_after_three_and_a_half_intervals() {
    let mut sim = pair(3);
    sim.run(ms(15_000));
    sim.hosts[1].up = false;
    sim.run(ms(9_500));
    assert!(sim.reaches(0, 1));
    sim.run(ms(4_500));
    assert!(!sim.reaches(0, 1));
    sim.run(ms(1_000));
    assert_eq!(sim.count(0, is_unreachable), 1);
    sim.run(ms(100_000));
    let sizes = sim.hosts[0].mesh.sizes();
    assert_eq!((sizes.neighbours, sizes.destinations, sizes.routes, sizes.identities), (0, 0, 0, 0));
}

fn is_group_hello(header: &FrameHeader) -> bool {
    header.kind == FrameType::Hello && header.destination == Address::EVERYONE
}

#[test]
fn a_neighbour_whose_hellos_are_lost_is_asked_and_stays() {
    let mut sim = pair(6);
    sim.run(ms(15_000));
    sim.filter = |_, header, _| is_group_hello(header);
    let before = sim.hosts[0].frames;
    sim.run(ms(60_000));
    assert!(sim.reaches(0, 1) && sim.reaches(1, 0));
    assert_eq!(sim.count(0, is_unreachable), 0);
    assert!(sim.hosts[0].frames - before < 40, "{} frames", sim.hosts[0].frames - before);
    // Answers do not hide that no hello came.
    let rxcost = sim.hosts[0].mesh.links[&LinkId(0)].table.get(address(1)).unwrap().quality.rxcost();
    assert!(rxcost > 400, "{rxcost}");
}

#[test]
fn a_newcomer_is_asked_when_answers_were_lost() {
    let mut sim = Sim::new(7);
    sim.add(&[0]);
    sim.run(ms(9_000));
    sim.filter = |_, header, _| {
        header.kind == FrameType::Hello && !(is_group_hello(header) && header.source == address(1))
    };
    sim.add(&[0]);
    sim.run(ms(750));
    assert!(!sim.reaches(0, 1) && !sim.reaches(1, 0));
    sim.filter = |_, header, _| is_group_hello(header);
    sim.run(ms(1_000));
    assert!(sim.reaches(0, 1) && sim.reaches(1, 0), "the newcomer waits for its next hello");
}

#[test]
fn who_never_answers_is_asked_a_few_times() {
    let mut sim = Sim::new(8);
    sim.add(&[0]);
    sim.add(&[0]);
    sim.filter = |_, header, _| header.kind == FrameType::Hello && header.source == address(0);
    sim.run(ms(100_000));
    assert!(!sim.reaches(0, 1) && !sim.reaches(1, 0));
    // Each of its hellos, at least 3.6 s apart, is answered, and as often one's own is due; besides, there are the early
    // ones and those that ask.
    let hellos = 4 + 100_000 / 3_600;
    let frames = sim.hosts[0].frames;
    assert!((2 * (hellos - 4)..=2 * hellos + 6).contains(&frames), "{frames} frames");
}

#[test]
fn frames_of_data_keep_a_neighbour_whose_hellos_are_lost() {
    let mut sim = pair(4);
    sim.hosts[1].up = false;
    for _ in 0..2 {
        sim.run(ms(5_000));
        let data = frame(FrameType::Stream, address(1), address(0), b"data");
        sim.inject(0, LinkId(0), station(1), data);
    }
    sim.run(ms(8_000));
    assert!(sim.hosts[0].mesh.links[&LinkId(0)].table.get(address(1)).is_some());
}

#[test]
fn a_leaving_neighbour_is_lost_at_once_unless_it_is_heard() {
    let mut sim = pair(5);
    let now = sim.now;
    sim.hosts[1].mesh.leave(now);
    sim.drain(1);
    sim.run(ms(260));
    assert!(!sim.reaches(0, 1));
    let frames = sim.hosts[1].frames;
    sim.run(ms(100_000));
    assert_eq!(sim.hosts[1].frames, frames, "a node that left must be quiet");

    sim.restart(1, 1);
    sim.run(ms(25));
    assert!(sim.all_reach_all());
    // Somebody says that it leaves; but it does not.
    let forged = hello(address(1), sim.hosts[1].mesh.instance, 0, &[]);
    let at = sim.now;
    sim.inject(0, LinkId(0), station(1), forged);
    sim.run(ms(5_000));
    assert!(sim.reaches(0, 1));
    let away = sim.hosts[0].events.iter().filter(|(t, e)| *t > at && is_unreachable(e)).count();
    assert_eq!(away, 0, "its early hellos must have kept it");
}

#[test]
fn a_restart_is_noticed_and_healed() {
    for seed in 0..20 {
        let mut sim = pair(seed);
        sim.restart(1, 1);
        sim.run(ms(25));
        assert!(sim.all_reach_all());
        assert_eq!(sim.count(0, is_restarted), 1);
        sim.run(ms(60_000));
        assert_eq!((sim.count(0, is_unreachable), sim.count(0, is_restarted)), (0, 1));
    }
}

#[test]
fn a_restart_at_another_station_is_healed_within_a_second() {
    for seed in 0..20 {
        let mut sim = pair(seed);
        sim.restart(1, 77);
        sim.run(ms(1_000));
        let now = sim.now;
        assert_eq!(sim.hosts[0].mesh.next_hop(now, address(1)).map(|hop| hop.to), Some(station(77)));
        assert!(sim.reaches(1, 0));
        assert_eq!(sim.count(0, is_restarted), 1);
    }
}

#[test]
fn a_live_neighbour_keeps_its_station() {
    let mut sim = pair(6);
    for attempt in 0..500 {
        let instance = if attempt % 2 == 0 { attempt } else { sim.hosts[1].mesh.instance };
        let forged = hello(address(1), instance, 400, &[heard(&sim, 0, 0)]);
        sim.inject(0, LinkId(0), station(666), forged);
        sim.run(ms(17));
        let now = sim.now;
        assert_eq!(sim.hosts[0].mesh.next_hop(now, address(1)).map(|hop| hop.to), Some(station(1)));
    }
    assert_eq!(sim.count(0, is_restarted), 0);
    assert_eq!(sim.dropped(0, DropReason::AddressHeld), 500);
}

#[test]
fn only_who_lists_this_life_of_this_node_is_usable() {
    let mut sim = Sim::new(7);
    sim.add(&[0]);
    let usable = |sim: &Sim| sim.hosts[0].mesh.links[&LinkId(0)].table.usable_at(station(1)).is_some();
    let about = heard(&sim, 0, 0);
    let others = [
        Heard { seqno: about.seqno.wrapping_sub(REPORT_WINDOW), ..about },
        Heard { seqno: about.seqno.wrapping_add(1), ..about },
        Heard { instance: about.instance ^ 1, ..about },
        Heard { node: address(5), ..about },
    ];
    for (instance, heard) in others.into_iter().enumerate() {
        sim.give(0, 0, 1, &hello(address(1), instance as u64, 400, &[heard])).unwrap();
        assert!(!usable(&sim), "{heard:?}");
    }
    sim.give(0, 0, 1, &hello(address(1), 99, 400, &[about])).unwrap();
    assert!(usable(&sim));
}

#[test]
fn a_hello_counts_once() {
    let mut sim = Sim::new(8);
    sim.add(&[0]);
    let say = |sim: &mut Sim, seqno: u16| {
        let mut payload = Vec::new();
        Hello { seqno, interval: 400, instance: 5, version: 0, total: 0 }.emit([], &mut payload);
        sim.give(0, 0, 1, &frame(FrameType::Hello, address(1), Address::EVERYONE, &payload))
    };
    assert_eq!(say(&mut sim, 3), Ok(()));
    for late in 0..DUPLICATE_WINDOW {
        assert_eq!(say(&mut sim, 3u16.wrapping_sub(late)), Err(DropReason::DuplicateHello));
    }
    assert_eq!(say(&mut sim, 4), Ok(()));
}

#[test]
fn hellos_rotate_through_all_neighbours() {
    let mut sim = Sim::new(11);
    sim.add(&[0]);
    let now = sim.now;
    for id in 1..=130 {
        sim.give(0, 0, id, &hello(address(id), 1, 6000, &[])).unwrap();
    }
    let mut seen = BTreeSet::new();
    for round in 1..=4 {
        let mesh = &mut sim.hosts[0].mesh;
        mesh.push(Control::GroupHello { link: LinkId(0) });
        let mut out = Vec::new();
        mesh.poll_transmit(now, &mut out);
        let (_, payload) = FrameHeader::parse(&out).unwrap();
        assert!(payload.len() <= crate::wire::hello::MAX_LEN);
        let (hello, heard) = Hello::parse(payload).unwrap();
        assert_eq!(hello.total, 130);
        seen.extend(heard.iter().map(|heard| heard.node));
        assert_eq!(seen.len(), (40 * round).min(130));
    }
}

#[test]
fn a_hundred_nodes_on_a_segment() {
    const NODES: usize = 100;
    let mut sim = Sim::new(10);
    for _ in 0..NODES {
        sim.add(&[0]);
    }
    sim.run(ms(10_000));
    assert!(sim.all_reach_all());
    let start: Vec<(usize, usize)> = sim.hosts.iter().map(|host| (host.frames, host.bytes)).collect();
    sim.run(ms(30_000));
    for (host, (frames, bytes)) in sim.hosts.iter().zip(start) {
        assert!(host.frames - frames <= 11, "{} frames in 30 s", host.frames - frames);
        assert!(host.bytes - bytes <= 11_000, "{} bytes in 30 s", host.bytes - bytes);
        assert_eq!(host.events.iter().filter(|(_, e)| is_unreachable(e)).count(), 0);
    }
}

#[test]
fn a_node_has_64_links_and_uses_the_slots_again() {
    let mut sim = Sim::new(12);
    sim.add(&[]);
    let now = sim.now;
    let mesh = &mut sim.hosts[0].mesh;
    let info = LinkInfo::new(MTU, true);
    (0..70).for_each(|link| mesh.add_link(now, LinkId(link), info));
    assert_eq!(mesh.links.len(), 64);
    let slots =
        |mesh: &crate::mesh::Mesh| -> BTreeSet<u8> { mesh.links.values().map(|l| l.scope.slot).collect() };
    assert_eq!(slots(mesh).len(), 64);
    mesh.remove_link(now, LinkId(17));
    mesh.add_link(now, LinkId(99), info);
    assert_eq!(slots(mesh).len(), 64);
    assert_eq!(mesh.links[&LinkId(99)].scope.slot, 17);
}
