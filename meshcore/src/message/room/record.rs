//! A room as the disk keeps it: deterministic CBOR, by and for this node alone.
//!
//! ```text
//! [format = 2, own: bstr .size 32, signed: bstr, draft: bstr, wish: uint (0 none / 1 join / 2 leave), its version: uint,
//!  joined: uint (0 / 1), asked: uint (0 / 1), former: [*[bstr .size 32, uint]], told: [*[bstr .size 32, uint]]]
//! ```
//!
//! An empty byte string stands for nothing. The first format had no number in front, no *asked*, and no versions with those of
//! *former*.

use std::collections::BTreeMap;

use ciborium::Value;

use super::state::{self, State};
use super::{Room, Wish};
use crate::types::NodeId;
use crate::wire::cbor::{Reader, encoded};
use crate::wire::content::RoomRequest;

const FORMAT: u64 = 2;

impl Room {
    /// The bytes to keep.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let number = |n: u64| Value::Integer(n.into());
        let node = |node: &NodeId| Value::Bytes(node.0.to_vec());
        let wish = match self.wish {
            None => (0, 0),
            Some(Wish { request: RoomRequest::Join, version }) => (1, version),
            Some(Wish { request: RoomRequest::Leave, version }) => (2, version),
        };
        let versions = |nodes: &BTreeMap<NodeId, u64>| {
            let pair = |(whom, version): (&NodeId, &u64)| Value::Array(vec![node(whom), number(*version)]);
            Value::Array(nodes.iter().map(pair).collect())
        };
        encoded(vec![
            number(FORMAT),
            node(&self.own),
            Value::Bytes(self.signed.as_ref().map(|(_, bytes)| bytes.clone()).unwrap_or_default()),
            Value::Bytes(self.draft.as_ref().map(State::payload).unwrap_or_default()),
            number(wish.0),
            number(wish.1),
            number(self.joined.into()),
            number(self.asked.into()),
            versions(&self.former),
            versions(&self.told),
        ])
    }

    /// Reads what [`Room::to_bytes`] gave; `None` for anything else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let is_first_format = match reader.items()? {
            8 => true,
            10 => reader.uint().filter(|format| *format == FORMAT).map(|_| false)?,
            _ => return None,
        };
        let own = NodeId(reader.array()?);
        let signed = match reader.bytes()? {
            [] => None,
            bytes => Some((state::trusted(bytes)?, bytes.to_vec())),
        };
        let draft = match reader.bytes()? {
            [] => None,
            payload => Some(State::kept(payload)?),
        };
        let wish = match (reader.uint()?, reader.uint()?) {
            (0, _) => None,
            (1, version) => Some(Wish { request: RoomRequest::Join, version }),
            (2, version) => Some(Wish { request: RoomRequest::Leave, version }),
            _ => return None,
        };
        let joined = reader.uint()? == 1;
        let asked = !is_first_format && reader.uint()? == 1;
        let former = if is_first_format {
            // They may have belonged to it until the version in force.
            let last = signed.as_ref().map_or(0, |(state, _): &(State, _)| state.version - 1);
            let count = reader.items()?;
            (0..count).map(|_| Some((NodeId(reader.array()?), last))).collect::<Option<_>>()?
        } else {
            versions(&mut reader)?
        };
        let told = versions(&mut reader)?;
        reader.finish()?;
        Some(Self { own, signed, draft, wish, joined, asked, former, told })
    }
}

fn versions(reader: &mut Reader<'_>) -> Option<BTreeMap<NodeId, u64>> {
    let count = reader.items()?;
    let pair = |_| {
        reader.items().filter(|items| *items == 2)?;
        Some((NodeId(reader.array()?), reader.uint()?))
    };
    (0..count).map(pair).collect()
}
