//! The thread of the files: holds the connections, and begins the exchanges that are due.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::time::{Instant as Tick, sleep_until, timeout};

use super::channel::Broken;
use super::exchange;
use super::shared::Shared;
use crate::driver::connections::ConnectionCommand;
use crate::driver::engine::{Clock, Command, Reply};
use crate::driver::events::Events;
use crate::driver::store::FileStore;
use crate::driver::{Connection, Error, ErrorKind, Listener, Pending};
use crate::file::{Direction, Duty, Ledger, Retry, Transfer};
use crate::node::connections::codes;
use crate::stream::Purpose;
use crate::types::{FileId, FileInfo, FileState, Instant, NodeId};

/// How long a connection of ours is kept after the last exchange on it that did something.
const LINGER: Duration = Duration::from_secs(10);

/// Connections that one peer may keep open for its files: the last one, and the one before that while it ends.
const MAX_FROM_PEER: usize = 2;

/// How long a recipient in reach may take to ask for what it has accepted; then it is offered again.
const SILENCE: Duration = Duration::from_secs(30);

/// How often is seen to what is due, while something is.
const TICK: Duration = Duration::from_millis(100);

/// Longest wait for exchanges when the node stops; they only have to sync what they have.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Threads that may wait for the disk.
const DISK_THREADS: usize = 8;

/// What the application asks for.
pub(in crate::driver) enum FileCommand {
    Send { to: NodeId, name: Option<String>, path: PathBuf, reply: Reply<FileId> },
    Accept { id: FileId, folder: Option<PathBuf>, reply: Reply<()> },
    Refuse { id: FileId, reply: Reply<()> },
    Cancel { id: FileId, reply: Reply<()> },
    List { reply: Reply<Vec<FileInfo>> },
}

impl FileCommand {
    /// Answers it in place of the service.
    pub(in crate::driver) fn fail(self, error: Error) {
        match self {
            Self::Send { reply, .. } => reply.give(Err(error)),
            Self::Accept { reply, .. } | Self::Refuse { reply, .. } | Self::Cancel { reply, .. } => {
                reply.give(Err(error));
            }
            Self::List { reply } => reply.give(Err(error)),
        }
    }
}

/// What the engine has seen of a node.
#[derive(Debug, Clone, Copy)]
pub(in crate::driver) enum Notice {
    Found(NodeId),
    Lost(NodeId),
    Restarted(NodeId),
    /// By the person, who is never asked by it any more; it counts as lost.
    Blocked(NodeId),
    Unblocked(NodeId),
}

/// Everything that the service hears.
pub(super) enum News {
    Command(FileCommand),
    Notice(Notice),
    /// Something changed for this peer.
    Tend(NodeId),
    Connected(NodeId, Result<Connection, Error>),
    Closed(NodeId, u64),
    Ended {
        peer: NodeId,
        connection: u64,
        file: Option<FileId>,
        broken: Option<Broken>,
    },
    Stop,
}

/// The service as the engine holds it.
#[derive(Debug)]
pub(in crate::driver) struct Files {
    news: mpsc::UnboundedSender<News>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the service is made of.
pub(in crate::driver) struct FileParts {
    pub(in crate::driver) files: Vec<Transfer>,
    pub(in crate::driver) store: FileStore,
    pub(in crate::driver) downloads: PathBuf,
}

impl Files {
    /// Starts the thread.
    pub(in crate::driver) fn start(
        parts: FileParts,
        events: Arc<Events>,
        clock: Clock,
        commands: mpsc::WeakUnboundedSender<Command>,
    ) -> Result<Self, Error> {
        let (news, queue) = mpsc::unbounded_channel();
        let internal = |error| Error::new(ErrorKind::Internal, error);
        let ledger = Ledger::new(parts.files);
        let shared = Shared::new((ledger, parts.store), (events, clock), parts.downloads, news.clone());
        let service = Service {
            shared,
            commands,
            peers: HashMap::new(),
            retries: HashMap::new(),
            serial: 0,
            random: StdRng::from_seed(rand::random()),
        };
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(DISK_THREADS)
            .thread_name("meshchat-disk")
            .build()
            .map_err(internal)?;
        let body = move || runtime.block_on(service.run(queue));
        let thread = thread::Builder::new().name("meshchat-files".into()).spawn(body).map_err(internal)?;
        Ok(Self { news, thread: Some(thread) })
    }

