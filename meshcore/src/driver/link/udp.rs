//! AlexMesh frames in UDP datagrams: group frames by multicast on every interface, the rest by unicast.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use super::family::{Family, from_link_addr, has_source_v6};
use super::interfaces::{self, Interface};
use super::monitor::Monitor;
use super::packet;
use super::resolve::Resolver;
use super::spec::Peer;
use super::{Inbound, LinkCounters, LinkError, LinkEvent, Sent};
use crate::types::{Destination, LargerFrames};

/// Headers of IPv6 and UDP.
const HEADERS: usize = 40 + 8;

/// Largest frame to just any station: Ethernet's 1500 bytes without the headers. Where a packet of this length does not
/// fit, the system sends it in fragments.
const MTU: usize = packet::USUAL_MTU - HEADERS;

#[derive(Debug)]
pub(super) struct UdpLink {
    families: Vec<Family>,
    resolver: Resolver,
    monitor: Monitor,
    interfaces: Vec<Interface>,
    /// Static peers, or a station that was heard from another network: not everybody hears everybody.
    routed: bool,
    wired: bool,
    /// What goes to stations beside larger interfaces.
    larger: LargerFrames,
    /// An interface came since the last [`LinkEvent::Up`].
    wider: bool,
    /// What the last [`LinkEvent::Up`] said.
    told: Option<(bool, LargerFrames)>,
    /// Socket that is looked at first, so that none starves the others.
    next: usize,
    counters: LinkCounters,
}

impl UdpLink {
    pub(super) fn open(peers: &[Peer]) -> Result<Self, LinkError> {
        let mut families = Vec::new();
        let mut failure = None;
        for v6 in [true, false] {
            match Family::open(v6) {
                Ok(family) => families.push(family),
                Err(error) => {
                    tracing::debug!(%error, v6, "an address family does not work");
                    failure = Some(error);
                }
            }
        }
        if let Some(source) = failure.filter(|_| families.is_empty()) {
            return Err(LinkError::Io { link: "udp".to_owned(), source });
        }
        let mut link = Self {
            families,
            resolver: Resolver::start(peers),
            monitor: Monitor::new(),
            interfaces: Vec::new(),
            routed: !peers.is_empty(),
            wired: false,
            larger: [0; 4],
            wider: false,
            told: None,
            next: 0,
            counters: LinkCounters::default(),
        };
        link.look();
        Ok(link)
    }

    pub(super) fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// Looks which interfaces there are.
    fn look(&mut self) {
        let Some(family) = self.families.first() else { return };
        self.interfaces = interfaces::for_multicast(family.socket());
        for interface in &mut self.interfaces {
            interface.has_v6 &= has_source_v6(interface.index);
        }
        for family in &mut self.families {
            self.wider |= family.update(&self.interfaces);
        }
        self.wired = self.is_wired();
        self.larger = self.larger_frames();
    }

    /// Whether all stations hear one another: on a single cable, from which other processes of this machine hear too.
    fn is_wired(&self) -> bool {
        let used = |interface: &&Interface| self.families.iter().any(|family| family.uses(interface));
        let mut outer = self.interfaces.iter().filter(used).filter(|interface| !interface.is_loopback);
        !self.routed && outer.next().is_none_or(|first| !first.is_wireless) && outer.next().is_none()
    }

    /// What the interfaces carry in one piece beyond [`MTU`].
    fn larger_frames(&self) -> LargerFrames {
        let used = |interface: &&Interface| self.families.iter().any(|family| family.uses(interface));
        let mut sizes: Vec<usize> = self.interfaces.iter().filter(used).map(largest_frame).collect();
        sizes.retain(|size| *size > MTU);
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes.dedup();
        std::array::from_fn(|number| sizes.get(number).copied().unwrap_or(0))
    }

    pub(super) fn mtu(&self) -> usize {
        self.larger[0].max(MTU)
    }

    /// What the owner does not know yet.
    fn news(&mut self) -> Option<LinkEvent> {
        let news = Some((self.wired, self.larger));
        if !self.wider && self.told == news {
            return None;
        }
        self.wider = false;
        self.told = news;
        Some(LinkEvent::Up { mtu: MTU, larger: self.larger, wired: self.wired })
    }

