//! What the store answers, and what follows from it.

use std::collections::BTreeSet;

use super::{Messenger, MessengerEvent, SessionId};
use crate::message::outbound::Outbox;
use crate::message::post::Page;
use crate::message::store::{IncomingMessage, Keeping, Origin, OutgoingMessage, StoreReply};
use crate::types::{MessageId, NodeId, Now, Status};
use crate::wire::content::{Content, MAX_RECEIPT_IDS};
use crate::wire::post::Outcome;

impl Messenger {
    /// An answer of the store.
    pub fn handle_store(&mut self, now: Now, reply: StoreReply) {
        match reply {
            StoreReply::Opened(opened) => {
                self.hand_over.opened(&opened);
                let texts_for: BTreeSet<_> = opened.texts_for.into_iter().collect();
                for peer in opened.backlog {
                    let texts = texts_for.contains(&peer);
                    self.outboxes.entry(peer).or_insert_with(|| Outbox::on_disk(texts));
                    self.review(now, peer);
                }
                self.rooms.opened(opened.rooms);
                self.sign_rooms(now.monotonic);
                opened.letters_for.into_iter().for_each(|recipient| self.post.has_letters(recipient));
                self.ops.extend(self.hand_over.load(&self.config));
            }
            StoreReply::Written { to, message } => {
                self.ahead.insert(message.id, to);
                self.enqueued(now, to, message);
            }
            StoreReply::Enqueued { to, message } => {
                self.release_sending(message.content.weight());
                let (id, status) = (message.id, message.status);
                self.events
                    .extend([MessengerEvent::Accepted { id }, MessengerEvent::Status { id, to, status }]);
                if self.ahead.remove(&message.id).is_none() {
                    self.enqueued(now, to, message);
                }
                self.retry_unsaved();
            }
            StoreReply::NotEnqueued { id, len, error } => {
                if let Some(to) = self.ahead.remove(&id) {
                    self.reload(now, to);
                }
                self.release_sending(len);
                self.events.push_back(MessengerEvent::Refused { id, error });
            }
            StoreReply::RoomDone { id, len, outcome } => {
                self.release_sending(len);
                self.room_done(now, id, *outcome);
                self.retry_unsaved();
            }
            StoreReply::RoomsChanged(outcomes) => {
                outcomes.into_iter().for_each(|outcome| self.room_published(now, outcome));
                self.retry_unsaved();
            }
            StoreReply::StatusSaved { to, ids, status } => {
                self.raised(now, to, ids, status);
                self.retry_unsaved();
                self.forget_if_idle(to);
            }
            StoreReply::StatusNotSaved { to, ids, status: Status::Delivered, .. } => {
                self.outboxes.entry(to).or_default().keep_unsaved(ids);
                self.any_unsaved = true;
            }
            // `Sent` is not tried again: it could overtake `Delivered`. And who has copies is asked for them again.
            StoreReply::StatusNotSaved { .. } | StoreReply::NotSaved { .. } => {}
            StoreReply::OutboxPage { peer, token, messages, complete } => {
                if let Some(outbox) = self.outboxes.get_mut(&peer) {
                    outbox.loaded(token, messages, complete);
                    self.refill(peer);
                    self.review(now, peer);
                }
            }
            StoreReply::OutboxPageFailed { peer, token, error } => {
                if let Some(outbox) = self.outboxes.get_mut(&peer)
                    && outbox.load_failed(token)
                    && let Some(session) = outbox.session()
                {
                    self.events.push_back(MessengerEvent::StorageFailed { session, error });
                }
            }
            StoreReply::DepositPage { token, deposits, complete } => {
                self.post.on_page(now, Page::Deposits { token, deposits, complete });
            }
            StoreReply::LetterPage { token, letters, complete } => {
                self.post.on_page(now, Page::Letters { token, letters, complete });
            }
            StoreReply::DepositPageFailed { token, .. } | StoreReply::LetterPageFailed { token, .. } => {
                self.post.on_page_failed(now, token);
            }
            StoreReply::Stored { origin, from, ids, new, raised, receipt, rooms } => {
                rooms.into_iter().for_each(|outcome| self.room_changed(now, outcome));
                self.arrived(new);
                for (id, status) in raised {
                    self.raised(now, from, vec![id], status);
                }
                receipt.into_iter().for_each(|message| self.enqueued(now, from, message));
                match origin {
                    Origin::Session(session) => self.stored(session, ids),
                    Origin::Envelopes { .. } => self.post.on_stored(&origin, Outcome::Taken),
                }
                self.retry_unsaved();
            }
            StoreReply::NotStored { origin: Origin::Session(session), error } => {
                if let Some(state) = self.sessions.get_mut(&session) {
                    state.failed = true;
                    state.inbound.give_up();
                    self.events.push_back(MessengerEvent::StorageFailed { session, error });
                }
            }
            StoreReply::NotStored { origin, .. } => self.post.on_stored(&origin, Outcome::Later),
            StoreReply::IncomingPage { messages, complete } => {
                let messages = self.hand_over.loaded(messages, complete);
                self.events.extend(messages.into_iter().map(MessengerEvent::Received));
                self.ops.extend(self.hand_over.load(&self.config));
            }
            StoreReply::IncomingPageFailed { .. } => self.hand_over.load_failed(),
            StoreReply::MarkedRead { from, arrival, receipt: Some(message) } => {
                if matches!(&message.content, Content::Receipts { ids, .. } if ids.len() >= MAX_RECEIPT_IDS) {
                    self.mark_read(now.wall, from, arrival);
                }
                self.enqueued(now, from, message);
            }
            StoreReply::MarkedRead { receipt: None, .. } => {}
            StoreReply::LetterKept { session, number, recipient, keeping } => {
                let outcome = match keeping {
                    Keeping::Kept => Outcome::Taken,
                    Keeping::Full => Outcome::Full,
                    Keeping::SenderFull => Outcome::SenderFull,
                };
                self.post.on_kept(session, number, outcome);
                if keeping == Keeping::Kept {
                    self.post.has_letters(recipient);
                }
            }
            StoreReply::LetterNotKept { session, number, .. } => {
                self.post.on_kept(session, number, Outcome::Later);
            }
            StoreReply::Swept { expired, idle, released } => {
                for (to, id) in expired {
                    self.raised(now, to, vec![id], Status::Expired);
                }
                idle.into_iter().for_each(|peer| self.emptied(now, peer));
                self.arrived(released);
            }
        }
        self.settle_post(now);
    }

