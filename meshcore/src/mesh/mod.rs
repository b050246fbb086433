//! AlexMesh v2, layer 3: who is in reach, by which way, and frames on that way.
//!
//! Every node says hello on every link and lists whom it hears; a neighbour is usable when each hears the other.
//! Neighbours tell each other their routes (`routing`). Only who a node is and how new its announcement is are signed:
//! the rest decides where a frame goes, never who can read it.

mod broadcast;
mod config;
mod counters;
mod discovery;
mod echo;
mod fetch;
mod forward;
mod largest;
mod link;
mod liveness;
mod neighbour;
mod output;
pub mod private;
mod quality;
mod records;
mod routing;
mod sync;
mod table;
mod timers;
mod updates;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use config::Config;
pub use counters::{Counters, DropReason};
pub use link::LinkInfo;

use crate::types::{Address, AddressMap, HashKey, Instant, LinkAddr, LinkId, TokenBucket};
pub use crate::wire::frame::DEFAULT_HOP_LIMIT;
use crate::wire::frame::{FrameHeader, FrameType, HEADER_LEN, ONE_HOP, TrafficClass};
use crate::wire::hello::Hello;
use crate::wire::identity::MAX_RECORD_LEN;

use broadcast::Flood;
use config::{ANNOUNCEMENTS, COLLECT, CONFLICT_GAP, ECHOES, MAX_LINKS, REFRESH, UNREACHABLE_HOLD};
use echo::Asked;
use forward::Watch;
use link::Link;
use output::Control;
use records::Wanted;
use routing::{Change, Router, Selected};
use timers::Timers;

/// Something that happened in the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MeshEvent {
    /// There is a route to the node now; its identity is verified.
    Reachable {
        /// Address of the node.
        node: Address,
    },
    /// There has been no route to the node for a second.
    Unreachable {
        /// Address of the node.
        node: Address,
    },
    /// Frames to the node take another next hop than before.
    RouteChanged {
        /// Address of the node.
        node: Address,
    },
    /// The node has started anew since it became reachable, and forgotten what it had in memory.
    Restarted {
        /// Address of the node.
        node: Address,
    },
    /// A route to the node waits for its identity. If it is known already, [`Mesh::identity_known`] saves a request.
    IdentityWanted {
        /// Address of the node.
        node: Address,
        /// Number of the record that is wanted, or a higher one.
        number: u64,
    },
    /// An identity record, to be verified: answer with [`Mesh::identity_known`] or [`Mesh::identity_refused`]. One of
    /// this node itself, with a higher number than the one in use, calls for [`Mesh::set_own_identity`] with a number
    /// that is higher still: the node has lost its memory, or its clock was set back.
    IdentityReceived {
        /// Address of the node.
        node: Address,
        /// The record, 1 to 1300 bytes.
        record: Vec<u8>,
    },
    /// Somebody else uses the address of this node: its key has been copied. At most once a minute.
    AddressConflict,
    /// An answer to [`Mesh::echo`].
    Echo {
        /// As [`Mesh::echo`] gave it.
        id: u64,
        /// Who answers.
        from: Address,
        /// It is the destination; otherwise the relay at which the hop limit ran out.
        arrived: bool,
        /// Time from request to answer.
        rtt: Duration,
    },
}

/// Signatures with the subkeys that identity records certify.
pub trait Signatures: Send + std::fmt::Debug {
    /// Signs with this node's subkey.
    fn sign(&self, message: &[u8]) -> [u8; 64];
    /// Whether `signature` was made for `message` with the subkey.
    fn verify(&self, subkey: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool;
}

/// What the mesh needs to know of a node's verified identity record.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Number of the record; it grows with every start of the node.
    pub number: u64,
    /// The subkey that signs its announcements.
    pub subkey: [u8; 32],
    /// The record itself, at most 1300 bytes: neighbours may ask for it.
    pub record: Arc<[u8]>,
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

/// What became of a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Handled<'a> {
    /// The mesh took it.
    Done,
    /// It is for the layers above.
    Deliver(Delivery<'a>),
    /// It is to be passed on, as it stands in the buffer now.
    Forward {
        /// Where to.
        hop: NextHop,
        /// The whole frame, without padding.
        frame: &'a [u8],
    },
}

/// Where the next frame towards a node goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextHop {
    /// Link to send on.
    pub link: LinkId,
    /// Station on that link.
    pub to: LinkAddr,
    /// Payload bytes that fit into a frame on every link of the path.
    pub mtu: usize,
}

