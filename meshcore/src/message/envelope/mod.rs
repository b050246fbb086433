//! The sealed envelope: a message that others may keep for its recipient, who alone can open it and see who wrote it.
//!
//! A tagged COSE_Encrypt (RFC 9052, section 5.1), AES-256-GCM with a fresh key that RSAES-OAEP (RFC 8230, alg -41) wraps
//! for the recipient. Its plaintext is a tagged COSE_Sign1 (section 4.2) by the sender, PS256 with an external AAD of its
//! own, and the payload of that is deterministic CBOR:
//!
//! ```text
//! [version = 1, recipient: bstr .size 32 (NODE_ID), sender: bstr (SPKI), id: bstr .size 16, sent at: uint (ms),
//!  kind: uint .le 255, content: bstr, padding: bstr of zeros]
//! ```
//!
//! The recipient stands under the signature, so that nobody can pass a message on as if it had been written to another.

mod padding;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ciborium::Value;
use coset::{
    CborSerializable as _, CoseEncryptBuilder, CoseRecipientBuilder, CoseSign1Builder, EncryptionContext,
    Header, HeaderBuilder, ProtectedHeader, SignatureContext, TaggedCborSerializable as _,
    enc_structure_data, iana, sig_structure_data,
};
use rand::CryptoRng;
use zeroize::Zeroizing;

use self::padding::MAX_PLAINTEXT;
use super::identity::{IdentityKey, PublicKey};
use crate::types::{MessageId, NodeId, UnixTime};
use crate::wire::Malformed;
use crate::wire::cbor::Reader;
pub use crate::wire::content::Content;
pub use crate::wire::content::MAX_TEXT;

/// Longest envelope in bytes: the longest plaintext for the largest key.
pub const MAX_ENVELOPE_LEN: usize = MAX_PLAINTEXT + 565;

const AAD: &[u8] = b"MeshChat envelope v1";
const VERSION: u64 = 1;
const ITEMS: u64 = 8;
const KEY_LEN: usize = 32;

/// COSE_Encrypt up to its IV: tag 96, four items, the protected header `{1: 3}`, and `{5:` before the IV.
const BEFORE_IV: &[u8] = &[0xd8, 0x60, 0x84, 0x43, 0xa1, 0x01, 0x03, 0xa1, 0x05];
/// One recipient of three items: no protected header, `{1: -41}`.
const BEFORE_KEY: &[u8] = &[0x81, 0x83, 0x40, 0xa1, 0x01, 0x38, 0x28];
/// COSE_Sign1 up to its payload: tag 18, four items, the protected header `{1: -37}`, no unprotected one.
const BEFORE_PAYLOAD: &[u8] = &[0xd2, 0x84, 0x44, 0xa1, 0x01, 0x38, 0x24, 0xa0];

/// What is written in an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Chosen at random by the sender, unique together with the sender.
    pub id: MessageId,
    /// The sender's clock when it was written.
    pub sent_at: UnixTime,
    /// The rest.
    pub content: Content,
}

/// Why something cannot be sealed: the caller's mistake, but for the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// An empty text, or one of more than [`MAX_TEXT`] bytes.
    #[error("the text has {0} bytes; 1 to {MAX_TEXT} can be sealed")]
    TextLength(usize),
    /// Content that its recipient would refuse, or of a kind that nobody knows.
    #[error("content of the kind {0} cannot be sealed as it is")]
    Content(u8),
    /// The library failed to sign or encrypt.
    #[error("the envelope could not be signed or encrypted; try again")]
    Failed,
}

/// Why bytes are no letter to this node, by who is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// More than [`MAX_ENVELOPE_LEN`] bytes; by whoever handed it over.
    #[error("the envelope has {0} bytes, more than {MAX_ENVELOPE_LEN}")]
    TooLong(usize),
    /// Not an envelope in its only encoding; by whoever handed it over.
    #[error("malformed envelope: {0}")]
    Malformed(&'static str),
    /// Sealed for another key, or changed; by whoever handed it over.
    #[error("the envelope was sealed for another node, or changed on the way")]
    NotOpened,
    /// Sealed for this node, with something else than a letter in it; by whoever sealed it, who stays unknown.
    #[error("malformed letter in the envelope: {0}")]
    MalformedLetter(&'static str),
    /// Sealed for this node in a later version of the format: nobody's fault, unless it is made up.
    #[error("the letter in the envelope has version {0}; update MeshChat")]
    Version(u64),
    /// Written to another node, and sealed for this one by whoever had it; its sender is not to blame.
    #[error("the letter in the envelope was written to another node")]
    OtherRecipient,
    /// The named sender did not sign it; by whoever sealed it, who stays unknown.
    #[error("the signature of the letter in the envelope is not valid")]
    BadSignature,
}

/// A letter that was opened, from the node that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Who signed it to this node.
    pub sender: PublicKey,
    /// What was signed.
    pub letter: Letter,
}

