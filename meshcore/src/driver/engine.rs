//! The engine: one thread that owns the links and the store, and drives the node.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::yield_now;
use tokio::time::Instant as Tick;

use super::connections::{ConnectionCommand, Hub};
use super::echoes::{Echoes, Pong, TraceHop};
use super::error::Error;
use super::events::Events;
use super::files::{FileCommand, Files, Notice};
use super::insecure::{InsecureCommand, InsecureLinks};
use super::link::{BATCH, Inbound};
use super::links::{Links, Received};
use super::people::{self, PeopleCommand};
use super::rooms::{self, RoomsCommand};
use super::sealer::Sealer;
use super::signals::{Input, Signals};
use super::store::Store;
use super::timer::Timer;
use super::trouble::Trouble;
use crate::message::JobOutcome;
use crate::message::store::StoreReply;
use crate::node::{Event, NodeInfo, Now, Stack, Warning};
use crate::types::{Instant, LinkId, MessageId, NodeId, UnixTime};

/// Commands handled before the outputs are emptied.
const COMMANDS: usize = 64;

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
    Send {
        to: NodeId,
        name: Option<String>,
        text: String,
        lifetime: Option<Duration>,
        reply: Reply<MessageId>,
    },
    MarkRead {
        from: NodeId,
        arrival: u64,
    },
    Nodes {
        reply: Reply<Vec<NodeInfo>>,
    },
    Resolve {
        query: String,
        reply: Reply<NodeInfo>,
    },
    Ping {
        to: NodeId,
        timeout: Duration,
        reply: Reply<Pong>,
    },
    Trace {
        to: NodeId,
        reply: Reply<Vec<TraceHop>>,
    },
    Broadcast {
        text: String,
        reply: Reply<()>,
    },
    Confirmed {
        arrival: u64,
    },
    Insecure(InsecureCommand),
    Connection(ConnectionCommand),
    People(PeopleCommand),
    File(FileCommand),
    Rooms(RoomsCommand),
    Stop,
}

/// What comes from the threads that work for the engine.
pub(super) enum Answer {
    Store(Vec<StoreReply>),
    Job(JobOutcome),
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
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic: self.monotonic(),
            wall: UnixTime::from_millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// The same moment's successor: the wall's clock is not read again.
    fn later(self, now: Now) -> Now {
        Now { monotonic: self.monotonic(), ..now }
    }

    fn monotonic(self) -> Instant {
        let micros = self.start.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn tick(self, instant: Instant) -> Tick {
        self.start + (instant - Instant::default())
    }
}

pub(super) struct Engine {
    pub(super) stack: Stack,
    pub(super) links: Links,
    pub(super) insecure: InsecureLinks,
    // In this order they are dropped: files may wait for an answer to a command, and the store until nobody can ask it.
    pub(super) commands: UnboundedReceiver<Command>,
    pub(super) hub: Hub,
    pub(super) files: Files,
    pub(super) store: Store,
    pub(super) events: Arc<Events>,
    pub(super) sealer: Sealer,
    pub(super) answers: UnboundedReceiver<Answer>,
    pub(super) clock: Clock,
    pub(super) waiting: HashMap<MessageId, Reply<MessageId>>,
    pub(super) echoes: Echoes,
    pub(super) signals: Signals,
}

/// What the engine works with while it runs.
struct Desk {
    inbound: Inbound,
    /// The link that `inbound` came from.
    from: LinkId,
    /// The moment of this turn.
    now: Now,
    /// The frame in the making.
    frame: Vec<u8>,
    timer: Timer,
}

impl Engine {
    /// Runs until it is told to stop or every handle is gone.
    ///
    /// Turn by turn: everything that has come is taken in, up to a batch of each kind, and what the node has to say to that
    /// is sent, up to a batch. So nothing waits for more than a batch of something else.
    pub(super) async fn run(mut self) {
        let (inbound, timer) = (Inbound::new(), Timer::new());
        let now = self.clock.now();
        let mut desk = Desk { inbound, from: LinkId(0), now, frame: Vec::new(), timer };
        loop {
            let more = self.empty_outputs(&mut desk) || !desk.inbound.is_empty();
            if more {
                // Other tasks of this runtime, and news of other descriptors, have a turn as well.
                yield_now().await;
            }
            let turn = poll_fn(|cx| match self.poll_inputs(cx, &mut desk) {
                Poll::Pending if more => Poll::Ready(true),
                turn => turn,
            });
            if !turn.await {
                break;
            }
        }
        self.stop(&mut desk);
    }

