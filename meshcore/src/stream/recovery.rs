//! Loss detection, RFC 9002 §6 and appendix A, for the three packet number spaces.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::congestion::Congestion;
use super::rtt::{GRANULARITY, Rtt};
use crate::types::Instant;

/// A packet counts as lost when one sent this many later is acknowledged (RFC 9002 §6.1.1).
const PACKET_THRESHOLD: u64 = 3;

/// RFC 9002 §7.6.1.
const PERSISTENT_CONGESTION_THRESHOLD: u32 = 3;

/// Packets whose content is sent again when a probe time-out expires (RFC 9002 §6.2.4).
const PROBES: usize = 2;

/// Longest backoff: 2 to this power. The idle time-out ends a connection long before.
const MAX_BACKOFF: u32 = 16;

/// A packet number space (RFC 9002 §A.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SpaceId {
    Initial,
    Handshake,
    Data,
}

impl SpaceId {
    pub(super) const ALL: [Self; 3] = [Self::Initial, Self::Handshake, Self::Data];
}

/// What a packet carried that matters once it is acknowledged or lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    Ack { largest: u64 },
    Crypto(Range<u64>),
    Stream { stream: u64, range: Range<u64>, fin: bool },
    MaxData,
    MaxStreams,
    MaxStreamData(u64),
    Reset(u64),
    Stop(u64),
    HandshakeDone,
}

/// A packet in flight.
#[derive(Debug)]
pub(super) struct SentPacket {
    pub(super) time: Instant,
    pub(super) size: usize,
    pub(super) eliciting: bool,
    pub(super) content: Vec<Sent>,
}

#[derive(Debug)]
struct Flight {
    packet: SentPacket,
    /// The packet in flight that was sent before this one. Packets without anything to acknowledge are not kept.
    previous: Option<u64>,
}

#[derive(Debug, Default)]
struct Space {
    flights: BTreeMap<u64, Flight>,
    last_flight: Option<u64>,
    eliciting: usize,
    last_eliciting: Option<Instant>,
    largest_acked: Option<u64>,
    loss_time: Option<Instant>,
}

/// What the connection's handshake state means for the timers; kept current by the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// A server that may send nothing more until it hears from the client (RFC 9002 §A.8).
    pub(super) at_amplification_limit: bool,
    /// RFC 9002 §A.6 PeerCompletedAddressValidation.
    pub(super) peer_validated_us: bool,
    /// Handshake keys exist.
    pub(super) has_handshake_keys: bool,
    /// RFC 9001 §4.1.2.
    pub(super) confirmed: bool,
}

/// What an acknowledgement or a timer brought to light.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) acked: Vec<SentPacket>,
    pub(super) lost: Vec<SentPacket>,
}

/// What the loss detection timer asks for.
#[derive(Debug)]
pub(super) enum Expired {
    Nothing,
    /// These packets are lost.
    Lost(SpaceId, Vec<SentPacket>),
    /// Probe packets must be sent in this space.
    Probe(SpaceId),
}

/// The sender's view of the network.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) rtt: Rtt,
    pub(super) congestion: Congestion,
    pub(super) progress: Progress,
    /// What the peer announced; counts in the Data space only.
    pub(super) peer_max_ack_delay: Duration,
    /// The congestion window, not the application, stopped the sender last.
    pub(super) window_limited: bool,
    spaces: [Space; 3],
    pto_count: u32,
    first_sample: Option<Instant>,
    timer: Option<Instant>,
    lost: u64,
}

impl Recovery {
    pub(super) fn new(mtu: usize, progress: Progress) -> Self {
        Self {
            rtt: Rtt::default(),
            congestion: Congestion::new(mtu),
            progress,
            peer_max_ack_delay: Duration::ZERO,
            window_limited: false,
            spaces: Default::default(),
            pto_count: 0,
            first_sample: None,
            timer: None,
            lost: 0,
        }
    }

    /// When [`Recovery::on_timeout`] must be called.
    pub(super) fn timer(&self) -> Option<Instant> {
        self.timer
    }

    /// Packets declared lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether acknowledgements are outstanding.
    pub(super) fn has_eliciting(&self) -> bool {
        self.spaces.iter().any(|space| space.eliciting > 0)
    }

    /// The probe time-out of the Data space without backoff, the unit of several timers (RFC 9000 §10).
    pub(super) fn probe_timeout(&self) -> Duration {
        self.rtt.probe_timeout() + self.peer_max_ack_delay
    }

