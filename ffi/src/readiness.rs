//! Descriptors for calls that do not block: readable and writable as `poll` knows it from sockets.

use std::ffi::c_int;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use nix::sys::socket::{setsockopt, sockopt::SndBuf};
use parking_lot::Mutex;

use crate::error::Failure;
use crate::status::{MESHCHAT_BUSY, MESHCHAT_WOULD_BLOCK};

/// Send buffer of the descriptor that is handed out: as small as the system makes it, for it is filled and drained
/// whenever writing stops and goes on.
const SEND_BUFFER: usize = 4096;

/// What `poll` is told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// `POLLIN`.
    Read,
    /// `POLLOUT`.
    Write,
}

/// Whether an object can be read from and written to, shown by a descriptor once somebody wants one.
#[derive(Default)]
pub(crate) struct Readiness {
    state: Mutex<State>,
}

struct State {
    read: bool,
    write: bool,
    descriptors: Option<Descriptors>,
}

/// Everything is tried once before it is waited for.
impl Default for State {
    fn default() -> Self {
        Self { read: true, write: true, descriptors: None }
    }
}

impl Readiness {
    /// The descriptor, made at the first call.
    pub(crate) fn fd(&self) -> Result<c_int, Failure> {
        let mut state = self.state.lock();
        if state.descriptors.is_none() {
            let made = Descriptors::new(state.read, state.write);
            let failure = |error| Failure::new(MESHCHAT_BUSY, format!("no descriptor: {error}"));
            state.descriptors = Some(made.map_err(failure)?);
        }
        Ok(state.descriptors.as_ref().map_or(-1, |descriptors| descriptors.outer.as_raw_fd()))
    }

    fn change(&self, side: Side, ready: bool, unless: Option<&AtomicBool>) {
        let mut state = self.state.lock();
        let flag = if side == Side::Read { &mut state.read } else { &mut state.write };
        if *flag == ready || unless.is_some_and(|unless| unless.load(Ordering::SeqCst)) {
            return;
        }
        *flag = ready;
        if let Some(descriptors) = &state.descriptors {
            descriptors.show(side, ready);
        }
    }
}

/// Two ends of a local socket. The program waits on the outer one: readable while a byte from the inner one is in it,
/// writable unless its send buffer is full.
struct Descriptors {
    outer: UnixStream,
    inner: UnixStream,
}

impl Descriptors {
    fn new(read: bool, write: bool) -> io::Result<Self> {
        let (outer, inner) = UnixStream::pair()?;
        outer.set_nonblocking(true)?;
        inner.set_nonblocking(true)?;
        setsockopt(&outer, SndBuf, &SEND_BUFFER)?;
        let descriptors = Self { outer, inner };
        if read {
            descriptors.show(Side::Read, true);
        }
        if !write {
            descriptors.show(Side::Write, false);
        }
        Ok(descriptors)
    }

    /// The errors are those of a full and of an empty socket, which end the loops.
    fn show(&self, side: Side, ready: bool) {
        match (side, ready) {
            (Side::Read, true) => drop((&self.inner).write(&[1])),
            (Side::Read, false) => drop((&self.outer).read(&mut [0; 1])),
            (Side::Write, true) => while matches!((&self.inner).read(&mut [0; 2 * SEND_BUFFER]), Ok(1..)) {},
            (Side::Write, false) => while matches!((&self.outer).write(&[0; 2 * SEND_BUFFER]), Ok(1..)) {},
        }
    }
}

/// One kind of call on an object that may have to wait.
pub(crate) struct Direction {
    shared: Arc<Shared>,
    waker: Waker,
}

struct Shared {
    readiness: Arc<Readiness>,
    side: Side,
    /// The core has woken since the latest attempt began.
    woken: AtomicBool,
}

impl Direction {
    pub(crate) fn new(readiness: &Arc<Readiness>, side: Side) -> Self {
        let (readiness, woken) = (Arc::clone(readiness), AtomicBool::new(false));
        let shared = Arc::new(Shared { readiness, side, woken });
        Self { waker: Waker::from(Arc::clone(&shared)), shared }
    }

    /// Tries; what is not ready becomes `MESHCHAT_WOULD_BLOCK`, and the descriptor tells when to try again. One thread at
    /// a time may do so.
    pub(crate) fn attempt<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Result<T, Failure> {
        let Shared { readiness, side, woken } = &*self.shared;
        woken.store(false, Ordering::SeqCst);
        match poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(value) => Ok(value),
            Poll::Pending => {
                readiness.change(*side, false, Some(woken));
                Err(Failure::new(MESHCHAT_WOULD_BLOCK, "not now; wait with poll(), then try again"))
            }
        }
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.readiness.change(self.side, true, None);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::BorrowedFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn polled(readiness: &Readiness) -> (bool, bool) {
        let fd = readiness.fd().ok().expect("a descriptor");
        // SAFETY: the readiness lives longer.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let mut fds = [PollFd::new(fd, PollFlags::POLLIN | PollFlags::POLLOUT)];
        poll(&mut fds, PollTimeout::ZERO).expect("poll");
        let events = fds[0].revents().expect("events");
        (events.contains(PollFlags::POLLIN), events.contains(PollFlags::POLLOUT))
    }

    fn fails(direction: &Direction) -> Waker {
        let mut waker = None;
        let tried = direction.attempt(|cx| {
            waker = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        assert_eq!(tried.map_err(Failure::remember), Err(MESHCHAT_WOULD_BLOCK));
        waker.expect("a waker")
    }

    #[test]
    fn each_side_is_shown_on_its_own() {
        // Made early, and made when both wait already.
        for early in [true, false] {
            let readiness = Arc::new(Readiness::default());
            let [reader, writer] = [Side::Read, Side::Write].map(|side| Direction::new(&readiness, side));
            if early {
                assert_eq!(polled(&readiness), (true, true));
            }
            for _ in 0..3 {
                let (read, write) = (fails(&reader), fails(&writer));
                assert_eq!(polled(&readiness), (false, false));
                read.wake_by_ref();
                read.wake();
                assert_eq!(polled(&readiness), (true, false));
                assert_eq!(reader.attempt(|_| Poll::Ready(5)).ok(), Some(5));
                assert_eq!(polled(&readiness), (true, false), "there may be more");
                write.wake();
                fails(&reader);
                assert_eq!(polled(&readiness), (false, true));
            }
        }
    }

    #[test]
    fn a_wake_during_the_attempt_is_not_lost() {
        let readiness = Arc::new(Readiness::default());
        let reader = Direction::new(&readiness, Side::Read);
        fails(&reader);
        assert!(!polled(&readiness).0);
        let tried = reader.attempt(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert!(tried.is_err() && polled(&readiness).0);
    }
}
