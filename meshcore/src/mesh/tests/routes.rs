//! What neighbours say of their routes, and what this node makes of it.

use super::forge::{Puppet, address, advert, identity, seqno, update_frame};
use super::sim::{Sim, ms};
use crate::mesh::config::*;
use crate::mesh::{DropReason, LinkInfo};
use crate::types::{Destination, LinkId};
use crate::wire::frame::{FrameHeader, FrameType};
use crate::wire::update::{Advert, INFINITE, Update, UpdateRequest};

/// A host with a verified neighbour, which is `address(1)`.
pub(super) fn with_puppet() -> (Sim, Puppet) {
    let mut sim = Sim::new(1);
    sim.add(&[0]);
    let puppet = Puppet::join(&mut sim, 1);
    sim.run(ms(500));
    (sim, puppet)
}

/// The identity of a node is asked for and known at once.
pub(super) fn introduce(sim: &mut Sim, node: usize, number: u64) {
    let now = sim.now;
    sim.hosts[0].mesh.identity_known(now, address(node), identity(address(node), number));
    sim.drain(0);
}

/// Takes the frames that host 0 has queued.
fn sent(sim: &mut Sim) -> Vec<(Destination, FrameHeader, Vec<u8>)> {
    let (now, mesh) = (sim.now, &mut sim.hosts[0].mesh);
    let mut frames = Vec::new();
    let mut out = Vec::new();
    while let Some((_, to)) = mesh.poll_transmit(now, &mut out) {
        let (header, payload) = FrameHeader::parse(&out).unwrap();
        frames.push((to, header, payload.to_vec()));
        out.clear();
    }
    frames
}

/// Lets time pass and gives the frames of one type that host 0 sends.
pub(super) fn sent_within(sim: &mut Sim, kind: FrameType, millis: u64) -> Vec<Vec<u8>> {
    let end = sim.now + ms(millis);
    let mut payloads = Vec::new();
    while let Some(due) = sim.hosts[0].mesh.poll_timeout().filter(|due| *due <= end) {
        sim.now = sim.now.max(due);
        let now = sim.now;
        sim.hosts[0].mesh.handle_timeout(now);
        let frames = sent(sim).into_iter().filter(|(_, header, _)| header.kind == kind);
        payloads.extend(frames.map(|(_, _, payload)| payload));
    }
    sim.now = end;
    payloads
}

#[test]
fn a_gap_is_asked_for_at_once_and_closed() {
    let (mut sim, mut puppet) = with_puppet();
    puppet.update(&mut sim, 2, 3, &[advert(5, seqno(1, 0), 96)]).unwrap();
    let requests = sent_within(&mut sim, FrameType::UpdateRequest, 40);
    let request = UpdateRequest::parse(&requests[0]).unwrap();
    assert_eq!((requests.len(), request.since, request.heard), (1, 1, puppet.seqno));
    assert_eq!(sim.hosts[0].mesh.sizes().pending, 0, "nothing of it is taken in before");
    puppet.update(&mut sim, 1, 3, &[advert(5, seqno(1, 0), 96)]).unwrap();
    introduce(&mut sim, 5, 1);
    assert!(sim.reaches(0, 5));
    assert!(sent_within(&mut sim, FrameType::UpdateRequest, 3_000).is_empty());
}

#[test]
fn a_version_in_a_hello_shows_what_was_missed() {
    let (mut sim, mut puppet) = with_puppet();
    puppet.version = 2;
    puppet.hello(&mut sim);
    assert_eq!(sent_within(&mut sim, FrameType::UpdateRequest, 1_000).len(), 7, "at once, then every 150 ms");
}

#[test]
fn old_repeated_and_foreign_updates_change_nothing() {
    let (mut sim, mut puppet) = with_puppet();
    puppet.update(&mut sim, 1, 2, &[advert(5, seqno(1, 0), 96)]).unwrap();
    introduce(&mut sim, 5, 1);
    puppet.update(&mut sim, 2, 3, &[advert(5, seqno(1, 0), 300)]).unwrap();
    let metric = |sim: &Sim| sim.hosts[0].mesh.route(address(5)).map(|route| route.metric);
    assert_eq!(metric(&sim), Some(396));
    puppet.update(&mut sim, 1, 2, &[advert(5, seqno(1, 0), 96)]).unwrap();
    puppet.update(&mut sim, 0, 2, &[]).unwrap();
    assert_eq!(metric(&sim), Some(396));
    // The earlier life of the neighbour, a stranger, another station.
    let stale = Update { instance: 1, floor: 0, from: 3, to: 4 };
    let bytes = update_frame(address(1), stale, &[Advert::retraction(address(5), seqno(1, 0))]);
    assert_eq!(sim.give(0, 0, 1, &bytes), Err(DropReason::StaleUpdate));
    let update = Update { instance: puppet.instance, ..stale };
    let bytes = update_frame(address(1), update, &[]);
    assert_eq!(sim.give(0, 0, 66, &bytes), Err(DropReason::UnknownNeighbour));
    let bytes = update_frame(address(66), update, &[]);
    assert_eq!(sim.give(0, 0, 66, &bytes), Err(DropReason::UnknownNeighbour));
    assert_eq!(metric(&sim), Some(396));
    // What is current may be repeated: the refresh.
    puppet.update(&mut sim, 3, 3, &[advert(5, seqno(1, 0), 200)]).unwrap();
    assert_eq!(metric(&sim), Some(296));
}

