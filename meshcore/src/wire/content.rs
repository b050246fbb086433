//! What a message says, whichever way it comes: on a session, or in a sealed envelope.
//!
//! ```text
//! kind 1   text       UTF-8, 1 byte to 1 MiB
//! kind 3   receipts   [status uint (30 delivered / 40 read), [1*1024 id bstr .size 16]]
//! kind 4   following  [after bstr .size 16, kind uint (1), content bstr]     not to be shown before the message `after`
//! ```
//!
//! The structures are deterministic CBOR (RFC 8949, section 4.2.1).

use std::borrow::Cow;

use ciborium::Value;

use super::Malformed;
use super::cbor::Reader;
use crate::types::{MessageId, Status};

/// Longest text of a message in bytes of UTF-8.
pub const MAX_TEXT: usize = 1 << 20;

/// Longest content of any kind in bytes: a text that follows another message has up to 26 bytes around it, the rest is left
/// for later kinds.
pub const MAX_CONTENT: usize = MAX_TEXT + 64;

/// Most ids in one receipt.
pub const MAX_RECEIPT_IDS: usize = 1024;

/// Number of the kind of [`Content::Text`].
pub const KIND_TEXT: u8 = 1;

const KIND_RECEIPTS: u8 = 3;
const KIND_FOLLOWING: u8 = 4;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// 1 to [`MAX_TEXT`] bytes for people to read.
    Text(String),
    /// These messages of the other side have come so far. 1 to [`MAX_RECEIPT_IDS`] ids.
    Receipts {
        /// [`Status::Delivered`] or [`Status::Read`]: what only their recipient can tell.
        status: Status,
        /// The messages.
        ids: Vec<MessageId>,
    },
    /// A text that its sender wrote after another message to the same recipient, when that was not known to be delivered.
    Following {
        /// The message before it.
        after: MessageId,
        /// The text.
        text: String,
    },
    /// A kind of a later version. What it says was not looked at.
    Unknown(u8),
}

impl Content {
    /// Number of the kind.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Text(_) => KIND_TEXT,
            Self::Receipts { .. } => KIND_RECEIPTS,
            Self::Following { .. } => KIND_FOLLOWING,
            Self::Unknown(kind) => *kind,
        }
    }

    /// About as many bytes as it takes in memory and on the wire.
    pub fn weight(&self) -> usize {
        match self {
            Self::Text(text) | Self::Following { text, .. } => text.len(),
            Self::Receipts { ids, .. } => ids.len() * MessageId::LEN,
            Self::Unknown(_) => 0,
        }
    }

    /// Reads the bytes of a kind. Another encoding of the same values than the deterministic one is refused.
    pub fn parse(kind: u8, bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MAX_CONTENT {
            return Err(Malformed::Field("content"));
        }
        match kind {
            KIND_TEXT => text(bytes).map(Self::Text),
            KIND_RECEIPTS => receipts(Reader::new(bytes)).ok_or(Malformed::Field("receipts")),
            KIND_FOLLOWING => following(Reader::new(bytes)),
            kind => Ok(Self::Unknown(kind)),
        }
    }

    /// The bytes; those of an unknown kind are lost.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) => Cow::Borrowed(text.as_bytes()),
            Self::Receipts { status, ids } => {
                let ids = ids.iter().map(id_value).collect();
                encoded(vec![Value::Integer(status.code().into()), Value::Array(ids)])
            }
            Self::Following { after, text } => encoded(vec![
                id_value(after),
                Value::Integer(KIND_TEXT.into()),
                Value::Bytes(text.clone().into_bytes()),
            ]),
            Self::Unknown(_) => Cow::Borrowed(&[]),
        }
    }
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    match std::str::from_utf8(bytes) {
        Ok(text) if (1..=MAX_TEXT).contains(&text.len()) => Ok(text.to_owned()),
        _ => Err(Malformed::Field("text")),
    }
}

fn receipts(mut reader: Reader<'_>) -> Option<Content> {
    reader.items().filter(|items| *items == 2)?;
    let status = u8::try_from(reader.uint()?).ok().and_then(Status::from_code)?;
    let count = reader.items().filter(|ids| (1..=MAX_RECEIPT_IDS as u64).contains(ids))?;
    let ids = (0..count).map(|_| reader.array().map(MessageId)).collect::<Option<_>>()?;
    reader.finish()?;
    status.is_proven().then_some(Content::Receipts { status, ids })
}

