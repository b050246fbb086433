//! One neighbour on one link: is it alive, does it hear us, at which station does it live.
//!
//! The rules are those of RFC 8966, section 3.4, with a bidirectional check of section 3.4.2 that also asks whether the
//! report is fresh. Hellos are not authenticated, so every rule bounds what a lie can do.

use std::time::Duration;

use smallvec::SmallVec;

use super::config::*;
use super::largest::Largest;
use super::liveness::Liveness;
use super::quality::Quality;
use super::routing::HopId;
use super::sync::Sync;
use crate::types::{Address, Instant, LinkAddr, TokenBucket};
use crate::wire::hello::{ENTRY_LEN, FIXED_LEN, Heard, Hello, MAX_LEN};
use crate::wire::update::INFINITE;

/// A hello as it came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reception {
    pub(super) now: Instant,
    pub(super) from: LinkAddr,
    pub(super) hello: Hello,
    /// Sent to the group, not to this node alone.
    pub(super) group: bool,
    /// How many neighbours the hello lists.
    pub(super) listed: u32,
    /// What it says about this life of this node, with one of our latest seqnos.
    pub(super) about_us: Option<Heard>,
}

impl Reception {
    fn lists_us(&self) -> bool {
        self.about_us.is_some()
    }
}

/// The stations of a neighbour, the one that frames are sent to first.
pub(super) type Stations = SmallVec<[LinkAddr; 1 + MAX_OTHERS]>;

/// Why a hello of a known neighbour is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Duplicate,
    /// The address is held by another station, which may be asked whether it still is there.
    Held {
        challenge: bool,
    },
}

/// What a hello calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Response {
    /// The neighbour should be answered.
    pub(super) answer: bool,
    /// It has started anew, as a whole or on this link, or contradicts itself: what it said before is void.
    pub(super) fresh: bool,
}

#[derive(Debug)]
pub(super) struct Neighbour {
    /// Station on the link that frames are sent to.
    pub(super) at: LinkAddr,
    /// Further stations that have answered questions which were put to it: on UDP a node has one of each address family, and
    /// two neighbours need not choose the same.
    others: SmallVec<[LinkAddr; 1]>,
    /// Latest seqno heard.
    pub(super) seqno: u16,
    /// The link works both ways.
    pub(super) up: bool,
    /// As the routing knows it.
    pub(super) hop: HopId,
    pub(super) instance: u64,
    pub(super) quality: Quality,
    pub(super) liveness: Liveness,
    pub(super) largest: Largest,
    pub(super) sync: Sync,
    interval: Duration,
    heard_at: Instant,
    /// It said that it leaves: when it is lost.
    leaves_at: Option<Instant>,
    listed_at: Option<Instant>,
    listed_until: Instant,
    /// Hellos that a rotation through its list takes.
    rotation: u32,
    challenged_at: Option<Instant>,
    /// The instance before this one, and when it was replaced.
    former: Option<(u64, Instant)>,
    answered_at: Option<Instant>,
    /// At a station of its own, and elsewhere.
    probe_answers: [TokenBucket; 2],
    served_at: Option<Instant>,
    /// It was asked whether it hears us: when, and how often since it began anew.
    asked_at: Instant,
    asked: u32,
}

/// Whether `gap` has passed since the last time, and if so, notes the time.
fn elapsed(last: &mut Option<Instant>, gap: Duration, now: Instant) -> bool {
    let free = last.is_none_or(|last| now - last >= gap);
    if free {
        *last = Some(now);
    }
    free
}

impl Neighbour {
    pub(super) fn new(reception: &Reception, hop: HopId) -> Self {
        let mut neighbour = Self {
            at: reception.from,
            others: SmallVec::new(),
            seqno: reception.hello.seqno,
            up: false,
            hop,
            instance: reception.hello.instance,
            quality: Quality::new(),
            liveness: Liveness::default(),
            largest: Largest::default(),
            sync: Sync::default(),
            interval: Duration::ZERO,
            heard_at: reception.now,
            leaves_at: None,
            listed_at: None,
            listed_until: reception.now,
            rotation: 1,
            challenged_at: None,
            former: None,
            answered_at: None,
            probe_answers: [(); 2].map(|()| TokenBucket::new(PROBE_ANSWERS.0, PROBE_ANSWERS.1)),
            served_at: None,
            asked_at: reception.now,
            asked: 0,
        };
        neighbour.believe(reception);
        neighbour
    }