#[test]
fn a_whole_table_replaces_what_was_known() {
    let (mut sim, mut puppet) = with_puppet();
    puppet.update(&mut sim, 1, 2, &[5, 6].map(|node| advert(node, seqno(1, 0), 96))).unwrap();
    (5..7).for_each(|node| introduce(&mut sim, node, 1));
    assert!(sim.reaches(0, 5) && sim.reaches(0, 6));
    let table = [advert(1, seqno(1, 0), 0), advert(6, seqno(1, 0), 96)];
    puppet.update(&mut sim, 0, 9, &table).unwrap();
    assert!(sim.reaches(0, 1) && !sim.reaches(0, 5) && sim.reaches(0, 6));
}

#[test]
fn the_routes_of_a_neighbour_whose_updates_never_come_are_void() {
    let (mut sim, mut puppet) = with_puppet();
    puppet.update(&mut sim, 1, 2, &[advert(5, seqno(1, 0), 96)]).unwrap();
    introduce(&mut sim, 5, 1);
    puppet.version = 3;
    puppet.stay(&mut sim, 40);
    assert!(sim.reaches(0, 5));
    puppet.stay(&mut sim, 12);
    assert!(!sim.reaches(0, 5));
}

#[test]
fn of_an_unverified_neighbour_only_itself_is_heard() {
    let mut sim = Sim::new(2);
    sim.verify = false;
    sim.add(&[0]);
    let mut puppet = Puppet { node: 1, instance: 7, seqno: 0, version: 0 };
    puppet.hello(&mut sim);
    let table: Vec<Advert> =
        (1..10).map(|node| advert(node, seqno(1, 0), if node == 1 { 0 } else { 96 })).collect();
    puppet.update(&mut sim, 0, 9, &table).unwrap();
    assert_eq!(sim.hosts[0].mesh.sizes().pending, 1);
    assert_eq!(sim.dropped(0, DropReason::TooManyPending), 1);
    introduce(&mut sim, 1, 1);
    assert!(sim.reaches(0, 1));
    puppet.update(&mut sim, 0, 9, &table).unwrap();
    assert_eq!(sim.hosts[0].mesh.sizes().pending, 8);
}

#[test]
fn routes_that_wait_for_identities_are_bounded_and_come_later() {
    let (mut sim, mut puppet) = with_puppet();
    let table: Vec<Advert> = (2..MAX_PENDING + 10).map(|node| advert(node, seqno(1, 0), 96)).collect();
    puppet.update(&mut sim, 1, 2, &table).unwrap();
    assert_eq!(sim.hosts[0].mesh.sizes().pending, MAX_PENDING);
    assert_eq!(sim.dropped(0, DropReason::TooManyPending), 1);
    (2..100).for_each(|node| introduce(&mut sim, node, 1));
    puppet.update(&mut sim, 1, 2, &table).unwrap();
    (100..MAX_PENDING + 10).for_each(|node| introduce(&mut sim, node, 1));
    assert!((2..MAX_PENDING + 10).all(|node| sim.reaches(0, node)));
}

#[test]
fn every_neighbours_waiting_route_is_taken_in() {
    let mut sim = Sim::new(3);
    sim.add(&[0]);
    let mut puppets: Vec<Puppet> = (1..=MAX_SOURCES + 4).map(|node| Puppet::join(&mut sim, node)).collect();
    for puppet in &mut puppets {
        puppet.update(&mut sim, 1, 2, &[advert(99, seqno(1, 0), 96)]).unwrap();
    }
    introduce(&mut sim, 99, 1);
    let sizes = sim.hosts[0].mesh.sizes();
    assert_eq!((sizes.pending, sizes.routes), (0, 2 * puppets.len()));
}

