//! Frames that are larger than those that every station of a link takes.

use super::forge::address;
use super::sim::{MTU, Sim, ms};
use crate::mesh::{HEADER_LEN, LinkInfo};
use crate::types::LinkId;

const LARGE: usize = 9000;

/// Hosts in a row that may have large frames; all segments but number 2 carry them.
fn chain(hosts: u32) -> Sim {
    let mut sim = Sim::new(41);
    sim.larger = [LARGE, 4000, 0, 0];
    sim.carries = |segment| if segment == 2 { MTU } else { LARGE };
    for host in 0..hosts {
        sim.add(&[host, host + 1]);
    }
    sim.run(ms(3_000));
    assert!(sim.all_reach_all());
    sim
}

fn mtu(sim: &Sim, from: usize, to: usize) -> usize {
    sim.hosts[from].mesh.route(address(to)).unwrap().mtu + HEADER_LEN
}

/// Sends something short ten times a second.
fn talk(sim: &mut Sim, from: usize, to: usize, tenths: usize) {
    for _ in 0..tenths {
        assert!(sim.data(from, to, b"short"));
        sim.run(ms(100));
    }
}

#[test]
fn frames_grow_where_they_go_and_nowhere_else() {
    let mut sim = chain(2);
    let before = sim.hosts[0].bytes;
    sim.run(ms(10_000));
    assert_eq!((mtu(&sim, 0, 1), mtu(&sim, 1, 0)), (MTU, MTU));
    assert!(sim.hosts[0].bytes - before < 1000, "an idle path costs");
    talk(&mut sim, 0, 1, 2);
    assert_eq!((mtu(&sim, 0, 1), mtu(&sim, 1, 0)), (LARGE, MTU));
    assert!(sim.data(0, 1, &[7; LARGE - HEADER_LEN]));
    sim.run(ms(10));
    assert_eq!(sim.hosts[1].deliveries.last().unwrap().1.len(), LARGE - HEADER_LEN);
    // What is known stays known while nothing is sent.
    sim.run(ms(60_000));
    assert_eq!(mtu(&sim, 0, 1), LARGE);
}

#[test]
fn a_path_is_as_wide_as_its_narrowest_link() {
    let mut sim = chain(4);
    // Links 1, 2 and 3: those at the ends carry more than the one between.
    talk(&mut sim, 0, 3, 20);
    talk(&mut sim, 0, 1, 5);
    assert_eq!((mtu(&sim, 0, 1), mtu(&sim, 1, 2), mtu(&sim, 2, 3)), (LARGE, MTU, LARGE));
    assert_eq!((mtu(&sim, 0, 3), mtu(&sim, 1, 3)), (MTU, MTU));
    assert_eq!(sim.hosts[0].mesh.next_hop(sim.now, address(3)).unwrap().mtu, MTU - HEADER_LEN);
}

#[test]
fn relays_tell_that_a_path_has_become_wider() {
    let mut sim = Sim::new(42);
    sim.larger = [LARGE, 0, 0, 0];
    sim.carries = |_| LARGE;
    for host in 0..3 {
        sim.add(&[host, host + 1]);
    }
    sim.run(ms(3_000));
    assert_eq!(mtu(&sim, 0, 2), MTU);
    talk(&mut sim, 0, 2, 3);
    assert_eq!(mtu(&sim, 0, 2), LARGE);
}

#[test]
fn what_stops_to_arrive_is_given_up() {
    let mut sim = chain(2);
    talk(&mut sim, 0, 1, 5);
    assert_eq!(mtu(&sim, 0, 1), LARGE);
    sim.carries = |_| 5000;
    talk(&mut sim, 0, 1, 20);
    assert_eq!(mtu(&sim, 0, 1), 4000);
    sim.carries = |_| MTU;
    talk(&mut sim, 0, 1, 20);
    assert_eq!(mtu(&sim, 0, 1), MTU);
    // The neighbour was never held to be silent, or lost.
    assert!(sim.hosts[0].events.iter().all(|(_, event)| !super::is_unreachable(event)));
}

#[test]
fn a_silent_neighbour_says_nothing_about_sizes() {
    let mut sim = chain(2);
    talk(&mut sim, 0, 1, 5);
    sim.cut.insert(1);
    sim.run(ms(3_000));
    sim.cut.clear();
    sim.run(ms(1_500));
    assert_eq!(mtu(&sim, 0, 1), LARGE);
}

#[test]
fn other_sizes_of_a_link_are_taken_up_at_once() {
    let mut sim = chain(2);
    talk(&mut sim, 0, 1, 5);
    for (larger, wanted) in [([4000, 0, 0, 0], 4000), ([0; 4], MTU), ([LARGE, 0, 0, 0], LARGE)] {
        let now = sim.now;
        sim.hosts[0].mesh.add_link(now, LinkId(1), LinkInfo { larger, ..LinkInfo::new(MTU, true) });
        assert_eq!(mtu(&sim, 0, 1), MTU);
        sim.drain(0);
        talk(&mut sim, 0, 1, 2);
        assert_eq!(mtu(&sim, 0, 1), wanted);
    }
    assert!(sim.hosts[0].events.iter().all(|(_, event)| !super::is_unreachable(event)));
}

#[test]
fn a_neighbour_that_starts_anew_or_moves_is_asked_again() {
    let mut sim = chain(2);
    talk(&mut sim, 0, 1, 5);
    sim.carries = |_| MTU;
    sim.restart(1, 7);
    sim.run(ms(6_000));
    assert!(sim.all_reach_all());
    assert_eq!(mtu(&sim, 0, 1), MTU);
}
