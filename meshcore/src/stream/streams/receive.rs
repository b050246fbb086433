//! The receiving direction of a stream (RFC 9000 §3.2).

use std::time::Duration;

use super::super::assembler::Assembler;
use super::super::error::{StreamError, TransportCode, TransportError};
use super::super::flow::ReceiveWindow;
use super::super::pool::Pool;
use super::ReadOutcome;
use crate::types::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The application wants no more; what arrives is only counted.
    Stopped,
    /// RESET_STREAM arrived.
    Reset(u64),
    /// The application has read to the end.
    Finished,
}

/// The whole connection's incoming side, which every stream draws on.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) window: ReceiveWindow,
    /// Sum of the highest offsets of all streams.
    pub(super) received: u64,
    /// MAX_DATA is owed.
    pub(super) update: bool,
    /// The latest time and round trip that the connection knows: windows grow by them.
    pub(super) now: Instant,
    pub(super) rtt: Duration,
}

impl Shared {
    fn consume(&mut self, len: u64) {
        self.update |= self.window.consume(len, self.now, self.rtt);
    }
}

/// One stream's incoming bytes.
#[derive(Debug)]
pub(super) struct ReceiveHalf {
    assembler: Assembler,
    pub(super) window: ReceiveWindow,
    highest: u64,
    final_size: Option<u64>,
    state: State,
    /// Bytes that the connection's window counts as consumed.
    accounted: u64,
    /// [`super::super::Event::Readable`] was emitted, and the application has not read everything since.
    announced: bool,
    stop_code: u64,
}

impl ReceiveHalf {
    pub(super) fn new(window: u64, largest: u64, pool: Pool) -> Self {
        Self {
            assembler: Assembler::new(pool),
            window: ReceiveWindow::new(window, largest, None),
            highest: 0,
            final_size: None,
            state: State::Open,
            accounted: 0,
            announced: false,
            stop_code: 0,
        }
    }

    /// Checks a new highest offset against sizes and windows (RFC 9000 §4.1, §4.5), then counts it.
    fn extend(&mut self, end: u64, fin: bool, shared: &mut Shared) -> Result<(), TransportError> {
        let moved = self.final_size.is_some_and(|size| end > size || fin && end != size);
        if moved || fin && end < self.highest {
            return Err(TransportError::new(TransportCode::FinalSize, "the end of a stream moved"));
        }
        let growth = end.saturating_sub(self.highest);
        if end > self.window.limit() || shared.received + growth > shared.window.limit() {
            return Err(TransportError::new(TransportCode::FlowControl, "more data than allowed"));
        }
        self.highest += growth;
        shared.received += growth;
        if fin {
            self.final_size = Some(end);
        }
        Ok(())
    }

    fn account(&mut self, up_to: u64, shared: &mut Shared) {
        shared.consume(up_to - self.accounted);
        self.accounted = up_to;
    }

    /// Takes a piece. Returns whether [`super::super::Event::Readable`] is due.
    pub(super) fn on_data(
        &mut self,
        offset: u64,
        data: &[u8],
        fin: bool,
        shared: &mut Shared,
    ) -> Result<bool, TransportError> {
        self.extend(offset + data.len() as u64, fin, shared)?;
        if self.state != State::Open {
            if self.state == State::Stopped {
                self.account(self.highest, shared);
            }
            return Ok(false);
        }
        self.assembler
            .insert(offset, data)
            .map_err(|_| TransportError::new(TransportCode::Internal, "a stream is too fragmented"))?;
        let readable = !self.announced && (self.assembler.readable() > 0 || self.is_at_end());
        self.announced |= readable;
        Ok(readable)
    }

    /// RESET_STREAM arrived. Returns whether that is news for the application.
    pub(super) fn on_reset(
        &mut self,
        code: u64,
        final_size: u64,
        shared: &mut Shared,
    ) -> Result<bool, TransportError> {
        self.extend(final_size, true, shared)?;
        if matches!(self.state, State::Finished | State::Reset(_)) {
            return Ok(false);
        }
        let news = self.state == State::Open;
        self.state = State::Reset(code);
        self.assembler = Assembler::default();
        self.account(self.highest, shared);
        Ok(news)
    }

    fn is_at_end(&self) -> bool {
        self.final_size == Some(self.assembler.base())
    }

    /// Reads with `take`, which returns how many bytes it took; the second value tells whether MAX_STREAM_DATA is owed.
    pub(super) fn read(
        &mut self,
        shared: &mut Shared,
        take: impl FnOnce(&mut Assembler) -> usize,
    ) -> Result<(ReadOutcome, bool), StreamError> {
        match self.state {
            State::Open => {}
            State::Finished => return Ok((ReadOutcome::Finished, false)),
            State::Reset(code) => return Err(StreamError::Reset(code)),
            State::Stopped => return Err(StreamError::ReadStopped),
        }
        if self.is_at_end() {
            self.state = State::Finished;
            return Ok((ReadOutcome::Finished, false));
        }
        if self.assembler.readable() == 0 {
            self.announced = false;
            return Ok((ReadOutcome::Blocked, false));
        }
        let len = take(&mut self.assembler);
        self.account(self.assembler.base(), shared);
        let update = self.window.consume(len as u64, shared.now, shared.rtt) && self.final_size.is_none();
        Ok((ReadOutcome::Data(len), update))
    }

    /// The application wants no more. Returns whether STOP_SENDING is to be sent.
    pub(super) fn stop(&mut self, code: u64, shared: &mut Shared) -> Result<bool, StreamError> {
        match self.state {
            State::Open => {}
            State::Finished => return Err(StreamError::Finished),
            State::Reset(code) => return Err(StreamError::Reset(code)),
            State::Stopped => return Err(StreamError::ReadStopped),
        }
        self.state = State::Stopped;
        self.stop_code = code;
        self.assembler = Assembler::default();
        self.account(self.highest, shared);
        Ok(self.final_size.is_none())
    }

    /// The code for STOP_SENDING while it makes sense to send it.
    pub(super) fn stop_code(&self) -> Option<u64> {
        (self.state == State::Stopped && self.final_size.is_none()).then_some(self.stop_code)
    }

    /// The limit for MAX_STREAM_DATA while it makes sense to send it.
    pub(super) fn limit_to_tell(&self) -> Option<u64> {
        (self.state == State::Open && self.final_size.is_none()).then(|| self.window.limit())
    }

    pub(super) fn is_done(&self) -> bool {
        match self.state {
            State::Open => false,
            State::Stopped => self.final_size.is_some(),
            State::Reset(_) | State::Finished => true,
        }
    }
}