    /// Takes in what there is; `false`: the engine is to stop.
    fn poll_inputs(&mut self, cx: &mut Context<'_>, desk: &mut Desk) -> Poll<bool> {
        let mut any = false;
        desk.now = self.clock.now();
        self.signals.begin(cx);
        match self.signals.ask(Input::Commands, |cx| self.commands.poll_recv(cx)) {
            Poll::Ready(None) => return Poll::Ready(false),
            Poll::Ready(Some(command)) => {
                self.handle_commands(desk.now, command);
                any = true;
            }
            Poll::Pending => {}
        }
        if let Poll::Ready(Some(answer)) = self.signals.ask(Input::Answers, |cx| self.answers.poll_recv(cx)) {
            take_in(&mut self.stack, desk.now, answer);
            any = true;
        }
        any |= self.signals.ask(Input::Handles, |cx| self.hub.poll(cx, &mut self.stack)).is_ready();
        any |= self.links.poll_writable(cx).is_ready();
        any |= self.poll_links(desk);
        any |= pin!(self.insecure.recv(self.clock)).poll(cx).is_ready();
        any |= self.poll_timers(cx, desk, any);
        if any { Poll::Ready(true) } else { Poll::Pending }
    }

    /// Does what is due. The timer is only set when the engine is about to wait.
    fn poll_timers(&mut self, cx: &mut Context<'_>, desk: &mut Desk, is_busy: bool) -> bool {
        // While a link is full the node is not asked for frames, and what is due stays due: its timers wait as well.
        let stack = if self.links.are_blocked() { None } else { self.stack.poll_timeout() };
        let deadlines = [stack, self.insecure.poll_timeout()];
        let deadlines = deadlines.map(|instant| instant.map(|instant| self.clock.tick(instant)));
        let deadline = deadlines.into_iter().chain([self.links.poll_timeout()]).flatten().min();
        let Some(deadline) = deadline else { return false };
        let is_due = match is_busy {
            true => deadline <= self.clock.tick(desk.now.monotonic),
            false => desk.timer.poll(cx, deadline).is_ready(),
        };
        if !is_due {
            return false;
        }
        desk.now = self.clock.later(desk.now);
        self.handle_timeout(desk.now);
        true
    }

    fn handle_timeout(&mut self, now: Now) {
        if self.stack.poll_timeout().is_some_and(|due| due <= now.monotonic) {
            self.stack.handle_timeout(now);
        }
        self.insecure.handle_timeout(now);
        self.links.handle_timeout(self.clock.tick(now.monotonic));
    }

    /// The first command, and those that wait behind it, up to a limit.
    fn handle_commands(&mut self, now: Now, first: Command) {
        self.handle_command(now, first);
        for _ in 1..COMMANDS {
            match self.commands.try_recv() {
                Ok(command) => self.handle_command(now, command),
                Err(_) => return,
            }
        }
    }

    fn handle_command(&mut self, now: Now, command: Command) {
        match command {
            Command::Send { to, name, text, lifetime, reply } => {
                let sent = match name {
                    Some(name) => self.stack.send_named(now, to, &name, text, lifetime),
                    None => self.stack.send(now, to, text, lifetime),
                };
                match sent {
                    Ok(id) => drop(self.waiting.insert(id, reply)),
                    Err(error) => reply.give(Err(error.into())),
                }
            }
            Command::MarkRead { from, arrival } => self.stack.mark_read(now, from, arrival),
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
            Command::People(command) => people::handle_command(now, &mut self.stack, &self.files, command),
            Command::Connection(command) => self.hub.handle_command(now, &mut self.stack, command),
            Command::File(command) => self.handle_file_command(command),
            Command::Rooms(command) => rooms::handle(&mut self.stack, now, &mut self.waiting, command),
            // What waits in the channel is still handled; then the channel's end ends the engine.
            Command::Stop => self.commands.close(),
        }
    }

    /// Whether a file may go to a node is for the stack to say, which knows the nodes.
    fn handle_file_command(&mut self, command: FileCommand) {
        if let FileCommand::Send { to, name, .. } = &command
            && let Err(error) = self.stack.offer_file(*to, name.as_deref())
        {
            return command.fail(error.into());
        }
        self.files.submit(command);
    }

    /// News of the links, or a batch of frames; whether there was anything.
    fn poll_links(&mut self, desk: &mut Desk) -> bool {
        if desk.inbound.is_empty() {
            let received = self.signals.ask(Input::Links, |cx| self.links.poll(cx, &mut desk.inbound));
            let Poll::Ready(received) = received else { return false };
            self.handle_received(received, desk);
        }
        for _ in 0..BATCH {
            let Some((from, frame)) = desk.inbound.pop() else { break };
            desk.frame.clear();
            if let Some((link, to)) =
                self.stack.handle_frame(desk.now, desk.from, from, frame, &mut desk.frame)
            {
                self.links.push(link, to, &mut desk.frame);
                self.signals.raise(Input::Links);
            }
        }
        true
    }

