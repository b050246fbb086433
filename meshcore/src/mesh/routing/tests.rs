//! One router, and small networks of routers whose announcements are lost, late and out of order.

mod net;

use super::emit::Range;
use super::*;
use crate::types::LinkId;

const START: Instant = Instant::from_micros(1_000_000);
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
    let mut router = Router::new(node(0));
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
        router.learn(START, via, &advert(node(number), 0, 96)).unwrap();
    }
    router.learn(START, via, &Advert::retraction(node(101), seqno(0))).unwrap();
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
