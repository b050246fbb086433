//! The identity record: what a node's RSA key certifies for the day-to-day work.
//!
//! A tagged COSE_Sign1 (RFC 9052, section 4.2) with the protected header `{1: -37}` (PS256, RFC 8230), an empty
//! unprotected header, the external AAD [`AAD`], and this payload as deterministic CBOR:
//!
//! ```text
//! [version = 1, public key: bstr (SPKI), nickname: tstr / null, subkey: bstr .size 32, capabilities: uint,
//!  number: uint, issued: uint (ms), valid until: uint (ms)]
//! ```

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use ciborium::Value;
use coset::{
    CborSerializable as _, CoseSign1, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable as _, iana,
};

use super::keys::{IdentityKey, KeyError};
use super::public::PublicKey;
use crate::types::{Address, Nickname, NodeId, UnixTime};

/// Longest record in bytes: with the frame's header it fits Ethernet.
pub const MAX_RECORD_LEN: usize = 1300;

/// Length of an Ed25519 public key in bytes.
pub const SUBKEY_LEN: usize = 32;

/// Length of an Ed25519 signature in bytes.
pub const SIGNATURE_LEN: usize = 64;

const AAD: &[u8] = b"MeshChat identity record v1";
const VERSION: u64 = 1;

/// Why bytes are not the identity record of the expected node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// More than [`MAX_RECORD_LEN`] bytes.
    #[error("the identity record has {0} bytes, more than {MAX_RECORD_LEN}")]
    TooLong(usize),
    /// Not a record of this version in its only encoding.
    #[error("malformed identity record: {0}")]
    Malformed(&'static str),
    /// The key in the record is another node's.
    #[error("the identity record belongs to another node")]
    WrongNode,
    /// The signature does not fit.
    #[error("the signature of the identity record is not valid")]
    BadSignature,
}

/// The Ed25519 key (RFC 8032) of one run of a node.
#[derive(Debug)]
pub struct Subkey(Ed25519KeyPair);

impl Subkey {
    /// The key that belongs to a seed; the seed must come from a good source of randomness, freshly at each start.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| KeyError::Failed)
    }

    /// The public key, as it stands in the identity record.
    pub fn public_key(&self) -> Result<[u8; SUBKEY_LEN], KeyError> {
        self.0.public_key().as_ref().try_into().map_err(|_| KeyError::Failed)
    }

    /// Signs with Ed25519.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut signature = [0; SIGNATURE_LEN];
        signature.copy_from_slice(self.0.sign(message).as_ref());
        signature
    }

    /// Checks a signature made with the subkey of which this is the public key.
    pub fn verify(public_key: &[u8; SUBKEY_LEN], message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
    }
}

/// Capability: the node keeps sealed envelopes for others, see "The post" in docs/PROTOCOL.md.
pub const CAPABILITY_MAILBOX: u64 = 1;

/// What a node says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFields {
    /// The name it chose, if any. Nobody vouches for it.
    pub nickname: Option<Nickname>,
    /// Public key of its [`Subkey`].
    pub subkey: [u8; SUBKEY_LEN],
    /// Bit set of what it offers: [`CAPABILITY_MAILBOX`]. The other bits are 0 for now.
    pub capabilities: u64,
    /// Grows with every record of this node; the larger number replaces the smaller.
    pub number: u64,
    /// When it was signed, by the node's clock.
    pub issued: UnixTime,
    /// When it stops being valid, by the node's clock.
    pub valid_until: UnixTime,
}

/// A record whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRecord {
    /// The node, as certified by its key.
    pub id: NodeId,
    /// Its RSA public key as DER `SubjectPublicKeyInfo`.
    pub public_key: Vec<u8>,
    /// The rest.
    pub fields: RecordFields,
}

impl IdentityRecord {
    /// Signs a record; the result is what travels.
    pub fn sign(key: &IdentityKey, fields: &RecordFields) -> Result<Vec<u8>, KeyError> {
        CoseSign1Builder::new()
            .protected(HeaderBuilder::new().algorithm(iana::Algorithm::PS256).build())
            .payload(payload(key.spki_der(), fields))
            .try_create_signature(AAD, |message| key.sign(message))?
            .build()
            .to_tagged_vec()
            .map_err(|_| KeyError::Failed)
    }

