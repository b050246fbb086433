//! AlexMesh frames in UDP datagrams: group frames by multicast on every interface, the rest by unicast.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};

use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::interfaces::{self, Interface};
use super::monitor::Monitor;
use super::resolve::Resolver;
use super::spec::Peer;
use super::{BUFFER_SIZE, LinkCounters, LinkError, LinkEvent};
use crate::types::{Destination, LinkAddr};

/// Port of the group: the EtherType as a number.
pub(super) const PORT: u16 = 0x88b5;

/// Group in IPv6, of link-local scope.
pub(super) const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x88b5);

/// Group in IPv4, of organisation-local scope; sent with TTL 1.
pub(super) const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 0x88, 0xb5);

/// Largest frame: Ethernet's 1500 bytes without the headers of IPv6 and UDP.
pub(super) const MTU: usize = 1500 - 40 - 8;

/// The sockets of one address family.
#[derive(Debug)]
struct Family {
    v6: bool,
    /// Bound to the group's port, shared with other processes.
    listener: UdpSocket,
    /// Sends everything, and receives what is sent back.
    sender: UdpSocket,
    joined: BTreeSet<u32>,
}

#[derive(Debug)]
pub(super) struct UdpLink {
    families: Vec<Family>,
    resolver: Resolver,
    monitor: Monitor,
    interfaces: Vec<Interface>,
    /// Static peers, or a station that was heard from another network: not everybody hears everybody.
    routed: bool,
    wired: bool,
    /// An interface came since the last [`LinkEvent::Up`].
    wider: bool,
    /// What the last [`LinkEvent::Up`] said.
    told_wired: Option<bool>,
    /// Socket that is looked at first, so that none starves the others.
    next: usize,
    counters: LinkCounters,
}

fn socket(v6: bool, port: u16) -> io::Result<UdpSocket> {
    let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    if port != 0 {
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
    }
    socket.set_recv_buffer_size(BUFFER_SIZE)?;
    socket.set_send_buffer_size(BUFFER_SIZE)?;
    let any = if v6 {
        socket.set_only_v6(true)?;
        socket.set_multicast_hops_v6(1)?;
        socket.set_multicast_loop_v6(true)?;
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        socket.set_multicast_ttl_v4(1)?;
        socket.set_multicast_loop_v4(true)?;
        // Only what this socket joined, not what any socket of this machine joined.
        socket.set_multicast_all_v4(false)?;
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    };
    socket.bind(&SocketAddr::new(any, port).into())?;
    UdpSocket::from_std(socket.into())
}

/// Whether a group frame could be sent now. The kernel tries an address for a second or two before it uses it (duplicate
/// address detection, RFC 4862, 5.4), and refuses to send meanwhile.
fn has_source_v6(interface: u32) -> bool {
    let group = SocketAddrV6::new(GROUP_V6, PORT, 0, interface);
    // Chooses the source address, and sends nothing.
    Socket::new(Domain::IPV6, Type::DGRAM, None).and_then(|socket| socket.connect(&group.into())).is_ok()
}

impl Family {
    fn open(v6: bool) -> io::Result<Self> {
        Ok(Self { v6, listener: socket(v6, PORT)?, sender: socket(v6, 0)?, joined: BTreeSet::new() })
    }

    fn uses(&self, interface: &Interface) -> bool {
        if self.v6 { interface.has_v6 } else { interface.v4.is_some() }
    }

