//! The key that makes a mesh private.

use std::fmt;

use rand::CryptoRng;
use zeroize::Zeroizing;

/// The secret that all nodes of a private mesh share. Wiped when it is dropped, and never shown.
///
/// Its text form, that of a key file, is one line of 64 hexadecimal digits.
#[derive(Clone)]
pub struct NetworkKey(Zeroizing<[u8; Self::LEN]>);

/// Why a text is no network key. Tells nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkKeyError {
    /// Too short, too long, or with other characters.
    #[error(
        "not a network key: one line of 64 hexadecimal digits is expected; copy the file of another node of this mesh \
         unchanged, or make a new key with `openssl rand -hex 32` and give it to all nodes"
    )]
    Malformed,
    /// All bytes are equal: surely nobody drew that at random.
    #[error("this network key can be guessed: all its bytes are equal; make one with `openssl rand -hex 32`")]
    Trivial,
}

impl NetworkKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Reads the text form; white space around the line is ignored.
    pub fn parse(text: &str) -> Result<Self, NetworkKeyError> {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        hex::decode_to_slice(text.trim_ascii(), &mut bytes[..]).map_err(|_| NetworkKeyError::Malformed)?;
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(NetworkKeyError::Trivial);
        }
        Ok(Self(bytes))
    }

    /// Draws a new key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        rng.fill_bytes(&mut bytes[..]);
        Self(bytes)
    }

    /// The text form, with a line feed at its end.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * Self::LEN + 1));
        for byte in self.0.iter() {
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(digit.into(), 16));
            }
        }
        text.push('\n');
        text
    }

    pub(super) fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn the_text_form_round_trips() {
        let key = NetworkKey::generate(&mut StdRng::from_seed([1; 32]));
        let text = key.to_text();
        assert_eq!(text.len(), 65);
        for text in [text.to_string(), text.trim().to_owned(), format!(" {}\r\n", text.trim().to_uppercase())]
        {
            assert_eq!(NetworkKey::parse(&text).unwrap().as_bytes(), key.as_bytes());
        }
        assert_eq!(format!("{key:?}"), "NetworkKey");
    }

    #[test]
    fn bad_texts_are_refused_and_explained() {
        let good = NetworkKey::generate(&mut StdRng::from_seed([1; 32])).to_text();
        let good = good.trim();
        let two = format!("{good}\n{good}");
        for text in
            ["", "\n", "secret", &good[1..], &format!("{good}0"), &two, &"g".repeat(64), &"é".repeat(32)]
        {
            let error = NetworkKey::parse(text).unwrap_err();
            assert_eq!(error, NetworkKeyError::Malformed, "{text}");
            assert!(error.to_string().contains("64 hexadecimal digits"));
        }
        for text in ["00".repeat(32), "ff".repeat(32)] {
            assert_eq!(NetworkKey::parse(&text).unwrap_err(), NetworkKeyError::Trivial);
        }
    }
}