    /// A packet with something to acknowledge, or with padding, was sent.
    pub(super) fn on_sent(&mut self, now: Instant, id: SpaceId, number: u64, packet: SentPacket) {
        self.congestion.on_sent(packet.size);
        let space = &mut self.spaces[id as usize];
        let previous = space.last_flight.replace(number);
        if packet.eliciting {
            space.eliciting += 1;
            space.last_eliciting = Some(now);
        }
        space.flights.insert(number, Flight { packet, previous });
        self.set_timer(now);
    }

    /// The peer acknowledged packets. The caller has checked that all of them were sent.
    pub(super) fn on_ack(
        &mut self,
        now: Instant,
        id: SpaceId,
        largest: u64,
        delay: Duration,
        ranges: impl Iterator<Item = RangeInclusive<u64>>,
    ) -> Outcome {
        let space = &mut self.spaces[id as usize];
        space.largest_acked = space.largest_acked.max(Some(largest));
        let mut acked = Vec::new();
        for range in ranges {
            let numbers: Vec<u64> = space.flights.range(range).map(|(number, _)| *number).collect();
            acked.extend(
                numbers.iter().filter_map(|number| Some((*number, space.flights.remove(number)?.packet))),
            );
        }
        if acked.is_empty() {
            return Outcome::default();
        }
        space.eliciting -= acked.iter().filter(|(_, packet)| packet.eliciting).count();
        // RFC 9002 §5.1: only the largest packet, newly acknowledged, gives a sample.
        let newest = acked.iter().find(|(number, _)| *number == largest);
        if let Some((_, packet)) = newest.filter(|_| acked.iter().any(|(_, packet)| packet.eliciting)) {
            let delay = match id {
                SpaceId::Initial => Duration::ZERO,
                // RFC 9002 §5.3: the promised bound holds once the handshake is confirmed.
                _ if self.progress.confirmed => delay.min(self.peer_max_ack_delay),
                _ => delay,
            };
            self.rtt.update(now - packet.time, delay);
            self.first_sample.get_or_insert(now);
        }
        let lost = self.detect_lost(now, id);
        for (_, packet) in &acked {
            self.congestion.on_acked(packet.time, packet.size, self.window_limited);
        }
        // RFC 9002 §6.2.1: a client does not reset the backoff before the server has surely validated it.
        if self.progress.peer_validated_us {
            self.pto_count = 0;
        }
        self.set_timer(now);
        Outcome { acked: acked.into_iter().map(|(_, packet)| packet).collect(), lost }
    }

    /// RFC 9002 §A.10 DetectAndRemoveLostPackets, with the congestion events of §B.8.
    fn detect_lost(&mut self, now: Instant, id: SpaceId) -> Vec<SentPacket> {
        let loss_delay = self.rtt.loss_delay();
        let space = &mut self.spaces[id as usize];
        space.loss_time = None;
        let Some(largest_acked) = space.largest_acked else { return Vec::new() };
        let mut numbers = Vec::new();
        for (&number, flight) in space.flights.range(..=largest_acked) {
            let deadline = flight.packet.time + loss_delay;
            if deadline <= now || largest_acked >= number + PACKET_THRESHOLD {
                numbers.push(number);
            } else {
                space.loss_time = Some(space.loss_time.map_or(deadline, |time| time.min(deadline)));
            }
        }
        let lost: Vec<(u64, Flight)> =
            numbers.into_iter().filter_map(|number| Some((number, space.flights.remove(&number)?))).collect();
        space.eliciting -= lost.iter().filter(|(_, flight)| flight.packet.eliciting).count();
        let Some((_, newest)) = lost.last() else { return Vec::new() };
        let newest = newest.packet.time;
        for (_, flight) in &lost {
            self.congestion.on_discarded(flight.packet.size);
        }
        self.lost += lost.len() as u64;
        self.congestion.on_congestion(now, newest);
        if self.is_persistent(&lost) {
            self.congestion.on_persistent_congestion();
        }
        lost.into_iter().map(|(_, flight)| flight.packet).collect()
    }

