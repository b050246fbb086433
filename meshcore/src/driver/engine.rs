//! The engine: one thread that owns the links and the store, and drives the node.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant as Tick, sleep_until};

use super::echoes::{Echoes, Pong, TraceHop};
use super::error::Error;
use super::events::Events;
use super::insecure::{InsecureCommand, InsecureLinks};
use super::links::{Links, Received};
use super::store::Store;
use super::trouble::Trouble;
use crate::message::store::StoreReply;
use crate::node::{Event, NodeInfo, Now, Stack, Warning};
use crate::types::{Instant, MessageId, NodeId, UnixTime};

/// Frames handled before the outputs are emptied, so that neither direction starves the other.
const BATCH: usize = 64;

/// Largest frame that a link may deliver, in bytes.
const MAX_FRAME: usize = 65_536;

/// An answer to whoever asked, given on the engine's thread. Dropped without one, it tells that the node has stopped:
/// nobody waits for ever, even when the engine ends by a panic.
pub(super) struct Reply<T>(Option<Done<T>>);

type Done<T> = Box<dyn FnOnce(Result<T, Error>) + Send>;

impl<T> Reply<T> {
    pub(super) fn new(done: impl FnOnce(Result<T, Error>) + Send + 'static) -> Self {
        Self(Some(Box::new(done)))
    }

    pub(super) fn give(mut self, result: Result<T, Error>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(Error::stopped()));
        }
    }
}

/// What the handle asks of the engine.
pub(super) enum Command {
    Send { to: NodeId, text: String, reply: Reply<MessageId> },
    Nodes { reply: Reply<Vec<NodeInfo>> },
    Resolve { query: String, reply: Reply<NodeInfo> },
    Ping { to: NodeId, timeout: Duration, reply: Reply<Pong> },
    Trace { to: NodeId, reply: Reply<Vec<TraceHop>> },
    Broadcast { text: String, reply: Reply<()> },
    Confirmed { arrival: u64 },
    Insecure(InsecureCommand),
    Stop,
}

/// The system's clocks, read here and nowhere else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: Tick,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { start: Tick::now() }
    }

    pub(super) fn now(self) -> Now {
        let micros = self.start.elapsed().as_micros();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic: Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)),
            wall: UnixTime::from_millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    fn tick(self, instant: Instant) -> Tick {
        self.start + (instant - Instant::default())
    }
}

pub(super) struct Engine {
    pub(super) stack: Stack,
    pub(super) links: Links,
    pub(super) insecure: InsecureLinks,
    pub(super) store: Store,
    pub(super) events: Arc<Events>,
    pub(super) commands: UnboundedReceiver<Command>,
    pub(super) replies: UnboundedReceiver<Vec<StoreReply>>,
    pub(super) clock: Clock,
    pub(super) waiting: HashMap<MessageId, Reply<MessageId>>,
    pub(super) echoes: Echoes,
}

impl Engine {
    /// Runs until it is told to stop or every handle is gone.
    pub(super) async fn run(mut self) {
        let mut inbound = vec![0; MAX_FRAME];
        let mut outbound = Vec::with_capacity(MAX_FRAME);
        loop {
            self.empty_outputs(&mut outbound);
            let deadlines = [self.stack.poll_timeout(), self.insecure.poll_timeout()];
            let deadline = deadlines.into_iter().flatten().min().map(|instant| self.clock.tick(instant));
            tokio::select! {
                command = self.commands.recv() => match command {
                    None => break,
                    Some(command) => self.handle_commands(command),
                },
                Some(replies) = self.replies.recv() => {
                    for reply in replies {
                        self.stack.handle_store(self.clock.now(), reply);
                    }
                }
                received = self.links.recv(&mut inbound) => {
                    self.handle_received(received, &mut inbound, &mut outbound);
                }
                () = self.insecure.recv(self.clock) => {}
                () = sleep_until(deadline.unwrap_or_else(Tick::now)), if deadline.is_some() => {
                    self.handle_timeout();
                }
            }
        }
        self.stop(&mut outbound);
    }

    fn handle_timeout(&mut self) {
        let now = self.clock.now();
        if self.stack.poll_timeout().is_some_and(|due| due <= now.monotonic) {
            self.stack.handle_timeout(now);
        }
        self.insecure.handle_timeout(now);
    }

    /// The first command, and those that wait behind it, up to a batch.
    fn handle_commands(&mut self, first: Command) {
        self.handle_command(first);
        for _ in 1..BATCH {
            match self.commands.try_recv() {
                Ok(command) => self.handle_command(command),
                Err(_) => return,
            }
        }
    }

