//! The whole node without its I/O.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::connections::Connections;
use super::echoes::Echoes;
use super::messages::codes;
use super::sessions::Sessions;
use super::storage::Trouble;
use super::trust::Withheld;
use super::{Event, NodeInfo, SendError};
use crate::mesh::private::{NetworkKey, Sealer};
use crate::mesh::{self, Handled, LinkInfo, Mesh, NextHop};
use crate::message::directory::{Directory, ResolveError, Ties};
use crate::message::identity::{OwnIdentity, SIGNATURE_LEN, SUBKEY_LEN, Subkey};
use crate::message::store::{OpenedOutboxes, StoreError, StoreOp, StoreReply, StoredPeer};
use crate::message::{Job, JobOutcome, Messenger, MessengerConfig, messenger};
use crate::stream::{self, ConfigError, ConnectionId, Credentials, CredentialsError, Endpoint};
use crate::types::{Address, Destination, Instant, LinkAddr, LinkId, MessageId, NodeId, Now, Trust};
use crate::wire::frame::{FrameType, HEADER_LEN, TrafficClass};

/// Packets of so many nodes are settled together.
const MAX_HEARD: usize = 64;

/// What a node is made of.
#[derive(Debug)]
pub struct StackConfig {
    /// Its key and the record that is in use.
    pub identity: OwnIdentity,
    /// The subkey that the record certifies.
    pub subkey: Subkey,
    /// Settings of the connections.
    pub stream: stream::Config,
    /// Settings of the mesh.
    pub mesh: mesh::Config,
    /// The key of a private mesh, if the node is to be part of one.
    pub network_key: Option<NetworkKey>,
    /// Settings of the messages.
    pub messenger: MessengerConfig,
    /// The nodes that it knows from earlier runs.
    pub peers: Vec<StoredPeer>,
    /// Its messages from earlier runs.
    pub outboxes: OpenedOutboxes,
    /// Seed of everything random, from the system's entropy (or a test's seed).
    pub seed: [u8; 32],
}

/// Why a node cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The key cannot be used for TLS.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The settings of the connections contradict each other.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A node as a state machine: no socket, no thread, no clock, no disk.
///
/// # How to drive it
///
/// 1. Tell what happened: [`Stack::add_link`], [`Stack::handle_frame`], [`Stack::handle_store`],
///    [`Stack::handle_timeout`] when the time of [`Stack::poll_timeout`] has come, or a command such as
///    [`Stack::send`].
/// 2. Then (after a batch of frames, which costs less than after each) empty, until each gives `None`:
///    [`Stack::poll_connection_event`], first, as what is done about it by [`Stack::transport`] makes frames; and in any order
///    [`Stack::poll_transmit`] (frames for the links), [`Stack::poll_store`] (operations for the disk, to be done in this
///    order and answered by [`Stack::handle_store`]), [`Stack::poll_job`] (for another thread, in this order; [`Stack::handle_job`]
///    takes the outcome), [`Stack::poll_accepted`] (answers to [`Stack::send`]), [`Stack::poll_restarted`] (for those who keep
///    connections) and [`Stack::poll_event`].
/// 3. Ask [`Stack::poll_timeout`] when to come back at the latest.
///
/// To end, call [`Stack::leave`] and empty the outputs once more.
pub struct Stack {
    pub(super) own: NodeId,
    pub(super) identity: OwnIdentity,
    pub(super) mesh: Mesh,
    /// Between mesh and links in a private mesh.
    pub(super) sealer: Option<Sealer>,
    /// A frame that is to be sealed.
    plain: Vec<u8>,
    pub(super) streams: Endpoint,
    pub(super) messenger: Messenger,
    pub(super) directory: Directory,
    pub(super) sessions: Sessions,
    pub(super) connections: Connections,
    /// Sessions with something to read or to write.
    pub(super) touched: BTreeSet<ConnectionId>,
    /// Names of the links, for people.
    pub(super) links: BTreeMap<LinkId, String>,
    pub(super) echoes: Echoes,
    pub(super) rng: StdRng,
    pub(super) events: VecDeque<Event>,
    /// Nodes that seem to have begun anew.
    pub(super) restarted: VecDeque<NodeId>,
    pub(super) accepted: VecDeque<(MessageId, Result<(), StoreError>)>,
    pub(super) store_ops: VecDeque<StoreOp>,
    pub(super) storage_trouble: Trouble,
    /// What packets have changed since is not carried from layer to layer yet: that is done once for a batch of them.
    unsettled: Option<Now>,
    /// Sources of packets that were authentic, since then.
    heard: Vec<Address>,
    /// Nodes with the nickname of another one, of which the application was told in this run.
    pub(super) same_names: BTreeSet<(NodeId, NodeId)>,
    /// Addresses of nodes that the person has blocked.
    pub(super) blocked: BTreeSet<Address>,
    pub(super) withheld: Withheld,
}

