//! Routes on the wire: updates, requests for updates, requests for seqnos (RFC 8966, sections 4.6.9 to 4.6.11).
//!
//! ```text
//! update:          instance (8), floor (8), from (8), to (8), then entries
//! entry:           destination (16), seqno (12), metric (2), path MTU (2), hops (1), signature (64)
//! update request:  seqno of the latest hello heard (2), floor (8), since (8)
//! seqno request:   seqno of the latest hello heard (2), destination (16), seqno (12), hop limit (1)
//! ```
//!
//! An update holds the latest state of every destination whose last change lies behind the version `from` and not
//! behind `to`. The sender has forgotten destinations whose last change lies at its `floor` or before: they are
//! missing in updates, and who may still know one needs the whole table, which starts with `from` 0. An entry with an infinite metric is a retraction; it has no signature.

use super::{Malformed, reader::Reader};
use crate::types::Address;

/// Metric of a destination that cannot be reached.
pub const INFINITE: u16 = u16::MAX;

/// Length of an update without entries.
pub const UPDATE_LEN: usize = 32;

/// Length of an entry that is no retraction.
pub const ENTRY_LEN: usize = RETRACTION_LEN + SIGNATURE_LEN;

/// Length of a retraction.
pub const RETRACTION_LEN: usize = Address::LEN + 12 + 5;

/// Length of an Ed25519 signature.
pub const SIGNATURE_LEN: usize = 64;

/// Sequence number of a destination's own announcement (RFC 8966, section 2.5). It does not wrap: the identity record's
/// number grows with every start of the node, the count with every announcement under that record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seqno {
    /// Number of the identity record whose subkey signs it.
    pub record: u64,
    /// Counts the announcements under that record.
    pub count: u32,
}

impl Seqno {
    /// Length in bytes.
    pub const LEN: usize = 12;

    /// What the destination signs to announce itself with this seqno.
    pub fn signed_message(self, destination: Address) -> [u8; 44] {
        let mut message = [0; 44];
        message[..16].copy_from_slice(b"MeshChat seqno 1");
        message[16..32].copy_from_slice(destination.as_bytes());
        message[32..40].copy_from_slice(&self.record.to_be_bytes());
        message[40..].copy_from_slice(&self.count.to_be_bytes());
        message
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { record: reader.u64()?, count: reader.u32()? })
    }

    fn emit(self, out: &mut Vec<u8>) {
        out.extend(self.record.to_be_bytes());
        out.extend(self.count.to_be_bytes());
    }
}

/// What a neighbour says about its route to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advert {
    /// Where the route leads.
    pub destination: Address,
    /// Latest announcement of the destination that the route rests on.
    pub seqno: Seqno,
    /// Cost of the way from the neighbour to the destination; [`INFINITE`]: there is none.
    pub metric: u16,
    /// Largest payload that passes all links of that way.
    pub mtu: u16,
    /// Links of that way.
    pub hops: u8,
    /// Signature of the destination under its seqno; zeros in a retraction.
    pub signature: [u8; SIGNATURE_LEN],
}

impl Advert {
    /// Takes a destination back.
    pub fn retraction(destination: Address, seqno: Seqno) -> Self {
        Self { destination, seqno, metric: INFINITE, mtu: 0, hops: 0, signature: [0; SIGNATURE_LEN] }
    }

    /// Length on the wire.
    pub fn wire_len(&self) -> usize {
        if self.metric == INFINITE { RETRACTION_LEN } else { ENTRY_LEN }
    }

    /// Appends the entry.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.destination.as_bytes());
        self.seqno.emit(out);
        out.extend(self.metric.to_be_bytes());
        out.extend(self.mtu.to_be_bytes());
        out.push(self.hops);
        if self.metric != INFINITE {
            out.extend(self.signature);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut advert = Self {
            destination: Address(reader.array()?),
            seqno: Seqno::read(reader)?,
            metric: reader.u16()?,
            mtu: reader.u16()?,
            hops: reader.u8()?,
            signature: [0; SIGNATURE_LEN],
        };
        if advert.metric != INFINITE {
            advert.signature = reader.array()?;
        }
        Ok(advert)
    }
}

/// Head of an update: which part of the sender's table follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update {
    /// Instance of the sender, as in its hellos.
    pub instance: u64,
    /// Latest version of a destination that the sender has forgotten.
    pub floor: u64,
    /// Version behind which the entries changed.
    pub from: u64,
    /// Version up to which they changed.
    pub to: u64,
}

impl Update {
    /// Reads an update; every entry is checked before the first is given out.
    pub fn parse(payload: &[u8]) -> Result<(Self, Adverts<'_>), Malformed> {
        let mut reader = Reader::new(payload);
        let update =
            Self { instance: reader.u64()?, floor: reader.u64()?, from: reader.u64()?, to: reader.u64()? };
        if update.from > update.to {
            return Err(Malformed::Field("from"));
        }
        let adverts = Adverts { reader: reader.clone() };
        while !reader.is_empty() {
            if Advert::read(&mut reader)?.destination == Address::EVERYONE {
                return Err(Malformed::Field("destination"));
            }
        }
        Ok((update, adverts))
    }

    /// The head of an update.
    pub fn to_bytes(&self) -> [u8; UPDATE_LEN] {
        let mut head = [0; UPDATE_LEN];
        for (field, value) in head.chunks_exact_mut(8).zip([self.instance, self.floor, self.from, self.to]) {
            field.copy_from_slice(&value.to_be_bytes());
        }
        head
    }

