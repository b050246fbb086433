//! A timer that is exact enough for pacing.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, Sleep, sleep_until};

/// Wakes the engine, where the system has timerfd_create(2) to the microsecond: tokio's own timers count whole milliseconds,
/// in which a fast connection sends a thousand frames.
#[derive(Debug)]
pub(super) struct Timer {
    exact: Option<Exact>,
    /// Instead of it, where there is none.
    coarse: Pin<Box<Sleep>>,
}

#[derive(Debug)]
struct Exact {
    fd: AsyncFd<Descriptor>,
    /// When it fires, as far as is known.
    armed: Option<Instant>,
}

/// A TimerFd as tokio takes it.
#[derive(Debug)]
struct Descriptor(TimerFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Timer {
    /// Inside a tokio runtime.
    pub(super) fn new() -> Self {
        let exact = Exact::new().inspect_err(|error| tracing::debug!(%error, "timers are coarse"));
        Self { exact: exact.ok(), coarse: Box::pin(sleep_until(Instant::now())) }
    }

    /// Ready when `deadline` has come. Only the latest deadline counts.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let Some(exact) = &mut self.exact else { return self.poll_coarse(cx, deadline) };
        match ready!(exact.poll(cx, deadline)) {
            Ok(()) => Poll::Ready(()),
            Err(error) => {
                tracing::debug!(%error, "timers are coarse");
                self.exact = None;
                self.poll_coarse(cx, deadline)
            }
        }
    }

    fn poll_coarse(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if self.coarse.deadline() != deadline {
            self.coarse.as_mut().reset(deadline);
        }
        self.coarse.as_mut().poll(cx)
    }
}

impl Exact {
    fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = Descriptor(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
        // SAFETY: a TimerFd owns its descriptor, keeps it open until it is dropped, and always names the same one.
        let fd = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
        Ok(Self { fd, armed: None })
    }

    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<io::Result<()>> {
        loop {
            let now = Instant::now();
            if deadline <= now {
                return Poll::Ready(Ok(()));
            }
            // A deadline that moves away, as most do with every frame, costs no call: the timer fires early, once.
            if self.armed.is_none_or(|armed| armed > deadline) {
                // Zero would disarm it.
                let wait = (deadline - now).max(Duration::from_nanos(1));
                let expiration = Expiration::OneShot(TimeSpec::from_duration(wait));
                self.fd.get_ref().0.set(expiration, TimerSetTimeFlags::empty())?;
                self.armed = Some(deadline);
            }
            // It is never read: each time that it fires is told anew.
            ready!(self.fd.poll_read_ready(cx))?.clear_ready();
            self.armed = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Deadlines that come near, move away, and lie in the past.
    async fn check(timer: &mut Timer) {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut poll = |deadline| {
            let waker = std::task::Waker::noop();
            timer.poll(&mut Context::from_waker(waker), deadline).is_pending()
        };
        assert!(poll(at(60_000)) && poll(at(120_000)) && poll(at(90_000)));
        for deadline in [at(20), at(5), at(40), start] {
            let fired = poll_fn(|cx| timer.poll(cx, deadline));
            tokio::time::timeout(Duration::from_secs(20), fired).await.expect("waited in vain");
            assert!(Instant::now() >= deadline);
        }
    }

    #[tokio::test]
    async fn it_never_fires_early() {
        check(&mut Timer::new()).await;
        check(&mut Timer { exact: None, ..Timer::new() }).await;
    }
}
