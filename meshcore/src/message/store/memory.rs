//! A store in memory.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    IncomingMessage, OpenedOutboxes, OutgoingMessage, PageLimit, ReceivedMessage, StoreError, StoreOp,
    StoreReply, StoredPeer,
};
use crate::types::{MessageId, NodeId, Status};

/// A store with the meaning of the real one and no disk: for simulations, and for nodes that are to keep nothing. In a
/// simulation it is the disk that survives a crash.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    pub(crate) outgoing: BTreeMap<u64, (NodeId, OutgoingMessage)>,
    pub(crate) incoming: BTreeMap<u64, IncomingMessage>,
    seen: BTreeSet<(NodeId, MessageId)>,
    peers: BTreeMap<NodeId, StoredPeer>,
    confirmed: u64,
}

impl MemoryStore {
    /// What a node that starts has to know of its messages.
    pub fn opened(&self) -> OpenedOutboxes {
        let undelivered = self.outgoing.values().filter(|(_, message)| message.status < Status::Delivered);
        let backlog: BTreeSet<_> = undelivered.map(|(peer, _)| *peer).collect();
        OpenedOutboxes {
            backlog: backlog.into_iter().collect(),
            confirmed: self.confirmed,
            last_arrival: self.incoming.keys().next_back().copied().unwrap_or(0),
        }
    }

    /// The nodes that are kept.
    pub fn peers(&self) -> Vec<StoredPeer> {
        self.peers.values().cloned().collect()
    }

    /// Executes an operation, which cannot fail; gives the answer of those that have one.
    pub fn execute(&mut self, op: StoreOp) -> Option<StoreReply> {
        Some(match op {
            StoreOp::Enqueue { id, to, created, text } => {
                if self.outgoing.values().any(|(_, message)| message.id == id) {
                    return Some(StoreReply::NotEnqueued {
                        id,
                        len: text.len(),
                        error: StoreError::DuplicateId,
                    });
                }
                let seq = self.outgoing.len() as u64 + 1;
                let message = OutgoingMessage { seq, id, created, text, status: Status::Queued };
                self.outgoing.insert(seq, (to, message.clone()));
                StoreReply::Enqueued { to, message }
            }
            StoreOp::SetStatus { to, ids, status } => {
                let mut raised = Vec::new();
                for (peer, message) in self.outgoing.values_mut() {
                    if *peer == to && ids.contains(&message.id) && message.status < status {
                        message.status = status;
                        raised.push(message.id);
                    }
                }
                StoreReply::StatusSaved { to, ids: raised, status }
            }
            StoreOp::LoadOutbox { peer, after, limit, token } => {
                let fits = |(to, message): &&(NodeId, OutgoingMessage)| {
                    *to == peer && message.seq > after && message.status < Status::Delivered
                };
                let all = self.outgoing.values().filter(fits).map(|(_, message)| message.clone());
                let (messages, complete) = page(all.collect(), limit, |message| message.text.len());
                StoreReply::OutboxPage { peer, token, messages, complete }
            }
            StoreOp::StoreIncoming { session, from, messages } => {
                let ids = messages.iter().map(|message| message.id).collect();
                let new = messages.into_iter().filter_map(|message| self.store(from, message)).collect();
                StoreReply::Stored { session, ids, new }
            }
            StoreOp::LoadIncoming { after, limit } => {
                let all = self.incoming.range(after + 1..).map(|(_, message)| message.clone()).collect();
                let (messages, complete) = page(all, limit, |message| message.text.len());
                StoreReply::IncomingPage { messages, complete }
            }
            StoreOp::Confirmed { arrival } => {
                self.confirmed = self.confirmed.max(arrival);
                return None;
            }
            StoreOp::SavePeer(peer) => {
                self.peers.insert(peer.id, peer);
                return None;
            }
            StoreOp::RemovePeer(id) => {
                self.peers.remove(&id);
                return None;
            }
        })
    }

    fn store(&mut self, from: NodeId, message: ReceivedMessage) -> Option<IncomingMessage> {
        let ReceivedMessage { id, text, sent_at, received_at } = message;
        let arrival = self.incoming.len() as u64 + 1;
        let message = IncomingMessage { arrival, from, id, text, sent_at, received_at };
        self.seen.insert((from, id)).then(|| self.incoming.insert(arrival, message.clone()));
        self.incoming.get(&arrival).cloned()
    }
}

fn page<T>(all: Vec<T>, limit: PageLimit, len: impl Fn(&T) -> usize) -> (Vec<T>, bool) {
    let (total, mut bytes, mut taken) = (all.len(), 0, Vec::new());
    for item in all {
        bytes += len(&item);
        if taken.len() >= limit.messages || (bytes > limit.bytes && !taken.is_empty()) {
            break;
        }
        taken.push(item);
    }
    let complete = taken.len() == total;
    (taken, complete)
}
