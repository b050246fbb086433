//! Rooms: what every store has to do, operation by operation.

use super::TestStore;
use crate::message::SessionId;
use crate::message::identity::IdentityKey;
use crate::message::room::{Room, RoomCommand, RoomError, RoomOutcome};
use crate::message::store::*;
use crate::types::{MessageId, NodeId, RoomChange, RoomId, RoomStanding, Status, UnixTime};
use crate::wire::content::RoomRequest;

const NOW: UnixTime = UnixTime::from_millis(1_700_000_000_000);
const ANNA: NodeId = NodeId([1; 32]);
const BERT: NodeId = NodeId([2; 32]);
const LIMIT: PageLimit = PageLimit { messages: 100, bytes: 100_000 };

fn key() -> IdentityKey {
    IdentityKey::from_pem(include_str!("../../../../tests/keys/message/rsa2048.pem"), None).unwrap()
}

/// A node's store; its operations have ids of their own.
struct Host<'a> {
    own: NodeId,
    store: &'a mut dyn TestStore,
    last_id: u8,
}

impl Host<'_> {
    fn next_id(&mut self) -> MessageId {
        self.last_id += 1;
        MessageId([self.last_id; 16])
    }

    fn one(&mut self, op: StoreOp) -> StoreReply {
        <[_; 1]>::try_from(self.store.execute_batch(vec![op])).map(|[reply]| reply).unwrap()
    }

    fn command(&mut self, command: RoomCommand) -> Result<RoomOutcome, RoomError> {
        let id = self.next_id();
        match self.one(StoreOp::Room { own: self.own, id, now: NOW, command }) {
            StoreReply::RoomDone { outcome, .. } => Ok(*outcome),
            StoreReply::NotEnqueued { error: StoreError::Room(error), .. } => Err(error),
            other => panic!("{other:?}"),
        }
    }

    /// Signs what is to be signed; gives the bytes and whom they are sent to.
    fn publish(&mut self, room: &Room) -> (Vec<u8>, Vec<NodeId>, Vec<RoomChange>) {
        let unsigned = room.unsigned().unwrap();
        let signed = unsigned.sign(&key()).unwrap();
        let op = StoreOp::PublishRoom { room: unsigned.room(), signed: signed.clone(), now: NOW };
        let StoreReply::RoomsChanged(outcomes) = self.one(op) else { panic!() };
        let [RoomOutcome { queued, changes, .. }] = <[_; 1]>::try_from(outcomes).unwrap();
        let content = Content::Room(signed.clone());
        assert!(queued.iter().all(|(_, message)| message.content == content));
        (signed, queued.into_iter().map(|(to, _)| to).collect(), changes)
    }

    fn receive(
        &mut self,
        from: NodeId,
        messages: Vec<(MessageId, Content)>,
    ) -> (Vec<String>, Vec<RoomOutcome>) {
        let message = |(id, content)| ReceivedMessage { id, content, sent_at: NOW, received_at: NOW };
        let origin = Origin::Envelopes { session: SessionId(1), numbers: vec![] };
        let messages: Vec<_> = messages.into_iter().map(message).collect();
        let receipt = Some(self.next_id());
        match self.one(StoreOp::StoreIncoming { origin, from, to: self.own, messages, receipt }) {
            StoreReply::Stored { new, rooms, .. } => {
                (new.into_iter().map(|message| message.text).collect(), rooms)
            }
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, from: NodeId, stamp: Stamp, request: RoomRequest) -> Vec<RoomOutcome> {
        let id = self.next_id();
        self.receive(from, vec![(id, Content::RoomRequest { stamp, request })]).1
    }

    /// The last signed room in the outbox for a node.
    fn pending_room(&mut self, peer: NodeId) -> MessageId {
        match self.one(StoreOp::LoadOutbox { peer, after: 0, limit: LIMIT, token: 1 }) {
            StoreReply::OutboxPage { messages, .. } => {
                let mut rooms = messages.iter().filter(|message| matches!(message.content, Content::Room(_)));
                rooms.next_back().map(|message| message.id).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    fn pending(&mut self, peer: NodeId) -> Vec<Content> {
        match self.one(StoreOp::LoadOutbox { peer, after: 0, limit: LIMIT, token: 1 }) {
            StoreReply::OutboxPage { messages, .. } => messages
                .into_iter()
                .map(|message| message.content)
                .filter(|content| content.is_text())
                .collect(),
            other => panic!("{other:?}"),
        }
    }
}

fn send(room: RoomId, text: &str) -> RoomCommand {
    RoomCommand::Send { room, text: text.into(), expires: None }
}

/// The behaviour of two empty stores: that of a room's owner, and that of a member.
pub(crate) fn check_rooms(owners: &mut dyn TestStore, members: &mut dyn TestStore) {
    let (room, states) = check_owner(owners);
    check_member(members, room, &states);
    let room = check_overtaken(owners, members);
    check_strangers(owners, members, room);
}

/// Gives the room and its signed versions: 1 the owner alone, 2 Anna invited, 3 Anna a member, 4 Anna gone and Bert invited, 5 closed.
fn check_owner(store: &mut dyn TestStore) -> (RoomId, Vec<Vec<u8>>) {
    let own = key().node_id();
    let owner_key = key().spki_der().to_vec();
    let mut owner = Host { own, store, last_id: 0 };
    let room = RoomCommand::room_id(own, &[7; 16]);
    let unknown = RoomId([1; 16]);
    assert_eq!(owner.command(RoomCommand::Join(unknown)).unwrap_err(), RoomError::Unknown);
    let create = RoomCommand::Create { nonce: [7; 16], owner_key, name: "hikers".parse().unwrap() };
    let outcome = owner.command(create).unwrap();
    let info = outcome.room.info().unwrap();
    assert_eq!((info.id, info.owner, info.standing, info.version), (room, own, RoomStanding::Member, 0));
    assert_eq!(outcome.changes, []);
    assert_eq!(owner.command(send(room, "x")).unwrap_err(), RoomError::Alone);

    // What was not signed before the store was closed is signed after.
    let opened = owner.store.reopen();
    assert_eq!(opened.rooms, std::slice::from_ref(&outcome.room));
    let (first, to, _) = owner.publish(&opened.rooms[0]);
    assert_eq!(to, []);
    let outcome = owner.command(RoomCommand::Invite(room, ANNA)).unwrap();
    assert_eq!(owner.command(RoomCommand::Invite(room, ANNA)).unwrap_err(), RoomError::InRoom);
    assert_eq!(owner.command(RoomCommand::Remove(room, BERT)).unwrap_err(), RoomError::NotInRoom);
    let stale = outcome.room.unsigned().unwrap().sign(&key()).unwrap();
    let (second, to, _) = owner.publish(&outcome.room);
    assert_eq!(to, [ANNA]);
    let op = StoreOp::PublishRoom { room, signed: stale, now: NOW };
    assert_eq!(owner.one(op), StoreReply::RoomsChanged(vec![]), "the same version signed twice");

    // Anna joins; and asks again, late, after she was removed.
    let joins = Stamp { room, version: 2 };
    assert_eq!(owner.ask(BERT, joins, RoomRequest::Join), []);
    let outcomes = owner.ask(ANNA, joins, RoomRequest::Join);
    assert_eq!(owner.ask(ANNA, joins, RoomRequest::Join), []);
    let (third, to, changes) = owner.publish(&outcomes[0].room);
    assert_eq!((to, changes), (vec![ANNA], vec![RoomChange::Joined(ANNA)]));
    let outcome = owner.command(send(room, "hello")).unwrap();
    let text = Content::RoomText { stamp: Stamp { room, version: 3 }, text: "hello".into() };
    assert_eq!(owner.pending(ANNA), [text]);
    let id = outcome.queued[0].1.id;
    let op = StoreOp::SetStatus { to: ANNA, ids: vec![id], status: Status::Delivered };
    assert_eq!(owner.one(op), StoreReply::StatusSaved { to: ANNA, ids: vec![id], status: Status::Delivered });

    let outcome = owner.command(RoomCommand::Remove(room, ANNA)).unwrap();
    assert_eq!(owner.command(send(room, "x")).unwrap_err(), RoomError::Alone, "before it is signed");
    assert_eq!(outcome.changes, []);
    let outcome = owner.command(RoomCommand::Invite(room, BERT)).unwrap();
    let (fourth, to, changes) = owner.publish(&outcome.room);
    assert_eq!((to, changes), (vec![ANNA, BERT], vec![RoomChange::Removed(ANNA)]));
    // Who asks for what is not to be is sent the present version.
    for (node, stamp, request) in
        [(ANNA, joins, RoomRequest::Join), (BERT, Stamp { room, version: 3 }, RoomRequest::Leave)]
    {
        let outcomes = owner.ask(node, stamp, request);
        assert!(outcomes[0].changes.is_empty() && outcomes[0].room.unsigned().is_none());
        let sent: Vec<_> = outcomes[0].queued.iter().map(|(to, message)| (*to, &message.content)).collect();
        // The fourth is on its way to both already.
        assert_eq!(sent, []);
        let id = owner.pending_room(node);
        owner.one(StoreOp::SetStatus { to: node, ids: vec![id], status: Status::Delivered });
        let outcomes = owner.ask(node, stamp, request);
        assert_eq!(outcomes[0].queued[0].1.content, Content::Room(fourth.clone()));
        assert_eq!(outcomes[0].queued[0].0, node);
    }

    let outcome = owner.command(RoomCommand::Leave(room)).unwrap();
    let (fifth, to, changes) = owner.publish(&outcome.room);
    assert_eq!((to, changes), (vec![BERT], vec![RoomChange::Closed]));
    assert_eq!(owner.command(RoomCommand::Invite(room, ANNA)).unwrap_err(), RoomError::Closed);
    owner.command(RoomCommand::Leave(room)).unwrap();
    assert_eq!(owner.store.reopen().rooms, []);
    (room, vec![first, second, third, fourth, fifth])
}

fn check_member(store: &mut dyn TestStore, room: RoomId, states: &[Vec<u8>]) {
    let owner = key().node_id();
    let mut anna = Host { own: ANNA, store, last_id: 100 };
    let state = |version: usize| (MessageId([200; 16]), Content::Room(states[version - 1].clone()));
    let text = |n: u8, version| {
        let stamp = Stamp { room, version };
        (MessageId([n; 16]), Content::RoomText { stamp, text: n.to_string() })
    };
    assert_eq!(anna.receive(owner, vec![state(1), text(1, 1)]), (vec![], vec![]), "not for her");
    let (_, outcomes) = anna.receive(owner, vec![state(2)]);
    assert_eq!(outcomes[0].changes, [RoomChange::Invited]);
    assert_eq!(anna.receive(owner, vec![state(2), text(2, 2)]), (vec![], vec![]));
    assert_eq!(anna.command(send(room, "x")).unwrap_err(), RoomError::NotMember);
    assert_eq!(anna.command(RoomCommand::Invite(room, BERT)).unwrap_err(), RoomError::NotOwner);
    let outcome = anna.command(RoomCommand::Join(room)).unwrap();
    assert_eq!(outcome.room.info().unwrap().standing, RoomStanding::Joining);
    let stamp = Stamp { room, version: 2 };
    assert_eq!(outcome.queued[0].1.content, Content::RoomRequest { stamp, request: RoomRequest::Join });

    // Texts of a version that she does not know wait for it, in order; and what follows them too.
    let follows = (MessageId([5; 16]), text(5, 3).1.following(MessageId([4; 16])));
    assert_eq!(anna.receive(owner, vec![text(4, 3), text(4, 3), follows, text(6, 9)]).0, [""; 0]);
    let (texts, outcomes) = anna.receive(BERT, vec![state(3)]);
    assert_eq!(texts, ["4", "5"]);
    assert_eq!(outcomes[0].changes, [RoomChange::Joined(ANNA)]);
    assert_eq!(anna.receive(owner, vec![text(4, 3), text(5, 3), state(2)]), (vec![], vec![]));
    assert_eq!(anna.receive(BERT, vec![text(7, 3)]).0, [""; 0], "he is no member");

    // Who gets what she writes is told who belongs to the room, once; its owner knows.
    let outcome = anna.command(send(room, "hi")).unwrap();
    let stamp = Stamp { room, version: 3 };
    let hi = Content::RoomText { stamp, text: "hi".into() };
    let queued: Vec<_> = outcome.queued.into_iter().map(|(to, message)| (to, message.content)).collect();
    assert_eq!(queued, [(owner, hi)]);

    // What is read in the room is read there alone.
    let direct = (MessageId([8; 16]), Content::Text("direct".into()));
    assert_eq!(anna.receive(owner, vec![direct]).0, ["direct"]);
    let op = StoreOp::MarkRead { from: owner, arrival: 2, receipt: MessageId([99; 16]), now: NOW };
    let StoreReply::MarkedRead { receipt: Some(receipt), .. } = anna.one(op) else { panic!() };
    let ids = vec![MessageId([4; 16]), MessageId([5; 16])];
    assert_eq!(receipt.content, Content::Receipts { status: Status::Read, ids });

    // What is refused is refused for good.
    assert_eq!(anna.receive(BERT, vec![text(7, 3), state(2), text(7, 3)]), (vec![], vec![]));
    let (texts, outcomes) = anna.receive(owner, vec![state(4), text(9, 4), text(10, 3)]);
    assert_eq!((texts, &outcomes[0].changes[..]), (vec![], &[RoomChange::Removed(ANNA)][..]));
    assert_eq!(anna.command(send(room, "x")).unwrap_err(), RoomError::NotMember);
    assert_eq!(anna.store.reopen().rooms, std::slice::from_ref(&outcomes[0].room));
    anna.command(RoomCommand::Leave(room)).unwrap();
    assert_eq!(anna.store.reopen().rooms, []);
    // An old version that comes late brings nothing back.
    assert_eq!(anna.receive(BERT, vec![state(2), state(3), text(11, 3)]), (vec![], vec![]));
    assert_eq!(anna.store.reopen().rooms, []);
}

/// A text comes before its version, and that after the next one.
fn check_overtaken(owners: &mut dyn TestStore, members: &mut dyn TestStore) -> RoomId {
    let own = key().node_id();
    let mut owner = Host { own, store: owners, last_id: 50 };
    let room = RoomCommand::room_id(own, &[8; 16]);
    let owner_key = key().spki_der().to_vec();
    let create = RoomCommand::Create { nonce: [8; 16], owner_key, name: "cooks".parse().unwrap() };
    owner.command(create).unwrap();
    owner.command(RoomCommand::Invite(room, ANNA)).unwrap();
    let outcome = owner.command(RoomCommand::Invite(room, BERT)).unwrap();
    let (first, ..) = owner.publish(&outcome.room);
    let stamp = |version| Stamp { room, version };
    owner.ask(ANNA, stamp(1), RoomRequest::Join);
    let outcomes = owner.ask(BERT, stamp(1), RoomRequest::Join);
    let (second, ..) = owner.publish(&outcomes[0].room);
    let outcomes = owner.ask(BERT, stamp(2), RoomRequest::Leave);
    let (third, ..) = owner.publish(&outcomes[0].room);

    let mut anna = Host { own: ANNA, store: members, last_id: 150 };
    let signed = |bytes: &Vec<u8>| vec![(MessageId([250; 16]), Content::Room(bytes.clone()))];
    let text = |n: u8, version| {
        let content = Content::RoomText { stamp: stamp(version), text: n.to_string() };
        vec![(MessageId([n; 16]), content)]
    };
    anna.receive(own, signed(&first));
    anna.command(RoomCommand::Join(room)).unwrap();
    assert_eq!(anna.receive(BERT, text(240, 2)).0, [""; 0]);
    assert_eq!(anna.receive(own, signed(&third)).0, [""; 0]);
    assert_eq!(anna.receive(BERT, text(241, 2)).0, [""; 0]);
    assert_eq!(anna.receive(BERT, text(242, 3)).0, [""; 0], "he is no member then");
    let (texts, outcomes) = anna.receive(own, signed(&second));
    assert_eq!((texts, &outcomes[0].changes[..]), (vec!["240".into(), "241".into()], &[][..]));
    assert_eq!(anna.receive(own, signed(&second)), (vec![], vec![]));
    assert_eq!(anna.receive(BERT, text(242, 3)).0, [""; 0]);
    room
}

/// What nodes write of which it is not known whether they have to do with the room waits in small amounts.
fn check_strangers(owners: &mut dyn TestStore, members: &mut dyn TestStore, room: RoomId) {
    let own = key().node_id();
    let strangers: Vec<_> = (20..26).map(|n| NodeId([n; 32])).collect();
    let mut anna = Host { own: ANNA, store: members, last_id: 170 };
    let text = |n: usize| {
        let content = Content::RoomText { stamp: Stamp { room, version: 5 }, text: format!("{n:60000}") };
        vec![(MessageId([n as u8; 16]), content)]
    };
    for (n, stranger) in strangers.iter().enumerate() {
        for n in [n, n + 10] {
            assert_eq!(anna.receive(*stranger, text(n)).0, [""; 0]);
        }
    }
    let mut owner = Host { own, store: owners, last_id: 80 };
    strangers.iter().for_each(|node| drop(owner.command(RoomCommand::Invite(room, *node)).unwrap()));
    let outcome = owner.command(RoomCommand::Remove(room, BERT)).unwrap();
    owner.publish(&outcome.room);
    let stamp = Stamp { room, version: 4 };
    let outcomes = strangers.iter().map(|node| owner.ask(*node, stamp, RoomRequest::Join));
    let outcome = outcomes.last().and_then(|outcomes| outcomes.into_iter().next()).unwrap();
    let (fifth, ..) = owner.publish(&outcome.room);
    let (texts, _) = anna.receive(own, vec![(MessageId([251; 16]), Content::Room(fifth))]);
    let texts: Vec<_> = texts.iter().map(|text| text.trim()).collect();
    assert_eq!(texts, ["0", "1", "2", "3"], "one each, and no more than four together");
}