impl Stack {
    /// A node that knows its identity and what its store held; it has no link yet.
    pub fn new(config: StackConfig) -> Result<Self, StackError> {
        let mut rng = StdRng::from_seed(config.seed);
        let own = config.identity.key().node_id();
        let credentials = Credentials::from_pkcs8(config.identity.key().pkcs8_der())?;
        let signatures = Box::new(config.subkey);
        let mut mesh = Mesh::new(config.mesh, own.address(), rng.random(), signatures, rng.random());
        mesh.set_own_identity(Instant::default(), mesh_identity(&config.identity));
        let sealer = config.network_key.map(|key| Sealer::new(&key, rng.random()));
        let streams = Endpoint::new(config.stream, credentials, rng.random())?;
        let mut messenger = Messenger::new(own, config.messenger, rng.random());
        let mut withheld = Withheld::default();
        withheld.on_confirmed(config.outboxes.confirmed);
        messenger.handle_store(Now::default(), StoreReply::Opened(config.outboxes));
        let directory = Directory::of(&config.peers);
        let blocked = directory.iter().filter(|entry| entry.trust == Trust::Blocked).map(|entry| entry.id);
        let blocked: Vec<_> = blocked.collect();
        blocked.iter().for_each(|id| messenger.set_blocked(Now::default(), *id, true));
        let blocked = blocked.iter().map(NodeId::address).collect();
        Ok(Self {
            own,
            identity: config.identity,
            mesh,
            sealer,
            plain: Vec::new(),
            streams,
            messenger,
            directory,
            sessions: Sessions::new(own, rng.random()),
            connections: Connections::default(),
            touched: BTreeSet::new(),
            links: BTreeMap::new(),
            echoes: Echoes::default(),
            rng: StdRng::from_rng(&mut rng),
            events: VecDeque::new(),
            restarted: VecDeque::new(),
            accepted: VecDeque::new(),
            store_ops: VecDeque::new(),
            storage_trouble: Trouble::default(),
            unsettled: None,
            heard: Vec::new(),
            same_names: BTreeSet::new(),
            blocked,
            withheld,
        })
    }

    /// A link is ready. `name` is for people.
    pub fn add_link(&mut self, now: Now, link: LinkId, name: &str, mut info: LinkInfo) {
        if self.sealer.is_some() {
            info.mtu = Sealer::inner_mtu(info.mtu);
            info.larger = info.larger.map(Sealer::inner_mtu);
        }
        self.links.insert(link, name.to_owned());
        self.mesh.add_link(now.monotonic, link, info);
        self.settle(now);
    }

    /// A link is gone, or does not work at present.
    pub fn remove_link(&mut self, now: Now, link: LinkId) {
        self.mesh.remove_link(now.monotonic, link);
        self.sealer.iter_mut().for_each(|sealer| sealer.remove_link(link));
        self.links.remove(&link);
        self.settle(now);
    }

