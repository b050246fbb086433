//! Who asks for updates, seqnos and records, and what it gets.

use super::forge::{Puppet, address, advert, frame, identity, seqno, station};
use super::routes::{introduce, sent_within, with_puppet};
use super::sim::{Sim, ms};
use super::{is_record, is_restarted, is_unreachable};
use crate::mesh::config::*;
use crate::mesh::{DropReason, MeshEvent};
use crate::types::{Address, LinkId};
use crate::wire::frame::FrameType;
use crate::wire::identity::IdentityRequest;
use crate::wire::update::{SeqnoRequest, UpdateRequest};

#[test]
fn an_outdated_node_gets_its_own_record_and_starts_anew() {
    let mut sim = Sim::chain(4, 2);
    sim.restart_as(1, 1, 5);
    sim.run(ms(2_000));
    assert_eq!(sim.count(0, is_restarted), 1);
    // It has lost its disk: its record has a lower number than the one known.
    sim.restart_as(1, 1, 2);
    sim.run(ms(2_000));
    let own = |e: &MeshEvent| matches!(e, MeshEvent::IdentityReceived { node, .. } if *node == address(1));
    assert_eq!(sim.count(1, own), 1);
    assert!(sim.all_reach_all());
    assert_eq!(sim.hosts[0].mesh.identities[&address(1)].number, 6);
    assert_eq!((sim.count(0, is_restarted), sim.count(0, is_unreachable)), (2, 0));
}

#[test]
fn made_up_records_of_this_node_cost_little() {
    let (mut sim, puppet) = with_puppet();
    sim.verify = false;
    let own = |e: &MeshEvent| matches!(e, MeshEvent::IdentityReceived { node, .. } if *node == address(0));
    let mut taken = 0;
    for number in 0..100u64 {
        let record = [address(0).as_bytes(), &number.to_be_bytes()[..]].concat();
        taken += usize::from(puppet.say(&mut sim, FrameType::IdentityRecord, address(0), &record).is_ok());
        sim.run(ms(100));
    }
    assert_eq!((taken, sim.count(0, own)), (4, 4));
}

#[test]
fn requests_are_answered_in_turns_and_many_at_once_by_one_frame() {
    let mut sim = Sim::new(6);
    sim.add(&[0]);
    let mut puppets: Vec<Puppet> = (1..6).map(|node| Puppet::join(&mut sim, node)).collect();
    sim.run(ms(2_000));
    let ask = |sim: &mut Sim, puppet: &Puppet| {
        let mut payload = Vec::new();
        let heard = sim.hosts[0].mesh.links[&LinkId(0)].seqno;
        UpdateRequest { heard, floor: 0, since: 0 }.emit(&mut payload);
        puppet.say(sim, FrameType::UpdateRequest, address(0), &payload).unwrap();
    };
    for asking in [1, ANSWER_ALL - 1, ANSWER_ALL] {
        puppets[..asking].iter().for_each(|puppet| ask(&mut sim, puppet));
        let answers = sent_within(&mut sim, FrameType::Update, 60).len();
        assert_eq!(answers, if asking < ANSWER_ALL { asking } else { 1 }, "{asking}");
        sim.run(ms(2_000));
    }
    // One who asks without end keeps nobody waiting: neither another one nor the news for all.
    puppets[0].update(&mut sim, 1, 2, &[advert(50, seqno(1, 0), 96)]).unwrap();
    let now = sim.now;
    sim.hosts[0].mesh.identity_known(now, address(50), identity(address(50), 1));
    let outgoing = &mut sim.hosts[0].mesh.links.get_mut(&LinkId(0)).unwrap().outgoing;
    let turns: Vec<Address> = (0..9)
        .map(|_| {
            outgoing.asked.extend([1, 2].map(|node| (address(node), Default::default())));
            outgoing.next_turn(true)
        })
        .collect();
    for node in [address(1), address(2), Address::EVERYONE] {
        assert_eq!(turns.iter().filter(|turn| **turn == node).count(), 3);
    }
}

