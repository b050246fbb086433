//! Who is there: mesh events, identity records, the directory.

use super::stack::Stack;
use super::stack::mesh_identity;
use super::{Event, NodeInfo, RouteInfo, Warning};
use crate::mesh::{self, MeshEvent};
use crate::message::directory::{CAPACITY, Change, Entry};
use crate::message::identity::{IdentityRecord, RecordFields};
use crate::message::store::{StoreOp, StoredPeer};
use crate::stream;
use crate::types::{Address, NodeId, Now, Trust};

impl Stack {
    pub(super) fn info(&self, id: NodeId) -> Option<NodeInfo> {
        let entry = self.directory.node(&id)?;
        Some(NodeInfo {
            id,
            nickname: entry.nickname.clone(),
            present: entry.present,
            last_seen: entry.last_seen,
            mailbox: entry.offers_mailbox(),
            route: self.route_info(id.address()),
            trust: entry.trust,
            is_contact: entry.is_contact(),
        })
    }

    /// The next node that has begun anew, as it seems: its connections may be dead. Only a hint, which can be forged.
    pub fn poll_restarted(&mut self) -> Option<NodeId> {
        self.restarted.pop_front()
    }

    /// Whether something can be kept for this node: it was in reach once, or is connected.
    pub fn knows(&self, id: NodeId) -> bool {
        self.directory.node(&id).is_some() || self.sessions.is_connected(id)
    }

    /// The way to a node in reach.
    pub fn route_to(&self, id: NodeId) -> Option<RouteInfo> {
        self.route_info(id.address())
    }

    fn route_info(&self, node: Address) -> Option<RouteInfo> {
        let route = self.mesh.route(node)?;
        Some(RouteInfo {
            next_hop: self.directory.by_address(&route.next_hop)?.id,
            hops: route.hops,
            metric: route.metric,
            mtu: route.mtu,
            link: self.links.get(&route.link).cloned().unwrap_or_default(),
        })
    }

    pub(super) fn carry_mesh_event(&mut self, now: Now) -> bool {
        let Some(event) = self.mesh.poll_event() else { return false };
        match event {
            MeshEvent::Reachable { node } => self.on_reachable(now, node),
            MeshEvent::Unreachable { node } => self.on_unreachable(now, node),
            MeshEvent::RouteChanged { node } => self.on_route_changed(now, node),
            MeshEvent::Restarted { node } => {
                self.restarted.extend(self.directory.by_address(&node).map(|entry| entry.id));
                self.sessions.suspect(node);
                self.connect_anew(now, node);
            }
            MeshEvent::IdentityWanted { node, number } => self.on_identity_wanted(now, node, number),
            MeshEvent::IdentityReceived { node, record } if node == self.own.address() => {
                self.on_own_record(now, &record);
            }
            MeshEvent::IdentityReceived { node, record } => self.on_identity(now, node, record),
            MeshEvent::AddressConflict => self.events.push_back(Event::Warning(Warning::AddressConflict)),
            MeshEvent::Echo { id, from, arrived, rtt } => self.on_echo(id, from, arrived, rtt),
        }
        true
    }

    fn on_reachable(&mut self, now: Now, node: Address) {
        // Connections from before wait ever longer for a sign of life.
        self.on_path_change(now, node);
        self.connect_anew(now, node);
        // The directory is full if it is not there.
        let entry = self.directory.by_address(&node).filter(|entry| entry.has_record());
        if let Some(id) = entry.map(|entry| entry.id) {
            self.found(now, id);
            self.update_reach(now, id);
        }
    }

    fn on_path_change(&mut self, now: Now, node: Address) {
        self.streams.on_path_change(now.monotonic, node);
        if let Some(route) = self.mesh.route(node) {
            self.streams.set_path_mtu(node, route.mtu);
        }
    }

    fn on_route_changed(&mut self, now: Now, node: Address) {
        self.on_path_change(now, node);
        let id = self.directory.by_address(&node).map(|entry| entry.id);
        if let Some(info) = id.and_then(|id| self.info(id)) {
            self.tell(Event::RouteChanged, info);
        }
    }

    /// A record that was verified earlier need not be fetched.
    fn on_identity_wanted(&mut self, now: Now, node: Address, number: u64) {
        let is_new_enough = |entry: &&Entry| entry.has_record() && entry.record_number >= number;
        if let Some(entry) = self.directory.by_address(&node).filter(is_new_enough) {
            let (number, subkey, record) = (entry.record_number, entry.subkey, entry.record[..].into());
            self.mesh.identity_known(now.monotonic, node, mesh::Identity { number, subkey, record });
        }
    }

