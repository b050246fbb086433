//! What lies between the handle of a stream and the engine: bytes on their way in both directions.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};

/// Received bytes that wait here for the application at the most; more stay in the transport, whose windows then close.
pub(super) const READ_AHEAD: usize = 256 * 1024;

/// Written bytes that wait here for the transport at the most; then writing waits.
const WRITE_BEHIND: usize = 256 * 1024;

/// Small writes are gathered in blocks, which the transport takes without a copy: the first of this size, each twice as large
/// as the one before. A stream that says little keeps little memory.
const FIRST_BLOCK: usize = 1024;

/// No block is made larger than this for small writes.
const BLOCK: usize = 64 * 1024;

/// How one direction of a stream has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The peer has finished it, and everything was read.
    Finished,
    /// The peer gave it up, or wants no more, with this code.
    Broken(u64),
    /// The connection is over, for this reason.
    Closed(String),
}

impl End {
    fn read_error(&self) -> Option<io::Error> {
        match self {
            Self::Finished => None,
            Self::Broken(code) => {
                let text = format!("the peer reset the stream with code {code}");
                Some(io::Error::new(io::ErrorKind::ConnectionReset, text))
            }
            Self::Closed(reason) => Some(io::Error::new(io::ErrorKind::ConnectionAborted, reason.clone())),
        }
    }

    fn write_error(&self) -> io::Error {
        match self {
            Self::Finished => io::Error::new(io::ErrorKind::BrokenPipe, "the stream is shut down"),
            Self::Broken(code) => {
                let text = format!("the peer takes no more of the stream, with code {code}");
                io::Error::new(io::ErrorKind::BrokenPipe, text)
            }
            Self::Closed(reason) => io::Error::new(io::ErrorKind::ConnectionAborted, reason.clone()),
        }
    }
}

/// Notes who is to be woken.
fn wait(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

/// From the peer to the application.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    chunks: VecDeque<Bytes>,
    len: usize,
    end: Option<End>,
    reader: Option<Waker>,
    /// The transport has more than there was room for.
    more: bool,
}

impl Incoming {
    /// How many bytes may be added, so that `limit` wait. If none: the engine is asked again when there is room.
    pub(super) fn room(&mut self, limit: usize) -> usize {
        let room = limit.saturating_sub(self.len);
        self.more = room == 0;
        room
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        self.len += chunk.len();
        self.chunks.push_back(chunk);
    }

    /// Nothing follows.
    pub(super) fn end(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// Who waits for what was pushed.
    pub(super) fn waker(&mut self) -> Option<Waker> {
        let is_ready = !self.chunks.is_empty() || self.end.is_some();
        if is_ready { self.reader.take() } else { None }
    }

    /// The next bytes, `limit` at most; empty at the end. Whether the engine is to be told of room comes with them.
    pub(super) fn poll_take(&mut self, cx: &Context<'_>, limit: usize) -> Poll<io::Result<(Bytes, bool)>> {
        let Some(chunk) = self.chunks.front_mut() else {
            let Some(end) = &self.end else {
                wait(&mut self.reader, cx);
                return Poll::Pending;
            };
            return Poll::Ready(end.read_error().map_or(Ok((Bytes::new(), false)), Err));
        };
        let taken = chunk.split_to(limit.min(chunk.len()));
        if chunk.is_empty() {
            self.chunks.pop_front();
        }
        Poll::Ready(Ok((taken.clone(), self.on_taken(taken.len()))))
    }

    /// Copies bytes into `into` as far as there are any.
    pub(super) fn poll_copy(
        &mut self,
        cx: &Context<'_>,
        into: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        if self.chunks.is_empty() && into.remaining() > 0 {
            return self.poll_take(cx, 0).map_ok(|_| false);
        }
        let before = into.remaining();
        while let Some(chunk) = self.chunks.front_mut().filter(|_| into.remaining() > 0) {
            let len = chunk.len().min(into.remaining());
            into.put_slice(&chunk[..len]);
            chunk.advance(len);
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        Poll::Ready(Ok(self.on_taken(before - into.remaining())))
    }

    fn on_taken(&mut self, len: usize) -> bool {
        self.len -= len;
        let asks = self.more && self.len <= READ_AHEAD / 2;
        self.more &= !asks;
        asks
    }
}

/// From the application to the peer.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    /// Size of the latest block.
    block: usize,
    len: usize,
    end: Option<End>,
    /// The application has finished; whether the transport knows.
    finish: bool,
    finished: bool,
    /// Everything has arrived.
    acknowledged: bool,
    writer: Option<Waker>,
}

impl Outgoing {
    /// Takes bytes, as many as there is room for.
    pub(super) fn poll_write(&mut self, cx: &Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(end) = self.end.as_ref().or(self.finish.then_some(&End::Finished)) {
            return Poll::Ready(Err(end.write_error()));
        }
        let room = WRITE_BEHIND.saturating_sub(self.len);
        if room == 0 && !data.is_empty() {
            wait(&mut self.writer, cx);
            return Poll::Pending;
        }
        let data = &data[..data.len().min(room)];
        if self.tail.capacity() - self.tail.len() < data.len() {
            self.close_tail();
            self.block = (2 * self.block).clamp(FIRST_BLOCK, BLOCK);
            self.tail = BytesMut::with_capacity(self.block.max(data.len()));
        }
        self.tail.extend_from_slice(data);
        self.len += data.len();
        Poll::Ready(Ok(data.len()))
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
    }

    /// Nothing follows; ready when everything has arrived.
    pub(super) fn poll_finish(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.finish = true;
        match &self.end {
            Some(end) => Poll::Ready(Err(end.write_error())),
            None if self.acknowledged => Poll::Ready(Ok(())),
            None => {
                wait(&mut self.writer, cx);
                Poll::Pending
            }
        }
    }

    pub(super) fn finish(&mut self) {
        self.finish = true;
    }

    /// The next bytes for the transport.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if self.chunks.is_empty() {
            self.close_tail();
        }
        self.chunks.pop_front()
    }

    /// The transport has taken `taken` of `chunk`; the rest is next again.
    pub(super) fn on_taken(&mut self, mut chunk: Bytes, taken: usize) {
        chunk.advance(taken);
        self.len -= taken;
        if !chunk.is_empty() {
            self.chunks.push_front(chunk);
        }
    }

    /// Whether the transport is to be told now that nothing follows.
    pub(super) fn must_finish(&mut self) -> bool {
        let now = self.finish && !self.finished && self.len == 0 && self.end.is_none();
        self.finished |= now;
        now
    }

    /// Whether nothing is left to be handed over.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some() || self.finished
    }

    pub(super) fn on_acknowledged(&mut self) {
        self.acknowledged = true;
    }

    /// Nothing more can be sent.
    pub(super) fn end(&mut self, end: End) {
        if !self.acknowledged {
            self.end.get_or_insert(end);
        }
        self.chunks.clear();
        self.tail.clear();
        self.len = 0;
    }

    /// Who waits for room, or for the end.
    pub(super) fn waker(&mut self) -> Option<Waker> {
        let has_room = !self.finish && self.len <= WRITE_BEHIND / 2;
        if has_room || self.end.is_some() || self.acknowledged { self.writer.take() } else { None }
    }
}
