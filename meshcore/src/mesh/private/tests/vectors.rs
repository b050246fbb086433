//! The golden bytes of `tests/vectors/sealed.json`, in both directions. They were computed apart from this code.

use serde::Deserialize;

use super::super::key::NetworkKey;
use super::super::schedule::Schedule;
use crate::wire::sealed::{Content, HEADER_LEN, Nonce, Proof, SealedHeader, SessionId};

#[derive(Deserialize)]
struct Vectors {
    sealed: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    network_key: String,
    session: String,
    counter: String,
    plaintext: String,
    frame: String,
    content: String,
    #[serde(default)]
    inner: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    challenge: String,
    #[serde(default)]
    answer: String,
}

fn array(text: &str) -> [u8; 16] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn nonce(text: &str) -> Option<Nonce> {
    (!text.is_empty()).then(|| Nonce(array(text)))
}

fn content<'a>(vector: &Vector, inner: &'a [u8]) -> Content<&'a [u8]> {
    match vector.content.as_str() {
        "frame" => Content::Frame { group: false, inner },
        "group frame" => Content::Frame { group: true, inner },
        _ => Content::Proof(Proof {
            to: SessionId(array(&vector.to)),
            challenge: nonce(&vector.challenge),
            answer: nonce(&vector.answer),
        }),
    }
}

#[test]
fn golden_frames_hold_in_both_directions() {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../../../../tests/vectors/sealed.json")).unwrap();
    for vector in vectors.sealed {
        let (frame, mut inner) = (hex::decode(&vector.frame).unwrap(), hex::decode(&vector.inner).unwrap());
        let header = SealedHeader {
            session: SessionId(array(&vector.session)),
            counter: vector.counter.parse().unwrap(),
        };
        let schedule = Schedule::new(&NetworkKey::parse(&vector.network_key).unwrap());
        let key = schedule.session_key(header.session).unwrap();

        let content = content(&vector, &inner);
        let clear = header.emit(content.sealed_len().unwrap());
        let mut plaintext = Vec::new();
        content.emit(&mut plaintext);
        assert_eq!(hex::encode(&plaintext), vector.plaintext, "{}", vector.name);
        let tag = key.seal(&header, &clear, &mut plaintext).unwrap();
        let sealed = [&clear[..], &plaintext, tag.as_ref()].concat();
        assert_eq!(hex::encode(sealed), vector.frame, "{}", vector.name);

        assert_eq!(SealedHeader::parse(&frame), Ok((header, HEADER_LEN..frame.len())), "{}", vector.name);
        let (clear, body) = frame.split_at(HEADER_LEN);
        let mut body = body.to_vec();
        let plaintext = key.open(&header, clear, &mut body).unwrap();
        let parsed = Content::parse(plaintext).unwrap();
        let expected = match content {
            Content::Proof(proof) => Content::Proof(proof),
            Content::Frame { group, .. } => Content::Frame { group, inner: &mut inner[..] },
        };
        assert_eq!(parsed, expected, "{}", vector.name);
    }
}