impl Envelope {
    /// Signs a letter and seals it; the result is what travels. The key and nonce of the content come from `rng`.
    pub fn seal<R: CryptoRng + ?Sized>(
        sender: &IdentityKey,
        recipient: &PublicKey,
        letter: &Letter,
        rng: &mut R,
    ) -> Result<Vec<u8>, SealError> {
        let (kind, content) = (letter.content.kind(), letter.content.bytes());
        match (&letter.content, Content::parse(kind, &content)) {
            (Content::Text(text), Err(_)) => return Err(SealError::TextLength(text.len())),
            (Content::Unknown(kind), _) => return Err(SealError::Content(*kind)),
            (_, Err(_)) => return Err(SealError::Content(kind)),
            (_, Ok(_)) => {}
        }
        let payload = |padding| payload(recipient.node_id(), sender, letter, kind, &content, padding);
        let padding = padding::len(payload(0).len(), sender.signature_len()).ok_or(SealError::Failed)?;
        encrypt(recipient, &sign(sender, payload(padding))?, rng)
    }

    /// Opens what was sealed for `recipient`. Cheap checks come first; at most one operation with the private key is
    /// done, and then one with the sender's public key.
    ///
    /// An envelope can be handed over any number of times; by sender and id one tells whether its letter is known.
    pub fn open(recipient: &IdentityKey, bytes: &[u8]) -> Result<Self, OpenError> {
        if bytes.len() > MAX_ENVELOPE_LEN {
            return Err(OpenError::TooLong(bytes.len()));
        }
        let plaintext = decrypt(recipient, &Sealed::parse(bytes)?)?;
        let signed = Signed::parse(&plaintext)?;
        if signed.recipient != recipient.node_id() {
            return Err(OpenError::OtherRecipient);
        }
        let sender = PublicKey::from_spki(signed.sender).map_err(|_| OpenError::MalformedLetter("sender"))?;
        let message =
            sig_structure_data(SignatureContext::CoseSign1, protected(PS256), None, AAD, signed.payload);
        sender.verify(&message, signed.signature).map_err(|_| OpenError::BadSignature)?;
        Ok(Self { sender, letter: signed.letter })
    }
}

const PS256: iana::Algorithm = iana::Algorithm::PS256;
const A256GCM: iana::Algorithm = iana::Algorithm::A256GCM;
const RSAES_OAEP: iana::Algorithm = iana::Algorithm::RSAES_OAEP_SHA_256;

fn header(algorithm: iana::Algorithm) -> Header {
    HeaderBuilder::new().algorithm(algorithm).build()
}

fn protected(algorithm: iana::Algorithm) -> ProtectedHeader {
    ProtectedHeader { original_data: None, header: header(algorithm) }
}

fn payload(
    recipient: NodeId,
    sender: &IdentityKey,
    letter: &Letter,
    kind: u8,
    content: &[u8],
    padding: usize,
) -> Vec<u8> {
    let number = |n: u64| Value::Integer(n.into());
    let items = Value::Array(vec![
        number(VERSION),
        Value::Bytes(recipient.0.to_vec()),
        Value::Bytes(sender.spki_der().to_vec()),
        Value::Bytes(letter.id.0.to_vec()),
        number(letter.sent_at.as_millis()),
        number(kind.into()),
        Value::Bytes(content.to_vec()),
        Value::Bytes(vec![0; padding]),
    ]);
    items.to_vec().unwrap_or_default()
}

fn sign(sender: &IdentityKey, payload: Vec<u8>) -> Result<Vec<u8>, SealError> {
    CoseSign1Builder::new()
        .protected(header(PS256))
        .payload(payload)
        .try_create_signature(AAD, |message| sender.sign(message))
        .map_err(|_| SealError::Failed)?
        .build()
        .to_tagged_vec()
        .map_err(|_| SealError::Failed)
}

