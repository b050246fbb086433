//! Waits for room in the buffer of a socket.

use std::io;
use std::task::{Context, Poll, ready};

use socket2::Socket;
use tokio::io::unix::AsyncFd;

use super::linux;

/// Tells when a socket that was full has room again. It is registered with tokio only in between: a socket that is
/// always watched wakes its owner whenever a frame has left.
#[derive(Debug, Default)]
pub(super) struct Writable(Option<AsyncFd<Socket>>);

impl Writable {
    /// The socket was found to be full.
    pub(super) fn wait_for(&mut self, socket: &Socket) -> io::Result<()> {
        self.0 = Some(linux::watch_writable(socket)?);
        Ok(())
    }

    /// Ready when nothing is waited for.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(socket) = &self.0 {
            // An error is told by the next attempt to send.
            let _ = ready!(socket.poll_write_ready(cx));
            self.0 = None;
        }
        Poll::Ready(())
    }
}
