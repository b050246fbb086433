//! Cables, and what is awaited of links.

use std::collections::BTreeSet;
use std::time::{Duration, Instant as Clock};

use meshcore::driver::link::{Link, LinkEvent};
use meshcore::types::{Destination, LinkAddr};
use tokio::time::timeout;

use crate::common::ip;

/// How long a test waits for something. Shorter than the time after which interfaces are looked at without any news.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A pair of interfaces without IP addresses, as ends of one cable.
pub(crate) fn cable(a: &str, b: &str) {
    ip(&format!("link add {a} type veth peer name {b}"));
    cable_up(a, b);
}

pub(crate) fn cable_up(a: &str, b: &str) {
    for end in [a, b] {
        ip(&format!("link set {end} addrgenmode none"));
        ip(&format!("link set {end} up"));
    }
    // An interface that has just been brought up drops frames for a moment.
    for end in [a, b] {
        wait_for(&format!("-o link show {end}"), "state UP");
    }
}

/// Waits until `ip` shows `text`.
pub(crate) fn wait_for(arguments: &str, text: &str) {
    let start = Clock::now();
    while !ip(arguments).contains(text) {
        assert!(start.elapsed() < PATIENCE, "ip {arguments} does not show {text}");
    }
}

pub(crate) fn open(spec: &str) -> Link {
    Link::open(&spec.parse().unwrap()).unwrap()
}

pub(crate) async fn next(link: &mut Link, buf: &mut [u8]) -> LinkEvent {
    match timeout(PATIENCE, link.next(buf)).await {
        Ok(LinkEvent::Trouble(error)) => panic!("{link}: {error}"),
        Ok(event) => event,
        Err(_) => panic!("{link}: waited in vain"),
    }
}

/// Waits for a frame.
pub(crate) async fn receive(link: &mut Link, wanted: &[u8]) -> LinkAddr {
    let mut buf = vec![0xa5; 10_000];
    loop {
        match next(link, &mut buf).await {
            LinkEvent::Frame { len, from } if &buf[..len] == wanted => return from,
            _ => {}
        }
    }
}

/// Waits until the link is up; its MTU, and whether it is wired.
pub(crate) async fn up(link: &mut Link) -> (usize, bool) {
    loop {
        if let LinkEvent::Up { mtu, wired } = next(link, &mut [0; 10_000]).await {
            return (mtu, wired);
        }
    }
}

/// A group frame there, an answer back.
pub(crate) async fn exchange(a: &mut Link, b: &mut Link) {
    let long = vec![7; b.mtu()];
    a.send(Destination::Group, b"who is there?").unwrap();
    let at_a = receive(b, b"who is there?").await;
    b.send(Destination::Station(at_a), &long).unwrap();
    let at_b = receive(a, &long).await;
    a.send(Destination::Station(at_b), b"x").unwrap();
    assert_eq!(receive(b, b"x").await, at_a);
}

/// Checks that every test that needs a namespace names itself rightly, or the child would run nothing and succeed.
pub(crate) fn check_names(source: &str) {
    let mut functions = BTreeSet::new();
    let mut last = "";
    for line in source.lines() {
        if let Some(rest) = line.strip_prefix("fn ") {
            last = rest.split(['(', '<']).next().unwrap_or("");
        }
        if let Some(rest) = line.strip_prefix("    in_namespace(\"") {
            assert_eq!(rest.split('"').next(), Some(last));
            functions.insert(last);
        }
    }
    assert!(!functions.is_empty());
}
