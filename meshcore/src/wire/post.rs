//! Records of the post: sealed envelopes that are handed over, to a mailbox or to their recipient.
//!
//! ```text
//! record = length u32 big-endian, body of that length
//! body   = [1, number uint, recipient bstr .size 32, id bstr .size 16, seconds uint, envelope bstr]   deposit
//!        / [2, number uint, outcome uint, seconds uint]                                              answer
//!        / [kind uint .le 255, *any]                                                                 unknown: skipped
//! ```
//!
//! The bodies are deterministic CBOR (RFC 8949, section 4.2.1).

use std::time::Duration;

use ciborium::Value;

use super::Malformed;
use super::cbor::Reader;
use super::length::{self, LENGTH_LEN};
use crate::types::{MessageId, NodeId};

/// First byte of a stream that carries this protocol.
pub const PROTOCOL: u8 = 2;

/// Longest envelope that is handed over.
pub const MAX_ENVELOPE: usize = (1 << 20) + 4096;

/// Longest body; a deposit has up to 78 bytes beside its envelope, the rest is left for later records.
pub const MAX_BODY: usize = MAX_ENVELOPE + 128;

const DEPOSIT: u8 = 1;
const ANSWER: u8 = 2;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostRecord {
    /// An envelope to keep, or to open.
    Deposit {
        /// Chosen by who hands it over, for the answer.
        number: u64,
        /// Whom it is for; when that is not the receiver, it is to be kept.
        recipient: NodeId,
        /// The id of the message in it.
        id: MessageId,
        /// How long it is to be kept.
        keep: Duration,
        /// The envelope.
        envelope: Vec<u8>,
    },
    /// What has become of an envelope.
    Answer {
        /// From the deposit.
        number: u64,
        /// What.
        outcome: Outcome,
        /// How long it will be kept.
        keep: Duration,
    },
    /// A record of a later version.
    Unknown(u8),
}

/// What has become of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// It is on the receiver's disk: as a message, if it is for the receiver, else in its mailbox.
    Taken = 0,
    /// It is for the receiver, and cannot be opened or is no message; or the receiver keeps nothing for its recipient. That
    /// does not change soon.
    Unreadable = 1,
    /// The receiver offers no mailbox.
    NoMailbox = 2,
    /// The mailbox has no room.
    Full = 3,
    /// The mailbox has no room for this sender.
    SenderFull = 4,
    /// Not now: too many at once, or the receiver's disk refuses.
    Later = 5,
}

impl Outcome {
    const ALL: [Self; 6] =
        [Self::Taken, Self::Unreadable, Self::NoMailbox, Self::Full, Self::SenderFull, Self::Later];
}

/// Reads the length in front of a body and checks it, before anything is buffered.
pub fn parse_length(bytes: [u8; LENGTH_LEN]) -> Result<usize, Malformed> {
    length::parse(bytes, MAX_BODY)
}

impl PostRecord {
    /// Parses a body. Another encoding of the same values than the deterministic one is refused.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let malformed = Malformed::Field("record");
        let items = reader.items().ok_or(malformed)?;
        let kind = reader.uint().and_then(|kind| u8::try_from(kind).ok()).ok_or(malformed)?;
        let record = match (kind, items) {
            (DEPOSIT, 6) => deposit(&mut reader).ok_or(malformed)?,
            (ANSWER, 4) => answer(&mut reader).ok_or(malformed)?,
            (DEPOSIT | ANSWER, _) => return Err(malformed),
            (kind, _) => return Ok(Self::Unknown(kind)),
        };
        reader.finish().map(|()| record).ok_or(malformed)
    }

    /// Appends length and body.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let body = self.body();
        out.extend_from_slice(&length::emit(body.len(), MAX_BODY));
        out.extend_from_slice(&body);
    }

    fn body(&self) -> Vec<u8> {
        let number = |n: u64| Value::Integer(n.into());
        let items = match self {
            Self::Deposit { number: n, recipient, id, keep, envelope } => vec![
                number(DEPOSIT.into()),
                number(*n),
                Value::Bytes(recipient.0.to_vec()),
                Value::Bytes(id.0.to_vec()),
                number(keep.as_secs()),
                Value::Bytes(envelope.clone()),
            ],
            Self::Answer { number: n, outcome, keep } => {
                vec![number(ANSWER.into()), number(*n), number(*outcome as u64), number(keep.as_secs())]
            }
            Self::Unknown(kind) => vec![number((*kind).into())],
        };
        let mut out = Vec::new();
        let written = ciborium::into_writer(&Value::Array(items), &mut out);
        debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
        out
    }
}

