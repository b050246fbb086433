//! From the network key to the key of a session: HKDF-SHA-256 (RFC 5869), then AES-256-GCM (NIST SP 800-38D).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use zeroize::Zeroizing;

use super::key::NetworkKey;
use crate::wire::sealed::{SealedHeader, SessionId};

const SALT: &[u8] = b"AlexMesh v2 private mesh";
const LABEL: &[u8] = b"sealed frames";

/// Length of an AES-256 key.
struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

/// Derives the keys of sessions.
#[derive(Debug)]
pub(super) struct Schedule {
    extracted: Prk,
}

impl Schedule {
    pub(super) fn new(key: &NetworkKey) -> Self {
        Self { extracted: Salt::new(HKDF_SHA256, SALT).extract(key.as_bytes()) }
    }

    pub(super) fn session_key(&self, session: SessionId) -> Result<SessionKey, Unspecified> {
        let mut key = Zeroizing::new([0; 32]);
        self.extracted.expand(&[LABEL, &session.0], KeyLength)?.fill(&mut key[..])?;
        Ok(SessionKey(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key[..])?)))
    }
}

/// Protects the frames of one session.
#[derive(Debug)]
pub(super) struct SessionKey(LessSafeKey);

/// Four zero bytes and the counter: unique as long as the session does not repeat a counter.
fn nonce(header: &SealedHeader) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&header.counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

impl SessionKey {
    /// Encrypts in place; `clear` are the bytes of the header.
    pub(super) fn seal(
        &self,
        header: &SealedHeader,
        clear: &[u8],
        plaintext: &mut [u8],
    ) -> Result<Tag, Unspecified> {
        self.0.seal_in_place_separate_tag(nonce(header), Aad::from(clear), plaintext)
    }

    /// Decrypts in place; the tag is at the end of `body`. On failure the bytes of `body` are worthless.
    pub(super) fn open<'a>(
        &self,
        header: &SealedHeader,
        clear: &[u8],
        body: &'a mut [u8],
    ) -> Result<&'a mut [u8], Unspecified> {
        self.0.open_in_place(nonce(header), Aad::from(clear), body)
    }
}
