//! The mesh under a seeded simulation.

mod sim;
mod steps;

use std::collections::BTreeSet;

use super::config::*;
use super::*;
use crate::wire::hello::{ENTRY_LEN, FIXED_LEN, Hello};
use sim::{MTU, Sim, address, frame, ms, station};

fn is_restarted(event: &MeshEvent) -> bool {
    matches!(event, MeshEvent::Restarted { .. })
}

fn is_unreachable(event: &MeshEvent) -> bool {
    matches!(event, MeshEvent::Unreachable { .. })
}

fn is_record(event: &MeshEvent) -> bool {
    matches!(event, MeshEvent::IdentityReceived { .. })
}

#[test]
fn two_nodes_find_each_other_in_milliseconds() {
    for seed in 0..50 {
        let mut sim = Sim::new(seed);
        sim.add(&[0]);
        sim.run(ms(12_345));
        sim.add(&[0]);
        sim.run(ms(10));
        assert!(sim.reaches(0, 1) && sim.reaches(1, 0));
        for host in 0..2 {
            let peer = address(1 - host);
            let events: Vec<_> = sim.hosts[host].events.iter().map(|(_, event)| event.clone()).collect();
            assert_eq!(
                events,
                [
                    MeshEvent::Reachable { node: peer, number: 1 },
                    MeshEvent::IdentityReceived { node: peer, record: vec![1; 900] }
                ]
            );
        }
        let hop = sim.hosts[0].mesh.next_hop(address(1)).unwrap();
        assert_eq!(hop, NextHop { link: LinkId(0), to: station(1), mtu: MTU - HEADER_LEN });
    }
}

#[test]
fn an_idle_link_costs_less_than_100_bytes_a_second() {
    let mut sim = Sim::new(1);
    sim.add(&[0]);
    sim.add(&[0]);
    sim.run(ms(2000));
    let before: Vec<usize> = sim.hosts.iter().map(|host| host.bytes).collect();
    sim.run(ms(1_000_000));
    for (host, before) in sim.hosts.iter().zip(before) {
        assert!(host.bytes - before < 35_000, "{} bytes in 1000 s", host.bytes - before);
    }
}

/// The budget holds on UDP too, where the group hello goes out over IPv6 and over IPv4.
#[test]
fn an_idle_udp_link_costs_less_than_100_bytes_a_second() {
    let hello = HEADER_LEN + FIXED_LEN + ENTRY_LEN;
    let both = (14 + 40 + 8 + hello) + (14 + 20 + 8 + hello);
    assert!(both as f64 / Config::default().hello_interval.as_secs_f64() < 100.0);
}

#[test]
fn a_lossy_segment_stays_connected() {
    for seed in 0..20 {
        let mut sim = Sim::new(seed);
        (sim.loss, sim.duplication) = (0.1, 0.2);
        for _ in 0..6 {
            sim.add(&[0]);
        }
        sim.run(ms(30_000));
        for (a, b) in (0..6).flat_map(|a| (0..6).map(move |b| (a, b))).filter(|(a, b)| a != b) {
            assert!(sim.reaches(a, b), "{a} does not reach {b}");
            assert!(sim.hosts[a].mesh.is_verified(address(b)), "{a} has no record of {b}");
        }
    }
}

#[test]
fn a_silent_neighbour_is_lost_after_three_and_a_half_intervals() {
    let mut sim = Sim::new(3);
    sim.add(&[0]);
    sim.add(&[0]);
    sim.run(ms(20_000));
    sim.hosts[1].up = false;
    sim.run(ms(7_000));
    assert!(sim.reaches(0, 1));
    sim.run(ms(4_000));
    assert!(!sim.reaches(0, 1));
    assert_eq!(sim.count(0, is_unreachable), 1);
    assert!(sim.hosts[0].mesh.peers.is_empty());
    assert!(sim.hosts[0].mesh.timers.next().is_some());
}

