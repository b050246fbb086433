//! A store in memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use self::mailbox::Mailbox;
use self::rooms::Rooms;
use super::held::{Size, first_of_chain, has_room};
use super::{
    ANSWER_LIFE, Deposit, IncomingMessage, OpenedOutboxes, Origin, OutgoingMessage, PATIENCE, PageLimit,
    READ_LIFE, ReceivedMessage, StoreError, StoreOp, StoreReply, StoredPeer, Unconfirmed,
};
use crate::types::{MessageId, NodeId, Status, UnixTime};
use crate::wire::content::{Content, MAX_RECEIPT_IDS};

mod mailbox;
mod rooms;

/// A store with the meaning of the real one and no disk: for simulations, and for nodes that are to keep nothing. In a
/// simulation it is the disk that survives a crash.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    pub(crate) outgoing: BTreeMap<u64, (NodeId, OutgoingMessage)>,
    /// Pending messages of each peer.
    pending: BTreeMap<NodeId, BTreeSet<u64>>,
    /// Places in the outbox. An id is used once, but for the copies of a message to a room.
    seqs: BTreeMap<(MessageId, NodeId), u64>,
    last_seq: u64,
    /// What mailboxes keep, and until when.
    copies: BTreeMap<(u64, NodeId), UnixTime>,
    pub(crate) incoming: BTreeMap<u64, IncomingMessage>,
    last_arrival: u64,
    seen: BTreeSet<(NodeId, MessageId)>,
    /// Those that the application has not read.
    unread: BTreeSet<(NodeId, u64)>,
    /// Set aside.
    held: BTreeMap<(NodeId, MessageId), Held>,
    held_size: Size,
    held_sizes: BTreeMap<NodeId, Size>,
    last_held: u64,
    /// Of which message a receipt in the outbox tells.
    told: BTreeMap<(NodeId, MessageId), u64>,
    mailbox: Mailbox,
    rooms: Rooms,
    peers: BTreeMap<NodeId, StoredPeer>,
    confirmed: u64,
}

/// A message that waits for another one.
#[derive(Debug, Clone)]
struct Held {
    /// Grows with each that is set aside.
    number: u64,
    follows: MessageId,
    message: ReceivedMessage,
}

impl MemoryStore {
    /// What a node that starts has to know of its messages.
    pub fn opened(&self) -> OpenedOutboxes {
        OpenedOutboxes {
            backlog: self.pending.keys().copied().collect(),
            texts_for: self.texts_for(),
            letters_for: self.mailbox.recipients(),
            confirmed: self.confirmed,
            last_arrival: self.last_arrival,
            unconfirmed: self.unconfirmed(),
            rooms: self.rooms.all(),
        }
    }

    fn texts_for(&self) -> Vec<NodeId> {
        let is_text =
            |seq: &u64| self.outgoing.get(seq).is_some_and(|(_, message)| message.content.is_text());
        let with_text = self.pending.iter().filter(|(_, pending)| pending.iter().any(is_text));
        with_text.map(|(peer, _)| *peer).collect()
    }

    fn unconfirmed(&self) -> Vec<Unconfirmed> {
        let after = self.incoming.range(self.confirmed + 1..);
        after
            .map(|(arrival, message)| Unconfirmed {
                arrival: *arrival,
                from: message.from,
                len: message.text.len(),
            })
            .collect()
    }

    /// The nodes that are kept.
    pub fn peers(&self) -> Vec<StoredPeer> {
        self.peers.values().cloned().collect()
    }

    /// How many letters its mailbox keeps.
    pub fn letters(&self) -> usize {
        self.mailbox.len()
    }

