use std::convert::Infallible;

use ciborium::Value;

use super::ledger::{NewMessage, Tables};
use super::*;
use crate::message::signed;
use crate::message::store::MemoryStore;
use crate::types::MessageId;
use crate::wire::cbor::encoded;

const OWNER_KEY: &str = include_str!("../../../tests/keys/message/rsa2048.pem");
const NOW: UnixTime = UnixTime::from_millis(1);
const ANNA: NodeId = NodeId([1; 32]);
const BERT: NodeId = NodeId([2; 32]);
const CARL: NodeId = NodeId([3; 32]);

fn key() -> IdentityKey {
    IdentityKey::from_pem(OWNER_KEY, None).unwrap()
}

/// The owner's room, signed, with these members and invited nodes.
fn owned(members: &[NodeId], invited: &[NodeId]) -> Room {
    let mut state = State::new(key().spki_der(), [7; 16], "hikers".parse().unwrap());
    members.iter().for_each(|node| state.members.insert(*node, 1));
    invited.iter().for_each(|node| state.invited.insert(*node, 1));
    let mut room = Room::created(key().node_id(), state);
    publish(&mut room);
    room
}

fn publish(room: &mut Room) -> Vec<NodeId> {
    let signed = room.unsigned().unwrap().sign(&key()).unwrap();
    room.publish(&signed).unwrap()
}

/// Another node takes the owner's version.
fn meet(room: &mut Room, owners: &Room) -> bool {
    let (state, bytes) = owners.signed.clone().unwrap();
    room.meet(key().node_id(), state, bytes)
}

fn member(own: NodeId, owners: &Room) -> Room {
    let mut room = Room::new(own);
    meet(&mut room, owners);
    room
}

#[test]
fn nobody_is_a_member_without_having_joined() {
    let mut anna = member(ANNA, &owned(&[ANNA], &[]));
    assert_eq!(anna.standing(), RoomStanding::Invited);
    assert_eq!(anna.admission(key().node_id(), 1), Admission::Refused);
    anna.join().unwrap();
    assert_eq!(anna.standing(), RoomStanding::Member);
}

#[test]
fn who_leaves_reads_and_writes_nothing_more_at_once() {
    let mut owners = owned(&[BERT], &[ANNA]);
    let mut anna = member(ANNA, &owners);
    let (_, stamp) = anna.join().unwrap();
    assert!(owners.answer(ANNA, stamp.version, RoomRequest::Join));
    publish(&mut owners);
    assert!(meet(&mut anna, &owners));
    assert_eq!(anna.admission(BERT, 2), Admission::Admitted);
    let (_, stamp) = anna.leave().unwrap();
    assert_eq!(anna.standing(), RoomStanding::Left);
    assert_eq!(anna.admission(BERT, 2), Admission::Refused);
    assert_eq!(anna.readers(), Err(RoomError::NotMember));
    assert!(anna.is_over() && !anna.is_void(), "it stays in the list until it is left again");
    // The owner hears of it, and of the earlier wish to join once more.
    assert!(owners.answer(ANNA, stamp.version, RoomRequest::Leave));
    assert!(!owners.answer(ANNA, 1, RoomRequest::Join));
    assert_eq!(publish(&mut owners), [ANNA, BERT]);
    assert!(meet(&mut anna, &owners));
    assert!(anna.is_over() && !anna.is_void());
}

#[test]
fn who_leaves_before_hearing_of_being_a_member_says_so_again() {
    let mut owners = owned(&[], &[ANNA]);
    let mut anna = member(ANNA, &owners);
    let (_, joins) = anna.join().unwrap();
    assert_eq!(anna.insist(), None);
    let (_, leaves) = anna.leave().unwrap();
    assert!(owners.answer(ANNA, joins.version, RoomRequest::Join));
    publish(&mut owners);
    assert!(!owners.answer(ANNA, leaves.version, RoomRequest::Leave), "it may be an old one");
    meet(&mut anna, &owners);
    assert_eq!(anna.standing(), RoomStanding::Left);
    let (_, leaves) = anna.insist().unwrap();
    assert_eq!(anna.insist(), None);
    assert!(owners.answer(ANNA, leaves.version, RoomRequest::Leave));
}

