//! What a message says, whichever way it comes: on a session, or in a sealed envelope.
//!
//! ```text
//! kind 1   text       UTF-8, 1 byte to 1 MiB
//! kind 3   receipts   [status uint (30 delivered / 40 read), [1*1024 id bstr .size 16]]
//! kind 4   following  [after bstr .size 16, kind uint (1 / 5), content bstr] not to be shown before the message `after`
//! kind 5   room text  [room bstr .size 16, version uint, text bstr]          text of 1 byte to 64 KiB
//! kind 6   room       a signed room, up to 64 KiB (`message/room`)
//! kind 7   request    [room bstr .size 16, version uint, uint (1 join / 2 leave)]
//! ```
//!
//! The structures are deterministic CBOR (RFC 8949, section 4.2.1).

use std::borrow::Cow;

use ciborium::Value;

use super::Malformed;
use super::cbor::{Reader, encoded};
use crate::types::{MessageId, RoomId, Status};

/// Longest text of a message in bytes of UTF-8.
pub const MAX_TEXT: usize = 1 << 20;

/// Longest text of a message to a room in bytes of UTF-8: each member gets a copy.
pub const MAX_ROOM_TEXT: usize = 64 * 1024;

/// Longest signed room in bytes.
pub const MAX_ROOM: usize = 64 * 1024;

/// Longest content of any kind in bytes: a text that follows another message has up to 26 bytes around it, the rest is left
/// for later kinds.
pub const MAX_CONTENT: usize = MAX_TEXT + 64;

/// Most ids in one receipt.
pub const MAX_RECEIPT_IDS: usize = 1024;

/// Number of the kind of [`Content::Text`].
pub const KIND_TEXT: u8 = 1;

const KIND_RECEIPTS: u8 = 3;
const KIND_FOLLOWING: u8 = 4;

/// Number of the kind of [`Content::RoomText`].
pub const KIND_ROOM_TEXT: u8 = 5;

const KIND_ROOM: u8 = 6;
const KIND_REQUEST: u8 = 7;

/// A room as one of its members knew it when it wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The room.
    pub room: RoomId,
    /// The version.
    pub version: u64,
}

/// What somebody asks of a room's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomRequest {
    /// To be let in, after an invitation.
    Join,
    /// To be let go, or not to be invited any more.
    Leave,
}