#[test]
fn what_is_not_signed_by_the_destination_is_no_route() {
    let (mut sim, mut puppet) = with_puppet();
    puppet.update(&mut sim, 1, 2, &[advert(5, seqno(1, 3), 96)]).unwrap();
    introduce(&mut sim, 5, 1);
    let forged = Advert { seqno: seqno(1, 4), ..advert(5, seqno(1, 3), 1) };
    // Frames may be damaged: it is asked for again twice, then passed over, so that it holds nothing up.
    for asked in 0..3 {
        puppet.update(&mut sim, 2, 3, &[forged, advert(5, seqno(1, 3), 96)]).unwrap();
        assert_eq!(sim.dropped(0, DropReason::BadSignature), asked + 1);
    }
    assert_eq!(sim.hosts[0].mesh.route(address(5)).map(|route| route.metric), Some(192));
    // Somebody else at no distance, this node itself, a neighbour that is far from itself.
    let odd = [advert(6, seqno(1, 0), 0), advert(1, seqno(1, 0), 50), advert(0, seqno(1, 0), 96)];
    puppet.update(&mut sim, 3, 4, &odd).unwrap();
    assert_eq!(sim.dropped(0, DropReason::Malformed), 2);
    assert!(!sim.reaches(0, 6) && !sim.reaches(0, 0));
    // An identity whose route is refused is not kept.
    let forged = Advert { signature: [7; 64], ..advert(8, seqno(1, 0), 96) };
    puppet.update(&mut sim, 4, 5, &[forged]).unwrap();
    introduce(&mut sim, 8, 1);
    assert!(!sim.reaches(0, 8));
    assert_eq!(sim.hosts[0].mesh.sizes().identities, 2);
}

#[test]
fn a_replayed_announcement_is_not_feasible() {
    for (replayed, feasible) in [
        (advert(5, seqno(1, 2), 1), false),
        (advert(5, seqno(1, 3), 192), false),
        (advert(5, seqno(1, 3), 191), true),
        (advert(5, seqno(0, 9), 1), false),
    ] {
        let mut sim = Sim::new(2);
        sim.wired = false;
        sim.add(&[0]);
        let (mut puppet, mut liar) = (Puppet::join(&mut sim, 1), Puppet::join(&mut sim, 2));
        puppet.update(&mut sim, 1, 2, &[advert(5, seqno(1, 3), 96)]).unwrap();
        introduce(&mut sim, 5, 1);
        // It is announced to the others, with metric 192.
        sim.run(ms(50));
        liar.update(&mut sim, 1, 2, &[replayed]).unwrap();
        puppet.update(&mut sim, 2, 3, &[Advert::retraction(address(5), seqno(1, 3))]).unwrap();
        assert_eq!(sim.reaches(0, 5), feasible, "{replayed:?}");
    }
}

#[test]
fn metrics_do_not_wrap() {
    let (mut sim, mut puppet) = with_puppet();
    let table = [advert(5, seqno(1, 0), INFINITE - 1), advert(6, seqno(1, 0), INFINITE - 97)];
    puppet.update(&mut sim, 1, 2, &table).unwrap();
    (5..7).for_each(|node| introduce(&mut sim, node, 1));
    assert!(!sim.reaches(0, 5));
    assert_eq!(sim.hosts[0].mesh.route(address(6)).map(|route| route.metric), Some(INFINITE - 1));
}

#[test]
fn a_table_that_is_told_again_replaces_the_part_that_was_taken_in() {
    let (mut sim, mut puppet) = with_puppet();
    let now = sim.now;
    sim.hosts[0].mesh.remove_link(now, LinkId(0));
    sim.hosts[0].mesh.add_link(now, LinkId(0), LinkInfo::new(1500, true));
    puppet = Puppet { version: 0, ..puppet };
    puppet.hello(&mut sim);
    let mut table: Vec<Advert> = (2..MAX_PENDING + 10).map(|node| advert(node, seqno(1, 0), 96)).collect();
    table.insert(0, advert(1, seqno(1, 0), 0));
    puppet.update(&mut sim, 0, 9, &table).unwrap();
    introduce(&mut sim, 2, 1);
    assert!(sim.reaches(0, 2));
    table.remove(1);
    (3..MAX_PENDING + 10).for_each(|node| introduce(&mut sim, node, 1));
    puppet.update(&mut sim, 0, 10, &table).unwrap();
    assert!(!sim.reaches(0, 2) && sim.reaches(0, 3));
}
