//! TLS inside the connection (RFC 9001 §4).

use std::time::Duration;

use rustls::quic::KeyChange;

use super::super::error::{PacketError, TransportCode, TransportError};
use super::super::keys::DataKeys;
use super::super::params::Params;
use super::super::recovery::SpaceId;
use super::super::{Event, Side, tls};
use super::Connection;
use super::close::Failure;
use crate::types::Instant;
use crate::wire::packet::Retry;

/// Handshake bytes of one space that are kept out of order (RFC 9000 §7.5 asks for 4,096 at least).
const CRYPTO_BUFFER: u64 = 64 * 1024;

/// A server asks for a token once; more often only when the token was damaged or has expired.
const MAX_RETRIES: u32 = 4;

impl Connection {
    /// The client of this incoming connection has shown a token: it receives at its address (RFC 9000 §8.1.2).
    pub(in super::super) fn on_address_proved(&mut self) {
        self.validated = true;
    }

    /// The server wants a token in Initial packets: they are sent again with it (RFC 9000 §17.2.5.2). Packets of the
    /// server that could be decrypted show that none is wanted.
    pub(in super::super) fn on_retry(&mut self, now: Instant, retry: &Retry) -> Result<(), PacketError> {
        let is_expected = self.side == Side::Client && !self.remote_is_known && !self.is_closing();
        if !is_expected || retry.original != self.ids.original || self.retries >= MAX_RETRIES {
            return Err(PacketError::WrongSource);
        }
        self.retries += 1;
        self.token = Some(retry.token);
        let lost = self.recovery.on_smaller_mtu(now, SpaceId::Initial, 0);
        self.on_lost(SpaceId::Initial, lost);
        Ok(())
    }

    /// A piece of the handshake arrived.
    pub(super) fn on_crypto(
        &mut self,
        now: Instant,
        id: SpaceId,
        offset: u64,
        data: &[u8],
    ) -> Result<(), Failure> {
        if self.session.is_none() {
            // Tickets are off, and TLS has nothing else to say behind the handshake (RFC 9001 §6: no KeyUpdate).
            return Err(TransportError::protocol("handshake data behind the handshake").into());
        }
        let level = self.read_level();
        let stream = &mut self.space(id).crypto_receive;
        let end = offset + data.len() as u64;
        if id < level {
            // RFC 9001 §4.1.3: nothing new may come under keys that TLS is through with.
            let is_new = end > stream.base();
            return if is_new {
                Err(TransportError::protocol("handshake data at a past level").into())
            } else {
                Ok(())
            };
        }
        if end > stream.base() + CRYPTO_BUFFER {
            return Err(TransportError::new(TransportCode::CryptoBuffer, "too much handshake data").into());
        }
        stream
            .insert(offset, data)
            .map_err(|_| TransportError::new(TransportCode::CryptoBuffer, "too fragmented handshake data"))?;
        let mut ready = Vec::new();
        if stream.read(&mut ready, usize::MAX) == 0 {
            return Ok(());
        }
        if let Some(session) = &mut self.session {
            session.read_hs(&ready).map_err(Failure::Tls)?;
        }
        self.write_handshake();
        // RFC 9001 §4.1.3: what TLS has not taken at this level can never be taken.
        if self.read_level() > id && self.space(id).crypto_receive.has_rest() {
            return Err(TransportError::protocol("handshake data crosses a change of keys").into());
        }
        let is_done = self.session.as_ref().is_some_and(|session| !session.is_handshaking());
        if !self.complete && is_done {
            self.on_complete(now)?;
        }
        Ok(())
    }

    /// The space in which TLS expects data.
    fn read_level(&self) -> SpaceId {
        if self.complete {
            SpaceId::Data
        } else if self.write_level == SpaceId::Initial {
            SpaceId::Initial
        } else {
            SpaceId::Handshake
        }
    }

    /// Takes what TLS wants to send, and new keys.
    pub(super) fn write_handshake(&mut self) {
        loop {
            let mut data = Vec::new();
            let Some(session) = &mut self.session else { break };
            let change = session.write_hs(&mut data);
            let is_over = data.is_empty() && change.is_none();
            // These bytes belong to the level before the change.
            let level = self.write_level;
            self.space(level).crypto_send.write(&data);
            match change {
                Some(KeyChange::Handshake { keys }) => {
                    self.space(SpaceId::Handshake).keys = Some(keys);
                    self.write_level = SpaceId::Handshake;
                }
                Some(KeyChange::OneRtt { keys, next }) => {
                    self.data_keys = Some(DataKeys::new(keys, next));
                    self.write_level = SpaceId::Data;
                }
                None if is_over => break,
                None => {}
            }
        }
        self.update_progress();
    }

    /// TLS is done: the peer's key and parameters are proved.
    fn on_complete(&mut self, now: Instant) -> Result<(), TransportError> {
        let bad = |reason| TransportError::new(TransportCode::TransportParameter, reason);
        let internal = || TransportError::new(TransportCode::Internal, "the handshake is over");
        let session = self.session.as_ref().ok_or_else(internal)?;
        let params = session.quic_transport_parameters().ok_or(bad("no transport parameters"))?;
        let params = Params::parse(params)?;
        let original = match self.side {
            Side::Client => Some(self.ids.original),
            Side::Server => None,
        };
        // RFC 9000 §7.3: nobody has tampered with the connection ids.
        if params.original_destination != original || params.initial_source != self.ids.remote {
            return Err(bad("the connection ids do not match"));
        }
        let proved = tls::proved_id(session)
            .ok_or(TransportError::new(TransportCode::Internal, "the peer proved no key"))?;
        let purpose = tls::purpose(session)
            .ok_or(TransportError::new(TransportCode::Internal, "the connection has no purpose"))?;
        self.peer = Some(proved);
        self.complete = true;
        self.recovery.peer_max_ack_delay = params.max_ack_delay;
        self.idle_timeout = shorter_timeout(self.idle_timeout, params.max_idle_timeout);
        self.streams.on_peer_limits(params.max_data, params.max_stream_data, params.max_streams);
        self.ack_frequency.on_peer_params(params.min_ack_delay, params.max_ack_delay);
        self.datagrams.on_peer_limit(params.max_datagram);
        self.events.push_back(Event::Connected { peer: proved, side: self.side, purpose });
        if self.side == Side::Server {
            self.owes_handshake_done = true;
            self.on_confirmed(now);
        }
        Ok(())
    }

    /// Both sides know that the handshake is complete (RFC 9001 §4.1.2).
    pub(super) fn on_confirmed(&mut self, now: Instant) {
        self.confirmed = true;
        self.handshake_deadline = None;
        self.session = None;
        self.update_progress();
        self.discard(now, SpaceId::Initial);
        self.discard(now, SpaceId::Handshake);
    }
}

/// RFC 9000 §10.1: the smaller one, where zero is none.
fn shorter_timeout(one: Duration, other: Duration) -> Duration {
    match (one.is_zero(), other.is_zero()) {
        (true, _) => other,
        (_, true) => one,
        _ => one.min(other),
    }
}