    /// Appends the head of an update.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.to_bytes());
    }
}

/// The entries of a received update.
#[derive(Debug, Clone)]
pub struct Adverts<'a> {
    reader: Reader<'a>,
}

impl Iterator for Adverts<'_> {
    type Item = Advert;

    fn next(&mut self) -> Option<Advert> {
        Advert::read(&mut self.reader).ok()
    }
}

/// Asks a neighbour for all updates behind a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateRequest {
    /// Seqno of the latest hello heard from the neighbour: shows that its answer will be heard.
    pub heard: u16,
    /// The neighbour's floor when it began to tell its whole table: what it forgot before is not known here.
    pub floor: u64,
    /// Version that the asking node has; 0: nothing.
    pub since: u64,
}

impl UpdateRequest {
    /// Reads the payload.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let request = Self { heard: reader.u16()?, floor: reader.u64()?, since: reader.u64()? };
        reader.finish().map(|()| request)
    }

    /// Appends the payload.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.heard.to_be_bytes());
        out.extend(self.floor.to_be_bytes());
        out.extend(self.since.to_be_bytes());
    }
}

/// Asks for an announcement of the destination that is at least as new as `seqno` (RFC 8966, section 3.8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeqnoRequest {
    /// Seqno of the latest hello heard from the neighbour.
    pub heard: u16,
    /// Who is to announce itself anew.
    pub destination: Address,
    /// Oldest announcement that helps.
    pub seqno: Seqno,
    /// Links that the request may still cross.
    pub hop_limit: u8,
}

impl SeqnoRequest {
    /// Reads the payload.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let request = Self {
            heard: reader.u16()?,
            destination: Address(reader.array()?),
            seqno: Seqno::read(&mut reader)?,
            hop_limit: reader.u8()?,
        };
        reader.finish().map(|()| request)
    }

    /// Appends the payload.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.heard.to_be_bytes());
        out.extend(self.destination.as_bytes());
        self.seqno.emit(out);
        out.push(self.hop_limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn advert() -> impl Strategy<Value = Advert> {
        let fields = (any::<[u8; 16]>(), any::<(u64, u32)>(), any::<(u16, u16, u8)>(), any::<[u8; 32]>());
        let not_everyone = |destination: &[u8; 16]| *destination != [0xff; 16];
        fields.prop_filter("group address", move |fields| not_everyone(&fields.0)).prop_map(
            |(destination, (record, count), (metric, mtu, hops), half)| {
                let mut signature = [0; SIGNATURE_LEN];
                if metric != INFINITE {
                    signature[..32].copy_from_slice(&half);
                }
                let seqno = Seqno { record, count };
                Advert { destination: Address(destination), seqno, metric, mtu, hops, signature }
            },
        )
    }

    proptest! {
        #[test]
        fn updates_round_trip(
            instance: u64, floor: u64, from in 0..=u64::MAX / 2, span in 0..1000u64, adverts in vec(advert(), 0..14),
        ) {
            let update = Update { instance, floor, from, to: from + span };
            let mut bytes = Vec::new();
            update.emit(&mut bytes);
            for advert in &adverts {
                let start = bytes.len();
                advert.emit(&mut bytes);
                prop_assert_eq!(bytes.len() - start, advert.wire_len());
            }
            let (parsed, list) = Update::parse(&bytes).unwrap();
            prop_assert_eq!(parsed, update);
            prop_assert_eq!(list.collect::<Vec<_>>(), adverts);
        }

        #[test]
        fn arbitrary_bytes_are_survived(bytes in vec(any::<u8>(), 0..1500)) {
            if let Ok((update, adverts)) = Update::parse(&bytes) {
                let mut again = Vec::new();
                update.emit(&mut again);
                adverts.for_each(|advert| advert.emit(&mut again));
                prop_assert_eq!(again, &bytes[..]);
            }
            let _ = (UpdateRequest::parse(&bytes), SeqnoRequest::parse(&bytes));
        }

        #[test]
        fn requests_round_trip(
            heard: u16, floor: u64, since: u64, destination: [u8; 16], record: u64, count: u32, hop_limit: u8,
        ) {
            let mut bytes = Vec::new();
            let request = UpdateRequest { heard, floor, since };
            request.emit(&mut bytes);
            prop_assert_eq!(UpdateRequest::parse(&bytes), Ok(request));
            bytes.push(0);
            prop_assert_eq!(UpdateRequest::parse(&bytes), Err(Malformed::TrailingBytes));
            let request =
                SeqnoRequest { heard, destination: Address(destination), seqno: Seqno { record, count }, hop_limit };
            bytes.clear();
            request.emit(&mut bytes);
            prop_assert_eq!(SeqnoRequest::parse(&bytes), Ok(request));
            prop_assert_eq!(SeqnoRequest::parse(&bytes[1..]), Err(Malformed::Truncated));
        }
    }

    #[test]
    fn seqnos_are_ordered_by_record_then_count() {
        let seqno = |record, count| Seqno { record, count };
        assert!(seqno(1, u32::MAX) < seqno(2, 0));
        assert!(seqno(2, 0) < seqno(2, 1));
    }

    #[test]
    fn a_range_that_runs_backwards_is_refused() {
        let mut bytes = Vec::new();
        Update { instance: 1, floor: 0, from: 3, to: 2 }.emit(&mut bytes);
        assert_eq!(Update::parse(&bytes).unwrap_err(), Malformed::Field("from"));
    }
}
