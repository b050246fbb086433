//! One router, and small networks of routers whose announcements are lost, late and out of order.

mod net;

use super::avoid::AVOID;
use super::emit::Range;
use super::*;
use crate::types::LinkId;

const START: Instant = Instant::from_micros(1_000_000);
const KEY: HashKey = HashKey::new([7; 16]);
const SCOPE: Scope = Scope { link: LinkId(9), wired: false, slot: 3 };

fn node(number: usize) -> Address {
    let mut bytes = [0x22; 16];
    bytes[8..].copy_from_slice(&(number as u64).to_be_bytes());
    Address(bytes)
}

fn seqno(count: u32) -> Seqno {
    Seqno { record: 1, count }
}

fn advert(destination: Address, count: u32, metric: u16) -> Advert {
    Advert { destination, seqno: seqno(count), metric, mtu: 1400, hops: 1, signature: [count as u8; 64] }
}

fn hop(link: u32, number: usize, wired: bool) -> Hop {
    Hop { link: LinkId(link), node: node(number), cost: 96, mtu: 1400, wired }
}

/// A router that announced itself, with one neighbour on a link that is not `SCOPE`'s.
fn router() -> (Router, HopId) {
    let mut router = Router::new(node(0), KEY);
    router.announce_own(seqno(0), [0; 64]);
    let via = router.add_hop(hop(1, 1, false));
    (router, via)
}

/// The entries of the next update for `SCOPE` behind `since`, and its range.
fn changes(router: &mut Router, now: Instant, since: Told) -> (Vec<Advert>, Range) {
    let mut bytes = Vec::new();
    crate::wire::update::Update { instance: 0, floor: 0, from: 0, to: 0 }.emit(&mut bytes);
    let range = router.emit_changes(now, SCOPE, since, router.version(), 1300, &mut bytes);
    let (_, adverts) = crate::wire::update::Update::parse(&bytes).unwrap();
    (adverts.collect(), range)
}

/// All entries behind `since`, as a neighbour is told them one frame after the other.
fn all_changes(router: &mut Router, now: Instant, mut since: Told) -> Vec<Advert> {
    let mut all = Vec::new();
    for _ in 0..1000 {
        let (adverts, range) = changes(router, now, since);
        all.extend(adverts);
        since.version = range.to;
        if range.from == 0 {
            since.floor = router.floor();
        }
        if range.to == router.version() {
            return all;
        }
    }
    panic!("the table has no end");
}

#[test]
fn a_whole_table_ends_after_destinations_were_forgotten() {
    let (mut router, via) = router();
    for number in 2..102 {
        router.learn(START, via, &advert(node(number), 0, 96), || true).unwrap();
    }
    router.retract(START, via, node(101));
    let now = START + IDLE_LIFE;
    router.collect(now);
    assert!(!router.knows(node(101)));
    assert!(router.floor() > 50);
    let told = all_changes(&mut router, now, Told::default());
    assert!(
        (1..101).all(|number| number == 1 || told.iter().any(|advert| advert.destination == node(number)))
    );
    // Who knew the table before the last one was forgotten is told all of it again.
    let old = Told { version: router.floor() - 1, floor: 0 };
    assert_eq!(changes(&mut router, now, old).1.from, 0);
    let current = Told { version: router.floor(), floor: 0 };
    assert_ne!(changes(&mut router, now, current).1.from, 0);
}

#[test]
fn what_was_not_said_of_an_avoided_route_is_told_when_that_ends() {
    let (mut router, via) = router();
    let other = router.add_hop(hop(1, 2, false));
    router.learn(START, via, &advert(node(5), 0, 96), || true).unwrap();
    let told = all_changes(&mut router, START, Told::default());
    assert!(told.iter().any(|advert| advert.destination == node(5)));
    // The other way is infeasible: nothing is said until its destination announces itself anew.
    router.learn(START, other, &advert(node(5), 0, 500), || true).unwrap();
    router.avoid_next_hop(START, node(5));
    router.learn(START, via, &advert(node(5), 0, 1000), || true).unwrap();
    let version = router.version();
    assert!(!all_changes(&mut router, START, Told::default()).iter().any(|a| a.destination == node(5)));
    router.collect(START + AVOID);
    let since = Told { version, floor: 0 };
    let told = all_changes(&mut router, START + AVOID, since);
    assert_eq!(told.iter().map(|a| (a.destination, a.metric)).collect::<Vec<_>>(), [(node(5), 1096)]);
}

#[test]
fn nothing_is_announced_without_an_identity() {
    let mut router = Router::new(node(0), KEY);
    assert!(all_changes(&mut router, START, Told::default()).is_empty());
    assert!(!router.on_seqno_request(START, node(0), Seqno { record: 0, count: 1 }, 9));
}

#[test]
fn a_slot_that_is_used_again_has_told_nothing() {
    let (mut router, via) = router();
    router.learn(START, via, &advert(node(5), 0, 96), || true).unwrap();
    all_changes(&mut router, START, Told::default());
    let since = Told { version: router.version(), floor: 0 };
    router.retract(START, via, node(5));
    let (retraction, _) = changes(&mut router, START, since);
    assert_eq!(retraction, [Advert::retraction(node(5), seqno(0))]);
    router.free_slot(SCOPE.slot);
    assert!(changes(&mut router, START, since).0.is_empty());
}

#[test]
fn a_hop_that_is_gone_leaves_no_route_to_the_next_in_its_slot() {
    let (mut router, via) = router();
    router.learn(START, via, &advert(node(5), 0, 96), || true).unwrap();
    router.avoid_next_hop(START, node(5));
    router.remove_hop(START, via);
    let next = router.add_hop(hop(1, 2, false));
    assert_eq!(next, via, "the slot is used again");
    assert!(router.selected(node(5)).is_none() && router.avoided.is_empty());
    assert_eq!(router.sizes()[..2], [1, 0]);
}
