//! The end of a connection (RFC 9000 §10).

use super::super::datagrams::Datagrams;
use super::super::error::{CloseReason, TransportCode, TransportError, shorten, wire_code};
use super::super::pool::Pool;
use super::super::recovery::SpaceId;
use super::super::streams::Streams;
use super::super::{Event, tls};
use super::Connection;
use crate::types::Instant;
use crate::wire::segment::Segment;

/// Closing and draining last for this many probe time-outs (RFC 9000 §10.2).
const LINGER: u32 = 3;

/// Life and death.
#[derive(Debug)]
pub(super) enum State {
    Open,
    /// This side closed; packets of the peer are answered with the close.
    Closing {
        until: Instant,
        close: Close,
        owed: [bool; 3],
        heard: u32,
    },
    /// The peer closed; nothing more is sent.
    Draining {
        until: Instant,
    },
    /// Nothing is left.
    Gone,
}

/// What CONNECTION_CLOSE says.
#[derive(Debug, Clone)]
pub(super) enum Close {
    Transport { code: TransportCode, reason: String },
    Application { code: u64, reason: String },
}

impl Close {
    /// The segment for a packet of the given space: before the handshake is complete, the application's code and text
    /// stay hidden (RFC 9000 §10.2.3).
    pub(super) fn segment(&self, id: SpaceId) -> Segment<'_> {
        match self {
            Self::Transport { code, reason } => {
                Segment::CloseTransport { code: (*code).into(), segment: 0, reason: reason.as_bytes() }
            }
            Self::Application { code, reason } if id == SpaceId::Data => {
                Segment::CloseApplication { code: *code, reason: reason.as_bytes() }
            }
            Self::Application { .. } => {
                Segment::CloseTransport { code: TransportCode::Application.into(), segment: 0, reason: b"" }
            }
        }
    }
}

/// Why processing a packet ends the connection.
#[derive(Debug)]
pub(super) enum Failure {
    Transport(TransportError),
    Tls(rustls::Error),
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl Connection {
    /// The application closes.
    pub(in super::super) fn close(&mut self, now: Instant, code: u64, reason: &str) {
        let (code, reason) = (wire_code(code), shorten(reason).to_owned());
        let close = Close::Application { code, reason: reason.clone() };
        self.start_closing(now, close, CloseReason::Local { code, reason });
    }

    /// Something went wrong.
    pub(super) fn fail(&mut self, now: Instant, failure: Failure) {
        match failure {
            Failure::Transport(error) => {
                let close = Close::Transport { code: error.code, reason: shorten(&error.reason).to_owned() };
                self.start_closing(now, close, CloseReason::Protocol(error));
            }
            Failure::Tls(error) => {
                // RFC 9001 §4.8. rustls sets an alert for every error; 80 is internal_error.
                let alert = self.session.as_ref().and_then(|session| session.alert()).map_or(80, u8::from);
                let close = Close::Transport { code: TransportCode::Tls(alert), reason: String::new() };
                self.start_closing(now, close, tls::close_reason(error));
            }
        }
    }

    fn start_closing(&mut self, now: Instant, close: Close, reason: CloseReason) {
        if !matches!(self.state, State::Open) {
            return;
        }
        let owed = SpaceId::ALL.map(|id| self.can_send(id));
        let until = now + LINGER * self.recovery.probe_timeout();
        self.state = State::Closing { until, close, owed, heard: 0 };
        self.end(reason);
    }

    /// CONNECTION_CLOSE arrived.
    pub(super) fn on_peer_close(&mut self, now: Instant, reason: CloseReason) {
        if matches!(self.state, State::Open) {
            self.state = State::Draining { until: now + LINGER * self.recovery.probe_timeout() };
            // What was acknowledged can still be read.
            self.events.push_back(Event::Closed { peer: self.peer, reason });
        }
    }

    /// Ends without a word.
    pub(super) fn vanish(&mut self, reason: CloseReason) {
        if matches!(self.state, State::Open) {
            self.state = State::Gone;
            self.end(reason);
        }
    }

    /// The last event; memory of the streams is given back at once.
    fn end(&mut self, reason: CloseReason) {
        self.streams = Streams::new(self.side, &self.config, None, Pool::default());
        self.datagrams = Datagrams::new(0);
        self.events.push_back(Event::Closed { peer: self.peer, reason });
    }

    /// A packet for a connection that is closing: the peer did not hear the close. It is repeated, ever more rarely
    /// (RFC 9000 §10.2.1).
    pub(super) fn on_packet_while_closing(&mut self) {
        let able = SpaceId::ALL.map(|id| self.can_send(id));
        if let State::Closing { owed, heard, .. } = &mut self.state {
            *heard = heard.saturating_add(1);
            if heard.is_power_of_two() {
                *owed = able;
            }
        }
    }
}