/// A route in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub destination: Address,
    /// The neighbour that is next; the destination itself when it is in direct reach.
    pub next_hop: Address,
    /// Link to that neighbour.
    pub link: LinkId,
    /// Links to cross.
    pub hops: u8,
    /// Sum of the links' costs; 96 for a link without loss, more with loss.
    pub metric: u16,
    /// Payload bytes that fit into a frame on every link of the path.
    pub mtu: usize,
}

/// How much is held in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Neighbours on all links, at most 2048 each.
    pub neighbours: usize,
    /// Destinations, with a route or lately without: at most 4096.
    pub destinations: usize,
    /// Routes: at most one for each pair of destination and neighbour.
    pub routes: usize,
    /// Identities: of destinations and of neighbours.
    pub identities: usize,
    /// Routes that wait for an identity, at most 128 for each neighbour.
    pub pending: usize,
    /// Feasible distances, at most 8192.
    pub feasibility: usize,
    /// Seqno requests under way, at most 1024.
    pub requests: usize,
    /// Control frames to be sent, at most 1024.
    pub queued: usize,
}

/// What the layers above know of a node in reach.
#[derive(Debug, Clone, Copy)]
struct Told {
    /// Number of the identity record on which the route rests.
    record: u64,
    /// It has said that it leaves.
    leaving: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Hello(LinkId),
    Neighbour(LinkId, Address),
    Fetch(Address),
    Sync(LinkId, Address),
    Probe(LinkId, Address),
    Largest(LinkId, Address),
    Updates(LinkId),
    Reminder(LinkId),
    Refresh(LinkId),
    Unreachable(Address),
    SeqnoRequests,
    Collect,
}

/// Neighbours, routes and forwarding of one node.
///
/// # How to drive it
/// * Give every received frame to [`Mesh::handle_frame`] and call [`Mesh::handle_timeout`] when [`Mesh::poll_timeout`]
///   is due; time never runs backwards.
/// * After every call that takes `now`, first drain [`Mesh::poll_event`] and act on the events (answering
///   `IdentityWanted` with [`Mesh::identity_known`] saves a request), then drain [`Mesh::poll_transmit`] and send the
///   frames.
/// * For a frame of one's own: [`Mesh::next_hop`] says where it goes, [`Mesh::unicast_header`] is put in front of it.
///   When something authentic comes back from the destination, [`Mesh::confirm_path`].
///
/// A failed call changes nothing but the counters. Memory is bounded as [`Sizes`] tells; the work for a frame of data is
/// O(log n).
#[derive(Debug)]
pub struct Mesh {
    config: Config,
    own: Address,
    instance: u64,
    rng: StdRng,
    signatures: Box<dyn Signatures>,
    /// Of this node.
    identity: Identity,
    /// Of others, verified: neighbours and destinations.
    identities: AddressMap<Identity>,
    wanted: AddressMap<Wanted>,
    links: BTreeMap<LinkId, Link>,
    router: Router,
    /// Version of the routing table that the links know to be due.
    published: u64,
    /// Nodes that were told to be reachable.
    told: AddressMap<Told>,
    watch: Watch,
    flood: Flood,
    echoes: BTreeMap<u64, Asked>,
    echo_answers: TokenBucket,
    announcements: TokenBucket,
    own_records: TokenBucket,
    timers: Timers<Timer>,
    queue: VecDeque<Control>,
    events: VecDeque<MeshEvent>,
    counters: Counters,
    conflict_told_at: Option<Instant>,
    leaving: bool,
}

