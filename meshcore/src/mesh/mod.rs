//! AlexMesh v2, layer 3: who is in reach, and by which link.
//!
//! Every node says hello on every link and lists whom it hears; a neighbour is usable when each hears the other. What
//! hellos say is not authenticated: it decides where a frame goes, never who can read it.

mod bucket;
mod config;
mod counters;
mod discovery;
mod fetch;
mod identity;
mod link;
mod neighbour;
mod output;
pub mod private;
mod table;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::{BTreeMap, VecDeque};

use rand::SeedableRng;
use rand::rngs::StdRng;

pub use config::Config;
pub use counters::{Counters, DropReason};

use crate::types::{Address, Instant, LinkAddr, LinkId};
use crate::wire::frame::{DEFAULT_HOP_LIMIT, FrameHeader, FrameType, HEADER_LEN, ONE_HOP, TrafficClass};
use crate::wire::identity::MAX_RECORD_LEN;
use fetch::Fetch;
use link::Link;
use output::Control;
use timers::Timers;

/// Something that happened in the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MeshEvent {
    /// Frames reach the node now, and its frames reach us.
    Reachable {
        /// Address of the node.
        node: Address,
        /// Number of the identity record that it announces.
        number: u64,
    },
    /// No link has the node any more.
    Unreachable {
        /// Address of the node.
        node: Address,
    },
    /// The node has started anew since it became reachable, and forgotten what it had in memory. A hint: anybody on
    /// the link can cause it, at most once a second for each node.
    Restarted {
        /// Address of the node.
        node: Address,
    },
    /// The identity record that was asked for, to be verified: answer with [`Mesh::identity_known`] or
    /// [`Mesh::identity_refused`].
    IdentityReceived {
        /// Address of the node.
        node: Address,
        /// The record, 1 to 1400 bytes.
        record: Vec<u8>,
    },
    /// Somebody else uses the address of this node: its key has been copied. At most once a minute.
    AddressConflict,
}

/// A frame for the layers above.
#[derive(Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// Node that claims to have sent the frame.
    pub source: Address,
    /// What the payload is.
    pub kind: FrameType,
    /// The payload without padding.
    pub payload: &'a mut [u8],
}

/// Where the next frame towards a node goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextHop {
    /// Link to send on.
    pub link: LinkId,
    /// Station on that link.
    pub to: LinkAddr,
    /// Payload bytes that fit into a frame.
    pub mtu: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Hello(LinkId),
    Neighbour(LinkId, Address),
    Fetch(Address),
    Restart(Address),
}

/// A node that is a neighbour on at least one link.
#[derive(Debug)]
struct Peer {
    /// Links that hear it.
    links: usize,
    instance: u64,
    reachable: bool,
    restart_told_at: Option<Instant>,
    fetch: Fetch,
}

/// Neighbour discovery and direct delivery of one node.
///
/// # How to drive it
/// * Give every received frame to [`Mesh::handle_frame`] and call [`Mesh::handle_timeout`] when [`Mesh::poll_timeout`]
///   is due; time never runs backwards.
/// * After every call that takes `now`, first drain [`Mesh::poll_event`] and act on the events (answering `Reachable`
///   with [`Mesh::identity_known`] saves a request), then drain [`Mesh::poll_transmit`] and send the frames.
/// * For a frame of one's own: [`Mesh::next_hop`] says where it goes, [`Mesh::unicast_header`] is put in front of it.
///
/// A failed call changes nothing but the counters. Memory is bounded by 2048 neighbours a link, of which 512 may be
/// unverified; the work for a frame is O(log n).
#[derive(Debug)]
pub struct Mesh {
    config: Config,
    own: Address,
    instance: u64,
    rng: StdRng,
    record: Vec<u8>,
    record_number: u64,
    links: BTreeMap<LinkId, Link>,
    peers: BTreeMap<Address, Peer>,
    timers: Timers<Timer>,
    queue: VecDeque<Control>,
    events: VecDeque<MeshEvent>,
    counters: Counters,
    conflict_told_at: Option<Instant>,
    leaving: bool,
}

impl Mesh {
    /// A node without links. `instance` must be drawn at random at every start, `seed` as well.
    pub fn new(config: Config, own: Address, instance: u64, seed: [u8; 32]) -> Self {
        Self {
            config,
            own,
            instance,
            rng: StdRng::from_seed(seed),
            record: Vec::new(),
            record_number: 0,
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            timers: Timers::new(),
            queue: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            conflict_told_at: None,
            leaving: false,
        }
    }

    /// Sets the identity record that neighbours may fetch: at most [`MAX_RECORD_LEN`] bytes (a longer one is not
    /// served), with a number that grows with every new record.
    pub fn set_own_record(&mut self, record: Vec<u8>, number: u64) {
        debug_assert!(record.len() <= MAX_RECORD_LEN, "the identity record does not fit into a frame");
        self.record = if record.len() <= MAX_RECORD_LEN { record } else { Vec::new() };
        self.record_number = number;
    }