#[test]
fn what_somebody_wrote_before_leaving_still_arrives() {
    let mut owners = owned(&[ANNA, BERT, CARL], &[]);
    let mut anna = member(ANNA, &owners);
    anna.join().unwrap();
    assert!(owners.answer(BERT, 1, RoomRequest::Leave));
    owners.remove(CARL).unwrap();
    publish(&mut owners);
    meet(&mut anna, &owners);
    assert_eq!(anna.admission(BERT, 1), Admission::Admitted);
    assert_eq!(anna.admission(CARL, 1), Admission::Refused, "who was removed is not heard any more");
    // One who joined later hears of those who left before from the versions that they knew.
    let mut dora = member(NodeId([4; 32]), &owners);
    let (state, bytes) = owned(&[ANNA, BERT, NodeId([4; 32])], &[]).signed.unwrap();
    dora.wish = Some(Wish { request: RoomRequest::Join, version: 1 });
    assert!(!dora.meet(BERT, state, bytes));
    assert_eq!(dora.former.get(&BERT), Some(&1));
}

#[test]
fn all_take_the_same_of_two_versions_with_one_number() {
    let (one, other) = (owned(&[ANNA, BERT], &[]), owned(&[ANNA], &[]));
    let versions = [&one, &other].map(|room| room.signed.clone().unwrap());
    let results = [[0, 1], [1, 0]].map(|order| {
        let mut anna = Room::new(ANNA);
        for at in order {
            let (state, bytes) = versions[at].clone();
            anna.meet(BERT, state, bytes);
        }
        anna.signed
    });
    assert_eq!(results[0], results[1]);
}

#[test]
fn a_reader_is_told_once_what_it_may_not_know() {
    let owners = owned(&[ANNA, BERT], &[]);
    let mut anna = member(ANNA, &owners);
    anna.join().unwrap();
    assert!(anna.news_for(BERT).is_some());
    assert!(anna.news_for(BERT).is_none());
    assert!(anna.news_for(key().node_id()).is_none(), "the owner knows what it signed");
    let mut bert = member(BERT, &owners);
    meet(&mut bert, &owners);
    let (state, bytes) = owners.signed.clone().unwrap();
    bert.meet(ANNA, state, bytes);
    assert!(bert.news_for(ANNA).is_none(), "she has told him");
}

#[test]
fn changes_that_came_while_a_version_was_signed_are_in_the_next() {
    let mut owners = owned(&[], &[]);
    owners.invite(ANNA).unwrap();
    let signed = owners.unsigned().unwrap().sign(&key()).unwrap();
    owners.invite(BERT).unwrap();
    assert_eq!(owners.publish(&signed), Some(vec![ANNA]));
    assert_eq!(owners.publish(&signed), None);
    assert_eq!(publish(&mut owners), [ANNA, BERT]);
    assert_eq!(owners.version(), 3);
    assert!(owners.unsigned().is_none());
}

#[test]
fn a_full_room_takes_nobody_and_a_closed_one_neither() {
    let mut owners = owned(&[], &[]);
    for n in 1..MAX_MEMBERS {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&(n as u16).to_be_bytes());
        owners.invite(NodeId(id)).unwrap();
    }
    assert_eq!(owners.invite(ANNA), Err(RoomError::Full));
    assert_eq!(owners.remove(key().node_id()), Err(RoomError::NotInRoom), "the owner leaves, and closes it");
    owners.close().unwrap();
    publish(&mut owners);
    assert_eq!(owners.standing(), RoomStanding::Closed);
    assert_eq!(owners.invite(ANNA), Err(RoomError::Closed));
    assert_eq!(owners.readers(), Err(RoomError::Closed));
    assert!(!owners.answer(ANNA, 1, RoomRequest::Join));
    assert!(owners.unsigned().is_none(), "a late request is nothing to sign");
}

#[test]
fn a_room_survives_on_disk() {
    let mut owners = owned(&[ANNA], &[BERT]);
    owners.remove(BERT).unwrap();
    let mut anna = member(ANNA, &owners);
    anna.join().unwrap();
    anna.news_for(BERT);
    anna.former.insert(CARL, 1);
    let mut carl = member(CARL, &owned(&[], &[CARL]));
    carl.leave().unwrap();
    for room in [owners, anna, carl, owned(&[], &[])] {
        let bytes = room.to_bytes();
        assert_eq!(Room::from_bytes(&bytes), Some(room));
        assert_eq!(Room::from_bytes(&bytes[1..]), None);
        assert_eq!(Room::from_bytes(&[&bytes[..], &[0]].concat()), None);
    }
}

