//! Keys of the Data packets and their update (RFC 9001 §6).

use std::time::Duration;

use rustls::quic::{Keys, PacketKey, PacketKeySet, Secrets};

use crate::types::Instant;

/// The keys that were in use before the last update, for packets that were on their way.
struct Previous {
    remote: Box<dyn PacketKey>,
    /// Set with the first packet under the new keys.
    expires: Option<Instant>,
}

/// Which keys a received packet was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    Previous,
    Current,
    Next,
}

/// Keys of one connection, both directions. Both change at the same time.
pub(super) struct DataKeys {
    current: PacketKeySet,
    next: PacketKeySet,
    secrets: Secrets,
    previous: Option<Previous>,
    phase: bool,
    /// Lowest packet number received under the current keys.
    first_received: Option<u64>,
    /// Lowest packet number sent under the current keys.
    first_sent: u64,
    /// Whether the peer acknowledged a packet under the current keys.
    acked: bool,
    sent: u64,
    updates: u64,
}

impl DataKeys {
    pub(super) fn new(keys: Keys, mut secrets: Secrets) -> Self {
        let current = PacketKeySet { local: keys.local.packet, remote: keys.remote.packet };
        Self {
            current,
            next: secrets.next_packet_keys(),
            secrets,
            previous: None,
            phase: false,
            first_received: None,
            first_sent: 0,
            acked: false,
            sent: 0,
            updates: 0,
        }
    }

    pub(super) fn phase(&self) -> bool {
        self.phase
    }

    /// How often the keys changed.
    pub(super) fn updates(&self) -> u64 {
        self.updates
    }

    /// The key for the next packet to send, which counts as used.
    pub(super) fn seal(&mut self) -> &dyn PacketKey {
        self.sent += 1;
        self.current.local.as_ref()
    }

    /// Whether the current key may protect no further packet (RFC 9001 §6.6).
    pub(super) fn is_exhausted(&self) -> bool {
        self.sent >= self.current.local.confidentiality_limit()
    }

    /// Failed decryptions after which the connection must end (RFC 9001 §6.6).
    pub(super) fn integrity_limit(&self) -> u64 {
        self.current.remote.integrity_limit()
    }

    /// The key for a received packet. Only one is ever tried: decryption works in place.
    pub(super) fn open(
        &self,
        phase: bool,
        number: u64,
        now: Instant,
    ) -> Option<(&dyn PacketKey, Generation)> {
        if phase == self.phase {
            return Some((self.current.remote.as_ref(), Generation::Current));
        }
        // RFC 9001 §6.3, §6.4: older packets under the old keys, newer ones under the next.
        if self.first_received.is_none_or(|first| number < first)
            && let Some(previous) = &self.previous
        {
            let alive = previous.expires.is_none_or(|expires| now < expires);
            return alive.then_some((previous.remote.as_ref(), Generation::Previous));
        }
        Some((self.next.remote.as_ref(), Generation::Next))
    }

    /// A packet was decrypted. `lifetime`: how long the old keys stay useful.
    pub(super) fn on_received(
        &mut self,
        generation: Generation,
        number: u64,
        next_sent: u64,
        now: Instant,
        lifetime: impl FnOnce() -> Duration,
    ) {
        if generation == Generation::Previous {
            return;
        }
        if generation == Generation::Next {
            self.update(next_sent);
        }
        if self.first_received.is_none_or(|first| number < first) {
            self.first_received = Some(number);
        }
        if let Some(previous) = &mut self.previous {
            previous.expires.get_or_insert_with(|| now + lifetime());
        }
    }

    /// The peer acknowledged packets up to `largest`.
    pub(super) fn on_acked(&mut self, largest: u64) {
        self.acked |= largest >= self.first_sent;
    }

    /// Whether an update is wanted after `after` packets and allowed (RFC 9001 §6.1, §6.5).
    pub(super) fn wants_update(&self, after: u64, now: Instant) -> bool {
        let limit = after.min(self.current.local.confidentiality_limit() / 2);
        let settled = self
            .previous
            .as_ref()
            .is_none_or(|previous| previous.expires.is_some_and(|expires| now >= expires));
        self.sent >= limit && self.acked && settled
    }

    /// Moves on to the next keys; packets from number `next_sent` on are sent under them.
    pub(super) fn update(&mut self, next_sent: u64) {
        let next = std::mem::replace(&mut self.next, self.secrets.next_packet_keys());
        let old = std::mem::replace(&mut self.current, next);
        self.previous = Some(Previous { remote: old.remote, expires: None });
        self.phase = !self.phase;
        self.first_received = None;
        self.first_sent = next_sent;
        self.acked = false;
        self.sent = 0;
        self.updates += 1;
    }
}
