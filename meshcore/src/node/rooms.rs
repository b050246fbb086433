//! Rooms: what the application does with them.

use rand::RngExt;

use super::SendError;
use super::stack::Stack;
use crate::message::directory::Ties;
use crate::message::room::{ResolveRoomError, RoomCommand, resolve};
use crate::types::{MessageId, Nickname, Now, RoomId, RoomInfo};

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
            self.tie(node, Ties::Own);
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
        resolve(self.messenger.rooms(), query)
    }
}
