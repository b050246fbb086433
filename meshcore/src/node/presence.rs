//! Who is there: mesh events, identity records, the directory.

use super::stack::{Now, Stack};
use super::{Event, NodeInfo, Warning};
use crate::mesh::MeshEvent;
use crate::message::directory::{CAPACITY, Change};
use crate::message::identity::IdentityRecord;
use crate::message::store::{StoreOp, StoredPeer};
use crate::stream;
use crate::types::{Address, NodeId};

impl Stack {
    pub(super) fn info(&self, id: NodeId) -> Option<NodeInfo> {
        let entry = self.directory.node(&id)?;
        Some(NodeInfo {
            id,
            nickname: entry.nickname.clone(),
            present: entry.present,
            last_seen: entry.last_seen,
        })
    }

    pub(super) fn carry_mesh_event(&mut self, now: Now) -> bool {
        let Some(event) = self.mesh.poll_event() else { return false };
        match event {
            MeshEvent::Reachable { node, number } => self.on_reachable(now, node, number),
            MeshEvent::Unreachable { node } => self.on_unreachable(now, node),
            MeshEvent::Restarted { node } => {
                self.sessions.suspect(node);
                self.connect_anew(now, node);
            }
            MeshEvent::IdentityReceived { node, record } => self.on_identity(now, node, record),
            MeshEvent::AddressConflict => self.events.push_back(Event::Warning(Warning::AddressConflict)),
        }
        true
    }

    fn on_reachable(&mut self, now: Now, node: Address, number: u64) {
        self.connect_anew(now, node);
        let Some(entry) = self.directory.by_address(&node) else { return };
        let (id, known) = (entry.id, entry.record_number);
        if known >= number {
            self.mesh.identity_known(now.monotonic, node, known);
        }
        self.found(now, id);
    }

    fn on_unreachable(&mut self, now: Now, node: Address) {
        // When it comes back, it may have restarted meanwhile, and nothing would tell that.
        self.sessions.suspect(node);
        self.streams.set_path_mtu(node, stream::DEFAULT_MTU);
        let Some(id) = self.directory.by_address(&node).map(|entry| entry.id) else { return };
        if self.directory.set_present(&id, false, now.wall)
            && let Some(info) = self.info(id)
        {
            self.events.push_back(Event::NodeLost(info));
        }
    }

    fn on_identity(&mut self, now: Now, node: Address, bytes: Vec<u8>) {
        let record = match IdentityRecord::verify(&bytes, node) {
            Ok(record) if record.is_valid_at(now.wall) => record,
            _ => return self.mesh.identity_refused(now.monotonic, node),
        };
        let id = record.id;
        let messenger = &self.messenger;
        let refresh =
            self.directory.refresh(&record, &bytes, now.wall, false, |id| messenger.has_backlog(id));
        // An older record than the known one is not asked for again either.
        self.mesh.identity_known(now.monotonic, node, record.fields.number);
        if let (Some(nickname), Some(known)) = (record.fields.nickname, refresh.nickname_also_used_by)
            && self.is_news(known, id)
        {
            self.events.push_back(Event::Warning(Warning::NicknameTaken { nickname, known, other: id }));
        }
        if let Some(evicted) = refresh.evicted {
            self.store_ops.push_back(StoreOp::RemovePeer(evicted));
        }
        if matches!(refresh.change, Change::New | Change::Updated) {
            self.save_peer(id);
        }
        if self.mesh.is_reachable(node) {
            self.found(now, id);
        }
    }

    /// Whether these two have not been told of yet: a node can change its name as often as it likes.
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
            self.events.push_back(Event::NodeFound(info));
            self.save_peer(id);
        }
    }

    fn save_peer(&mut self, id: NodeId) {
        if let Some(entry) = self.directory.node(&id) {
            self.store_ops.push_back(StoreOp::SavePeer(StoredPeer {
                id,
                record: entry.record.clone(),
                first_seen: entry.first_seen,
                last_seen: entry.last_seen,
            }));
        }
    }
}
