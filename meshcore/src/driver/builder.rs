//! Configuration of a node and its start.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rand::RngExt;
use tokio::runtime;
use tokio::sync::mpsc::unbounded_channel;

use super::engine::{Answer, Clock};
use super::files::FileParts;
use super::home::{Home, HomeError};
use super::identity::check_key_bits;
use super::launch::{Parts, Prepared};
use super::link::LinkSpec;
use super::sealer::Sealer;
use super::store::{Cursor, KeepHistory, Opened, Store};
use super::{Error, ErrorKind, Events, Identity, Node, Pending, insecure, network_key};
use crate::message::identity::{
    CAPABILITY_MAILBOX, IdentityKey, IdentityRecord, OwnIdentity, RecordFields, Subkey,
};
use crate::message::store::{StoreOp, StoredPeer};
use crate::message::{MailboxConfig, MessengerConfig};
use crate::node::{Stack, StackConfig};
use crate::types::{Nickname, UnixTime};

/// How long an identity record is valid. It is signed anew at each start.
const RECORD_VALIDITY: Duration = Duration::from_secs(2 * 365 * 24 * 3600);

/// How a node is to run. Defaults: the default home, the nickname of last time, link `udp`.
#[derive(Clone, Default)]
#[must_use = "a builder starts nothing by itself"]
pub struct Builder {
    home: Option<PathBuf>,
    temporary: bool,
    nickname: Option<String>,
    passphrase: Option<String>,
    key_bits: Option<usize>,
    links: Vec<String>,
    network_key_file: Option<PathBuf>,
    v1: Vec<String>,
    downloads: Option<PathBuf>,
    on_current_runtime: bool,
    keep_history: KeepHistory,
    mailbox: Option<MailboxConfig>,
}

impl Builder {
    /// The folder of key, outbox and history. Default: [`super::default_home`]. It is made when it does not exist.
    ///
    /// Its database is the node's own: another process may read it meanwhile, but by another SQLite in the process of the
    /// node even reading damages it, as neither sees the other's locks.
    pub fn home(mut self, home: impl Into<PathBuf>) -> Self {
        self.home = Some(home.into());
        self
    }

    /// A home that is made for this run and removed at its end: a temporary identity. It goes before
    /// [`Builder::home`].
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

    /// Size of the RSA key, should one be made: 2048 to 4096 bits in steps of 8, default 3072.
    pub fn key_bits(mut self, bits: usize) -> Self {
        self.key_bits = Some(bits);
        self
    }