#[test]
fn a_room_whose_name_is_refused_today_is_still_read() {
    let payload = owned(&[ANNA], &[]).signed.unwrap().0.payload();
    let at = payload.windows(6).position(|bytes| bytes == b"hikers").unwrap();
    let invisible = [&payload[..at], "hik\u{34f}r".as_bytes(), &payload[at + 6..]].concat();
    let bytes = signed::sign(&key(), b"MeshChat room v1", invisible.clone()).unwrap();
    assert!(state::verified(&bytes).is_none());
    let state = state::trusted(&bytes).unwrap();
    let (draft, room) = (State::kept(&invisible), Room::new(key().node_id()));
    let room = Room { signed: Some((state, bytes)), draft, ..room };
    let mut read = Room::from_bytes(&room.to_bytes()).unwrap();
    assert_eq!(read, room);
    assert_eq!(read.info().unwrap().name.as_str(), "hik\u{fffd}r");
    // What is signed next has a name that all take.
    read.invite(BERT).unwrap();
    let signed = read.unsigned().unwrap().sign(&key()).unwrap();
    assert!(state::verified(&signed).is_some());
}

#[test]
fn strangers_are_not_told_who_belongs_to_a_room() {
    let mut owners = owned(&[ANNA, BERT], &[]);
    owners.remove(BERT).unwrap();
    publish(&mut owners);
    let id = owners.id().unwrap();
    let asks = |owners: &Room, whom| {
        let mut store = MemoryStore::default();
        let Ok(()) = store.keep(id, owners);
        let stamp = Stamp { room: id, version: 0 };
        let Ok(outcome) = ledger::answer(&mut store, whom, stamp, RoomRequest::Join, NOW);
        outcome.is_some_and(|outcome| outcome.queued.iter().any(|(to, _)| *to == whom))
    };
    assert!(asks(&owners, ANNA) && asks(&owners, BERT) && !asks(&owners, CARL));
    owners.invite(CARL).unwrap();
    publish(&mut owners);
    assert!(asks(&owners, CARL) && !asks(&owners, BERT), "the room goes on without him");
}

#[test]
fn who_has_left_can_be_kept_from_writing() {
    let mut owners = owned(&[ANNA, BERT], &[]);
    let mut anna = member(ANNA, &owners);
    anna.join().unwrap();
    assert!(owners.answer(BERT, 1, RoomRequest::Leave));
    publish(&mut owners);
    meet(&mut anna, &owners);
    assert_eq!(anna.admission(BERT, 1), Admission::Admitted, "written before leaving");
    assert_eq!(anna.admission(BERT, 2), Admission::Refused);
    // He goes on, with the old version: the owner can end that.
    assert_eq!(owners.remove(CARL), Err(RoomError::NotInRoom));
    owners.remove(BERT).unwrap();
    publish(&mut owners);
    meet(&mut anna, &owners);
    assert_eq!(anna.admission(BERT, 1), Admission::Refused);
    assert_eq!(owners.remove(BERT), Err(RoomError::NotInRoom), "once is enough");
}

#[test]
fn a_room_that_the_first_format_kept_is_still_read() {
    let mut owners = owned(&[ANNA, BERT], &[]);
    assert!(owners.answer(BERT, 1, RoomRequest::Leave));
    publish(&mut owners);
    assert_eq!(owners.former.get(&BERT), Some(&1));
    let Value::Array(mut items) = ciborium::from_reader(&owners.to_bytes()[..]).unwrap() else { panic!() };
    items.remove(0);
    items.remove(6);
    items[6] = Value::Array(vec![Value::Bytes(BERT.0.to_vec())]);
    assert_eq!(Room::from_bytes(&encoded(items)), Some(owners));
}

