//! Deterministic CBOR (RFC 8949, section 4.2.1) of a known shape, read where it lies: nothing is built from what hostile
//! bytes claim to hold, and nothing but the shortest encoding is read.

use ciborium::Value;

/// Reads items from the front of a slice. What is not as it is asked for gives `None`.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    const UINT: u8 = 0;
    const BYTES: u8 = 2;
    const ARRAY: u8 = 4;

    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Items that have one encoding only.
    pub(crate) fn expect(&mut self, encoding: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(encoding)?;
        Some(())
    }

    pub(crate) fn uint(&mut self) -> Option<u64> {
        self.head(Self::UINT)
    }

    /// The beginning of an array; gives how many items follow.
    pub(crate) fn items(&mut self) -> Option<u64> {
        self.head(Self::ARRAY)
    }

    /// A byte string.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.head(Self::BYTES)?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    /// A byte string of `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes()?.try_into().ok()
    }

    /// Succeeds when nothing is left.
    pub(crate) fn finish(self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }

    fn head(&mut self, major_type: u8) -> Option<u64> {
        let (first, rest) = self.rest.split_first()?;
        let (value, rest) = match first & 0x1f {
            value @ 0..24 => (u64::from(value), rest),
            code @ 24..28 => {
                let (bytes, rest) = rest.split_at_checked(1 << (code - 24))?;
                (bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)), rest)
            }
            _ => return None,
        };
        if first >> 5 != major_type || self.rest.len() - rest.len() != head_len(value) {
            return None;
        }
        self.rest = rest;
        Some(value)
    }
}

/// An array of items, which are deterministic when maps do not occur in them.
pub(crate) fn encoded(items: Vec<Value>) -> Vec<u8> {
    let mut out = Vec::new();
    let written = ciborium::into_writer(&Value::Array(items), &mut out);
    debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
    out
}

/// Length of the shortest encoding of an integer, or of what stands in front of a byte string of this length.
pub(crate) fn head_len(value: u64) -> usize {
    match value {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn library(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        ciborium::into_writer(value, &mut out).unwrap();
        out
    }

    /// Integers of every length.
    fn any_uint() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0u32..64).prop_map(|(value, shift)| value >> shift)
    }

    proptest! {
        #[test]
        fn reads_what_a_library_writes(value in any_uint(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let items = library(&Value::Array(vec![Value::Integer(value.into()), Value::Bytes(bytes.clone())]));
            let mut reader = Reader::new(&items);
            prop_assert_eq!(reader.items(), Some(2));
            prop_assert_eq!(reader.uint(), Some(value));
            prop_assert_eq!(reader.bytes(), Some(&bytes[..]));
            prop_assert_eq!(reader.finish(), Some(()));
            prop_assert_eq!(library(&Value::Integer(value.into())).len(), head_len(value));
        }

        #[test]
        fn an_integer_has_one_encoding(head in 0u8..32, bytes in any::<[u8; 8]>()) {
            let written = [&[head][..], &bytes].concat();
            let mut reader = Reader::new(&written);
            if let Some(value) = reader.uint() {
                let len = written.len() - reader.rest.len();
                prop_assert_eq!(&library(&Value::Integer(value.into())), &written[..len]);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(&bytes);
            let _ = (reader.clone().uint(), reader.clone().items(), reader.array::<3>(), reader.bytes());
            let _ = reader.finish();
        }
    }

    #[test]
    fn what_was_not_asked_for_is_not_read() {
        for (hex, what) in [
            ("", "nothing"),
            ("41", "cut short"),
            ("4100ff", "a byte after the end"),
            ("5801aa", "a length longer than needed"),
            ("5f4100ff", "a byte string in pieces"),
            ("5bffffffffffffffff", "more than there is"),
            ("6161", "text"),
            ("8100", "an array"),
        ] {
            let bytes = hex::decode(hex).unwrap();
            let mut reader = Reader::new(&bytes);
            assert!(reader.bytes().and_then(|_| reader.finish()).is_none(), "{what}");
        }
        assert_eq!(Reader::new(&[0x41, 7]).array(), Some([7]));
        assert_eq!(Reader::new(&[0x41, 7]).array::<2>(), None);
    }
}
