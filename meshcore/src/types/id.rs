//! Identifiers of nodes and messages.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// A text that is not the hexadecimal form of an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id: {expected} hexadecimal digits are expected")]
pub struct ParseIdError {
    expected: usize,
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The bytes of the identifier.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| ParseIdError { expected: 2 * $len })?;
                Ok(Self(bytes))
            }
        }

        impl From<[u8; $len]> for $name {
            fn from(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = ParseIdError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                let bytes = bytes.try_into().map_err(|_| ParseIdError { expected: 2 * $len })?;
                Ok(Self(bytes))
            }
        }
    };
}

id_type! {
    /// NODE_ID: SHA-256 of the DER `SubjectPublicKeyInfo` of a node's RSA key.
    NodeId, 32
}

id_type! {
    /// Address in AlexMesh frames: the first 16 bytes of the [`NodeId`].
    Address, 16
}

id_type! {
    /// Identifier of a message, chosen at random by its sender; unique together with the sender.
    MessageId, 16
}

id_type! {
    /// Identifier of a file that is sent, chosen at random.
    FileId, 16
}

impl NodeId {
    /// The id that a public key certifies. `spki` is a DER `SubjectPublicKeyInfo`.
    pub fn of_public_key(spki: &[u8]) -> Self {
        Self(Sha256::digest(spki).into())
    }

    /// The address of this node in frames.
    pub fn address(&self) -> Address {
        let mut bytes = [0; Address::LEN];
        bytes.copy_from_slice(&self.0[..Address::LEN]);
        Address(bytes)
    }

    /// The last five hexadecimal digits: the short name of a node without a nickname.
    pub fn short(&self) -> String {
        let text = self.to_string();
        text[text.len() - 5..].to_owned()
    }
}

impl Address {
    /// The destination "everyone in reach of the link".
    pub const EVERYONE: Self = Self([0xff; 16]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_text_round_trips() {
        let id = NodeId::of_public_key(b"key");
        assert_eq!(id.to_string().len(), 64);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        assert!(id.to_string().ends_with(&id.short()));
        assert_eq!(id.address().as_bytes(), &id.0[..16]);
    }

    #[test]
    fn bad_id_text_is_refused() {
        for text in ["", "abc", "zz", &"g".repeat(64), &"a".repeat(63), &"é".repeat(32)] {
            assert!(text.parse::<NodeId>().is_err(), "{text}");
        }
        assert!(NodeId::try_from(&[0u8; 31][..]).is_err());
    }
}
