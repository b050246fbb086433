//! Addresses of AlexMesh v1.

use std::fmt;
use std::str::FromStr;

/// A text that is not the address of a v1 node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the address of a v1 node, which looks like v1:02:00:5e:10:00:01")]
pub struct ParseV1AddressError;

/// Address of a node that speaks AlexMesh v1: the MAC address of its interface. It proves nothing about who uses it.
///
/// Its text is `v1:aa:bb:cc:dd:ee:ff`. Upper case, `-` for `:` and a missing `v1:` are understood as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct V1Address(pub [u8; V1Address::LEN]);

impl V1Address {
    /// Length in bytes.
    pub const LEN: usize = 6;

    /// The destination "every node".
    pub const EVERYONE: Self = Self([0; Self::LEN]);

    /// The bytes of the address.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Whether this can be the address of one station: neither [`V1Address::EVERYONE`] nor a group address of
    /// Ethernet (IEEE 802: the lowest bit of the first byte).
    pub fn is_station(&self) -> bool {
        self.0[0] & 1 == 0 && *self != Self::EVERYONE
    }
}

impl fmt::Display for V1Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("v1")?;
        self.0.iter().try_for_each(|byte| write!(f, ":{byte:02x}"))
    }
}

impl fmt::Debug for V1Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "V1Address({self})")
    }
}

impl FromStr for V1Address {
    type Err = ParseV1AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = match text.split_at_checked(3) {
            Some((prefix, digits)) if prefix.eq_ignore_ascii_case("v1:") => digits,
            _ => text,
        };
        let mut parts = digits.split(if digits.contains('-') { '-' } else { ':' });
        let mut bytes = [0; Self::LEN];
        for byte in &mut bytes {
            let part = parts.next().ok_or(ParseV1AddressError)?;
            hex::decode_to_slice(part, std::slice::from_mut(byte)).map_err(|_| ParseV1AddressError)?;
        }
        if parts.next().is_some() { Err(ParseV1AddressError) } else { Ok(Self(bytes)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_addresses() {
        let address = V1Address([0x02, 0, 0x5e, 0x10, 0xab, 0xff]);
        assert_eq!(address.to_string(), "v1:02:00:5e:10:ab:ff");
        for text in [
            "v1:02:00:5e:10:ab:ff",
            "V1:02:00:5E:10:AB:FF",
            "02:00:5e:10:ab:ff",
            "02-00-5e-10-AB-ff",
            "v1:02-00-5e-10-ab-ff",
        ] {
            assert_eq!(text.parse(), Ok(address), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "v1:",
            "v1",
            "02:00:5e:10:ab",
            "02:00:5e:10:ab:ff:01",
            "2:0:5e:10:ab:ff",
            "02:00:5e:10:ab:fg",
            "02-00:5e-10:ab-ff",
            "02005e10abff",
            "v2:02:00:5e:10:ab:ff",
            " 02:00:5e:10:ab:ff",
            "é2:00:5e:10:ab:ff",
            "02:00:5e:10:ab:",
            "v1:v1:02:00:5e:10:ab:ff",
        ] {
            assert_eq!(text.parse::<V1Address>(), Err(ParseV1AddressError), "{text:?}");
        }
    }

    #[test]
    fn groups_are_no_stations() {
        assert!(V1Address([0x02, 0, 0, 0, 0, 1]).is_station());
        for group in [[0; 6], [0xff; 6], [0x01, 0, 0x5e, 0, 0, 1], [0x03, 0x4d, 0x53, 0x48, 0x88, 0xb5]] {
            assert!(!V1Address(group).is_station());
        }
    }
}
