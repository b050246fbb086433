//! AlexMesh frames straight on Ethernet: EtherType 0x88B5, no IP.

use std::io;
use std::task::{Context, Poll};

use super::inside::{self, Inside};
use super::packet::{Mac, PacketSocket, Take};
use super::{LinkCounters, LinkError, LinkEvent};
use crate::types::Destination;

/// Multicast address of the group, locally administered.
const GROUP: Mac = [0x03, 0x4d, 0x53, 0x48, 0x88, 0xb5];

#[derive(Debug)]
pub(super) struct EthernetLink {
    socket: PacketSocket,
    /// Other processes of this machine on the same interface; on the loopback they hear each other anyway.
    inside: Option<Inside>,
    /// Which is asked first: each in turn, so that neither starves the other.
    inside_first: bool,
}

impl EthernetLink {
    /// A link, and why it does not work yet.
    pub(super) fn open_or_wait(interface: &str) -> (Self, Option<LinkError>) {
        let mut socket = PacketSocket::new(interface, Take::Group(GROUP));
        let problem = socket.problem();
        let mut inside = (interface != "lo").then(Inside::open);
        follow(&socket, inside.as_mut());
        (Self { socket, inside, inside_first: false }, problem)
    }

    pub(super) fn mtu(&self) -> usize {
        self.socket.mtu()
    }

    pub(super) fn counters(&self) -> LinkCounters {
        let inside = self.inside.as_ref().map(Inside::counters);
        self.socket.counters().plus(inside.unwrap_or_default())
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<LinkEvent> {
        self.inside_first = !self.inside_first;
        for turn in [self.inside_first, !self.inside_first] {
            let event = match &mut self.inside {
                Some(inside) if turn => inside.poll(cx, buf),
                None if turn => Poll::Pending,
                _ => self.socket.poll(cx, buf),
            };
            if let Poll::Ready(LinkEvent::Up { .. }) = event {
                follow(&self.socket, self.inside.as_mut());
            }
            if event.is_ready() {
                return event;
            }
        }
        Poll::Pending
    }

    pub(super) fn send(&mut self, to: Destination, frame: &[u8]) -> io::Result<()> {
        let address = match &to {
            Destination::Group => {
                if let Some(inside) = &self.inside {
                    inside.send_to_group(frame);
                }
                return self.socket.send(self.socket.mac(), GROUP, frame);
            }
            Destination::Station(address) => address,
        };
        if let (Some(inside), Some(station)) = (&mut self.inside, inside::station(address)) {
            return inside.send(station, frame);
        }
        let station = address.as_bytes().try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        self.socket.send(self.socket.mac(), station, frame)
    }
}

fn follow(socket: &PacketSocket, inside: Option<&mut Inside>) {
    if let (Some(index), Some(inside)) = (socket.index(), inside) {
        inside.follow(index);
    }
}
