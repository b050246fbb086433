//! What a store does with rooms, in the commit of the operation that causes it. The logic is here once; a store lends its tables.

pub(crate) use super::Admission;
use super::state::{self, State};
use super::{Room, RoomCommand, RoomError, RoomOutcome};
use crate::message::store::{ANSWER_LIFE, OutgoingMessage};
use crate::types::{MessageId, NodeId, RoomId, UnixTime};
use crate::wire::content::{Content, MAX_ROOM_TEXT, RoomRequest, Stamp};

/// Most rooms that a node knows; the void ones that are remembered count.
pub(crate) const MAX_ROOMS: usize = 1024;

/// Most rooms to which a node is invited without having answered: anybody may invite.
const MAX_INVITATIONS: usize = 64;

/// Most bytes of texts by nodes that have nothing to do with a room, as far as is known, that wait for one of its versions: of one sender,
/// and until nobody's wait for more. Such a node may have been invited without this one having heard of it.
const MAX_WAITING_OF_STRANGER: usize = MAX_ROOM_TEXT;
const MAX_WAITING_WITH_STRANGERS: usize = 4 * MAX_ROOM_TEXT;

/// A message on its way to the outbox.
#[derive(Debug)]
pub(crate) struct NewMessage {
    pub(crate) id: MessageId,
    pub(crate) to: NodeId,
    pub(crate) created: UnixTime,
    pub(crate) expires: Option<UnixTime>,
    pub(crate) content: Content,
}

/// What a store lends.
pub(crate) trait Tables {
    /// Why a table cannot be read or written.
    type Error;

    /// A room.
    fn room(&mut self, id: RoomId) -> Result<Option<Room>, Self::Error>;

    /// How many rooms there are, and how many of them are invitations.
    fn count(&mut self) -> Result<(usize, usize), Self::Error>;

    /// Forgets a void room, and the texts that wait for it; whether there was one.
    fn forget_void(&mut self) -> Result<bool, Self::Error>;

    /// Keeps a room, replacing what was kept.
    fn keep(&mut self, id: RoomId, room: &Room) -> Result<(), Self::Error>;

    /// Bytes of the texts that wait for versions of a room: of this sender, and of all.
    fn waiting(&mut self, room: RoomId, sender: NodeId) -> Result<(usize, usize), Self::Error>;

    /// Whether a message of this id was sent before, to whomever.
    fn is_used(&mut self, id: MessageId) -> Result<bool, Self::Error>;

    /// Adds a message to the outbox; `None` when it is there, with this id and recipient.
    fn enqueue(&mut self, message: NewMessage) -> Result<Option<OutgoingMessage>, Self::Error>;
}

/// Why a command was not carried out.
#[derive(Debug)]
pub(crate) enum Refusal {
    Room(RoomError),
    DuplicateId,
}

impl From<RoomError> for Refusal {
    fn from(error: RoomError) -> Self {
        Self::Room(error)
    }
}

/// Carries out a command of the application. What it sends gets `id`.
pub(crate) fn command<T: Tables>(
    tables: &mut T,
    own: NodeId,
    id: MessageId,
    now: UnixTime,
    command: &RoomCommand,
) -> Result<Result<RoomOutcome, Refusal>, T::Error> {
    if tables.is_used(id)? {
        return Ok(Err(Refusal::DuplicateId));
    }
    let id_of_room = match command {
        RoomCommand::Create { nonce, .. } => state::room_id(own, nonce),
        RoomCommand::Invite(room, _)
        | RoomCommand::Remove(room, _)
        | RoomCommand::Join(room)
        | RoomCommand::Leave(room)
        | RoomCommand::Send { room, .. } => *room,
    };
    let known = tables.room(id_of_room)?;
    let changed = match (command, known.clone()) {
        (RoomCommand::Create { .. }, Some(_)) => return Ok(Err(Refusal::DuplicateId)),
        (RoomCommand::Create { nonce, owner_key, name }, None) => {
            if !has_place(tables)? {
                return Ok(Err(RoomError::TooManyRooms.into()));
            }
            Ok((Room::created(own, State::new(owner_key, *nonce, name.clone())), Vec::new()))
        }
        (_, None) => return Ok(Err(RoomError::Unknown.into())),
        (command, Some(room)) => changed_by(room, command),
    };
    let (mut room, outgoing) = match changed {
        Ok(changed) => changed,
        Err(error) => return Ok(Err(error.into())),
    };
    let mut queued = Vec::new();
    for (to, content) in outgoing {
        if matches!(content, Content::RoomText { .. }) {
            tell(tables, &mut room, to, now, &mut queued)?;
        }
        let expires = match command {
            RoomCommand::Send { expires, .. } => *expires,
            _ => None,
        };
        let message = tables.enqueue(NewMessage { id, to, created: now, expires, content })?;
        queued.extend(message.map(|message| (to, message)));
    }
    finish(tables, id_of_room, known.as_ref(), room, queued).map(Ok)
}