    /// Notes a station beyond a router: it has this node as its static peer, and does not hear the others. (A forged
    /// address costs no more than some routing updates.)
    fn note_station(&mut self, station: IpAddr) {
        let near = match station {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => true,
            _ => self.interfaces.iter().any(|interface| interface.is_near(station)),
        };
        self.routed |= !near;
        self.wired &= near;
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, inbound: &mut Inbound) -> Poll<LinkEvent> {
        if self.monitor.poll_changed(cx).is_ready() {
            self.look();
        }
        if let Some(news) = self.news() {
            return Poll::Ready(news);
        }
        let sockets = 2 * self.families.len();
        for step in 0..sockets {
            let turn = (self.next + step) % sockets;
            let Some(family) = self.families.get(turn / 2) else { continue };
            if let Poll::Ready(result) = family.poll_receive(turn % 2 == 1, cx, inbound) {
                self.next = turn + 1;
                match result {
                    Ok(foreign) => self.counters.dropped_foreign += foreign,
                    Err(error) => return Poll::Ready(LinkEvent::Trouble(error)),
                }
                if inbound.is_empty() {
                    // Somebody else has a turn before more of them are passed over.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                return Poll::Ready(self.received(inbound));
            }
        }
        Poll::Pending
    }

    fn received(&mut self, inbound: &Inbound) -> LinkEvent {
        self.counters.received += inbound.len() as u64;
        let mut last = None;
        for from in inbound.senders() {
            // Most batches are from one station.
            if let (false, Some(station)) = (self.routed || last == Some(from), from_link_addr(&from)) {
                self.note_station(station.ip());
            }
            last = Some(from);
        }
        LinkEvent::Frames
    }

    /// Sends frames in this order: those for stations in batches, the rest one by one.
    pub(super) fn send<F: AsRef<[u8]>>(&mut self, frames: &[(Destination, F)]) -> Sent {
        let mut sent = Sent::default();
        while let Some(rest) = frames.get(sent.done..).filter(|rest| !rest.is_empty()) {
            let Some((to, frame)) = rest.first() else { break };
            let len = frame.as_ref().len();
            if !carries(&self.interfaces, to, len) {
                let too_long =
                    self.counters.count_sent(Err(io::Error::from_raw_os_error(nix::libc::EMSGSIZE)));
                // Or it was to find out whether it arrives, or the interface has just changed: nobody need hear of that.
                sent.note(if len > packet::MAX_MTU { too_long } else { Ok(()) });
                continue;
            }
            let family =
                station(to).and_then(|to| self.families.iter_mut().find(|f| f.is_v6() == to.is_ipv6()));
            let Some(family) = family else {
                let result = self.send_one(to, frame.as_ref());
                sent.note(self.counters.count_sent(result));
                continue;
            };
            let v6 = family.is_v6();
            let interfaces = &self.interfaces;
            let run = rest.iter().map_while(|(to, frame)| {
                let (at, frame) = (station(to).filter(|to| to.is_ipv6() == v6)?, frame.as_ref());
                carries(interfaces, to, frame.len()).then_some((at, frame))
            });
            let batch = family.send(run.clone(), &mut self.counters);
            let is_full = batch.done < run.count();
            sent.add(batch);
            if is_full {
                break;
            }
        }
        sent
    }

    /// To the group, or to a station that no socket can reach.
    fn send_one(&self, to: &Destination, frame: &[u8]) -> io::Result<()> {
        match to {
            Destination::Group => self.send_to_group(frame),
            to => self.send_to(frame, station(to).ok_or(io::ErrorKind::InvalidInput)?),
        }
    }

    /// Ready when there is room for what could not be sent.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut result = Poll::Ready(());
        for family in &mut self.families {
            if family.poll_writable(cx).is_pending() {
                result = Poll::Pending;
            }
        }
        result
    }

    fn send_to(&self, frame: &[u8], to: SocketAddr) -> io::Result<()> {
        let family = self.families.iter().find(|family| family.is_v6() == to.is_ipv6());
        family.ok_or(io::ErrorKind::AddrNotAvailable)?.send_to(frame, to)
    }

    /// Once for each interface and family, then to the static peers. Some interface always has no route or no
    /// carrier: an error only when every copy failed.
    fn send_to_group(&self, frame: &[u8]) -> io::Result<()> {
        let mut worked = false;
        let mut outcome = Err(io::Error::from_raw_os_error(nix::libc::ENETDOWN));
        let mut note = |result: io::Result<()>| match result {
            Ok(()) => worked = true,
            failed => outcome = failed,
        };
        for family in &self.families {
            for interface in self.interfaces.iter().filter(|interface| family.uses(interface)) {
                note(family.send_to_group(frame, interface));
            }
        }
        for peer in self.resolver.addresses() {
            note(self.send_to(frame, peer));
        }
        if worked { Ok(()) } else { outcome }
    }
}

/// Largest frame that an interface carries in one piece.
fn largest_frame(interface: &Interface) -> usize {
    interface.mtu.saturating_sub(HEADERS).min(packet::MAX_MTU)
}

/// Whether frames of this length go to a station. Larger ones than [`MTU`] go in one piece and by no router, or not at
/// all.
fn carries(interfaces: &[Interface], to: &Destination, len: usize) -> bool {
    if len <= MTU {
        return true;
    }
    let Some(to) = station(to) else { return false };
    let mut ways = interfaces.iter().filter(|interface| interface.leads_to(to)).peekable();
    ways.peek().is_some() && ways.all(|way| len <= largest_frame(way))
}

/// The station that is meant, if its address is one of UDP.
fn station(to: &Destination) -> Option<SocketAddr> {
    match to {
        Destination::Station(address) => from_link_addr(address),
        Destination::Group => None,
    }
}
