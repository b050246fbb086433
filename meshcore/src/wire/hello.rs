//! The hello: neighbour discovery, in the manner of RFC 8966 (sections 3.4 and 4.6.5), Hello and IHU in one.
//!
//! ```text
//!  0       2          4          12              20      22
//! +-------+----------+----------+---------------+-------+--------------------------------------+
//! | seqno | interval | instance | record number | total | heard: address (16), seqno (2); ...  |
//! +-------+----------+----------+---------------+-------+--------------------------------------+
//! ```

use super::{Malformed, reader::Reader};
use crate::types::Address;

/// Length of a hello that lists nobody.
pub const FIXED_LEN: usize = 22;

/// Length of an entry of the list of heard neighbours.
pub const ENTRY_LEN: usize = Address::LEN + 2;

/// Longest hello payload that is sent.
pub const MAX_LEN: usize = 1000;

/// The fixed part of a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// Counts the group hellos of a node on a link, modulo 2^16. A unicast hello repeats the latest one.
    pub seqno: u16,
    /// Time until the next group hello in centiseconds; 0: the node leaves.
    pub interval: u16,
    /// Drawn at random whenever a node starts.
    pub instance: u64,
    /// Number of the identity record that the node serves.
    pub record_number: u64,
    /// How many neighbours the node hears on this link, listed here or not.
    pub total: u16,
}

/// The list of heard neighbours as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeardList<'a> {
    entries: &'a [[u8; ENTRY_LEN]],
}

impl HeardList<'_> {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody is listed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The neighbours with the seqno of the latest hello heard from each.
    pub fn iter(&self) -> impl Iterator<Item = (Address, u16)> {
        self.entries.iter().map(|entry| {
            let mut address = [0; Address::LEN];
            address.copy_from_slice(&entry[..Address::LEN]);
            (Address(address), u16::from_be_bytes([entry[16], entry[17]]))
        })
    }

    /// The seqno that the sender heard last from `node`; `None` when it does not list `node`.
    pub fn seqno_of(&self, node: Address) -> Option<u16> {
        let entry = self.entries.iter().find(|entry| entry.starts_with(node.as_bytes()))?;
        Some(u16::from_be_bytes([entry[16], entry[17]]))
    }
}

impl Hello {
    /// Reads the payload of a hello frame.
    pub fn parse(payload: &[u8]) -> Result<(Self, HeardList<'_>), Malformed> {
        let mut reader = Reader::new(payload);
        let hello = Self {
            seqno: reader.u16()?,
            interval: reader.u16()?,
            instance: reader.u64()?,
            record_number: reader.u64()?,
            total: reader.u16()?,
        };
        let (entries, rest) = reader.rest().as_chunks();
        if !rest.is_empty() {
            return Err(Malformed::Truncated);
        }
        if entries.len() > usize::from(hello.total) {
            return Err(Malformed::Field("total"));
        }
        Ok((hello, HeardList { entries }))
    }

    /// Appends the payload of a hello frame that lists `heard`.
    pub fn emit(&self, heard: impl IntoIterator<Item = (Address, u16)>, out: &mut Vec<u8>) {
        out.extend(self.seqno.to_be_bytes());
        out.extend(self.interval.to_be_bytes());
        out.extend(self.instance.to_be_bytes());
        out.extend(self.record_number.to_be_bytes());
        out.extend(self.total.to_be_bytes());
        for (address, seqno) in heard {
            out.extend(address.as_bytes());
            out.extend(seqno.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hellos_round_trip(
            seqno: u16, interval: u16, instance: u64, record_number: u64, extra in 0..100u16,
            heard in proptest::collection::vec((any::<[u8; 16]>(), any::<u16>()), 0..60),
        ) {
            let heard: Vec<_> = heard.into_iter().map(|(a, s)| (Address(a), s)).collect();
            let total = heard.len() as u16 + extra;
            let hello = Hello { seqno, interval, instance, record_number, total };
            let mut bytes = Vec::new();
            hello.emit(heard.iter().copied(), &mut bytes);
            prop_assert_eq!(bytes.len(), FIXED_LEN + heard.len() * ENTRY_LEN);
            let (parsed, list) = Hello::parse(&bytes).unwrap();
            prop_assert_eq!(parsed, hello);
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), heard);
            for cut in 0..bytes.len() {
                let whole = cut >= FIXED_LEN && (cut - FIXED_LEN).is_multiple_of(ENTRY_LEN);
                prop_assert_eq!(Hello::parse(&bytes[..cut]).is_ok(), whole);
            }
        }

        #[test]
        fn arbitrary_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
            if let Ok((hello, heard)) = Hello::parse(&bytes) {
                let mut again = Vec::new();
                hello.emit(heard.iter(), &mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn a_list_longer_than_its_total_is_refused() {
        let hello = Hello { seqno: 1, interval: 300, instance: 2, record_number: 3, total: 0 };
        let mut bytes = Vec::new();
        hello.emit([(Address([7; 16]), 1)], &mut bytes);
        assert_eq!(Hello::parse(&bytes), Err(Malformed::Field("total")));
    }
}
