//! The two ways to move Ethernet frames.

use std::io;
use std::task::{Context, Poll};

use socket2::Socket;

use super::frames::{Frames, Outbound};
use super::packet::{Mac, Take};
use super::portable::Portable;
use super::spec::Io;
use super::{Inbound, LinkCounters, Sent, linux};

/// What carries the frames of an open interface.
#[derive(Debug)]
pub(super) enum Carrier {
    Batches(Frames),
    Pnet(Portable),
}

impl Carrier {
    pub(super) fn open(
        io: Io,
        socket: Socket,
        interface: (&str, &linux::Hardware),
        take: Take,
    ) -> io::Result<Self> {
        let (name, hardware) = interface;
        Ok(match io {
            Io::Batches => Self::Batches(Frames::open(socket, hardware, take)?),
            Io::Pnet => Self::Pnet(Portable::open(socket, name)?),
        })
    }

    /// Whether it can still receive.
    pub(super) fn works(&self) -> bool {
        match self {
            Self::Batches(_) => true,
            Self::Pnet(portable) => portable.works(),
        }
    }

    /// A socket to ask about the interface.
    pub(super) fn socket(&self) -> &Socket {
        match self {
            Self::Batches(frames) => frames.socket(),
            Self::Pnet(portable) => portable.socket(),
        }
    }

    /// Receives a batch; the number of frames in it that are not for us. `own` is the address of the interface.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        take: Take,
        own: Mac,
        inbound: &mut Inbound,
    ) -> Poll<io::Result<u64>> {
        match self {
            Self::Batches(frames) => frames.poll_receive(cx, take, inbound),
            Self::Pnet(portable) => portable.poll_receive(cx, take, own, inbound),
        }
    }

    /// Sends frames, as far as there is room for them.
    pub(super) fn send<'a>(
        &mut self,
        source: Mac,
        frames: impl ExactSizeIterator<Item = Outbound<'a>>,
        counters: &mut LinkCounters,
    ) -> Sent {
        match self {
            Self::Batches(own) => own.send(source, frames, counters),
            Self::Pnet(portable) => portable.send(source, frames, counters),
        }
    }

    /// Sends one frame, or loses it.
    pub(super) fn send_one(&mut self, source: Mac, to: Mac, frame: &[u8]) -> io::Result<()> {
        match self {
            Self::Batches(frames) => frames.send_one(source, to, frame),
            Self::Pnet(portable) => portable.send_one(source, to, frame),
        }
    }

    /// Ready when there is room for what could not be sent.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Batches(frames) => frames.poll_writable(cx),
            Self::Pnet(_) => Poll::Ready(()),
        }
    }
}