fn deposit(reader: &mut Reader<'_>) -> Option<PostRecord> {
    Some(PostRecord::Deposit {
        number: reader.uint()?,
        recipient: NodeId(reader.array()?),
        id: MessageId(reader.array()?),
        keep: Duration::from_secs(reader.uint()?),
        envelope: reader.bytes().filter(|envelope| envelope.len() <= MAX_ENVELOPE)?.to_vec(),
    })
}

fn answer(reader: &mut Reader<'_>) -> Option<PostRecord> {
    let number = reader.uint()?;
    let code = reader.uint()?;
    let outcome = Outcome::ALL.into_iter().find(|outcome| *outcome as u64 == code)?;
    Some(PostRecord::Answer { number, outcome, keep: Duration::from_secs(reader.uint()?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_record() -> impl Strategy<Value = PostRecord> {
        let bytes = prop::collection::vec(any::<u8>(), 0..300);
        let deposit = (any::<(u64, [u8; 32], [u8; 16], u64)>(), bytes).prop_map(|(fields, envelope)| {
            let (number, recipient, id, keep) = fields;
            PostRecord::Deposit {
                number,
                recipient: NodeId(recipient),
                id: MessageId(id),
                keep: Duration::from_secs(keep),
                envelope,
            }
        });
        let answer = (any::<u64>(), 0..Outcome::ALL.len(), any::<u64>()).prop_map(|(number, at, keep)| {
            PostRecord::Answer { number, outcome: Outcome::ALL[at], keep: Duration::from_secs(keep) }
        });
        prop_oneof![deposit, answer]
    }

    fn emitted(record: &PostRecord) -> Vec<u8> {
        let mut out = Vec::new();
        record.emit(&mut out);
        let (length, body) = out.split_first_chunk().unwrap();
        assert_eq!(parse_length(*length), Ok(body.len()));
        body.to_vec()
    }

    proptest! {
        #[test]
        fn records_round_trip(record in any_record()) {
            prop_assert_eq!(PostRecord::parse(&emitted(&record)), Ok(record));
        }

        #[test]
        fn every_change_of_a_byte_is_seen(record in any_record(), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut body = emitted(&record);
            let at = at.index(body.len());
            body[at] ^= flip;
            prop_assert_ne!(PostRecord::parse(&body), Ok(record));
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut body in prop::collection::vec(any::<u8>(), 0..120), kind in 1u8..3) {
            let _ = PostRecord::parse(&body);
            if body.len() > 2 {
                (body[0], body[1]) = (if kind == DEPOSIT { 0x86 } else { 0x84 }, kind);
            }
            let _ = PostRecord::parse(&body);
        }
    }

    #[test]
    fn bodies_are_bounded_and_strict() {
        let longest = PostRecord::Deposit {
            number: u64::MAX,
            recipient: NodeId([1; 32]),
            id: MessageId([2; 16]),
            keep: Duration::from_secs(u64::MAX),
            envelope: vec![0; MAX_ENVELOPE],
        };
        let body = emitted(&longest);
        assert!(body.len() <= MAX_ENVELOPE + 78);
        assert_eq!(PostRecord::parse(&body), Ok(longest));
        for bad in [
            "",
            "80",
            "8402070000ff",
            "84020706",
            "840207060000",
            "84020706",
            "8402071800 00",
            "9f02070000ff",
        ] {
            assert!(PostRecord::parse(&hex::decode(bad.replace(' ', "")).unwrap()).is_err(), "{bad}");
        }
        assert_eq!(PostRecord::parse(&[0x81, 9]), Ok(PostRecord::Unknown(9)));
        let answer = PostRecord::Answer { number: 7, outcome: Outcome::Later, keep: Duration::ZERO };
        assert_eq!(hex::encode(emitted(&answer)), "8402070500");
    }
}