#[test]
fn data_frames_keep_a_neighbour_whose_hellos_are_lost() {
    let mut sim = Sim::new(4);
    sim.add(&[0]);
    sim.add(&[0]);
    sim.run(ms(5_000));
    sim.hosts[1].up = false;
    for _ in 0..2 {
        sim.run(ms(3_000));
        let data = frame(FrameType::Stream, address(1), address(0), b"data");
        sim.inject(0, LinkId(0), station(1), data);
    }
    sim.run(ms(4_000));
    assert!(sim.hosts[0].mesh.links[&LinkId(0)].table.get(address(1)).is_some());
}

#[test]
fn a_leaving_neighbour_is_lost_at_once_unless_it_is_heard() {
    let mut sim = Sim::new(5);
    sim.add(&[0]);
    sim.add(&[0]);
    sim.run(ms(5_000));
    let now = sim.now;
    sim.hosts[1].mesh.leave(now);
    sim.drain(1);
    sim.run(ms(260));
    assert!(!sim.reaches(0, 1));
    let frames = sim.hosts[1].frames;
    sim.run(ms(20_000));
    assert_eq!(sim.hosts[1].frames, frames, "a node that left must be quiet");

    sim.restart(1, 1);
    sim.run(ms(10));
    assert!(sim.reaches(0, 1) && sim.reaches(1, 0));
    // Somebody says that it leaves; but it does not.
    let instance = sim.hosts[1].mesh.instance;
    let forged = sim.hello(address(1), instance, 0, &[]);
    let at = sim.now;
    sim.inject(0, LinkId(0), station(1), forged);
    sim.run(ms(5_000));
    assert!(sim.reaches(0, 1));
    let away: Vec<_> = sim.hosts[0].events.iter().filter(|(t, e)| *t > at && is_unreachable(e)).collect();
    assert!(away.is_empty(), "its early hellos must have kept it: {away:?}");
}

#[test]
fn a_restart_is_noticed_and_healed() {
    for seed in 0..20 {
        let mut sim = Sim::new(seed);
        sim.add(&[0]);
        sim.add(&[0]);
        sim.run(ms(5_000));
        sim.restart(1, 1);
        sim.run(ms(10));
        assert!(sim.reaches(0, 1) && sim.reaches(1, 0));
        assert_eq!(sim.count(0, is_restarted), 1);
        sim.run(ms(60_000));
        assert_eq!(sim.count(0, is_unreachable), 0);
        assert_eq!(sim.count(0, is_restarted), 1);
    }
}

#[test]
fn a_restart_at_another_station_is_healed_within_a_second() {
    for seed in 0..20 {
        let mut sim = Sim::new(seed);
        sim.add(&[0]);
        sim.add(&[0]);
        sim.run(ms(5_000));
        sim.restart(1, 77);
        sim.run(ms(1_000));
        assert_eq!(sim.hosts[0].mesh.next_hop(address(1)).map(|hop| hop.to), Some(station(77)));
        assert!(sim.reaches(1, 0));
        assert_eq!(sim.count(0, is_restarted), 1);
    }
}

#[test]
fn a_live_neighbour_keeps_its_station() {
    let mut sim = Sim::new(6);
    sim.add(&[0]);
    sim.add(&[0]);
    sim.run(ms(5_000));
    for attempt in 0..2000 {
        let listed = [(address(0), sim.seqno(0, 0))];
        let instance = if attempt % 2 == 0 { attempt } else { sim.hosts[1].mesh.instance };
        let forged = sim.hello(address(1), instance, 300, &listed);
        sim.inject(0, LinkId(0), station(666), forged);
        sim.run(ms(17));
        assert_eq!(sim.hosts[0].mesh.next_hop(address(1)).map(|hop| hop.to), Some(station(1)));
    }
    assert_eq!(sim.count(0, is_restarted), 0);
    assert_eq!(sim.dropped(0, DropReason::AddressHeld), 2000);
}

#[test]
fn one_way_links_are_not_used() {
    let mut sim = Sim::new(7);
    sim.add(&[0]);
    let now_instance = 9;
    for _ in 0..10 {
        // Somebody who does not hear us, or guesses the seqno wrongly, is heard.
        let stale = [(address(0), sim.seqno(0, 0).wrapping_sub(REPORT_WINDOW))];
        for heard in [&[][..], &stale] {
            let hello = sim.hello(address(1), now_instance, 300, heard);
            sim.inject(0, LinkId(0), station(1), hello);
        }
        sim.run(ms(1000));
        assert!(!sim.reaches(0, 1));
    }
}

