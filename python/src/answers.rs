//! Answers to calls, on their way from the engine's thread to the event loop.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Wake, Waker};

use bytes::Bytes;
use meshcore::Error;
use meshcore::Statistics;
use parking_lot::Mutex;

use crate::tasks::Task;

/// What a call made.
pub(crate) enum Value {
    /// The id of a message, the number of an insecure stream.
    Text(String),
    Connection(meshcore::Connection),
    Listener(meshcore::Listener),
    Stream(meshcore::Stream),
    Datagram(Bytes),
    Statistics(Box<Statistics>),
    /// It is time to look again.
    Nothing,
}

/// The number that the caller gave to a call, and what it made or how it failed.
pub(crate) type Answer = (u64, Result<Value, Error>);

enum Entry {
    Answer(Answer),
    /// A call that may have got further.
    Task(Arc<Task>),
}

/// A queue with a descriptor of its own, apart from the events': answers have to get through also while nobody takes
/// events, and events have to wait in the core (which bounds them) while nobody takes them.
pub(crate) struct Answers {
    queue: Mutex<VecDeque<Entry>>,
    readable: UnixStream,
    signal: UnixStream,
}

impl Answers {
    pub(crate) fn new() -> io::Result<Self> {
        let (readable, signal) = UnixStream::pair()?;
        readable.set_nonblocking(true)?;
        signal.set_nonblocking(true)?;
        Ok(Self { queue: Mutex::default(), readable, signal })
    }

    pub(crate) fn push(&self, answer: Answer) {
        self.push_entry(Entry::Answer(answer));
    }

    pub(crate) fn push_task(&self, task: Arc<Task>) {
        self.push_entry(Entry::Task(task));
    }

    fn push_entry(&self, entry: Entry) {
        let mut queue = self.queue.lock();
        queue.push_back(entry);
        if queue.len() == 1 {
            // Cannot be full: one byte at a time is in it.
            let _ = (&self.signal).write(&[1]);
        }
    }

    /// The answers that are there, after the calls that may have got further were driven on.
    pub(crate) fn take_all(&self) -> Vec<Answer> {
        let entries = {
            let mut queue = self.queue.lock();
            if !queue.is_empty() {
                let _ = (&self.readable).read(&mut [0; 8]);
            }
            std::mem::take(&mut *queue)
        };
        let answer = |entry| match entry {
            Entry::Answer(answer) => Some(answer),
            Entry::Task(task) => task.run(),
        };
        entries.into_iter().filter_map(answer).collect()
    }

    pub(crate) fn fileno(&self) -> RawFd {
        self.readable.as_raw_fd()
    }

    /// A waker that answers `token`, with nothing, whenever it is woken.
    pub(crate) fn waker(self: &Arc<Self>, token: u64) -> Waker {
        Waker::from(Arc::new(Notice { token, answers: Arc::clone(self) }))
    }
}

struct Notice {
    token: u64,
    answers: Arc<Answers>,
}

impl Wake for Notice {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.answers.push((self.token, Ok(Value::Nothing)));
    }
}