    #[cfg(test)]
    pub(crate) fn knows(&self, from: NodeId, id: MessageId) -> bool {
        self.seen.contains(&(from, id)) || self.held.contains_key(&(from, id))
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    #[cfg(test)]
    pub(crate) fn has_letter(&self, recipient: NodeId, sender: NodeId, id: MessageId) -> bool {
        self.mailbox.has(recipient, sender, id)
    }

    /// What a disk may tell of operations before it executes them together.
    pub fn written<'a>(&self, ops: impl IntoIterator<Item = &'a StoreOp>) -> Vec<StoreReply> {
        let mut latest = BTreeMap::new();
        let written = |(seq, op): (u64, &StoreOp)| match op {
            StoreOp::Enqueue { id, to, created, expires, text } if !self.has_sent(*id) => {
                let latest = latest.entry(*to).or_default();
                let created = self.created(*to, *created).max(*latest);
                *latest = created;
                let (content, status) = (Content::Text(text.clone()), Status::Queued);
                let message = OutgoingMessage { seq, id: *id, created, expires: *expires, content, status };
                Some(StoreReply::Written { to: *to, message })
            }
            _ => None,
        };
        (self.last_seq + 1..).zip(ops).map(written).collect::<Option<_>>().unwrap_or_default()
    }

    /// Executes an operation, which cannot fail; gives the answer of those that have one.
    pub fn execute(&mut self, op: StoreOp) -> Option<StoreReply> {
        Some(match op {
            StoreOp::Enqueue { id, to, created, expires, text } => {
                if self.has_sent(id) {
                    return Some(StoreReply::NotEnqueued {
                        id,
                        len: text.len(),
                        error: StoreError::DuplicateId,
                    });
                }
                let message = self.enqueue(id, to, created, expires, Content::Text(text));
                StoreReply::Enqueued { to, message }
            }
            StoreOp::Room { own, id, now, command } => self.room_command(own, id, now, command),
            StoreOp::PublishRoom { room, signed, now } => self.publish_room(room, &signed, now),
            StoreOp::SetStatus { to, ids, status } => {
                let ids = self.raise(to, ids, status);
                StoreReply::StatusSaved { to, ids, status }
            }
            StoreOp::Deposited { to, ids, mailbox, until } => {
                for id in &ids {
                    let seq = self.seqs.get(&(*id, to)).filter(|seq| self.is_pending(to, **seq));
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
            StoreOp::StoreIncoming { origin, from, to, messages, receipt } => {
                self.store_incoming(origin, (from, to), messages, receipt)
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
                let room = self.incoming.get(&arrival).and_then(|message| message.room);
                let is_there = |(_, arrival): &&(NodeId, u64)| {
                    self.incoming.get(arrival).is_some_and(|message| message.room == room)
                };
                let unread = self.unread.range((from, 0)..=(from, arrival)).filter(is_there);
                let unread: Vec<_> = unread.take(MAX_RECEIPT_IDS).copied().collect();
                for read in &unread {
                    self.unread.remove(read);
                }
                let ids = unread.iter().filter_map(|(_, arrival)| self.incoming.get(arrival));
                let content =
                    Content::Receipts { status: Status::Read, ids: ids.map(|message| message.id).collect() };
                let told = content.weight() > 0;
                let receipt = told.then(|| self.enqueue(receipt, from, now, Some(now + READ_LIFE), content));
                StoreReply::MarkedRead { from, arrival, receipt }
            }
            StoreOp::KeepLetter { session, number, letter, quota } => {
                let recipient = letter.recipient;
                let keeping = self.mailbox.keep(letter, quota);
                StoreReply::LetterKept { session, number, recipient, keeping }
            }
            StoreOp::LoadLetters { recipient, after, limit, token } => {
                let (letters, complete) =
                    page(self.mailbox.letters(recipient, after), limit, |(_, letter)| letter.envelope.len());
                StoreReply::LetterPage { token, letters, complete }
            }
            StoreOp::RemoveLetters { recipient, numbers } => {
                numbers.into_iter().for_each(|number| self.mailbox.remove(recipient, number));
                return None;
            }
            StoreOp::Sweep { now } => {
                self.mailbox.expire(now);
                self.rooms.expire(now);
                let (expired, idle) = self.expire(now);
                StoreReply::Swept { expired, idle, released: self.release(now) }
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
        let created = self.created(to, created);
        self.last_seq += 1;
        let seq = self.last_seq;
        let message = OutgoingMessage { seq, id, created, expires, content, status: Status::Queued };
        self.outgoing.insert(seq, (to, message.clone()));
        self.pending.entry(to).or_default().insert(seq);
        self.seqs.insert((id, to), seq);
        message
    }

    /// Not before what is pending for this peer, even if the clock was set back: recipients tell by that which was first.
    fn created(&self, to: NodeId, now: UnixTime) -> UnixTime {
        let latest = self.pending.get(&to).and_then(BTreeSet::last).and_then(|seq| self.outgoing.get(seq));
        latest.map_or(now, |(_, latest)| latest.created.max(now))
    }

    fn has_sent(&self, id: MessageId) -> bool {
        let ends = [0, 0xff].map(|byte| (id, NodeId([byte; NodeId::LEN])));
        self.seqs.range(ends[0]..=ends[1]).next().is_some()
    }

    fn is_pending(&self, to: NodeId, seq: u64) -> bool {
        self.pending.get(&to).is_some_and(|pending| pending.contains(&seq))
    }

    fn pending_after(&self, peer: NodeId, after: u64) -> impl Iterator<Item = &OutgoingMessage> {
        let seqs = self.pending.get(&peer).into_iter().flat_map(move |pending| pending.range(after + 1..));
        seqs.filter_map(|seq| self.outgoing.get(seq)).map(|(_, message)| message)
    }

    fn deposit(&self, peer: NodeId, message: &OutgoingMessage) -> Deposit {
        let before = |earlier: &&OutgoingMessage| {
            earlier.expires.is_none() && is_of_conversation(&earlier.content, &message.content)
        };
        let earlier =
            self.pending.get(&peer).into_iter().flat_map(|pending| pending.range(..message.seq).rev());
        let earlier = earlier.filter_map(|seq| self.outgoing.get(seq)).map(|(_, message)| message);
        let after = earlier.into_iter().find(before);
        Deposit { message: message.clone(), after: after.map(|message| message.id) }
    }

    /// The texts of those whose status rose.
    fn raise(&mut self, to: NodeId, ids: Vec<MessageId>, status: Status) -> Vec<MessageId> {
        ids.into_iter().filter(|id| self.raise_one(to, id, status)).collect()
    }

    fn raise_one(&mut self, to: NodeId, id: &MessageId, status: Status) -> bool {
        let Some(&seq) = self.seqs.get(&(*id, to)) else { return false };
        let Some((_, message)) = self.outgoing.get_mut(&seq) else { return false };
        if message.status >= status {
            return false;
        }
        message.status = status;
        let is_text = message.content.is_text();
        if !status.is_pending() {
            let ends = [0, 0xff].map(|byte| (seq, NodeId([byte; NodeId::LEN])));
            self.copies.extract_if(ends[0]..=ends[1], |_, _| true).for_each(drop);
            if let Some(pending) = self.pending.get_mut(&to) {
                pending.remove(&seq);
                if pending.is_empty() {
                    self.pending.remove(&to);
                }
            }
            if !is_text
                && let Some((_, message)) = self.outgoing.remove(&seq)
                && let Content::Receipts { ids, .. } = message.content
            {
                for id in ids {
                    if self.told.get(&(to, id)) == Some(&seq) {
                        self.told.remove(&(to, id));
                    }
                }
            }
        }
        is_text
    }

    fn store_incoming(
        &mut self,
        origin: Origin,
        (from, to): (NodeId, NodeId),
        messages: Vec<ReceivedMessage>,
        receipt: Option<MessageId>,
    ) -> StoreReply {
        let ids = messages.iter().map(|message| message.id).collect();
        let now = messages.first().map_or_else(UnixTime::default, |message| message.received_at);
        let (mut new, mut raised, mut told, mut rooms) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for message in messages {
            match &message.content {
                Content::Receipts { status, ids } => {
                    let ids = self.raise(from, ids.clone(), *status);
                    raised.extend(ids.into_iter().map(|id| (id, *status)));
                    continue;
                }
                Content::Unknown(_) => continue,
                Content::Text(_) | Content::Following { .. } | Content::RoomText { .. } => {}
                Content::Room(bytes) => {
                    rooms.extend(self.meet_room(to, from, (bytes, message.received_at), &mut new))
                }
                Content::RoomRequest { stamp, request } => {
                    rooms.extend(self.answer_request(from, *stamp, *request, message.received_at));
                }
            }
            if receipt.is_some()
                && !self.told.contains_key(&(from, message.id))
                && !told.contains(&message.id)
            {
                told.push(message.id);
            }
            if !message.content.is_text() {
                continue;
            }
            if matches!(origin, Origin::Session(_)) && !matches!(message.content, Content::Following { .. }) {
                self.release_before(from, message.sent_at, &mut new);
            }
            self.store(from, message, &mut new);
        }
        let receipt = receipt.filter(|_| !told.is_empty()).map(|id| {
            let content = Content::Receipts { status: Status::Delivered, ids: told.clone() };
            let message = self.enqueue(id, from, now, Some(now + ANSWER_LIFE), content);
            self.told.extend(told.into_iter().map(|id| ((from, id), message.seq)));
            message
        });
        StoreReply::Stored { origin, from, ids, new, raised, receipt, rooms }
    }

    fn store(&mut self, from: NodeId, mut message: ReceivedMessage, new: &mut Vec<IncomingMessage>) {
        if let Content::Following { after, stamp, text } = message.content {
            message.content = match stamp {
                Some(stamp) => Content::RoomText { stamp, text },
                None => Content::Text(text),
            };
            // One that follows itself would wait for ever.
            let known =
                after == message.id || [after, message.id].into_iter().any(|id| self.has_arrived(from, id));
            if !known && self.may_wait(from, &message) {
                return self.hold(from, after, message);
            }
        }
        let mut next = vec![message];
        while let Some(message) = next.pop() {
            let id = message.id;
            self.unhold(from, id);
            new.extend(self.arrive(from, message));
            let mut followers: Vec<_> = self.held_of(from).filter(|held| held.follows == id).collect();
            followers.sort_by_key(|held| Reverse(held.number));
            next.extend(followers.into_iter().map(|held| held.message.clone()));
        }
    }

    fn may_wait(&self, from: NodeId, message: &ReceivedMessage) -> bool {
        let of_sender = self.held_sizes.get(&from).copied().unwrap_or_default();
        has_room(of_sender, self.held_size, message.content.weight())
    }

    fn hold(&mut self, from: NodeId, follows: MessageId, message: ReceivedMessage) {
        if !self.held.contains_key(&(from, message.id)) {
            self.last_held += 1;
            let (id, len) = (message.id, message.content.weight());
            for size in [&mut self.held_size, self.held_sizes.entry(from).or_default()] {
                size.add(len);
            }
            self.held.insert((from, id), Held { number: self.last_held, follows, message });
        }
    }

    fn unhold(&mut self, from: NodeId, id: MessageId) {
        let Some(Held { message, .. }) = self.held.remove(&(from, id)) else { return };
        for size in [&mut self.held_size, self.held_sizes.entry(from).or_default()] {
            size.remove(message.content.weight());
        }
        if self.held_sizes.get(&from).is_some_and(|size| size.messages == 0) {
            self.held_sizes.remove(&from);
        }
    }

    fn held_of(&self, sender: NodeId) -> impl Iterator<Item = &Held> {
        let ends = [0, 0xff].map(|byte| (sender, MessageId([byte; MessageId::LEN])));
        self.held.range(ends[0]..=ends[1]).map(|(_, held)| held)
    }

    /// Whether a message is stored, or waits for nothing but a version of its room.
    fn has_arrived(&self, from: NodeId, id: MessageId) -> bool {
        self.seen.contains(&(from, id)) || self.rooms.is_waiting(from, id)
    }

    fn arrive(&mut self, from: NodeId, message: ReceivedMessage) -> Option<IncomingMessage> {
        if self.has_arrived(from, message.id) {
            return None;
        }
        let ReceivedMessage { id, content, sent_at, received_at } = message;
        let (room, text) = match content {
            Content::RoomText { stamp, text } => {
                let message = Content::RoomText { stamp, text: text.clone() };
                let message = ReceivedMessage { id, content: message, sent_at, received_at };
                (Some(self.admit(from, stamp, message)?), text)
            }
            Content::Text(text) => (None, text),
            _ => return None,
        };
        self.seen.insert((from, id));
        self.last_arrival += 1;
        let arrival = self.last_arrival;
        let message = IncomingMessage { arrival, from, id, room, text, sent_at, received_at };
        self.incoming.insert(arrival, message.clone());
        self.unread.insert((from, arrival));
        Some(message)
    }

    /// The texts that were given up, and the peers to whom nothing is pending any more by that.
    fn expire(&mut self, now: UnixTime) -> (Vec<(NodeId, MessageId)>, Vec<NodeId>) {
        let pending = self.pending.values().flatten().filter_map(|seq| self.outgoing.get(seq));
        let due = pending.filter(|(_, message)| message.expires.is_some_and(|at| at <= now));
        let mut due: Vec<_> = due.map(|(to, message)| (message.seq, (*to, message.id))).collect();
        due.sort_unstable();
        let mut idle: BTreeSet<_> = due.iter().map(|(_, (to, _))| *to).collect();
        let due = due.into_iter().map(|(_, due)| due);
        let expired = due.filter(|(to, id)| self.raise_one(*to, id, Status::Expired)).collect();
        idle.retain(|peer| !self.pending.contains_key(peer));
        (expired, idle.into_iter().collect())
    }

    fn release(&mut self, now: UnixTime) -> Vec<IncomingMessage> {
        let due = self.held.iter().filter(|(_, held)| is_over(held.message.received_at, now));
        let mut due: Vec<_> = due.map(|((from, id), held)| (*from, held.number, *id)).collect();
        due.sort_unstable();
        let mut released = Vec::new();
        for (from, _, id) in due {
            if let Some(first) = self.first_of_chain(from, id) {
                self.store(from, first, &mut released);
            }
        }
        released
    }

    /// Stores what its sender wrote before this time and was set aside. A session brings all that is not given up, in order: what
    /// those wait for does not come any more.
    fn release_before(&mut self, from: NodeId, sent_at: UnixTime, new: &mut Vec<IncomingMessage>) {
        let before = self.held_of(from).filter(|held| held.message.sent_at < sent_at);
        let mut before: Vec<_> = before.map(|held| (held.number, held.message.id)).collect();
        before.sort_unstable();
        for (_, id) in before {
            if let Some(first) = self.first_of_chain(from, id) {
                self.store(from, first, new);
            }
        }
    }

    /// The message that this one waits for, or one before it in the chain, if that is set aside too.
    fn first_of_chain(&self, from: NodeId, id: MessageId) -> Option<ReceivedMessage> {
        let follows = |id| Ok::<_, Infallible>(self.held.get(&(from, id)).map(|held| held.follows));
        let Ok(first) = first_of_chain(id, follows);
        self.held.get(&(from, first?)).map(|held| held.message.clone())
    }
}

/// Whether both are texts, to the same room or to none.
fn is_of_conversation(one: &Content, other: &Content) -> bool {
    match (one, other) {
        (Content::Text(_), Content::Text(_)) => true,
        (Content::RoomText { stamp: one, .. }, Content::RoomText { stamp: other, .. }) => {
            one.room == other.room
        }
        _ => false,
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
