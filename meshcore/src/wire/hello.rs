//! The hello: neighbour discovery, in the manner of RFC 8966 (sections 3.4 and 4.6.5), Hello and IHU in one.
//!
//! ```text
//!  0       2          4          12        20      22
//! +-------+----------+----------+---------+-------+-----------------------------------------------------------+
//! | seqno | interval | instance | version | total | heard: address (16), seqno (2), rxcost (2), instance (4); |
//! +-------+----------+----------+---------+-------+-----------------------------------------------------------+
//! ```

use super::{Malformed, reader::Reader};
use crate::types::Address;

/// Length of a hello that lists nobody.
pub const FIXED_LEN: usize = 22;

/// Length of an entry of the list of heard neighbours.
pub const ENTRY_LEN: usize = Address::LEN + 8;

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
    /// Version of the routing table up to which updates were sent on this link.
    pub version: u64,
    /// How many neighbours the node hears on this link, listed here or not.
    pub total: u16,
}

/// What a node says about a neighbour that it hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The neighbour.
    pub node: Address,
    /// Seqno of the latest hello heard from it.
    pub seqno: u16,
    /// 256 divided by the share of its hellos that arrive (RFC 8966, appendix A.2.2); 65535: none.
    pub rxcost: u16,
    /// Low 32 bits of its instance: what is said concerns this life of the neighbour, not an earlier one.
    pub instance: u32,
}

impl Heard {
    fn read(entry: &[u8; ENTRY_LEN]) -> Self {
        let mut node = [0; Address::LEN];
        node.copy_from_slice(&entry[..Address::LEN]);
        Self {
            node: Address(node),
            seqno: u16::from_be_bytes([entry[16], entry[17]]),
            rxcost: u16::from_be_bytes([entry[18], entry[19]]),
            instance: u32::from_be_bytes([entry[20], entry[21], entry[22], entry[23]]),
        }
    }
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

    /// The listed neighbours.
    pub fn iter(&self) -> impl Iterator<Item = Heard> {
        self.entries.iter().map(Heard::read)
    }

    /// What the sender says about `node`; `None` when it does not list it.
    pub fn about(&self, node: Address) -> Option<Heard> {
        self.entries.iter().find(|entry| entry.starts_with(node.as_bytes())).map(Heard::read)
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
            version: reader.u64()?,
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
    pub fn emit(&self, heard: impl IntoIterator<Item = Heard>, out: &mut Vec<u8>) {
        out.extend(self.seqno.to_be_bytes());
        out.extend(self.interval.to_be_bytes());
        out.extend(self.instance.to_be_bytes());
        out.extend(self.version.to_be_bytes());
        out.extend(self.total.to_be_bytes());
        for heard in heard {
            out.extend(heard.node.as_bytes());
            out.extend(heard.seqno.to_be_bytes());
            out.extend(heard.rxcost.to_be_bytes());
            out.extend(heard.instance.to_be_bytes());
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
            seqno: u16, interval: u16, instance: u64, version: u64, extra in 0..100u16,
            heard in proptest::collection::vec(any::<([u8; 16], u16, u16, u32)>(), 0..40),
        ) {
            let heard: Vec<_> = heard
                .into_iter()
                .map(|(node, seqno, rxcost, instance)| Heard { node: Address(node), seqno, rxcost, instance })
                .collect();
            let total = heard.len() as u16 + extra;
            let hello = Hello { seqno, interval, instance, version, total };
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
        let hello = Hello { seqno: 1, interval: 300, instance: 2, version: 3, total: 0 };
        let mut bytes = Vec::new();
        hello.emit([Heard { node: Address([7; 16]), seqno: 1, rxcost: 256, instance: 9 }], &mut bytes);
        assert_eq!(Hello::parse(&bytes), Err(Malformed::Field("total")));
    }
}