    /// Makes the node part of a private mesh: the file holds the network key that all its nodes share (see
    /// [`crate::create_network_key`]). Frames of others are dropped, and a listener sees neither names nor routes.
    pub fn network_key_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.network_key_file = Some(file.into());
        self
    }

    /// Adds a link: `udp`, `udp:HOST:PORT`, `ethernet:IFACE` or `ethernet:IFACE?io=pnet` (slower, portable). Without any, `udp`.
    pub fn link(mut self, link: impl Into<String>) -> Self {
        self.links.push(link.into());
        self
    }

    /// Lets programs that speak only AlexMesh v1 find this node on an Ethernet interface, send it messages and chat with it
    /// (see [`Node::send_insecure`]). **Insecure**: anybody on the segment can read and forge all of it, and sees that this
    /// node is here; the mesh is not affected. Several interfaces may be given. One that cannot be opened is reported by
    /// [`Node::links`] as `v1:IFACE`, and used as soon as it can be. Not in a private mesh.
    pub fn v1(mut self, interface: impl Into<String>) -> Self {
        self.v1.push(interface.into());
        self
    }

    /// How long messages stay in the history, see [`KeepHistory`]. Default: for good. The setting is not remembered: it holds
    /// for this run. What is too old goes within an hour, and cannot be brought back.
    pub fn keep_history(mut self, keep: KeepHistory) -> Self {
        self.keep_history = keep;
        self
    }

    /// Offers a mailbox: the node keeps sealed messages for nodes that are away, and hands them over when they come into reach.
    /// It cannot read them; it learns who sends to whom, when, and about how much. Quotas must not be 0.
    pub fn mailbox(mut self, mailbox: MailboxConfig) -> Self {
        self.mailbox = Some(mailbox);
        self
    }

    /// The folder of files that are accepted ([`Node::accept_file`]). Default: `downloads` in the home. It is made when the
    /// first file is accepted.
    pub fn downloads(mut self, folder: impl Into<PathBuf>) -> Self {
        self.downloads = Some(folder.into());
        self
    }

    /// Runs the node as a task of the tokio runtime that [`Builder::start`] is awaited in, instead of on a thread of its own.
    /// That saves a change of threads for everything that passes between application and node: the way to the lowest
    /// latency and the highest throughput. In return the node works only while that runtime does: code that blocks a runtime of one thread
    /// blocks the node, its relaying for others too, for as long. End such a node with [`Node::stop`]; when the runtime
    /// ends first, what was accepted is on disk, but nobody is told goodbye. The runtime needs I/O and time enabled.
    pub fn on_current_runtime(mut self) -> Self {
        self.on_current_runtime = true;
        self
    }

    /// Starts the node on a thread of its own. Makes a key when the home has none (this takes seconds). A link that
    /// cannot be opened is reported by [`Node::links`]; only when none can be opened the start fails. Inside a tokio runtime
    /// use [`Builder::start`]: this panics there.
    pub fn start_blocking(self) -> Result<Node, Error> {
        if self.on_current_runtime {
            let text = "a node on the application's runtime is started by awaiting start() there";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        self.prepare()?.on_own_thread()
    }

    /// [`Builder::start_blocking`] for asynchronous callers.
    pub async fn start(self) -> Result<Node, Error> {
        if !self.on_current_runtime {
            return on_thread(move || self.start_blocking())?.await;
        }
        let runtime = runtime::Handle::try_current();
        let runtime = runtime.map_err(|error| Error::new(ErrorKind::InvalidArgument, error))?;
        on_thread(move || self.prepare())?.await?.on_runtime(&runtime).await
    }

    /// Everything that a node needs but its links, which belong to the runtime that it will run in.
    fn prepare(self) -> Result<Prepared, Error> {
        let nickname = self.nickname.as_deref().map(str::parse).transpose()?;
        let specs = self.link_specs()?;
        let v1 = insecure::check(&self.v1, self.network_key_file.is_some())?;
        let network_key = self.network_key_file.as_deref().map(network_key::load).transpose()?;
        let bits = self.key_bits.unwrap_or(Identity::DEFAULT_BITS);
        check_key_bits(bits)?;
        check_mailbox(self.mailbox.as_ref())?;
        let home = if self.temporary { Home::temporary()? } else { Home::open(self.home.as_deref())? };
        let passphrase = self.passphrase.as_deref();
        let key = match home.load_key(passphrase) {
            Err(HomeError::NoKey { .. }) => home.create_key(bits, passphrase)?,
            loaded => loaded?,
        };
        let (answer, answers) = unbounded_channel();
        let sealed = answer.clone();
        // The engine outlives the store's last answer.
        let deliver = Box::new(move |batch| drop(answer.send(Answer::Store(batch))));
        let (store, opened) = Store::open(&home.database(), self.keep_history, deliver)?;
        let Opened { mut peers, files, mut outboxes } = opened;
        let downloads = self.downloads.clone().unwrap_or_else(|| home.downloads());
        let downloads =
            std::path::absolute(downloads).map_err(|error| Error::new(ErrorKind::InvalidArgument, error))?;
        let files = FileParts { files, store: store.files()?, downloads };
        let cursor = Cursor::open(&home.cursor(), outboxes.confirmed, outboxes.last_arrival)
            .map_err(|error| Error::new(ErrorKind::Storage, error))?;
        outboxes.confirmed = cursor.confirmed();
        let clock = Clock::new();
        // The node's own record of last time stands among the known nodes.
        let own = peers.extract_if(.., |peer| peer.id == key.node_id()).next();
        let nickname = nickname.or_else(|| remembered_nickname(&own?));

        let id = key.node_id();
        let (identity, subkey) =
            own_identity(&store, key, nickname.clone(), self.mailbox.is_some(), clock.now().wall)?;
        let sealer = Sealer::new(identity.shared_key(), sealed);
        let config = StackConfig {
            identity,
            subkey,
            stream: crate::stream::Config::default(),
            mesh: crate::mesh::Config::default(),
            network_key,
            messenger: MessengerConfig { mailbox: self.mailbox, ..MessengerConfig::default() },
            peers,
            outboxes,
            seed: rand::rng().random(),
        };
        let stack = Stack::new(config).map_err(|error| Error::new(ErrorKind::KeyCorrupt, error))?;
        let events = Arc::new(Events::new().map_err(|error| Error::new(ErrorKind::Internal, error))?);
        let (commands, receiver) = unbounded_channel();
        let handles = commands.downgrade();
        let parts = Parts {
            stack,
            store,
            files,
            events: Arc::clone(&events),
            sealer,
            answers,
            commands: receiver,
            handles,
            clock,
            specs,
            v1,
            home,
        };
        Ok(Prepared { id, nickname, events, cursor, commands, parts })
    }

    fn link_specs(&self) -> Result<Vec<LinkSpec>, Error> {
        if self.links.is_empty() {
            return Ok(vec![LinkSpec::Udp { peers: Vec::new() }]);
        }
        Ok(self.links.iter().map(|link| link.parse()).collect::<Result<_, _>>()?)
    }
}

