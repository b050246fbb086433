//! RSA public keys of others.

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use pkcs8::{DecodePublicKey, EncodePublicKey};
use rsa::RsaPublicKey;
use rsa::traits::PublicKeyParts;

use super::keys::{KeyError, check_bits};
use crate::types::NodeId;

/// Bytes that are not a public key as nodes have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RSA public key of an accepted size in its only DER form")]
pub struct PublicKeyError;

/// A signature that the key did not make over the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not valid")]
pub struct BadSignature;

/// A node's RSA public key. The bound on its size bounds the time that working with it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    spki: Vec<u8>,
    id: NodeId,
}

impl PublicKey {
    /// Reads a DER `SubjectPublicKeyInfo` (RFC 5280, section 4.1).
    pub fn from_spki(spki: &[u8]) -> Result<Self, PublicKeyError> {
        let key = RsaPublicKey::from_public_key_der(spki).map_err(|_| PublicKeyError)?;
        check_bits(key.n().bits() as usize).map_err(|_| PublicKeyError)?;
        if key.to_public_key_der().is_ok_and(|der| der.as_bytes() == spki) {
            Ok(Self { spki: spki.to_vec(), id: NodeId::of_public_key(spki) })
        } else {
            Err(PublicKeyError)
        }
    }

    /// The key as DER `SubjectPublicKeyInfo`.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The id that this key certifies.
    pub fn node_id(&self) -> NodeId {
        self.id
    }

    /// Checks a signature of [`IdentityKey::sign`](super::IdentityKey::sign).
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, &self.spki);
        key.verify(message, signature).map_err(|_| BadSignature)
    }

    /// Encrypts up to 190 bytes with RSAES-OAEP, SHA-256, MGF1 with SHA-256, no label: alg -41 of RFC 8230, section 3.
    /// [`IdentityKey::decrypt`](super::IdentityKey::decrypt) undoes it.
    pub fn encrypt(&self, plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        let key = PublicEncryptingKey::from_der(&self.spki).map_err(|_| KeyError::Failed)?;
        let key = OaepPublicEncryptingKey::new(key).map_err(|_| KeyError::Failed)?;
        let mut ciphertext = vec![0; key.ciphertext_size()];
        key.encrypt(&OAEP_SHA256_MGF1SHA256, plaintext, &mut ciphertext, None)
            .map_err(|_| KeyError::Failed)?;
        Ok(ciphertext)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::identity::IdentityKey;
    use proptest::prelude::*;

    const KEY_2048: &str = include_str!("../../../tests/keys/message/rsa2048.pem");

    fn spki(pem: &str) -> Vec<u8> {
        use pkcs8::DecodePrivateKey;
        let private = rsa::RsaPrivateKey::from_pkcs8_pem(pem).unwrap();
        RsaPublicKey::from(&private).to_public_key_der().unwrap().into_vec()
    }

    #[test]
    fn only_keys_of_an_accepted_size_in_one_form_are_looked_at() {
        let small = spki(include_str!("../../../tests/keys/message/rsa1024.pem"));
        assert_eq!(PublicKey::from_spki(&small), Err(PublicKeyError));
        let mut good = spki(KEY_2048);
        assert_eq!(PublicKey::from_spki(&good).unwrap().spki_der(), good);
        good.push(0);
        assert_eq!(PublicKey::from_spki(&good), Err(PublicKeyError));
    }

    #[test]
    fn what_a_key_seals_its_owner_opens() {
        for (pem, len) in [(KEY_2048, 256), (include_str!("../../../tests/keys/message/rsa4096.pem"), 512)] {
            let private = IdentityKey::from_pem(pem, None).unwrap();
            let public = PublicKey::from_spki(private.spki_der()).unwrap();
            assert_eq!(public.node_id(), private.node_id());
            for plaintext in [&b""[..], b"secret", &[7; 190]] {
                let ciphertext = public.encrypt(plaintext).unwrap();
                assert_eq!(ciphertext.len(), len);
                assert_eq!(private.decrypt(&ciphertext).unwrap().as_slice(), plaintext);
            }
        }
    }

    #[test]
    fn what_was_sealed_for_another_or_changed_is_not_opened() {
        let mine = IdentityKey::from_pem(KEY_2048, None).unwrap();
        let other =
            IdentityKey::from_pem(include_str!("../../../tests/keys/message/rsa2048b.pem"), None).unwrap();
        let mut ciphertext = PublicKey::from_spki(mine.spki_der()).unwrap().encrypt(b"secret").unwrap();
        assert!(other.decrypt(&ciphertext).is_none());
        for len in [0, 255] {
            assert!(mine.decrypt(&ciphertext[..len]).is_none());
        }
        assert!(mine.decrypt(&[&ciphertext[..], &[0]].concat()).is_none());
        assert!(mine.decrypt(&[0xff; 256]).is_none(), "more than the modulus");
        ciphertext[255] ^= 1;
        assert!(mine.decrypt(&ciphertext).is_none());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(PublicKey::from_spki(&bytes).is_err());
        }
    }
}