    fn handle_command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Send { to, text, reply } => match self.stack.send(now, to, text) {
                Ok(id) => drop(self.waiting.insert(id, reply)),
                Err(error) => reply.give(Err(error.into())),
            },
            Command::Nodes { reply } => reply.give(Ok(self.stack.nodes())),
            Command::Resolve { query, reply } => reply.give(self.stack.resolve(&query).map_err(Error::from)),
            Command::Ping { to, timeout, reply } => {
                self.echoes.ping(&mut self.stack, now, (to, timeout), reply)
            }
            Command::Trace { to, reply } => self.echoes.trace(&mut self.stack, now, to, reply),
            Command::Broadcast { text, reply } => {
                reply.give(self.stack.broadcast(now, &text).map_err(Error::from));
            }
            Command::Confirmed { arrival } => self.stack.handle_confirmed(now, arrival),
            Command::Insecure(command) => self.insecure.handle_command(now, command),
            // What waits in the channel is still handled; then the channel's end ends the engine.
            Command::Stop => self.commands.close(),
        }
    }

    /// The first frame, and those that wait behind it, up to a batch.
    fn handle_received(&mut self, first: Received, buffer: &mut [u8], out: &mut Vec<u8>) {
        let mut received = Some(first);
        for _ in 0..BATCH {
            match received {
                Some(Received::Frame { link, from, len }) => {
                    out.clear();
                    let now = self.clock.now();
                    if let Some((link, to)) =
                        self.stack.handle_frame(now, link, from, &mut buffer[..len], out)
                    {
                        self.links.send(link, to, out);
                    }
                }
                Some(Received::Up { link, name, info }) => {
                    tracing::info!(%name, ?info, "a link is up");
                    self.stack.add_link(self.clock.now(), link, &name, info);
                }
                Some(Received::Down { link, trouble }) => {
                    self.stack.remove_link(self.clock.now(), link);
                    trouble.into_iter().for_each(|trouble| self.warn(trouble));
                }
                Some(Received::Trouble(trouble)) => self.warn(trouble),
                None => return,
            }
            received = self.links.try_recv(buffer);
        }
    }

    fn warn(&self, Trouble { link, reason }: Trouble) {
        self.events.push(Event::Warning(Warning::Link { link, reason }));
    }

    fn empty_outputs(&mut self, frame: &mut Vec<u8>) {
        frame.clear();
        while let Some((link, to)) = self.stack.poll_transmit(self.clock.now(), frame) {
            self.links.send(link, to, frame);
            frame.clear();
        }
        while let Some(operation) = self.stack.poll_store() {
            if let Err(error) = self.store.submit(operation) {
                tracing::error!(%error, "the store ended before the engine");
            }
        }
        while let Some((id, answer)) = self.stack.poll_echo() {
            self.echoes.on_result(&mut self.stack, self.clock.now(), id, answer);
        }
        self.insecure.transmit(frame);
        while let Some(trouble) = self.insecure.poll_trouble() {
            self.warn(trouble);
        }
        while let Some(event) = self.insecure.poll_event() {
            self.events.push(Event::Insecure(event));
        }
        deliver(&mut self.stack, &self.events, &mut self.waiting);
    }

    /// Says goodbye, and lets the store finish what it was given: a message that the disk has is answered as accepted.
    fn stop(mut self, frame: &mut Vec<u8>) {
        self.stack.leave(self.clock.now());
        self.insecure.leave(self.clock.now());
        self.empty_outputs(frame);
        for (link, counters) in self.links.counters() {
            tracing::debug!(?link, ?counters, "a link ends");
        }
        let Self { mut stack, store, events, mut replies, clock, mut waiting, .. } = self;
        store.close();
        while let Ok(batch) = replies.try_recv() {
            for reply in batch {
                stack.handle_store(clock.now(), reply);
            }
        }
        deliver(&mut stack, &events, &mut waiting);
    }
}

/// Hands over answers, then events: a status never overtakes the answer to its send.
fn deliver(stack: &mut Stack, events: &Events, waiting: &mut HashMap<MessageId, Reply<MessageId>>) {
    while let Some((id, result)) = stack.poll_accepted() {
        if let Some(reply) = waiting.remove(&id) {
            reply.give(result.map(|()| id).map_err(Error::from));
        }
    }
    while let Some(event) = stack.poll_event() {
        events.push(event);
    }
}