#[test]
fn a_flood_of_made_up_nodes_leaves_live_neighbours_alone() {
    let mut sim = Sim::new(8);
    sim.add(&[0]);
    sim.add(&[0]);
    sim.run(ms(5_000));
    let start = sim.hosts[0].bytes;
    for step in 0..200 {
        let listed = [(address(0), sim.seqno(0, 0))];
        for n in 0..100 {
            let id = 1000 + step * 100 + n;
            let forged = sim.hello(address(id), id as u64, 300, &listed);
            let now = sim.now;
            let _ = sim.hosts[0].mesh.handle_frame(now, LinkId(0), station(id), &mut forged.clone());
            sim.drain(0);
        }
        sim.run(ms(50));
        let mesh = &sim.hosts[0].mesh;
        assert!(sim.reaches(0, 1) && sim.reaches(1, 0));
        assert!(mesh.links[&LinkId(0)].table.len() <= MAX_UNVERIFIED + 1);
        assert!(mesh.peers.len() <= MAX_UNVERIFIED + 1);
        assert!(mesh.queue.is_empty() && mesh.events.is_empty());
    }
    assert_eq!(sim.count(0, |e| matches!(e, MeshEvent::Unreachable { node } if *node == address(1))), 0);
    let sent = sim.hosts[0].bytes - start;
    assert!(sent < 200_000, "{sent} bytes in 10 s under a flood");
    // When the flood ends, newcomers are let in again and the strangers are forgotten.
    sim.add(&[0]);
    sim.run(ms(15_000));
    assert!(sim.reaches(0, 2) && sim.reaches(2, 0));
    assert_eq!(sim.hosts[0].mesh.peers.len(), 2);
}

#[test]
fn verified_neighbours_fill_the_table_and_no_more() {
    let mut sim = Sim::new(9);
    sim.add(&[0]);
    let now = sim.now;
    for id in 1..=MAX_NEIGHBOURS + 50 {
        let mut hello = sim.hello(address(id), 1, 6000, &[]);
        let mesh = &mut sim.hosts[0].mesh;
        let result = mesh.handle_frame(now, LinkId(0), station(id), &mut hello);
        assert_eq!(result.is_ok(), id <= MAX_NEIGHBOURS);
        mesh.identity_known(now, address(id), 1);
    }
    assert_eq!(sim.dropped(0, DropReason::TableFull), 50);
    assert_eq!(sim.hosts[0].mesh.links[&LinkId(0)].table.len(), MAX_NEIGHBOURS);
}

#[test]
fn two_hundred_nodes_on_a_segment() {
    const NODES: usize = 200;
    let mut sim = Sim::new(10);
    for _ in 0..NODES {
        sim.add(&[0]);
    }
    sim.run(ms(10_000));
    for a in 0..NODES {
        for b in (0..NODES).filter(|b| *b != a) {
            assert!(sim.reaches(a, b), "{a} does not reach {b}");
            assert!(sim.hosts[a].mesh.is_verified(address(b)), "{a} has no record of {b}");
        }
    }
    let start: Vec<(usize, usize)> = sim.hosts.iter().map(|host| (host.frames, host.bytes)).collect();
    sim.run(ms(12_000));
    for (host, (frames, bytes)) in sim.hosts.iter().zip(start) {
        assert!(host.frames - frames <= 5, "{} frames in 12 s", host.frames - frames);
        assert!(host.bytes - bytes <= 5_500, "{} bytes in 12 s", host.bytes - bytes);
        assert_eq!(host.events.iter().filter(|(_, e)| is_unreachable(e)).count(), 0);
    }
}

