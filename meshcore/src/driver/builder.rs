//! Configuration of a node and its start.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt;
use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::connections::Hub;
use super::echoes::Echoes;
use super::engine::{Clock, Command, Engine};
use super::events::StopOnDrop;
use super::home::{Home, HomeError};
use super::identity::check_key_bits;
use super::insecure::{self, InsecureLinks};
use super::link::LinkSpec;
use super::links::Links;
use super::store::{Cursor, Opened, Store};
use super::{Error, ErrorKind, Events, Identity, LinkStatus, Node, Pending, network_key};
use crate::message::identity::{IdentityKey, IdentityRecord, OwnIdentity, RecordFields, Subkey};
use crate::message::store::{StoreOp, StoreReply, StoredPeer};
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
}

impl Builder {
    /// The folder of key, outbox and history. Default: [`super::default_home`]. It is made when it does not exist.
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

    /// Starts the node on a thread of its own. Makes a key when the home has none (this takes seconds). A link that
    /// cannot be opened is reported by [`Node::links`]; only when none can be opened the start fails. Inside a tokio runtime
    /// use [`Builder::start`]: this panics there.
    pub fn start_blocking(self) -> Result<Node, Error> {
        let nickname = self.nickname.as_deref().map(str::parse).transpose()?;
        let specs = self.link_specs()?;
        let v1 = insecure::check(&self.v1, self.network_key_file.is_some())?;
        let network_key = self.network_key_file.as_deref().map(network_key::load).transpose()?;
        let bits = self.key_bits.unwrap_or(Identity::DEFAULT_BITS);
        check_key_bits(bits)?;
        let home = if self.temporary { Home::temporary()? } else { Home::open(self.home.as_deref())? };
        let passphrase = self.passphrase.as_deref();
        let key = match home.load_key(passphrase) {
            Err(HomeError::NoKey { .. }) => home.create_key(bits, passphrase)?,
            loaded => loaded?,
        };
        let (answer, replies) = unbounded_channel();
        // The engine outlives the store's last answer.
        let (store, opened) = Store::open(&home.database(), Box::new(move |batch| drop(answer.send(batch))))?;
        let Opened { mut peers, mut outboxes } = opened;
        let cursor = Cursor::open(&home.cursor(), outboxes.confirmed, outboxes.last_arrival)
            .map_err(|error| Error::new(ErrorKind::Storage, error))?;
        outboxes.confirmed = cursor.confirmed();
        let clock = Clock::new();
        // The node's own record of last time stands among the known nodes.
        let own = peers.extract_if(.., |peer| peer.id == key.node_id()).next();
        let nickname = nickname.or_else(|| remembered_nickname(&own?));

        let (id, path) = (key.node_id(), home.path().to_owned());
        let (identity, subkey) = own_identity(&store, key, nickname.clone(), clock.now().wall)?;
        let config = StackConfig {
            identity,
            subkey,
            stream: crate::stream::Config::default(),
            mesh: crate::mesh::Config::default(),
            network_key,
            messenger: crate::message::MessengerConfig::default(),
            peers,
            outboxes,
            seed: rand::rng().random(),
        };
        let stack = Stack::new(config).map_err(|error| Error::new(ErrorKind::KeyCorrupt, error))?;
        let events = Arc::new(Events::new().map_err(|error| Error::new(ErrorKind::Internal, error))?);
        let (commands, receiver) = unbounded_channel();
        let handles = commands.downgrade();
        let parts =
            Parts { stack, store, events: events.clone(), replies, commands: receiver, handles, clock, home };
        let (links, engine) = spawn(parts, specs, v1)?;
        let engine = Mutex::new(Some(engine));
        Ok(Node { id, nickname, home: path, links, events, cursor, commands, engine })
    }

