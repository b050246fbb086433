//! AlexMesh v1 on any number of interfaces, as one thing for the application.
//!
//! It shares nothing with the rest of the node: no frame, route or message passes from one to the other.

mod event;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use event::{
    InsecureCloseReason, InsecureError, InsecureEvent, InsecureMessageId, InsecureNode, InsecureStreamId,
};

use super::Now;
use crate::types::{Instant, LinkId, V1Address};
use crate::v1::{DropReason, V1, V1Destination, V1Event, V1MessageId, V1StreamId};

/// One interface while it works.
#[derive(Debug)]
struct Interface {
    v1: V1,
    /// Found and not lost, messages under way, and streams: as many as [`V1`] keeps.
    nodes: BTreeSet<V1Address>,
    messages: BTreeMap<V1MessageId, (InsecureMessageId, V1Address)>,
    streams: BTreeMap<V1StreamId, (InsecureStreamId, V1Address)>,
}

/// The v1 nodes that this node is, one on each interface that works.
///
/// It is driven as [`V1`] is: frames to [`Insecure::handle_frame`], time to [`Insecure::handle_timeout`], and after each
/// call with `now` the outputs are drained. Memory is bounded by [`V1`]'s for each interface, and by events that are not
/// drained.
#[derive(Debug)]
pub struct Insecure {
    rng: StdRng,
    interfaces: BTreeMap<LinkId, Interface>,
    latest: u64,
    events: VecDeque<InsecureEvent>,
}

