//! Records of the message protocol: deterministic CBOR (RFC 8949, section 4.2.1) behind a length.
//!
//! ```text
//! record = length u32 big-endian, body of that length
//! body   = [1, id bstr .size 16, sent_at uint (ms), text tstr]                       message: a text
//!        / [2, [1*1024 id bstr .size 16]]                                            receipt: delivered
//!        / [4, id bstr .size 16, sent_at uint (ms), kind uint .le 255, content bstr] message of another kind
//!        / [number uint .le 255, *any]                                               unknown record: skipped
//! ```

use super::Malformed;
use super::cbor::Reader;
use super::content::{Content, KIND_TEXT, MAX_CONTENT, MAX_RECEIPT_IDS, MAX_TEXT};
use super::length::{self, LENGTH_LEN};
use crate::types::{MessageId, UnixTime};
use ciborium::{Value, de::from_reader_with_recursion_limit};

/// First byte of a stream that carries this protocol. Other numbers are free for other uses of streams.
pub const PROTOCOL: u8 = 1;

/// Longest body. A message has up to 35 bytes beside its content; the rest is left for later records.
pub const MAX_BODY: usize = MAX_CONTENT + 64;

const TEXT: u8 = 1;
const RECEIPT: u8 = 2;
const OTHER: u8 = 4;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Something for the other side.
    Message {
        /// Chosen at random by the sender.
        id: MessageId,
        /// The sender's clock when it was written.
        sent_at: UnixTime,
        /// What it says.
        content: Content,
    },
    /// These messages of the other side are safely on this side's disk. 1 to [`MAX_RECEIPT_IDS`] ids.
    Receipt(Vec<MessageId>),
    /// A record of a later version; its content was not looked at and is lost.
    Unknown(u8),
}

/// Reads the length in front of a body and checks it, before anything is buffered.
pub fn parse_length(bytes: [u8; LENGTH_LEN]) -> Result<usize, Malformed> {
    length::parse(bytes, MAX_BODY)
}

impl Record {
    /// Parses a body. Another encoding of the same values than the deterministic one is refused.
    ///
    /// The decoder goes straight into the expected types, so that others fail before they take memory.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        const DEPTH: usize = 4;
        let record = match parse_kind(body)? {
            TEXT => {
                let (_, id, sent_at, text): (u8, [u8; MessageId::LEN], u64, String) =
                    from_reader_with_recursion_limit(body, DEPTH).map_err(not_a_record)?;
                if text.is_empty() || text.len() > MAX_TEXT {
                    return Err(Malformed::Field("text"));
                }
                Self::Message {
                    id: MessageId(id),
                    sent_at: UnixTime::from_millis(sent_at),
                    content: Content::Text(text),
                }
            }
            RECEIPT => {
                let (_, ids): (u8, Vec<[u8; MessageId::LEN]>) =
                    from_reader_with_recursion_limit(body, DEPTH).map_err(not_a_record)?;
                if ids.is_empty() || ids.len() > MAX_RECEIPT_IDS {
                    return Err(Malformed::Field("ids"));
                }
                Self::Receipt(ids.into_iter().map(MessageId).collect())
            }
            OTHER => return parse_other(body),
            number => return Ok(Self::Unknown(number)),
        };
        // The decoder is lenient (longer integers, bytes as arrays, bytes after the end): the comparison is not.
        if record.body() == body { Ok(record) } else { Err(Malformed::Field("encoding")) }
    }

    /// Appends length and body.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let body = self.body();
        out.extend_from_slice(&length::emit(body.len(), MAX_BODY));
        out.extend_from_slice(&body);
    }

    fn body(&self) -> Vec<u8> {
        let id_value = |id: &MessageId| Value::Bytes(id.0.to_vec());
        let mut out = Vec::new();
        let written = match self {
            Self::Message { id, sent_at, content: Content::Text(text) } => {
                out.reserve(text.len() + 33);
                ciborium::into_writer(&(TEXT, id_value(id), sent_at.as_millis(), text), &mut out)
            }
            Self::Message { id, sent_at, content } => {
                let bytes = Value::Bytes(content.bytes().into_owned());
                let record = (OTHER, id_value(id), sent_at.as_millis(), content.kind(), bytes);
                ciborium::into_writer(&record, &mut out)
            }
            Self::Receipt(ids) => {
                let ids = Value::Array(ids.iter().map(id_value).collect());
                ciborium::into_writer(&(RECEIPT, ids), &mut out)
            }
            Self::Unknown(number) => ciborium::into_writer(&(number,), &mut out),
        };
        debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
        out
    }
}

/// The kind, read without the decoder: a hostile record of a million tiny items must not become a tree in memory.
fn parse_kind(body: &[u8]) -> Result<u8, Malformed> {
    const ARRAY_OF_1: u8 = 0x81;
    const ARRAY_OF_23: u8 = 0x97;
    match *body {
        [] => Err(Malformed::Truncated),
        [ARRAY_OF_1..=ARRAY_OF_23, kind @ 0..=23, ..] => Ok(kind),
        [ARRAY_OF_1..=ARRAY_OF_23, 24, kind @ 24..=255, ..] => Ok(kind),
        _ => Err(Malformed::Field("kind")),
    }
}