    /// A frame came in. It is decrypted in place. What is wrong with a frame is counted, never an error of the caller.
    /// A frame for another node is put into `out`, which must be empty, to be sent at once where the result says.
    pub fn handle_frame(
        &mut self,
        now: Now,
        link: LinkId,
        from: LinkAddr,
        frame: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Option<(LinkId, Destination)> {
        // What is dropped was counted, and has changed nothing.
        let frame = match &mut self.sealer {
            Some(sealer) => sealer.open(now.monotonic, link, from, frame).ok()??,
            None => frame,
        };
        match self.mesh.handle_frame(now.monotonic, link, from, frame) {
            Ok(Handled::Forward { hop, frame }) => {
                let to = Destination::Station(hop.to);
                match &mut self.sealer {
                    Some(sealer) => sealer.seal(hop.link, to, frame, out).ok()?,
                    None => out.extend_from_slice(frame),
                }
                return Some((hop.link, to));
            }
            Ok(Handled::Deliver(delivery)) if self.blocked.contains(&delivery.source) => {}
            Ok(Handled::Deliver(delivery)) if delivery.kind == FrameType::Stream => {
                let mesh::Delivery { source, payload, .. } = delivery;
                // A dropped packet is counted by the endpoint and has changed nothing.
                let is_authentic = self.streams.handle_packet(now.monotonic, source, payload).is_ok();
                if is_authentic && !self.heard.contains(&source) {
                    self.heard.push(source);
                }
                if self.heard.len() < MAX_HEARD {
                    self.unsettled = Some(now);
                    return None;
                }
            }
            Ok(Handled::Deliver(delivery)) if delivery.kind == FrameType::Broadcast => {
                self.on_broadcast(delivery.source, delivery.payload);
            }
            Ok(Handled::Deliver(_) | Handled::Done) | Err(_) => {}
        }
        self.settle(now);
        None
    }

    /// An operation of [`Stack::poll_store`] has been done, or has failed.
    pub fn handle_store(&mut self, now: Now, reply: StoreReply) {
        self.note_store_reply(now, &reply);
        self.messenger.handle_store(now, reply);
        self.touch_all();
        self.settle(now);
    }

    /// The application is done with all messages up to `arrival`.
    pub fn handle_confirmed(&mut self, now: Now, arrival: u64) {
        self.messenger.handle_confirmed(self.withheld.on_confirmed(arrival));
        self.touch_all();
        self.settle(now);
    }

    /// The application, or the person, has read the messages from this node up to `arrival`: the sender is told.
    pub fn mark_read(&mut self, now: Now, from: NodeId, arrival: u64) {
        self.messenger.mark_read(now.wall, from, arrival);
        self.settle(now);
    }

    /// A job of [`Stack::poll_job`] is done.
    pub fn handle_job(&mut self, now: Now, outcome: JobOutcome) {
        self.messenger.handle_job(now, outcome);
        self.touch_all();
        self.settle(now);
    }

    /// The time of [`Stack::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Now) {
        self.mesh.handle_timeout(now.monotonic);
        self.streams.handle_timeout(now.monotonic);
        self.echoes.handle_timeout(now.monotonic);
        if self.messenger.poll_timeout().is_some_and(|due| due <= now.monotonic) {
            self.messenger.handle_timeout(now);
        }
        self.settle(now);
    }

    /// Takes a message for a known node. Whether it is safely stored is told by [`Stack::poll_accepted`]. When it is not
    /// delivered within `lifetime`, it is given up.
    pub fn send(
        &mut self,
        now: Now,
        to: NodeId,
        text: String,
        lifetime: Option<Duration>,
    ) -> Result<MessageId, SendError> {
        messenger::check_text(&text)?;
        self.check_recipient(to)?;
        let id = MessageId(self.rng.random());
        let expires = lifetime.map(|lifetime| now.wall + lifetime);
        self.messenger.send(now.wall, id, to, text, expires)?;
        self.tie(to, Ties::Own);
        self.settle(now);
        Ok(id)
    }

    /// The node that a full id, a unique prefix or suffix of one, or a nickname means.
    pub fn resolve(&self, query: &str) -> Result<NodeInfo, ResolveError> {
        let id = self.directory.resolve(query)?;
        self.info(id).ok_or_else(|| ResolveError::Unknown { query: query.to_owned() })
    }

