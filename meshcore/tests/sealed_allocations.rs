//! Opening a sealed frame of a proven session does not allocate: what comes off the wire is decrypted where it lies.

#![allow(clippy::disallowed_methods)] // tests are drivers

#[path = "common/counting.rs"]
mod counting;

use meshcore::mesh::private::{NetworkKey, Sealer};
use meshcore::types::{Destination, Instant, LinkAddr, LinkId};

/// Carries the proofs to and fro until there are none.
fn introduce(nodes: &mut [Sealer; 2], stations: &[LinkAddr; 2], link: LinkId) {
    for turn in 0..8 {
        let (from, to) = (turn % 2, 1 - turn % 2);
        let mut frame = Vec::new();
        while nodes[from].poll_transmit(&mut frame).is_some() {
            let _ = nodes[to].open(Instant::from_micros(1), link, stations[from], &mut frame);
            frame.clear();
        }
    }
}

#[test]
fn opening_a_frame_does_not_allocate() {
    let key = NetworkKey::parse(&"0123456789abcdef".repeat(4)).unwrap();
    let mut nodes = [Sealer::new(&key, [1; 32]), Sealer::new(&key, [2; 32])];
    let stations = [1u8, 2].map(|number| LinkAddr::new(&[number; 6]).unwrap());
    let (link, now) = (LinkId(1), Instant::from_micros(1));
    let inner = [2; 1400];
    let mut frame = Vec::with_capacity(2000);
    nodes[0].seal(link, Destination::Group, &inner, &mut frame).unwrap();
    assert!(nodes[1].open(now, link, stations[0], &mut frame).is_err());
    introduce(&mut nodes, &stations, link);

    for to in [Destination::Group, Destination::Station(stations[1])] {
        frame.clear();
        let before = counting::allocations();
        nodes[0].seal(link, to, &inner, &mut frame).unwrap();
        let opened =
            nodes[1].open(now, link, stations[0], &mut frame).map(|inner| inner.map(|inner| inner.len()));
        assert!(before > 0, "nothing is counted");
        assert_eq!(counting::allocations(), before);
        assert_eq!(opened, Ok(Some(1400)));
    }
}