    /// Starts a link. `mtu` is its largest whole frame, header of 40 bytes included. An id that is in use is ignored.
    pub fn add_link(&mut self, now: Instant, link: LinkId, mtu: usize) {
        if self.links.contains_key(&link) {
            return;
        }
        self.links.insert(link, Link::new(now, mtu, &mut self.rng));
        if !self.leaving {
            self.timers.set(Timer::Hello(link), now);
            self.handle_timeout(now);
        }
    }

    /// Ends a link; whoever was reachable by it alone is unreachable now.
    pub fn remove_link(&mut self, now: Instant, link: LinkId) {
        let nodes: Vec<Address> = self.links.get(&link).map_or_else(Vec::new, |l| l.table.nodes().collect());
        for node in nodes {
            self.lose(now, link, node);
        }
        self.links.remove(&link);
        self.timers.cancel(Timer::Hello(link));
        self.queue.retain(|control| control.link() != link);
    }

    /// Takes a received frame in. What is for the layers above comes back; `Ok(None)`: the mesh took it.
    pub fn handle_frame<'a>(
        &mut self,
        now: Instant,
        link: LinkId,
        from: LinkAddr,
        frame: &'a mut [u8],
    ) -> Result<Option<Delivery<'a>>, DropReason> {
        let result = self.receive(now, link, from, frame);
        if let Err(reason) = &result {
            self.counters.count(*reason);
        }
        result
    }

    fn receive<'a>(
        &mut self,
        now: Instant,
        link: LinkId,
        from: LinkAddr,
        frame: &'a mut [u8],
    ) -> Result<Option<Delivery<'a>>, DropReason> {
        let (header, payload) = FrameHeader::parse(frame)?;
        let payload_len = payload.len();
        if !self.links.contains_key(&link) {
            return Err(DropReason::UnknownLink);
        }
        if header.source == self.own {
            self.on_own_address(now, &header, payload);
            return Err(DropReason::OwnAddress);
        }
        let to_group = header.kind == FrameType::Hello && header.destination == Address::EVERYONE;
        if header.destination != self.own && !to_group {
            return Err(DropReason::NotForUs);
        }
        match header.kind {
            FrameType::Hello | FrameType::IdentityRequest | FrameType::IdentityRecord
                if header.hop_limit != ONE_HOP =>
            {
                Err(DropReason::HopLimit)
            }
            FrameType::Hello => self.on_hello(now, link, from, &header, payload).map(|()| None),
            FrameType::IdentityRequest => {
                self.on_request(now, link, from, header.source, payload).map(|()| None)
            }
            FrameType::IdentityRecord => {
                self.on_record(now, link, from, header.source, payload).map(|()| None)
            }
            FrameType::Stream => {
                self.note_frame(now, link, from, header.source);
                let payload = frame.get_mut(HEADER_LEN..HEADER_LEN + payload_len);
                let payload = payload.ok_or(DropReason::Malformed)?;
                Ok(Some(Delivery { source: header.source, kind: header.kind, payload }))
            }
            FrameType::Unknown(_) => Err(DropReason::UnknownType),
        }
    }

    /// Any frame shows that its sender is there.
    fn note_frame(&mut self, now: Instant, link: LinkId, from: LinkAddr, source: Address) {
        if let Some(neighbour) = self.neighbour_mut(link, source) {
            neighbour.on_frame(now, from);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Hello(link) => self.group_hello_due(now, link),
                Timer::Neighbour(link, node) => self.check_neighbour(now, link, node),
                Timer::Fetch(node) => self.request_due(now, node),
                Timer::Restart(node) => self.tell_restart(now, node),
            }
        }
    }

    /// When [`Mesh::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<MeshEvent> {
        self.events.pop_front()
    }

    /// Where a frame for `destination` goes. Of several links: the one with the largest frames, then the one that has
    /// worked longest.
    pub fn next_hop(&self, destination: Address) -> Option<NextHop> {
        let candidates = self.links.iter().filter_map(|(id, link)| {
            let neighbour = link.table.get(destination)?;
            let hop = NextHop { link: *id, to: neighbour.at, mtu: link.payload_mtu() };
            Some((std::cmp::Reverse(hop.mtu), neighbour.up_since?, hop))
        });
        candidates.min_by_key(|(mtu, up_since, _)| (*mtu, *up_since)).map(|(_, _, hop)| hop)
    }

    /// Whether there is a next hop towards `node`.
    pub fn is_reachable(&self, node: Address) -> bool {
        self.next_hop(node).is_some()
    }

    /// The header in front of a payload of this node.
    pub fn unicast_header(
        &self,
        destination: Address,
        kind: FrameType,
        class: TrafficClass,
        payload_len: u16,
    ) -> [u8; HEADER_LEN] {
        let hop_limit = DEFAULT_HOP_LIMIT;
        FrameHeader { kind, hop_limit, class, source: self.own, destination }.emit(payload_len)
    }

    /// What was dropped so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Tells the neighbours on all links that this node leaves; from now on it sends nothing else.
    pub fn leave(&mut self, _now: Instant) {
        self.queue.clear();
        self.leaving = true;
        for link in self.links.keys() {
            self.timers.cancel(Timer::Hello(*link));
            self.queue.push_back(Control::GroupHello { link: *link });
        }
    }
}
