//! Frames of EtherType 0x88B5 on one interface, which is followed through its ups and downs.

use std::io;
use std::task::{Context, Poll, ready};

use super::carrier::Carrier;
use super::counters::is_down;
use super::frames::Outbound;
use super::monitor::Monitor;
use super::spec::Io;
use super::{Inbound, LinkCounters, LinkError, LinkEvent, Sent, interfaces, linux};

/// EtherType of AlexMesh: local experimental EtherType 1 (IEEE 802).
pub(super) const ETHERTYPE: u16 = 0x88b5;

/// An address on an Ethernet.
pub(super) type Mac = [u8; 6];

/// Larger frames are not used, whatever the interface could carry (the loopback: 64 kB).
pub(super) const MAX_MTU: usize = 9216;

/// Largest frame that is for just any station on an Ethernet; larger ones are for those that take them.
pub(super) const USUAL_MTU: usize = 1500;

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
    io: Io,
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
    carrier: Carrier,
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

fn open(interface: &str, take: Take, io: Io) -> Result<Open, LinkError> {
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
    let carrier = Carrier::open(io, socket, (interface, &hardware), take).map_err(failed)?;
    Ok(Open { carrier, hardware, wired: !interfaces::is_wireless(interface) })
}

impl PacketSocket {
    /// Tries to open the interface. [`PacketSocket::problem`] tells why it did not work.
    pub(super) fn new(interface: &str, take: Take, io: Io) -> Self {
        // First, so that no change is missed.
        let monitor = Monitor::new();
        let (open, problem, told) = match open(interface, take, io) {
            Ok(open) => (Some(open), None, Told::Nothing),
            Err(problem) => (None, Some(problem), Told::Down),
        };
        let (interface, counters) = (interface.to_owned(), LinkCounters::default());
        let mac = open.as_ref().map_or([0; 6], |open| open.hardware.mac);
        Self { interface, take, io, monitor, open, mac, problem, told, counters }
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
            match open(&self.interface, self.take, self.io) {
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
        let hardware = linux::hardware(open.carrier.socket(), &self.interface).ok()?;
        let same = hardware.index == open.hardware.index && open.carrier.works();
        (same && hardware.up).then_some(Open { hardware, ..open })
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
                Some(LinkEvent::Up { mtu, larger: [0; 4], wired })
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

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, inbound: &mut Inbound) -> Poll<LinkEvent> {
        if self.monitor.poll_changed(cx).is_ready() {
            self.look();
        }
        loop {
            if let Some(news) = self.news() {
                return Poll::Ready(news);
            }
            let Some(open) = &mut self.open else { return Poll::Pending };
            match ready!(open.carrier.poll_receive(cx, self.take, open.hardware.mac, inbound)) {
                Ok(foreign) => {
                    self.counters.dropped_foreign += foreign;
                    self.counters.received += inbound.len() as u64;
                    if inbound.is_empty() {
                        // Somebody else has a turn before more of them are passed over.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    return Poll::Ready(LinkEvent::Frames);
                }
                // The kernel tells once that the interface went down.
                Err(error) if is_down(&error) => self.look(),
                Err(error) => return Poll::Ready(LinkEvent::Trouble(error)),
            }
        }
    }

    /// What can carry frames now.
    fn carrying(&mut self) -> io::Result<&mut Carrier> {
        let down = || io::Error::from_raw_os_error(nix::libc::ENETDOWN);
        self.open.as_mut().filter(|open| open.hardware.running).map(|open| &mut open.carrier).ok_or_else(down)
    }

    /// Sends frames without waiting, and counts how it went. What is not done waits for room in the socket's buffer.
    pub(super) fn send<'a>(
        &mut self,
        source: Mac,
        frames: impl ExactSizeIterator<Item = Outbound<'a>>,
    ) -> Sent {
        let mut counters = self.counters;
        let down_before = counters.dropped_down;
        let sent = match self.carrying() {
            Ok(carrying) => carrying.send(source, frames, &mut counters),
            Err(_) => {
                counters.dropped_down += frames.len() as u64;
                Sent { done: frames.len(), error: None }
            }
        };
        if counters.dropped_down > down_before {
            self.monitor.suspect();
        }
        self.counters = counters;
        sent
    }

    /// Sends one frame, or loses it, and counts how it went.
    pub(super) fn send_one(&mut self, source: Mac, destination: Mac, frame: &[u8]) -> io::Result<()> {
        let result = self.transmit(source, destination, frame);
        if result.as_ref().is_err_and(is_down) {
            self.monitor.suspect();
        }
        self.counters.count_sent(result)
    }

    /// [`PacketSocket::send_one`] without counting.
    pub(super) fn transmit(&mut self, source: Mac, destination: Mac, frame: &[u8]) -> io::Result<()> {
        self.carrying()?.send_one(source, destination, frame)
    }

    /// Ready when there is room for what could not be sent, or when it can only be lost.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.open.as_mut().map_or(Poll::Ready(()), |open| open.carrier.poll_writable(cx))
    }
}
