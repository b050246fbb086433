//! What became of the frames of a link.

use std::io;

use nix::libc;

/// Frames of one link since it was opened. A group frame counts once, however many interfaces it goes out on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkCounters {
    /// Given to the system to be sent.
    pub sent: u64,
    /// Received and handed on.
    pub received: u64,
    /// Not sent: the system's buffer was full, and the frame was not to wait, or the system dropped it.
    pub dropped_full: u64,
    /// Not sent: no interface worked, or there was no way to the station.
    pub dropped_down: u64,
    /// Not sent: the system refused for another reason (too long, forbidden by a firewall).
    pub dropped_error: u64,
    /// Received and dropped: for another station, of another VLAN, empty, or longer than any frame.
    pub dropped_foreign: u64,
}

/// What became of frames that were given to a link.
#[derive(Debug, Default)]
#[must_use = "frames that were not dealt with are to be given again"]
pub struct Sent {
    /// So many, from the first on, are sent or lost. The rest waits for [`super::Link::poll_writable`].
    pub done: usize,
    /// The first error that somebody should hear of: not that a buffer is full or that an interface is down.
    pub error: Option<io::Error>,
}

impl Sent {
    /// One more, and how it went.
    pub(super) fn note(&mut self, result: io::Result<()>) {
        self.done += 1;
        self.error = self.error.take().or(result.err());
    }

    /// Some more.
    pub(super) fn add(&mut self, more: Self) {
        self.done += more.done;
        self.error = self.error.take().or(more.error);
    }
}

impl LinkCounters {
    /// Counts how a send went. An error comes back only when somebody should hear of it: not for a full buffer, and
    /// not for a dead interface, which is told as such.
    pub(super) fn count_sent(&mut self, result: io::Result<()>) -> io::Result<()> {
        let Err(error) = result else {
            self.sent += 1;
            return Ok(());
        };
        if is_full(&error) {
            self.dropped_full += 1;
        } else if is_down(&error) {
            self.dropped_down += 1;
        } else {
            self.dropped_error += 1;
            return Err(error);
        }
        Ok(())
    }

    /// The sum of two.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            received: self.received + other.received,
            dropped_full: self.dropped_full + other.dropped_full,
            dropped_down: self.dropped_down + other.dropped_down,
            dropped_error: self.dropped_error + other.dropped_error,
            dropped_foreign: self.dropped_foreign + other.dropped_foreign,
        }
    }
}

/// Whether a buffer of the system had no room.
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// Whether an interface, an address or a route is missing, perhaps only for now.
pub(super) fn is_down(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkDown, NetworkUnreachable};
    matches!(error.kind(), AddrNotAvailable | HostUnreachable | NetworkDown | NetworkUnreachable)
        || matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}

#[cfg(test)]
mod tests {
    use nix::libc::{EADDRNOTAVAIL, EHOSTUNREACH, ENETDOWN, ENETUNREACH, ENODEV, ENXIO};

    use super::*;

    #[test]
    fn each_cause_has_its_counter() {
        let mut counters = LinkCounters::default();
        let mut count = |code| counters.count_sent(Err(io::Error::from_raw_os_error(code))).is_ok();
        assert!(count(libc::EAGAIN) && count(libc::ENOBUFS));
        assert!(
            [ENETDOWN, ENXIO, ENODEV, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL]
                .map(&mut count)
                .iter()
                .all(|quiet| *quiet)
        );
        assert!(
            !count(libc::EMSGSIZE)
                && !count(libc::ECONNREFUSED)
                && !count(libc::EPERM)
                && !count(libc::EINVAL)
        );
        counters.count_sent(Ok(())).unwrap();
        let wanted = LinkCounters {
            sent: 1,
            dropped_full: 2,
            dropped_down: 6,
            dropped_error: 4,
            ..Default::default()
        };
        assert_eq!(counters, wanted);
        assert_eq!(counters.plus(counters).dropped_error, 8);
    }
}
