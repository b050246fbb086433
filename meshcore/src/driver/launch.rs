//! Where the engine of a node runs: on a thread of its own, or as a task of the application's runtime.

use std::collections::HashMap;
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::thread;

use nix::sys::pthread::pthread_self;
use parking_lot::Mutex;
use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender};
use tokio::sync::oneshot;

use super::connections::Hub;
use super::echoes::Echoes;
use super::engine::{Answer, Clock, Command, Engine};
use super::events::StopOnDrop;
use super::files::{FileParts, Files, Notice};
use super::home::Home;
use super::insecure::InsecureLinks;
use super::link::LinkSpec;
use super::links::Links;
use super::sealer::Sealer;
use super::signals::Signals;
use super::store::{Cursor, Store};
use super::{Error, ErrorKind, Events, LinkStatus, Node};
use crate::node::Stack;
use crate::types::{Nickname, NodeId, Trust};

const NO_IO: &str = "the node cannot run in this tokio runtime: enable its I/O and time (enable_all)";

/// The engine's share of a node.
pub(super) struct Parts {
    pub(super) stack: Stack,
    pub(super) store: Store,
    pub(super) files: FileParts,
    pub(super) events: Arc<Events>,
    pub(super) sealer: Sealer,
    pub(super) answers: UnboundedReceiver<Answer>,
    pub(super) commands: UnboundedReceiver<Command>,
    pub(super) handles: WeakUnboundedSender<Command>,
    pub(super) clock: Clock,
    pub(super) specs: Vec<LinkSpec>,
    pub(super) v1: Vec<String>,
    pub(super) home: Home,
}

/// A node that only needs a place to run.
pub(super) struct Prepared {
    pub(super) id: NodeId,
    pub(super) nickname: Option<Nickname>,
    pub(super) events: Arc<Events>,
    pub(super) cursor: Cursor,
    pub(super) commands: UnboundedSender<Command>,
    pub(super) parts: Parts,
}

/// What has to be waited for at the end.
#[derive(Debug)]
pub(super) enum Running {
    Thread(Mutex<Option<thread::JoinHandle<()>>>),
    /// The runtime's owner drives it: who waited for it there would wait for himself.
    Task,
}

impl Running {
    /// Waits for the end of the engine, where that is possible. A second caller waits until the first one has seen it.
    pub(super) fn join(&self) {
        let Self::Thread(thread) = self else { return };
        let mut thread = thread.lock();
        // A callback that owned the last handle drops it on the engine's thread, which cannot wait for itself.
        // (Rust's own handle of the thread would stay behind in a C program.)
        let is_own = |thread: &mut thread::JoinHandle<()>| thread.as_pthread_t() == pthread_self();
        if let Some(thread) = thread.take_if(|thread| !is_own(thread))
            && thread.join().is_err()
        {
            tracing::error!("the engine ended by a panic");
        }
    }
}

impl Prepared {
    /// Opens the links on the engine's thread, to whose runtime they belong, and leaves the engine running there.
    ///
    /// The runtime is made there, too, and answers come by tokio's channels: both keep Rust's handle of the thread out of
    /// the caller's thread. In a C program nobody frees that handle, and memory checkers call it a possible leak.
    pub(super) fn on_own_thread(self) -> Result<Node, Error> {
        let (answer, opened) = oneshot::channel();
        let internal = |error| Error::new(ErrorKind::Internal, error);
        let Self { id, nickname, events, cursor, commands, parts } = self;
        let home = parts.home.path().to_owned();
        let body = move || match runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(run(parts, answer)),
            Err(error) => drop(answer.send(Err(internal(error)))),
        };
        let thread = thread::Builder::new().name("meshchat".into()).spawn(body).map_err(internal)?;
        let opened = opened.blocking_recv().unwrap_or_else(|_| Err(Error::stopped()));
        match opened {
            Ok(links) => {
                let running = Running::Thread(Mutex::new(Some(thread)));
                Ok(Node { id, nickname, home, links, events, cursor, commands, running })
            }
            Err(error) => {
                // The home is free when the caller hears of the failure.
                let _ = thread.join();
                Err(error)
            }
        }
    }

    /// Opens the links in this runtime, and leaves the engine there as a task.
    pub(super) async fn on_runtime(self, runtime: &runtime::Handle) -> Result<Node, Error> {
        let (answer, opened) = oneshot::channel();
        let Self { id, nickname, events, cursor, commands, parts } = self;
        let home = parts.home.path().to_owned();
        let task = runtime.spawn(run(parts, answer));
        let opened = opened.await;
        let Ok(Ok(links)) = opened else {
            // The home is free when the caller hears of the failure.
            let ended = task.await;
            return Err(match opened {
                Ok(Err(error)) => error,
                // Tokio tells what a runtime lacks by a panic of who asks for it.
                _ if ended.is_err() => Error::new(ErrorKind::InvalidArgument, NO_IO),
                _ => Error::stopped(),
            });
        };
        Ok(Node { id, nickname, home, links, events, cursor, commands, running: Running::Task })
    }
}

/// The life of the engine; `answer` gets the links, or why there are none.
async fn run(parts: Parts, answer: oneshot::Sender<Result<Vec<LinkStatus>, Error>>) {
    // First, to be dropped last: the home stays locked until everything in it is closed, also after a failure.
    let Parts { home, stack, store, sealer, files, events, answers, commands, handles, clock, specs, v1 } =
        parts;
    let (links, mut statuses) = match Links::open(specs) {
        Ok(opened) => opened,
        Err(error) => return drop(answer.send(Err(error))),
    };
    let (insecure, insecure_statuses) = InsecureLinks::open(&v1);
    statuses.extend(insecure_statuses);
    let files = match Files::start(files, Arc::clone(&events), clock, handles.clone()) {
        Ok(files) => files,
        Err(error) => return drop(answer.send(Err(error))),
    };
    let blocked = stack.nodes().into_iter().filter(|node| node.trust == Trust::Blocked);
    blocked.for_each(|node| files.tell(Notice::Blocked(node.id)));
    let _stop = StopOnDrop(Arc::clone(&events));
    if answer.send(Ok(statuses)).is_err() {
        // Nobody waits for the start any more, so nobody would ever stop the node.
        return;
    }
    let waiting = HashMap::new();
    let echoes = Echoes::default();
    let (hub, signals) = (Hub::new(handles), Signals::new());
    let engine = Engine {
        stack,
        links,
        insecure,
        store,
        sealer,
        events,
        commands,
        answers,
        clock,
        waiting,
        echoes,
        hub,
        files,
        signals,
    };
    engine.run().await;
    drop(home);
}