impl Insecure {
    /// Without any interface. `seed` must be drawn at random.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { rng: StdRng::from_seed(seed), interfaces: BTreeMap::new(), latest: 0, events: VecDeque::new() }
    }

    /// An interface works from now on, with this address and MTU. What was known on it before is lost.
    pub fn add_interface(&mut self, link: LinkId, own: V1Address, mtu: usize) {
        self.remove_interface(link);
        let v1 = V1::new(own, mtu, self.rng.random());
        let (nodes, messages, streams) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        self.interfaces.insert(link, Interface { v1, nodes, messages, streams });
    }

    /// An interface works no more: its messages have failed, its streams are closed, its nodes are lost.
    pub fn remove_interface(&mut self, link: LinkId) {
        let Some(interface) = self.interfaces.remove(&link) else { return };
        let failed = interface.messages.into_values().map(|(id, to)| InsecureEvent::Failed { id, to });
        self.events.extend(failed);
        let reason = InsecureCloseReason::LinkDown;
        let streams = interface.streams.into_values();
        self.events.extend(streams.map(|(stream, peer)| InsecureEvent::StreamClosed {
            stream,
            peer,
            reason,
        }));
        for node in interface.nodes {
            self.on_lost(node);
        }
    }

    /// The address of this node on an interface that works.
    pub fn address(&self, link: LinkId) -> Option<V1Address> {
        self.interfaces.get(&link).map(|interface| interface.v1.address())
    }

    /// The nodes that were heard lately, in the order of their addresses.
    pub fn nodes(&self, now: Now) -> Vec<InsecureNode> {
        let mut nodes = BTreeMap::new();
        for node in self.interfaces.values().flat_map(|interface| interface.v1.nodes(now.monotonic)) {
            *nodes.entry(node.address).or_default() |= node.direct;
        }
        nodes.into_iter().map(|(address, direct)| InsecureNode { address, direct }).collect()
    }

    /// Takes the payload of a received Ethernet frame of version 1 in. `from` is the frame's source. Frames on an interface
    /// that does not work mean nothing.
    pub fn handle_frame(
        &mut self,
        now: Now,
        link: LinkId,
        from: V1Address,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        let Some(interface) = self.interfaces.get_mut(&link) else { return Ok(()) };
        let result = interface.v1.handle_frame(now.monotonic, now.wall, from, payload);
        self.take_events(link);
        result
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        let links: Vec<LinkId> = self.interfaces.keys().copied().collect();
        for link in links {
            if let Some(interface) = self.interfaces.get_mut(&link) {
                interface.v1.handle_timeout(now.monotonic, now.wall);
            }
            self.take_events(link);
        }
    }

    /// When [`Insecure::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.interfaces.values().filter_map(|interface| interface.v1.poll_timeout()).min()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<InsecureEvent> {
        self.events.pop_front()
    }

    /// Appends the payload of the next Ethernet frame to `out`, and says on which interface and to whom it goes.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<(LinkId, V1Destination)> {
        let mut interfaces = self.interfaces.iter_mut();
        interfaces.find_map(|(link, interface)| Some((*link, interface.v1.poll_transmit(out)?)))
    }

    /// Sends a text to one node: [`InsecureEvent::Delivered`] or [`InsecureEvent::Failed`] follows. A node that was not
    /// heard lately is looked for on the first interface that works.
    pub fn send(&mut self, now: Now, to: V1Address, text: &str) -> Result<InsecureMessageId, InsecureError> {
        let interface = Self::towards(&mut self.interfaces, now, to)?;
        let message = interface.v1.send(now.monotonic, now.wall, to, text)?;
        self.latest += 1;
        let id = InsecureMessageId(self.latest);
        interface.messages.insert(message, (id, to));
        Ok(id)
    }

    /// Sends a text to every node on every interface. Nobody acknowledges it. Fails when no interface takes it.
    pub fn broadcast(&mut self, now: Now, text: &str) -> Result<(), InsecureError> {
        let mut result = Err(InsecureError::NoInterface);
        for interface in self.interfaces.values_mut() {
            let sent = interface.v1.broadcast(now.monotonic, now.wall, text);
            result = result.or(sent.map(drop).map_err(InsecureError::V1));
        }
        result
    }

    /// Opens a stream: [`InsecureEvent::StreamOpened`] follows, or [`InsecureEvent::StreamClosed`] without it.
    pub fn connect(&mut self, now: Now, to: V1Address) -> Result<InsecureStreamId, InsecureError> {
        let interface = Self::towards(&mut self.interfaces, now, to)?;
        let stream = interface.v1.connect(now.monotonic, now.wall, to)?;
        self.latest += 1;
        let id = InsecureStreamId(self.latest);
        interface.streams.insert(stream, (id, to));
        Ok(id)
    }

    /// Sends data on an open stream. What gets lost stays lost.
    pub fn write(&mut self, now: Now, stream: InsecureStreamId, data: &[u8]) -> Result<(), InsecureError> {
        let (v1, inner) = self.stream(stream)?;
        Ok(v1.write(now.monotonic, now.wall, inner, data)?)
    }

    /// Ends a stream in both directions: [`InsecureEvent::StreamClosed`] follows.
    pub fn close(&mut self, now: Now, stream: InsecureStreamId) -> Result<(), InsecureError> {
        let (v1, inner) = self.stream(stream)?;
        Ok(v1.close(now.monotonic, now.wall, inner)?)
    }

    /// Ends all streams, before the node stops.
    pub fn leave(&mut self, now: Now) {
        for interface in self.interfaces.values_mut() {
            for stream in interface.streams.keys() {
                // One that is not open has no end to tell the peer of.
                let _ = interface.v1.close(now.monotonic, now.wall, *stream);
            }
        }
    }

    /// The interface on which a node is heard, itself if possible; else the first one.
    fn towards(
        interfaces: &mut BTreeMap<LinkId, Interface>,
        now: Now,
        to: V1Address,
    ) -> Result<&mut Interface, InsecureError> {
        let quality = |interface: &Interface| {
            let node = interface.v1.nodes(now.monotonic).find(|node| node.address == to);
            node.map_or(0, |node| 1 + u8::from(node.direct))
        };
        // Of equals, the first; an address of this node is refused by the interface that has it.
        let own =
            interfaces.iter().find(|(_, interface)| interface.v1.address() == to).map(|(link, _)| *link);
        let best = || interfaces.iter().rev().max_by_key(|(_, interface)| quality(interface));
        let link = own.or_else(|| best().map(|(link, _)| *link)).ok_or(InsecureError::NoInterface)?;
        interfaces.get_mut(&link).ok_or(InsecureError::NoInterface)
    }

    fn stream(&mut self, id: InsecureStreamId) -> Result<(&mut V1, V1StreamId), InsecureError> {
        let found = self.interfaces.values_mut().find_map(|interface| {
            let (inner, _) = interface.streams.iter().find(|(_, (stream, _))| *stream == id)?;
            Some((&mut interface.v1, *inner))
        });
        found.ok_or(InsecureError::UnknownStream(id))
    }

    fn take_events(&mut self, link: LinkId) {
        while let Some(event) = self.interfaces.get_mut(&link).and_then(|interface| interface.v1.poll_event())
        {
            self.on_event(link, event);
        }
    }

    /// An event of one interface becomes one of the node, if it concerns it.
    fn on_event(&mut self, link: LinkId, event: V1Event) {
        let Some(interface) = self.interfaces.get_mut(&link) else { return };
        match event {
            V1Event::NodeFound { node } => {
                interface.nodes.insert(node);
                if self.interfaces.values().filter(|other| other.nodes.contains(&node)).count() == 1 {
                    self.events.push_back(InsecureEvent::NodeFound { node });
                }
            }
            V1Event::NodeLost { node } => {
                interface.nodes.remove(&node);
                self.on_lost(node);
            }
            V1Event::Message { from, text, to_all } => {
                self.events.push_back(InsecureEvent::Message { from, text, to_all });
            }
            V1Event::Delivered { id } => {
                let delivered = interface.messages.remove(&id);
                self.events.extend(delivered.map(|(id, to)| InsecureEvent::Delivered { id, to }));
            }
            V1Event::Failed { id } => {
                let failed = interface.messages.remove(&id);
                self.events.extend(failed.map(|(id, to)| InsecureEvent::Failed { id, to }));
            }
            V1Event::StreamOpened { stream, peer, by_peer } => self.on_opened(link, stream, peer, by_peer),
            V1Event::StreamData { stream, data } => {
                let known = interface.streams.get(&stream);
                self.events.extend(known.map(|&(stream, peer)| InsecureEvent::StreamData {
                    stream,
                    peer,
                    data,
                }));
            }
            V1Event::StreamClosed { stream, reason } => {
                let closed = interface.streams.remove(&stream);
                let reason = reason.into();
                self.events.extend(closed.map(|(stream, peer)| InsecureEvent::StreamClosed {
                    stream,
                    peer,
                    reason,
                }));
            }
        }
    }

    fn on_opened(&mut self, link: LinkId, inner: V1StreamId, peer: V1Address, by_peer: bool) {
        let Some(interface) = self.interfaces.get_mut(&link) else { return };
        let (stream, _) = *interface.streams.entry(inner).or_insert_with(|| {
            self.latest += 1;
            (InsecureStreamId(self.latest), peer)
        });
        self.events.push_back(InsecureEvent::StreamOpened { stream, peer, by_peer });
    }

    /// One interface hears a node no more; it is lost when no other one does.
    fn on_lost(&mut self, node: V1Address) {
        if !self.interfaces.values().any(|interface| interface.nodes.contains(&node)) {
            self.events.push_back(InsecureEvent::NodeLost { node });
        }
    }
}
