//! Rooms of the store in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::MemoryStore;
use crate::message::room::ledger::{self, Admission, NewMessage, Refusal, Tables};
use crate::message::room::{Room, RoomCommand, RoomOutcome};
use crate::message::store::{
    IncomingMessage, MAX_HELD, OutgoingMessage, ROOM_PATIENCE, ReceivedMessage, StoreError, StoreReply,
};
use crate::types::{MessageId, NodeId, RoomId, UnixTime};
use crate::wire::content::{RoomRequest, Stamp};

#[derive(Debug, Clone, Default)]
pub(super) struct Rooms {
    rooms: BTreeMap<RoomId, Room>,
    /// Texts that wait for a later version of their room; and the ids of those that were refused.
    waiting: BTreeMap<(NodeId, MessageId), Waiting>,
    last_waiting: u64,
}

#[derive(Debug, Clone)]
struct Waiting {
    /// Grows with each that waits.
    number: u64,
    room: RoomId,
    /// `None`: refused.
    version: Option<u64>,
    message: ReceivedMessage,
}

impl Rooms {
    pub(super) fn all(&self) -> Vec<Room> {
        self.rooms.values().filter(|room| !room.is_void()).cloned().collect()
    }

    pub(super) fn is_waiting(&self, from: NodeId, id: MessageId) -> bool {
        self.waiting.contains_key(&(from, id))
    }

    pub(super) fn expire(&mut self, now: UnixTime) {
        self.waiting.retain(|_, waiting| {
            let received = waiting.message.received_at;
            now < received + ROOM_PATIENCE && received < now + ROOM_PATIENCE
        });
    }

    fn wait(&mut self, from: NodeId, room: RoomId, version: Option<u64>, message: ReceivedMessage) {
        let ends = [0, 0xff].map(|byte| (from, MessageId([byte; MessageId::LEN])));
        if self.waiting.range(ends[0]..=ends[1]).count() < MAX_HELD as usize {
            self.last_waiting += 1;
            let waiting = Waiting { number: self.last_waiting, room, version, message };
            self.waiting.insert((from, waiting.message.id), waiting);
        }
    }

    /// Those that this version was waited for by, in order.
    fn take(&mut self, room: RoomId, version: u64) -> Vec<(NodeId, ReceivedMessage)> {
        let is_due = |_: &(NodeId, MessageId), waiting: &mut Waiting| {
            waiting.room == room && waiting.version.is_some_and(|waits_for| waits_for <= version)
        };
        let mut due: Vec<_> = self.waiting.extract_if(.., is_due).collect();
        due.sort_by_key(|(_, waiting)| waiting.number);
        due.into_iter().map(|((from, _), waiting)| (from, waiting.message)).collect()
    }
}

impl Tables for MemoryStore {
    type Error = Infallible;

    fn room(&mut self, id: RoomId) -> Result<Option<Room>, Infallible> {
        Ok(self.rooms.rooms.get(&id).cloned())
    }

    fn count(&mut self) -> Result<(usize, usize), Infallible> {
        let invitations = self.rooms.rooms.values().filter(|room| room.is_invitation()).count();
        Ok((self.rooms.rooms.len(), invitations))
    }

    fn keep(&mut self, id: RoomId, room: &Room) -> Result<(), Infallible> {
        self.rooms.rooms.insert(id, room.clone());
        Ok(())
    }

    fn forget_void(&mut self) -> Result<bool, Infallible> {
        let void = self.rooms.rooms.iter().find(|(_, room)| room.is_void()).map(|(id, _)| *id);
        if let Some(id) = void {
            self.rooms.rooms.remove(&id);
            self.rooms.waiting.retain(|_, waiting| waiting.room != id);
        }
        Ok(void.is_some())
    }

    fn waiting(&mut self, room: RoomId, sender: NodeId) -> Result<(usize, usize), Infallible> {
        let mut bytes = (0, 0);
        for ((from, _), waiting) in &self.rooms.waiting {
            if waiting.room == room && waiting.version.is_some() {
                let len = waiting.message.content.weight();
                bytes.0 += if *from == sender { len } else { 0 };
                bytes.1 += len;
            }
        }
        Ok(bytes)
    }

    fn is_used(&mut self, id: MessageId) -> Result<bool, Infallible> {
        Ok(self.has_sent(id))
    }

    fn enqueue(&mut self, message: NewMessage) -> Result<Option<OutgoingMessage>, Infallible> {
        let NewMessage { id, to, created, expires, content } = message;
        let is_there = self.seqs.get(&(id, to)).is_some_and(|seq| self.outgoing.contains_key(seq));
        Ok((!is_there).then(|| self.enqueue(id, to, created, expires, content)))
    }
}

impl MemoryStore {
    pub(super) fn room_command(
        &mut self,
        own: NodeId,
        id: MessageId,
        now: UnixTime,
        command: RoomCommand,
    ) -> StoreReply {
        let len = command.weight();
        let Ok(done) = ledger::command(self, own, id, now, &command);
        match done {
            Ok(outcome) => StoreReply::RoomDone { id, len, outcome: Box::new(outcome) },
            Err(refusal) => StoreReply::NotEnqueued { id, len, error: refusal.into() },
        }
    }

    pub(super) fn publish_room(&mut self, room: RoomId, signed: &[u8], now: UnixTime) -> StoreReply {
        let Ok(outcome) = ledger::publish(self, room, signed, now);
        StoreReply::RoomsChanged(outcome.into_iter().collect())
    }

    pub(super) fn answer_request(
        &mut self,
        from: NodeId,
        stamp: Stamp,
        request: RoomRequest,
        now: UnixTime,
    ) -> Option<RoomOutcome> {
        let Ok(outcome) = ledger::answer(self, from, stamp, request, now);
        outcome
    }

    /// Takes a signed room, and stores the texts that have waited for it.
    pub(super) fn meet_room(
        &mut self,
        own: NodeId,
        from: NodeId,
        (bytes, now): (&[u8], UnixTime),
        new: &mut Vec<IncomingMessage>,
    ) -> Option<RoomOutcome> {
        let Ok(outcome) = ledger::meet(self, own, from, bytes, now);
        let outcome = outcome?;
        if let Some(info) = outcome.room.info() {
            for (from, message) in self.rooms.take(info.id, info.version) {
                new.extend(self.arrive(from, message));
            }
        }
        Some(outcome)
    }

    /// The room, if a text to it is stored now; else it waits for it, or is dropped.
    pub(super) fn admit(&mut self, from: NodeId, stamp: Stamp, message: ReceivedMessage) -> Option<RoomId> {
        let Ok(admission) = ledger::admit(self, from, stamp, message.content.weight());
        let version = match admission? {
            Admission::Admitted => return Some(stamp.room),
            Admission::TooEarly => Some(stamp.version),
            Admission::Refused => None,
        };
        self.rooms.wait(from, stamp.room, version, message);
        None
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Room(error) => error.into(),
            Refusal::DuplicateId => Self::DuplicateId,
        }
    }
}