impl Mesh {
    /// A node without links. `instance` must be drawn at random at every start, `seed` as well. It is silent about
    /// itself until [`Mesh::set_own_identity`].
    pub fn new(
        config: Config,
        own: Address,
        instance: u64,
        signatures: Box<dyn Signatures>,
        seed: [u8; 32],
    ) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let key = HashKey::new(rng.random());
        Self {
            config,
            own,
            instance,
            rng,
            signatures,
            identity: Identity { number: 0, subkey: [0; 32], record: Arc::new([]) },
            identities: key.map(),
            wanted: key.map(),
            links: BTreeMap::new(),
            router: Router::new(own, key),
            published: 0,
            told: key.map(),
            watch: Watch::default(),
            flood: Flood::new(),
            echoes: BTreeMap::new(),
            echo_answers: TokenBucket::new(ECHOES.0, ECHOES.1),
            announcements: TokenBucket::new(ANNOUNCEMENTS.0, ANNOUNCEMENTS.1),
            own_records: TokenBucket::new(4, CONFLICT_GAP),
            timers: Timers::new(),
            queue: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            conflict_told_at: None,
            leaving: false,
        }
    }

    /// Sets the identity of this node, or replaces it by one with a higher number. Routes to this node rest on it.
    pub fn set_own_identity(&mut self, now: Instant, identity: Identity) {
        debug_assert!(
            identity.record.len() <= MAX_RECORD_LEN,
            "the identity record does not fit into a frame"
        );
        self.identity = identity;
        self.announce_self();
        self.settle(now);
    }

    /// Starts a link. One that runs already, but perhaps for its larger frames, says hello anew: it may reach more stations
    /// than before.
    /// Links beyond 64 are ignored.
    pub fn add_link(&mut self, now: Instant, link: LinkId, info: LinkInfo) {
        if let Some(running) = self.links.get_mut(&link) {
            let before = running.info();
            if (LinkInfo { larger: info.larger, ..before }) == info {
                running.say_hello_anew(now);
                self.timers.set(Timer::Hello(link), now);
                if before.larger != info.larger {
                    self.set_larger(now, link, info.larger);
                }
                return self.handle_timeout(now);
            }
            self.remove_link(now, link);
        }
        let taken = |slot: &u8| self.links.values().any(|link| link.scope.slot == *slot);
        let Some(slot) = (0..MAX_LINKS as u8).find(|slot| !taken(slot)) else { return };
        self.router.free_slot(slot);
        self.links.insert(link, Link::new(now, link, info, slot, &mut self.rng));
        if !self.leaving {
            self.timers.set(Timer::Hello(link), now);
            self.timers.set(Timer::Refresh(link), now + REFRESH.0);
            if !self.timers.is_set(Timer::Collect) {
                self.timers.set(Timer::Collect, now + COLLECT);
            }
            self.handle_timeout(now);
        }
    }

    /// Ends a link, or suspends it while its interface is down; whoever was reachable by it alone is unreachable now.
    pub fn remove_link(&mut self, now: Instant, link: LinkId) {
        let nodes: Vec<Address> = self.links.get(&link).map_or_else(Vec::new, |l| l.table.nodes().collect());
        for node in nodes {
            self.lose(now, link, node);
        }
        self.links.remove(&link);
        for timer in [Timer::Hello(link), Timer::Updates(link), Timer::Reminder(link), Timer::Refresh(link)] {
            self.timers.cancel(timer);
        }
        self.drop_queued(link);
        self.flood.drop_queued(link);
        self.settle(now);
    }

    /// Takes a received frame in.
    pub fn handle_frame<'a>(
        &mut self,
        now: Instant,
        link: LinkId,
        from: LinkAddr,
        frame: &'a mut [u8],
    ) -> Result<Handled<'a>, DropReason> {
        let result = self.receive(now, link, from, frame);
        if let Err(reason) = &result {
            self.counters.count(*reason);
        }
        self.settle(now);
        result
    }

    fn receive<'a>(
        &mut self,
        now: Instant,
        link: LinkId,
        from: LinkAddr,
        frame: &'a mut [u8],
    ) -> Result<Handled<'a>, DropReason> {
        let (header, payload) = FrameHeader::parse(frame)?;
        let frame_len = HEADER_LEN + payload.len();
        if !self.links.contains_key(&link) {
            return Err(DropReason::UnknownLink);
        }
        let source = header.source;
        if source == self.own {
            self.on_own_address(now, &header, payload);
            return Err(DropReason::OwnAddress);
        }
        if matches!(header.kind, FrameType::Stream | FrameType::Echo) {
            let frame = frame.get_mut(..frame_len).ok_or(DropReason::Malformed)?;
            return self.on_travelling(now, link, from, &header, frame);
        }
        if header.kind == FrameType::Broadcast && header.destination == Address::EVERYONE {
            let frame = frame.get_mut(..frame_len).ok_or(DropReason::Malformed)?;
            return self.on_broadcast(now, link, from, &header, frame);
        }
        let to_group = header.destination == Address::EVERYONE
            && matches!(header.kind, FrameType::Hello | FrameType::Update);
        if header.destination != self.own && !to_group {
            return Err(DropReason::NotForUs);
        }
        if header.hop_limit != ONE_HOP {
            return Err(DropReason::HopLimit);
        }
        let result = match header.kind {
            FrameType::Hello => self.on_hello(now, link, from, &header, payload),
            FrameType::IdentityRequest => self.on_identity_request(now, link, from, source, payload),
            FrameType::IdentityRecord => self.on_record(now, link, from, source, payload),
            FrameType::Update => self.on_update(now, link, from, source, payload),
            FrameType::UpdateRequest => self.on_update_request(now, link, from, source, payload),
            FrameType::SeqnoRequest => self.on_seqno_request(now, link, from, source, payload),
            FrameType::Probe => self.on_probe(now, link, from, source, payload),
            FrameType::Stream | FrameType::Echo | FrameType::Broadcast | FrameType::Unknown(_) => {
                Err(DropReason::UnknownType)
            }
        };
        if !to_group && matches!(result, Err(DropReason::UnknownNeighbour | DropReason::AddressHeld)) {
            self.seek_station(now, link, source);
        }
        result.map(|()| Handled::Done)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Hello(link) => self.group_hello_due(now, link),
                Timer::Neighbour(link, node) => self.check_neighbour(now, link, node),
                Timer::Fetch(node) => self.request_due(now, node),
                Timer::Sync(link, node) => self.sync_due(now, link, node),
                Timer::Probe(link, node) => self.probe_due(now, link, node),
                Timer::Largest(link, node) => self.long_question_due(now, link, node),
                Timer::Updates(link) => self.updates_due(now, link),
                Timer::Reminder(link) => self.reminder_due(now, link),
                Timer::Refresh(link) => self.refresh_due(now, link),
                Timer::Unreachable(node) => self.tell_unreachable(node),
                Timer::SeqnoRequests => self.seqno_requests_due(now),
                Timer::Collect => self.collect(now),
            }
        }
        self.settle(now);
    }

    /// Draws the consequences of what has happened to the routes.
    fn settle(&mut self, now: Instant) {
        while let Some(change) = self.router.pop_change() {
            self.on_route_change(now, change);
        }
        self.publish(now);
        if let Some(due) = self.router.next_request() {
            self.timers.set(Timer::SeqnoRequests, due);
        }
    }

    fn on_route_change(&mut self, now: Instant, change: Change) {
        let node = change.destination;
        if !change.reachable {
            if let Some(told) = self.told.get(&node).filter(|_| change.was_reachable) {
                let hold = if told.leaving { Duration::ZERO } else { UNREACHABLE_HOLD };
                self.timers.set(Timer::Unreachable(node), now + hold);
            }
            return;
        }
        self.timers.cancel(Timer::Unreachable(node));
        let Some(record) = self.router.selected(node).map(|route| route.seqno.record) else { return };
        self.events.push_back(match self.told.insert(node, Told { record, leaving: false }) {
            None => MeshEvent::Reachable { node },
            Some(told) if told.record < record => MeshEvent::Restarted { node },
            Some(_) => MeshEvent::RouteChanged { node },
        });
    }

    fn tell_unreachable(&mut self, node: Address) {
        if !self.is_reachable(node) && self.told.remove(&node).is_some() {
            self.events.push_back(MeshEvent::Unreachable { node });
        }
    }

    /// Forgets what is not needed any more.
    fn collect(&mut self, now: Instant) {
        self.timers.set(Timer::Collect, now + COLLECT);
        self.router.collect(now);
        self.forget_identities();
        self.flood.forget(|origin| self.identities.contains_key(origin));
    }

    /// A frame whose source is this node: our own echo, or a node with a copy of our key.
    fn on_own_address(&mut self, now: Instant, header: &FrameHeader, payload: &[u8]) {
        let is_hello = header.kind == FrameType::Hello;
        let stranger = Hello::parse(payload).is_ok_and(|(hello, _)| hello.instance != self.instance);
        let quiet = self.conflict_told_at.is_none_or(|told| now - told >= CONFLICT_GAP);
        if is_hello && stranger && quiet {
            self.conflict_told_at = Some(now);
            self.events.push_back(MeshEvent::AddressConflict);
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

    /// The route to `destination` that is in use.
    pub fn route(&self, destination: Address) -> Option<Route> {
        let Selected { hop, metric, mtu, hops, .. } = self.router.selected(destination)?;
        let mtu = usize::from(mtu);
        Some(Route { destination, next_hop: hop.node, link: hop.link, hops, metric, mtu })
    }

    /// All routes in use.
    pub fn routes(&self) -> impl Iterator<Item = Route> {
        self.router.reachable().filter_map(|destination| self.route(destination))
    }

    /// Whether there is a route to `node`.
    pub fn is_reachable(&self, node: Address) -> bool {
        self.router.selected(node).is_some()
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

    /// How much is held in memory.
    pub fn sizes(&self) -> Sizes {
        let [destinations, routes, feasibility, requests] = self.router.sizes();
        let tables = self.links.values().map(|link| &link.table);
        let pending =
            |table: &table::Table| -> usize { table.iter().map(|(_, n)| n.sync.pending.len()).sum() };
        Sizes {
            neighbours: tables.clone().map(table::Table::len).sum(),
            destinations,
            routes,
            identities: self.identities.len(),
            pending: tables.map(pending).sum(),
            feasibility,
            requests,
            queued: self.queue.len(),
        }
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
