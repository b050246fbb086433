//! What the exchanges and the service share.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedMutexGuard, mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};

use super::channel::Broken;
use super::service::News;
use super::turns::Turns;
use crate::driver::engine::Clock;
use crate::driver::events::Events;
use crate::driver::store::{FileOp, FileStore, Saved};
use crate::driver::{Error, ErrorKind};
use crate::file::{Direction, Ledger, Transfer};
use crate::message::store::StoreError;
use crate::node::{Event, Warning};
use crate::types::{FileId, FileInfo, FileState, Instant, NodeId};

/// Least time between two events about the progress of one file.
const PROGRESS_GAP: Duration = Duration::from_millis(200);

/// A node that is in reach.
#[derive(Debug, Clone, Copy, Default)]
struct Presence {
    /// When it seemed to begin anew.
    restarted: Option<Instant>,
}

/// How far a file is, beyond what the ledger knows.
#[derive(Debug, Clone, Copy)]
struct Progress {
    done: u64,
    told: Option<Instant>,
}

pub(super) struct Shared {
    pub(super) ledger: Mutex<Ledger>,
    store: FileStore,
    events: Arc<Events>,
    clock: Clock,
    pub(super) downloads: PathBuf,
    pub(super) news: mpsc::UnboundedSender<News>,
    pub(super) receiving: Turns,
    present: Mutex<HashMap<NodeId, Presence>>,
    progress: Mutex<HashMap<FileId, Progress>>,
    /// Files of which the application knows that the disk refuses them.
    refused: Mutex<HashSet<FileId>>,
    exchanges: Mutex<HashMap<FileId, Slot>>,
    tasks: Mutex<JoinSet<()>>,
    stop: watch::Sender<bool>,
    /// The same for threads.
    pub(super) stopping: Arc<AtomicBool>,
}

/// The exchange about one file; the next one begins when it has ended.
#[derive(Default)]
struct Slot {
    gate: Arc<tokio::sync::Mutex<()>>,
    current: Option<Arc<Current>>,
}

/// What an exchange hears from this node.
#[derive(Debug)]
pub(super) struct Current {
    /// Something about its file was decided.
    pub(super) changed: Notify,
    replaced: AtomicBool,
    /// It has offered the file, unasked, and is not answered yet.
    pub(super) unanswered: AtomicBool,
    begun: Instant,
}

impl Current {
    /// Waits for a decision.
    pub(super) async fn changed(&self) -> Result<(), Broken> {
        self.changed.notified().await;
        self.check()
    }

    pub(super) fn check(&self) -> Result<(), Broken> {
        if self.replaced.load(Ordering::Relaxed) { Err(Broken::Replaced) } else { Ok(()) }
    }
}

/// The right to be the exchange about a file.
pub(super) struct Turnstile {
    id: FileId,
    shared: Arc<Shared>,
    pub(super) current: Arc<Current>,
    _gate: OwnedMutexGuard<()>,
}

impl Drop for Turnstile {
    fn drop(&mut self) {
        let mut exchanges = self.shared.exchanges.lock();
        let is_mine = |slot: &Slot| slot.current.as_ref().is_some_and(|it| Arc::ptr_eq(it, &self.current));
        if exchanges.get(&self.id).is_some_and(is_mine) {
            exchanges.remove(&self.id);
        }
    }
}

impl Shared {
    pub(super) fn new(
        (ledger, store): (Ledger, FileStore),
        (events, clock): (Arc<Events>, Clock),
        downloads: PathBuf,
        news: mpsc::UnboundedSender<News>,
    ) -> Arc<Self> {
        Arc::new(Self {
            ledger: Mutex::new(ledger),
            store,
            events,
            clock,
            downloads,
            news,
            receiving: Turns::new(),
            present: Mutex::default(),
            progress: Mutex::default(),
            refused: Mutex::default(),
            exchanges: Mutex::default(),
            tasks: Mutex::new(JoinSet::new()),
            stop: watch::channel(false).0,
            stopping: Arc::default(),
        })
    }

    pub(super) fn now(&self) -> crate::node::Now {
        self.clock.now()
    }