impl RoomRequest {
    fn code(self) -> u8 {
        match self {
            Self::Join => 1,
            Self::Leave => 2,
        }
    }
}

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
    /// A text that its sender wrote after another message of the same conversation, when that was not known to be delivered.
    Following {
        /// The message before it.
        after: MessageId,
        /// The room that it was written to, if it was.
        stamp: Option<Stamp>,
        /// The text.
        text: String,
    },
    /// A text to a room: 1 to [`MAX_ROOM_TEXT`] bytes.
    RoomText {
        /// The room.
        stamp: Stamp,
        /// The text.
        text: String,
    },
    /// A room as its owner signed it, up to [`MAX_ROOM`] bytes. They were not looked at.
    Room(Vec<u8>),
    /// To the owner of a room.
    RoomRequest {
        /// The room, in the version to which this answers.
        stamp: Stamp,
        /// What is asked.
        request: RoomRequest,
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
            Self::RoomText { .. } => KIND_ROOM_TEXT,
            Self::Room(_) => KIND_ROOM,
            Self::RoomRequest { .. } => KIND_REQUEST,
            Self::Unknown(kind) => *kind,
        }
    }

    /// About as many bytes as it takes in memory and on the wire.
    pub fn weight(&self) -> usize {
        match self {
            Self::Text(text) | Self::Following { text, .. } | Self::RoomText { text, .. } => text.len(),
            Self::Receipts { ids, .. } => ids.len() * MessageId::LEN,
            Self::Room(bytes) => bytes.len(),
            Self::RoomRequest { .. } => RoomId::LEN,
            Self::Unknown(_) => 0,
        }
    }

    /// Whether people read it: somebody wants to know how far it has come.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_) | Self::RoomText { .. } | Self::Following { .. })
    }

    /// The same, not to be shown before the message `after`. What is no text stays as it is.
    pub fn following(self, after: MessageId) -> Self {
        match self {
            Self::Text(text) => Self::Following { after, stamp: None, text },
            Self::RoomText { stamp, text } => Self::Following { after, stamp: Some(stamp), text },
            other => other,
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
            KIND_ROOM_TEXT => {
                room_text(Reader::new(bytes)).map(|(stamp, text)| Self::RoomText { stamp, text })
            }
            KIND_ROOM if (1..=MAX_ROOM).contains(&bytes.len()) => Ok(Self::Room(bytes.to_vec())),
            KIND_ROOM => Err(Malformed::Field("room")),
            KIND_REQUEST => request(Reader::new(bytes)).ok_or(Malformed::Field("request")),
            kind => Ok(Self::Unknown(kind)),
        }
    }

    /// The bytes; those of an unknown kind are lost.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) => Cow::Borrowed(text.as_bytes()),
            Self::Receipts { status, ids } => {
                let ids = ids.iter().map(id_value).collect();
                encoded(vec![Value::Integer(status.code().into()), Value::Array(ids)]).into()
            }
            Self::Following { after, stamp, text } => {
                let (kind, content) = match stamp {
                    None => (KIND_TEXT, text.clone().into_bytes()),
                    Some(stamp) => (KIND_ROOM_TEXT, room_text_bytes(stamp, text)),
                };
                encoded(vec![id_value(after), Value::Integer(kind.into()), Value::Bytes(content)]).into()
            }
            Self::RoomText { stamp, text } => room_text_bytes(stamp, text).into(),
            Self::Room(bytes) => Cow::Borrowed(bytes),
            Self::RoomRequest { stamp, request } => {
                let [room, version] = stamp_values(stamp);
                encoded(vec![room, version, Value::Integer(request.code().into())]).into()
            }
            Self::Unknown(_) => Cow::Borrowed(&[]),
        }
    }
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    text_up_to(bytes, MAX_TEXT).ok_or(Malformed::Field("text"))
}

fn text_up_to(bytes: &[u8], limit: usize) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (1..=limit).contains(&text.len()).then(|| text.to_owned())
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
    let kind = reader.uint().ok_or(malformed)?;
    let content = reader.bytes().ok_or(malformed)?;
    reader.finish().ok_or(malformed)?;
    let (stamp, text) = match u8::try_from(kind) {
        Ok(KIND_TEXT) => (None, text(content)?),
        Ok(KIND_ROOM_TEXT) => room_text(Reader::new(content)).map(|(stamp, text)| (Some(stamp), text))?,
        _ => return Err(malformed),
    };
    Ok(Content::Following { after, stamp, text })
}

fn room_text(mut reader: Reader<'_>) -> Result<(Stamp, String), Malformed> {
    let malformed = Malformed::Field("room text");
    reader.items().filter(|items| *items == 3).ok_or(malformed)?;
    let stamp = stamp(&mut reader).ok_or(malformed)?;
    let text = reader.bytes().and_then(|bytes| text_up_to(bytes, MAX_ROOM_TEXT)).ok_or(malformed)?;
    reader.finish().ok_or(malformed)?;
    Ok((stamp, text))
}

fn request(mut reader: Reader<'_>) -> Option<Content> {
    reader.items().filter(|items| *items == 3)?;
    let stamp = stamp(&mut reader)?;
    let code = reader.uint()?;
    reader.finish()?;
    let request =
        [RoomRequest::Join, RoomRequest::Leave].into_iter().find(|known| u64::from(known.code()) == code)?;
    Some(Content::RoomRequest { stamp, request })
}

