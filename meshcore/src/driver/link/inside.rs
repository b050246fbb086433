//! The part of an Ethernet segment that lies inside this machine.
//!
//! What one process sends through an interface, another process on the same interface does not receive: the kernel shows
//! outgoing frames only to sockets of all protocols, at a price for everything that this machine sends. So a group frame
//! goes to the loopback as well, from and to addresses that exist there alone.

use std::io;
use std::task::{Context, Poll};

use super::packet::{Mac, PacketSocket, Take};
use super::spec::Io;
use super::{Inbound, LinkCounters, LinkEvent};
use crate::types::LinkAddr;

/// Multicast, locally administered; the rest is the number of the interface whose segment this is.
const GROUP_PREFIX: [u8; 3] = [0x03, 0x4d, 0x49];

/// Marks the address of a station inside this machine, behind its 6 bytes.
const MARK: u8 = 1;

#[derive(Debug)]
pub(super) struct Inside {
    socket: PacketSocket,
    /// Made up at every start, so that the processes differ though their interface is the same.
    station: Mac,
    group: Mac,
}

impl Inside {
    /// Without a loopback that is up nothing is heard, which is no error: the other machines are.
    pub(super) fn open() -> Self {
        let mut station: Mac = rand::random();
        // Locally administered, not multicast.
        station[0] = station[0] & 0xfc | 0x02;
        let group = group_of(0);
        Self { socket: PacketSocket::new("lo", Take::Inside { station, group }, Io::Batches), station, group }
    }

    /// Says to which interface the segment belongs: it has another number whenever it was made anew.
    pub(super) fn follow(&mut self, interface: u32) {
        self.group = group_of(interface);
        self.socket.set_take(Take::Inside { station: self.station, group: self.group });
    }

    pub(super) fn counters(&self) -> LinkCounters {
        // The echoes of our own frames are of no interest.
        LinkCounters { dropped_foreign: 0, ..self.socket.counters() }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, inbound: &mut Inbound) -> Poll<LinkEvent> {
        loop {
            match self.socket.poll(cx, inbound) {
                Poll::Ready(LinkEvent::Frames) => {
                    inbound.rename(mark);
                    return Poll::Ready(LinkEvent::Frames);
                }
                // Of the loopback.
                Poll::Ready(LinkEvent::Up { .. } | LinkEvent::Down { .. }) => {}
                other => return other,
            }
        }
    }

    /// Sends the copy of a group frame.
    pub(super) fn send_to_group(&mut self, frame: &[u8]) {
        if let Err(error) = self.socket.transmit(self.station, self.group, frame) {
            tracing::trace!(%error, "no copy inside this machine");
        }
    }

    pub(super) fn send(&mut self, to: Mac, frame: &[u8]) -> io::Result<()> {
        self.socket.send_one(self.station, to, frame)
    }
}

fn group_of(interface: u32) -> Mac {
    let [_, number @ ..] = interface.to_be_bytes();
    let mut group = [0; 6];
    group[..3].copy_from_slice(&GROUP_PREFIX);
    group[3..].copy_from_slice(&number);
    group
}

/// The address of a station inside this machine.
fn mark(station: LinkAddr) -> Option<LinkAddr> {
    let mut address = [MARK; 7];
    address[..6].copy_from_slice(station.as_bytes().first_chunk::<6>()?);
    LinkAddr::new(&address)
}

/// The station inside this machine that is meant by `address`, if it is one.
pub(super) fn station(address: &LinkAddr) -> Option<Mac> {
    let (station, mark) = address.as_bytes().split_first_chunk()?;
    (mark == [MARK]).then_some(*station)
}