    /// Checks a record that claims to come from `expected`. Cheap checks come first; the signature comes last.
    ///
    /// Whether the record is still valid is not decided here ([`IdentityRecord::is_valid_at`]): clocks of isolated
    /// nodes are often wrong.
    pub fn verify(bytes: &[u8], expected: Address) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD_LEN {
            return Err(RecordError::TooLong(bytes.len()));
        }
        let sign1 =
            CoseSign1::from_tagged_slice(bytes).map_err(|_| RecordError::Malformed("not COSE_Sign1"))?;
        check_container(&sign1, bytes)?;
        let content = sign1.payload.as_deref().ok_or(RecordError::Malformed("payload"))?;
        let record = parse_payload(content)?;
        if record.id.address() != expected {
            return Err(RecordError::WrongNode);
        }
        let key =
            PublicKey::from_spki(&record.public_key).map_err(|_| RecordError::Malformed("public key"))?;
        sign1
            .verify_signature(AAD, |signature, message| key.verify(message, signature))
            .map_err(|_| RecordError::BadSignature)?;
        Ok(record)
    }

    /// Whether the record has not run out at `now`.
    pub fn is_valid_at(&self, now: UnixTime) -> bool {
        now < self.fields.valid_until
    }
}

fn payload(spki: &[u8], fields: &RecordFields) -> Vec<u8> {
    let number = |n: u64| Value::Integer(n.into());
    let nickname = fields.nickname.as_ref().map_or(Value::Null, |name| Value::Text(name.as_str().to_owned()));
    let items = Value::Array(vec![
        number(VERSION),
        Value::Bytes(spki.to_vec()),
        nickname,
        Value::Bytes(fields.subkey.to_vec()),
        number(fields.capabilities),
        number(fields.number),
        number(fields.issued.as_millis()),
        number(fields.valid_until.as_millis()),
    ]);
    items.to_vec().unwrap_or_default()
}

/// One encoding only: the protected header is exactly PS256, nothing is unprotected, nothing is encoded otherwise.
fn check_container(sign1: &CoseSign1, bytes: &[u8]) -> Result<(), RecordError> {
    const PROTECTED: &[u8] = &[0xa1, 0x01, 0x38, 0x24];
    if sign1.protected.original_data.as_deref() != Some(PROTECTED) || !sign1.unprotected.is_empty() {
        return Err(RecordError::Malformed("headers"));
    }
    match sign1.clone().to_tagged_vec() {
        Ok(canonical) if canonical == bytes => Ok(()),
        _ => Err(RecordError::Malformed("encoding")),
    }
}

fn parse_payload(content: &[u8]) -> Result<IdentityRecord, RecordError> {
    let malformed = RecordError::Malformed;
    let items = match Value::from_slice(content) {
        Ok(Value::Array(items)) => items,
        _ => return Err(malformed("payload")),
    };
    let items: [Value; 8] = items.try_into().map_err(|_| malformed("payload"))?;
    let [version, spki, nickname, subkey, capabilities, number, issued, valid_until] = items;
    let number_of =
        |value: &Value, field| value.as_integer().and_then(|n| u64::try_from(n).ok()).ok_or(malformed(field));
    if number_of(&version, "version")? != VERSION {
        return Err(malformed("version"));
    }
    let nickname = match nickname {
        Value::Null => None,
        Value::Text(name) => Some(name.parse().map_err(|_| malformed("nickname"))?),
        _ => return Err(malformed("nickname")),
    };
    let public_key = spki.into_bytes().map_err(|_| malformed("public key"))?;
    let subkey = subkey.into_bytes().ok().and_then(|key| key.try_into().ok()).ok_or(malformed("subkey"))?;
    let fields = RecordFields {
        nickname,
        subkey,
        capabilities: number_of(&capabilities, "capabilities")?,
        number: number_of(&number, "number")?,
        issued: UnixTime::from_millis(number_of(&issued, "issued")?),
        valid_until: UnixTime::from_millis(number_of(&valid_until, "valid until")?),
    };
    if fields.issued >= fields.valid_until {
        return Err(malformed("valid until"));
    }
    if payload(&public_key, &fields) != content {
        return Err(malformed("encoding"));
    }
    Ok(IdentityRecord { id: NodeId::of_public_key(&public_key), public_key, fields })
}

#[cfg(test)]
mod tests;
