//! Packets to the peer.

use super::super::Side;
use super::super::builder::Builder;
use super::super::config::MIN_MTU;
use super::super::error::{CloseReason, TransportCode, TransportError};
use super::super::pacer::Rate;
use super::super::recovery::SpaceId;
use super::super::sent::{Sent, SentPacket};
use super::Connection;
use super::close::{Close, State};
use crate::types::Instant;
use crate::wire::packet::{Header, Kind, TAG_LEN};
use crate::wire::segment::{AckFrequency, Segment, emit_crypto_header};
use crate::wire::varint;

/// Longest payload of a frame: its length field has 16 bits.
const MAX_MTU: usize = 65_535;

/// A packet smaller than this is not worth sending to an address that is not validated.
pub(super) const SMALLEST_PACKET: usize = 64;

/// Padding of a client's Initial packets: a multiple of it is what the server may answer (RFC 9000 §8.1, §14.1).
const INITIAL_SIZE: usize = 1200;

/// A CRYPTO segment for less than this is not started.
const MIN_PIECE: usize = 16;

impl Connection {
    /// Appends one packet to `out`; returns whether there was one to send now.
    pub(in super::super) fn transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let budget = usize::try_from(self.amplification_budget()).unwrap_or(usize::MAX);
        let limit = self.mtu.clamp(MIN_MTU, MAX_MTU).min(budget);
        if limit < SMALLEST_PACKET {
            return false;
        }
        match self.state {
            State::Open => {}
            State::Closing { .. } => return self.transmit_close(now, limit, out),
            State::Draining { .. } | State::Gone => return false,
        }
        SpaceId::ALL.into_iter().any(|id| self.transmit_in(now, id, limit, out))
    }

    /// Whether keys for sending exist.
    pub(super) fn can_send(&self, id: SpaceId) -> bool {
        match id {
            // A server could send before the client is proved; it does not.
            SpaceId::Data => self.complete && self.data_keys.is_some(),
            _ => self.spaces[id as usize].keys.is_some(),
        }
    }

    fn header(&self, id: SpaceId) -> Header {
        let source = self.ids.local;
        let kind = match id {
            SpaceId::Initial => Kind::Initial { source, token: self.token },
            SpaceId::Handshake => Kind::Handshake { source },
            SpaceId::Data => Kind::Data { phase: self.data_keys.as_ref().is_some_and(|keys| keys.phase()) },
        };
        let number = self.spaces[id as usize].next_number as u32;
        Header { kind, destination: self.ids.remote, number }
    }

    /// Appends a packet of one space, of at most `limit` bytes.
    fn transmit_in(&mut self, now: Instant, id: SpaceId, limit: usize, out: &mut Vec<u8>) -> bool {
        if !self.can_send(id) || !self.refresh_keys(now, id) {
            return false;
        }
        let is_probe = self.spaces[id as usize].probes > 0;
        let may_send = is_probe || self.may_send_more(now, id, limit);
        if !may_send && !self.spaces[id as usize].received.is_due(now) {
            return false;
        }
        let start = out.len();
        self.header(id).emit(out);
        let body = out.len();
        let mut builder = Builder::new(out, start + limit - TAG_LEN);
        // Many ranges in a small packet must leave room for data.
        let room = builder.room() / 2;
        let received = &self.spaces[id as usize].received;
        let acked = received.emit_ack(now, room, builder.out);
        let ack_is_due = acked.is_some() && received.is_due(now);
        builder.content.extend(acked.map(|largest| Sent::Ack { largest }));
        if may_send {
            self.fill(id, &mut builder);
            if is_probe && !builder.eliciting {
                builder.push(&Segment::Ping, None);
            }
        }
        if ack_is_due && !builder.eliciting && self.spaces[id as usize].received.wants_answer() {
            builder.push(&Segment::Ping, None);
        }
        let Builder { content, eliciting, .. } = builder;
        if !eliciting && !ack_is_due {
            out.truncate(start);
            return false;
        }
        let is_padded = self.pad(id, start + limit.min(INITIAL_SIZE), out);
        let number = self.space(id).next_number;
        if !self.protect(id, start, body, out) {
            return false;
        }
        let size = out.len() - start;
        self.active = now;
        let space = self.space(id);
        if acked.is_some() {
            space.received.on_ack_sent();
        }
        if is_probe && eliciting {
            space.probes -= 1;
        }
        if eliciting && !self.sent_since_received {
            self.sent_since_received = true;
            self.idle_since = now;
        }
        self.update_progress();
        if eliciting || is_padded {
            self.pacer.on_sent(size);
            self.recovery.on_sent(now, id, number, SentPacket { time: now, size, eliciting, content });
        }
        // RFC 9001 §4.9.1.
        if id == SpaceId::Handshake && self.side == Side::Client {
            self.discard(now, SpaceId::Initial);
        }
        true
    }

    /// Changes keys when it is time. Returns whether a packet may be protected at all.
    fn refresh_keys(&mut self, now: Instant, id: SpaceId) -> bool {
        let next_number = self.space(id).next_number;
        let (SpaceId::Data, Some(keys)) = (id, &mut self.data_keys) else { return true };
        if self.confirmed && keys.wants_update(self.config.key_update_packets, now) {
            keys.update(next_number);
        }
        if keys.is_exhausted() {
            // RFC 9001 §6.6: not even a close may be sent.
            let error = TransportError::new(TransportCode::AeadLimit, "the keys are used up");
            self.vanish(CloseReason::Protocol(error));
            return false;
        }
        true
    }

    fn has_pending(&self, id: SpaceId) -> bool {
        let crypto = &self.spaces[id as usize].crypto_send;
        let data = id == SpaceId::Data
            && (self.owes_handshake_done
                || self.owes_ping
                || self.datagrams.has_pending()
                || self.streams.has_pending());
        crypto.has_lost() || crypto.has_new() || data
    }

    /// Whether there is something to send, and congestion control and pacing allow it now.
    fn may_send_more(&mut self, now: Instant, id: SpaceId, limit: usize) -> bool {
        if !self.has_pending(id) {
            if id == SpaceId::Data {
                self.recovery.window_limited = false;
            }
            return false;
        }
        // Lost handshake data goes out whatever the window says. Else packets of a later space, which the peer cannot
        // decrypt before it has this data, would fill the window for good.
        if id != SpaceId::Data && self.spaces[id as usize].crypto_send.has_lost() {
            return true;
        }
        if !self.recovery.congestion.allows(limit) {
            self.recovery.window_limited = true;
            return false;
        }
        if id == SpaceId::Data {
            let congestion = &self.recovery.congestion;
            let rate = Rate {
                window: congestion.window(),
                rtt: self.recovery.rtt.smoothed(),
                is_slow_start: congestion.is_slow_start(),
            };
            self.paced_until = self.pacer.check(now, limit, rate);
            // RFC 9002 §7.8: who is held back by pacing would have used the window.
            self.recovery.window_limited = self.paced_until.is_some();
        }
        id != SpaceId::Data || self.paced_until.is_none()
    }

    fn fill(&mut self, id: SpaceId, builder: &mut Builder<'_>) {
        let crypto = &mut self.spaces[id as usize].crypto_send;
        while crypto.has_lost() || crypto.has_new() {
            let header = 1 + varint::len(crypto.next_start()) + varint::len(builder.room() as u64);
            let Some(len) = builder.room().checked_sub(header + MIN_PIECE) else { return };
            let Some(range) = crypto.take(len + MIN_PIECE, u64::MAX) else { break };
            emit_crypto_header(range.start, (range.end - range.start) as usize, builder.out);
            crypto.copy(&range, builder.out);
            builder.eliciting = true;
            builder.content.push(Sent::Crypto(range));
        }
        if id != SpaceId::Data {
            return;
        }
        if self.owes_handshake_done {
            self.owes_handshake_done = !builder.push(&Segment::HandshakeDone, Some(Sent::HandshakeDone));
        }
        if self.owes_ping {
            self.owes_ping = !builder.push(&Segment::Ping, None);
        }
        if self.ack_frequency.is_owed() {
            let request = self.ack_frequency.request();
            let segment = Segment::AckFrequency(AckFrequency {
                sequence: request.sequence,
                threshold: request.unacknowledged,
                delay: request.delay.as_micros() as u64,
                reordering: 1,
            });
            if builder.push(&segment, Some(Sent::AckFrequency(request.delay))) {
                self.ack_frequency.on_sent();
                self.recovery.peer_max_ack_delay = self.recovery.peer_max_ack_delay.max(request.delay);
            }
        }
        self.fill_data(builder);
    }

    /// Datagrams and streams take turns at the front of a packet.
    fn fill_data(&mut self, builder: &mut Builder<'_>) {
        let are_first = self.datagrams.are_first(self.streams.has_pending());
        self.datagrams.skip_turn();
        if are_first {
            self.datagrams.transmit(builder, self.mtu);
        }
        self.streams.transmit(builder);
        if !are_first {
            self.datagrams.transmit(builder, self.mtu);
            self.datagrams.skip_turn();
        }
    }

    /// Pads a client's Initial packets; `end` is where the packet with its tag must end at the latest.
    fn pad(&self, id: SpaceId, end: usize, out: &mut Vec<u8>) -> bool {
        if id != SpaceId::Initial || self.side != Side::Client {
            return false;
        }
        let start = out.len();
        out.resize(start.max(end.saturating_sub(TAG_LEN)), 0);
        out.len() > start
    }

    /// Encrypts the plaintext behind `body` in place and appends the tag.
    fn protect(&mut self, id: SpaceId, start: usize, body: usize, out: &mut Vec<u8>) -> bool {
        let space = &mut self.spaces[id as usize];
        let number = space.next_number;
        let key = match (id, &space.keys, &mut self.data_keys) {
            (SpaceId::Data, _, Some(keys)) => Some(keys.seal()),
            (_, Some(keys), _) => Some(keys.local.packet.as_ref()),
            _ => None,
        };
        let (head, plain) = out[start..].split_at_mut(body - start);
        // Encryption fails for payloads beyond the AEAD's limit only, far above any frame.
        let Some(tag) = key.and_then(|key| key.encrypt_in_place(number, head, plain).ok()) else {
            out.truncate(start);
            return false;
        };
        out.extend_from_slice(tag.as_ref());
        space.next_number += 1;
        if id == SpaceId::Data {
            space.next_number = self.skips.number(space.next_number);
        }
        self.counters.packets_sent += 1;
        self.counters.bytes_sent += (out.len() - start) as u64;
        true
    }

    /// Appends a packet with CONNECTION_CLOSE for the next space that owes one. It acknowledges what has come: a peer that
    /// waits for just that before it closes itself learns that nothing is lost.
    fn transmit_close(&mut self, now: Instant, limit: usize, out: &mut Vec<u8>) -> bool {
        let State::Closing { close, owed, .. } = &mut self.state else { return false };
        let Some(id) = SpaceId::ALL.into_iter().find(|id| owed[*id as usize]) else { return false };
        owed[id as usize] = false;
        let close = close.clone();
        let start = out.len();
        self.header(id).emit(out);
        let body = out.len();
        let mut builder = Builder::new(out, start + limit - TAG_LEN);
        let room = builder.room() / 2;
        self.spaces[id as usize].received.emit_ack(now, room, builder.out);
        if !builder.push(&close.segment(id), None) {
            // A small packet has no room for the text.
            builder.push(&without_reason(&close).segment(id), None);
        }
        if out.len() == body {
            out.truncate(start);
            return false;
        }
        self.pad(id, start + limit.min(INITIAL_SIZE), out);
        self.protect(id, start, body, out)
    }
}

fn without_reason(close: &Close) -> Close {
    match close {
        Close::Transport { code, .. } => Close::Transport { code: *code, reason: String::new() },
        Close::Application { code, .. } => Close::Application { code: *code, reason: String::new() },
    }
}
