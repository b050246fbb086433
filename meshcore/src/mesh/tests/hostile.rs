//! What strangers, liars and copies of a key can do: little.

use super::forge::{address, heard, hello, station};
use super::is_unreachable;
use super::sim::{Sim, ms};
use crate::mesh::config::MAX_UNVERIFIED;
use crate::mesh::{DropReason, MeshEvent};
use crate::types::LinkId;

#[test]
fn a_flood_of_made_up_nodes_leaves_live_neighbours_alone() {
    let mut sim = Sim::new(8);
    sim.add(&[0]);
    sim.add(&[0]);
    sim.run(ms(5_000));
    let start = sim.hosts[0].bytes;
    for step in 0..200 {
        for n in 0..100 {
            let id = 1000 + step * 100 + n;
            let forged = hello(address(id), id as u64, 400, &[heard(&sim, 0, 0)]);
            let _ = sim.give(0, 0, id, &forged);
        }
        sim.run(ms(50));
        let mesh = &sim.hosts[0].mesh;
        assert!(sim.all_reach_all());
        assert!(mesh.sizes().neighbours <= MAX_UNVERIFIED + 1);
        assert!(mesh.queue.is_empty() && mesh.events.is_empty());
    }
    assert_eq!(sim.count(0, is_unreachable), 0);
    let sent = sim.hosts[0].bytes - start;
    assert!(sent < 200_000, "{sent} bytes in 10 s under a flood");
    // When the flood ends, newcomers are let in again and the strangers are forgotten.
    sim.add(&[0]);
    sim.run(ms(16_000));
    assert!(sim.all_reach_all());
    assert_eq!(sim.hosts[0].mesh.sizes().neighbours, 2);
}

#[test]
fn a_copied_key_is_told_once_and_an_echo_never() {
    let mut sim = Sim::new(18);
    sim.add(&[0]);
    let own = sim.hosts[0].mesh.instance;
    for (instance, conflicts) in [(own, 0), (own ^ 1, 1), (own ^ 1, 1)] {
        sim.inject(0, LinkId(0), station(3), hello(address(0), instance, 400, &[]));
        sim.run(ms(5));
        assert_eq!(sim.count(0, |e| *e == MeshEvent::AddressConflict), conflicts);
    }
    assert_eq!(sim.dropped(0, DropReason::OwnAddress), 3);
}
