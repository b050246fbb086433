//! The golden vectors, read in both directions. They were made by another program from the specification.

use std::time::Duration;

use serde::Deserialize;

use super::identity::{IdentityKey, IdentityRecord, RecordFields, Subkey, safety_words};
use crate::types::{MessageId, NodeId, Status, UnixTime};
use crate::wire::content::Content;
use crate::wire::post::{self, Outcome, PostRecord};
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
    Receipts { id: String, sent_at: String, status: u8, ids: Vec<String> },
    Following { id: String, sent_at: String, after: String, text: String },
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

fn message_id(hex: &str) -> MessageId {
    MessageId(array(hex))
}

fn time(millis: &str) -> UnixTime {
    UnixTime::from_millis(millis.parse().unwrap())
}

#[test]
fn records() {
    for RecordVector { named: Named { name, hex }, value } in vectors().records {
        let record = match value {
            Value::Message { id, sent_at, text } => {
                Record::Message { id: message_id(&id), sent_at: time(&sent_at), content: Content::Text(text) }
            }
            Value::Receipts { id, sent_at, status, ids } => Record::Message {
                id: message_id(&id),
                sent_at: time(&sent_at),
                content: Content::Receipts {
                    status: Status::from_code(status).unwrap(),
                    ids: ids.iter().map(|id| message_id(id)).collect(),
                },
            },
            Value::Following { id, sent_at, after, text } => Record::Message {
                id: message_id(&id),
                sent_at: time(&sent_at),
                content: Content::Following { after: message_id(&after), text },
            },
            Value::Receipt { ids } => Record::Receipt(ids.iter().map(|id| message_id(id)).collect()),
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

#[derive(Deserialize)]
struct Post {
    deposits: Vec<Deposit>,
    answers: Vec<Answer>,
    malformed_bodies: Vec<Named>,
}

#[derive(Deserialize)]
struct Deposit {
    #[serde(flatten)]
    named: Named,
    number: String,
    recipient: String,
    id: String,
    keep: String,
    envelope: String,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(flatten)]
    named: Named,
    number: String,
    outcome: usize,
    keep: String,
}

#[test]
fn the_post() {
    let Post { deposits, answers, malformed_bodies } =
        serde_json::from_str(include_str!("../../tests/vectors/post.json")).unwrap();
    let keep = |seconds: &str| Duration::from_secs(seconds.parse().unwrap());
    let deposits = deposits.into_iter().map(|vector| {
        let record = PostRecord::Deposit {
            number: vector.number.parse().unwrap(),
            recipient: NodeId(array(&vector.recipient)),
            id: message_id(&vector.id),
            keep: keep(&vector.keep),
            envelope: hex::decode(&vector.envelope).unwrap(),
        };
        (vector.named, record)
    });
    let outcomes = [
        Outcome::Taken,
        Outcome::Unreadable,
        Outcome::NoMailbox,
        Outcome::Full,
        Outcome::SenderFull,
        Outcome::Later,
    ];
    let answers = answers.into_iter().map(|vector| {
        let (number, outcome) = (vector.number.parse().unwrap(), outcomes[vector.outcome]);
        (vector.named, PostRecord::Answer { number, outcome, keep: keep(&vector.keep) })
    });
    for (Named { name, hex }, record) in deposits.chain(answers) {
        let bytes = hex::decode(&hex).unwrap();
        let (length, body) = bytes.split_first_chunk().unwrap();
        assert_eq!(post::parse_length(*length), Ok(body.len()), "{name}");
        assert_eq!(PostRecord::parse(body).as_ref(), Ok(&record), "{name}");
        let mut out = Vec::new();
        record.emit(&mut out);
        assert_eq!(hex::encode(&out), hex, "{name}");
    }
    for Named { name, hex } in malformed_bodies {
        assert!(PostRecord::parse(&hex::decode(hex).unwrap()).is_err(), "{name}");
    }
}