    // -- tasks ------------------------------------------------------------------------------------------------------

    /// Starts a task, for whose end the service waits when the node stops.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Tells all tasks to end, and gives them for waiting.
    pub(super) fn stop(&self) -> JoinSet<()> {
        self.stopping.store(true, Ordering::Relaxed);
        self.stop.send_replace(true);
        std::mem::take(&mut *self.tasks.lock())
    }

    /// Waits until the node stops.
    pub(super) async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        // Closed means the same.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    // -- exchanges --------------------------------------------------------------------------------------------------

    /// Begins the exchange about a file, as soon as an earlier one, which is told to end, has ended.
    pub(super) async fn begin(self: &Arc<Self>, id: FileId) -> Result<Turnstile, Broken> {
        let (gate, current) = {
            let mut exchanges = self.exchanges.lock();
            let slot = exchanges.entry(id).or_default();
            let current = Arc::new(Current {
                changed: Notify::new(),
                replaced: AtomicBool::new(false),
                unanswered: AtomicBool::new(false),
                begun: self.clock.now().monotonic,
            });
            if let Some(old) = slot.current.replace(Arc::clone(&current)) {
                old.replaced.store(true, Ordering::Relaxed);
                old.changed.notify_one();
            }
            (Arc::clone(&slot.gate), current)
        };
        let turnstile = Turnstile { id, shared: Arc::clone(self), _gate: gate.lock_owned().await, current };
        turnstile.current.check()?;
        Ok(turnstile)
    }

    /// Whether there is an exchange about the file.
    pub(super) fn is_running(&self, id: &FileId) -> bool {
        self.exchanges.lock().get(id).is_some_and(|slot| slot.current.is_some())
    }

    /// Whether this side has offered the file just now, and may be answered any moment.
    pub(super) fn is_offering(&self, id: &FileId, patience: Duration) -> bool {
        let now = self.clock.now().monotonic;
        self.exchanges.lock().get(id).and_then(|slot| slot.current.as_ref()).is_some_and(|current| {
            current.unanswered.load(Ordering::Relaxed) && now - current.begun < patience
        })
    }

    /// Tells the exchange about a file that something was decided.
    pub(super) fn signal(&self, id: &FileId) {
        if let Some(current) = self.exchanges.lock().get(id).and_then(|slot| slot.current.as_ref()) {
            current.changed.notify_one();
        }
    }

    // -- presence ---------------------------------------------------------------------------------------------------

    pub(super) fn set_present(&self, peer: NodeId, present: bool) {
        let mut all = self.present.lock();
        match present {
            true => drop(all.insert(peer, Presence::default())),
            false => drop(all.remove(&peer)),
        }
    }

    pub(super) fn on_restarted(&self, peer: NodeId) {
        let now = self.clock.now().monotonic;
        if let Some(presence) = self.present.lock().get_mut(&peer) {
            presence.restarted = Some(now);
        }
    }

    pub(super) fn is_present(&self, peer: NodeId) -> bool {
        self.present.lock().contains_key(&peer)
    }

    /// Whether a peer that was heard of last at `heard` is silent for too long. While it is out of reach, nobody is.
    pub(super) fn is_silent(&self, peer: NodeId, heard: Instant, patience: Duration) -> bool {
        /// What is on its way after a restart that was none.
        const DOUBT: Duration = Duration::from_millis(1500);
        let Some(presence) = self.present.lock().get(&peer).copied() else { return false };
        let now = self.clock.now().monotonic;
        let restarted = presence.restarted.filter(|restarted| *restarted >= heard);
        restarted.is_some_and(|restarted| now - restarted >= DOUBT) || now - heard >= patience
    }

    // -- the ledger -------------------------------------------------------------------------------------------------

    pub(super) fn file(&self, id: &FileId) -> Option<Transfer> {
        self.ledger.lock().get(id).cloned()
    }

