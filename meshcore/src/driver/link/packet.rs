//! Frames of EtherType 0x88B5 on one interface, which is followed through its ups and downs.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};

use nix::sys::socket::{LinkAddr as SocketLinkAddr, MsgFlags, recvmsg};
use pnet::packet::ethernet::{EtherType, EthernetPacket, MutableEthernetPacket};
use socket2::Socket;
use tokio::io::unix::AsyncFd;

use super::counters::is_down;
use super::monitor::Monitor;
use super::{BUFFER_SIZE, LinkCounters, LinkError, LinkEvent, interfaces, linux};
use crate::types::LinkAddr;

/// EtherType of AlexMesh: local experimental EtherType 1 (IEEE 802).
pub(super) const ETHERTYPE: u16 = 0x88b5;

/// An address on an Ethernet.
pub(super) type Mac = [u8; 6];

const HEADER_LEN: usize = 14;

/// Larger frames are not used, whatever the interface could carry (the loopback: 64 kB).
const MAX_MTU: usize = 9216;

/// Frames for others that are passed over before anybody else has a turn.
const BATCH: usize = 64;

/// Which frames a socket takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// Frames to this station, to everybody, and to a multicast group that is joined.
    Group(Mac),
    /// Frames to this station and to everybody whose first byte is 1.
    Version1,
    /// Frames to a station or to a group that exist on this machine only, but for the station's own.
    Inside { station: Mac, group: Mac },
}

/// A packet socket that is open whenever its interface is up.
#[derive(Debug)]
pub(super) struct PacketSocket {
    interface: String,
    take: Take,
    monitor: Monitor,
    open: Option<Open>,
    /// Of the interface, as far as it was ever open.
    mac: Mac,
    /// Why it is not open.
    problem: Option<LinkError>,
    told: Told,
    counters: LinkCounters,
}

#[derive(Debug)]
struct Open {
    fd: AsyncFd<Socket>,
    hardware: linux::Hardware,
    wired: bool,
}

impl Open {
    /// Without the limit of the loopback.
    fn mtu(&self) -> usize {
        self.hardware.mtu.min(MAX_MTU)
    }
}

/// What the owner knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Down,
    Up {
        mtu: usize,
    },
    /// An interface that is there no more, and may have a successor.
    UpBefore,
}

fn open(interface: &str, take: Take) -> Result<Open, LinkError> {
    let failed = |source| LinkError::Io { link: format!("ethernet:{interface}"), source };
    let missing = || LinkError::NoSuchInterface { name: interface.to_owned(), known: interfaces::names() };
    let socket = linux::packet_socket().map_err(|source| match source.kind() {
        // A privilege would not help then.
        io::ErrorKind::PermissionDenied if !interfaces::names().iter().any(|name| name == interface) => {
            missing()
        }
        io::ErrorKind::PermissionDenied => LinkError::permission(interface),
        _ => failed(source),
    })?;
    let hardware = linux::hardware(&socket, interface).map_err(|source| match is_down(&source) {
        true => missing(),
        false => failed(source),
    })?;
    if !hardware.is_ethernet {
        return Err(LinkError::NotEthernet { name: interface.to_owned() });
    }
    if !hardware.up {
        return Err(LinkError::Down { name: interface.to_owned() });
    }
    let fd = prepare(socket, &hardware, take).map_err(failed)?;
    Ok(Open { fd, hardware, wired: !interfaces::is_wireless(interface) })
}

/// From here on the socket receives.
fn prepare(socket: Socket, hardware: &linux::Hardware, take: Take) -> io::Result<AsyncFd<Socket>> {
    socket.set_recv_buffer_size(BUFFER_SIZE)?;
    socket.set_send_buffer_size(BUFFER_SIZE)?;
    linux::ignore_outgoing(&socket);
    match take {
        Take::Group(group) => linux::join(&socket, hardware.index, group)?,
        Take::Version1 => linux::take_first_byte(&socket, 1)?,
        Take::Inside { .. } => {}
    }
    linux::bind(&socket, hardware.index, ETHERTYPE)?;
    linux::watch(socket)
}

/// Receives one frame. `None`: it is not for us.
fn receive(socket: &Socket, take: Take, buf: &mut [u8]) -> io::Result<Option<(usize, LinkAddr)>> {
    let mut header = [0; HEADER_LEN];
    let mut parts = [IoSliceMut::new(&mut header), IoSliceMut::new(buf)];
    let message = recvmsg::<SocketLinkAddr>(socket.as_raw_fd(), &mut parts, None, MsgFlags::empty())?;
    let len = message.bytes.saturating_sub(HEADER_LEN);
    let whole = len > 0 && !message.flags.contains(MsgFlags::MSG_TRUNC);
    let here = message.address.is_some_and(|address| linux::is_for_us(address.pkttype()));
    let Some(ethernet) = EthernetPacket::new(&header) else { return Ok(None) };
    let (source, destination) = (ethernet.get_source().octets(), ethernet.get_destination().octets());
    let is_group = destination[0] & 1 == 1 && destination != [0xff; 6];
    let for_us = match take {
        // On the loopback there are groups of others.
        Take::Group(group) => here && (!is_group || destination == group),
        Take::Version1 => here,
        Take::Inside { station, group } => {
            source != station && (destination == station || destination == group)
        }
    };
    let ours = for_us && whole && ethernet.get_ethertype() == EtherType(ETHERTYPE);
    Ok(LinkAddr::new(&source).filter(|_| ours).map(|from| (len, from)))
}