    /// RFC 9002 §7.6: two ack-eliciting packets, with nothing acknowledged between them, were lost far apart in time.
    fn is_persistent(&self, lost: &[(u64, Flight)]) -> bool {
        let Some(first_sample) = self.first_sample else { return false };
        let span = PERSISTENT_CONGESTION_THRESHOLD * self.probe_timeout();
        let mut before: Option<u64> = None;
        let mut start: Option<Instant> = None;
        for (number, flight) in lost {
            if flight.previous != before {
                start = None;
            }
            before = Some(*number);
            if !flight.packet.eliciting || flight.packet.time <= first_sample {
                continue;
            }
            let start = *start.get_or_insert(flight.packet.time);
            if flight.packet.time - start > span {
                return true;
            }
        }
        false
    }

    /// The timer expired (RFC 9002 §A.9).
    pub(super) fn on_timeout(&mut self, now: Instant) -> Expired {
        if self.timer.is_none_or(|timer| timer > now) {
            return Expired::Nothing;
        }
        if let Some((_, id)) = self.earliest_loss() {
            let lost = self.detect_lost(now, id);
            self.set_timer(now);
            return Expired::Lost(id, lost);
        }
        let id = match self.earliest_probe(now) {
            Some((_, id)) => id,
            None => return Expired::Nothing,
        };
        self.pto_count += 1;
        // The next probe time-out counts from here, whether or not a probe could be sent.
        if let Some(last) = &mut self.spaces[id as usize].last_eliciting {
            *last = now;
        }
        self.set_timer(now);
        Expired::Probe(id)
    }

    /// The content of the oldest packets of a space, to be sent again in probes. They stay in flight.
    pub(super) fn oldest(&self, id: SpaceId) -> Vec<Sent> {
        let flights = self.spaces[id as usize].flights.values();
        let eliciting = flights.filter(|flight| flight.packet.eliciting).take(PROBES);
        eliciting.flat_map(|flight| flight.packet.content.iter().cloned()).collect()
    }

    /// How many probes [`Expired::Probe`] asks for.
    pub(super) fn probes(&self, id: SpaceId) -> usize {
        self.spaces[id as usize].eliciting.clamp(1, PROBES)
    }

    /// Whether acknowledgements are outstanding in a space.
    pub(super) fn has_eliciting_in(&self, id: SpaceId) -> bool {
        self.spaces[id as usize].eliciting > 0
    }

    /// The keys of a space were discarded (RFC 9002 §A.11).
    pub(super) fn discard(&mut self, now: Instant, id: SpaceId) {
        let space = std::mem::take(&mut self.spaces[id as usize]);
        for flight in space.flights.values() {
            self.congestion.on_discarded(flight.packet.size);
        }
        self.pto_count = 0;
        self.set_timer(now);
    }

    fn earliest_loss(&self) -> Option<(Instant, SpaceId)> {
        SpaceId::ALL.into_iter().filter_map(|id| Some((self.spaces[id as usize].loss_time?, id))).min()
    }

    /// RFC 9002 §A.8 GetPtoTimeAndSpace.
    fn earliest_probe(&self, now: Instant) -> Option<(Instant, SpaceId)> {
        let backoff = 1 << self.pto_count.min(MAX_BACKOFF);
        let base = self.rtt.probe_timeout() * backoff;
        if !self.has_eliciting() {
            // Against deadlock: a client keeps the server able to send (§6.2.2.1).
            let id = if self.progress.has_handshake_keys { SpaceId::Handshake } else { SpaceId::Initial };
            return (!self.progress.peer_validated_us).then_some((now + base, id));
        }
        let mut earliest = None;
        for id in SpaceId::ALL {
            let space = &self.spaces[id as usize];
            let (Some(last), true) = (space.last_eliciting, space.eliciting > 0) else { continue };
            let mut duration = base;
            if id == SpaceId::Data {
                // §6.2.1: not before the handshake is confirmed.
                if !self.progress.confirmed {
                    break;
                }
                duration += self.peer_max_ack_delay * backoff;
            }
            let time = last + duration;
            if earliest.is_none_or(|(best, _)| time < best) {
                earliest = Some((time, id));
            }
        }
        earliest
    }

    /// RFC 9002 §A.8 SetLossDetectionTimer.
    pub(super) fn set_timer(&mut self, now: Instant) {
        self.timer = match self.earliest_loss() {
            Some((time, _)) => Some(time),
            None if self.progress.at_amplification_limit => None,
            // A timer in the past is moved to the near future, so that a driver never spins.
            None => self.earliest_probe(now).map(|(time, _)| time.max(now + GRANULARITY)),
        };
    }
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