    /// Changes the ledger, and has on disk what the change gives: in the order of the changes.
    pub(super) fn update(
        &self,
        change: impl FnOnce(&mut Ledger) -> Option<Transfer>,
    ) -> Option<(Transfer, Saved)> {
        let mut ledger = self.ledger.lock();
        let file = change(&mut ledger)?;
        let saved = self.store.submit(FileOp::Save(Box::new(file.clone())));
        if file.state.is_over() {
            self.progress.lock().remove(&file.id);
            self.refused.lock().remove(&file.id);
            for id in ledger.surplus(file.peer) {
                ledger.remove(&id);
                // One that comes back at the next start is forgotten then.
                drop(self.store.submit(FileOp::Remove(id)));
            }
        }
        Some((file, saved))
    }

    /// [`Shared::update`], and waits until it is on disk.
    pub(super) async fn save(
        &self,
        change: impl FnOnce(&mut Ledger) -> Option<Transfer>,
    ) -> Result<Option<Transfer>, Error> {
        let Some((file, saved)) = self.update(change) else { return Ok(None) };
        self.saved(saved).await?;
        Ok(Some(file))
    }

    pub(super) async fn saved(&self, saved: Saved) -> Result<(), Error> {
        match saved.await {
            Ok(saved) => saved.map_err(|error: StoreError| {
                self.warn(Warning::Storage(error.to_string()));
                Error::from(error)
            }),
            Err(_) => Err(Error::stopped()),
        }
    }

    /// Forgets a file that could not be saved.
    pub(super) fn forget(&self, id: &FileId) {
        self.ledger.lock().remove(id);
    }

    // -- the application --------------------------------------------------------------------------------------------

    /// A file as the application sees it.
    pub(super) fn info(&self, file: &Transfer) -> FileInfo {
        let known = self.progress.lock().get(&file.id).map(|progress| progress.done);
        let is_incoming = file.direction == Direction::Incoming;
        FileInfo {
            id: file.id,
            peer: file.peer,
            incoming: is_incoming,
            name: file.offer.name.clone(),
            size: file.offer.size,
            done: if file.state == FileState::Done { file.offer.size } else { known.unwrap_or(file.done) },
            state: file.state,
            reason: file.reason,
            path: file.path.clone().filter(|_| !is_incoming || file.state == FileState::Done),
            offered_at: file.created,
        }
    }

    /// So many bytes are there since the start of this process: known, but not safe from a crash of the machine.
    pub(super) fn written(&self, id: &FileId) -> Option<u64> {
        self.progress.lock().get(id).map(|progress| progress.done)
    }

    /// A file has come further; the application hears of it now and then.
    pub(super) fn on_progress(&self, id: &FileId, done: u64) {
        let now = self.clock.now().monotonic;
        let is_due = {
            let mut all = self.progress.lock();
            let progress = all.entry(*id).or_insert(Progress { done, told: None });
            if done > progress.done {
                self.refused.lock().remove(id);
            }
            progress.done = done;
            let is_due = progress.told.is_none_or(|told| now - told >= PROGRESS_GAP);
            if is_due {
                progress.told = Some(now);
            }
            is_due
        };
        if is_due && let Some(file) = self.file(id).filter(|file| !file.state.is_over()) {
            self.events.push(Event::FileProgress(self.info(&file)));
        }
    }

    pub(super) fn tell_offered(&self, file: &Transfer) {
        self.events.push(Event::FileOffered(self.info(file)));
    }

    /// Tells that a file is over.
    pub(super) fn tell_over(&self, file: &Transfer) {
        let info = self.info(file);
        let is_done = file.state == FileState::Done;
        self.events.push(if is_done { Event::FileDone(info) } else { Event::FileFailed(info) });
    }

    /// The disk refuses a file: told once, and again after it has taken some of it.
    pub(super) fn warn_of_file(&self, file: &Transfer, reason: String) {
        if self.refused.lock().insert(file.id) {
            self.warn(Warning::FileWaits { name: file.offer.name.clone(), reason });
        }
    }

    pub(super) fn warn(&self, warning: Warning) {
        self.events.push(Event::Warning(warning));
    }
}

/// Work for the disk, on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(work).await.map_err(|error| Error::new(ErrorKind::Internal, error))
}