#[test]
fn hellos_rotate_through_all_neighbours() {
    let mut sim = Sim::new(11);
    sim.add(&[0]);
    let now = sim.now;
    for id in 1..=130 {
        let mut hello = sim.hello(address(id), 1, 6000, &[]);
        let _ = sim.hosts[0].mesh.handle_frame(now, LinkId(0), station(id), &mut hello);
    }
    sim.drain(0);
    let mut seen = BTreeSet::new();
    for round in 1..=3 {
        let mesh = &mut sim.hosts[0].mesh;
        mesh.push(Control::GroupHello { link: LinkId(0) });
        let mut out = Vec::new();
        mesh.poll_transmit(now, &mut out);
        let (_, payload) = FrameHeader::parse(&out).unwrap();
        assert!(payload.len() <= crate::wire::hello::MAX_LEN);
        let (hello, heard) = Hello::parse(payload).unwrap();
        assert_eq!(hello.total, 130);
        seen.extend(heard.iter().map(|(node, _)| node));
        assert_eq!(seen.len(), (54 * round).min(130));
    }
}

#[test]
fn the_better_of_two_links_is_used_and_the_other_takes_over() {
    let mut sim = Sim::new(12);
    sim.add(&[0, 1]);
    sim.add(&[0, 1]);
    sim.run(ms(5_000));
    let now = sim.now;
    let first = sim.hosts[0].mesh.next_hop(address(1)).unwrap().link;
    sim.hosts[0].mesh.remove_link(now, first);
    sim.drain(0);
    let second = sim.hosts[0].mesh.next_hop(address(1)).unwrap().link;
    assert_ne!(first, second);
    assert_eq!(sim.count(0, is_unreachable), 0);
    sim.hosts[0].mesh.add_link(now, LinkId(7), 9000);
    sim.hosts[0].mesh.remove_link(now, second);
    sim.drain(0);
    assert_eq!(sim.count(0, is_unreachable), 1);
    assert!(sim.hosts[0].mesh.peers.is_empty());
}

#[test]
fn larger_frames_are_preferred() {
    let mut sim = Sim::new(13);
    sim.add(&[0]);
    let now = sim.now;
    sim.hosts[0].mesh.add_link(now, LinkId(1), 9000);
    sim.drain(0);
    for link in [0, 1] {
        let listed = [(address(1), sim.seqno(0, link)), (address(0), sim.seqno(0, link))];
        let hello = sim.hello(address(1), 5, 300, &listed);
        sim.inject(0, LinkId(link), station(1), hello);
        sim.run(ms(2));
    }
    assert_eq!(sim.hosts[0].mesh.next_hop(address(1)).map(|hop| hop.mtu), Some(9000 - HEADER_LEN));
}

#[test]
fn a_new_record_is_fetched_when_it_is_announced() {
    let mut sim = Sim::new(14);
    sim.add(&[0]);
    sim.add(&[0]);
    sim.run(ms(5_000));
    sim.hosts[1].mesh.set_own_record(vec![2; 800], 2);
    sim.run(ms(5_000));
    assert_eq!(sim.count(0, is_record), 2);
    sim.run(ms(50_000));
    assert_eq!(sim.count(0, is_record), 2);
}

#[test]
fn a_known_record_is_not_asked_for() {
    let mut sim = Sim::new(15);
    sim.add(&[0]);
    sim.add(&[0]);
    let now = sim.now;
    while sim.count(0, |e| matches!(e, MeshEvent::Reachable { .. })) == 0 {
        let Some((_, mut packet)) = sim.air.pop_first() else { break };
        let host = &mut sim.hosts[packet.to].mesh;
        host.handle_frame(now, packet.link, packet.from, &mut packet.frame).unwrap();
        if packet.to == 0 {
            host.identity_known(now, address(1), 1);
        }
        sim.drain(packet.to);
    }
    sim.run(ms(30_000));
    assert_eq!(sim.count(0, is_record), 0);
    assert_eq!(sim.count(1, is_record), 1);
}

#[test]
fn a_record_that_does_not_verify_is_asked_for_ever_more_seldom() {
    let mut sim = Sim::new(16);
    sim.verify = false;
    sim.add(&[0]);
    sim.add(&[0]);
    for _ in 0..1200 {
        sim.run(ms(100));
        let now = sim.now;
        sim.hosts[0].mesh.identity_refused(now, address(1));
        sim.drain(0);
    }
    assert!((6..=8).contains(&sim.count(0, is_record)), "{}", sim.count(0, is_record));
    assert_eq!(sim.count(1, is_record), 1, "nothing is asked for while a record is being verified");
}

