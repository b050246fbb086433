//! Configuration of a node and its start.

use std::path::PathBuf;

use super::{Error, Node};

/// How a node is to run. Defaults: the default home, the nickname of last time, link `udp`.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    pub(crate) home: Option<PathBuf>,
    pub(crate) temporary: bool,
    pub(crate) nickname: Option<String>,
    pub(crate) passphrase: Option<String>,
    pub(crate) key_bits: Option<usize>,
    pub(crate) links: Vec<String>,
}

impl Builder {
    /// The folder of key, outbox and history. Default: `$MESHCHAT_HOME`, else the XDG data directory.
    pub fn home(mut self, home: impl Into<PathBuf>) -> Self {
        self.home = Some(home.into());
        self
    }

    /// A home that is made for this run and removed at its end: a temporary identity.
    pub fn temporary(mut self) -> Self {
        self.temporary = true;
        self
    }

    /// The name shown to others (see [`crate::Nickname`]).
    pub fn nickname(mut self, nickname: impl Into<String>) -> Self {
        self.nickname = Some(nickname.into());
        self
    }

    /// Passphrase of the key file; also protects a key that is made by this start.
    pub fn passphrase(mut self, passphrase: impl Into<String>) -> Self {
        self.passphrase = Some(passphrase.into());
        self
    }

    /// Size of the RSA key, should one be made: 2048 to 4096 bits, default 3072.
    pub fn key_bits(mut self, bits: usize) -> Self {
        self.key_bits = Some(bits);
        self
    }

    /// Adds a link: `udp`, `udp:HOST:PORT` or `ethernet:IFACE`. Without any, `udp`.
    pub fn link(mut self, link: impl Into<String>) -> Self {
        self.links.push(link.into());
        self
    }

    /// Starts the node on a thread of its own. Makes a key when the home has none (this takes seconds). A link that
    /// cannot be opened is reported by [`Node::links`]; only when none can be opened the start fails.
    pub fn start_blocking(self) -> Result<Node, Error> {
        Err(Error::stopped())
    }

    /// [`Builder::start_blocking`] for asynchronous callers.
    pub async fn start(self) -> Result<Node, Error> {
        let (resolve, pending) = super::Pending::new();
        std::thread::spawn(move || resolve(self.start_blocking()));
        pending.await
    }
}
