//! Attackers, and what looks like them: nothing loops, nothing grows without bound, other traffic goes on.

use std::time::Duration;

use meshcore::mesh::{DropReason, Sizes};
use meshcore::types::{Address, Destination};
use meshcore::wire::frame::FrameType;
use meshcore::wire::hello::Hello;
use meshcore::wire::update::{Advert, INFINITE, Seqno, SeqnoRequest, UpdateRequest};

use crate::insider::{Insider, frame, genuine};
use crate::sim::air::port_of;
use crate::sim::format::parse;
use crate::sim::mesh_router::Node;
use crate::sim::scenario::{Change, Flow};
use crate::sim::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// What a flood consists of; a million where the build is optimised.
const FLOOD: u64 = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };

/// Honest nodes a, b, c, d in a ring, and the attacker m on a wire with a and b.
const RING: &str = "seed 1
    node a b c d m
    segment a b m name=lan
    link b c
    link c d
    link d a";

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const D: usize = 3;
const M: usize = 4;

fn ring() -> (World<Node>, Insider) {
    let mut world = World::new(parse(RING).unwrap());
    let mut attacker = Insider::new(&mut world, M);
    attacker.introduce(&mut world);
    assert!(world.hops.get(M, A).is_some() && world.hops.get(M, C).is_some(), "the attacker is a neighbour");
    (world, attacker)
}

/// Everybody honest sends to everybody honest from now on.
fn honest_traffic(world: &mut World<Node>, time: Duration) -> Vec<usize> {
    let start = world.elapsed();
    let mut flows = Vec::new();
    for (from, to) in [(A, C), (B, D), (C, A), (D, B), (A, B), (C, D)] {
        let every = SECOND / 10;
        flows.push(world.start_flow(Flow { from, to, every, start, end: start + time }));
    }
    flows
}

fn assert_traffic_went_on(world: &mut World<Node>, flows: &[usize]) {
    world.run_for(SECOND);
    for flow in flows {
        let (sent, answered) = (world.flows.requests(*flow), world.flows.answers(*flow).len() as u64);
        assert!(sent > 0 && answered == sent, "flow {flow}: {answered} of {sent} answered");
    }
    world.check_all();
}

fn dropped(world: &World<Node>, node: usize, reason: DropReason) -> u64 {
    world.stations[node].router.as_ref().unwrap().mesh.counters().dropped(reason)
}

fn sizes(world: &World<Node>, node: usize) -> Sizes {
    world.stations[node].router.as_ref().unwrap().mesh.sizes()
}

fn next_hop(world: &World<Node>, node: usize, destination: usize) -> Option<usize> {
    let address = world.stations[destination].address;
    let route = world.stations[node].router.as_ref().unwrap().mesh.route(address)?;
    (0..world.stations.len()).find(|other| world.stations[*other].address == route.next_hop)
}

/// The newest announcement of a node that the attacker has heard.
fn heard_of(attacker: &Insider, node: Address) -> Advert {
    let of_node =
        attacker.adverts.iter().filter(|advert| advert.destination == node && advert.metric != INFINITE);
    *of_node.max_by_key(|advert| advert.seqno).expect("an advert of the node was heard")
}

#[test]
fn a_forged_seqno_changes_nothing() {
    let (mut world, mut attacker) = ring();
    let before: Vec<_> = [A, B].map(|node| next_hop(&world, node, C)).to_vec();
    let flows = honest_traffic(&mut world, 10 * SECOND);
    let address = world.stations[C].address;
    let genuine = heard_of(&attacker, address);
    for step in 1..50 {
        let Seqno { record, count } = genuine.seqno;
        let newer = Advert { seqno: Seqno { record, count: count + step }, metric: 1, ..genuine };
        attacker.update(&mut world, &[newer]);
        attacker.run(&mut world, SECOND / 10);
    }
    assert!(dropped(&world, A, DropReason::BadSignature) > 0);
    assert_eq!([A, B].map(|node| next_hop(&world, node, C)).to_vec(), before);
    world.run_for(6 * SECOND);
    assert_traffic_went_on(&mut world, &flows);
}

