//! RSA identity keys: making, storing, signing, decrypting.
//!
//! The `rsa` crate makes keys and reads and writes their files. Signing and decrypting go through aws-lc-rs, which is
//! constant-time: both are done while peers can measure how long it takes (RUSTSEC-2023-0071).

use std::ops::RangeInclusive;

use aws_lc_rs::rsa::{KeyPair, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::RSA_PSS_SHA256;
use pkcs8::pkcs5::{self, EncryptionScheme, pbes2};
use pkcs8::{
    DecodePrivateKey, EncodePrivateKey, EncodePublicKey, EncryptedPrivateKeyInfoRef, LineEnding,
    PrivateKeyInfoRef, SecretDocument,
};
use rand::CryptoRng;
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};
use zeroize::Zeroizing;

use crate::types::NodeId;

/// Smallest modulus in bits.
pub const MIN_BITS: usize = 2048;
/// Largest modulus in bits: the identity record of such a key still fits one frame.
pub const MAX_BITS: usize = 4096;
/// Size of new keys in bits.
pub const DEFAULT_BITS: usize = 3072;

/// Longest key file that is looked at, in bytes. An RSA-4096 key in PEM has about 3,300.
const MAX_PEM: usize = 16 * 1024;

/// scrypt (RFC 7914) for new files: 32 MiB, about 0.2 s on a small computer.
const SCRYPT_LOG_N: u8 = 15;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 3;
const SALT_LEN: usize = 16;
const GCM_NONCE_LEN: usize = 12;

/// Bounds for the cost that a file may ask for: 256 MiB, eight passes; PBKDF2 ten million rounds.
const MAX_SCRYPT_MEMORY: u64 = 256 << 20;
const MAX_SCRYPT_P: u16 = 8;
const MAX_PBKDF2_ROUNDS: u32 = 10_000_000;

/// Why a key cannot be made, read or written. Each text says what helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a PKCS#8 private key in PEM.
    #[error("not a private key in PKCS#8 PEM ({0}); restore the file from a backup or create a new identity")]
    NotAKey(&'static str),
    /// PKCS#1 ("BEGIN RSA PRIVATE KEY").
    #[error("the key is in PKCS#1 form; convert it with `openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW`")]
    Pkcs1,
    /// The file is encrypted and no passphrase was given.
    #[error("the key is protected by a passphrase; give the passphrase")]
    PassphraseNeeded,
    /// The passphrase does not open the file.
    #[error("wrong passphrase, or the key file is damaged; try again, or restore the file from a backup")]
    WrongPassphrase,
    /// A key of another algorithm than RSA.
    #[error("the key is not an RSA key; MeshChat needs RSA with {MIN_BITS} to {MAX_BITS} bits")]
    NotRsa,
    /// Encryption that this program does not read, or one that would take too much memory or time.
    #[error("the key file's encryption is not supported; rewrite it with `openssl pkcs8 -topk8 -scrypt`")]
    UnsupportedEncryption,
    /// RSA, but too small, too large or of an odd length.
    #[error("an RSA key of {bits} bits is not supported; use {MIN_BITS} to {MAX_BITS} bits, in steps of 8")]
    UnsupportedSize {
        /// Length of the modulus in bits.
        bits: usize,
    },
    /// The numbers in the file do not make an RSA key.
    #[error("the RSA key is damaged; restore the file from a backup or create a new identity")]
    Damaged,
    /// The library failed to make or encode a key.
    #[error("the key could not be made or encoded; try again")]
    Failed,
}

/// A node's RSA private key. Memory that holds it is wiped when it is dropped.
pub struct IdentityKey {
    pkcs8: Zeroizing<Vec<u8>>,
    signer: KeyPair,
    opener: OaepPrivateDecryptingKey,
    spki: Vec<u8>,
    id: NodeId,
}

impl std::fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IdentityKey({})", self.id)
    }
}

/// Whether MeshChat accepts a modulus of this length. Whole bytes: every library agrees about the length of signatures.
pub fn check_bits(bits: usize) -> Result<(), KeyError> {
    const RANGE: RangeInclusive<usize> = MIN_BITS..=MAX_BITS;
    if RANGE.contains(&bits) && bits.is_multiple_of(8) {
        Ok(())
    } else {
        Err(KeyError::UnsupportedSize { bits })
    }
}