    /// All known nodes, those in reach first, then by the time of their last sign of life.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let mut nodes: Vec<_> = self.directory.iter().filter_map(|entry| self.info(entry.id)).collect();
        nodes.sort_by_key(|node| (!node.present, std::cmp::Reverse(node.last_seen), node.id));
        nodes
    }

    /// Says goodbye: closes every connection and tells the neighbours.
    pub fn leave(&mut self, now: Now) {
        for connection in self.sessions.connections().into_iter().chain(self.connections.all()) {
            self.streams.close(now.monotonic, connection, codes::STOPPING, "the node stops");
        }
        self.mesh.leave(now.monotonic);
    }

    /// Appends the next frame to `out`, which must be empty, and tells where it goes.
    pub fn poll_transmit(&mut self, now: Now, out: &mut Vec<u8>) -> Option<(LinkId, Destination)> {
        self.settle_packets();
        if self.sealer.is_none() {
            return self.poll_plain(now, out);
        }
        // First what makes the receivers believe the rest.
        if let Some(target) = self.sealer.as_mut()?.poll_transmit(out) {
            return Some(target);
        }
        let mut plain = std::mem::take(&mut self.plain);
        let sealed = loop {
            plain.clear();
            let Some((link, to)) = self.poll_plain(now, &mut plain) else { break None };
            if self.sealer.as_mut()?.seal(link, to, &plain, out).is_ok() {
                break Some((link, to));
            }
        };
        self.plain = plain;
        sealed
    }

    /// The next frame as the mesh knows it.
    fn poll_plain(&mut self, now: Now, out: &mut Vec<u8>) -> Option<(LinkId, Destination)> {
        if let Some(target) = self.mesh.poll_transmit(now.monotonic, out) {
            return Some(target);
        }
        loop {
            out.clear();
            out.resize(HEADER_LEN, 0);
            let Some(peer) = self.streams.poll_transmit(now.monotonic, out) else {
                out.clear();
                return None;
            };
            let payload_len = out.len() - HEADER_LEN;
            if self.blocked.contains(&peer) {
                continue;
            }
            // Without a route the packet is lost, as on any network; the endpoint will send its content again.
            let Some(hop) = self.mesh.next_hop(now.monotonic, peer) else { continue };
            if payload_len > hop.mtu {
                // The route has changed to a link with smaller frames.
                self.streams.set_path_mtu(peer, hop.mtu);
                continue;
            }
            let Ok(payload_len) = u16::try_from(payload_len) else { continue };
            let header = self.mesh.unicast_header(peer, FrameType::Stream, TrafficClass::Bulk, payload_len);
            out[..HEADER_LEN].copy_from_slice(&header);
            let NextHop { link, to, .. } = hop;
            return Some((link, Destination::Station(to)));
        }
    }

    /// The next operation for the store.
    pub fn poll_store(&mut self) -> Option<StoreOp> {
        self.settle_packets();
        self.store_ops.pop_front().or_else(|| self.messenger.poll_store())
    }

    /// The next operation with the private key, and the identity record that it needs.
    pub fn poll_job(&mut self) -> Option<(Job, Option<Vec<u8>>)> {
        self.settle_packets();
        let job = self.messenger.poll_job()?;
        let record = match &job {
            Job::Seal { to, .. } => self.directory.node(to).map(|entry| entry.record.clone()),
            Job::Open { .. } | Job::Sign { .. } => None,
        };
        Some((job, record))
    }

    /// The next answer to a [`Stack::send`]: the message is safely stored, or could not be stored.
    pub fn poll_accepted(&mut self) -> Option<(MessageId, Result<(), StoreError>)> {
        self.settle_packets();
        self.accepted.pop_front()
    }

    /// The next event for the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.settle_packets();
        self.events.pop_front()
    }

    /// When [`Stack::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let wanted = self.messenger.wanted_sessions();
        let attempt =
            self.sessions.next_attempt(wanted.filter(|(peer, _)| self.mesh.is_reachable(peer.address())));
        let layers = [self.mesh.poll_timeout(), self.streams.poll_timeout(), self.messenger.poll_timeout()];
        [layers[0], layers[1], layers[2], self.echoes.poll_timeout(), attempt].into_iter().flatten().min()
    }

    /// The messenger may have something for any session.
    fn touch_all(&mut self) {
        self.touched.extend(self.sessions.connections());
    }

    /// Settles what a batch of packets has left.
    pub(super) fn settle_packets(&mut self) {
        if let Some(now) = self.unsettled {
            self.settle(now);
        }
    }

    /// Carries results from layer to layer until none is left.
    pub(super) fn settle(&mut self, now: Now) {
        self.unsettled = None;
        while let Some(source) = self.heard.pop() {
            self.mesh.confirm_path(source);
            if let Some(route) = self.mesh.route(source) {
                self.streams.set_path_mtu(source, route.mtu);
            }
        }
        while self.carry_mesh_event(now) || self.carry_stream_event(now) || self.carry_messenger_event(now) {}
        self.connect_where_messages_wait(now);
        self.exchange_with_sessions(now);
        while self.carry_messenger_event(now) {}
    }
}

/// What the mesh needs to know of this node's identity.
pub(super) fn mesh_identity(identity: &OwnIdentity) -> mesh::Identity {
    let fields = identity.fields();
    mesh::Identity { number: fields.number, subkey: fields.subkey, record: identity.record().into() }
}

impl mesh::Signatures for Subkey {
    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        Subkey::sign(self, message)
    }

    fn verify(&self, subkey: &[u8; SUBKEY_LEN], message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        Subkey::verify(subkey, message, signature)
    }
}
