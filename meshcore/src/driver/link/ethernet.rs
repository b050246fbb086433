//! AlexMesh frames straight on Ethernet: EtherType 0x88B5, no IP.

use std::io;
use std::task::{Context, Poll};

use super::inside::{self, Inside};
use super::packet::{Mac, PacketSocket, Take, USUAL_MTU};
use super::spec::Io;
use super::{Inbound, LinkCounters, LinkError, LinkEvent, Sent};
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
    pub(super) fn open_or_wait(interface: &str, io: Io) -> (Self, Option<LinkError>) {
        let mut socket = PacketSocket::new(interface, Take::Group(GROUP), io);
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

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, inbound: &mut Inbound) -> Poll<LinkEvent> {
        self.inside_first = !self.inside_first;
        for turn in [self.inside_first, !self.inside_first] {
            let event = match &mut self.inside {
                Some(inside) if turn => inside.poll(cx, inbound),
                None if turn => Poll::Pending,
                _ => self.socket.poll(cx, inbound),
            };
            if let Poll::Ready(LinkEvent::Up { mtu, wired, .. }) = event {
                follow(&self.socket, self.inside.as_mut());
                let larger = if mtu > USUAL_MTU { [mtu, 0, 0, 0] } else { [0; 4] };
                return Poll::Ready(LinkEvent::Up { mtu: mtu.min(USUAL_MTU), larger, wired });
            }
            if event.is_ready() {
                return event;
            }
        }
        Poll::Pending
    }

    /// Sends frames in this order: those for stations in batches, the rest one by one.
    pub(super) fn send<F: AsRef<[u8]>>(&mut self, frames: &[(Destination, F)]) -> Sent {
        let mut sent = Sent::default();
        while let Some(rest) = frames.get(sent.done..).filter(|rest| !rest.is_empty()) {
            let run = rest.iter().take_while(|(to, _)| mac(to).is_some()).count();
            if run > 0 {
                let run = rest[..run].iter().map(|(to, frame)| (mac(to).unwrap_or_default(), frame.as_ref()));
                let (source, count) = (self.socket.mac(), run.len());
                let batch = self.socket.send(source, run);
                let is_full = batch.done < count;
                sent.add(batch);
                if is_full {
                    break;
                }
            } else if let Some((to, frame)) = rest.first() {
                sent.note(self.send_one(to, frame.as_ref()));
            }
        }
        sent
    }

    /// To the group, or to a station inside this machine. Such frames are rare, and lost when a buffer is full.
    fn send_one(&mut self, to: &Destination, frame: &[u8]) -> io::Result<()> {
        match to {
            Destination::Group => {
                if let Some(inside) = &mut self.inside {
                    inside.send_to_group(frame);
                }
                self.socket.send_one(self.socket.mac(), GROUP, frame)
            }
            Destination::Station(address) => match (&mut self.inside, inside::station(address)) {
                (Some(inside), Some(station)) => inside.send(station, frame),
                _ => Err(io::ErrorKind::InvalidInput.into()),
            },
        }
    }

    /// Ready when there is room for what could not be sent.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_writable(cx)
    }
}

/// The station on the wire that is meant, if it is one.
fn mac(to: &Destination) -> Option<Mac> {
    match to {
        Destination::Station(address) => address.as_bytes().try_into().ok(),
        Destination::Group => None,
    }
}

fn follow(socket: &PacketSocket, inside: Option<&mut Inside>) {
    if let (Some(index), Some(inside)) = (socket.index(), inside) {
        inside.follow(index);
    }
}
