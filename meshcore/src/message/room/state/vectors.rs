//! Golden vectors: versions of a room that another COSE library has signed.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    owner_key: String,
    owner: String,
    nonce: String,
    id: String,
    versions: Vec<Version>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Version {
    name: String,
    version: String,
    room_name: String,
    members: Vec<(String, String)>,
    invited: Vec<(String, String)>,
    removed: Vec<(String, String)>,
    payload: String,
    hex: String,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    hex: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../../tests/vectors/room.json")).unwrap()
}

fn entries(list: &[(String, String)]) -> Entries {
    let entry = |(node, since): &(String, String)| Entry {
        node: node.parse().unwrap(),
        since: since.parse().unwrap(),
    };
    Entries(list.iter().map(entry).collect())
}

#[test]
fn versions() {
    let vectors = vectors();
    assert_eq!(vectors.owner_key, "rsa2048.pem");
    let key =
        IdentityKey::from_pem(include_str!("../../../../tests/keys/message/rsa2048.pem"), None).unwrap();
    let nonce: [u8; 16] = hex::decode(&vectors.nonce).unwrap().try_into().unwrap();
    assert_eq!(key.node_id().to_string(), vectors.owner);
    assert_eq!(room_id(key.node_id(), &nonce).to_string(), vectors.id);
    for vector in vectors.versions {
        let state = State {
            nonce,
            owner_key: key.spki_der().to_vec(),
            version: vector.version.parse().unwrap(),
            name: vector.room_name.parse().unwrap(),
            members: entries(&vector.members),
            invited: entries(&vector.invited),
            removed: entries(&vector.removed),
        };
        assert_eq!(hex::encode(state.payload()), vector.payload, "{}", vector.name);
        assert_eq!(verified(&hex::decode(vector.hex).unwrap()), Some(state), "{}", vector.name);
    }
}

#[test]
fn refused() {
    for Refused { name, hex } in vectors().refused {
        assert_eq!(verified(&hex::decode(hex).unwrap()), None, "{name}");
    }
}