#[test]
fn who_was_removed_stays_removed() {
    let mut owners = owned(&[ANNA, BERT, CARL], &[]);
    let (mut anna, mut away) = (member(ANNA, &owners), member(ANNA, &owners));
    let old = owners.clone();
    anna.join().unwrap();
    away.join().unwrap();
    owners.remove(BERT).unwrap();
    publish(&mut owners);
    meet(&mut anna, &owners);
    // So many are removed that Bert is forgotten; and one of those comes back, which makes place again.
    let others = |batch: u8| {
        (0..200).map(move |n| {
            let mut id = [batch; 32];
            id[1] = n;
            NodeId(id)
        })
    };
    for batch in [10, 11] {
        others(batch).for_each(|node| owners.invite(node).unwrap());
        publish(&mut owners);
        others(batch).for_each(|node| owners.remove(node).unwrap());
        publish(&mut owners);
    }
    owners.invite(others(11).next().unwrap()).unwrap();
    publish(&mut owners);
    assert!(!owners.signed.as_ref().unwrap().0.removed.contains(BERT));
    assert_eq!(owners.invite(state::FORGOTTEN), Err(RoomError::InRoom), "nobody is called so");
    for room in [&mut anna, &mut away] {
        meet(room, &owners);
        // Bert has kept the first version, and sends it.
        let (state, bytes) = old.signed.clone().unwrap();
        room.meet(BERT, state, bytes);
        assert_eq!(room.admission(BERT, 1), Admission::Refused);
        assert_eq!(room.admission(CARL, 1), Admission::Admitted, "a member is one");
    }
}

#[test]
fn a_text_whose_version_was_overtaken_is_not_lost() {
    let mut owners = owned(&[ANNA], &[BERT]);
    let mut anna = member(ANNA, &owners);
    anna.join().unwrap();
    assert!(owners.answer(BERT, 1, RoomRequest::Join));
    publish(&mut owners);
    let second = owners.clone();
    assert_eq!(anna.admission(BERT, 2), Admission::TooEarly);
    assert!(owners.answer(BERT, 2, RoomRequest::Leave));
    publish(&mut owners);
    meet(&mut anna, &owners);
    assert_eq!(anna.admission(BERT, 2), Admission::TooEarly, "the second version is on its way");
    assert!(!meet(&mut anna, &second));
    assert_eq!(anna.admission(BERT, 2), Admission::Admitted);
}

/// Counts what is written.
#[derive(Default)]
struct Counting {
    store: MemoryStore,
    kept: usize,
}

impl Tables for Counting {
    type Error = Infallible;

    fn room(&mut self, id: RoomId) -> Result<Option<Room>, Infallible> {
        self.store.room(id)
    }

    fn count(&mut self) -> Result<(usize, usize), Infallible> {
        self.store.count()
    }

    fn forget_void(&mut self) -> Result<bool, Infallible> {
        self.store.forget_void()
    }

    fn keep(&mut self, id: RoomId, room: &Room) -> Result<(), Infallible> {
        self.kept += 1;
        self.store.keep(id, room)
    }

    fn waiting(&mut self, room: RoomId, sender: NodeId) -> Result<(usize, usize), Infallible> {
        self.store.waiting(room, sender)
    }

    fn is_used(&mut self, id: MessageId) -> Result<bool, Infallible> {
        self.store.is_used(id)
    }

    fn enqueue(&mut self, message: NewMessage) -> Result<Option<OutgoingMessage>, Infallible> {
        Tables::enqueue(&mut self.store, message)
    }
}

#[test]
fn old_versions_cost_little() {
    let mut owners = owned(&[ANNA, BERT], &[]);
    let (_, old) = owners.signed.clone().unwrap();
    owners.invite(CARL).unwrap();
    publish(&mut owners);
    let (_, new) = owners.signed.clone().unwrap();
    let mut store = Counting::default();
    let mut meet = |from, bytes: &[u8]| {
        let before = store.kept;
        let Ok(_) = ledger::meet(&mut store, ANNA, from, bytes, NOW);
        store.kept > before
    };
    assert!(meet(BERT, &new));
    assert!(!meet(BERT, &new) && !meet(BERT, &old) && !meet(NodeId([4; 32]), &old));
    assert!(meet(CARL, &new) && !meet(CARL, &new), "what he has heard of is worth knowing, once");
    // Neither a newer version nor one that tells of earlier members counts that the owner has not signed.
    let payload = |version, members: &[NodeId]| {
        let mut state = State { version, ..owners.signed.clone().unwrap().0 };
        members.iter().for_each(|node| state.members.insert(*node, 1));
        let other = include_str!("../../../tests/keys/message/rsa2048b.pem");
        signed::sign(&IdentityKey::from_pem(other, None).unwrap(), b"MeshChat room v1", state.payload())
            .unwrap()
    };
    assert!(!meet(CARL, &payload(3, &[])) && !meet(CARL, &payload(2, &[NodeId([5; 32])])));
}