    /// A message of this node is on disk.
    pub(super) fn enqueued(&mut self, now: Now, to: NodeId, message: OutgoingMessage) {
        self.post.on_enqueued(to, message.seq);
        self.outboxes.entry(to).or_default().enqueued(message, self.config.outbox_window);
        self.refill(to);
        self.review(now, to);
    }

    /// What is in memory of the messages to a peer is not what is on disk.
    fn reload(&mut self, now: Now, peer: NodeId) {
        if let Some(outbox) = self.outboxes.get_mut(&peer) {
            outbox.rewind();
            self.refill(peer);
            self.review(now, peer);
        }
    }

    /// Messages of this node have come further, as the disk knows.
    fn raised(&mut self, now: Now, to: NodeId, ids: Vec<MessageId>, status: Status) {
        if let Some(outbox) = self.outboxes.get_mut(&to).filter(|_| !status.is_pending()) {
            ids.iter().for_each(|id| outbox.settled(*id, status));
            self.refill(to);
            self.review(now, to);
        }
        self.events.extend(ids.into_iter().map(|id| MessengerEvent::Status { id, to, status }));
    }

    /// Nothing is left of what waited for this peer.
    fn emptied(&mut self, now: Now, peer: NodeId) {
        if let Some(outbox) = self.outboxes.get_mut(&peer) {
            outbox.emptied();
            self.forget_if_idle(peer);
            self.review(now, peer);
        }
    }

    /// Messages of others are on disk.
    fn arrived(&mut self, new: Vec<IncomingMessage>) {
        for message in new {
            let message = self.hand_over.stored(message, self.config.hand_over_window);
            self.events.extend(message.map(MessengerEvent::Received));
        }
        self.ops.extend(self.hand_over.load(&self.config));
    }

    fn stored(&mut self, session: SessionId, ids: Vec<MessageId>) {
        if let Some(state) = self.sessions.get_mut(&session) {
            state.inbound.stored(ids);
            if !state.failed {
                self.store_incoming(session);
            }
        }
    }
}