    /// [`Builder::start_blocking`] for asynchronous callers.
    pub async fn start(self) -> Result<Node, Error> {
        let (resolve, pending) = Pending::new();
        let body = move || resolve(self.start_blocking());
        let spawned = thread::Builder::new().name("meshchat-start".into()).spawn(body);
        spawned.map_err(|error| Error::new(ErrorKind::Internal, error))?;
        pending.await
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
            .finish_non_exhaustive()
    }
}

/// The engine's share of a node.
struct Parts {
    stack: Stack,
    store: Store,
    events: Arc<Events>,
    replies: UnboundedReceiver<Vec<StoreReply>>,
    commands: UnboundedReceiver<Command>,
    handles: WeakUnboundedSender<Command>,
    clock: Clock,
    home: Home,
}

/// Opens the links on the engine's thread, to whose runtime they belong, and leaves the engine running there.
///
/// The runtime is made there, too, and answers come by tokio's channels: both keep Rust's handle of the thread out of
/// the caller's thread. In a C program nobody frees that handle, and memory checkers call it a possible leak.
fn spawn(
    parts: Parts,
    specs: Vec<LinkSpec>,
    v1: Vec<String>,
) -> Result<(Vec<LinkStatus>, thread::JoinHandle<()>), Error> {
    let (answer, opened) = oneshot::channel();
    let internal = |error| Error::new(ErrorKind::Internal, error);
    let body = move || match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(parts, specs, v1, answer)),
        Err(error) => drop(answer.send(Err(internal(error)))),
    };
    let thread = thread::Builder::new().name("meshchat".into()).spawn(body).map_err(internal)?;
    let opened = opened.blocking_recv().unwrap_or_else(|_| Err(Error::stopped()));
    match opened {
        Ok(statuses) => Ok((statuses, thread)),
        Err(error) => {
            // The home is free when the caller hears of the failure.
            let _ = thread.join();
            Err(error)
        }
    }
}

/// The life of the engine; `answer` gets the links, or why there are none.
async fn run(
    parts: Parts,
    specs: Vec<LinkSpec>,
    v1: Vec<String>,
    answer: oneshot::Sender<Result<Vec<LinkStatus>, Error>>,
) {
    let (links, mut statuses) = match Links::open(specs) {
        Ok(opened) => opened,
        Err(error) => return drop(answer.send(Err(error))),
    };
    let (insecure, insecure_statuses) = InsecureLinks::open(&v1);
    statuses.extend(insecure_statuses);
    let Parts { stack, store, events, replies, commands, handles, clock, home } = parts;
    let _stop = StopOnDrop(events.clone());
    // Nobody can have gone: the starter waits for this answer.
    let _ = answer.send(Ok(statuses));
    let waiting = HashMap::new();
    let echoes = Echoes::default();
    let hub = Hub::new(handles);
    Engine { stack, links, insecure, store, events, commands, replies, clock, waiting, echoes, hub }
        .run()
        .await;
    // The home stays locked until everything in it is closed.
    drop(home);
}

fn remembered_nickname(own: &StoredPeer) -> Option<Nickname> {
    IdentityRecord::verify(&own.record, own.id.address()).ok()?.fields.nickname
}

/// Signs the identity record of this run, with a fresh subkey, and has it remembered.
fn own_identity(
    store: &Store,
    key: IdentityKey,
    nickname: Option<Nickname>,
    now: UnixTime,
) -> Result<(OwnIdentity, Subkey), Error> {
    let number = store.next_record_number(now)?;
    let subkey = Subkey::from_seed(&rand::rng().random())?;
    let fields = RecordFields {
        nickname,
        subkey: subkey.public_key()?,
        capabilities: 0,
        number,
        issued: now,
        valid_until: now + RECORD_VALIDITY,
    };
    let identity = OwnIdentity::new(key, fields)?;
    let (id, record) = (identity.key().node_id(), identity.record().to_vec());
    store.submit(StoreOp::SavePeer(StoredPeer { id, record, first_seen: now, last_seen: now }))?;
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
