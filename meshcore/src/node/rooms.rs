//! Rooms: what the application does with them.

use rand::RngExt;

use super::SendError;
use super::stack::Stack;
use crate::message::room::RoomCommand;
use crate::types::{MessageId, Nickname, NodeId, Now, RoomId, RoomInfo, RoomStanding};

/// Fewer digits of an id are taken for a name only.
const MIN_PREFIX: usize = 5;

/// Why a text means no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveRoomError {
    /// No room has this name or id.
    #[error("no room '{query}' is known; list the rooms to see their names and ids")]
    Unknown {
        /// What was asked for.
        query: String,
    },
    /// Several have.
    #[error("'{query}' fits several rooms; give one of their ids: {ids}")]
    Ambiguous {
        /// What was asked for.
        query: String,
        /// The ids of those that it fits.
        ids: String,
    },
}

impl Stack {
    /// Makes a room of which this node is the owner. Whether it is safely stored is told by [`Stack::poll_accepted`].
    pub fn create_room(&mut self, now: Now, name: Nickname) -> Result<(MessageId, RoomId), SendError> {
        let nonce = self.rng.random();
        let room = RoomCommand::room_id(self.own, &nonce);
        let owner_key = self.identity.key().spki_der().to_vec();
        let id = self.room_command(now, RoomCommand::Create { nonce, owner_key, name })?;
        Ok((id, room))
    }

    /// Does something with a room. Whether that is safely stored is told by [`Stack::poll_accepted`].
    pub fn room_command(&mut self, now: Now, command: RoomCommand) -> Result<MessageId, SendError> {
        if let RoomCommand::Invite(_, node) = command {
            self.check_recipient(node)?;
        }
        let id = MessageId(self.rng.random());
        self.messenger.room_command(now.wall, id, command)?;
        self.settle(now);
        Ok(id)
    }

    /// The rooms that this node knows.
    pub fn rooms(&self) -> Vec<RoomInfo> {
        self.messenger.rooms().collect()
    }

    /// The room that an id, a unique prefix of one, or a name means.
    pub fn resolve_room(&self, query: &str) -> Result<RoomInfo, ResolveRoomError> {
        let lower = query.to_ascii_lowercase();
        let is_prefix = lower.len() >= MIN_PREFIX && lower.bytes().all(|digit| digit.is_ascii_hexdigit());
        let fits = |room: &RoomInfo| {
            room.name.as_str() == query || (is_prefix && room.id.to_string().starts_with(&lower))
        };
        let (live, over): (Vec<_>, Vec<_>) = self.messenger.rooms().filter(fits).partition(|room| {
            matches!(room.standing, RoomStanding::Invited | RoomStanding::Joining | RoomStanding::Member)
        });
        let mut fitting = if live.is_empty() { over } else { live };
        let query = query.to_owned();
        match fitting.len() {
            0 => Err(ResolveRoomError::Unknown { query }),
            1 => Ok(fitting.remove(0)),
            _ => {
                let ids = fitting.iter().map(|room| room.id.to_string()).collect::<Vec<_>>().join(", ");
                Err(ResolveRoomError::Ambiguous { query, ids })
            }
        }
    }

    pub(super) fn check_recipient(&self, to: NodeId) -> Result<(), SendError> {
        if to == self.own {
            return Err(SendError::Myself);
        }
        // A node that has written to us can be answered, even when its identity record is still on its way.
        if !self.knows(to) {
            return Err(SendError::UnknownNode(to));
        }
        Ok(())
    }
}
