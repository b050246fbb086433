//! The golden vectors, read in both directions. They were made by another program from the specification.

use serde::Deserialize;

use super::identity::{IdentityKey, IdentityRecord, RecordFields, Subkey, safety_words};
use crate::types::{MessageId, NodeId, UnixTime};
use crate::wire::content::Content;
use crate::wire::record::{Record, parse_length};

#[derive(Deserialize)]
struct Vectors {
    records: Vec<RecordVector>,
    malformed_bodies: Vec<Named>,
    identity_record: Identity,
    safety_words: Vec<Words>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    hex: String,
}

#[derive(Deserialize)]
struct RecordVector {
    #[serde(flatten)]
    named: Named,
    #[serde(flatten)]
    value: Value,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Value {
    Message { id: String, sent_at: String, text: String },
    Receipt { ids: Vec<String> },
    Unknown { code: u8 },
}

#[derive(Deserialize)]
struct Identity {
    key: String,
    node_id: String,
    nickname: String,
    subkey_seed: String,
    subkey: String,
    capabilities: String,
    number: String,
    issued: String,
    valid_until: String,
    signature_len: usize,
    hex: String,
}

#[derive(Deserialize)]
struct Words {
    a: String,
    b: String,
    words: Vec<String>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../tests/vectors/message.json")).unwrap()
}

fn array<const N: usize>(hex: &str) -> [u8; N] {
    hex::decode(hex).unwrap().try_into().unwrap()
}

fn time(millis: &str) -> UnixTime {
    UnixTime::from_millis(millis.parse().unwrap())
}

#[test]
fn records() {
    for RecordVector { named: Named { name, hex }, value } in vectors().records {
        let record = match value {
            Value::Message { id, sent_at, text } => Record::Message {
                id: MessageId(array(&id)),
                sent_at: time(&sent_at),
                content: Content::Text(text),
            },
            Value::Receipt { ids } => Record::Receipt(ids.iter().map(|id| MessageId(array(id))).collect()),
            Value::Unknown { code } => Record::Unknown(code),
        };
        let bytes = hex::decode(&hex).unwrap();
        let (length, body) = bytes.split_first_chunk().unwrap();
        assert_eq!(parse_length(*length), Ok(body.len()), "{name}");
        assert_eq!(Record::parse(body).as_ref(), Ok(&record), "{name}");
        if !matches!(record, Record::Unknown(_)) {
            let mut out = vec![0xa5];
            record.emit(&mut out);
            assert_eq!(hex::encode(&out[1..]), hex, "{name}");
        }
    }
}

#[test]
fn malformed_records() {
    for Named { name, hex } in vectors().malformed_bodies {
        assert!(Record::parse(&hex::decode(hex).unwrap()).is_err(), "{name}");
    }
}

#[test]
fn identity_record() {
    let vector = vectors().identity_record;
    assert_eq!(vector.key, "rsa2048.pem");
    let key = IdentityKey::from_pem(include_str!("../../tests/keys/message/rsa2048.pem"), None).unwrap();
    assert_eq!(key.node_id().to_string(), vector.node_id);
    let subkey = Subkey::from_seed(&array(&vector.subkey_seed)).unwrap().public_key().unwrap();
    assert_eq!(hex::encode(subkey), vector.subkey);
    let fields = RecordFields {
        nickname: Some(vector.nickname.parse().unwrap()),
        subkey,
        capabilities: vector.capabilities.parse().unwrap(),
        number: vector.number.parse().unwrap(),
        issued: time(&vector.issued),
        valid_until: time(&vector.valid_until),
    };
    let golden = hex::decode(&vector.hex).unwrap();
    assert_eq!(IdentityRecord::verify(&golden, key.node_id().address()).unwrap().fields, fields);
    // The signature is salted; everything before it is not.
    let signed = IdentityRecord::sign(&key, &fields).unwrap();
    let unsigned = golden.len() - vector.signature_len;
    assert_eq!(signed.len(), golden.len());
    assert_eq!(signed[..unsigned], golden[..unsigned]);
}

#[test]
fn words() {
    for Words { a, b, words } in vectors().safety_words {
        assert_eq!(safety_words(NodeId(array(&a)), NodeId(array(&b))), words[..]);
    }
}