impl IdentityKey {
    /// Makes a key with a modulus of `bits`. Takes seconds.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R, bits: usize) -> Result<Self, KeyError> {
        check_bits(bits)?;
        Self::new(&RsaPrivateKey::new(rng, bits).map_err(|_| KeyError::Failed)?)
    }

    /// Reads a PKCS#8 PEM file's text (RFC 5958, RFC 7468). The passphrase is not used when the key is not encrypted.
    pub fn from_pem(text: &str, passphrase: Option<&str>) -> Result<Self, KeyError> {
        if text.len() > MAX_PEM {
            return Err(KeyError::NotAKey("it is too long"));
        }
        let (label, document) =
            SecretDocument::from_pem(text).map_err(|_| KeyError::NotAKey("it is not PEM"))?;
        match label {
            "PRIVATE KEY" => Self::from_pkcs8_der(document.as_bytes()),
            "ENCRYPTED PRIVATE KEY" => {
                let passphrase = passphrase.ok_or(KeyError::PassphraseNeeded)?;
                let plain = decrypt(document.as_bytes(), passphrase)?;
                // A mode without authentication turns a wrong passphrase into rubbish, sometimes.
                Self::from_pkcs8_der(plain.as_bytes()).map_err(|error| match error {
                    KeyError::NotAKey(_) => KeyError::WrongPassphrase,
                    other => other,
                })
            }
            "RSA PRIVATE KEY" => Err(KeyError::Pkcs1),
            _ => Err(KeyError::NotAKey("it holds something else")),
        }
    }

    /// Reads a PKCS#8 `PrivateKeyInfo`.
    fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let info =
            PrivateKeyInfoRef::try_from(der).map_err(|_| KeyError::NotAKey("its content is not PKCS#8"))?;
        if info.algorithm.oid != rsa::pkcs1::ALGORITHM_OID {
            return Err(KeyError::NotRsa);
        }
        // The size comes first: checking a key takes time that grows with the cube of its length.
        let key = rsa::pkcs1::RsaPrivateKeyRef::try_from(info.private_key.as_bytes())
            .map_err(|_| KeyError::Damaged)?;
        let modulus = key.modulus.as_bytes();
        check_bits(8 * modulus.len() - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize))?;
        Self::new(&RsaPrivateKey::from_pkcs8_der(der).map_err(|_| KeyError::Damaged)?)
    }

    fn new(key: &RsaPrivateKey) -> Result<Self, KeyError> {
        check_bits(key.n().bits() as usize)?;
        let pkcs8 = key.to_pkcs8_der().map_err(|_| KeyError::Failed)?.to_bytes();
        let signer = KeyPair::from_pkcs8(&pkcs8).map_err(|_| KeyError::Damaged)?;
        let opener = PrivateDecryptingKey::from_pkcs8(&pkcs8).map_err(|_| KeyError::Damaged)?;
        let opener = OaepPrivateDecryptingKey::new(opener).map_err(|_| KeyError::Damaged)?;
        let spki = RsaPublicKey::from(key).to_public_key_der().map_err(|_| KeyError::Failed)?.into_vec();
        let id = NodeId::of_public_key(&spki);
        Ok(Self { pkcs8, signer, opener, spki, id })
    }

    /// PKCS#8 PEM; with a passphrase encrypted with PBES2 (RFC 8018): scrypt and AES-256-GCM.
    pub fn to_pem<R: CryptoRng + ?Sized>(
        &self,
        passphrase: Option<&str>,
        rng: &mut R,
    ) -> Result<Zeroizing<String>, KeyError> {
        let plain = SecretDocument::try_from(self.pkcs8.as_slice()).map_err(|_| KeyError::Failed)?;
        let (label, document) = match passphrase {
            None => ("PRIVATE KEY", plain),
            Some(passphrase) => ("ENCRYPTED PRIVATE KEY", encrypt(&self.pkcs8, passphrase, rng)?),
        };
        document.to_pem(label, LineEnding::LF).map_err(|_| KeyError::Failed)
    }

    /// The private key as PKCS#8 DER, for the TLS layer.
    pub fn pkcs8_der(&self) -> &Zeroizing<Vec<u8>> {
        &self.pkcs8
    }

    /// The public key as DER `SubjectPublicKeyInfo` (RFC 5280, section 4.1).
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The public key as PEM, for people and other programs.
    pub fn public_pem(&self) -> Result<String, KeyError> {
        let document = pkcs8::Document::try_from(self.spki.as_slice()).map_err(|_| KeyError::Failed)?;
        document.to_pem("PUBLIC KEY", LineEnding::LF).map_err(|_| KeyError::Failed)
    }

    /// The id that this key certifies.
    pub fn node_id(&self) -> NodeId {
        self.id
    }

    /// Length of signatures in bytes.
    pub fn signature_len(&self) -> usize {
        self.signer.public_modulus_len()
    }

    /// Signs with RSASSA-PSS, SHA-256, MGF1 with SHA-256, a salt of 32 bytes: PS256 of RFC 8230, section 2.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signature = vec![0; self.signature_len()];
        let random = aws_lc_rs::rand::SystemRandom::new();
        self.signer.sign(&RSA_PSS_SHA256, &random, message, &mut signature).map_err(|_| KeyError::Failed)?;
        Ok(signature)
    }

    /// Decrypts what [`PublicKey::encrypt`](super::PublicKey::encrypt) made with the public key. `None` says no more than
    /// that it did not: to tell why would help who tries.
    pub fn decrypt(&self, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        if ciphertext.len() != self.opener.key_size_bytes() {
            return None;
        }
        let mut plaintext = Zeroizing::new(vec![0; self.opener.min_output_size()]);
        let len = self.opener.decrypt(&OAEP_SHA256_MGF1SHA256, ciphertext, &mut plaintext, None).ok()?.len();
        plaintext.truncate(len);
        Some(plaintext)
    }
}

