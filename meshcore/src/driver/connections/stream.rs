//! The handle of one stream.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::StreamKey;
use super::bell::Bell;
use super::buffers::{Incoming, Outgoing};
use super::connection::Handle;
use super::hub::ConnectionCommand;

/// What the handle of a stream and the engine share.
#[derive(Debug)]
pub(in crate::driver) struct Shared {
    pub(super) key: StreamKey,
    bell: Arc<Bell>,
    pub(super) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    /// The bell was rung and not answered yet.
    pub(super) rung: bool,
    /// Reading was given up.
    pub(super) stop: Option<u64>,
    /// Writing was given up.
    pub(super) reset: Option<u64>,
    /// The handle is gone.
    pub(super) dropped: bool,
}

impl Shared {
    pub(super) fn new(key: StreamKey, bell: Arc<Bell>) -> Arc<Self> {
        Arc::new(Self { key, bell, state: Mutex::default() })
    }

    /// Changes the state for the engine, and wakes who waits for that.
    pub(super) fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        let wakers = [state.incoming.waker(), state.outgoing.waker()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Changes the state, and tells the engine when `change` says so.
    fn with<T>(&self, change: impl FnOnce(&mut State) -> (T, bool)) -> T {
        let mut state = self.state.lock();
        let (result, news) = change(&mut state);
        let rings = news && !state.rung;
        state.rung |= news;
        drop(state);
        if rings {
            self.bell.ring(self.key);
        }
        result
    }
}

/// A stream of bytes in both directions, each reliable and in order.
///
/// Writing never waits for the network while there is room in the buffers. [`AsyncWrite::poll_shutdown`] (`shutdown()`) ends
/// this node's direction and is ready when the peer's node has everything: what was shut down before the node stops is not lost.
/// Dropping the stream ends its direction too, without waiting, and gives up reading.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    connection: Arc<Handle>,
}

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, connection: Arc<Handle>) -> Self {
        Self { shared, connection }
    }

    /// Number of the stream in its connection (RFC 9000, section 2.1).
    pub fn id(&self) -> u64 {
        self.shared.key.1.as_u64()
    }

    /// How many bytes can be read at once, without waiting.
    pub fn available(&self) -> usize {
        self.shared.state.lock().incoming.len()
    }

    /// The next bytes as they came, `limit` at most and none at the end of the stream: reading without a copy.
    pub async fn read_chunk(&mut self, limit: usize) -> io::Result<Bytes> {
        poll_fn(|cx| self.poll_read_chunk(cx, limit)).await
    }

    pub(in crate::driver) fn poll_read_chunk(
        &self,
        cx: &Context<'_>,
        limit: usize,
    ) -> Poll<io::Result<Bytes>> {
        self.shared.with(|state| match state.incoming.poll_take(cx, limit) {
            Poll::Ready(Ok((chunk, room))) => (Poll::Ready(Ok(chunk)), room),
            Poll::Ready(Err(error)) => (Poll::Ready(Err(error)), false),
            Poll::Pending => (Poll::Pending, false),
        })
    }

    /// Writes bytes without copying them, all or none: waits while there is no room in the buffers, and then goes beyond them if need be. So
    /// it suits pieces of some kilobytes up to a megabyte.
    pub async fn write_chunk(&mut self, chunk: impl Into<Bytes>) -> io::Result<()> {
        let chunk = chunk.into();
        poll_fn(|cx| self.poll_write_chunk(cx, &chunk)).await
    }

    pub(in crate::driver) fn poll_write_chunk(
        &self,
        cx: &Context<'_>,
        chunk: &Bytes,
    ) -> Poll<io::Result<()>> {
        self.shared.with(|state| {
            let written = state.outgoing.poll_write_chunk(cx, chunk);
            let news = matches!(written, Poll::Ready(Ok(())));
            (written, news)
        })
    }

    /// Gives up this node's direction: what has not arrived may never arrive. The peer reads an error with this code.
    pub fn reset(&mut self, code: u64) {
        self.shared.with(|state| (state.reset = Some(code), true));
    }

    /// Gives up reading: the peer's writes fail with this code.
    pub fn stop_reading(&mut self, code: u64) {
        self.shared.with(|state| (state.stop = Some(code), true));
    }

    /// Sets how urgent the stream is among those of its connection: 0 most, 7 least, 3 by default (RFC 9218, section 4.1).
    pub fn set_priority(&self, priority: u8) {
        self.connection.submit(ConnectionCommand::SetPriority { key: self.shared.key, priority });
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.shared.with(|state| match state.incoming.poll_copy(cx, buf) {
            Poll::Ready(Ok(room)) => (Poll::Ready(Ok(())), room),
            Poll::Ready(Err(error)) => (Poll::Ready(Err(error)), false),
            Poll::Pending => (Poll::Pending, false),
        })
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.shared.with(|state| {
            let written = state.outgoing.poll_write(cx, data);
            let news = matches!(written, Poll::Ready(Ok(1..)));
            (written, news)
        })
    }

    /// Does nothing: what was written is on its way.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.with(|state| {
            let done = state.outgoing.poll_finish(cx);
            let news = done.is_pending();
            (done, news)
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.with(|state| {
            state.dropped = true;
            state.outgoing.finish();
            state.stop.get_or_insert(0);
            ((), true)
        });
    }
}
