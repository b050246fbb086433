//! UDP sockets of one address family, many datagrams a system call.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll, ready};

use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::inbound::{Inbound, UDP_SLOT, UDP_SLOTS};
use super::interfaces::Interface;
use super::mmsg::{self, BATCH, Incoming, Outgoing};
use super::writable::Writable;
use super::{LinkCounters, Sent, linux};
use crate::types::LinkAddr;

/// Port of the group: the EtherType as a number.
pub(super) const PORT: u16 = 0x88b5;

/// Group in IPv6, of link-local scope.
pub(super) const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x88b5);

/// Group in IPv4, of organisation-local scope; sent with TTL 1.
pub(super) const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 0x88, 0xb5);

/// Messages given to the kernel at once; most are of several frames.
const MESSAGES: usize = 16;

/// Frames in one message: the kernel takes no more (UDP_MAX_SEGMENTS before Linux 6.9).
const MAX_SEGMENTS: usize = 64;

/// Bytes in one message, with room for the headers of IP in its 16 bits of length.
const MAX_SEGMENTED: usize = 65_000;

/// The sockets of one address family.
#[derive(Debug)]
pub(super) struct Family {
    v6: bool,
    /// Bound to the group's port, shared with other processes.
    listener: AsyncFd<Socket>,
    /// Sends everything, and receives what is sent back.
    sender: AsyncFd<Socket>,
    writable: Writable,
    /// Whether several frames may go as segments of one message: as the kernel says, and as far as is known of the paths.
    has_gso: (bool, bool),
    joined: BTreeSet<u32>,
}

fn socket(v6: bool, port: u16) -> io::Result<AsyncFd<Socket>> {
    let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    if port != 0 {
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
    }
    linux::set_buffers(&socket)?;
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
    let on: libc::c_int = 1;
    // Since Linux 5.0; without it each datagram comes by itself.
    if let Err(error) = linux::set_option(&socket, libc::SOL_UDP, libc::UDP_GRO, &on) {
        tracing::debug!(%error, "datagrams are not put together");
    }
    linux::watch(socket)
}

/// Whether a group frame could be sent now. The kernel tries an address for a second or two before it uses it (duplicate
/// address detection, RFC 4862, 5.4), and refuses to send meanwhile.
pub(super) fn has_source_v6(interface: u32) -> bool {
    let group = SocketAddrV6::new(GROUP_V6, PORT, 0, interface);
    // Chooses the source address, and sends nothing.
    Socket::new(Domain::IPV6, Type::DGRAM, None).and_then(|socket| socket.connect(&group.into())).is_ok()
}

impl Family {
    pub(super) fn open(v6: bool) -> io::Result<Self> {
        let (listener, sender) = (socket(v6, PORT)?, socket(v6, 0)?);
        // Since Linux 4.18; an older one would send a run of frames as one datagram.
        let off: libc::c_int = 0;
        let known = linux::set_option(sender.get_ref(), libc::SOL_UDP, libc::UDP_SEGMENT, &off).is_ok();
        let (writable, has_gso) = (Writable::default(), (known, known));
        Ok(Self { v6, listener, sender, writable, has_gso, joined: BTreeSet::new() })
    }

    pub(super) fn socket(&self) -> &Socket {
        self.sender.get_ref()
    }

    pub(super) fn is_v6(&self) -> bool {
        self.v6
    }

    pub(super) fn uses(&self, interface: &Interface) -> bool {
        if self.v6 { interface.has_v6 } else { interface.v4.is_some() }
    }

    /// Joins the group on new interfaces, and tells whether there were any. An interface that vanished took its
    /// membership along; leaving it fails.
    pub(super) fn update(&mut self, interfaces: &[Interface]) -> bool {
        self.has_gso.1 = self.has_gso.0;
        let mut any = false;
        let wanted: BTreeSet<u32> =
            interfaces.iter().filter(|interface| self.uses(interface)).map(|i| i.index).collect();
        let listener = self.listener.get_ref();
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

    /// Receives a batch from one of the two sockets; the number of datagrams that are no frames.
    pub(super) fn poll_receive(
        &self,
        from_listener: bool,
        cx: &mut Context<'_>,
        inbound: &mut Inbound,
    ) -> Poll<io::Result<u64>> {
        let socket = if from_listener { &self.listener } else { &self.sender };
        loop {
            let mut guard = ready!(socket.poll_read_ready(cx))?;
            let Ok(received) = guard.try_io(|socket| receive(socket.get_ref(), inbound)) else { continue };
            let (count, foreign) = received?;
            if count < UDP_SLOTS {
                // The queue is empty, and whatever comes now is told anew: this saves the call that would find nothing.
                guard.clear_ready();
            }
            return Poll::Ready(Ok(foreign));
        }
    }

    pub(super) fn send_to(&self, frame: &[u8], to: SocketAddr) -> io::Result<()> {
        self.sender.get_ref().send_to(frame, &to.into()).map(|_| ())
    }

    /// Sends frames to stations of this family, until the socket's buffer is full.
    pub(super) fn send<'a>(
        &mut self,
        frames: impl Iterator<Item = (SocketAddr, &'a [u8])> + Clone,
        counters: &mut LinkCounters,
    ) -> Sent {
        let mut sent = Sent::default();
        loop {
            let mut batch = Batch::new();
            batch.fill(frames.clone().skip(sent.done), self.has_gso.1);
            if batch.count == 0 {
                return sent;
            }
            match batch.send(self.sender.get_ref()) {
                Ok(count) => {
                    sent.done += count;
                    counters.sent += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.writable.wait_for(self.sender.get_ref()) {
                        Ok(()) => return sent,
                        // Nobody would tell when it is over.
                        Err(_) => sent.note(counters.count_sent(Err(error))),
                    }
                }
                // The interface or the path does not take segments; it is tried again with other interfaces.
                Err(error) if batch.starts_with_segments() && refuses_segments(&error) => {
                    self.has_gso.1 = false;
                }
                Err(error) => sent.note(counters.count_sent(Err(error))),
            }
        }
    }

    /// Ready when there is room for what could not be sent.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.writable.poll(cx)
    }

