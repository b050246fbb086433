//! The queue of events, with a descriptor to wait on.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::node::Event;

/// Events of presence and warnings that wait for the application at the most; the oldest of them goes first.
/// Messages are bounded by the hand-over window below, statuses by what the application itself has sent.
const MAX_NOTICES: usize = 4096;

/// Events of a node in the order in which they happened. Each event is taken by one taker.
#[derive(Debug)]
pub struct Events {
    state: Mutex<State>,
    notify: Notify,
    /// Readable while there is something to take, also after the node has stopped.
    readable: UnixStream,
    signal: UnixStream,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Event>,
    notices: usize,
    signalled: bool,
    stopped: bool,
    /// The last message that was handed over.
    arrival: u64,
}

fn is_notice(event: &Event) -> bool {
    matches!(event, Event::NodeFound(_) | Event::NodeLost(_) | Event::Warning(_))
}

impl Events {
    pub(crate) fn new() -> io::Result<Self> {
        let (readable, signal) = UnixStream::pair()?;
        readable.set_nonblocking(true)?;
        signal.set_nonblocking(true)?;
        Ok(Self { state: Mutex::default(), notify: Notify::new(), readable, signal })
    }

    /// The next event, if one waits.
    pub fn try_next(&self) -> Option<Event> {
        let mut state = self.state.lock();
        let event = state.queue.pop_front();
        if let Some(Event::Message(message)) = &event {
            state.arrival = message.arrival;
        }
        if event.as_ref().is_some_and(is_notice) {
            state.notices -= 1;
        }
        if state.queue.is_empty() && state.signalled && !state.stopped {
            state.signalled = false;
            let _ = (&self.readable).read(&mut [0; 1]);
        }
        event
    }

    /// Waits for the next event; `None` when the node has stopped and every event has been taken. No event is lost when
    /// the future is dropped.
    pub async fn next(&self) -> Option<Event> {
        loop {
            let notified = self.notify.notified();
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            if self.is_stopped() {
                return None;
            }
            notified.await;
        }
    }

    /// Arrival number of the last message that was taken from the queue.
    pub(crate) fn last_arrival(&self) -> u64 {
        self.state.lock().arrival
    }

    /// Waits until the node has stopped.
    pub async fn stopped(&self) {
        loop {
            let notified = self.notify.notified();
            if self.is_stopped() {
                return;
            }
            notified.await;
        }
    }

    /// Whether the node has stopped: no event will be added.
    pub fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    pub(crate) fn push(&self, event: Event) {
        let mut state = self.state.lock();
        if is_notice(&event) {
            state.notices += 1;
            if state.notices > MAX_NOTICES
                && let Some(oldest) = state.queue.iter().position(is_notice)
            {
                state.queue.remove(oldest);
                state.notices -= 1;
            }
        }
        state.queue.push_back(event);
        self.signal(&mut state);
        drop(state);
        self.notify.notify_waiters();
    }

    fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        self.signal(&mut state);
        drop(state);
        self.notify.notify_waiters();
    }

    fn signal(&self, state: &mut State) {
        if !state.signalled {
            state.signalled = true;
            // The pipe cannot be full: one byte per signal. A failure would mean that the process is out of memory.
            let _ = (&self.signal).write(&[1]);
        }
    }
}

/// Ends the events when it is dropped: also when the engine ends by a panic, nobody waits for ever.
pub(crate) struct StopOnDrop(pub(crate) std::sync::Arc<Events>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl AsFd for Events {
    /// Readable while events wait or the node has stopped. Only for waiting: never read from it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}
