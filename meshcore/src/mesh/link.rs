//! State of one link: its neighbours, when to say hello, and how much strangers may make it send.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use super::config::*;
use super::neighbour::MAX_ENTRIES;
use super::routing::{Round, Scope, Told};
use super::table::Table;
use crate::types::{Address, Instant, LargerFrames, LinkId, TokenBucket};
use crate::wire::frame::HEADER_LEN;
use crate::wire::hello::{ENTRY_LEN, FIXED_LEN};

/// Properties of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkInfo {
    /// Largest whole frame in bytes, the 40 of the header included, that every station takes.
    pub mtu: usize,
    /// Larger ones that some stations may take: the mesh finds out who does.
    pub larger: LargerFrames,
    /// Every station on the link hears every other one, as on Ethernet: then routes within the link are not told there
    /// (split horizon).
    pub wired: bool,
}

impl LinkInfo {
    /// A link on which all frames are of at most `mtu` bytes.
    pub const fn new(mtu: usize, wired: bool) -> Self {
        Self { mtu, larger: [0; 4], wired }
    }
}

#[derive(Debug)]
pub(super) struct Link {
    /// Largest whole frame that every station takes.
    pub(super) mtu: usize,
    /// What some may take beyond that.
    pub(super) larger: LargerFrames,
    pub(super) scope: Scope,
    pub(super) table: Table,
    pub(super) outgoing: Outgoing,
    /// Of broadcasts.
    pub(super) signature_checks: TokenBucket,
    /// Of neighbours, about others.
    pub(super) seqno_requests: TokenBucket,
    /// Seqno of the latest group hello.
    pub(super) seqno: u16,
    /// Where the rotation through the list of neighbours stands.
    pub(super) cursor: Option<Address>,
    strangers: Budget,
    verified: Budget,
    started: Instant,
    early_sent: usize,
}

/// What one class of neighbours may make the link send. Two classes, so that strangers cannot use up what is kept for
/// verified neighbours.
#[derive(Debug)]
pub(super) struct Budget {
    /// Hellos that answer hellos.
    pub(super) answers: TokenBucket,
    /// Requests for identity records.
    pub(super) requests: TokenBucket,
    /// Copies of our own record.
    pub(super) records: TokenBucket,
}

impl Budget {
    fn strangers() -> Self {
        let period = Duration::from_millis(20);
        Self {
            answers: TokenBucket::new(32, period),
            requests: TokenBucket::new(32, period),
            // Twice what a neighbour asks for, as all neighbours may ask at once.
            records: TokenBucket::new(64, period / 2),
        }
    }

    /// A verified neighbour may bring hundreds of routes, each with a record to be fetched.
    fn verified() -> Self {
        let requests = TokenBucket::new(128, REQUEST_PACE);
        Self { requests, records: TokenBucket::new(128, REQUEST_PACE), ..Self::strangers() }
    }
}

/// Updates that are to be sent on a link.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Version up to which everybody on the link was told.
    pub(super) sent: u64,
    /// Version up to which there was nothing more to tell on this link.
    pub(super) looked: Told,
    /// Who asked for what it missed, and from which version on it is to be told; [`Address::EVERYONE`]: all at once.
    pub(super) asked: BTreeMap<Address, Told>,
    /// Whom the latest update was for.
    pub(super) turn: Address,
    pub(super) pace: TokenBucket,
    /// Reminders that were sent since the last update.
    pub(super) reminded: usize,
    /// Where the periodic refresh stands, and when its round began.
    pub(super) refresh: Option<Round>,
    pub(super) round_began: Instant,
}

impl Outgoing {
    /// Whom the next update is for. Everybody, if there is news for the `group`, and those who asked take turns, so that
    /// nobody is kept waiting by others who ask again and again.
    pub(super) fn next_turn(&mut self, group: bool) -> Address {
        let behind = self.asked.range((Excluded(self.turn), Unbounded)).next();
        let wraps = self.turn == Address::EVERYONE || !group;
        let next = behind.or_else(|| self.asked.first_key_value().filter(|_| wraps));
        self.turn = next.map_or(Address::EVERYONE, |(node, _)| *node);
        self.turn
    }
}

impl Link {
    pub(super) fn new(now: Instant, id: LinkId, info: LinkInfo, slot: u8, rng: &mut StdRng) -> Self {
        Self {
            mtu: info.mtu,
            larger: info.larger,
            scope: Scope { link: id, wired: info.wired, slot },
            table: Table::default(),
            signature_checks: TokenBucket::new(SIGNATURE_CHECKS.0, SIGNATURE_CHECKS.1),
            seqno_requests: TokenBucket::new(SEQNO_REQUESTS.0, SEQNO_REQUESTS.1),
            outgoing: Outgoing {
                sent: 0,
                looked: Told::default(),
                asked: BTreeMap::new(),
                turn: Address::EVERYONE,
                pace: TokenBucket::new(UPDATE_BURST, UPDATE_PACE),
                reminded: REMINDERS.len(),
                refresh: None,
                round_began: now,
            },
            seqno: rng.random(),
            cursor: None,
            strangers: Budget::strangers(),
            verified: Budget::verified(),
            started: now,
            early_sent: 0,
        }
    }

    pub(super) fn info(&self) -> LinkInfo {
        LinkInfo { mtu: self.mtu, larger: self.larger, wired: self.scope.wired }
    }

    /// The next hellos come in quick succession, as at the start.
    pub(super) fn say_hello_anew(&mut self, now: Instant) {
        (self.started, self.early_sent) = (now, 0);
    }

    pub(super) fn budget(&mut self, verified: bool) -> &mut Budget {
        if verified { &mut self.verified } else { &mut self.strangers }
    }

    /// Whether a neighbour that reports this seqno has heard us lately. Whoever does not hear us can only guess it.
    pub(super) fn is_recent(&self, seqno: u16) -> bool {
        self.seqno.wrapping_sub(seqno) < REPORT_WINDOW
    }

    /// Payload bytes that fit into a frame that every station takes.
    pub(super) fn payload_mtu(&self) -> usize {
        self.mtu.saturating_sub(HEADER_LEN).min(usize::from(u16::MAX))
    }

    /// Neighbours that a hello can list.
    pub(super) fn entries_per_hello(&self) -> usize {
        (self.payload_mtu().saturating_sub(FIXED_LEN) / ENTRY_LEN).min(MAX_ENTRIES)
    }

    /// A group hello is due: when is the next one?
    pub(super) fn next_hello(&mut self, now: Instant, interval: Duration, rng: &mut StdRng) -> Instant {
        self.early_sent += 1;
        match EARLY_HELLOS.get(self.early_sent) {
            Some(offset) => self.started + *offset + EARLY_JITTER.mul_f64(rng.random()),
            None => {
                self.early_sent = EARLY_HELLOS.len();
                now + interval.mul_f64(rng.random_range(0.9..=1.1))
            }
        }
    }
}