#[test]
fn invitations_that_were_declined_make_room_for_others() {
    let mut store = MemoryStore::default();
    let message = |n: usize| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        id
    };
    let command = |store: &mut MemoryStore, n, command| {
        let Ok(done) = ledger::command(store, ANNA, MessageId(message(n)), NOW, &command);
        done
    };
    for n in 0..ledger::MAX_ROOMS + 1 {
        let mut state = State::new(key().spki_der(), message(n), "spam".parse().unwrap());
        state.invited.insert(ANNA, 1);
        let signed = state.sign(&key()).unwrap();
        let Ok(outcome) = ledger::meet(&mut store, ANNA, key().node_id(), &signed, NOW);
        assert_eq!(outcome.unwrap().changes, [RoomChange::Invited]);
        let declined = command(&mut store, n, RoomCommand::Leave(state.id())).unwrap();
        assert_eq!(declined.queued.len(), 1, "its owner is told, and never answers");
        // What was declined is known as such when it comes again.
        let Ok(outcome) = ledger::meet(&mut store, ANNA, BERT, &signed, NOW);
        assert_eq!(outcome, None);
    }
    let (owner_key, name) = (key().spki_der().to_vec(), "mine".parse().unwrap());
    command(&mut store, usize::MAX, RoomCommand::Create { nonce: [9; 16], owner_key, name }).unwrap();
}

#[test]
fn a_room_tells_of_an_invitation_once() {
    let mut store = MemoryStore::default();
    let mut state = State::new(key().spki_der(), [7; 16], "spam".parse().unwrap());
    let mut told = |store: &mut MemoryStore, is_invited: bool| {
        if is_invited {
            state.removed.remove(ANNA);
            state.invited.insert(ANNA, state.version);
        } else {
            state.remove(ANNA);
        }
        let signed = state.sign(&key()).unwrap();
        state.version += 1;
        let Ok(outcome) = ledger::meet(store, ANNA, key().node_id(), &signed, NOW);
        outcome.unwrap().changes
    };
    assert_eq!(told(&mut store, true), [RoomChange::Invited]);
    for is_invited in [false, true, false, true] {
        assert_eq!(told(&mut store, is_invited), []);
    }
    // Whoever has answered is asked again.
    let room = RoomCommand::room_id(key().node_id(), &[7; 16]);
    let Ok(done) = ledger::command(&mut store, ANNA, MessageId([1; 16]), NOW, &RoomCommand::Leave(room));
    done.unwrap();
    assert_eq!(told(&mut store, false), []);
    assert_eq!(told(&mut store, true), [RoomChange::Invited]);
}

#[test]
fn a_room_that_was_left_can_be_forgotten_without_its_owner() {
    let mut store = MemoryStore::default();
    let mut owners = owned(&[], &[ANNA]);
    let meet = |store: &mut MemoryStore, owners: &Room| {
        let (_, bytes) = owners.signed.clone().unwrap();
        let Ok(outcome) = ledger::meet(store, ANNA, key().node_id(), &bytes, NOW);
        outcome.unwrap().room.standing()
    };
    let room = owners.id().unwrap();
    let command = |store: &mut MemoryStore, n, command| {
        let Ok(done) = ledger::command(store, ANNA, MessageId([n; 16]), NOW, &command);
        done.unwrap().queued.len()
    };
    meet(&mut store, &owners);
    assert_eq!(command(&mut store, 1, RoomCommand::Join(room)), 1);
    assert!(owners.answer(ANNA, 1, RoomRequest::Join));
    publish(&mut owners);
    assert_eq!(meet(&mut store, &owners), RoomStanding::Member);
    assert_eq!(command(&mut store, 2, RoomCommand::Leave(room)), 1);
    assert_eq!(store.opened().rooms.len(), 1);
    assert_eq!(command(&mut store, 3, RoomCommand::Leave(room)), 0, "the owner is told already");
    assert_eq!(store.opened().rooms, []);
    // What comes of it later changes nothing.
    owners.invite(BERT).unwrap();
    publish(&mut owners);
    assert_eq!(meet(&mut store, &owners), RoomStanding::Left);
}
