//! Control frames, written when they are sent, so that they say what is true then.

use super::config::MAX_QUEUE;
use super::{DropReason, Mesh, Timer};
use crate::types::{Address, Destination, Instant, LinkAddr, LinkId};
use crate::wire::echo::Echo;
use crate::wire::frame::{FrameHeader, FrameType, HEADER_LEN, ONE_HOP, TrafficClass};
use crate::wire::hello::Hello;
use crate::wire::identity::IdentityRequest;
use crate::wire::probe::Probe;
use crate::wire::update::{Seqno, SeqnoRequest, UpdateRequest};

/// A control frame to be sent; `node` is the neighbour that gets it.
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
    IdentityRequest {
        link: LinkId,
        node: Address,
        about: Address,
    },
    Record {
        link: LinkId,
        node: Address,
        about: Address,
    },
    /// For all neighbours on the link when `node` is [`Address::EVERYONE`].
    Update {
        link: LinkId,
        node: Address,
    },
    UpdateRequest {
        link: LinkId,
        node: Address,
    },
    /// An update without entries, which tells the latest version.
    Reminder {
        link: LinkId,
    },
    ReminderTo {
        link: LinkId,
        node: Address,
    },
    Refresh {
        link: LinkId,
    },
    SeqnoRequest {
        link: LinkId,
        node: Address,
        destination: Address,
        seqno: Seqno,
        hop_limit: u8,
    },
    Probe {
        link: LinkId,
        node: Address,
        probe: Probe,
        /// Of the whole frame, filled up with padding.
        len: usize,
    },
    /// Goes where the route to `to` leads; an answer to who is not known yet, back the way that the question came.
    Echo {
        to: Address,
        echo: Echo,
        hop_limit: u8,
        came: Option<(LinkId, LinkAddr)>,
    },
}

impl Control {
    fn link(self) -> Option<LinkId> {
        match self {
            Self::GroupHello { link }
            | Self::Hello { link, .. }
            | Self::IdentityRequest { link, .. }
            | Self::Record { link, .. }
            | Self::Update { link, .. }
            | Self::UpdateRequest { link, .. }
            | Self::Reminder { link }
            | Self::ReminderTo { link, .. }
            | Self::Refresh { link }
            | Self::SeqnoRequest { link, .. }
            | Self::Probe { link, .. } => Some(link),
            Self::Echo { .. } => None,
        }
    }

    fn kind(self) -> FrameType {
        match self {
            Self::GroupHello { .. } | Self::Hello { .. } => FrameType::Hello,
            Self::IdentityRequest { .. } => FrameType::IdentityRequest,
            Self::Record { .. } => FrameType::IdentityRecord,
            Self::Update { .. } | Self::Reminder { .. } | Self::ReminderTo { .. } | Self::Refresh { .. } => {
                FrameType::Update
            }
            Self::UpdateRequest { .. } => FrameType::UpdateRequest,
            Self::SeqnoRequest { .. } => FrameType::SeqnoRequest,
            Self::Probe { .. } => FrameType::Probe,
            Self::Echo { .. } => FrameType::Echo,
        }
    }

    /// The neighbour, or all of them.
    fn node(self) -> Address {
        match self {
            Self::GroupHello { .. } | Self::Reminder { .. } | Self::Refresh { .. } => Address::EVERYONE,
            Self::Hello { node, .. }
            | Self::IdentityRequest { node, .. }
            | Self::Record { node, .. }
            | Self::Update { node, .. }
            | Self::UpdateRequest { node, .. }
            | Self::ReminderTo { node, .. }
            | Self::SeqnoRequest { node, .. }
            | Self::Probe { node, .. } => node,
            Self::Echo { to, .. } => to,
        }
    }
}