#[test]
fn a_replayed_announcement_is_older_than_what_is_known() {
    let (mut world, mut attacker) = ring();
    let old = heard_of(&attacker, world.stations[C].address);
    world.apply(&Change::Restart { node: C, with_disk: true });
    attacker.run(&mut world, 5 * SECOND);
    let new = heard_of(&attacker, world.stations[C].address);
    assert!(new.seqno > old.seqno);
    let flows = honest_traffic(&mut world, 5 * SECOND);
    for metric in [1, 50, 96] {
        attacker.update(&mut world, &[Advert { metric, ..old }]);
        attacker.run(&mut world, SECOND);
    }
    assert!(dropped(&world, A, DropReason::Outdated) >= 3);
    assert_ne!(next_hop(&world, A, C), Some(M));
    world.run_for(3 * SECOND);
    assert_traffic_went_on(&mut world, &flows);
}

#[test]
fn a_metric_does_not_wrap() {
    let (mut world, mut attacker) = ring();
    let address = Address([0x42; 16]);
    for metric in [INFINITE - 1, INFINITE - 96, INFINITE - 97] {
        let advert = Advert { hops: 255, ..genuine(address, 1, u32::from(metric), metric) };
        attacker.update(&mut world, &[advert]);
        attacker.run(&mut world, 2 * SECOND);
        for node in [A, B, C, D] {
            let mesh = &world.stations[node].router.as_ref().unwrap().mesh;
            assert!(mesh.route(address).is_none_or(|route| route.metric >= INFINITE - 97));
        }
    }
    world.check_all();
}

#[test]
fn routes_that_cannot_be_are_not_taken() {
    let (mut world, mut attacker) = ring();
    let flows = honest_traffic(&mut world, 5 * SECOND);
    let own = heard_of(&attacker, world.stations[A].address);
    let malformed = dropped(&world, A, DropReason::Malformed);
    // To the receiver itself; to somebody else at no distance; to the sender at a distance.
    attacker.update(&mut world, &[Advert { metric: 1, ..own }]);
    let other = heard_of(&attacker, world.stations[D].address);
    attacker.update(&mut world, &[Advert { metric: 0, ..other }]);
    attacker.update(&mut world, &[genuine(attacker.address, 1, 1, 7)]);
    attacker.run(&mut world, 2 * SECOND);
    assert!(next_hop(&world, A, A).is_none());
    assert!(dropped(&world, A, DropReason::Malformed) >= malformed + 2);
    world.run_for(4 * SECOND);
    assert_traffic_went_on(&mut world, &flows);
}

