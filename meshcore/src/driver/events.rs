//! The queue of events, with a descriptor to wait on.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::node::{Event, InsecureEvent, Warning};

/// Events of presence, files and rooms, and warnings, that wait for the application at the most; the oldest of them goes first.
/// Messages are bounded by the hand-over window below, statuses by what the application itself has sent.
const MAX_NOTICES: usize = 4096;

/// Insecure events that wait at the most, but for the outcomes of messages that the application itself has sent; the
/// oldest of them goes first, and the application is told how many went. None holds more than a frame, so this is
/// 10 MB with the largest frames and 1.5 MB with the usual ones.
const MAX_INSECURE: usize = 1024;

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
    insecure: usize,
    /// Insecure events that were dropped since the application was told.
    dropped: u64,
    signalled: bool,
    stopped: bool,
    /// The last message that was handed over.
    arrival: u64,
}

fn is_notice(event: &Event) -> bool {
    match event {
        Event::NodeFound(_) | Event::NodeLost(_) | Event::RouteChanged(_) | Event::Warning(_) => true,
        // The list of files has them as well, and peers decide how many there are.
        Event::FileOffered(_) | Event::FileProgress(_) => true,
        // As the list of rooms has those.
        Event::Room { .. } => true,
        Event::FileFailed(file) => file.incoming,
        _ => false,
    }
}

fn is_insecure(event: &Event) -> bool {
    use InsecureEvent::{Delivered, Failed};
    matches!(event, Event::Insecure(event) if !matches!(event, Delivered { .. } | Failed { .. }))
}