fn encrypt<R: CryptoRng + ?Sized>(
    der: &[u8],
    passphrase: &str,
    rng: &mut R,
) -> Result<SecretDocument, KeyError> {
    let (mut salt, mut nonce) = ([0; SALT_LEN], [0; GCM_NONCE_LEN]);
    rng.fill_bytes(&mut salt);
    rng.fill_bytes(&mut nonce);
    let cost = pkcs5::scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P).map_err(|_| KeyError::Failed)?;
    let parameters = pbes2::Parameters::scrypt_aes256gcm(cost, &salt, nonce).map_err(|_| KeyError::Failed)?;
    let info = PrivateKeyInfoRef::try_from(der).map_err(|_| KeyError::Failed)?;
    info.encrypt_with_params(parameters, passphrase).map_err(|_| KeyError::Failed)
}

fn decrypt(der: &[u8], passphrase: &str) -> Result<SecretDocument, KeyError> {
    let info = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| KeyError::UnsupportedEncryption)?;
    check_cost(&info.encryption_algorithm)?;
    info.decrypt(passphrase).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(
            pkcs5::Error::UnsupportedAlgorithm { .. }
            | pkcs5::Error::AlgorithmParametersInvalid { .. }
            | pkcs5::Error::NoPbes1CryptSupport,
        ) => KeyError::UnsupportedEncryption,
        _ => KeyError::WrongPassphrase,
    })
}

/// A file may not make this program allocate or compute without bound, nor trip the library over a cost of zero.
fn check_cost(scheme: &EncryptionScheme) -> Result<(), KeyError> {
    let kdf = scheme.pbes2().map(|parameters| &parameters.kdf).ok_or(KeyError::UnsupportedEncryption)?;
    let acceptable = if let Some(scrypt) = kdf.scrypt() {
        let cost = scrypt.cost_parameter;
        let memory = cost.saturating_mul(128 * u64::from(scrypt.block_size));
        cost >= 2
            && cost.is_power_of_two()
            && memory <= MAX_SCRYPT_MEMORY
            && scrypt.parallelization <= MAX_SCRYPT_P
    } else {
        kdf.pbkdf2().is_some_and(|pbkdf2| pbkdf2.iteration_count <= MAX_PBKDF2_ROUNDS)
    };
    if acceptable { Ok(()) } else { Err(KeyError::UnsupportedEncryption) }
}

#[cfg(test)]
mod tests;