    fn handle_received(&mut self, received: Received, desk: &mut Desk) {
        match received {
            Received::Frames { link } => desk.from = link,
            Received::Up { link, name, info } => {
                tracing::info!(%name, ?info, "a link is up");
                self.stack.add_link(desk.now, link, &name, info);
            }
            Received::Down { link, trouble } => {
                self.stack.remove_link(desk.now, link);
                trouble.into_iter().for_each(|trouble| self.warn(trouble));
            }
            Received::Trouble(trouble) => self.warn(trouble),
        }
    }

    fn warn(&self, Trouble { link, reason }: Trouble) {
        self.events.push(Event::Warning(Warning::Link { link, reason }));
    }

    /// Sends a batch of the frames that the node has for the links; whether there may be more.
    fn transmit(&mut self, now: Now, frame: &mut Vec<u8>) -> bool {
        let mut room = BATCH;
        // When a link is full the node is not asked: it would send into a loss that only looks like one of the network.
        while room > 0 && !self.links.are_blocked() {
            frame.clear();
            let Some((link, to)) = self.stack.poll_transmit(now, frame) else { break };
            self.links.push(link, to, frame);
            room -= 1;
        }
        self.links.flush();
        if room < BATCH {
            // They may have noticed that something does not work.
            self.signals.raise(Input::Links);
        }
        room == 0
    }

    /// First of all outputs: what applications read and write makes frames.
    fn carry_connection_events(&mut self, now: Now) {
        while let Some((id, event)) = self.stack.poll_connection_event(now) {
            self.hub.handle_event(now, &mut self.stack, id, event);
        }
    }

    /// Empties what the node gives out; whether there may be more to send.
    fn empty_outputs(&mut self, desk: &mut Desk) -> bool {
        let Desk { now, frame, .. } = desk;
        self.carry_connection_events(*now);
        // When packets left is what round trips are measured from.
        *now = self.clock.later(*now);
        let more = self.transmit(*now, frame);
        while let Some(operation) = self.stack.poll_store() {
            if let Err(error) = self.store.submit(operation) {
                tracing::error!(%error, "the store ended before the engine");
            }
        }
        while let Some((job, record)) = self.stack.poll_job() {
            self.sealer.submit(job, record);
        }
        while let Some((id, answer)) = self.stack.poll_echo() {
            self.echoes.on_result(&mut self.stack, *now, id, answer);
        }
        self.insecure.transmit(frame);
        while let Some(trouble) = self.insecure.poll_trouble() {
            self.warn(trouble);
        }
        while let Some(event) = self.insecure.poll_event() {
            self.events.push(Event::Insecure(event));
        }
        while let Some(node) = self.stack.poll_restarted() {
            self.files.tell(Notice::Restarted(node));
        }
        deliver(&mut self.stack, (&self.events, Some(&self.files)), &mut self.waiting);
        more
    }

    /// Says goodbye, and lets the store finish what it was given: a message that the disk has is answered as accepted.
    fn stop(mut self, desk: &mut Desk) {
        self.stack.leave(desk.now);
        self.insecure.leave(desk.now);
        while self.empty_outputs(desk) {}
        for (link, counters) in self.links.counters() {
            tracing::debug!(?link, ?counters, "a link ends");
        }
        let Self { mut stack, store, sealer, events, mut answers, clock, mut waiting, files, .. } = self;
        drop(sealer);
        // Before the store, in which it notes how far everything has come.
        drop(files);
        store.close();
        while let Ok(answer) = answers.try_recv() {
            take_in(&mut stack, clock.now(), answer);
        }
        deliver(&mut stack, (&events, None), &mut waiting);
    }
}

fn take_in(stack: &mut Stack, now: Now, answer: Answer) {
    match answer {
        Answer::Store(replies) => replies.into_iter().for_each(|reply| stack.handle_store(now, reply)),
        Answer::Job(outcome) => stack.handle_job(now, outcome),
    }
}

/// Hands over answers, then events: a status never overtakes the answer to its send.
fn deliver(
    stack: &mut Stack,
    (events, files): (&Events, Option<&Files>),
    waiting: &mut HashMap<MessageId, Reply<MessageId>>,
) {
    while let Some((id, result)) = stack.poll_accepted() {
        if let Some(reply) = waiting.remove(&id) {
            reply.give(result.map(|()| id).map_err(Error::from));
        }
    }
    while let Some(event) = stack.poll_event() {
        let notice = match &event {
            Event::NodeFound(node) => Some(Notice::Found(node.id)),
            Event::NodeLost(node) => Some(Notice::Lost(node.id)),
            _ => None,
        };
        if let (Some(files), Some(notice)) = (files, notice) {
            files.tell(notice);
        }
        events.push(event);
    }
}