    pub(super) fn send_to_group(&self, frame: &[u8], interface: &Interface) -> io::Result<()> {
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

/// Receives a batch: how many messages of the kernel, and how many of them hold no frame.
fn receive(socket: &Socket, inbound: &mut Inbound) -> io::Result<(usize, u64)> {
    let (buffer, frames) = inbound.refill();
    let mut foreign = 0;
    let count = mmsg::receive(socket, buffer, UDP_SLOT, |number, incoming| {
        let Incoming { len, is_truncated, from, segment } = incoming;
        let from = from.as_socket().and_then(to_link_addr).filter(|_| len > 0 && !is_truncated);
        let Some(from) = from else {
            foreign += 1;
            return;
        };
        let (start, size) = (number * UDP_SLOT, segment.map_or(len, usize::from));
        let pieces = (0..len).step_by(size).map(|at| start + at..start + len.min(at + size));
        frames.extend(pieces.map(|range| (from, range)));
    })?;
    Ok((count, foreign))
}

/// Whether the same frames might go one by one.
fn refuses_segments(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE | libc::EOPNOTSUPP))
}

/// Messages for the kernel, each of one frame or of several to one station.
struct Batch<'a> {
    parts: [IoSlice<'a>; BATCH],
    messages: [Option<Message>; MESSAGES],
    count: usize,
}

struct Message {
    to: SocketAddr,
    address: SockAddr,
    first: usize,
    frames: usize,
    /// Of the first frame, and so of all but the last one.
    size: usize,
    bytes: usize,
}

impl Message {
    /// Whether one more frame may follow as a segment.
    fn takes(&self, to: SocketAddr, last: usize, frame: &[u8]) -> bool {
        let fits = self.frames < MAX_SEGMENTS && self.bytes + frame.len() <= MAX_SEGMENTED;
        fits && self.to == to && last == self.size && (1..=self.size).contains(&frame.len())
    }
}

impl<'a> Batch<'a> {
    fn new() -> Self {
        Self { parts: [IoSlice::new(&[]); BATCH], messages: [const { None }; MESSAGES], count: 0 }
    }

    fn fill(&mut self, frames: impl Iterator<Item = (SocketAddr, &'a [u8])>, has_gso: bool) {
        let mut last = 0;
        for ((part, (to, frame)), number) in self.parts.iter_mut().zip(frames).zip(0..) {
            match self.count.checked_sub(1).and_then(|index| self.messages.get_mut(index)?.as_mut()) {
                Some(message) if has_gso && message.takes(to, last, frame) => {
                    message.frames += 1;
                    message.bytes += frame.len();
                }
                _ => {
                    let Some(message) = self.messages.get_mut(self.count) else { return };
                    let (size, bytes) = (frame.len(), frame.len());
                    *message =
                        Some(Message { to, address: to.into(), first: number, frames: 1, size, bytes });
                    self.count += 1;
                }
            }
            (*part, last) = (IoSlice::new(frame), frame.len());
        }
    }

    /// Sends the first messages, and tells how many frames that were.
    fn send(&self, socket: &Socket) -> io::Result<usize> {
        let messages = self.messages.iter().flatten();
        let outgoing = messages.clone().map(|message| Outgoing {
            to: Some(&message.address),
            parts: self.parts.get(message.first..message.first + message.frames).unwrap_or_default(),
            segment: u16::try_from(message.size).ok().filter(|_| message.frames > 1),
        });
        let count = mmsg::send(socket, outgoing)?;
        Ok(messages.take(count).map(|message| message.frames).sum())
    }

    fn starts_with_segments(&self) -> bool {
        matches!(self.messages.first(), Some(Some(message)) if message.frames > 1)
    }
}

/// 6 bytes: an IPv4 address and a port. 22 bytes: an IPv6 address, a port, a scope.
fn to_link_addr(from: SocketAddr) -> Option<LinkAddr> {
    let port = from.port().to_be_bytes();
    match from {
        SocketAddr::V4(from) => {
            let mut address = [0; 6];
            address[..4].copy_from_slice(&from.ip().octets());
            address[4..].copy_from_slice(&port);
            LinkAddr::new(&address)
        }
        SocketAddr::V6(from) => {
            let mut address = [0; 22];
            address[..16].copy_from_slice(&from.ip().octets());
            address[16..18].copy_from_slice(&port);
            address[18..].copy_from_slice(&from.scope_id().to_be_bytes());
            LinkAddr::new(&address)
        }
    }
}

pub(super) fn from_link_addr(address: &LinkAddr) -> Option<SocketAddr> {
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
