//! Loss detection, RFC 9002 §6 and appendix A, for the three packet number spaces.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::congestion::{AckEvent, Congestion};
use super::rtt::{GRANULARITY, Rtt};
use super::sent::{Sent, SentPacket, SentPackets};
use crate::types::Instant;

/// A packet counts as lost when one sent this many later is acknowledged (RFC 9002 §6.1.1)...
const PACKET_THRESHOLD: u64 = 3;

/// ...or more, up to this, on a path that was seen to reorder packets.
const MAX_PACKET_THRESHOLD: u64 = 300;

/// Eighths of a round trip that a packet may be late (RFC 9002 §6.1.2: one), and the most on a path that reorders
/// (RFC 8985 §6.2, step 4: a round trip).
const REORDERING: u32 = 1;
const MAX_REORDERING: u32 = 8;

/// Reordering is unlearned after so many reductions of the window without it (RFC 8985 §6.2, RACK.reo_wnd_persist).
const REORDERING_PERSISTS: u64 = 16;

/// RFC 9002 §7.6.1.
const PERSISTENT_CONGESTION_THRESHOLD: u32 = 3;

/// Packets whose content is sent again when a probe time-out expires (RFC 9002 §6.2.4).
const PROBES: usize = 2;

/// Longest backoff: 2 to this power.
const MAX_BACKOFF: u32 = 16;

/// Longest wait for a probe or a loss. RFC 9002 §6.2.1 knows none; but then an outage of half a minute is followed by as long
/// a wait, as is one long round trip, and the idle time-out comes first. Two packets in this time are what RFC 8085 §3.1.3
/// allows whoever hears nothing.
const MAX_WAIT: Duration = Duration::from_secs(6);

/// Probe time-outs in a row that keep to it: more than there are in the idle time-out. Only a peer that is heard and never
/// acknowledges sees more, and probes for it must not fill the memory.
const PATIENCE: u32 = 24;

/// Lost packets are remembered for this many probe time-outs, to notice when they were only late.
const MEMORY: u32 = 3;

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

#[derive(Debug, Default)]
struct Space {
    sent: SentPackets,
    last_eliciting: Option<Instant>,
    largest_acked: Option<u64>,
    loss_time: Option<Instant>,
}

/// How far packets overtake each other on this path.
#[derive(Debug, Clone, Copy)]
struct Reordering {
    packets: u64,
    eighths: u32,
    /// Reductions of the window when it was noticed last.
    noticed: u64,
}

impl Default for Reordering {
    fn default() -> Self {
        Self { packets: PACKET_THRESHOLD, eighths: REORDERING, noticed: 0 }
    }
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

/// The content of packets that an acknowledgement or a timer decided about.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) acked: Vec<Sent>,
    pub(super) lost: Vec<Sent>,
}

/// What the loss detection timer asks for.
#[derive(Debug)]
pub(super) enum Expired {
    Nothing,
    /// This content is lost.
    Lost(SpaceId, Vec<Sent>),
    /// Probe packets must be sent in this space.
    Probe(SpaceId),
}

/// An acknowledgement from the peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct AckInfo {
    pub(super) largest: u64,
    pub(super) delay: Duration,
    /// Number of the next packet to send.
    pub(super) next_number: u64,
}

/// The sender's view of the network.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) rtt: Rtt,
    pub(super) congestion: Congestion,
    pub(super) progress: Progress,
    /// What the peer announced, or was told since; counts in the Data space only.
    pub(super) peer_max_ack_delay: Duration,
    /// The congestion window or pacing, not the application or the link, stopped the sender last.
    pub(super) window_limited: bool,
    spaces: [Space; 3],
    pto_count: u32,
    first_sample: Option<Instant>,
    timer: Option<Instant>,
    reordering: Reordering,
    lost: u64,
    spurious: u64,
}

/// What one acknowledgement newly covers.
#[derive(Debug, Default)]
struct News {
    bytes: u64,
    eliciting: bool,
    /// The packet with the largest number: its number and when it was sent.
    newest: Option<(u64, Instant)>,
    any: bool,
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
            reordering: Reordering::default(),
            lost: 0,
            spurious: 0,
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

    /// Packets that had been declared lost and arrived all the same.
    pub(super) fn spurious(&self) -> u64 {
        self.spurious
    }

    /// Whether acknowledgements are outstanding.
    pub(super) fn has_eliciting(&self) -> bool {
        self.spaces.iter().any(|space| space.sent.eliciting() > 0)
    }

    /// The probe time-out of the Data space without backoff, the unit of several timers (RFC 9000 §10).
    pub(super) fn probe_timeout(&self) -> Duration {
        self.rtt.probe_timeout() + self.peer_max_ack_delay
    }

