//! Rooms, as an application holds them.

use std::collections::HashMap;
use std::time::Duration;

use super::engine::{Command, Reply};
use super::{Error, Node, Pending};
use crate::message::room::RoomCommand;
use crate::node::{Now, Stack};
use crate::types::{MessageId, Nickname, NodeId, RoomId, RoomInfo};

/// What the handle asks of the engine.
pub(super) enum RoomsCommand {
    Create { name: Nickname, reply: Reply<RoomId> },
    Do { command: RoomCommand, reply: Reply<MessageId> },
    Send { room: RoomId, text: String, lifetime: Option<Duration>, reply: Reply<MessageId> },
    List { reply: Reply<Vec<RoomInfo>> },
    Resolve { query: String, reply: Reply<RoomInfo> },
}

impl Node {
    /// Makes a room with this node as its owner and only member. A room's name follows the rules of nicknames; several rooms may
    /// have the same. The owner invites and removes, and its signature is what the others go by: it needs to be in the mesh now and
    /// then, as everything that somebody asks of it waits until then.
    pub fn create_room(&self, name: &str) -> Pending<RoomId> {
        let (done, pending) = Pending::new();
        match name.parse() {
            Ok(name) => {
                self.submit(Command::Rooms(RoomsCommand::Create { name, reply: Reply::new(done) }));
            }
            Err(error) => done(Err(Error::from(error))),
        }
        pending
    }

    /// All rooms that this node owns, belongs to, was invited to, or belonged to.
    pub fn rooms(&self) -> Pending<Vec<RoomInfo>> {
        let (done, pending) = Pending::new();
        self.submit(Command::Rooms(RoomsCommand::List { reply: Reply::new(done) }));
        pending
    }

    /// The room that `query` means: an id, a unique prefix of one (at least five digits), or a name. Rooms that are over count only
    /// when no other one fits.
    pub fn resolve_room(&self, query: &str) -> Pending<RoomInfo> {
        let (done, pending) = Pending::new();
        let query = query.to_owned();
        self.submit(Command::Rooms(RoomsCommand::Resolve { query, reply: Reply::new(done) }));
        pending
    }

    /// Invites a known node to a room that this node owns; a room has at most 256 members, those who are invited included. The invitation
    /// reaches it like a message.
    pub fn invite_to_room(&self, room: RoomId, node: NodeId) -> Pending<()> {
        self.room_command(RoomCommand::Invite(room, node))
    }

    /// Takes a node out of a room that this node owns, or withdraws its invitation. It gets nothing that this node writes from then on, and
    /// nothing that another member writes once that one has heard of it.
    pub fn remove_from_room(&self, room: RoomId, node: NodeId) -> Pending<()> {
        self.room_command(RoomCommand::Remove(room, node))
    }

    /// Accepts the invitation to a room. This node is a member as soon as the owner has signed that ([`crate::RoomChange::Joined`]), which
    /// takes until both have been in reach of each other or of the same mailboxes.
    pub fn join_room(&self, room: RoomId) -> Pending<()> {
        self.room_command(RoomCommand::Join(room))
    }

    /// Leaves a room, or declines the invitation; at once here, and for the others when they hear of it. When the owner leaves, the
    /// room is closed. To leave a room that is over takes it off the list.
    pub fn leave_room(&self, room: RoomId) -> Pending<()> {
        self.room_command(RoomCommand::Leave(room))
    }

    /// [`Node::send_within`] to all members of a room: 1 byte to 64 KiB. Each gets a copy of its own, end-to-end encrypted and delivered
    /// like any message, with the same id: [`crate::Event::Status`] comes for each.
    pub fn send_to_room(
        &self,
        room: RoomId,
        text: impl Into<String>,
        lifetime: Option<Duration>,
    ) -> Pending<MessageId> {
        let (done, pending) = Pending::new();
        let (text, reply) = (text.into(), Reply::new(done));
        self.submit(Command::Rooms(RoomsCommand::Send { room, text, lifetime, reply }));
        pending
    }

    fn room_command(&self, command: RoomCommand) -> Pending<()> {
        let (done, pending) = Pending::new();
        let reply = Reply::new(|result: Result<MessageId, Error>| done(result.map(drop)));
        self.submit(Command::Rooms(RoomsCommand::Do { command, reply }));
        pending
    }
}

/// Does it, or hands the answer to be given to `waiting`.
pub(super) fn handle(
    stack: &mut Stack,
    now: Now,
    waiting: &mut HashMap<MessageId, Reply<MessageId>>,
    command: RoomsCommand,
) {
    let (taken, reply) = match command {
        RoomsCommand::Create { name, reply } => match stack.create_room(now, name) {
            Ok((id, room)) => (Ok(id), Reply::new(move |result| reply.give(result.map(|_: MessageId| room)))),
            Err(error) => return reply.give(Err(error.into())),
        },
        RoomsCommand::Do { command, reply } => (stack.room_command(now, command), reply),
        RoomsCommand::Send { room, text, lifetime, reply } => {
            let expires = lifetime.map(|lifetime| now.wall + lifetime);
            (stack.room_command(now, RoomCommand::Send { room, text, expires }), reply)
        }
        RoomsCommand::List { reply } => return reply.give(Ok(stack.rooms())),
        RoomsCommand::Resolve { query, reply } => {
            return reply.give(stack.resolve_room(&query).map_err(Error::from));
        }
    };
    match taken {
        Ok(id) => drop(waiting.insert(id, reply)),
        Err(error) => reply.give(Err(error.into())),
    }
}