    /// Takes a hello in.
    pub(super) fn on_hello(&mut self, reception: &Reception) -> Result<Response, Refusal> {
        let Reception { now, from, hello, group, .. } = *reception;
        let is_silent = self.is_silent(now);
        if !self.is_at(from) && !is_silent {
            let fresh = self.challenged_at.is_some_and(|at| now - at < CHALLENGE_LIFE);
            let challenge = hello.instance != self.instance && !fresh;
            return Err(Refusal::Held { challenge });
        }
        let restarted = hello.instance != self.instance;
        let is_former = |(instance, at)| instance == hello.instance && now - at < FORMER_LIFE;
        if self.former.is_some_and(is_former) {
            return Err(Refusal::Duplicate);
        }
        if hello.interval == 0 {
            if !restarted {
                self.leaves_at.get_or_insert(now + LEAVING_HOLD);
            }
            return Ok(Response { answer: false, fresh: false });
        }
        let age = self.seqno.wrapping_sub(hello.seqno);
        if group && !restarted && age < DUPLICATE_WINDOW {
            self.on_frame(now, from);
            return Err(Refusal::Duplicate);
        }
        let ahead = hello.seqno.wrapping_sub(self.seqno);
        // RFC 8966, appendix A.1: the neighbour has forgotten what it said on this link, so nothing of it holds.
        let fresh = restarted || ahead.min(age) > MAX_JUMP;
        if restarted {
            self.former = Some((self.instance, now));
        }
        if fresh {
            self.listed_at = None;
            self.listed_until = now;
            self.liveness = Liveness::default();
            self.largest.forget();
            self.sync = Sync::default();
            self.quality = Quality::new();
            self.others.clear();
            (self.asked_at, self.asked) = (now, 0);
        } else {
            // Of the group hellos up to this one, none came but itself.
            let due = if ahead > MAX_JUMP { 0 } else { ahead };
            self.quality.on_missed(due.saturating_sub(u16::from(group)));
            if group {
                self.quality.on_hello();
            }
        }
        if from != self.at && (is_silent || fresh) {
            self.at = from;
            self.others.clear();
            self.challenged_at = None;
            self.largest.forget();
        }
        self.instance = hello.instance;
        // An answer that was overtaken by a later hello does not count back.
        if fresh || ahead <= MAX_JUMP {
            self.seqno = hello.seqno;
        }
        self.heard_at = now;
        self.leaves_at = None;
        let fresh = self.believe(reception) || fresh;
        let asks = !group && !reception.lists_us();
        Ok(Response { answer: fresh || asks || self.listed_at.is_none(), fresh })
    }

    /// Takes over what the hello says about its sender and about us. Whether it makes void what was said before.
    fn believe(&mut self, reception: &Reception) -> bool {
        let Reception { now, hello, group, listed, about_us, .. } = *reception;
        let void = self.sync.on_hello(hello.version, group);
        self.interval = clamp_interval(Duration::from_millis(10 * u64::from(hello.interval)));
        let total = u32::from(hello.total);
        let per_hello = if group { listed.max(1) } else { MAX_ENTRIES as u32 };
        self.rotation = total.div_ceil(per_hello).clamp(1, MAX_ROTATION);
        if let Some(about_us) = about_us {
            self.listed_at = Some(now);
            self.quality.on_report(about_us.rxcost);
        } else if group && listed >= total {
            // The list is complete, and this node is not on it.
            if self.listed_at.take().is_some() {
                self.listed_until = self.listed_until.min(now + UNLISTED_HOLD);
            }
        }
        if let Some(listed_at) = self.listed_at {
            self.listed_until = listed_at + self.interval * (self.rotation + 2) + self.interval / 2;
        }
        void
    }

    /// Any frame that comes from a station of the neighbour shows that it is there.
    pub(super) fn on_frame(&mut self, now: Instant, from: LinkAddr) {
        if self.is_at(from) {
            self.heard_at = now;
        }
    }

    /// Whether this is a station of the neighbour.
    pub(super) fn is_at(&self, station: LinkAddr) -> bool {
        station == self.at || self.others.contains(&station)
    }