impl State {
    /// Makes room for another insecure event, if there are too many.
    fn drop_insecure(&mut self) {
        if self.insecure > MAX_INSECURE
            && let Some(oldest) = self.queue.iter().position(is_insecure)
        {
            self.queue.remove(oldest);
            self.insecure -= 1;
            self.dropped += 1;
        }
    }
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
        if state.dropped > 0 {
            // What is left of them waits behind this, so the descriptor stays readable.
            let count = std::mem::take(&mut state.dropped);
            return Some(Event::Warning(Warning::InsecureDropped { count }));
        }
        let event = state.queue.pop_front();
        if let Some(Event::Message(message)) = &event {
            state.arrival = message.arrival;
        }
        if event.as_ref().is_some_and(is_notice) {
            state.notices -= 1;
        }
        if event.as_ref().is_some_and(is_insecure) {
            state.insecure -= 1;
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
            // Asked first: the last event may come between the two questions.
            let stopped = self.is_stopped();
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            if stopped {
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
        if is_insecure(&event) {
            state.insecure += 1;
            state.drop_insecure();
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use tokio::runtime;

    use super::*;
    use crate::node::{IncomingMessage, InsecureMessageId};
    use crate::types::{MessageId, NodeId, RoomChange, RoomId, UnixTime, V1Address};

    fn is_readable(events: &Events) -> bool {
        let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    }

    fn notice(number: usize) -> Event {
        Event::Warning(Warning::Storage(number.to_string()))
    }

    fn message(arrival: u64) -> Event {
        Event::Message(IncomingMessage {
            arrival,
            from: NodeId([1; 32]),
            id: MessageId([2; 16]),
            room: None,
            text: "hello".into(),
            sent_at: UnixTime::default(),
            received_at: UnixTime::default(),
        })
    }

    #[test]
    fn descriptor_is_readable_while_events_wait() {
        let events = Events::new().unwrap();
        for _ in 0..3 {
            assert!(!is_readable(&events));
            assert_eq!(events.try_next(), None);
            events.push(notice(1));
            events.push(notice(2));
            for number in [1, 2] {
                assert!(is_readable(&events));
                assert_eq!(events.try_next(), Some(notice(number)));
            }
        }
    }

    #[test]
    fn a_stop_stays_readable_and_leaves_the_events() {
        for signalled in [false, true] {
            let events = Events::new().unwrap();
            events.push(notice(1));
            if !signalled {
                events.try_next();
            }
            events.stop();
            assert_eq!(events.try_next().is_some(), signalled);
            assert_eq!(events.try_next(), None);
            assert!(is_readable(&events) && events.is_stopped());
        }
    }

    #[test]
    fn old_notices_give_way_and_messages_do_not() {
        let events = Events::new().unwrap();
        events.push(message(1));
        events.push(Event::Room {
            room: RoomId([1; 16]),
            name: "spam".parse().unwrap(),
            change: RoomChange::Invited,
        });
        (0..2 * MAX_NOTICES).for_each(|number| events.push(notice(number)));
        events.push(message(2));
        assert_eq!(events.last_arrival(), 0);
        assert_eq!(events.try_next(), Some(message(1)));
        assert_eq!(events.last_arrival(), 1);
        for number in MAX_NOTICES..2 * MAX_NOTICES {
            assert_eq!(events.try_next(), Some(notice(number)));
        }
        assert_eq!(events.try_next(), Some(message(2)));
        assert_eq!(events.try_next(), None);
        assert!(!is_readable(&events));
    }

    #[test]
    fn old_insecure_events_give_way_to_new_ones_and_to_nothing_else() {
        let from = V1Address([2, 0, 0, 0, 0, 1]);
        let text = |number: usize| {
            Event::Insecure(InsecureEvent::Message { from, text: number.to_string(), to_all: false })
        };
        let failed =
            |number| Event::Insecure(InsecureEvent::Failed { id: InsecureMessageId(number), to: from });
        let events = Events::new().unwrap();
        events.push(message(1));
        events.push(failed(1));
        events.push(notice(1));
        (0..MAX_INSECURE + 10).for_each(|number| events.push(text(number)));
        events.push(failed(2));
        let dropped = Event::Warning(Warning::InsecureDropped { count: 10 });
        assert_eq!(events.try_next(), Some(dropped));
        for event in [message(1), failed(1), notice(1)] {
            assert_eq!(events.try_next(), Some(event));
        }
        for number in 10..MAX_INSECURE + 10 {
            assert!(is_readable(&events));
            assert_eq!(events.try_next(), Some(text(number)));
        }
        assert_eq!(events.try_next(), Some(failed(2)));
        assert_eq!(events.try_next(), None);
        assert!(!is_readable(&events));
        // What was taken makes room.
        (0..MAX_INSECURE).for_each(|number| events.push(text(number)));
        assert_eq!(events.try_next(), Some(text(0)));
    }

    #[test]
    fn whoever_waits_is_woken_whatever_the_timing() {
        const COUNT: usize = 20_000;
        let events = Arc::new(Events::new().unwrap());
        let producer = Arc::clone(&events);
        let thread = std::thread::spawn(move || {
            let _stop = StopOnDrop(Arc::clone(&producer));
            for number in 0..COUNT {
                producer.push(message(number as u64));
            }
        });
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        // Two takers: each event comes to one of them, and both see the end.
        let take = || async {
            let mut taken = 0;
            while events.next().await.is_some() {
                taken += 1;
            }
            taken
        };
        let (a, b, ()) = runtime.block_on(async { tokio::join!(take(), take(), events.stopped()) });
        assert_eq!(a + b, COUNT);
        thread.join().unwrap();
    }

    #[test]
    fn polling_from_another_thread_misses_nothing() {
        const COUNT: usize = 20_000;
        let events = Arc::new(Events::new().unwrap());
        let producer = StopOnDrop(Arc::clone(&events));
        let thread = std::thread::spawn(move || {
            (0..COUNT).for_each(|number| producer.0.push(message(number as u64)));
        });
        let mut taken = 0;
        while !(events.is_stopped() && taken == COUNT) {
            let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut fds, 20_000u16).unwrap(), 1, "after {taken}");
            while events.try_next().is_some() {
                taken += 1;
            }
        }
        thread.join().unwrap();
    }

    #[test]
    fn a_panic_ends_the_events() {
        let events = Arc::new(Events::new().unwrap());
        let stop = StopOnDrop(Arc::clone(&events));
        let engine = std::thread::spawn(move || {
            let _stop = stop;
            std::panic::resume_unwind(Box::new("the engine dies"));
        });
        assert!(engine.join().is_err());
        assert!(events.is_stopped());
    }
}
