//! Neighbours with more than one station: on UDP a node has one of each address family.

use super::forge::{address, frame, station};
use super::is_unreachable;
use super::sim::{MTU, SECOND, Sim, ms};
use crate::mesh::{DropReason, LinkInfo};
use crate::types::LinkId;
use crate::wire::frame::FrameType;
use crate::wire::identity::IdentityRequest;
use crate::wire::probe::Probe;

/// Hosts in a row, with two stations each; whether two neighbours have come to use stations of different kinds.
fn chain(seed: u64, hosts: u32) -> (Sim, bool) {
    let mut sim = Sim::new(seed);
    sim.double = true;
    for host in 0..hosts {
        sim.add(&[host, host + 1]);
    }
    // All at the same moment: their first hellos cross.
    for host in 0..hosts {
        for link in [host, host + 1] {
            sim.hosts[host as usize].mesh.add_link(sim.now, LinkId(link), LinkInfo::new(MTU, true));
        }
        sim.drain(host as usize);
    }
    sim.run(ms(3_000));
    let kind = |sim: &Sim, of: usize, at: usize, link: usize| {
        let neighbour = sim.hosts[at].mesh.links[&LinkId(link as u32)].table.get(address(of)).unwrap();
        neighbour.at == station(of + SECOND)
    };
    let differ =
        (1..hosts as usize).any(|host| kind(&sim, host, host - 1, host) != kind(&sim, host - 1, host, host));
    (sim, differ)
}

#[test]
fn neighbours_need_not_choose_the_same_station() {
    let mut differ = 0;
    for seed in 0..40 {
        let (mut sim, are_different) = chain(seed, 3);
        differ += u32::from(are_different);
        assert!(sim.all_reach_all(), "seed {seed} {are_different}");
        for step in 0..100u8 {
            assert!(sim.data(0, 2, &[step]) && sim.data(2, 0, &[step]), "seed {seed} {are_different}");
            sim.run(ms(50));
        }
        assert_eq!((sim.hosts[0].deliveries.len(), sim.hosts[2].deliveries.len()), (100, 100), "seed {seed}");
        assert!((0..3).all(|host| sim.count(host, is_unreachable) == 0));
    }
    assert!(differ > 5, "{differ}");
}

#[test]
fn a_station_that_cannot_answer_is_not_listened_to() {
    let mut sim = chain(3, 2).0;
    let forged = |answer, nonce| {
        let mut payload = Vec::new();
        Probe { answer, nonce }.emit(&mut payload);
        frame(FrameType::Probe, address(1), address(0), &payload)
    };
    for step in 0..400 {
        // Questions that would hinder others from being answered, and answers to questions that were not heard.
        sim.inject(0, LinkId(1), station(666), forged(false, step));
        sim.inject(0, LinkId(1), station(666), forged(true, step));
        assert!(sim.data(0, 1, b"x") && sim.data(1, 0, b"x"), "step {step}");
        sim.run(ms(5));
    }
    let neighbour = sim.hosts[0].mesh.links[&LinkId(1)].table.get(address(1)).unwrap();
    assert!(!neighbour.is_at(station(666)));
    let request = IdentityRequest { heard: 0, node: address(0) };
    let mut payload = Vec::new();
    request.emit(&mut payload);
    let request = frame(FrameType::IdentityRequest, address(1), address(0), &payload);
    assert_eq!(sim.give(0, 1, 666, &request), Err(DropReason::UnknownNeighbour));
}