fn stamp(reader: &mut Reader<'_>) -> Option<Stamp> {
    Some(Stamp { room: RoomId(reader.array()?), version: reader.uint()? })
}

fn stamp_values(stamp: &Stamp) -> [Value; 2] {
    [Value::Bytes(stamp.room.0.to_vec()), Value::Integer(stamp.version.into())]
}

fn room_text_bytes(stamp: &Stamp, text: &str) -> Vec<u8> {
    let [room, version] = stamp_values(stamp);
    encoded(vec![room, version, Value::Bytes(text.as_bytes().to_vec())])
}

fn id_value(id: &MessageId) -> Value {
    Value::Bytes(id.0.to_vec())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_stamp() -> impl Strategy<Value = Stamp> {
        (any::<[u8; 16]>(), any::<u64>()).prop_map(|(room, version)| Stamp { room: RoomId(room), version })
    }

    pub(crate) fn any_content() -> impl Strategy<Value = Content> {
        let id = || any::<[u8; 16]>().prop_map(MessageId);
        let status = prop_oneof![Just(Status::Delivered), Just(Status::Read)];
        prop_oneof![
            "\\PC{1,300}".prop_map(Content::Text),
            (status, prop::collection::vec(id(), 1..40))
                .prop_map(|(status, ids)| Content::Receipts { status, ids }),
            (id(), prop::option::of(any_stamp()), "\\PC{1,300}")
                .prop_map(|(after, stamp, text)| Content::Following { after, stamp, text }),
            (any_stamp(), "\\PC{1,300}").prop_map(|(stamp, text)| Content::RoomText { stamp, text }),
            prop::collection::vec(any::<u8>(), 1..60).prop_map(Content::Room),
            (any_stamp(), prop_oneof![Just(RoomRequest::Join), Just(RoomRequest::Leave)])
                .prop_map(|(stamp, request)| Content::RoomRequest { stamp, request }),
        ]
    }

    proptest! {
        #[test]
        fn contents_round_trip(content in any_content()) {
            prop_assert_eq!(Content::parse(content.kind(), &content.bytes()), Ok(content));
        }

        #[test]
        fn a_value_has_one_encoding(kind in 1u8..9, bytes in prop::collection::vec(any::<u8>(), 0..60)) {
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
        let room_text = "x".repeat(MAX_ROOM_TEXT);
        let stamp = Stamp { room: RoomId([0xff; 16]), version: u64::MAX };
        let longest = [
            Content::Text(text.clone()),
            Content::Receipts { status: Status::Read, ids },
            Content::Following { after: MessageId([0xff; 16]), stamp: None, text },
            Content::RoomText { stamp, text: room_text.clone() },
            Content::Following { after: MessageId([0xff; 16]), stamp: Some(stamp), text: room_text },
            Content::Room(vec![7; MAX_ROOM]),
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
            (KIND_ROOM_TEXT, "83ID0740"),     // no text
            (KIND_ROOM_TEXT, "83ID07416100"), // a byte after the end
            (KIND_ROOM, ""),
            (KIND_REQUEST, "83ID0703"), // neither join nor leave
        ] {
            assert!(Content::parse(kind, &bytes(bad)).is_err(), "{kind} {bad}");
        }
        assert!(Content::parse(KIND_TEXT, &vec![b'x'; MAX_TEXT + 1]).is_err());
        assert!(Content::parse(KIND_ROOM, &vec![0; MAX_ROOM + 1]).is_err());
        let stamp = Stamp { room: RoomId([1; 16]), version: 7 };
        let long = Content::RoomText { stamp, text: "x".repeat(MAX_ROOM_TEXT + 1) };
        assert!(Content::parse(KIND_ROOM_TEXT, &long.bytes()).is_err());
        assert!(Content::parse(9, &vec![0; MAX_CONTENT + 1]).is_err());
        assert_eq!(Content::parse(9, &[1, 2]), Ok(Content::Unknown(9)));
    }
}