#[test]
fn a_flood_of_strangers_leaves_the_neighbours_alone() {
    let (mut world, mut attacker) = ring();
    let flows = honest_traffic(&mut world, 20 * SECOND);
    for number in 0..FLOOD {
        let mut made_up = [0x99; 16];
        made_up[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let hello = Hello { seqno: 1, interval: 300, instance: number, version: 1, total: 0 };
        let mut payload = Vec::new();
        hello.emit([], &mut payload);
        let flood = frame(Address(made_up), Address::EVERYONE, FrameType::Hello, &payload);
        world.put_on_air(attacker.port, Destination::Group, &flood);
        if number % (FLOOD / 1000) == 0 {
            attacker.run(&mut world, SECOND / 50);
        }
    }
    for node in [A, B] {
        let sizes = sizes(&world, node);
        assert!(sizes.neighbours <= 512 + 4 && sizes.destinations <= 16, "{sizes:?}");
    }
    world.run_for(SECOND);
    assert_traffic_went_on(&mut world, &flows);
}

#[test]
fn a_relay_that_swallows_frames_is_left() {
    let text = "seed 1\nnode a b c d e\nlink a b\nlink b d\nlink a c\nlink c e\nlink e d\nend 60s";
    let mut world = World::<Node>::new(parse(text).unwrap());
    world.stations[1].swallows = Some(world.stations[3].address);
    world.run_for(10 * SECOND);
    assert_eq!(next_hop(&world, 0, 3), Some(1), "the short way");
    let start = world.elapsed();
    let (every, end) = (SECOND / 10, start + 30 * SECOND);
    let flow = world.start_flow(Flow { from: 0, to: 3, every, start, end });
    world.run_for(30 * SECOND);
    let answers = world.flows.answers(flow);
    let first = *answers.first().expect("the long way is found") - world.begin();
    assert!(first - start <= 2 * SECOND, "left after {:?}", first - start);
    assert!(answers.len() >= 280, "{} of 300", answers.len());
}

#[test]
fn two_nodes_with_one_key_disturb_nobody_else() {
    let text = format!("{RING}\nnode x\nlink c x");
    let mut world = World::<Node>::new(parse(&text).unwrap());
    let twin = world.stations[A].address;
    world.stations[5].address = twin;
    world.stations[M].life += 1;
    world.ambiguous.push(twin);
    world.run_for(10 * SECOND);
    let flow = |world: &mut World<Node>, from, to| {
        let start = world.elapsed();
        world.start_flow(Flow { from, to, every: SECOND / 10, start, end: start + 20 * SECOND })
    };
    let flows = [(B, D), (D, B), (C, B), (D, C)].map(|(from, to)| flow(&mut world, from, to));
    let before = world.control_bytes();
    world.run_for(60 * SECOND);
    assert_traffic_went_on(&mut world, &flows);
    let rate = (world.control_bytes() - before) / 61 / 5;
    assert!(rate < 5_000, "the twins make everybody send {rate} B/s");
}

#[test]
fn twins_on_one_wire_are_told_of_each_other() {
    let mut world = World::<Node>::new(parse("node a b c\nsegment a b c").unwrap());
    let twin = world.stations[0].address;
    world.stations[2].address = twin;
    world.ambiguous.push(twin);
    world.run_for(120 * SECOND);
    for node in [0, 2] {
        let conflicts = world.stations[node].notices.conflicts;
        assert!((1..=3).contains(&conflicts), "{conflicts} conflicts told to {node}");
    }
}

#[test]
fn a_clock_that_jumps_ahead_is_survived() {
    let text = "seed 1\nnode a b c d\nlink a b\nlink b c\nlink c d\nlink d a";
    for hours in [1, 24, 24 * 365] {
        let mut world = World::<Node>::new(parse(text).unwrap());
        world.run_for(10 * SECOND);
        world.stations[1].ahead += hours * 3600 * SECOND;
        world.with(1, |router, now| router.mesh.handle_timeout(now));
        let took = world.run_until_reached(60 * SECOND, SECOND / 10);
        world.run_for(5 * SECOND);
        assert!(took.is_some_and(|took| took <= 10 * SECOND), "{hours} hours: {took:?}");
        assert!(world.find_unreached(&world.reach()).is_none());
        world.check_all();
    }
}

#[test]
fn an_interface_that_goes_down_in_mid_send_sends_nothing_more() {
    let (mut world, mut attacker) = ring();
    let lan = world.air.link(world.air.ports_of(A)[0]);
    for _ in 0..20 {
        // Something is queued for the link when it goes: the world panics when that is sent.
        world.apply(&Change::Restart { node: D, with_disk: true });
        attacker.run(&mut world, SECOND);
        let hello = Hello { seqno: 9, interval: 300, instance: 77, version: 1, total: 0 };
        let mut payload = Vec::new();
        hello.emit([], &mut payload);
        let mut stranger = frame(Address([0x31; 16]), Address::EVERYONE, FrameType::Hello, &payload);
        let link = world.air.link(port_of(lan));
        let from = crate::sim::air::station(attacker.port);
        world.air.set_plugged(port_of(lan), false);
        world.with(A, |router, now| {
            let _ = router.mesh.handle_frame(now, link, from, &mut stranger);
            let _ = router.mesh.next_hop(now, attacker.address);
            router.mesh.remove_link(now, link);
            assert!(router.mesh.next_hop(now, attacker.address).is_none_or(|hop| hop.link != link));
        });
        attacker.run(&mut world, SECOND / 10);
        assert!(world.hops.get(D, A).is_some(), "by the other way");
        world.apply(&Change::Plug { node: A, medium: 0 });
        attacker.run(&mut world, 2 * SECOND);
    }
    world.check_all();
}

/// An address that the attacker has made a key for.
fn made_up(number: u128) -> Address {
    Address((0x4d00_0000_0000_0000_0000_0000_0000_0000 | number).to_be_bytes())
}

#[test]
fn made_up_destinations_push_out_no_live_route() {
    let (mut world, mut attacker) = ring();
    let flows = honest_traffic(&mut world, 60 * SECOND);
    for number in 0..6_000 {
        attacker.update(&mut world, &[genuine(made_up(number), 1, 0, 10)]);
        if number % 100 == 0 {
            attacker.run(&mut world, SECOND);
        }
    }
    for node in [A, B, C, D] {
        let sizes = sizes(&world, node);
        assert!(sizes.destinations <= 4096 && sizes.identities <= 8192, "{sizes:?}");
    }
    let held = sizes(&world, A).destinations;
    assert!(held > 1000, "the attacker has got {held} destinations in");
    world.run_for(SECOND);
    assert_traffic_went_on(&mut world, &flows);
}

#[test]
fn destinations_without_an_identity_wait_in_a_bounded_place() {
    let (mut world, mut attacker) = ring();
    let flows = honest_traffic(&mut world, 20 * SECOND);
    for number in 0..2_000 {
        // Record number 2 is never served: the attacker's records have number 1.
        attacker.update(&mut world, &[genuine(made_up(number), 2, 0, 10)]);
        if number % 100 == 0 {
            attacker.run(&mut world, SECOND);
        }
    }
    let sizes = sizes(&world, A);
    assert!(sizes.pending <= 128 && sizes.destinations < 200, "{sizes:?}");
    world.run_for(SECOND);
    assert_traffic_went_on(&mut world, &flows);
}

#[test]
fn floods_of_requests_are_answered_within_bounds() {
    let (mut world, mut attacker) = ring();
    let flows = honest_traffic(&mut world, 20 * SECOND);
    let before: u64 = [A, B, C, D].iter().map(|node| world.sent[*node].control_bytes).sum();
    let target = world.stations[C].address;
    let newest = heard_of(&attacker, target).seqno;
    for round in 0..1_000_u32 {
        let victim = world.stations[A].address;
        let heard = attacker.heard[&victim].seqno;
        for step in 0..20 {
            let mut payload = Vec::new();
            UpdateRequest { heard, floor: 0, since: 0 }.emit(&mut payload);
            attacker.tell(&mut world, victim, FrameType::UpdateRequest, &payload);
            payload.clear();
            let seqno = Seqno { record: newest.record, count: newest.count + 20 * round + step };
            SeqnoRequest { heard, destination: target, seqno, hop_limit: 128 }.emit(&mut payload);
            attacker.tell(&mut world, victim, FrameType::SeqnoRequest, &payload);
        }
        attacker.run(&mut world, SECOND / 50);
    }
    let after: u64 = [A, B, C, D].iter().map(|node| world.sent[*node].control_bytes).sum();
    let rate = (after - before) / 20;
    assert!(rate < 200_000, "2,000 requests a second make four nodes send {rate} B/s");
    let announced = heard_of(&attacker, target).seqno.count - newest.count;
    assert!(announced <= 20, "{announced} announcements in 20 s");
    world.run_for(SECOND);
    assert_traffic_went_on(&mut world, &flows);
}
