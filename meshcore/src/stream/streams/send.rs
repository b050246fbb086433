//! The sending direction of a stream (RFC 9000 §3.1).

use std::ops::Range;

use bytes::Bytes;

use super::super::error::StreamError;
use super::super::flow::SendWindow;
use super::super::send_buffer::SendBuffer;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// FIN is wanted behind the last byte.
    Finishing,
    /// RESET_STREAM is on its way. `stopped`: because the peer asked for it.
    Reset {
        code: u64,
        final_size: u64,
        stopped: bool,
    },
    /// The peer has everything, or knows of the reset.
    Done,
}

/// One stream's outgoing bytes.
#[derive(Debug)]
pub(super) struct SendHalf {
    buffer: SendBuffer,
    pub(super) window: SendWindow,
    state: State,
    fin_sent: bool,
    fin_acked: bool,
    /// [`super::super::Event::Writable`] is owed.
    wants_space: bool,
}

impl SendHalf {
    pub(super) fn new(limit: u64) -> Self {
        let mut window = SendWindow::default();
        window.raise(limit);
        Self {
            buffer: SendBuffer::default(),
            window,
            state: State::Open,
            fin_sent: false,
            fin_acked: false,
            wants_space: false,
        }
    }

    fn check_open(&self) -> Result<(), StreamError> {
        match self.state {
            State::Open => Ok(()),
            State::Finishing | State::Done => Err(StreamError::Finished),
            State::Reset { code, stopped: false, .. } => Err(StreamError::Reset(code)),
            State::Reset { code, stopped: true, .. } => Err(StreamError::Stopped(code)),
        }
    }

    /// Takes as many bytes as the buffer has space for.
    pub(super) fn write(&mut self, data: &[u8], capacity: usize) -> Result<usize, StreamError> {
        self.check_open()?;
        let taken = data.len().min(capacity.saturating_sub(self.buffer.len()));
        self.buffer.write(&data[..taken]);
        self.wants_space |= taken < data.len();
        Ok(taken)
    }

    /// The same without a copy.
    pub(super) fn write_shared(&mut self, mut data: Bytes, capacity: usize) -> Result<usize, StreamError> {
        self.check_open()?;
        let taken = data.len().min(capacity.saturating_sub(self.buffer.len()));
        self.wants_space |= taken < data.len();
        data.truncate(taken);
        self.buffer.write_shared(data);
        Ok(taken)
    }

    pub(super) fn finish(&mut self) -> Result<(), StreamError> {
        self.check_open()?;
        self.state = State::Finishing;
        Ok(())
    }

    /// Gives up this direction; returns whether RESET_STREAM must be sent.
    pub(super) fn reset(&mut self, code: u64, stopped: bool) -> bool {
        if matches!(self.state, State::Reset { .. } | State::Done) {
            return false;
        }
        self.state = State::Reset { code, final_size: self.buffer.sent(), stopped };
        self.buffer = SendBuffer::default();
        true
    }

    /// Code and final size for RESET_STREAM.
    pub(super) fn reset_values(&self) -> Option<(u64, u64)> {
        match self.state {
            State::Reset { code, final_size, .. } => Some((code, final_size)),
            _ => None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn is_sending(&self) -> bool {
        matches!(self.state, State::Open | State::Finishing)
    }

    fn wants_fin(&self) -> bool {
        self.state == State::Finishing && !self.fin_sent
    }

    /// Whether bytes or FIN wait that need no credit of the connection: lost ones, or FIN alone.
    pub(super) fn can_send_without_credit(&self) -> bool {
        self.is_sending() && (self.buffer.has_lost() || self.wants_fin() && !self.buffer.has_new())
    }

    /// Whether new bytes wait that the stream's own window lets through.
    pub(super) fn can_send_new(&self) -> bool {
        self.is_sending() && self.buffer.has_new() && self.buffer.sent() < self.window.limit()
    }

    /// Whether new bytes wait, but the stream's own window is closed.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_sending() && self.buffer.has_new() && self.buffer.sent() >= self.window.limit()
    }

    /// Start of the next piece, for the size of its header.
    pub(super) fn next_start(&self) -> u64 {
        self.buffer.next_start()
    }

    /// The next piece of at most `len` bytes, of which at most `credit` are new, and whether FIN goes with it. The last
    /// value is how many bytes were new.
    pub(super) fn take(&mut self, len: usize, credit: u64) -> Option<(Range<u64>, bool, u64)> {
        let before = self.buffer.sent();
        let limit = self.window.limit().min(before.saturating_add(credit));
        let piece = self.buffer.take(len, limit);
        let end = piece.as_ref().map_or(self.buffer.sent(), |range| range.end);
        let fin = self.state == State::Finishing
            && end == self.buffer.end()
            && (piece.is_some() || !self.fin_sent && !self.buffer.has_lost() && !self.buffer.has_new());
        if piece.is_none() && !fin {
            return None;
        }
        self.fin_sent |= fin;
        Some((piece.unwrap_or(end..end), fin, self.buffer.sent() - before))
    }

    pub(super) fn copy(&mut self, range: &Range<u64>, out: &mut Vec<u8>) {
        self.buffer.copy(range, out);
    }

    /// A piece arrived. Returns (finished now, [`super::super::Event::Writable`] is due).
    pub(super) fn on_acked(&mut self, range: Range<u64>, fin: bool, capacity: usize) -> (bool, bool) {
        if !self.is_sending() {
            return (false, false);
        }
        self.buffer.on_acked(range);
        self.fin_acked |= fin;
        if self.fin_acked && self.buffer.is_acked() {
            self.state = State::Done;
            return (true, false);
        }
        // Half of the buffer at a time: fewer wake-ups, and it surely comes because the buffer empties.
        let writable = self.wants_space && self.state == State::Open && self.buffer.len() <= capacity / 2;
        self.wants_space &= !writable;
        (false, writable)
    }

    pub(super) fn on_reset_acked(&mut self) {
        if matches!(self.state, State::Reset { .. }) {
            self.state = State::Done;
        }
    }

    pub(super) fn on_lost(&mut self, range: Range<u64>, fin: bool) {
        if self.is_sending() {
            self.buffer.on_lost(range);
            if fin && !self.fin_acked {
                self.fin_sent = false;
            }
        }
    }
}