impl PacketSocket {
    /// Tries to open the interface. [`PacketSocket::problem`] tells why it did not work.
    pub(super) fn new(interface: &str, take: Take) -> Self {
        // First, so that no change is missed.
        let monitor = Monitor::new();
        let (open, problem, told) = match open(interface, take) {
            Ok(open) => (Some(open), None, Told::Nothing),
            Err(problem) => (None, Some(problem), Told::Down),
        };
        let (interface, counters) = (interface.to_owned(), LinkCounters::default());
        let mac = open.as_ref().map_or([0; 6], |open| open.hardware.mac);
        Self { interface, take, monitor, open, mac, problem, told, counters }
    }

    /// Takes why it could not be opened.
    pub(super) fn problem(&mut self) -> Option<LinkError> {
        self.problem.take()
    }

    pub(super) fn interface(&self) -> &str {
        &self.interface
    }

    /// Address of the interface; zeros before it is open for the first time.
    pub(super) fn mac(&self) -> Mac {
        self.mac
    }

    /// Number of the interface while it is open.
    pub(super) fn index(&self) -> Option<u32> {
        self.open.as_ref().and_then(|open| u32::try_from(open.hardware.index).ok())
    }

    /// Largest whole frame; 0 while there is no interface.
    pub(super) fn mtu(&self) -> usize {
        self.open.as_ref().map_or(0, Open::mtu)
    }

    pub(super) fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// Changes what is taken, from one [`Take::Inside`] to another.
    pub(super) fn set_take(&mut self, take: Take) {
        self.take = take;
    }

    /// Looks at the interface, and opens it anew when it went away or came.
    fn look(&mut self) {
        self.open = self.open.take().and_then(|open| self.still(open));
        if self.open.is_none() {
            if matches!(self.told, Told::Up { .. }) {
                self.told = Told::UpBefore;
            }
            match open(&self.interface, self.take) {
                Ok(open) => self.open = Some(open),
                Err(problem) => self.problem = Some(problem),
            }
        }
        if let Some(open) = &self.open {
            self.mac = open.hardware.mac;
        }
    }

    /// What was opened, brought up to date, if its interface is still there and up.
    fn still(&self, open: Open) -> Option<Open> {
        let hardware = linux::hardware(open.fd.get_ref(), &self.interface).ok()?;
        (hardware.index == open.hardware.index && hardware.up).then_some(Open { hardware, ..open })
    }

    /// What the owner does not know yet.
    fn news(&mut self) -> Option<LinkEvent> {
        let carrying = self.open.as_ref().filter(|open| open.hardware.running);
        match (self.told, carrying) {
            (Told::Up { mtu }, Some(open)) if mtu == open.mtu() => None,
            // Down and up again: what was learnt holds for the other size, or for another segment.
            (Told::Up { .. } | Told::UpBefore, Some(_)) => {
                self.told = Told::Down;
                Some(LinkEvent::Down { reason: None })
            }
            (_, Some(open)) => {
                let (mtu, wired) = (open.mtu(), open.wired);
                self.told = Told::Up { mtu };
                Some(LinkEvent::Up { mtu, wired })
            }
            (Told::Down, None) => None,
            (_, None) => {
                self.told = Told::Down;
                let unplugged = || LinkError::NoCarrier { name: self.interface.clone() };
                let reason = match self.open {
                    Some(_) => unplugged(),
                    None => self.problem.take().unwrap_or_else(unplugged),
                };
                Some(LinkEvent::Down { reason: Some(reason) })
            }
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<LinkEvent> {
        if self.monitor.poll_changed(cx).is_ready() {
            self.look();
        }
        for _ in 0..BATCH {
            if let Some(news) = self.news() {
                return Poll::Ready(news);
            }
            let Some(open) = &self.open else { return Poll::Pending };
            let Poll::Ready(guard) = open.fd.poll_read_ready(cx) else { return Poll::Pending };
            let received = guard.map(|mut guard| guard.try_io(|fd| receive(fd.get_ref(), self.take, buf)));
            match received {
                Ok(Ok(Ok(Some((len, from))))) => {
                    self.counters.received += 1;
                    return Poll::Ready(LinkEvent::Frame { len, from });
                }
                Ok(Ok(Ok(None))) => self.counters.dropped_foreign += 1,
                // The kernel tells once that the interface went down.
                Ok(Ok(Err(error))) if is_down(&error) => self.look(),
                Ok(Ok(Err(error))) | Err(error) => return Poll::Ready(LinkEvent::Trouble(error)),
                Ok(Err(_would_block)) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends a frame without waiting, and counts how it went.
    pub(super) fn send(&mut self, source: Mac, destination: Mac, frame: &[u8]) -> io::Result<()> {
        let result = self.transmit(source, destination, frame);
        if result.as_ref().is_err_and(is_down) {
            self.monitor.suspect();
        }
        self.counters.count_sent(result)
    }

    /// [`PacketSocket::send`] without counting.
    pub(super) fn transmit(&self, source: Mac, destination: Mac, frame: &[u8]) -> io::Result<()> {
        let down = || io::Error::from_raw_os_error(nix::libc::ENETDOWN);
        let open = self.open.as_ref().filter(|open| open.hardware.running).ok_or_else(down)?;
        let mut header = [0; HEADER_LEN];
        if let Some(mut ethernet) = MutableEthernetPacket::new(&mut header) {
            ethernet.set_destination(destination.into());
            ethernet.set_source(source.into());
            ethernet.set_ethertype(EtherType(ETHERTYPE));
        }
        open.fd.get_ref().send_vectored(&[IoSlice::new(&header), IoSlice::new(frame)]).map(|_| ())
    }
}
