//! Cables, and what is awaited of links.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::ops::{Deref, DerefMut};
use std::task::{Context, Poll};
use std::time::{Duration, Instant as Clock};

use meshcore::driver::link::{Inbound, Link, LinkEvent};
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

/// A link, and what it has brought.
pub(crate) struct Station<L = Link> {
    pub(crate) link: L,
    pub(crate) inbound: Inbound,
}

/// What a link brings, one frame at a time.
#[derive(Debug)]
pub(crate) enum News {
    Frame(LinkAddr, Vec<u8>),
    Other(LinkEvent),
}

impl<L> From<L> for Station<L> {
    fn from(link: L) -> Self {
        Self { link, inbound: Inbound::new() }
    }
}

impl<L> Deref for Station<L> {
    type Target = L;

    fn deref(&self) -> &L {
        &self.link
    }
}

impl<L> DerefMut for Station<L> {
    fn deref_mut(&mut self) -> &mut L {
        &mut self.link
    }
}

impl Station {
    /// Sends one frame.
    pub(crate) fn send(&mut self, to: Destination, frame: &[u8]) -> io::Result<()> {
        let sent = self.link.send_batch(&[(to, frame)]);
        assert_eq!(sent.done, 1);
        sent.error.map_or(Ok(()), Err)
    }

    pub(crate) async fn next(&mut self) -> News {
        next(self, |link, cx, inbound| link.poll(cx, inbound)).await
    }
}

/// Waits for the next frame or event.
pub(crate) async fn next<L>(
    station: &mut Station<L>,
    poll: fn(&mut L, &mut Context<'_>, &mut Inbound) -> Poll<LinkEvent>,
) -> News {
    loop {
        if let Some((from, frame)) = station.inbound.pop() {
            return News::Frame(from, frame.to_vec());
        }
        let Station { link, inbound } = station;
        match timeout(PATIENCE, poll_fn(|cx| poll(link, cx, inbound))).await.expect("waited in vain") {
            LinkEvent::Frames => assert!(!inbound.is_empty()),
            LinkEvent::Trouble(error) => panic!("{error}"),
            event => return News::Other(event),
        }
    }
}

pub(crate) fn open(spec: &str) -> Station {
    Link::open(&spec.parse().unwrap()).unwrap().into()
}

/// Waits for a frame.
pub(crate) async fn receive(station: &mut Station, wanted: &[u8]) -> LinkAddr {
    loop {
        match station.next().await {
            News::Frame(from, frame) if frame == wanted => return from,
            _ => {}
        }
    }
}

/// Waits until the link is up; its largest frame, and whether it is wired.
pub(crate) async fn up(link: &mut Station) -> (usize, bool) {
    loop {
        if let News::Other(LinkEvent::Up { mtu, larger, wired }) = link.next().await {
            return (larger[0].max(mtu), wired);
        }
    }
}

/// A group frame there, an answer back.
pub(crate) async fn exchange(a: &mut Station, b: &mut Station) {
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