/// Without the passphrase, which belongs into no log.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("home", &self.home)
            .field("temporary", &self.temporary)
            .field("nickname", &self.nickname)
            .field("key_bits", &self.key_bits)
            .field("links", &self.links)
            .field("network_key_file", &self.network_key_file)
            .field("v1", &self.v1)
            .field("keep_history", &self.keep_history)
            .field("downloads", &self.downloads)
            .field("on_current_runtime", &self.on_current_runtime)
            .field("mailbox", &self.mailbox)
            .finish_non_exhaustive()
    }
}

/// Whoever awaits a start must not be held up by the making of a key and the opening of a database.
fn on_thread<T: Send + 'static>(
    body: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<Pending<T>, Error> {
    let (resolve, pending) = Pending::new();
    let spawned = thread::Builder::new().name("meshchat-start".into()).spawn(move || resolve(body()));
    spawned.map(|_| pending).map_err(|error| Error::new(ErrorKind::Internal, error))
}

fn check_mailbox(mailbox: Option<&MailboxConfig>) -> Result<(), Error> {
    let is_useless =
        |m: &MailboxConfig| m.quota == 0 || m.sender_quota == 0 || m.keep < Duration::from_secs(1);
    if mailbox.is_some_and(is_useless) {
        let text = "a mailbox needs quotas of at least one byte, and keeps letters for at least a second";
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    Ok(())
}

fn remembered_nickname(own: &StoredPeer) -> Option<Nickname> {
    IdentityRecord::verify(&own.record, own.id.address()).ok()?.fields.nickname
}

/// Signs the identity record of this run, with a fresh subkey, and has it remembered.
fn own_identity(
    store: &Store,
    key: IdentityKey,
    nickname: Option<Nickname>,
    mailbox: bool,
    now: UnixTime,
) -> Result<(OwnIdentity, Subkey), Error> {
    let number = store.next_record_number(now)?;
    let subkey = Subkey::from_seed(&rand::rng().random())?;
    let fields = RecordFields {
        nickname,
        subkey: subkey.public_key()?,
        capabilities: if mailbox { CAPABILITY_MAILBOX } else { 0 },
        number,
        issued: now,
        valid_until: now + RECORD_VALIDITY,
    };
    let identity = OwnIdentity::new(key, fields)?;
    let (id, record) = (identity.key().node_id(), identity.record().to_vec());
    store.submit(StoreOp::SavePeer(StoredPeer::new(id, record, now)))?;
    Ok((identity, subkey))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_not_shown() {
        let shown = format!("{:?}", Node::builder().nickname("anna").passphrase("open sesame").link("udp"));
        assert!(shown.contains("anna") && shown.contains("udp") && !shown.contains("sesame"), "{shown}");
    }
}