    /// A packet with something to acknowledge, or with padding, was sent.
    pub(super) fn on_sent(&mut self, now: Instant, id: SpaceId, number: u64, packet: SentPacket) {
        self.congestion.on_sent(packet.size);
        let space = &mut self.spaces[id as usize];
        if packet.eliciting {
            space.last_eliciting = Some(now);
        }
        space.sent.push(number, packet);
        self.set_timer(now);
    }

    /// The peer acknowledged packets. The caller has checked that all of them were sent.
    pub(super) fn on_ack(
        &mut self,
        now: Instant,
        id: SpaceId,
        ack: AckInfo,
        ranges: impl Iterator<Item = RangeInclusive<u64>>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let in_flight = self.congestion.in_flight();
        let news = self.acknowledge(id, ranges, &mut outcome.acked);
        let space = &mut self.spaces[id as usize];
        space.largest_acked = space.largest_acked.max(Some(ack.largest));
        let Some((newest, sent)) = news.newest.filter(|_| news.any) else { return outcome };
        // RFC 9002 §5.1: only the largest packet, newly acknowledged, gives a sample.
        let sample = (newest == ack.largest && news.eliciting).then(|| now - sent);
        if let Some(sample) = sample {
            let delay = match id {
                SpaceId::Initial => Duration::ZERO,
                // RFC 9002 §5.3: the promised bound holds once the handshake is confirmed.
                _ if self.progress.confirmed => ack.delay.min(self.peer_max_ack_delay),
                _ => ack.delay,
            };
            self.rtt.update(sample, delay);
            self.first_sample.get_or_insert(now);
        }
        self.detect_lost(now, id, &mut outcome.lost);
        // RFC 9002 §7.8. In slow start half of the window is enough: the other half is what it grew by.
        let is_half_used = self.congestion.is_slow_start() && in_flight >= self.congestion.window() / 2;
        self.congestion.on_ack(&AckEvent {
            now,
            sent,
            bytes: news.bytes,
            largest: ack.largest,
            next_number: ack.next_number,
            sample,
            rtt: self.rtt.smoothed(),
            limited: self.window_limited || is_half_used,
        });
        // RFC 9002 §6.2.1: a client does not reset the backoff before the server has surely validated it.
        if self.progress.peer_validated_us {
            self.pto_count = 0;
        }
        self.forget(now, id);
        self.set_timer(now);
        outcome
    }

    fn acknowledge(
        &mut self,
        id: SpaceId,
        ranges: impl Iterator<Item = RangeInclusive<u64>>,
        content: &mut Vec<Sent>,
    ) -> News {
        let Self { spaces, congestion, reordering, spurious, .. } = self;
        let space = &mut spaces[id as usize];
        let before = space.largest_acked.unwrap_or(0);
        let mut news = News::default();
        for range in ranges {
            space.sent.acknowledge(range, |acked, parts| {
                content.extend(parts);
                if news.newest.is_none_or(|(number, _)| number < acked.number) {
                    news.newest = Some((acked.number, acked.time));
                }
                news.any = true;
                news.eliciting |= acked.eliciting;
                let Some(congested) = acked.was_lost else {
                    congestion.on_left(acked.size);
                    news.bytes += acked.size as u64;
                    return;
                };
                *spurious += 1;
                if congested {
                    congestion.on_spurious();
                    let distance = before.saturating_sub(acked.number) + 1;
                    reordering.packets = reordering.packets.max(distance.min(MAX_PACKET_THRESHOLD));
                    if reordering.noticed != congestion.events() || reordering.eighths == REORDERING {
                        reordering.eighths = (reordering.eighths + 1).min(MAX_REORDERING);
                    }
                    reordering.noticed = congestion.events();
                }
            });
        }
        news
    }

    /// RFC 9002 §A.10 DetectAndRemoveLostPackets, with the congestion events of §B.8, and a tolerance that adapts to the
    /// path (RFC 8985 §6.2).
    fn detect_lost(&mut self, now: Instant, id: SpaceId, content: &mut Vec<Sent>) {
        let loss_delay = self.rtt.loss_delay(self.reordering.eighths).min(MAX_WAIT);
        let threshold = self.reordering.packets;
        let Self { spaces, congestion, .. } = self;
        let space = &mut spaces[id as usize];
        space.loss_time = None;
        let Some(largest) = space.largest_acked else { return };
        let (mut newest, mut losses) = (Instant::default(), 0);
        let mut next: Option<Instant> = None;
        let is_lost = |number: u64, packet: &SentPacket| {
            let deadline = packet.time + loss_delay;
            let lost = deadline <= now || largest >= number + threshold;
            if !lost {
                next = Some(next.map_or(deadline, |time| time.min(deadline)));
            }
            lost
        };
        space.sent.judge(largest, true, content, is_lost, |lost| {
            congestion.on_left(lost.size);
            newest = lost.time;
            losses += 1;
        });
        space.loss_time = next;
        if losses == 0 {
            return;
        }
        self.lost += losses;
        self.congestion.on_congestion(now, newest, losses);
        let span = PERSISTENT_CONGESTION_THRESHOLD * self.probe_timeout();
        if let Some(first) = self.first_sample
            && self.spaces[id as usize].sent.is_persistent(first, span)
        {
            self.congestion.on_persistent_congestion();
        }
        if self.congestion.events() > self.reordering.noticed + REORDERING_PERSISTS {
            self.reordering = Reordering { noticed: self.congestion.events(), ..Reordering::default() };
        }
    }