/// The recipient's header names no key: whoever keeps the envelope is not to learn from it whose it is.
fn encrypt<R: CryptoRng + ?Sized>(
    recipient: &PublicKey,
    plaintext: &[u8],
    rng: &mut R,
) -> Result<Vec<u8>, SealError> {
    let (mut key, mut iv) = (Zeroizing::new([0; KEY_LEN]), [0; NONCE_LEN]);
    rng.fill_bytes(&mut key[..]);
    rng.fill_bytes(&mut iv);
    let seal = |plaintext: &[u8], aad: &[u8]| {
        let mut text = plaintext.to_vec();
        let nonce = Nonce::assume_unique_for_key(iv);
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key[..])?);
        key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut text).map(|()| text)
    };
    let wrapped = CoseRecipientBuilder::new()
        .unprotected(header(RSAES_OAEP))
        .ciphertext(recipient.encrypt(&key[..]).map_err(|_| SealError::Failed)?)
        .build();
    CoseEncryptBuilder::new()
        .protected(header(A256GCM))
        .unprotected(HeaderBuilder::new().iv(iv.to_vec()).build())
        .try_create_ciphertext(plaintext, &[], seal)
        .map_err(|_| SealError::Failed)?
        .add_recipient(wrapped)
        .build()
        .to_tagged_vec()
        .map_err(|_| SealError::Failed)
}

/// Every failure is the same failure: whoever made the bytes is not to learn how far they got.
fn decrypt(recipient: &IdentityKey, sealed: &Sealed<'_>) -> Result<Vec<u8>, OpenError> {
    let key = recipient.decrypt(sealed.wrapped_key).ok_or(OpenError::NotOpened)?;
    let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| OpenError::NotOpened)?;
    let aad = enc_structure_data(EncryptionContext::CoseEncrypt, protected(A256GCM), &[]);
    let nonce = Nonce::assume_unique_for_key(sealed.iv);
    let mut text = sealed.ciphertext.to_vec();
    let len = LessSafeKey::new(key)
        .open_in_place(nonce, Aad::from(aad), &mut text)
        .map_err(|_| OpenError::NotOpened)?
        .len();
    text.truncate(len);
    Ok(text)
}

/// The outer layer, as it lies in the bytes.
#[derive(Debug)]
struct Sealed<'a> {
    iv: [u8; NONCE_LEN],
    ciphertext: &'a [u8],
    wrapped_key: &'a [u8],
}

impl<'a> Sealed<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let malformed = OpenError::Malformed;
        let mut reader = Reader::new(bytes);
        reader.expect(BEFORE_IV).ok_or(malformed("header"))?;
        let iv = reader.array().ok_or(malformed("IV"))?;
        let ciphertext = reader.bytes().ok_or(malformed("ciphertext"))?;
        reader.expect(BEFORE_KEY).ok_or(malformed("recipient"))?;
        let wrapped_key = reader.bytes().ok_or(malformed("wrapped key"))?;
        reader.finish().ok_or(malformed("bytes after the end"))?;
        Ok(Self { iv, ciphertext, wrapped_key })
    }
}

/// The inner layer, as it lies in the plaintext; nothing of it is proven.
#[derive(Debug)]
struct Signed<'a> {
    payload: &'a [u8],
    signature: &'a [u8],
    recipient: NodeId,
    sender: &'a [u8],
    letter: Letter,
}

impl<'a> Signed<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let malformed = OpenError::MalformedLetter;
        let mut reader = Reader::new(bytes);
        reader.expect(BEFORE_PAYLOAD).ok_or(malformed("header"))?;
        let payload = reader.bytes().ok_or(malformed("payload"))?;
        let signature = reader.bytes().ok_or(malformed("signature"))?;
        reader.finish().ok_or(malformed("bytes after the end"))?;

        let mut reader = Reader::new(payload);
        let items = reader.items().ok_or(malformed("payload"))?;
        let version = reader.uint().ok_or(malformed("version"))?;
        if version != VERSION {
            return Err(OpenError::Version(version));
        }
        if items != ITEMS {
            return Err(malformed("payload"));
        }
        let recipient = NodeId(reader.array().ok_or(malformed("recipient"))?);
        let sender = reader.bytes().ok_or(malformed("sender"))?;
        let id = MessageId(reader.array().ok_or(malformed("id"))?);
        let sent_at = UnixTime::from_millis(reader.uint().ok_or(malformed("sent at"))?);
        let kind = reader.uint().and_then(|kind| u8::try_from(kind).ok()).ok_or(malformed("kind"))?;
        let content = reader.bytes().ok_or(malformed("content"))?;
        let content = Content::parse(kind, content).map_err(|error| match error {
            Malformed::Field(field) => malformed(field),
            _ => malformed("content"),
        })?;
        let padding = reader.bytes().ok_or(malformed("padding"))?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(malformed("padding"));
        }
        reader.finish().ok_or(malformed("payload"))?;
        Ok(Self { payload, signature, recipient, sender, letter: Letter { id, sent_at, content } })
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
