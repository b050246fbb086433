//! A store in memory.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Deposit, IncomingMessage, Keeping, Letter, MAX_HELD, OpenedOutboxes, OutgoingMessage, PATIENCE,
    PageLimit, Quota, ReceivedMessage, StoreError, StoreOp, StoreReply, StoredPeer,
};
use crate::types::{MessageId, NodeId, Status, UnixTime};
use crate::wire::content::{Content, MAX_RECEIPT_IDS};

/// A store with the meaning of the real one and no disk: for simulations, and for nodes that are to keep nothing. In a
/// simulation it is the disk that survives a crash.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    pub(crate) outgoing: BTreeMap<u64, (NodeId, OutgoingMessage)>,
    /// Pending messages of each peer.
    pending: BTreeMap<NodeId, BTreeSet<u64>>,
    /// Places in the outbox; an id is used once.
    seqs: BTreeMap<MessageId, u64>,
    last_seq: u64,
    /// What mailboxes keep, and until when.
    copies: BTreeMap<(u64, NodeId), UnixTime>,
    pub(crate) incoming: BTreeMap<u64, IncomingMessage>,
    last_arrival: u64,
    seen: BTreeSet<(NodeId, MessageId)>,
    /// Set aside, with the message that is waited for.
    held: BTreeMap<(NodeId, MessageId), (MessageId, ReceivedMessage)>,
    read: BTreeSet<u64>,
    letters: BTreeMap<u64, Letter>,
    last_letter: u64,
    peers: BTreeMap<NodeId, StoredPeer>,
    confirmed: u64,
}

impl MemoryStore {
    /// What a node that starts has to know of its messages.
    pub fn opened(&self) -> OpenedOutboxes {
        let letters_for: BTreeSet<_> = self.letters.values().map(|letter| letter.recipient).collect();
        OpenedOutboxes {
            backlog: self.pending.keys().copied().collect(),
            letters_for: letters_for.into_iter().collect(),
            confirmed: self.confirmed,
            last_arrival: self.last_arrival,
        }
    }

    /// The nodes that are kept.
    pub fn peers(&self) -> Vec<StoredPeer> {
        self.peers.values().cloned().collect()
    }

    /// How many letters its mailbox keeps.
    pub fn letters(&self) -> usize {
        self.letters.len()
    }