    /// The mesh remembers a record of this node that is newer than the one in use, or another one with its number: the
    /// number was lost, or the clock that it was taken from was set back. A record with a higher number replaces both.
    fn on_own_record(&mut self, now: Now, bytes: &[u8]) {
        let Ok(record) = IdentityRecord::verify(bytes, self.own.address()) else { return };
        let Some(number) = record.fields.number.checked_add(1) else { return };
        if number <= self.identity.fields().number || bytes == self.identity.record() {
            return;
        }
        if let Err(error) = self.identity.renumber(number, now.wall) {
            return self.events.push_back(Event::Warning(Warning::Storage(error.to_string())));
        }
        self.mesh.set_own_identity(now.monotonic, mesh_identity(&self.identity));
        let record = self.identity.record().to_vec();
        self.store_ops.push_back(StoreOp::SavePeer(StoredPeer::new(self.own, record, now.wall)));
    }

    fn on_unreachable(&mut self, now: Now, node: Address) {
        // When it comes back, it may have restarted meanwhile, and nothing would tell that.
        self.sessions.suspect(node);
        self.streams.set_path_mtu(node, stream::DEFAULT_MTU);
        let Some(id) = self.directory.by_address(&node).map(|entry| entry.id) else { return };
        if self.directory.set_present(&id, false, now.wall)
            && let Some(info) = self.info(id)
        {
            self.tell(Event::NodeLost, info);
        }
        self.update_reach(now, id);
    }

    /// Tells the messenger whether a node can be reached. One that is blocked cannot.
    pub(super) fn update_reach(&mut self, now: Now, id: NodeId) {
        let is_reachable = self.directory.node(&id).is_some_and(|entry| entry.present);
        self.messenger.set_reachable(now, id, is_reachable && !self.is_blocked(id));
        self.update_mailboxes(now);
    }

    /// Tells the messenger which mailboxes can be reached.
    fn update_mailboxes(&mut self, now: Now) {
        let is_usable =
            |entry: &&Entry| entry.present && entry.offers_mailbox() && !self.is_blocked(entry.id);
        let offers = self.directory.iter().filter(is_usable);
        self.messenger.set_mailboxes(now, offers.map(|entry| entry.id).collect());
    }

    fn on_identity(&mut self, now: Now, node: Address, bytes: Vec<u8>) {
        let record = match IdentityRecord::verify(&bytes, node) {
            Ok(record) if record.is_valid_at(now.wall) => record,
            _ => return self.mesh.identity_refused(now.monotonic, node),
        };
        let id = record.id;
        let messenger = &self.messenger;
        let refresh =
            self.directory.refresh(&record, &bytes, now.wall, false, |id| messenger.has_pending_texts(id));
        let RecordFields { number, subkey, .. } = record.fields;
        self.mesh.identity_known(
            now.monotonic,
            node,
            mesh::Identity { number, subkey, record: bytes.into() },
        );
        if let (Some(nickname), Some(known)) = (record.fields.nickname, refresh.nickname_also_used_by)
            && self.is_news(known, id)
        {
            let verified = self.directory.node(&known).is_some_and(|entry| entry.trust == Trust::Verified);
            let warning = Warning::NicknameTaken { nickname, known, verified, other: id };
            self.events.push_back(Event::Warning(warning));
        }
        if refresh.keeps_its_name && self.is_news(id, id) {
            let entry = self.directory.node(&id);
            let (nickname, own_name) =
                entry.map(|entry| (entry.nickname.clone(), entry.own_name.clone())).unwrap_or_default();
            self.events.push_back(Event::Warning(Warning::VerifiedRenamed { node: id, nickname, own_name }));
        }
        if let Some(evicted) = refresh.evicted {
            self.store_ops.push_back(StoreOp::RemovePeer(evicted));
        }
        if matches!(refresh.change, Change::New | Change::Updated) {
            self.update_mailboxes(now);
            self.save_peer(id);
        }
    }

    /// Whether these two, or this one, have not been told of yet: a node can change its name as often as it likes.
    fn is_news(&mut self, known: NodeId, other: NodeId) -> bool {
        if self.same_names.len() >= CAPACITY {
            self.same_names.clear();
        }
        self.same_names.insert((known, other))
    }

    fn found(&mut self, now: Now, id: NodeId) {
        self.sessions.on_progress(id);
        if self.directory.set_present(&id, true, now.wall)
            && let Some(info) = self.info(id)
        {
            self.tell(Event::NodeFound, info);
            self.save_peer(id);
        }
    }

    /// Tells the application of a node, unless the person has blocked it.
    fn tell(&mut self, event: impl Fn(NodeInfo) -> Event, info: NodeInfo) {
        if info.trust != Trust::Blocked {
            self.events.push_back(event(info));
        }
    }

    pub(super) fn save_peer(&mut self, id: NodeId) {
        if let Some(entry) = self.directory.node(&id) {
            self.store_ops.push_back(StoreOp::SavePeer(entry.stored()));
        }
    }
}