impl Mesh {
    /// Appends the next control frame to `out` and says where to send it.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<(LinkId, Destination)> {
        let start = out.len();
        loop {
            let Some(control) = self.queue.pop_front() else { return self.next_broadcast(out) };
            let sent = match control {
                Control::Echo { .. } => self.emit_echo(now, control, out),
                _ => self.emit(now, control, out),
            };
            match sent {
                Some(target) => return Some(target),
                None => out.truncate(start),
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

    /// Drops what was to go over a link that is gone.
    pub(super) fn drop_queued(&mut self, link: LinkId) {
        self.queue.retain(|control| control.link() != Some(link));
    }

    pub(super) fn group_hello_due(&mut self, now: Instant, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let next = link.next_hello(now, self.config.interval(), &mut self.rng);
        self.timers.set(Timer::Hello(id), next);
        self.push(Control::GroupHello { link: id });
    }

    /// Writes a frame for a neighbour or for the group. `None`: there is nobody to send it to any more, or nothing to
    /// say.
    fn emit(&mut self, now: Instant, control: Control, out: &mut Vec<u8>) -> Option<(LinkId, Destination)> {
        let (id, node) = (control.link()?, control.node());
        let link = self.links.get(&id)?;
        let (target, heard) = match node {
            Address::EVERYONE => (Destination::Group, 0),
            node => link.table.get(node).map(|n| (Destination::Station(n.at), n.seqno))?,
        };
        let start = out.len();
        out.resize(start + HEADER_LEN, 0);
        match control {
            Control::GroupHello { link } => self.emit_group_hello(link, out),
            Control::Hello { link, node, listing } => {
                let about = self.links.get(&link)?.table.get(node)?.heard(node);
                self.hello(link)?.emit(listing.then_some(about), out);
            }
            Control::IdentityRequest { about, .. } => IdentityRequest { heard, node: about }.emit(out),
            Control::Record { about, .. } => {
                out.extend(about.as_bytes());
                out.extend(self.record_of(about)?);
            }
            Control::Update { link, node } => self.emit_update(now, link, node, out)?,
            Control::UpdateRequest { .. } => {
                let sync = &self.links.get(&id)?.table.get(node)?.sync;
                UpdateRequest { heard, floor: sync.floor(), since: sync.version() }.emit(out);
            }
            Control::Reminder { link } | Control::ReminderTo { link, .. } => {
                self.emit_refresh(now, link, false, out);
            }
            Control::Refresh { link } => self.emit_refresh(now, link, true, out),
            Control::SeqnoRequest { destination, seqno, hop_limit, .. } => {
                SeqnoRequest { heard, destination, seqno, hop_limit }.emit(out);
            }
            Control::Probe { probe, .. } => probe.emit(out),
            Control::Echo { .. } => {}
        }
        if out.len() - start > self.links.get(&id)?.mtu {
            self.counters.count(DropReason::TooBig);
            return None;
        }
        self.put_header(control, ONE_HOP, &mut out[start..]);
        if let Control::Probe { len, .. } = control {
            out.resize(out.len().max(start + len), 0);
        }
        Some((id, target))
    }

    fn emit_echo(
        &mut self,
        now: Instant,
        control: Control,
        out: &mut Vec<u8>,
    ) -> Option<(LinkId, Destination)> {
        let Control::Echo { to, echo, hop_limit, came } = control else { return None };
        let hop = self.use_route(now, to).map(|hop| (hop.link, hop.to));
        let (link, station) = hop.or(came.filter(|(link, _)| self.links.contains_key(link)))?;
        let start = out.len();
        out.resize(start + HEADER_LEN, 0);
        echo.emit(out);
        self.put_header(control, hop_limit, &mut out[start..]);
        Some((link, Destination::Station(station)))
    }

    fn put_header(&self, control: Control, hop_limit: u8, frame: &mut [u8]) {
        let payload_len = (frame.len() - HEADER_LEN) as u16;
        let (kind, destination) = (control.kind(), control.node());
        let class = TrafficClass::Control;
        let header = FrameHeader { kind, hop_limit, class, source: self.own, destination };
        frame[..HEADER_LEN].copy_from_slice(&header.emit(payload_len));
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
            version: link.outgoing.sent,
            total: link.table.len() as u16,
        })
    }
}
