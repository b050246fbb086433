use proptest::prelude::*;

use super::*;

const KEY: &str = include_str!("../../../../tests/keys/message/rsa2048.pem");
const OTHER_KEY: &str = include_str!("../../../../tests/keys/message/rsa2048b.pem");

fn key(pem: &str) -> IdentityKey {
    IdentityKey::from_pem(pem, None).unwrap()
}

fn node(byte: u8) -> NodeId {
    NodeId([byte; 32])
}

fn state() -> State {
    let mut state = State::new(key(KEY).spki_der(), [9; 16], "hikers".parse().unwrap());
    state.version = 7;
    state.members.insert(node(3), 4);
    state.invited.insert(node(1), 7);
    state.removed.insert(node(2), 6);
    state
}

#[test]
fn what_the_owner_signs_everybody_can_check() {
    let state = state();
    let bytes = state.sign(&key(KEY)).unwrap();
    assert_eq!(verified(&bytes).as_ref(), Some(&state));
    assert_eq!(trusted(&bytes).as_ref(), Some(&state));
    assert_eq!(state.id(), room_id(key(KEY).node_id(), &[9; 16]));
    assert_ne!(state.id(), room_id(key(OTHER_KEY).node_id(), &[9; 16]));
    assert!(state.sign(&key(OTHER_KEY)).is_none(), "not the owner's key");
}

#[test]
fn what_another_signs_in_the_owners_name_is_refused() {
    let forged = signed::sign(&key(OTHER_KEY), AAD, state().payload()).unwrap();
    assert!(trusted(&forged).is_some() && verified(&forged).is_none());
    // A signature for another purpose is none for this one.
    let misused = signed::sign(&key(KEY), b"MeshChat envelope v1", state().payload()).unwrap();
    assert!(verified(&misused).is_none());
}

#[test]
fn states_that_contradict_themselves_are_refused() {
    let owner = key(KEY).node_id();
    type Change = fn(&mut State, NodeId);
    let broken: [(&str, Change); 6] = [
        ("a room without its owner", |state, owner| assert!(state.members.remove(owner))),
        ("a node in two lists", |state, _| state.invited.insert(node(3), 1)),
        ("an entry of a later version", |state, _| state.members.insert(node(5), 8)),
        ("version 0", |state, _| state.version = 0),
        ("the last version of all", |state, _| state.version = u64::MAX),
        ("too many", |state, _| {
            (0..=u8::MAX).for_each(|n| {
                state.members.insert(NodeId([[n; 16], [7; 16]].concat().try_into().unwrap()), 1)
            });
        }),
    ];
    for (what, change) in broken {
        let mut state = state();
        change(&mut state, owner);
        assert_eq!(State::parse(&state.payload()), None, "{what}");
    }
    let mut closed = state();
    (closed.members, closed.invited) = Default::default();
    assert_eq!(State::parse(&closed.payload()), Some(closed), "a closed room has no members");
}

#[test]
fn the_largest_room_fits_a_message() {
    let mut largest = state();
    largest.owner_key = key(include_str!("../../../../tests/keys/message/rsa4096.pem")).spki_der().to_vec();
    largest.name = "ž".repeat(Nickname::MAX_CHARS).parse().unwrap();
    largest.version = u64::MAX - 1;
    let entries = |list: u8, count: usize| {
        let id =
            |n: usize| NodeId([&[list, (n >> 8) as u8, n as u8][..], &[0; 29]].concat().try_into().unwrap());
        Entries((0..count).map(|n| Entry { node: id(n), since: u64::MAX - 1 }).collect())
    };
    largest.members = entries(1, MAX_MEMBERS - 1);
    largest.members.insert(largest.owner(), 1);
    largest.invited = Entries::default();
    largest.removed = entries(2, MAX_REMOVED);
    assert_eq!(State::parse(&largest.payload()).as_ref(), Some(&largest));
    assert!(largest.payload().len() + 600 < MAX_ROOM);
    largest.remove(node(5));
    assert_eq!(largest.removed.len(), MAX_REMOVED);
    assert!(largest.removed.contains(node(5)));
}

proptest! {
    #[test]
    fn every_change_of_a_byte_is_seen(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = state().sign(&key(KEY)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert_eq!(verified(&bytes), None);
    }

    #[test]
    fn a_state_has_one_encoding(mut payload in Just(state().payload()), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let at = at.index(payload.len());
        payload[at] = byte;
        if let Some(parsed) = State::parse(&payload) {
            prop_assert_eq!(parsed.payload(), payload);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(verified(&bytes).is_none() && State::parse(&bytes).is_none());
    }
}
