//! Control frames, written when they are sent, so that they say what is true then.

use super::config::MAX_QUEUE;
use super::{DropReason, Mesh, Timer};
use crate::types::{Address, Destination, Instant, LinkId};
use crate::wire::frame::{FrameHeader, FrameType, HEADER_LEN, ONE_HOP, TrafficClass};
use crate::wire::hello::Hello;
use crate::wire::identity::emit_request;

/// A control frame to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Control {
    GroupHello {
        link: LinkId,
    },
    /// A hello to one neighbour: `listing` it, or asking it for a hello.
    Hello {
        link: LinkId,
        node: Address,
        listing: bool,
    },
    Request {
        link: LinkId,
        node: Address,
    },
    Record {
        link: LinkId,
        node: Address,
    },
}

impl Control {
    pub(super) fn link(self) -> LinkId {
        match self {
            Self::GroupHello { link }
            | Self::Hello { link, .. }
            | Self::Request { link, .. }
            | Self::Record { link, .. } => link,
        }
    }
}

impl Mesh {
    /// Appends the next control frame to `out` and says where to send it.
    pub fn poll_transmit(&mut self, _now: Instant, out: &mut Vec<u8>) -> Option<(LinkId, Destination)> {
        loop {
            let control = self.queue.pop_front()?;
            if let Some(destination) = self.emit(control, out) {
                return Some((control.link(), destination));
            }
        }
    }

    /// Queues a control frame; `false` when it cannot be sent.
    pub(super) fn push(&mut self, control: Control) -> bool {
        let room = self.queue.len() < MAX_QUEUE;
        if room && !self.leaving {
            self.queue.push_back(control);
        } else if !room {
            self.counters.count(DropReason::QueueFull);
        }
        room && !self.leaving
    }

    pub(super) fn group_hello_due(&mut self, now: Instant, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let next = link.next_hello(now, self.config.interval(), &mut self.rng);
        self.timers.set(Timer::Hello(id), next);
        self.push(Control::GroupHello { link: id });
    }

    /// Writes a frame. `None`: there is nobody to send it to any more.
    fn emit(&mut self, control: Control, out: &mut Vec<u8>) -> Option<Destination> {
        let (kind, node) = match control {
            Control::GroupHello { .. } => (FrameType::Hello, Address::EVERYONE),
            Control::Hello { node, .. } => (FrameType::Hello, node),
            Control::Request { node, .. } => (FrameType::IdentityRequest, node),
            Control::Record { node, .. } => (FrameType::IdentityRecord, node),
        };
        let table = &self.links.get(&control.link())?.table;
        let (destination, seqno) = match node {
            Address::EVERYONE => (Destination::Group, 0),
            node => table.get(node).map(|n| (Destination::Station(n.at), n.seqno))?,
        };
        let start = out.len();
        out.resize(start + HEADER_LEN, 0);
        match control {
            Control::GroupHello { link } => self.emit_group_hello(link, out),
            Control::Hello { link, node, listing } => {
                if let Some(hello) = self.hello(link) {
                    hello.emit(listing.then_some((node, seqno)), out);
                }
            }
            Control::Request { .. } => out.extend(emit_request(seqno)),
            Control::Record { .. } => out.extend(&self.record),
        }
        let payload_len = (out.len() - start - HEADER_LEN) as u16;
        let class = TrafficClass::Control;
        let header = FrameHeader { kind, hop_limit: ONE_HOP, class, source: self.own, destination: node };
        out[start..start + HEADER_LEN].copy_from_slice(&header.emit(payload_len));
        Some(destination)
    }

    fn emit_group_hello(&mut self, id: LinkId, out: &mut Vec<u8>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.seqno = link.seqno.wrapping_add(1);
        let (heard, cursor) = link.table.rotate(link.cursor, link.entries_per_hello());
        link.cursor = cursor;
        if let Some(hello) = self.hello(id) {
            hello.emit(heard, out);
        }
    }

    fn hello(&self, id: LinkId) -> Option<Hello> {
        let link = self.links.get(&id)?;
        let centis = self.config.interval().as_millis() / 10;
        Some(Hello {
            seqno: link.seqno,
            interval: if self.leaving { 0 } else { centis as u16 },
            instance: self.instance,
            record_number: self.record_number,
            total: link.table.len() as u16,
        })
    }
}