    pub(in crate::driver) fn submit(&self, command: FileCommand) {
        let _ = self.news.send(News::Command(command));
    }

    pub(in crate::driver) fn tell(&self, notice: Notice) {
        let _ = self.news.send(News::Notice(notice));
    }
}

/// Has what was received synced and noted, and waits for that.
impl Drop for Files {
    fn drop(&mut self) {
        let _ = self.news.send(News::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the files' thread ended by a panic");
        }
    }
}

/// Exchanges on a connection that do something now.
pub(super) struct Active(Arc<AtomicUsize>);

impl Active {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }

    /// The exchange only waits for a person, until this is dropped.
    pub(super) fn idle(&self) -> Idle {
        self.0.fetch_sub(1, Ordering::Relaxed);
        Idle(Arc::clone(&self.0))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) struct Idle(Arc<AtomicUsize>);

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Link {
    serial: u64,
    connection: Connection,
    is_ours: bool,
    active: Arc<AtomicUsize>,
    idle_since: Option<Instant>,
    /// The peer seems to have begun anew since.
    suspect: bool,
}

#[derive(Default)]
struct Peer {
    links: Vec<Link>,
    connecting: bool,
    retry: Retry,
    silent_since: Option<Instant>,
}

struct Service {
    shared: Arc<Shared>,
    /// Weak, so that the engine ends when all handles are gone.
    commands: mpsc::WeakUnboundedSender<Command>,
    peers: HashMap<NodeId, Peer>,
    /// Of exchanges that failed.
    retries: HashMap<FileId, Retry>,
    serial: u64,
    random: StdRng,
}

impl Service {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<News>) {
        let Ok(mut listener) = self.listen().await else { return };
        for file in self.shared.ledger.lock().all() {
            if file.direction == Direction::Incoming && file.state == FileState::Waiting {
                self.shared.tell_offered(&file);
            }
        }
        let mut next = None;
        loop {
            let due = next.unwrap_or_else(|| Tick::now() + Duration::from_secs(3600));
            tokio::select! {
                news = queue.recv() => match news {
                    None | Some(News::Stop) => break,
                    Some(news) => self.handle(news),
                },
                connection = listener.accept() => match connection {
                    Some(connection) => self.on_arrived(connection),
                    None => break,
                },
                () = sleep_until(due) => self.on_tick(),
            }
            next = self.is_busy().then(|| Tick::now() + TICK);
        }
        let mut tasks = self.shared.stop();
        let all = async { while tasks.join_next().await.is_some() {} };
        if timeout(STOP_PATIENCE, all).await.is_err() {
            tracing::warn!("files were still on their way when the node stopped");
        }
    }

    fn submit(&self, command: ConnectionCommand) {
        if let Some(commands) = self.commands.upgrade() {
            // An engine that is gone drops the command, which answers it.
            let _ = commands.send(Command::Connection(command));
        }
    }

    async fn listen(&self) -> Result<Listener, Error> {
        let (resolve, pending) = Pending::new();
        self.submit(ConnectionCommand::Listen { purpose: Purpose::Files, reply: Reply::new(resolve) });
        pending.await
    }

    fn now(&self) -> Instant {
        self.shared.now().monotonic
    }

