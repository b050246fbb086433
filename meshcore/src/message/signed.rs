//! What a node has signed: a tagged COSE_Sign1 (RFC 9052, section 4.2), PS256 (RFC 8230, section 2), in its only encoding.

use coset::{
    CoseSign1Builder, Header, HeaderBuilder, ProtectedHeader, SignatureContext, TaggedCborSerializable as _,
    iana, sig_structure_data,
};

use super::identity::{BadSignature, IdentityKey, PublicKey};
use crate::wire::cbor::Reader;

/// COSE_Sign1 up to its payload: tag 18, four items, the protected header `{1: -37}`, no unprotected one.
pub(super) const BEFORE_PAYLOAD: &[u8] = &[0xd2, 0x84, 0x44, 0xa1, 0x01, 0x38, 0x24, 0xa0];

const PS256: iana::Algorithm = iana::Algorithm::PS256;

/// The parts, as they lie in the bytes; nothing of them is proven.
#[derive(Debug)]
pub(super) struct Signed<'a> {
    pub(super) payload: &'a [u8],
    pub(super) signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Finds the parts; the error names the one that is not as it should be.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let mut reader = Reader::new(bytes);
        reader.expect(BEFORE_PAYLOAD).ok_or("header")?;
        let payload = reader.bytes().ok_or("payload")?;
        let signature = reader.bytes().ok_or("signature")?;
        reader.finish().ok_or("bytes after the end")?;
        Ok(Self { payload, signature })
    }

    /// Whether this key signed it for the purpose that `aad` names.
    pub(super) fn verify(&self, key: &PublicKey, aad: &[u8]) -> Result<(), BadSignature> {
        let protected = ProtectedHeader { original_data: None, header: header() };
        let message = sig_structure_data(SignatureContext::CoseSign1, protected, None, aad, self.payload);
        key.verify(&message, self.signature)
    }
}

/// Signs a payload for the purpose that `aad` names; `None` when the library failed.
pub(super) fn sign(key: &IdentityKey, aad: &[u8], payload: Vec<u8>) -> Option<Vec<u8>> {
    let builder = CoseSign1Builder::new().protected(header()).payload(payload);
    let signed = builder.try_create_signature(aad, |message| key.sign(message)).ok()?;
    signed.build().to_tagged_vec().ok()
}

fn header() -> Header {
    HeaderBuilder::new().algorithm(PS256).build()
}