    /// Joins the group on new interfaces, and tells whether there were any. An interface that vanished took its
    /// membership along; leaving it fails.
    fn update(&mut self, interfaces: &[Interface]) -> bool {
        let mut any = false;
        let wanted: BTreeSet<u32> =
            interfaces.iter().filter(|interface| self.uses(interface)).map(|i| i.index).collect();
        let listener = SockRef::from(&self.listener);
        for index in self.joined.difference(&wanted) {
            let _ = match self.v6 {
                true => listener.leave_multicast_v6(&GROUP_V6, *index),
                false => listener.leave_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(*index)),
            };
        }
        self.joined.retain(|index| wanted.contains(index));
        for index in wanted {
            let joined = match self.v6 {
                true => listener.join_multicast_v6(&GROUP_V6, index),
                false => listener.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(index)),
            };
            match joined {
                Ok(()) => {
                    self.joined.insert(index);
                    any = true;
                }
                // Joined earlier.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => tracing::debug!(%error, index, v6 = self.v6, "cannot join the group"),
            }
        }
        any
    }

    fn send_to(&self, frame: &[u8], to: SocketAddr) -> io::Result<()> {
        // Not through tokio: a frame is sent now or dropped, and a new socket's readiness is not known yet.
        SockRef::from(&self.sender).send_to(frame, &to.into()).map(|_| ())
    }

    fn send_to_group(&self, frame: &[u8], interface: &Interface) -> io::Result<()> {
        if self.v6 {
            return self.send_to(frame, SocketAddrV6::new(GROUP_V6, PORT, 0, interface.index).into());
        }
        // Named explicitly, for on a loopback without routes the kernel would choose the source 0.0.0.0.
        let source = u32::from(interface.v4.unwrap_or(Ipv4Addr::UNSPECIFIED)).to_be();
        let info = libc::in_pktinfo {
            ipi_ifindex: interface.index as i32,
            ipi_spec_dst: libc::in_addr { s_addr: source },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        let control = [ControlMessage::Ipv4PacketInfo(&info)];
        let to = SockaddrIn::from(SocketAddrV4::new(GROUP_V4, PORT));
        let parts = [IoSlice::new(frame)];
        sendmsg(self.sender.as_raw_fd(), &parts, &control, MsgFlags::empty(), Some(&to))?;
        Ok(())
    }
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
            wider: false,
            told_wired: None,
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
        self.interfaces = interfaces::for_multicast();
        for interface in &mut self.interfaces {
            interface.has_v6 &= has_source_v6(interface.index);
        }
        for family in &mut self.families {
            self.wider |= family.update(&self.interfaces);
        }
        self.wired = self.is_wired();
    }

    /// Whether all stations hear one another: on a single cable, from which other processes of this machine hear too.
    fn is_wired(&self) -> bool {
        let used = |interface: &&Interface| self.families.iter().any(|family| family.uses(interface));
        let mut outer = self.interfaces.iter().filter(used).filter(|interface| !interface.is_loopback);
        !self.routed && outer.next().is_none_or(|first| !first.is_wireless) && outer.next().is_none()
    }

    /// What the owner does not know yet.
    fn news(&mut self) -> Option<LinkEvent> {
        if !self.wider && self.told_wired == Some(self.wired) {
            return None;
        }
        self.wider = false;
        self.told_wired = Some(self.wired);
        Some(LinkEvent::Up { mtu: MTU, wired: self.wired })
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

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<LinkEvent> {
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
            let socket = if turn.is_multiple_of(2) { &family.sender } else { &family.listener };
            let mut read = ReadBuf::new(buf);
            if let Poll::Ready(result) = socket.poll_recv_from(cx, &mut read) {
                self.next = turn + 1;
                let len = read.filled().len();
                return Poll::Ready(match result {
                    Ok(from) => self.received(len, from),
                    Err(error) => LinkEvent::Trouble(error),
                });
            }
        }
        Poll::Pending
    }

    fn received(&mut self, len: usize, from: SocketAddr) -> LinkEvent {
        if !self.routed {
            self.note_station(from.ip());
        }
        match to_link_addr(from) {
            Some(from) => {
                self.counters.received += 1;
                LinkEvent::Frame { len, from }
            }
            None => LinkEvent::Trouble(io::ErrorKind::InvalidData.into()),
        }
    }

    pub(super) fn send(&mut self, to: Destination, frame: &[u8]) -> io::Result<()> {
        let result = match to {
            Destination::Group => self.send_to_group(frame),
            Destination::Station(address) => match from_link_addr(&address) {
                Some(to) => self.send_to(frame, to),
                None => Err(io::ErrorKind::InvalidInput.into()),
            },
        };
        self.counters.count_sent(result)
    }

    fn send_to(&self, frame: &[u8], to: SocketAddr) -> io::Result<()> {
        let family = self.families.iter().find(|family| family.v6 == to.is_ipv6());
        family.ok_or(io::ErrorKind::AddrNotAvailable)?.send_to(frame, to)
    }

    /// Once for each interface and family, then to the static peers. Some interface always has no route or no
    /// carrier: an error only when every copy failed.
    fn send_to_group(&self, frame: &[u8]) -> io::Result<()> {
        let mut worked = false;
        let mut outcome = Err(io::Error::from_raw_os_error(libc::ENETDOWN));
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

/// 6 bytes: an IPv4 address and a port. 22 bytes: an IPv6 address, a port, a scope.
fn to_link_addr(from: SocketAddr) -> Option<LinkAddr> {
    let port = from.port().to_be_bytes();
    match from {
        SocketAddr::V4(from) => LinkAddr::new(&[&from.ip().octets()[..], &port].concat()),
        SocketAddr::V6(from) => {
            LinkAddr::new(&[&from.ip().octets()[..], &port, &from.scope_id().to_be_bytes()].concat())
        }
    }
}

fn from_link_addr(address: &LinkAddr) -> Option<SocketAddr> {
    let bytes = address.as_bytes();
    if let Some((ip, port)) = bytes.split_first_chunk::<4>().filter(|_| bytes.len() == 6) {
        return Some(SocketAddr::from((*ip, u16::from_be_bytes(port.try_into().ok()?))));
    }
    let (ip, rest) = bytes.split_first_chunk::<16>()?;
    let (port, scope) = rest.split_first_chunk::<2>()?;
    let scope = u32::from_be_bytes(scope.try_into().ok()?);
    Some(SocketAddrV6::new(Ipv6Addr::from(*ip), u16::from_be_bytes(*port), 0, scope).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stations_round_trip() {
        for text in ["192.0.2.1:34997", "[2001:db8::1]:1", "[fe80::1%7]:65535", "[::ffff:1.2.3.4]:9"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(to_link_addr(address).and_then(|a| from_link_addr(&a)), Some(address));
        }
        for len in [0, 5, 7, 18, 21, 23] {
            assert_eq!(from_link_addr(&LinkAddr::new(&[1; 23][..len]).unwrap()), None);
        }
    }
}