/// A room after a command, and what is to be sent.
type Changed = (Room, Vec<(NodeId, Content)>);

fn changed_by(mut room: Room, command: &RoomCommand) -> Result<Changed, RoomError> {
    let request =
        |(owner, stamp): (NodeId, Stamp), request| vec![(owner, Content::RoomRequest { stamp, request })];
    let outgoing = match command {
        RoomCommand::Create { .. } => Vec::new(),
        RoomCommand::Invite(_, node) => room.invite(*node).map(|()| Vec::new())?,
        RoomCommand::Remove(_, node) => room.remove(*node).map(|()| Vec::new())?,
        RoomCommand::Join(_) => request(room.join()?, RoomRequest::Join),
        RoomCommand::Leave(_) if room.is_over() => {
            room.joined = false;
            Vec::new()
        }
        RoomCommand::Leave(_) if room.is_own() => room.close().map(|()| Vec::new())?,
        RoomCommand::Leave(_) => request(room.leave()?, RoomRequest::Leave),
        RoomCommand::Send { text, .. } => {
            let (stamp, readers) = room.readers()?;
            let copy = |reader| (reader, Content::RoomText { stamp, text: text.clone() });
            readers.into_iter().map(copy).collect()
        }
    };
    Ok((room, outgoing))
}

/// New messages in the outbox, with their recipients.
type Queued = Vec<(NodeId, OutgoingMessage)>;

/// Sends a reader the version of which the texts that follow are, if it was not sent.
fn tell<T: Tables>(
    tables: &mut T,
    room: &mut Room,
    reader: NodeId,
    now: UnixTime,
    queued: &mut Queued,
) -> Result<(), T::Error> {
    match room.news_for(reader) {
        Some(bytes) => send_signed(tables, reader, bytes, (now, None), queued),
        None => Ok(()),
    }
}

fn send_signed<T: Tables>(
    tables: &mut T,
    to: NodeId,
    bytes: Vec<u8>,
    (now, expires): (UnixTime, Option<UnixTime>),
    queued: &mut Queued,
) -> Result<(), T::Error> {
    let id = state::message_id(&bytes);
    let message = NewMessage { id, to, created: now, expires, content: Content::Room(bytes) };
    queued.extend(tables.enqueue(message)?.map(|message| (to, message)));
    Ok(())
}