#[test]
fn a_seqno_request_is_passed_on_once_and_answered_by_announcements_within_a_limit() {
    let (mut sim, puppet) = with_puppet();
    let mut other = Puppet::join(&mut sim, 2);
    other.update(&mut sim, 1, 2, &[advert(5, seqno(1, 3), 96)]).unwrap();
    introduce(&mut sim, 5, 1);
    sim.run(ms(100));
    let ask = |sim: &mut Sim, from: &Puppet, destination: usize, count: u32, hop_limit: u8| {
        let heard = sim.hosts[0].mesh.links[&LinkId(0)].seqno;
        let mut payload = Vec::new();
        let destination = address(destination);
        SeqnoRequest { heard, destination, seqno: seqno(1, count), hop_limit }.emit(&mut payload);
        let bytes = frame(FrameType::SeqnoRequest, address(from.node), address(0), &payload);
        let now = sim.now;
        sim.hosts[0].mesh.handle_frame(now, LinkId(0), station(from.node), &mut bytes.clone()).map(drop)
    };
    // Satisfied already, without hops left, to nowhere.
    for (destination, count, hop_limit) in [(5, 3, 9), (5, 4, 1), (77, 4, 9)] {
        ask(&mut sim, &puppet, destination, count, hop_limit).unwrap();
        assert_eq!(sim.hosts[0].mesh.sizes().requests, 0);
    }
    // Far too new: only the next one is asked for. It is repeated until it comes.
    for _ in 0..3 {
        ask(&mut sim, &puppet, 5, 400, 9).unwrap();
    }
    let requests = sent_within(&mut sim, FrameType::SeqnoRequest, 1_000);
    assert_eq!(requests.len(), 4, "0, 120, 360, 840 ms");
    let request = SeqnoRequest::parse(&requests[0]).unwrap();
    assert_eq!((request.destination, request.seqno, request.hop_limit), (address(5), seqno(1, 4), 8));
    other.update(&mut sim, 2, 3, &[advert(5, seqno(1, 4), 96)]).unwrap();
    assert!(sent_within(&mut sim, FrameType::SeqnoRequest, 3_000).is_empty());
    // This node itself announces itself anew when it is asked, within limits.
    let mut announced = 0;
    for _ in 0..20 {
        let next = sim.hosts[0].mesh.router.own_seqno().count + 1;
        announced += u32::from(ask(&mut sim, &puppet, 0, next, 9).is_ok());
        assert!(sim.hosts[0].mesh.router.own_seqno().count < next + 1);
    }
    assert_eq!(announced, ANNOUNCEMENTS.0);
}

#[test]
fn records_go_to_who_hears_this_node_and_not_too_often() {
    let mut sim = Sim::new(17);
    sim.verify = false;
    sim.add(&[0]);
    let mut puppet = Puppet { node: 1, instance: 7, seqno: 0, version: 0 };
    puppet.hello(&mut sim);
    let seqno = sim.hosts[0].mesh.links[&LinkId(0)].seqno;
    let ask = |sim: &mut Sim, from: usize, heard: u16, about: usize| {
        let mut payload = Vec::new();
        IdentityRequest { heard, node: address(about) }.emit(&mut payload);
        let bytes = frame(FrameType::IdentityRequest, address(1), address(0), &payload);
        sim.give(0, 0, from, &bytes)
    };
    assert_eq!(ask(&mut sim, 5, seqno, 0), Err(DropReason::UnknownNeighbour));
    assert_eq!(ask(&mut sim, 1, seqno.wrapping_sub(REPORT_WINDOW), 0), Err(DropReason::UnknownNeighbour));
    assert_eq!(ask(&mut sim, 1, seqno, 9), Err(DropReason::NoRecord));
    assert_eq!(ask(&mut sim, 1, seqno, 0), Ok(()));
    assert_eq!(ask(&mut sim, 1, seqno, 0), Err(DropReason::RateLimited));
    sim.run(RECORD_GAP);
    assert_eq!(ask(&mut sim, 1, seqno, 0), Ok(()));
}

#[test]
fn a_record_is_taken_from_who_was_asked_and_a_liar_is_not_asked_again() {
    let mut sim = Sim::new(5);
    sim.add(&[0]);
    let mut liar = Puppet::join(&mut sim, 1);
    let mut honest = Puppet::join(&mut sim, 2);
    let record = [address(9).as_bytes(), &identity(address(9), 1).record[..]].concat();
    let rubbish = [address(9).as_bytes(), &[0; 50][..]].concat();
    assert_eq!(
        honest.say(&mut sim, FrameType::IdentityRecord, address(0), &record),
        Err(DropReason::Unsolicited)
    );
    liar.update(&mut sim, 1, 2, &[advert(9, seqno(1, 0), 96)]).unwrap();
    honest.update(&mut sim, 1, 2, &[advert(9, seqno(1, 0), 96)]).unwrap();
    sim.run(ms(1));
    assert_eq!(
        honest.say(&mut sim, FrameType::IdentityRecord, address(0), &record),
        Err(DropReason::Unsolicited)
    );
    liar.say(&mut sim, FrameType::IdentityRecord, address(0), &rubbish).unwrap();
    assert_eq!(sim.count(0, is_record), 1);
    sim.run(REFUSED_WAIT.first + ms(1));
    assert_eq!(
        liar.say(&mut sim, FrameType::IdentityRecord, address(0), &rubbish),
        Err(DropReason::Unsolicited)
    );
    honest.say(&mut sim, FrameType::IdentityRecord, address(0), &record).unwrap();
    assert!(sim.reaches(0, 9));
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
    let asked = sim.count(0, is_record);
    assert!((2..=8).contains(&asked), "{asked}");
    assert_eq!(sim.count(1, is_record), 1, "nothing is asked for while a record is being verified");
}

#[test]
fn a_known_record_is_not_asked_for() {
    let (sim, _) = with_puppet();
    assert_eq!(sim.count(0, is_record), 0);
    assert_eq!(sim.count(0, |e| matches!(e, MeshEvent::IdentityWanted { .. })), 1);
}