    fn handle(&mut self, news: News) {
        match news {
            News::Command(command) => self.shared.command(command),
            News::Notice(Notice::Found(peer)) => {
                self.shared.set_present(peer, true);
                self.on_reach(peer);
            }
            News::Notice(Notice::Lost(peer)) => self.shared.set_present(peer, false),
            News::Notice(Notice::Restarted(peer)) => {
                self.shared.on_restarted(peer);
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.links.iter_mut().for_each(|link| link.suspect = true);
                }
                self.on_reach(peer);
            }
            News::Notice(Notice::Blocked(peer)) => self.shared.block(peer),
            News::Notice(Notice::Unblocked(peer)) => {
                self.shared.ledger.lock().set_blocked(peer, false);
            }
            News::Tend(peer) => self.tend(peer),
            News::Connected(peer, connected) => self.on_connected(peer, connected),
            News::Closed(peer, serial) => self.on_closed(peer, serial),
            News::Ended { peer, connection, file, broken } => self.on_ended((peer, connection), file, broken),
            News::Stop => {}
        }
    }

    /// Whatever had to wait after failures is tried at once.
    fn on_reach(&mut self, peer: NodeId) {
        let files: Vec<_> = {
            let mut ledger = self.shared.ledger.lock();
            ledger.on_reach(peer);
            ledger.duties(peer)
        };
        for (file, _) in files {
            self.retries.remove(&file);
        }
        if let Some(state) = self.peers.get_mut(&peer) {
            state.retry.on_progress();
            state.silent_since = None;
        }
        self.tend(peer);
    }

    /// Begins what is to be done with a peer, as far as that is possible now.
    fn tend(&mut self, peer: NodeId) {
        if !self.shared.is_present(peer) {
            return;
        }
        let now = self.now();
        let is_due = |file: &FileId| self.retries.get(file).is_none_or(|retry| retry.due() <= now);
        let duties: Vec<_> = self.shared.ledger.lock().duties(peer);
        let duties: Vec<_> =
            duties.into_iter().filter(|(file, _)| is_due(file) && !self.shared.is_running(file)).collect();
        if duties.is_empty() {
            return;
        }
        let state = self.peers.entry(peer).or_default();
        let Some(link) = state.links.iter().rev().find(|link| !link.suspect) else {
            if !state.connecting && state.retry.due() <= now {
                state.connecting = true;
                self.connect(peer);
            }
            return;
        };
        let shared = Arc::clone(&self.shared);
        for duty in duties {
            begin(&shared, peer, link, duty);
        }
    }

    fn connect(&self, peer: NodeId) {
        let news = self.shared.news.clone();
        let reply = Reply::new(move |connected| drop(news.send(News::Connected(peer, connected))));
        self.submit(ConnectionCommand::Connect { to: peer, purpose: Purpose::Files, reply });
    }

    fn on_connected(&mut self, peer: NodeId, connected: Result<Connection, Error>) {
        let now = self.now();
        let state = self.peers.entry(peer).or_default();
        state.connecting = false;
        match connected {
            Ok(connection) => self.add_link(peer, connection, true),
            Err(error) => {
                tracing::debug!(%peer, %error, "no connection for files");
                state.retry.on_failure(now, &mut self.random);
            }
        }
    }

    fn on_arrived(&mut self, connection: Connection) {
        let peer = connection.peer();
        self.add_link(peer, connection, false);
        let state = self.peers.entry(peer).or_default();
        let theirs: Vec<_> =
            state.links.iter().filter(|link| !link.is_ours).map(|link| link.serial).collect();
        for serial in theirs.iter().rev().skip(MAX_FROM_PEER) {
            self.drop_link(peer, *serial, codes::BUSY, "another connection serves");
        }
    }

    fn add_link(&mut self, peer: NodeId, connection: Connection, is_ours: bool) {
        self.serial += 1;
        let (serial, active) = (self.serial, Arc::default());
        self.accept_streams(peer, serial, &connection, &active);
        let link = Link { serial, connection, is_ours, active, idle_since: None, suspect: false };
        self.peers.entry(peer).or_default().links.push(link);
        self.tend(peer);
    }

    fn accept_streams(&self, peer: NodeId, serial: u64, connection: &Connection, active: &Arc<AtomicUsize>) {
        let (shared, connection, active) = (Arc::clone(&self.shared), connection.clone(), Arc::clone(active));
        self.shared.spawn(async move {
            loop {
                let stream = tokio::select! {
                    stream = connection.accept() => stream,
                    () = shared.stopped() => return,
                };
                let Ok(stream) = stream else { break };
                let (near, active) = (Arc::clone(&shared), Active::new(&active));
                shared.spawn(async move {
                    let broken = exchange::serve(&near, peer, active, stream).await.err();
                    let _ = near.news.send(News::Ended { peer, connection: serial, file: None, broken });
                });
            }
            let _ = shared.news.send(News::Closed(peer, serial));
        });
    }

    fn drop_link(&mut self, peer: NodeId, serial: u64, code: u64, reason: &str) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        for link in state.links.extract_if(.., |link| link.serial == serial) {
            link.connection.close(code, reason);
        }
    }

    fn on_closed(&mut self, peer: NodeId, serial: u64) {
        self.drop_link(peer, serial, codes::DONE, "");
        self.tend(peer);
    }

    fn on_ended(&mut self, (peer, serial): (NodeId, u64), file: Option<FileId>, broken: Option<Broken>) {
        let now = self.now();
        match (&broken, file) {
            (None, Some(file)) => drop(self.retries.remove(&file)),
            (Some(error), Some(file)) => {
                tracing::debug!(%peer, %file, %error, "an exchange about a file broke");
                self.retries.entry(file).or_default().on_failure(now, &mut self.random);
            }
            (Some(error), None) => tracing::debug!(%peer, %error, "an exchange of a peer broke"),
            (None, None) => {}
        }
        match broken {
            Some(Broken::Silent) => self.drop_link(peer, serial, codes::DONE, "no answer"),
            Some(Broken::Violation(violation)) => {
                self.drop_link(peer, serial, codes::REFUSED, &violation.to_string());
            }
            None => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.retry.on_progress();
                }
            }
            _ => {}
        }
        self.tend(peer);
    }

    /// Whether something may become due by time alone.
    fn is_busy(&self) -> bool {
        let ledger = self.shared.ledger.lock();
        self.peers.iter().any(|(peer, state)| {
            state.links.iter().any(|link| link.is_ours)
                || (self.shared.is_present(*peer)
                    && (state.silent_since.is_some() || !ledger.duties(*peer).is_empty()))
        }) || ledger.awaiting().iter().any(|peer| self.shared.is_present(*peer))
    }

    fn on_tick(&mut self) {
        let now = self.now();
        self.close_idle(now);
        let awaiting = self.shared.ledger.lock().awaiting();
        for peer in awaiting {
            let is_running =
                self.shared.ledger.lock().accepted_of(peer).iter().any(|id| self.shared.is_running(id));
            let is_present = self.shared.is_present(peer);
            let state = self.peers.entry(peer).or_default();
            if is_running || !is_present {
                state.silent_since = None;
            } else if now - *state.silent_since.get_or_insert(now) >= SILENCE {
                state.silent_since = Some(now);
                self.shared.ledger.lock().on_silence(peer);
            }
        }
        let peers: Vec<_> = self.shared.ledger.lock().peers().into_iter().collect();
        peers.into_iter().for_each(|peer| self.tend(peer));
        self.peers.retain(|peer, state| {
            !state.links.is_empty() || state.connecting || self.shared.is_present(*peer)
        });
    }

    /// Closes our connections on which nothing happens.
    fn close_idle(&mut self, now: Instant) {
        for state in self.peers.values_mut() {
            for link in state.links.iter_mut().filter(|link| link.is_ours) {
                match link.active.load(Ordering::Relaxed) {
                    0 => drop(link.idle_since.get_or_insert(now)),
                    _ => link.idle_since = None,
                }
            }
            let is_idle = |link: &mut Link| link.idle_since.is_some_and(|since| now - since >= LINGER);
            for link in state.links.extract_if(.., is_idle) {
                link.connection.close(codes::DONE, "");
            }
        }
    }
}

/// Opens an exchange on a connection.
fn begin(shared: &Arc<Shared>, peer: NodeId, link: &Link, duty: (FileId, Duty)) {
    let (near, connection, serial) = (Arc::clone(shared), link.connection.clone(), link.serial);
    let active = Active::new(&link.active);
    shared.spawn(async move {
        let broken = exchange::open(&near, &connection, active, duty).await.err();
        let file = Some(duty.0);
        let _ = near.news.send(News::Ended { peer, connection: serial, file, broken });
    });
}
