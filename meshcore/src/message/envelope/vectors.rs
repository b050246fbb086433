//! The golden vectors: letters in both directions, and what is refused. They were made by another program from the
//! specification; tests/test_envelope.py opens them with another library.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    letters: Vec<Vector>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    sender: String,
    sender_id: String,
    recipient: String,
    id: String,
    sent_at: String,
    kind: u8,
    content: String,
    padding: usize,
    hex: String,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    recipient: String,
    error: String,
    hex: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/vectors/envelope.json")).unwrap()
}

fn key(file: &str) -> IdentityKey {
    let pem = match file {
        "rsa2048.pem" => include_str!("../../../tests/keys/message/rsa2048.pem"),
        "rsa2048b.pem" => include_str!("../../../tests/keys/message/rsa2048b.pem"),
        "rsa2048c.pem" => include_str!("../../../tests/keys/message/rsa2048c.pem"),
        "rsa4096.pem" => include_str!("../../../tests/keys/message/rsa4096.pem"),
        other => panic!("no key {other}"),
    };
    IdentityKey::from_pem(pem, None).unwrap()
}

fn error_name(error: OpenError) -> &'static str {
    match error {
        OpenError::TooLong(_) => "too long",
        OpenError::Malformed(_) => "malformed",
        OpenError::NotOpened => "not opened",
        OpenError::MalformedLetter(_) => "malformed letter",
        OpenError::Version(_) => "version",
        OpenError::OtherRecipient => "other recipient",
        OpenError::BadSignature => "bad signature",
    }
}

#[test]
fn letters() {
    for vector in vectors().letters {
        let (sender, recipient) = (key(&vector.sender), key(&vector.recipient));
        let bytes = hex::decode(&vector.hex).unwrap();
        let content = hex::decode(&vector.content).unwrap();
        let letter = Letter {
            id: MessageId::try_from(&hex::decode(&vector.id).unwrap()[..]).unwrap(),
            sent_at: UnixTime::from_millis(vector.sent_at.parse().unwrap()),
            content: Content::parse(vector.kind, &content).unwrap(),
        };
        let opened = Envelope::open(&recipient, &bytes).unwrap();
        assert_eq!(opened.sender.node_id().to_string(), vector.sender_id, "{}", vector.name);
        assert_eq!(opened.letter, letter, "{}", vector.name);

        // The signature is salted, and what is outside of it is random.
        let plaintext = decrypt(&recipient, &Sealed::parse(&bytes).unwrap()).unwrap();
        let written =
            |padding| payload(recipient.node_id(), &sender, &letter, vector.kind, &content, padding);
        assert_eq!(Signed::parse(&plaintext).unwrap().payload, written(vector.padding), "{}", vector.name);
        if vector.padding != 0 {
            let padding = padding::len(written(0).len(), sender.signature_len());
            assert_eq!(padding, Some(vector.padding), "{}", vector.name);
        }
    }
}

#[test]
fn refused() {
    for Refused { name, recipient, error, hex } in vectors().refused {
        let opened = Envelope::open(&key(&recipient), &hex::decode(hex).unwrap());
        let Err(refused) = opened else { panic!("{name}: opened") };
        assert_eq!(error_name(refused), error, "{name}: {refused}");
    }
}
