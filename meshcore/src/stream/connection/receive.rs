//! Packets and segments from the peer.

use std::borrow::Cow;
use std::time::Duration;

use super::super::error::{CloseReason, PacketError, TransportCode, TransportError};
use super::super::keys::Generation;
use super::super::received::MIN_ACK_DELAY;
use super::super::recovery::{AckInfo, SpaceId};
use super::super::{Event, MAX_REASON_LEN, Side};
use super::Connection;
use super::close::{Failure, State};
use crate::types::Instant;
use crate::wire::packet::{Header, Kind, expand_number};
use crate::wire::reader::Reader;
use crate::wire::segment::{Ack, AckFrequency, Segment};

/// Units of the delay in ACK segments: an exponent of 3 (RFC 9000 §18.2, ack_delay_exponent).
const ACK_DELAY_UNIT: Duration = Duration::from_micros(8);

impl Connection {
    /// Takes a packet that names this connection and comes from its peer's address.
    pub(in super::super) fn handle_packet(
        &mut self,
        now: Instant,
        header: Header,
        packet: &mut [u8],
    ) -> Result<(), PacketError> {
        if !self.is_open() {
            self.on_packet_while_closing();
            return Err(PacketError::UnknownConnection);
        }
        let size = packet.len() as u64;
        let (id, number, plain) = self.unprotect(now, header, packet)?;
        self.counters.bytes_received += size;
        self.counters.packets_received += 1;
        if let Kind::Initial { source, .. } | Kind::Handshake { source } = header.kind {
            self.ids.remote = source;
            self.remote_is_known = true;
        }
        if id == SpaceId::Handshake && self.side == Side::Server {
            self.validated = true;
            self.discard(now, SpaceId::Initial);
        }
        self.idle_since = now;
        self.active = now;
        self.streams.on_time(now, self.recovery.rtt.smoothed());
        self.sent_since_received = false;
        if let Err(failure) = self.on_payload(now, id, number, plain) {
            self.fail(now, failure);
        }
        let was_limited = self.recovery.progress.at_amplification_limit;
        self.update_progress();
        if was_limited && !self.recovery.progress.at_amplification_limit {
            self.recovery.set_timer(now);
        }
        Ok(())
    }

