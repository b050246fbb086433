//! Answers to sends and the like, on their way from the engine's thread to the event loop.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use meshcore::Error;
use parking_lot::Mutex;

/// The number that the caller gave to a call, and what it made (a message, a stream) or how it failed.
pub(crate) type Answer = (u64, Result<String, Error>);

/// A queue with a descriptor of its own, apart from the events': answers have to get through also while nobody takes
/// events, and events have to wait in the core (which bounds them) while nobody takes them.
pub(crate) struct Answers {
    queue: Mutex<VecDeque<Answer>>,
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
        let mut queue = self.queue.lock();
        queue.push_back(answer);
        if queue.len() == 1 {
            // Cannot be full: one byte at a time is in it.
            let _ = (&self.signal).write(&[1]);
        }
    }

    pub(crate) fn take_all(&self) -> VecDeque<Answer> {
        let mut queue = self.queue.lock();
        if !queue.is_empty() {
            let _ = (&self.readable).read(&mut [0; 8]);
        }
        std::mem::take(&mut *queue)
    }

    pub(crate) fn fileno(&self) -> RawFd {
        self.readable.as_raw_fd()
    }
}
