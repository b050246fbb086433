//! The packets of one number space that the peer has not answered for yet.

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use smallvec::SmallVec;

use crate::types::Instant;

/// What a packet carried that matters once it is acknowledged or lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    Ack {
        largest: u64,
    },
    Crypto(Range<u64>),
    Stream {
        stream: u64,
        range: Range<u64>,
        fin: bool,
    },
    MaxData,
    MaxStreams,
    MaxStreamData(u64),
    Reset(u64),
    Stop(u64),
    /// The delay that was asked for.
    AckFrequency(Duration),
    HandshakeDone,
}

/// The content of one packet: nearly always one or two parts, then nothing is allocated.
pub(super) type Content = SmallVec<[Sent; 2]>;

/// A packet that was sent.
#[derive(Debug)]
pub(super) struct SentPacket {
    pub(super) time: Instant,
    pub(super) size: usize,
    pub(super) eliciting: bool,
    pub(super) content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InFlight,
    Acked,
    /// Kept for a while: an acknowledgement that comes after all shows that the packet was only late. `congestion`: the
    /// loss was taken as a sign of congestion.
    Lost {
        congestion: bool,
    },
}

#[derive(Debug)]
struct Slot {
    number: u64,
    packet: SentPacket,
    state: State,
    /// This slot and the following are acknowledged, so many together: acknowledgements repeat what they said, and step
    /// over it.
    run: usize,
}

/// A packet that was acknowledged just now.
#[derive(Debug)]
pub(super) struct Acked {
    pub(super) number: u64,
    pub(super) time: Instant,
    pub(super) size: usize,
    pub(super) eliciting: bool,
    /// It had been declared lost, because of congestion or not.
    pub(super) was_lost: Option<bool>,
}

/// A packet that was declared lost just now.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) time: Instant,
    pub(super) size: usize,
}

/// Slots that are kept while nothing is in flight.
const KEPT: usize = 16;

/// Packets in the order of their numbers. Those without anything to acknowledge are not kept.
#[derive(Debug, Default)]
pub(super) struct SentPackets {
    slots: VecDeque<Slot>,
    /// Slots before this one are not in flight.
    oldest: usize,
    in_flight: usize,
    eliciting: usize,
}

impl SentPackets {
    /// Ack-eliciting packets in flight.
    pub(super) fn eliciting(&self) -> usize {
        self.eliciting
    }