    /// Checks and decrypts. On error nothing has changed but a counter.
    fn unprotect<'a>(
        &mut self,
        now: Instant,
        header: Header,
        packet: &'a mut [u8],
    ) -> Result<(SpaceId, u64, &'a [u8]), PacketError> {
        let (id, source) = match header.kind {
            Kind::Initial { source, .. } => (SpaceId::Initial, Some(source)),
            Kind::Handshake { source } => (SpaceId::Handshake, Some(source)),
            Kind::Data { .. } => (SpaceId::Data, None),
        };
        // RFC 9000 §7.2: the peer's connection id does not change.
        if self.remote_is_known && source.is_some_and(|source| source != self.ids.remote) {
            return Err(PacketError::WrongSource);
        }
        let space = &self.spaces[id as usize];
        let next_sent = space.next_number;
        let number = expand_number(header.number, space.received.expected());
        if space.received.is_duplicate(number) {
            return Err(PacketError::Duplicate);
        }
        let (head, body) =
            packet.split_at_mut_checked(header.encoded_len()).ok_or(PacketError::Undecryptable)?;
        let plain = if let Kind::Data { phase } = header.kind {
            // RFC 9001 §5.7: not before the handshake is complete.
            let keys = self.data_keys.as_mut().filter(|_| self.complete).ok_or(PacketError::NoKeys)?;
            let (key, generation) = keys.open(phase, number, now).ok_or(PacketError::Undecryptable)?;
            let plain = key.decrypt_in_place(number, head, body);
            if plain.is_ok() {
                // RFC 9001 §6.2: the peer's update is followed at once.
                let lifetime = || 3 * self.recovery.probe_timeout();
                keys.on_received(generation, number, next_sent, now, lifetime);
                debug_assert!(generation != Generation::Next || keys.phase() == phase);
            }
            plain
        } else {
            let keys = space.keys.as_ref().ok_or(PacketError::NoKeys)?;
            keys.remote.packet.decrypt_in_place(number, head, body)
        };
        match plain {
            Ok(plain) => Ok((id, number, plain)),
            Err(_) => {
                self.on_undecryptable(now);
                Err(PacketError::Undecryptable)
            }
        }
    }

    /// RFC 9001 §6.6: the AEAD stands only so many attempts at forgery.
    fn on_undecryptable(&mut self, now: Instant) {
        self.counters.undecryptable += 1;
        let limit = self.data_keys.as_ref().map_or(u64::MAX, |keys| keys.integrity_limit());
        if self.counters.undecryptable >= limit {
            let error = TransportError::new(TransportCode::AeadLimit, "too many forged packets");
            self.fail(now, error.into());
        }
    }

    fn on_payload(&mut self, now: Instant, id: SpaceId, number: u64, plain: &[u8]) -> Result<(), Failure> {
        let eliciting = self.on_segments(now, id, plain)?;
        // A segment may have discarded the keys of its own space; then nothing is left to acknowledge.
        if self.is_open() && (id == SpaceId::Data || self.space(id).keys.is_some()) {
            self.space(id).received.insert(now, number, eliciting, id == SpaceId::Data);
        }
        Ok(())
    }

    /// Returns whether the peer wants an acknowledgement.
    fn on_segments(&mut self, now: Instant, id: SpaceId, plain: &[u8]) -> Result<bool, Failure> {
        if plain.is_empty() {
            return Err(TransportError::protocol("a packet without segments").into());
        }
        let mut reader = Reader::new(plain);
        let mut eliciting = false;
        while !reader.is_empty() {
            let segment = Segment::parse(&mut reader)
                .map_err(|_| TransportError::new(TransportCode::SegmentEncoding, "malformed segment"))?;
            eliciting |= segment.is_ack_eliciting();
            if id == SpaceId::Data {
                self.on_data_segment(now, segment)?;
            } else {
                self.on_handshake_segment(now, id, segment)?;
            }
            if !self.is_open() {
                break;
            }
        }
        Ok(eliciting)
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// As if the peer had sent a Data packet with this plaintext, which is not acknowledged.
    #[cfg(test)]
    pub(in super::super) fn inject(&mut self, now: Instant, plain: &[u8]) {
        if let Err(failure) = self.on_segments(now, SpaceId::Data, plain) {
            self.fail(now, failure);
        }
    }

    #[cfg(test)]
    pub(in super::super) fn next_number(&self) -> u64 {
        self.spaces[SpaceId::Data as usize].next_number
    }

    /// The few segments that RFC 9000 §12.4 allows in Initial and Handshake packets.
    fn on_handshake_segment(
        &mut self,
        now: Instant,
        id: SpaceId,
        segment: Segment<'_>,
    ) -> Result<(), Failure> {
        match segment {
            Segment::Padding | Segment::Ping => {}
            Segment::Ack(ack) => self.on_ack(now, id, &ack)?,
            Segment::Crypto { offset, data } => self.on_crypto(now, id, offset, data)?,
            Segment::CloseTransport { code, reason, .. } => self.on_transport_close(now, code, reason),
            _ => return Err(TransportError::protocol("a segment that the handshake does not allow").into()),
        }
        Ok(())
    }

    fn on_data_segment(&mut self, now: Instant, segment: Segment<'_>) -> Result<(), Failure> {
        let (streams, events) = (&mut self.streams, &mut self.events);
        match segment {
            Segment::Padding | Segment::Ping | Segment::DataBlocked(_) | Segment::StreamsBlocked(_) => {}
            Segment::Ack(ack) => self.on_ack(now, SpaceId::Data, &ack)?,
            Segment::Crypto { offset, data } => self.on_crypto(now, SpaceId::Data, offset, data)?,
            Segment::Stream { stream, offset, fin, data } => {
                streams.on_data(stream, offset, data, fin, events)?;
            }
            Segment::ResetStream { stream, code, final_size } => {
                streams.on_reset(stream, code, final_size, events)?;
            }
            Segment::StopSending { stream, code } => streams.on_stop(stream, code, events)?,
            Segment::MaxData(limit) => streams.on_max_data(limit),
            Segment::MaxStreamData { stream, max } => streams.on_max_stream_data(stream, max, events)?,
            Segment::MaxStreams(limit) => streams.on_max_streams(limit, events),
            Segment::StreamDataBlocked { stream, .. } => streams.on_stream_data_blocked(stream, events)?,
            Segment::CloseTransport { code, reason, .. } => self.on_transport_close(now, code, reason),
            Segment::CloseApplication { code, reason } => {
                self.on_peer_close(now, CloseReason::Peer { code, reason: text(reason) });
            }
            Segment::AckFrequency(request) => self.on_ack_frequency(&request)?,
            Segment::Datagram(data) => self.on_datagram(data)?,
            Segment::HandshakeDone if self.side == Side::Client => {
                if !self.confirmed {
                    self.on_confirmed(now);
                }
            }
            Segment::HandshakeDone => {
                return Err(TransportError::protocol("HANDSHAKE_DONE from a client").into());
            }
        }
        Ok(())
    }

    /// draft-ietf-quic-ack-frequency §4.
    fn on_ack_frequency(&mut self, request: &AckFrequency) -> Result<(), TransportError> {
        if Duration::from_micros(request.delay) < MIN_ACK_DELAY {
            return Err(TransportError::protocol("acknowledgements sooner than announced"));
        }
        self.space(SpaceId::Data).received.on_ack_frequency(request);
        Ok(())
    }

    /// RFC 9221 §3.
    fn on_datagram(&mut self, data: &[u8]) -> Result<(), TransportError> {
        if self.config.datagram_buffer == 0 {
            return Err(TransportError::protocol("a datagram, which this node does not take"));
        }
        if self.datagrams.on_received(data) {
            self.events.push_back(Event::Datagram);
        }
        Ok(())
    }

    fn on_transport_close(&mut self, now: Instant, code: u64, reason: &[u8]) {
        let error = TransportError { code: code.into(), reason: Cow::Owned(text(reason)) };
        self.on_peer_close(now, CloseReason::PeerProtocol(error));
    }

    fn on_ack(&mut self, now: Instant, id: SpaceId, ack: &Ack<'_>) -> Result<(), TransportError> {
        if ack.largest >= self.space(id).next_number {
            return Err(TransportError::protocol("an acknowledgement of a packet that was never sent"));
        }
        if id == SpaceId::Data && self.skips.is_claimed(ack.ranges()) {
            return Err(TransportError::protocol("an acknowledgement of a packet number that was skipped"));
        }
        // RFC 9002 §A.6: only an acknowledged Handshake packet proves to a client that the server has validated it.
        if id == SpaceId::Handshake {
            self.recovery.progress.peer_validated_us = true;
        }
        if let (SpaceId::Data, Some(keys)) = (id, &mut self.data_keys) {
            keys.on_acked(ack.largest);
        }
        let delay = ACK_DELAY_UNIT.saturating_mul(u32::try_from(ack.delay).unwrap_or(u32::MAX));
        let info = AckInfo { largest: ack.largest, delay, next_number: self.space(id).next_number };
        let outcome = self.recovery.on_ack(now, id, info, ack.ranges());
        for content in outcome.acked {
            self.on_content_acked(id, content);
        }
        self.on_lost(id, outcome.lost);
        let window = self.recovery.congestion.window();
        self.ack_frequency.on_change(window, self.mtu, self.recovery.rtt.smoothed());
        self.streams.on_congestion_window(window);
        Ok(())
    }
}

/// The peer's text, short and without control characters: it may end up on a terminal.
fn text(reason: &[u8]) -> String {
    let reason = String::from_utf8_lossy(&reason[..reason.len().min(MAX_REASON_LEN)]);
    reason.chars().filter(|character| !character.is_control()).collect()
}
