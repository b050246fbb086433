//! Tells when the network interfaces of this machine may have changed.

use std::future::Future;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::Socket;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, Sleep, sleep};

use super::linux;

/// How often interfaces are looked at where the system does not tell of changes.
const POLL: Duration = Duration::from_secs(1);

/// How often they are looked at all the same where it does: a lack of memory or of descriptors passes untold.
const RECHECK: Duration = Duration::from_secs(30);

/// Messages read at once; the rest waits for the next poll.
const BATCH: usize = 256;

/// Wakes its owner when an interface has appeared, vanished or changed, or an address has.
///
/// The system's messages (rtnetlink(7)) are not parsed: what they say may be out of date when it is read, and some are
/// lost when there are many. They only cause the system to be asked again, which is right in both cases.
#[derive(Debug)]
pub(super) struct Monitor {
    netlink: Option<AsyncFd<Socket>>,
    due: Pin<Box<Sleep>>,
}

impl Monitor {
    /// Changes from now on; the first one is told at once, so that nothing is missed in between.
    pub(super) fn new() -> Self {
        let netlink = linux::route_socket().and_then(linux::watch);
        let netlink =
            netlink.inspect_err(|error| tracing::debug!(%error, "interfaces are looked at every second"));
        Self { netlink: netlink.ok(), due: Box::pin(sleep(Duration::ZERO)) }
    }

    /// Ready when something may have changed.
    pub(super) fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut changed = false;
        if let Some(netlink) = &self.netlink {
            match drain(netlink, cx) {
                Ok(any) => changed = any,
                Err(error) => {
                    tracing::warn!(%error, "interfaces are looked at every second");
                    self.netlink = None;
                    changed = true;
                }
            }
        }
        // Polled again after it was set, or nobody would be woken.
        while self.due.as_mut().poll(cx).is_ready() {
            let period = if self.netlink.is_some() { RECHECK } else { POLL };
            self.due.as_mut().reset(Instant::now() + period);
            changed = true;
        }
        if changed { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Makes the next poll tell a change.
    pub(super) fn suspect(&mut self) {
        self.due.as_mut().reset(Instant::now());
    }
}

/// Reads what there is, and tells whether there was anything.
fn drain(netlink: &AsyncFd<Socket>, cx: &mut Context<'_>) -> io::Result<bool> {
    let mut changed = false;
    for _ in 0..BATCH {
        let Poll::Ready(guard) = netlink.poll_read_ready(cx) else { return Ok(changed) };
        // The end of a longer message is lost, as the rest of it would be.
        match guard?.try_io(|netlink| netlink.get_ref().read(&mut [0; 64])) {
            Ok(Ok(_)) => changed = true,
            // Messages were lost, and the next ones follow.
            Ok(Err(error)) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => changed = true,
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => return Err(error),
            Err(_would_block) => {}
        }
    }
    cx.waker().wake_by_ref();
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use super::*;

    #[tokio::test]
    async fn without_netlink_it_polls() {
        let mut monitor = Monitor { netlink: None, due: Box::pin(sleep(Duration::ZERO)) };
        for _ in 0..2 {
            poll_fn(|cx| monitor.poll_changed(cx)).await;
            assert!(monitor.poll_changed(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        monitor.suspect();
        poll_fn(|cx| monitor.poll_changed(cx)).await;
    }
}