/// Takes a signed room that somebody has sent; `None` when nothing has changed by it. An older one than that in force may tell of earlier
/// members, so that texts need not wait any more.
pub(crate) fn meet<T: Tables>(
    tables: &mut T,
    own: NodeId,
    from: NodeId,
    bytes: &[u8],
    now: UnixTime,
) -> Result<Option<RoomOutcome>, T::Error> {
    let Some(state) = state::claimed(bytes) else { return Ok(None) };
    let id = state.id();
    let known = tables.room(id)?;
    if known.is_none() {
        let is_for_others = !state.concerns(own) || state.owner() == own;
        if is_for_others || tables.count()?.1 >= MAX_INVITATIONS {
            return Ok(None);
        }
    }
    let mut room = known.clone().unwrap_or_else(|| Room::new(own));
    let is_newer = room.meet(from, state.clone(), bytes.to_vec());
    // Everybody sends everybody the same versions: a signature is looked at when there is something to take from it that was not known.
    let is_known = known.as_ref().is_some_and(|known| known.has_met_version(bytes));
    if known.as_ref() == Some(&room) || !(is_known || state::is_authentic(bytes, &state)) {
        return Ok(None);
    }
    if known.is_none() && !has_place(tables)? {
        return Ok(None);
    }
    if !is_newer && known.as_ref().is_some_and(|known| known.former == room.former) {
        // What its sender has heard of is worth knowing.
        tables.keep(id, &room)?;
        return Ok(None);
    }
    let mut queued = Vec::new();
    if is_newer && let Some((to, stamp)) = room.insist() {
        let content = Content::RoomRequest { stamp, request: RoomRequest::Leave };
        let (id, expires) = (state::answer_id(bytes), Some(now + ANSWER_LIFE));
        let message = tables.enqueue(NewMessage { id, to, created: now, expires, content })?;
        queued.extend(message.map(|message| (to, message)));
    }
    finish(tables, id, known.as_ref(), room, queued).map(Some)
}

/// Takes what somebody asks of this node as the owner. A member that asks for what is not to be has not heard of a later version, and is
/// sent that. `None` when nothing comes of it.
pub(crate) fn answer<T: Tables>(
    tables: &mut T,
    from: NodeId,
    stamp: Stamp,
    request: RoomRequest,
    now: UnixTime,
) -> Result<Option<RoomOutcome>, T::Error> {
    let Some(known) = tables.room(stamp.room)? else { return Ok(None) };
    let mut room = known.clone();
    let mut queued = Vec::new();
    if !room.answer(from, stamp.version, request) {
        let Some(bytes) = known.correction(from, stamp.version) else { return Ok(None) };
        send_signed(tables, from, bytes, (now, Some(now + ANSWER_LIFE)), &mut queued)?;
    }
    finish(tables, stamp.room, Some(&known), room, queued).map(Some)
}

/// Puts a version into force that this node, the owner, has signed, and sends it to those who are to know; `None` when another one
/// was signed meanwhile.
pub(crate) fn publish<T: Tables>(
    tables: &mut T,
    id: RoomId,
    bytes: &[u8],
    now: UnixTime,
) -> Result<Option<RoomOutcome>, T::Error> {
    let Some(known) = tables.room(id)? else { return Ok(None) };
    let mut room = known.clone();
    let Some(listeners) = room.publish(bytes) else { return Ok(None) };
    let mut queued = Vec::new();
    for to in listeners {
        send_signed(tables, to, bytes.to_vec(), (now, None), &mut queued)?;
    }
    finish(tables, id, Some(&known), room, queued).map(Some)
}

/// What happens to a text of `len` bytes to a room; `None` when nothing is known of the room.
pub(crate) fn admit<T: Tables>(
    tables: &mut T,
    from: NodeId,
    stamp: Stamp,
    len: usize,
) -> Result<Option<Admission>, T::Error> {
    let Some(room) = tables.room(stamp.room)? else { return Ok(None) };
    let admission = room.admission(from, stamp.version);
    if admission == Admission::TooEarly && !room.has_met(from) {
        let (of_sender, of_all) = tables.waiting(stamp.room, from)?;
        if of_sender + len > MAX_WAITING_OF_STRANGER || of_all + len > MAX_WAITING_WITH_STRANGERS {
            return Ok(Some(Admission::Refused));
        }
    }
    Ok(Some(admission))
}

/// Whether one more room can be known.
fn has_place<T: Tables>(tables: &mut T) -> Result<bool, T::Error> {
    Ok(tables.count()?.0 < MAX_ROOMS || tables.forget_void()?)
}

fn finish<T: Tables>(
    tables: &mut T,
    id: RoomId,
    before: Option<&Room>,
    mut room: Room,
    queued: Queued,
) -> Result<RoomOutcome, T::Error> {
    let changes = room.news(before);
    // A void room is remembered: an old version of it that comes late is known as such.
    if before != Some(&room) {
        tables.keep(id, &room)?;
    }
    Ok(RoomOutcome { room, changes, queued })
}
