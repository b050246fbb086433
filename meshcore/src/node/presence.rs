//! Who is there: mesh events, identity records, the directory.

use super::stack::{Now, Stack};
use super::{Event, NodeInfo, Warning};
use crate::mesh::MeshEvent;
use crate::message::identity::IdentityRecord;
use crate::message::store::StoreOp;
use crate::types::{Address, NodeId};

impl Stack {
    pub(super) fn info(&self, id: NodeId) -> Option<NodeInfo> {
        let entry = self.directory.by_id(id)?;
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
                if let Some(entry) = self.directory.by_address(node) {
                    self.sessions.on_restart(entry.id);
                }
            }
            MeshEvent::IdentityReceived { node, record } => self.on_identity(now, node, record),
            MeshEvent::AddressConflict => self.events.push_back(Event::Warning(Warning::AddressConflict)),
        }
        true
    }

    fn on_reachable(&mut self, now: Now, node: Address, number: u64) {
        let Some(entry) = self.directory.by_address(node) else { return };
        let (id, known) = (entry.id, entry.record_number);
        if known >= number {
            self.mesh.identity_known(now.monotonic, node, known);
        }
        self.found(now, id);
    }

    fn on_unreachable(&mut self, now: Now, node: Address) {
        let Some(id) = self.directory.by_address(node).map(|entry| entry.id) else { return };
        if self.directory.set_present(id, false, now.wall)
            && let Some(info) = self.info(id)
        {
            self.events.push_back(Event::NodeLost(info));
        }
    }

    fn on_identity(&mut self, now: Now, node: Address, bytes: Vec<u8>) {
        let record = match IdentityRecord::verify(&bytes, node) {
            Ok(record) if record.valid_until >= now.wall => record,
            _ => return self.mesh.identity_refused(now.monotonic, node),
        };
        let (id, number) = (record.node_id, record.number);
        self.mesh.identity_known(now.monotonic, node, number);
        let keep = |id: NodeId| self.messenger.has_backlog(id);
        let change = self.directory.insert(&record, bytes, now.wall, keep);
        if let (Some(nickname), Some(known)) = (record.nickname, change.nickname_of) {
            self.events.push_back(Event::Warning(Warning::NicknameTaken { nickname, known, other: id }));
        }
        for evicted in change.evicted {
            self.store_ops.push_back(StoreOp::RemovePeer { id: evicted });
        }
        if self.mesh.is_reachable(node) {
            self.found(now, id);
        }
        self.save_peer(id);
    }

    fn found(&mut self, now: Now, id: NodeId) {
        self.sessions.on_progress(id);
        if self.directory.set_present(id, true, now.wall)
            && let Some(info) = self.info(id)
        {
            self.events.push_back(Event::NodeFound(info));
            self.save_peer(id);
        }
    }

    fn save_peer(&mut self, id: NodeId) {
        if let Some(peer) = self.directory.stored(id) {
            self.store_ops.push_back(StoreOp::SavePeer { peer });
        }
    }
}
