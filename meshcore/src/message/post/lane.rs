//! Lanes: what goes to one node for one recipient, page by page.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::types::{Instant, MessageId, NodeId};

/// Whom envelopes are for, and where they go. A lane whose ends are the same brings letters from this node's mailbox to their
/// recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    pub(super) recipient: NodeId,
    pub(super) target: NodeId,
}

impl Route {
    pub(super) const FIRST: Self =
        Self { recipient: NodeId([0; NodeId::LEN]), target: NodeId([0; NodeId::LEN]) };

    /// What goes there was written by this node; otherwise it is from its mailbox.
    pub(super) fn is_own(&self) -> bool {
        self.target != self.recipient
    }
}

/// What was handed over, or is about to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parcel {
    pub(super) route: Route,
    pub(super) run: u64,
    pub(super) id: MessageId,
    /// Its number in the mailbox of this node.
    pub(super) letter: u64,
    pub(super) keep: Duration,
}

/// One page of messages after the other, in order.
#[derive(Debug)]
pub(super) struct Lane {
    /// Changes when it begins anew: what belongs to an earlier run is ignored.
    pub(super) run: u64,
    /// Place in the outbox, or number in the mailbox, of the latest that was loaded.
    pub(super) cursor: u64,
    /// There may be more on disk.
    pub(super) more: bool,
    /// The page that is asked for.
    pub(super) loading: Option<u64>,
    /// Of the page in memory, those that are not answered.
    pub(super) unanswered: usize,
    /// Not before.
    pub(super) due: Instant,
    /// Of a lane with unanswered envelopes: from then on it leaves its place to others, unless something happens.
    pub(super) silent_from: Instant,
    /// Of a lane with unanswered envelopes: then they are given up.
    pub(super) answer_by: Instant,
}

impl Lane {
    pub(super) fn new(run: u64) -> Self {
        let (due, silent_from, answer_by) = Default::default();
        Self { run, cursor: 0, more: true, loading: None, unanswered: 0, due, silent_from, answer_by }
    }

    pub(super) fn is_active(&self) -> bool {
        self.loading.is_some() || self.unanswered > 0
    }

    pub(super) fn begin_anew(&mut self) {
        *self = Self { due: self.due, ..Self::new(self.run + 1) };
    }

    /// Whether it has one of the places of those that are served at the same time.
    pub(super) fn has_place(&self, now: Instant) -> bool {
        self.is_active() && !self.is_silent(now)
    }

    /// Whether what was handed over is not answered for a while.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.loading.is_none() && self.unanswered > 0 && self.silent_from <= now
    }

    /// When there is something to do.
    pub(super) fn changes(&self) -> impl Iterator<Item = Instant> + use<> {
        let (first, second) = match self.unanswered {
            0 => (Some(self.due).filter(|_| self.more && self.loading.is_none()), None),
            _ => (Some(self.silent_from), Some(self.answer_by)),
        };
        first.into_iter().chain(second)
    }
}

/// The routes of the lanes for a recipient.
pub(super) fn routes_of(recipient: NodeId) -> RangeInclusive<Route> {
    let [first, last] = [0, 0xff].map(|byte| Route { recipient, target: NodeId([byte; NodeId::LEN]) });
    first..=last
}
