//! What a neighbour said in an earlier life counts no more.

use super::forge::{Puppet, address, advert, frame, heard, seqno, update_frame};
use super::routes::{introduce, sent_within, with_puppet};
use super::sim::{MTU, Sim, ms};
use crate::mesh::config::FORMER_LIFE;
use crate::mesh::{DropReason, LinkInfo};
use crate::types::{Address, LinkId};
use crate::wire::frame::FrameType;
use crate::wire::hello::Hello;
use crate::wire::update::{Update, UpdateRequest};

/// A host with a neighbour that announces `address(5)`.
fn with_route() -> (Sim, Puppet) {
    let (mut sim, mut puppet) = with_puppet();
    puppet.update(&mut sim, 1, 2, &[advert(5, seqno(1, 0), 96)]).unwrap();
    introduce(&mut sim, 5, 1);
    assert!(sim.reaches(0, 5));
    (sim, puppet)
}

#[test]
fn a_restart_makes_routes_void_and_late_hellos_do_not_bring_them_back() {
    let (mut sim, mut puppet) = with_route();
    puppet.instance += 1;
    puppet.version = 0;
    puppet.hello(&mut sim);
    assert!(!sim.reaches(0, 5));
    let hello = |sim: &mut Sim, instance: u64| {
        let mut payload = Vec::new();
        let hello = Hello { seqno: 99, interval: 400, instance, version: 0, total: 1 };
        hello.emit([heard(sim, 0, 0)], &mut payload);
        sim.give(0, 0, 1, &frame(FrameType::Hello, address(1), Address::EVERYONE, &payload))
    };
    let before = puppet.instance - 1;
    assert_eq!(hello(&mut sim, before), Err(DropReason::DuplicateHello));
    let update = Update { instance: before, floor: 0, from: 0, to: 2 };
    let late = update_frame(address(1), update, &[advert(1, seqno(1, 0), 0), advert(5, seqno(1, 0), 96)]);
    assert_eq!(sim.give(0, 0, 1, &late), Err(DropReason::StaleUpdate));
    sim.run(FORMER_LIFE);
    assert_eq!(hello(&mut sim, before), Ok(()), "a forged restart must not lock the neighbour out");
}

#[test]
fn a_link_that_began_anew_makes_routes_void() {
    for (jump, void) in [(1, false), (16, false), (17, true), (30_000, true), (u16::MAX - 16, true)] {
        let (mut sim, mut puppet) = with_route();
        puppet.seqno = puppet.seqno.wrapping_add(jump - 1);
        puppet.hello(&mut sim);
        assert_eq!(sim.reaches(0, 5), !void, "{jump}");
        if void {
            let requests = sent_within(&mut sim, FrameType::UpdateRequest, 100);
            assert_eq!(UpdateRequest::parse(&requests[0]).unwrap().since, 0);
        }
    }
}

#[test]
fn a_restart_heard_on_one_link_counts_on_all() {
    let mut sim = Sim::new(3);
    sim.add(&[0, 1]);
    let hello = |sim: &mut Sim, link: u32, instance: u64| {
        let mut payload = Vec::new();
        let hello = Hello { seqno: 7, interval: 400, instance, version: 0, total: 1 };
        hello.emit([heard(sim, 0, link)], &mut payload);
        sim.give(0, link, 1, &frame(FrameType::Hello, address(1), Address::EVERYONE, &payload)).unwrap();
    };
    hello(&mut sim, 0, 1);
    hello(&mut sim, 1, 1);
    let update = Update { instance: 1, floor: 0, from: 0, to: 2 };
    let table = update_frame(address(1), update, &[advert(1, seqno(1, 0), 0), advert(5, seqno(1, 0), 96)]);
    for _ in 0..2 {
        sim.give(0, 1, 1, &table).unwrap();
        introduce(&mut sim, 1, 1);
    }
    introduce(&mut sim, 5, 1);
    assert!(sim.reaches(0, 1) && sim.reaches(0, 5));
    hello(&mut sim, 0, 2);
    assert!(!sim.reaches(0, 1) && !sim.reaches(0, 5));
}

#[test]
fn a_link_that_was_down_tells_nothing_of_before() {
    for seed in 0..10 {
        let mut sim = Sim::chain(seed, 3);
        assert!(sim.reaches(0, 2));
        let relay = &mut sim.hosts[1].mesh;
        [1, 2].into_iter().for_each(|link| relay.remove_link(sim.now, LinkId(link)));
        sim.run(ms(2_000));
        let now = sim.now;
        sim.hosts[1].mesh.add_link(now, LinkId(1), LinkInfo::new(MTU, true));
        sim.drain(1);
        sim.run(ms(500));
        assert!(sim.reaches(0, 1) && !sim.reaches(0, 2), "seed {seed}");
    }
}

#[test]
fn an_answer_that_was_overtaken_does_not_count_back() {
    let (mut sim, mut puppet) = with_route();
    puppet.hello(&mut sim);
    let latest = puppet.seqno;
    let mut payload = Vec::new();
    let hello = Hello { seqno: latest - 1, interval: 400, instance: puppet.instance, version: 2, total: 1 };
    hello.emit([heard(&sim, 0, 0)], &mut payload);
    puppet.say(&mut sim, FrameType::Hello, address(0), &payload).unwrap();
    let table = &sim.hosts[0].mesh.links[&LinkId(0)].table;
    assert_eq!(table.get(address(1)).map(|neighbour| neighbour.seqno), Some(latest));
}
