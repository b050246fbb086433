//! Rooms, as the messenger knows them: what the store holds, and what is being signed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Messenger, MessengerEvent, SendError, check_room_text};
use crate::message::post::Job;
use crate::message::room::{Room, RoomCommand, RoomOutcome};
use crate::message::store::StoreOp;
use crate::types::{Instant, MessageId, Now, RoomId, RoomInfo, Status, UnixTime};
use crate::wire::content::Content;

/// After this a version that was to be signed, and has not come into force, is signed again: the disk may have refused it.
const SIGNING: Duration = Duration::from_secs(60);

/// The rooms of this node.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    known: BTreeMap<RoomId, Room>,
    /// Of those whose next version is being signed, until when that is waited for.
    signing: BTreeMap<RoomId, Instant>,
}

impl Rooms {
    pub(super) fn opened(&mut self, rooms: Vec<Room>) {
        self.known = rooms.into_iter().filter_map(|room| Some((room.id()?, room))).collect();
    }

    fn put(&mut self, room: Room) {
        let Some(id) = room.id() else { return };
        if room.is_void() {
            self.known.remove(&id);
        } else {
            self.known.insert(id, room);
        }
    }

    /// What is to be signed now.
    fn sign(&mut self, now: Instant) -> Vec<Job> {
        let Self { known, signing } = self;
        let mut jobs = Vec::new();
        for (id, room) in known {
            if let Some(unsigned) = room.unsigned()
                && signing.get(id).is_none_or(|until| *until <= now)
            {
                signing.insert(*id, now + SIGNING);
                jobs.push(Job::Sign { room: unsigned });
            }
        }
        jobs
    }
}

impl Messenger {
    /// Does something with a room; [`MessengerEvent::Accepted`] or [`MessengerEvent::Refused`] follows. What it sends has this id.
    pub fn room_command(
        &mut self,
        now: UnixTime,
        id: MessageId,
        command: RoomCommand,
    ) -> Result<(), SendError> {
        if let RoomCommand::Send { text, .. } = &command {
            check_room_text(text)?;
        }
        self.reserve_sending(command.weight())?;
        self.ops.push_back(StoreOp::Room { own: self.own, id, now, command });
        Ok(())
    }

    /// The rooms that this node knows.
    pub fn rooms(&self) -> impl Iterator<Item = RoomInfo> {
        self.rooms.known.values().filter_map(Room::info)
    }

    /// A command was carried out.
    pub(super) fn room_done(&mut self, now: Now, id: MessageId, outcome: RoomOutcome) {
        self.events.push_back(MessengerEvent::Accepted { id });
        self.room_changed(now, outcome);
    }

    /// A version of the owner's is in force.
    pub(super) fn room_published(&mut self, now: Now, outcome: RoomOutcome) {
        if let Some(id) = outcome.room.id() {
            self.rooms.signing.remove(&id);
        }
        self.room_changed(now, outcome);
    }

    pub(super) fn room_changed(&mut self, now: Now, outcome: RoomOutcome) {
        let RoomOutcome { room, changes, queued } = outcome;
        if let Some(info) = room.info() {
            self.events.extend(changes.into_iter().map(|change| MessengerEvent::Room {
                room: info.id,
                name: info.name.clone(),
                change,
            }));
        }
        self.rooms.put(room);
        for (to, message) in queued {
            if message.content.is_text() {
                let (id, status) = (message.id, Status::Queued);
                self.events.push_back(MessengerEvent::Status { id, to, status });
            }
            self.enqueued(now, to, message);
        }
        self.sign_rooms(now.monotonic);
    }

    /// Whoever is blocked cannot invite, also not by way of somebody else, who may have the version from before: it says nothing then, and
    /// is acknowledged. In a room that was joined its owner has its say.
    pub(super) fn without_blocked_owners(&self, mut op: StoreOp) -> StoreOp {
        let is_joined = |room| self.rooms.known.get(&room).is_some_and(Room::takes_part);
        if let StoreOp::StoreIncoming { messages, .. } = &mut op {
            for message in messages {
                if let Content::Room(bytes) = &mut message.content
                    && let Some((owner, room)) = Room::claimed(bytes)
                    && self.post.is_blocked(&owner)
                    && !is_joined(room)
                {
                    bytes.clear();
                }
            }
        }
        op
    }

    pub(super) fn sign_rooms(&mut self, now: Instant) {
        self.jobs.extend(self.rooms.sign(now));
    }

    /// A version was signed, or could not be: then it is tried again later.
    pub(super) fn room_signed(&mut self, now: UnixTime, room: RoomId, signed: Option<Vec<u8>>) {
        self.ops.extend(signed.map(|signed| StoreOp::PublishRoom { room, signed, now }));
    }
}
