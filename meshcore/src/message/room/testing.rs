//! A room for the tests of stores.

use std::sync::OnceLock;

use super::state::State;
use crate::message::identity::IdentityKey;
use crate::types::{NodeId, RoomId};

/// The node whose store is tested.
pub(crate) const OWN: NodeId = NodeId([9; 32]);

const OTHERS: [NodeId; 3] = [NodeId([1; 32]), NodeId([2; 32]), NodeId([3; 32])];

fn first() -> (IdentityKey, State) {
    let pem = include_str!("../../../tests/keys/message/rsa2048.pem");
    let key = IdentityKey::from_pem(pem, None).unwrap();
    let state = State::new(key.spki_der(), [7; 16], "hikers".parse().unwrap());
    (key, state)
}

/// The room's id.
pub(crate) fn room() -> RoomId {
    first().1.id()
}

/// Its versions, from 1 on: the node is invited, a member, a member beside more, beside fewer, removed, invited again, a member again.
pub(crate) fn versions() -> &'static [Vec<u8>] {
    static VERSIONS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    VERSIONS.get_or_init(|| {
        let (key, mut state) = first();
        state.members.insert(OTHERS[0], 1);
        state.invited.insert(OWN, 1);
        let changes: [&dyn Fn(&mut State); 7] = [
            &|_| {},
            &|state| {
                state.invited.remove(OWN);
                state.members.insert(OWN, state.version);
            },
            &|state| OTHERS[1..].iter().for_each(|node| state.members.insert(*node, state.version)),
            &|state| {
                state.remove(OTHERS[0]);
                state.members.remove(OTHERS[2]);
            },
            &|state| state.remove(OWN),
            &|state| {
                state.removed.remove(OWN);
                state.invited.insert(OWN, state.version);
            },
            &|state| {
                state.invited.remove(OWN);
                state.members.insert(OWN, state.version);
                state.members.insert(OTHERS[2], state.version);
            },
        ];
        let sign = |(version, change): (u64, &&dyn Fn(&mut State))| {
            state.version = version;
            change(&mut state);
            state.sign(&key).unwrap()
        };
        (1..).zip(&changes).map(sign).collect()
    })
}
