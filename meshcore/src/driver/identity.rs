//! The identity in a home, for tools that show or make one without starting a node.

use std::path::Path;

use super::home::{self, Home};
use super::{Error, ErrorKind};
use crate::message::identity::{self, IdentityKey};
use crate::types::NodeId;

/// The key pair of a home.
#[derive(Debug)]
pub struct Identity {
    id: NodeId,
    public_pem: String,
}

impl Identity {
    /// Size of a new key in bits.
    pub const DEFAULT_BITS: usize = identity::DEFAULT_BITS;

    /// Makes a new key of `bits` (2048 to 4096 in steps of 8) in `home` (`None`: the default home). This takes seconds.
    /// A key that exists already is never overwritten.
    pub fn create(home: Option<&Path>, bits: usize, passphrase: Option<&str>) -> Result<Self, Error> {
        check_key_bits(bits)?;
        Self::of(&Home::open(home)?.create_key(bits, passphrase)?)
    }

    /// Reads the key in `home` (`None`: the default home), also while a node runs there.
    pub fn load(home: Option<&Path>, passphrase: Option<&str>) -> Result<Self, Error> {
        Self::of(&home::load_key(&home::locate(home)?, passphrase)?)
    }

    /// Whether `home` (`None`: the default home) holds a key file.
    pub fn exists(home: Option<&Path>) -> Result<bool, Error> {
        Ok(home::has_key(&home::locate(home)?))
    }

    fn of(key: &IdentityKey) -> Result<Self, Error> {
        let public_pem = key.public_pem().map_err(|error| Error::new(ErrorKind::KeyCorrupt, error))?;
        Ok(Self { id: key.node_id(), public_pem })
    }

    /// NODE_ID.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The public key as PEM `SubjectPublicKeyInfo`.
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// Eight words that two people compare by voice: the same on both sides only if each has the other's true key.
    pub fn safety_words(&self, peer: NodeId) -> Vec<&'static str> {
        identity::safety_words(self.id, peer).to_vec()
    }
}

pub(super) fn check_key_bits(bits: usize) -> Result<(), Error> {
    identity::check_bits(bits).map_err(|error| Error::new(ErrorKind::InvalidArgument, error))
}
