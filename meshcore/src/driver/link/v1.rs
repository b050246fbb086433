//! AlexMesh version 1 on an Ethernet interface: the frames of the older programs, as they stand on the wire.

use std::fmt;
use std::io;
use std::task::{Context, Poll};

use super::packet::{Mac, PacketSocket, Take};
use super::spec::Io;
use super::{Inbound, LinkCounters, LinkError, LinkEvent};

const BROADCAST: Mac = [0xff; 6];

/// Frames of version 1 on one interface, beside a [`super::Link`] of version 2 or without one. It follows its interface
/// as a link does.
#[derive(Debug)]
pub struct V1Link {
    socket: PacketSocket,
}

impl V1Link {
    /// Opens an interface. Must be called inside a tokio runtime.
    pub fn open(interface: &str) -> Result<Self, LinkError> {
        match Self::open_or_wait(interface) {
            (Some(link), None) => Ok(link),
            (_, problem) => Err(problem.unwrap_or(LinkError::NoRuntime)),
        }
    }

    /// [`V1Link::open`] that also gives a link that cannot be opened yet, with the reason: as
    /// [`super::Link::open_or_wait`].
    pub fn open_or_wait(interface: &str) -> (Option<Self>, Option<LinkError>) {
        if tokio::runtime::Handle::try_current().is_err() {
            return (None, Some(LinkError::NoRuntime));
        }
        let mut socket = PacketSocket::new(interface, Take::Version1, Io::Batches);
        let problem = socket.problem();
        (Some(Self { socket }), problem)
    }

    /// Address of the interface, the node id of version 1. It may change while the program runs.
    pub fn mac(&self) -> [u8; 6] {
        self.socket.mac()
    }

    /// Largest whole frame in bytes, at present.
    pub fn mtu(&self) -> usize {
        self.socket.mtu()
    }

    /// As [`super::Link::poll`]: senders are MAC addresses. Short frames are padded with zeros by the wire.
    pub fn poll(&mut self, cx: &mut Context<'_>, inbound: &mut Inbound) -> Poll<LinkEvent> {
        self.socket.poll(cx, inbound)
    }

    /// Sends a frame to one station or to everybody, or loses it; errors as of [`super::Link::send_batch`].
    pub fn send(&mut self, to: Option<[u8; 6]>, frame: &[u8]) -> io::Result<()> {
        self.socket.send_one(self.socket.mac(), to.unwrap_or(BROADCAST), frame)
    }

    /// What became of the frames so far.
    pub fn counters(&self) -> LinkCounters {
        self.socket.counters()
    }
}

impl fmt::Display for V1Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1:{}", self.socket.interface())
    }
}