    /// Executes an operation, which cannot fail; gives the answer of those that have one.
    pub fn execute(&mut self, op: StoreOp) -> Option<StoreReply> {
        Some(match op {
            StoreOp::Enqueue { id, to, created, expires, text } => {
                if self.seqs.contains_key(&id) {
                    return Some(StoreReply::NotEnqueued {
                        id,
                        len: text.len(),
                        error: StoreError::DuplicateId,
                    });
                }
                let message = self.enqueue(id, to, created, expires, Content::Text(text));
                StoreReply::Enqueued { to, message }
            }
            StoreOp::SetStatus { to, ids, status } => {
                let ids = self.raise(to, ids, status);
                StoreReply::StatusSaved { to, ids, status }
            }
            StoreOp::Deposited { to, ids, mailbox, until } => {
                for id in &ids {
                    let seq = self.seqs.get(id).filter(|seq| self.is_pending(to, **seq));
                    self.copies.extend(seq.map(|seq| ((*seq, mailbox), until)));
                }
                let status = Status::Stored;
                StoreReply::StatusSaved { to, ids: self.raise(to, ids, status), status }
            }
            StoreOp::LoadOutbox { peer, after, limit, token } => {
                let all = self.pending_after(peer, after).cloned();
                let (messages, complete) = page(all, limit, |message| message.content.weight());
                StoreReply::OutboxPage { peer, token, messages, complete }
            }
            StoreOp::LoadDeposits { peer, mailbox, after, now, limit, token } => {
                let has_copy = |seq| self.copies.get(&(seq, mailbox)).is_some_and(|until| *until > now);
                let missing = self.pending_after(peer, after).filter(|message| !has_copy(message.seq));
                let all = missing.map(|message| self.deposit(peer, message));
                let (deposits, complete) = page(all, limit, |deposit| deposit.message.content.weight());
                StoreReply::DepositPage { token, deposits, complete }
            }
            StoreOp::StoreIncoming { origin, from, messages, receipt } => {
                let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
                let now = messages.first().map_or_else(UnixTime::default, |message| message.received_at);
                let (mut new, mut raised, mut told) = (Vec::new(), Vec::new(), Vec::new());
                for message in messages {
                    if let Content::Receipts { status, ids } = message.content {
                        let ids = self.raise(from, ids, status);
                        raised.extend(ids.into_iter().map(|id| (id, status)));
                    } else {
                        told.push(message.id);
                        self.store(from, message, &mut new);
                    }
                }
                let receipt = receipt.filter(|_| !told.is_empty()).map(|id| {
                    let content = Content::Receipts { status: Status::Delivered, ids: told };
                    self.enqueue(id, from, now, None, content)
                });
                StoreReply::Stored { origin, from, ids, new, raised, receipt }
            }
            StoreOp::LoadIncoming { after, limit } => {
                let all = self.incoming.range(after + 1..).map(|(_, message)| message.clone());
                let (messages, complete) = page(all, limit, |message| message.text.len());
                StoreReply::IncomingPage { messages, complete }
            }
            StoreOp::Confirmed { arrival } => {
                self.confirmed = self.confirmed.max(arrival);
                return None;
            }
            StoreOp::MarkRead { from, arrival, receipt, now } => {
                let unread = self.incoming.range(..=arrival).filter(|(_, message)| message.from == from);
                let unread = unread.filter(|(arrival, _)| !self.read.contains(arrival));
                let (arrivals, ids): (Vec<_>, Vec<_>) =
                    unread.map(|(arrival, message)| (*arrival, message.id)).take(MAX_RECEIPT_IDS).unzip();
                self.read.extend(arrivals);
                let content = Content::Receipts { status: Status::Read, ids };
                let told = content.weight() > 0;
                let receipt = told.then(|| self.enqueue(receipt, from, now, None, content));
                StoreReply::MarkedRead { from, receipt }
            }
            StoreOp::KeepLetter { session, number, letter, quota } => {
                let recipient = letter.recipient;
                let keeping = self.keep(letter, quota);
                StoreReply::LetterKept { session, number, recipient, keeping }
            }
            StoreOp::LoadLetters { recipient, after, limit, token } => {
                let all = self.letters.range(after + 1..).filter(|(_, letter)| letter.recipient == recipient);
                let all = all.map(|(number, letter)| (*number, letter.clone()));
                let (letters, complete) = page(all, limit, |(_, letter)| letter.envelope.len());
                StoreReply::LetterPage { token, letters, complete }
            }
            StoreOp::RemoveLetters { recipient, numbers } => {
                self.letters
                    .retain(|number, letter| letter.recipient != recipient || !numbers.contains(number));
                return None;
            }
            StoreOp::Sweep { now } => {
                self.letters.retain(|_, letter| letter.expires > now);
                StoreReply::Swept { expired: self.expire(now), released: self.release(now) }
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

    fn enqueue(
        &mut self,
        id: MessageId,
        to: NodeId,
        created: UnixTime,
        expires: Option<UnixTime>,
        content: Content,
    ) -> OutgoingMessage {
        self.last_seq += 1;
        let seq = self.last_seq;
        let message = OutgoingMessage { seq, id, created, expires, content, status: Status::Queued };
        self.outgoing.insert(seq, (to, message.clone()));
        self.pending.entry(to).or_default().insert(seq);
        self.seqs.insert(id, seq);
        message
    }

    fn is_pending(&self, to: NodeId, seq: u64) -> bool {
        self.pending.get(&to).is_some_and(|pending| pending.contains(&seq))
    }

    fn pending_after(&self, peer: NodeId, after: u64) -> impl DoubleEndedIterator<Item = &OutgoingMessage> {
        let seqs = self.pending.get(&peer).into_iter().flat_map(move |pending| pending.range(after + 1..));
        seqs.filter_map(|seq| self.outgoing.get(seq)).map(|(_, message)| message)
    }

    fn deposit(&self, peer: NodeId, message: &OutgoingMessage) -> Deposit {
        let is_text = |message: &&OutgoingMessage| matches!(message.content, Content::Text(_));
        let mut before = self.pending_after(peer, 0).take_while(|other| other.seq < message.seq);
        let after = Some(message).filter(is_text).and_then(|_| before.by_ref().filter(is_text).last());
        Deposit { message: message.clone(), after: after.map(|message| message.id) }
    }

    /// The texts of those whose status rose.
    fn raise(&mut self, to: NodeId, ids: Vec<MessageId>, status: Status) -> Vec<MessageId> {
        ids.into_iter().filter(|id| self.raise_one(to, id, status)).collect()
    }

    fn raise_one(&mut self, to: NodeId, id: &MessageId, status: Status) -> bool {
        let Some(&seq) = self.seqs.get(id) else { return false };
        let Some((_, message)) = self.outgoing.get_mut(&seq).filter(|(peer, _)| *peer == to) else {
            return false;
        };
        if message.status >= status {
            return false;
        }
        message.status = status;
        let is_text = matches!(message.content, Content::Text(_));
        if !status.is_pending() {
            self.copies.retain(|(copied, _), _| *copied != seq);
            if let Some(pending) = self.pending.get_mut(&to) {
                pending.remove(&seq);
                if pending.is_empty() {
                    self.pending.remove(&to);
                }
            }
            if !is_text {
                self.outgoing.remove(&seq);
            }
        }
        is_text
    }

    fn store(&mut self, from: NodeId, mut message: ReceivedMessage, new: &mut Vec<IncomingMessage>) {
        if let Content::Following { after, text } = message.content {
            message.content = Content::Text(text);
            let known = self.seen.contains(&(from, after)) || self.seen.contains(&(from, message.id));
            if !known && self.held_of(from).count() < MAX_HELD as usize {
                self.held.entry((from, message.id)).or_insert((after, message));
                return;
            }
        }
        let mut next = vec![message];
        while let Some(message) = next.pop() {
            let id = message.id;
            self.held.remove(&(from, id));
            new.extend(self.arrive(from, message));
            let followers = self.held_of(from).filter(|(follows, _)| *follows == id);
            next.extend(followers.map(|(_, held)| held.clone()));
        }
    }

    fn held_of(&self, sender: NodeId) -> impl Iterator<Item = &(MessageId, ReceivedMessage)> {
        let ends = [0, 0xff].map(|byte| (sender, MessageId([byte; MessageId::LEN])));
        self.held.range(ends[0]..=ends[1]).map(|(_, held)| held)
    }

    fn arrive(&mut self, from: NodeId, message: ReceivedMessage) -> Option<IncomingMessage> {
        let ReceivedMessage { id, content, sent_at, received_at } = message;
        let Content::Text(text) = content else { return None };
        if !self.seen.insert((from, id)) {
            return None;
        }
        self.last_arrival += 1;
        let arrival = self.last_arrival;
        let message = IncomingMessage { arrival, from, id, text, sent_at, received_at };
        self.incoming.insert(arrival, message.clone());
        Some(message)
    }

    fn keep(&mut self, letter: Letter, quota: Quota) -> Keeping {
        let sizes = |sender: Option<NodeId>| -> u64 {
            let letters = self.letters.values().filter(|kept| sender.is_none_or(|node| node == kept.sender));
            letters.map(|letter| letter.envelope.len() as u64).sum()
        };
        let is_same = |kept: &Letter| {
            (kept.sender, kept.recipient, kept.id) == (letter.sender, letter.recipient, letter.id)
        };
        let len = letter.envelope.len() as u64;
        if self.letters.values().any(is_same) {
            Keeping::Kept
        } else if sizes(None) + len > quota.total {
            Keeping::Full
        } else if sizes(Some(letter.sender)) + len > quota.sender {
            Keeping::SenderFull
        } else {
            self.last_letter += 1;
            self.letters.insert(self.last_letter, letter);
            Keeping::Kept
        }
    }

    fn expire(&mut self, now: UnixTime) -> Vec<(NodeId, MessageId)> {
        let pending = self.pending.values().flatten().filter_map(|seq| self.outgoing.get(seq));
        let due = pending.filter(|(_, message)| message.expires.is_some_and(|at| at <= now));
        let due: Vec<_> = due.map(|(to, message)| (*to, message.id)).collect();
        due.into_iter().filter(|(to, id)| self.raise_one(*to, id, Status::Expired)).collect()
    }

    fn release(&mut self, now: UnixTime) -> Vec<IncomingMessage> {
        let due = self.held.iter().filter(|(_, (_, held))| is_over(held.received_at, now));
        let mut due: Vec<_> = due.map(|((from, _), (_, held))| (*from, held.clone())).collect();
        // Those that wait for one another go out in the order of their writing.
        due.sort_by_key(|(from, held)| (*from, held.sent_at));
        let mut released = Vec::new();
        due.into_iter().for_each(|(from, held)| self.store(from, held, &mut released));
        released
    }
}

/// Whether a message has waited long enough. A clock that was set back must not make it wait for that time again.
fn is_over(received_at: UnixTime, now: UnixTime) -> bool {
    now >= received_at + PATIENCE || received_at >= now + PATIENCE
}

fn page<T>(all: impl Iterator<Item = T>, limit: PageLimit, len: impl Fn(&T) -> usize) -> (Vec<T>, bool) {
    let (mut bytes, mut taken) = (0, Vec::new());
    for item in all {
        bytes += len(&item);
        if taken.len() >= limit.messages || (bytes > limit.bytes && !taken.is_empty()) {
            return (taken, false);
        }
        taken.push(item);
    }
    (taken, true)
}
