//! The identity in a home, for tools that show or make one without starting a node.

use std::path::Path;

use super::Error;
use crate::types::NodeId;

/// The key pair of a home.
#[derive(Debug)]
pub struct Identity {
    id: NodeId,
}

impl Identity {
    /// Size of a new key in bits.
    pub const DEFAULT_BITS: usize = 3072;

    /// Makes a new key of `bits` (2048 to 4096) in `home` (`None`: the default home). This takes seconds.
    /// A key that exists already is never overwritten.
    pub fn create(home: Option<&Path>, bits: usize, passphrase: Option<&str>) -> Result<Self, Error> {
        let _ = (home, bits, passphrase);
        Err(Error::stopped())
    }

    /// Reads the key in `home` (`None`: the default home).
    pub fn load(home: Option<&Path>, passphrase: Option<&str>) -> Result<Self, Error> {
        let _ = (home, passphrase);
        Err(Error::stopped())
    }

    /// Whether `home` (`None`: the default home) holds a key file.
    pub fn exists(home: Option<&Path>) -> Result<bool, Error> {
        let _ = home;
        Err(Error::stopped())
    }

    /// NODE_ID.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The public key as PEM `SubjectPublicKeyInfo`.
    pub fn public_pem(&self) -> String {
        String::new()
    }

    /// Eight words that two people compare by voice: the same on both sides only if each has the other's true key.
    pub fn safety_words(&self, peer: NodeId) -> Vec<&'static str> {
        let _ = peer;
        Vec::new()
    }
}
