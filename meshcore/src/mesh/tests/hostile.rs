//! What strangers, liars and copies of a key can do: little.

use super::forge::{Puppet, address, advert, heard, hello, identity, seqno, station};
use super::is_unreachable;
use super::sim::{Sim, ms};
use crate::mesh::config::{MAX_NEIGHBOURS, MAX_UNVERIFIED};
use crate::mesh::routing::MAX_DESTINATIONS;
use crate::mesh::{DropReason, MeshEvent};
use crate::types::LinkId;
use crate::wire::update::Advert;

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

#[test]
fn verified_neighbours_fill_the_table_and_no_more() {
    let mut sim = Sim::new(9);
    sim.add(&[0]);
    for node in 1..=MAX_NEIGHBOURS {
        Puppet::join(&mut sim, node);
    }
    for node in MAX_NEIGHBOURS + 1..MAX_NEIGHBOURS + 50 {
        let newcomer = hello(address(node), 1, 400, &[heard(&sim, 0, 0)]);
        assert_eq!(sim.give(0, 0, node, &newcomer), Err(DropReason::TableFull));
    }
    let sizes = sim.hosts[0].mesh.sizes();
    assert_eq!((sizes.neighbours, sizes.identities), (MAX_NEIGHBOURS, MAX_NEIGHBOURS));
    assert!((1..=MAX_NEIGHBOURS).all(|node| sim.reaches(0, node)));
}

#[test]
fn a_full_table_of_destinations_keeps_the_live_ones() {
    let mut sim = Sim::new(10);
    sim.wired = false;
    sim.add(&[0]);
    let mut puppet = Puppet::join(&mut sim, 1);
    let mut version = 1;
    let mut announce = |sim: &mut Sim, adverts: &[Advert]| {
        puppet.update(sim, version, version + 1, adverts).unwrap();
        version += 1;
        let now = sim.now;
        for advert in adverts {
            let known = identity(advert.destination, 1);
            sim.hosts[0].mesh.identity_known(now, advert.destination, known);
        }
        sim.drain(0);
    };
    let nodes: Vec<usize> = (2..MAX_DESTINATIONS + 100).collect();
    for chunk in nodes.chunks(50) {
        let adverts: Vec<Advert> = chunk.iter().map(|node| advert(*node, seqno(1, 0), 96)).collect();
        announce(&mut sim, &adverts);
    }
    let live = |sim: &Sim| nodes.iter().filter(|node| sim.reaches(0, **node)).count();
    let sizes = sim.hosts[0].mesh.sizes();
    assert_eq!((sizes.destinations, sizes.identities), (MAX_DESTINATIONS, MAX_DESTINATIONS));
    assert_eq!(live(&sim), MAX_DESTINATIONS - 1);
    assert!(sim.dropped(0, DropReason::TableFull) > 0);
    // Who has no route makes room.
    let gone = address(nodes[5]);
    announce(&mut sim, &[Advert::retraction(gone, seqno(1, 0))]);
    announce(&mut sim, &[advert(nodes[nodes.len() - 1], seqno(1, 0), 96)]);
    assert!(sim.reaches(0, nodes[nodes.len() - 1]));
    assert_eq!(sim.hosts[0].mesh.sizes().destinations, MAX_DESTINATIONS);
}