    /// All its stations.
    pub(super) fn stations(&self) -> Stations {
        std::iter::once(self.at).chain(self.others.iter().copied()).collect()
    }

    /// A question that was put to the neighbour has been answered from this station, so that it is one of its own.
    pub(super) fn add_station(&mut self, station: LinkAddr) {
        if self.is_at(station) {
            return;
        }
        if self.others.len() == MAX_OTHERS {
            self.others.remove(0);
        }
        self.others.push(station);
    }

    /// The station is being asked whether it still is there.
    pub(super) fn on_challenge(&mut self, now: Instant) {
        self.challenged_at = Some(now);
    }

    /// Whether the station has been silent long enough for another one to take its address over: a hello and a half
    /// are missing, it said that it leaves, or it did not answer a challenge.
    fn is_silent(&self, now: Instant) -> bool {
        let waited = |at| (CHALLENGE_WAIT..CHALLENGE_LIFE).contains(&(now - at));
        let unanswered = |at| self.heard_at < at && waited(at);
        self.leaves_at.is_some()
            || now - self.heard_at >= self.interval * 3 / 2
            || self.challenged_at.is_some_and(unanswered)
    }

    /// When the neighbour is lost unless it is heard again.
    pub(super) fn lost_at(&self) -> Instant {
        self.leaves_at.unwrap_or(self.heard_at + self.interval * 7 / 2)
    }

    /// Updates whether the link works both ways.
    pub(super) fn refresh(&mut self, now: Instant) {
        self.up = now < self.lost_at() && now < self.listed_until;
    }

    /// When the neighbour is to be asked whether it hears us, by a hello that it answers: its own may have been lost, or
    /// those that it should have answered. Not one that leaves: it says no more.
    fn ask_at(&self) -> Option<Instant> {
        if self.leaves_at.is_some() {
            return None;
        }
        if self.up {
            // Both are overdue a quarter of an interval after the second hello that should have said so.
            let heard = self.heard_at + self.interval * 9 / 4;
            let list = |at| at + self.interval * (self.rotation + 1) + self.interval / 4;
            let overdue = self.listed_at.map_or(heard, |at| heard.min(list(at)));
            return Some(overdue.max(self.asked_at + (self.interval / 8).max(ANSWER_GAP)));
        }
        NEWCOMER_ASKS.get(self.asked as usize).map(|wait| self.asked_at + *wait)
    }

    /// Whether the neighbour is to be asked now; then that is noted.
    pub(super) fn asks(&mut self, now: Instant) -> bool {
        let due = self.ask_at().is_some_and(|at| at <= now);
        if due {
            self.asked_at = now;
            self.asked = self.asked.saturating_add(1);
        }
        due
    }

    /// When to look at the neighbour again.
    pub(super) fn deadline(&self) -> Instant {
        let end = if self.up { self.lost_at().min(self.listed_until) } else { self.lost_at() };
        self.ask_at().map_or(end, |ask| ask.min(end))
    }

    /// Cost of the link to the neighbour.
    pub(super) fn cost(&mut self) -> u16 {
        if self.up && !self.liveness.is_silent() { self.quality.cost() } else { INFINITE }
    }

    /// What our hellos say about it.
    pub(super) fn heard(&self, node: Address) -> Heard {
        Heard { node, seqno: self.seqno, rxcost: self.quality.rxcost(), instance: self.instance as u32 }
    }

    /// Whether the neighbour may be answered by a hello now.
    pub(super) fn may_answer(&mut self, now: Instant) -> bool {
        elapsed(&mut self.answered_at, ANSWER_GAP, now)
    }

    /// Whether a probe of the neighbour may be answered now. Those from elsewhere, which anybody can send, do not hinder
    /// answers to its own.
    pub(super) fn may_answer_probe(&mut self, now: Instant, from: LinkAddr) -> bool {
        let elsewhere = usize::from(!self.is_at(from));
        self.probe_answers[elsewhere].take(now)
    }

    /// Whether the neighbour may have an identity record now.
    pub(super) fn may_serve(&mut self, now: Instant) -> bool {
        elapsed(&mut self.served_at, RECORD_GAP, now)
    }
}

/// Most entries that fit into a hello.
pub(super) const MAX_ENTRIES: usize = (MAX_LEN - FIXED_LEN) / ENTRY_LEN;