fn following(mut reader: Reader<'_>) -> Result<Content, Malformed> {
    let malformed = Malformed::Field("following");
    reader.items().filter(|items| *items == 3).ok_or(malformed)?;
    let after = MessageId(reader.array().ok_or(malformed)?);
    reader.uint().filter(|kind| *kind == u64::from(KIND_TEXT)).ok_or(malformed)?;
    let text = text(reader.bytes().ok_or(malformed)?)?;
    reader.finish().ok_or(malformed)?;
    Ok(Content::Following { after, text })
}

fn id_value(id: &MessageId) -> Value {
    Value::Bytes(id.0.to_vec())
}

fn encoded(items: Vec<Value>) -> Cow<'static, [u8]> {
    let mut out = Vec::new();
    let written = ciborium::into_writer(&Value::Array(items), &mut out);
    debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
    Cow::Owned(out)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_content() -> impl Strategy<Value = Content> {
        let id = || any::<[u8; 16]>().prop_map(MessageId);
        let status = prop_oneof![Just(Status::Delivered), Just(Status::Read)];
        prop_oneof![
            "\\PC{1,300}".prop_map(Content::Text),
            (status, prop::collection::vec(id(), 1..40))
                .prop_map(|(status, ids)| Content::Receipts { status, ids }),
            (id(), "\\PC{1,300}").prop_map(|(after, text)| Content::Following { after, text }),
        ]
    }

    proptest! {
        #[test]
        fn contents_round_trip(content in any_content()) {
            prop_assert_eq!(Content::parse(content.kind(), &content.bytes()), Ok(content));
        }

        #[test]
        fn a_value_has_one_encoding(kind in 1u8..6, bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(content) = Content::parse(kind, &bytes)
                && !matches!(content, Content::Unknown(_))
            {
                prop_assert_eq!(&content.bytes()[..], &bytes[..]);
            }
        }

        #[test]
        fn every_change_of_a_byte_is_seen(content in any_content(), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut bytes = content.bytes().into_owned();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert_ne!(Content::parse(content.kind(), &bytes), Ok(content));
        }
    }

    #[test]
    fn the_longest_of_each_kind_fit() {
        let text = "x".repeat(MAX_TEXT);
        let ids = vec![MessageId([0xff; 16]); MAX_RECEIPT_IDS];
        let longest = [
            Content::Text(text.clone()),
            Content::Receipts { status: Status::Read, ids },
            Content::Following { after: MessageId([0xff; 16]), text },
        ];
        for content in longest {
            assert!(content.bytes().len() <= MAX_TEXT + 26);
            assert_eq!(Content::parse(content.kind(), &content.bytes()), Ok(content));
        }
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        let id = format!("50{}", "aa".repeat(16));
        let bytes = |text: &str| hex::decode(text.replace("ID", &id)).unwrap();
        assert!(Content::parse(KIND_RECEIPTS, &bytes("82181e81ID")).is_ok());
        assert!(Content::parse(KIND_FOLLOWING, &bytes("83ID014161")).is_ok());
        for (kind, bad) in [
            (KIND_TEXT, ""),
            (KIND_TEXT, "ff"),
            (KIND_RECEIPTS, "82181e80"),     // no ids
            (KIND_RECEIPTS, "820a81ID"),     // sent: not the recipient's to tell
            (KIND_RECEIPTS, "82182d81ID"),   // no status
            (KIND_RECEIPTS, "82181e82ID"),   // cut short
            (KIND_RECEIPTS, "82181e81ID00"), // a byte after the end
            (KIND_RECEIPTS, "82181e9b7fffffffffffffff"),
            (KIND_FOLLOWING, "83ID0140"),     // no text
            (KIND_FOLLOWING, "83ID0341ff"),   // only texts follow
            (KIND_FOLLOWING, "83ID01416100"), // a byte after the end
        ] {
            assert!(Content::parse(kind, &bytes(bad)).is_err(), "{kind} {bad}");
        }
        assert!(Content::parse(KIND_TEXT, &vec![b'x'; MAX_TEXT + 1]).is_err());
        assert!(Content::parse(9, &vec![0; MAX_CONTENT + 1]).is_err());
        assert_eq!(Content::parse(9, &[1, 2]), Ok(Content::Unknown(9)));
    }
}