/// A message that is no text: read where it lies, like an envelope.
fn parse_other(body: &[u8]) -> Result<Record, Malformed> {
    let malformed = Malformed::Field("record");
    let mut reader = Reader::new(body);
    reader.items().filter(|items| *items == 5).ok_or(malformed)?;
    reader.uint().ok_or(malformed)?;
    let id = MessageId(reader.array().ok_or(malformed)?);
    let sent_at = UnixTime::from_millis(reader.uint().ok_or(malformed)?);
    let kind = reader.uint().and_then(|kind| u8::try_from(kind).ok()).ok_or(malformed)?;
    let content = reader.bytes().ok_or(malformed)?;
    reader.finish().ok_or(malformed)?;
    match kind {
        // That has a record of its own.
        KIND_TEXT => Err(Malformed::Field("kind")),
        kind => Ok(Record::Message { id, sent_at, content: Content::parse(kind, content)? }),
    }
}

fn not_a_record<E>(_: E) -> Malformed {
    Malformed::Field("record")
}

#[cfg(test)]
mod tests {
    use super::super::content::tests::any_content;
    use super::*;
    use proptest::prelude::*;

    fn any_record() -> impl Strategy<Value = Record> {
        let message = (any::<[u8; 16]>(), any::<u64>(), any_content()).prop_map(|(id, at, content)| {
            Record::Message { id: MessageId(id), sent_at: UnixTime::from_millis(at), content }
        });
        let receipt =
            prop::collection::vec(any::<[u8; 16]>().prop_map(MessageId), 1..=1024).prop_map(Record::Receipt);
        prop_oneof![message, receipt, prop_oneof![Just(3u8), 5u8..].prop_map(Record::Unknown)]
    }

    fn emitted(record: &Record) -> Vec<u8> {
        let mut out = vec![0xa5; 3];
        record.emit(&mut out);
        assert_eq!(out[..3], [0xa5; 3]);
        out.split_off(3)
    }

    proptest! {
        #[test]
        fn records_round_trip(record in any_record()) {
            let bytes = emitted(&record);
            let (length, body) = bytes.split_first_chunk().unwrap();
            prop_assert_eq!(parse_length(*length), Ok(body.len()));
            prop_assert_eq!(Record::parse(body), Ok(record));
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut body in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..5) {
            let _ = Record::parse(&body);
            if body.len() > 2 {
                (body[0], body[1]) = ([0x82, 0x84, 0x82, 0x82, 0x85][usize::from(kind)], kind);
            }
            let _ = Record::parse(&body);
        }

        #[test]
        fn every_change_of_a_byte_is_seen(record in any_record(), at in any::<prop::sample::Index>(), flip in 1u8..) {
            prop_assume!(!matches!(record, Record::Unknown(_)));
            let mut body = emitted(&record)[4..].to_vec();
            let at = at.index(body.len());
            body[at] ^= flip;
            prop_assert_ne!(Record::parse(&body), Ok(record));
        }
    }

    #[test]
    fn lengths_are_bounded() {
        assert!(parse_length([0; 4]).is_err());
        assert!(parse_length([0xff; 4]).is_err());
        assert_eq!(parse_length((MAX_BODY as u32).to_be_bytes()), Ok(MAX_BODY));
        assert!(parse_length((MAX_BODY as u32 + 1).to_be_bytes()).is_err());
        let longest = Record::Message {
            id: MessageId([0xff; 16]),
            sent_at: UnixTime::from_millis(u64::MAX),
            content: Content::Text("x".repeat(MAX_TEXT)),
        };
        let body = emitted(&longest).split_off(4);
        assert_eq!(body.len(), MAX_TEXT + 33);
        assert_eq!(Record::parse(&body), Ok(longest));
    }

    #[test]
    fn other_encodings_are_refused() {
        let id = "aa".repeat(16);
        let message = |text: &str| hex::decode(text.replace("ID", &format!("50{id}"))).unwrap();
        assert!(Record::parse(&message("8401ID076161")).is_ok());
        for bad in [
            "8401ID07616100",     // a byte after the end
            "9f01ID076161ff",     // indefinite array
            "8401ID18076161",     // integer longer than needed
            "8401ID07780161",     // length longer than needed
            "8401ID077f6161ff",   // text in pieces
            "8401ID0760",         // empty text
            "8401ID0761ff",       // not UTF-8
            "8401ID074161",       // bytes for text
            "841801ID076161",     // kind longer than needed
            "8501ID07616100",     // five items
            "8301ID07",           // three items
            "8202f6",             // receipt of nothing
            "820280",             // receipt of no ids
            "82028150aa",         // cut short
            "8401c2ID076161",     // a tag
            "8504ID07014161",     // a text has a record of its own
            "8504ID07034161",     // content that is not what it should be
            "8504ID071818a0",     // no bytes
            "8504ID0718184100ff", // a byte after the end
            "8404ID071818",       // four items
        ] {
            assert!(Record::parse(&message(bad)).is_err(), "{bad}");
        }
        let as_array = format!("8401 90{}076161", "18aa".repeat(16)).replace(' ', "");
        assert!(Record::parse(&hex::decode(as_array).unwrap()).is_err());
        assert_eq!(Record::parse(&message("8318ff9f80")), Ok(Record::Unknown(255)));
    }

    #[test]
    fn nesting_and_declared_lengths_cost_nothing() {
        let mut deep = vec![0x82, 2];
        deep.extend(std::iter::repeat_n(0x81, 1 << 20));
        assert!(Record::parse(&deep).is_err());
        for declared in ["82029b7fffffffffffffff", "84015b7fffffffffffffff", "840150"] {
            assert!(Record::parse(&hex::decode(declared).unwrap()).is_err());
        }
    }
}