    /// Packets in flight, oldest first.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = (u64, &SentPacket)> {
        let slots = self.slots.range(self.oldest.min(self.slots.len())..);
        slots.filter(|slot| slot.state == State::InFlight).map(|slot| (slot.number, &slot.packet))
    }

    pub(super) fn push(&mut self, number: u64, packet: SentPacket) {
        debug_assert!(self.slots.back().is_none_or(|last| last.number < number));
        if self.in_flight == 0 {
            self.oldest = self.slots.len();
        }
        self.in_flight += 1;
        self.eliciting += usize::from(packet.eliciting);
        self.slots.push_back(Slot { number, packet, state: State::InFlight, run: 0 });
    }

    /// Marks a range as acknowledged; hands every packet that is news, and its content, to `news`.
    pub(super) fn acknowledge(&mut self, range: RangeInclusive<u64>, mut news: impl FnMut(Acked, Content)) {
        let first = match self.slots.front() {
            Some(front) if front.number >= *range.start() => 0,
            _ => self.slots.partition_point(|slot| slot.number < *range.start()),
        };
        let mut index = first;
        while let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.number <= *range.end()) {
            if slot.state == State::Acked {
                index += slot.run.max(1);
                continue;
            }
            let was_lost = match slot.state {
                State::Lost { congestion } => Some(congestion),
                _ => None,
            };
            if was_lost.is_none() {
                self.in_flight -= 1;
                self.eliciting -= usize::from(slot.packet.eliciting);
            }
            slot.state = State::Acked;
            slot.run = 1;
            let SentPacket { time, size, eliciting, ref mut content } = slot.packet;
            let acked = Acked { number: slot.number, time, size, eliciting, was_lost };
            news(acked, std::mem::take(content));
            index += 1;
        }
        if let Some(slot) = self.slots.get_mut(first)
            && index > first
        {
            slot.run = index - first;
        }
    }

    /// Looks at the packets in flight up to number `largest`, oldest first, and declares those lost for which `verdict`
    /// says so. Their content is appended to `content`.
    pub(super) fn judge(
        &mut self,
        largest: u64,
        congestion: bool,
        content: &mut Vec<Sent>,
        mut verdict: impl FnMut(u64, &SentPacket) -> bool,
        mut lost: impl FnMut(Lost),
    ) {
        let mut index = self.oldest;
        let mut is_oldest = true;
        while let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.number <= largest) {
            match slot.state {
                State::Acked => index += slot.run.max(1),
                State::Lost { .. } => index += 1,
                State::InFlight if verdict(slot.number, &slot.packet) => {
                    slot.state = State::Lost { congestion };
                    self.in_flight -= 1;
                    self.eliciting -= usize::from(slot.packet.eliciting);
                    content.extend(slot.packet.content.iter().cloned());
                    lost(Lost { time: slot.packet.time, size: slot.packet.size });
                    index += 1;
                }
                State::InFlight => {
                    is_oldest = false;
                    index += 1;
                }
            }
            if is_oldest {
                self.oldest = index;
            }
        }
    }

    /// Whether two ack-eliciting packets sent after `since`, more than `span` apart, were lost, and nothing between them
    /// was acknowledged (RFC 9002 §7.6.2).
    pub(super) fn is_persistent(&self, since: Instant, span: Duration) -> bool {
        let mut start: Option<Instant> = None;
        for slot in &self.slots {
            if !matches!(slot.state, State::Lost { congestion: true }) {
                start = None;
                continue;
            }
            if !slot.packet.eliciting || slot.packet.time <= since {
                continue;
            }
            if slot.packet.time - *start.get_or_insert(slot.packet.time) > span {
                return true;
            }
        }
        false
    }

    /// Forgets what is acknowledged, and what was lost and sent before `horizon`.
    pub(super) fn forget(&mut self, horizon: Instant) {
        while let Some(slot) = self.slots.front() {
            match slot.state {
                State::InFlight => break,
                State::Lost { .. } if slot.packet.time >= horizon => break,
                State::Lost { .. } | State::Acked => {}
            }
            self.slots.pop_front();
            self.oldest = self.oldest.saturating_sub(1);
        }
        if self.slots.is_empty() {
            // An idle connection keeps little memory for the flights of its busy times.
            self.slots.shrink_to(KEPT);
            self.oldest = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn packet(time: u64) -> SentPacket {
        let content = [Sent::Reset(time)].into_iter().collect();
        SentPacket { time: Instant::from_micros(time), size: 1, eliciting: true, content }
    }

    proptest! {
        /// Against a map that does the same in the simplest way.
        #[test]
        fn behaves_like_a_map(steps in proptest::collection::vec((0u8..5, 0u64..60, 0u64..20), 0..200)) {
            let mut sent = SentPackets::default();
            let mut model: BTreeMap<u64, bool> = BTreeMap::new();
            let mut lost_before = BTreeSet::new();
            let mut next = 0;
            for (what, number, len) in steps {
                match what {
                    0 | 1 => {
                        next += 1 + number % 3;
                        sent.push(next, packet(next));
                        model.insert(next, true);
                    }
                    2 => {
                        let range = number..=number + len;
                        let mut news = Vec::new();
                        sent.acknowledge(range.clone(), |acked, content| {
                            assert_eq!(content.as_slice(), [Sent::Reset(acked.number)]);
                            assert_eq!(acked.was_lost.is_some(), lost_before.contains(&acked.number));
                            news.push(acked.number);
                        });
                        let expected: Vec<_> =
                            model.keys().copied().filter(|number| range.contains(number)).collect();
                        model.retain(|number, _| !range.contains(number));
                        prop_assert_eq!(news, expected);
                    }
                    3 => {
                        let mut content = Vec::new();
                        sent.judge(number, true, &mut content, |number, _| number % 2 == 0, |_| {});
                        let expected: Vec<_> = model
                            .iter_mut()
                            .filter(|(other, flying)| **flying && **other <= number && **other % 2 == 0)
                            .map(|(other, flying)| { *flying = false; lost_before.insert(*other); Sent::Reset(*other) })
                            .collect();
                        prop_assert_eq!(content, expected);
                    }
                    _ => {
                        let first = model.iter().find(|(_, flying)| **flying).map(|(number, _)| *number);
                        sent.forget(Instant::from_micros(number));
                        model.retain(|other, flying| {
                            *flying || *other >= number || first.is_some_and(|first| *other > first)
                                || lost_before.iter().any(|kept| *kept >= number && kept < other)
                        });
                        // What the model cannot tell from the order of events: late ones that were forgotten.
                        let kept: BTreeSet<_> = sent.slots.iter().map(|slot| slot.number).collect();
                        model.retain(|other, flying| *flying || kept.contains(other));
                    }
                }
                let flying: Vec<_> = model.iter().filter(|(_, flying)| **flying).map(|(number, _)| *number).collect();
                prop_assert_eq!(sent.in_flight().map(|(number, _)| number).collect::<Vec<_>>(), flying.clone());
                prop_assert_eq!(sent.eliciting(), flying.len());
            }
        }
    }

    #[test]
    fn nothing_is_kept_when_all_is_acknowledged() {
        let mut sent = SentPackets::default();
        for number in 0..1000 {
            sent.push(number, packet(number));
        }
        sent.acknowledge(0..=999, |_, _| {});
        sent.forget(Instant::default());
        assert!(sent.slots.capacity() <= KEPT);
    }
}