    fn forget(&mut self, now: Instant, id: SpaceId) {
        let memory = MEMORY * self.probe_timeout();
        let horizon = Instant::from_micros(now.as_micros().saturating_sub(memory.as_micros() as u64));
        self.spaces[id as usize].sent.forget(horizon);
    }

    /// Packets larger than `mtu` cannot have arrived any more: returns their content. That says nothing about congestion.
    pub(super) fn on_smaller_mtu(&mut self, now: Instant, id: SpaceId, mtu: usize) -> Vec<Sent> {
        let mut content = Vec::new();
        let Self { spaces, congestion, lost, .. } = self;
        let is_too_large = |_: u64, packet: &SentPacket| packet.size > mtu;
        spaces[id as usize].sent.judge(u64::MAX, false, &mut content, is_too_large, |packet| {
            congestion.on_left(packet.size);
            *lost += 1;
        });
        self.set_timer(now);
        content
    }

    /// The route is another one now: round-trip time, window and reordering are learned anew (RFC 9000 §9.4).
    pub(super) fn on_path_change(&mut self, now: Instant, mtu: usize) {
        self.rtt.on_path_change();
        self.congestion.on_path_change(mtu);
        self.reordering = Reordering::default();
        self.first_sample = None;
        self.pto_count = 0;
        self.set_timer(now);
    }

    /// The timer expired (RFC 9002 §A.9).
    pub(super) fn on_timeout(&mut self, now: Instant) -> Expired {
        if self.timer.is_none_or(|timer| timer > now) {
            return Expired::Nothing;
        }
        if let Some((_, id)) = self.earliest_loss() {
            let mut lost = Vec::new();
            self.detect_lost(now, id, &mut lost);
            self.forget(now, id);
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
        let flights = self.spaces[id as usize].sent.in_flight().map(|(_, packet)| packet);
        let eliciting = flights.filter(|packet| packet.eliciting).take(PROBES);
        eliciting.flat_map(|packet| packet.content.iter().cloned()).collect()
    }

    /// How many probes [`Expired::Probe`] asks for.
    pub(super) fn probes(&self, id: SpaceId) -> usize {
        self.spaces[id as usize].sent.eliciting().clamp(1, PROBES)
    }

    /// Whether acknowledgements are outstanding in a space.
    pub(super) fn has_eliciting_in(&self, id: SpaceId) -> bool {
        self.spaces[id as usize].sent.eliciting() > 0
    }

    /// The keys of a space were discarded (RFC 9002 §A.11).
    pub(super) fn discard(&mut self, now: Instant, id: SpaceId) {
        let space = std::mem::take(&mut self.spaces[id as usize]);
        for (_, packet) in space.sent.in_flight() {
            self.congestion.on_left(packet.size);
        }
        self.pto_count = 0;
        self.set_timer(now);
    }

    fn earliest_loss(&self) -> Option<(Instant, SpaceId)> {
        SpaceId::ALL.into_iter().filter_map(|id| Some((self.spaces[id as usize].loss_time?, id))).min()
    }

    /// RFC 9002 §A.8 GetPtoTimeAndSpace.
    fn earliest_probe(&self, now: Instant) -> Option<(Instant, SpaceId)> {
        let [backoff, impatience] = [self.pto_count, self.pto_count.saturating_sub(PATIENCE)];
        let [backoff, impatience] = [backoff, impatience].map(|count| 1 << count.min(MAX_BACKOFF));
        let backed_off = |time: Duration| (time * backoff).min(MAX_WAIT * impatience);
        let base = self.rtt.probe_timeout();
        if !self.has_eliciting() {
            // Against deadlock: a client keeps the server able to send (§6.2.2.1).
            let id = if self.progress.has_handshake_keys { SpaceId::Handshake } else { SpaceId::Initial };
            return (!self.progress.peer_validated_us).then_some((now + backed_off(base), id));
        }
        let mut earliest = None;
        for id in SpaceId::ALL {
            let space = &self.spaces[id as usize];
            let (Some(last), true) = (space.last_eliciting, space.sent.eliciting() > 0) else { continue };
            let mut duration = base;
            if id == SpaceId::Data {
                // §6.2.1: not before the handshake is confirmed.
                if !self.progress.confirmed {
                    break;
                }
                duration += self.peer_max_ack_delay;
            }
            let time = last + backed_off(duration);
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
