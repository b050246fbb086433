//! What lies between the handle of a stream and the engine: bytes on their way in both directions.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};

/// Received bytes that wait here for the application at the most; more stay in the transport, whose windows then close.
pub(super) const READ_AHEAD: usize = 128 * 1024;

/// Written bytes that wait here for the transport at the most; then writing waits.
const WRITE_BEHIND: usize = 128 * 1024;

/// Small writes are gathered in blocks, which the transport takes without a copy: the first of this size, each twice as large
/// as the one before. A stream that says little keeps little memory.
const FIRST_BLOCK: usize = 1024;

/// No block is made larger than this for small writes.
const BLOCK: usize = 64 * 1024;

/// Received pieces shorter than this are gathered: a peer that sends byte by byte makes each cost a hundred others.
const SHORT: usize = 1024;

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
        if chunk.len() < SHORT
            && let Some(last) = self.chunks.pop_back_if(|last| last.len() < SHORT)
        {
            let mut last = BytesMut::from(last);
            last.extend_from_slice(&chunk);
            return self.chunks.push_back(last.freeze());
        }
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
        if let Some(error) = self.write_error() {
            return Poll::Ready(Err(error));
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

    /// Takes all of a chunk as it is, as soon as there is room for a part of it.
    pub(super) fn poll_write_chunk(&mut self, cx: &Context<'_>, chunk: &Bytes) -> Poll<io::Result<()>> {
        if let Some(error) = self.write_error() {
            return Poll::Ready(Err(error));
        }
        if self.len >= WRITE_BEHIND {
            wait(&mut self.writer, cx);
            return Poll::Pending;
        }
        self.close_tail();
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push_back(chunk.clone());
        }
        Poll::Ready(Ok(()))
    }

    /// Why nothing can be written any more.
    fn write_error(&self) -> Option<io::Error> {
        self.end.as_ref().or(self.finish.then_some(&End::Finished)).map(End::write_error)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn a_reader_that_is_slow_leaves_the_rest_to_the_transport() {
        let mut incoming = Incoming::default();
        let mut pushed = 0;
        while incoming.room(READ_AHEAD) > 0 {
            let len = incoming.room(READ_AHEAD).min(10_000);
            incoming.push(vec![1; len].into());
            pushed += len;
        }
        assert_eq!((pushed, incoming.len()), (READ_AHEAD, READ_AHEAD));
        // The engine is asked for more once, when half of it was read.
        let mut asked = Vec::new();
        while incoming.len() > 0 {
            let Poll::Ready(Ok((chunk, asks))) = incoming.poll_take(&context(), 7_000) else { panic!() };
            assert!((1..=7_000).contains(&chunk.len()));
            asked.extend(asks.then_some(incoming.len()));
        }
        assert!(asked.len() == 1 && asked[0] <= READ_AHEAD / 2 && asked[0] > READ_AHEAD / 2 - 7_000);
        assert!(incoming.poll_take(&context(), 1).is_pending());
    }

    #[test]
    fn a_peer_that_sends_byte_by_byte_costs_little_more() {
        let mut incoming = Incoming::default();
        let pattern: Vec<u8> = (0..50_000u32).map(|number| number as u8).collect();
        for byte in &pattern {
            incoming.push(Bytes::copy_from_slice(&[*byte]));
        }
        assert!(incoming.chunks.len() <= 50_000 / SHORT + 1, "{} chunks", incoming.chunks.len());
        // What is long is kept as it is.
        let long = Bytes::from(vec![2; SHORT]);
        incoming.push(long.clone());
        assert_eq!(incoming.chunks.back().map(|chunk| chunk.as_ptr()), Some(long.as_ptr()));
        let mut read = Vec::new();
        while incoming.len() > 0 {
            let Poll::Ready(Ok((chunk, _))) = incoming.poll_take(&context(), usize::MAX) else { panic!() };
            read.extend(chunk);
        }
        assert!(read == [&pattern[..], &long].concat());
    }

    #[test]
    fn a_writer_that_is_fast_waits_for_the_transport() {
        let mut outgoing = Outgoing::default();
        let mut written = 0;
        while let Poll::Ready(Ok(len)) = outgoing.poll_write(&context(), &[1; 10_001]) {
            written += len;
        }
        assert_eq!(written, WRITE_BEHIND);
        // The transport takes a part of a piece: the rest is next, and nobody is woken before half of it is gone.
        let mut taken = 0;
        while outgoing.waker().is_none() {
            let chunk = outgoing.pop().unwrap();
            assert!(chunk.len() <= BLOCK);
            let len = chunk.len().min(3_000);
            outgoing.on_taken(chunk, len);
            taken += len;
        }
        assert!((WRITE_BEHIND / 2..WRITE_BEHIND / 2 + 3_000).contains(&taken), "{taken}");
        assert!(outgoing.poll_write(&context(), b"x").is_ready());
        assert!(outgoing.poll_finish(&context()).is_pending() && !outgoing.must_finish());
        while let Some(chunk) = outgoing.pop() {
            let len = chunk.len();
            outgoing.on_taken(chunk, len);
            taken += len;
        }
        assert_eq!(taken, WRITE_BEHIND + 1);
        assert!(outgoing.must_finish() && !outgoing.must_finish());
        outgoing.on_acknowledged();
        assert!(outgoing.poll_finish(&context()).is_ready());
        assert!(matches!(outgoing.poll_write(&context(), b"x"), Poll::Ready(Err(_))));
    }
}
