//! A store in memory with the meaning of the real one: what [`Disk::execute`] has done survives a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use meshcore::message::IncomingMessage;
use meshcore::message::store::{
    OpenedOutboxes, OutgoingMessage, PageLimit, StoreError, StoreOp, StoreReply, StoredPeer,
};
use meshcore::types::{MessageId, NodeId, Status};

#[derive(Default)]
pub(crate) struct Disk {
    outgoing: Vec<(NodeId, OutgoingMessage)>,
    incoming: Vec<IncomingMessage>,
    known: BTreeSet<(NodeId, MessageId)>,
    peers: BTreeMap<NodeId, StoredPeer>,
    confirmed: u64,
    pub fault: Fault,
}

/// What the disk refuses at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Whatever writes.
    Full,
    /// Everything.
    Broken,
}

/// The first of `messages` that fit into a page, and whether that was all.
fn page<T: Clone>(messages: Vec<&T>, limit: PageLimit, len: impl Fn(&T) -> usize) -> (Vec<T>, bool) {
    let mut bytes = 0;
    let mut taken = Vec::new();
    for message in &messages {
        bytes += len(message);
        if !taken.is_empty() && (taken.len() >= limit.messages || bytes > limit.bytes) {
            return (taken, false);
        }
        taken.push((*message).clone());
    }
    (taken, true)
}

impl Disk {
    pub(crate) fn peers(&self) -> Vec<StoredPeer> {
        self.peers.values().cloned().collect()
    }

    pub(crate) fn open(&self) -> OpenedOutboxes {
        let undelivered = self.outgoing.iter().filter(|(_, m)| m.status < Status::Delivered);
        let backlog: BTreeSet<_> = undelivered.map(|(to, _)| *to).collect();
        OpenedOutboxes {
            backlog: backlog.into_iter().collect(),
            confirmed: self.confirmed,
            last_arrival: self.incoming.len() as u64,
        }
    }

    /// The application's confirmation, which needs no commit.
    pub(crate) fn confirm(&mut self, arrival: u64) {
        self.confirmed = self.confirmed.max(arrival);
    }

    pub(crate) fn execute(&mut self, operation: StoreOp) -> Option<StoreReply> {
        let file = PathBuf::from("simulated.db");
        match self.fault {
            Fault::Full if !operation.is_read() => Some(operation.failed(StoreError::Full { file })),
            Fault::Broken => {
                Some(operation.failed(StoreError::Failed { file, reason: "input/output error".into() }))
            }
            _ => self.perform(operation),
        }
    }

    fn perform(&mut self, operation: StoreOp) -> Option<StoreReply> {
        match operation {
            StoreOp::Enqueue { id, to, created, text } => {
                if self.outgoing.iter().any(|(_, message)| message.id == id) {
                    return Some(StoreReply::NotEnqueued {
                        id,
                        len: text.len(),
                        error: StoreError::DuplicateId,
                    });
                }
                let seq = self.outgoing.len() as u64 + 1;
                let message = OutgoingMessage { seq, id, created, text, status: Status::Queued };
                self.outgoing.push((to, message.clone()));
                Some(StoreReply::Enqueued { to, message })
            }
            StoreOp::SetStatus { to, mut ids, status } => {
                ids.retain(|id| {
                    let found = self.outgoing.iter_mut().find(|(peer, m)| *peer == to && m.id == *id);
                    let rises = found.as_ref().is_some_and(|(_, m)| m.status < status);
                    if let Some((_, message)) = found {
                        message.status = message.status.max(status);
                    }
                    rises
                });
                Some(StoreReply::StatusSaved { to, ids, status })
            }
            StoreOp::LoadOutbox { peer, after, limit, token } => {
                let waits = |m: &OutgoingMessage| m.seq > after && m.status < Status::Delivered;
                let to_peer = self.outgoing.iter().filter(|(to, m)| *to == peer && waits(m));
                let (messages, complete) = page(to_peer.map(|(_, m)| m).collect(), limit, |m| m.text.len());
                Some(StoreReply::OutboxPage { peer, token, messages, complete })
            }
            StoreOp::StoreIncoming { session, from, messages } => {
                let ids = messages.iter().map(|message| message.id).collect();
                let mut new = Vec::new();
                for message in messages {
                    if self.known.insert((from, message.id)) {
                        let arrival = self.incoming.len() as u64 + 1;
                        self.incoming.push(IncomingMessage {
                            arrival,
                            from,
                            id: message.id,
                            text: message.text,
                            sent_at: message.sent_at,
                            received_at: message.received_at,
                        });
                        new.extend(self.incoming.last().cloned());
                    }
                }
                Some(StoreReply::Stored { session, ids, new })
            }
            StoreOp::LoadIncoming { after, limit } => {
                let later = self.incoming.iter().filter(|message| message.arrival > after).collect();
                let (messages, complete) = page(later, limit, |m| m.text.len());
                Some(StoreReply::IncomingPage { messages, complete })
            }
            StoreOp::Confirmed { arrival } => {
                self.confirm(arrival);
                None
            }
            StoreOp::SavePeer(peer) => {
                self.peers.insert(peer.id, peer);
                None
            }
            StoreOp::RemovePeer(id) => {
                self.peers.remove(&id);
                None
            }
        }
    }
}
