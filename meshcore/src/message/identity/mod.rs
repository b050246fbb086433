//! Identities: the RSA key that a node is, the signed record of what it uses day to day, and words to compare keys.

mod keys;
mod own;
mod public;
mod record;
mod words;

pub use keys::{DEFAULT_BITS, IdentityKey, KeyError, MAX_BITS, MIN_BITS, check_bits};
pub use own::OwnIdentity;
pub use public::{BadSignature, PublicKey, PublicKeyError};
pub use record::{
    CAPABILITY_MAILBOX, IdentityRecord, MAX_RECORD_LEN, RecordError, RecordFields, SIGNATURE_LEN, SUBKEY_LEN,
    Subkey,
};
pub use words::{COUNT as SAFETY_WORDS, safety_words};