#[test]
fn records_come_from_the_station_that_was_asked() {
    let mut sim = Sim::new(17);
    sim.add(&[0]);
    sim.add(&[0]);
    sim.run(ms(5_000));
    let now = sim.now;
    let record = frame(FrameType::IdentityRecord, address(1), address(0), &[9; 100]);
    let seqno = sim.seqno(0, 0);
    let ask = |seqno: u16| frame(FrameType::IdentityRequest, address(1), address(0), &seqno.to_be_bytes());
    let (request, stale) = (ask(seqno), ask(seqno.wrapping_sub(REPORT_WINDOW)));
    let mesh = &mut sim.hosts[0].mesh;
    let mut handle = |from, frame: &[u8]| mesh.handle_frame(now, LinkId(0), from, &mut frame.to_vec()).err();
    assert_eq!(handle(station(1), &record), Some(DropReason::Unsolicited));
    assert_eq!(handle(station(5), &record), Some(DropReason::UnknownNeighbour));
    assert_eq!(handle(station(5), &request), Some(DropReason::UnknownNeighbour));
    assert_eq!(handle(station(1), &stale), Some(DropReason::UnknownNeighbour));
    assert_eq!(handle(station(1), &request), None);
    assert_eq!(handle(station(1), &request), Some(DropReason::RateLimited));
}

#[test]
fn a_copied_key_is_told_once_and_an_echo_never() {
    let mut sim = Sim::new(18);
    sim.add(&[0]);
    let own = sim.hosts[0].mesh.instance;
    for (instance, conflicts) in [(own, 0), (own ^ 1, 1), (own ^ 1, 1)] {
        let hello = sim.hello(address(0), instance, 300, &[]);
        sim.inject(0, LinkId(0), station(3), hello);
        sim.run(ms(5));
        assert_eq!(sim.count(0, |e| *e == MeshEvent::AddressConflict), conflicts);
    }
    assert_eq!(sim.dropped(0, DropReason::OwnAddress), 3);
}

#[test]
fn restarts_are_told_once_a_second() {
    let mut sim = Sim::new(19);
    sim.add(&[0]);
    sim.add(&[0]);
    sim.run(ms(5_000));
    for instance in 0..200 {
        let listed = [(address(0), sim.seqno(0, 0))];
        let forged = sim.hello(address(1), instance, 300, &listed);
        sim.inject(0, LinkId(0), station(1), forged);
        sim.run(ms(20));
    }
    assert!((4..=6).contains(&sim.count(0, is_restarted)), "{}", sim.count(0, is_restarted));
}

#[test]
fn frames_for_the_layers_above_come_back() {
    let mut sim = Sim::new(20);
    sim.add(&[0]);
    let mesh = &mut sim.hosts[0].mesh;
    let now = Instant::from_micros(2_000_000);
    let header = mesh.unicast_header(address(0), FrameType::Stream, TrafficClass::Bulk, 3);
    let mut bytes = [&header[..], b"abc", &[0; 17]].concat();
    bytes[8..24].copy_from_slice(address(1).as_bytes());
    let delivery = mesh.handle_frame(now, LinkId(0), station(1), &mut bytes).unwrap().unwrap();
    assert_eq!((delivery.source, delivery.kind), (address(1), FrameType::Stream));
    assert_eq!(delivery.payload, b"abc");
    for (at, value, reason) in [
        (0, 1, DropReason::Malformed),
        (1, 99, DropReason::UnknownType),
        (1, 1, DropReason::HopLimit),
        (24, 0xee, DropReason::NotForUs),
    ] {
        let mut bad = bytes.clone();
        bad[at] = value;
        assert_eq!(mesh.handle_frame(now, LinkId(0), station(1), &mut bad), Err(reason));
        assert_eq!(mesh.counters().dropped(reason), 1);
    }
    assert_eq!(mesh.handle_frame(now, LinkId(5), station(1), &mut bytes), Err(DropReason::UnknownLink));
}
