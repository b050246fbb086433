//! Envelopes that this node hands over: its own messages to the mailboxes of those who are not there, and the letters in its mailbox
//! to those who are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use rand::rngs::StdRng;

use super::lane::{Lane, Parcel, Route, routes_of};
use super::pauses::{PAUSE, Pauses, jittered};
use super::ranking::Rankings;
use super::recipients::Recipients;
use super::{Job, Out};
use crate::message::envelope;
use crate::message::messenger::SessionId;
use crate::message::store::{Deposit, Letter, OutgoingMessage, PageLimit, StoreOp};
use crate::types::{Instant, NodeId, Now, UnixTime};
use crate::wire::post::{Outcome, PostRecord};

/// Mailboxes that get a copy of each message.
const COPIES: usize = 2;

/// What one lane has in memory at a time.
pub(super) const PAGE: PageLimit = PageLimit { messages: 16, bytes: 2 << 20 };

/// What it is given when others have left too much unread, and it has read all.
const SMALL_PAGE: PageLimit = PageLimit { messages: 16, bytes: 64 * 1024 };

/// Bytes that all together have not read, before pages become small.
const MAX_PENDING: usize = MAX_ACTIVE * PAGE.bytes;

/// Lanes that are served at the same time: of what this node wrote itself, and of letters from its mailbox.
pub(super) const MAX_ACTIVE: usize = 32;

/// What is asked of a mailbox for messages that their sender never gives up. It may keep them for less.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

/// After this it is looked whether mailboxes still have what they were given.
pub(super) const REFRESH: Duration = Duration::from_secs(3600);

/// After this a lane on which nothing happens leaves its place to others. What was handed over is waited for all the same.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// Lanes that are silent, of each kind. One more, and what was given to the one that was silent for longest is given up.
pub(super) const MAX_SILENT: usize = 1024;

/// How long an answer is waited for, each time anew when one has come. Whoever takes envelopes and says nothing would hold a lane for
/// ever; a slow path needs time for a page.
pub(super) const ANSWER: Duration = Duration::from_secs(300);

/// Nothing is loaded for a session whose peer has not read this much yet.
pub(super) const MAX_UNREAD: usize = 2 * PAGE.bytes;

/// Nothing is loaded while this many letters wait to be sealed.
const MAX_SEALING: usize = MAX_ACTIVE * PAGE.messages;

/// Who can be reached.
pub(super) struct Reach<'a> {
    /// Nodes that offer a mailbox.
    pub(super) mailboxes: &'a BTreeSet<NodeId>,
    /// All.
    pub(super) reachable: &'a BTreeSet<NodeId>,
}

/// What was loaded for a lane.
pub(in crate::message) enum Page {
    /// From the outbox.
    Deposits { token: u64, deposits: Vec<Deposit>, complete: bool },
    /// From the mailbox.
    Letters { token: u64, letters: Vec<(u64, Letter)>, complete: bool },
}

#[derive(Debug)]
pub(super) struct Dispatch {
    sending: BTreeMap<NodeId, SessionId>,
    absent: BTreeSet<NodeId>,
    letters_for: Recipients,
    lanes: BTreeMap<Route, Lane>,
    /// Mailboxes that refuse.
    paused: Pauses<NodeId>,
    /// Routes on which nothing is to be done, whatever becomes of their lanes.
    resting: Pauses<Route>,
    /// Being sealed, by the token of the job.
    sealing: BTreeMap<u64, Parcel>,
    /// Handed over and not answered.
    sent: BTreeMap<(SessionId, u64), Parcel>,
    /// Lanes whose page is asked for, by the token of the question.
    loading: BTreeMap<u64, Route>,
    last_number: u64,
    last_run: u64,
    rankings: Rankings,
    mailboxes_changed: bool,
    /// Recipients whose lanes may have changed.
    replan: BTreeSet<NodeId>,
    /// Lanes are gone, or have begun anew, and parcels of theirs may be left.
    any_dead: bool,
    /// A lane may have become ready to load.
    changed: bool,
    /// The lane that was served last, of each kind: the next one is the first of the next round, so that each gets its turn.
    served: [Option<Route>; 2],
    refresh_at: Instant,
    /// Not after the first change by time.
    next: Instant,
}

impl Dispatch {
    pub(super) fn new() -> Self {
        Self {
            sending: BTreeMap::new(),
            absent: BTreeSet::new(),
            letters_for: Recipients::default(),
            lanes: BTreeMap::new(),
            paused: Pauses::default(),
            resting: Pauses::default(),
            sealing: BTreeMap::new(),
            sent: BTreeMap::new(),
            loading: BTreeMap::new(),
            last_number: 0,
            last_run: 0,
            rankings: Rankings::default(),
            mailboxes_changed: true,
            replan: BTreeSet::new(),
            any_dead: false,
            changed: false,
            served: [None; 2],
            refresh_at: Instant::default() + REFRESH,
            next: Instant::default() + REFRESH,
        }
    }

    pub(super) fn set_sending_session(&mut self, peer: NodeId, session: Option<SessionId>) {
        let before = match session {
            Some(session) => self.sending.insert(peer, session),
            None => self.sending.remove(&peer),
        };
        if before != session {
            // What the other session took and did not answer is handed over again.
            let lanes =
                self.lanes.iter_mut().filter(|(route, lane)| route.target == peer && lane.is_active());
            lanes.for_each(|(_, lane)| lane.begin_anew());
            (self.changed, self.any_dead) = (true, true);
        }
    }

    pub(super) fn session_closed(&mut self, session: SessionId) {
        self.sent.retain(|(of, _), _| *of != session);
    }

    pub(super) fn set_absent(&mut self, peer: NodeId, absent: bool) {
        if if absent { self.absent.insert(peer) } else { self.absent.remove(&peer) } {
            self.replan.insert(peer);
        }
    }

    /// There is a message for `peer`, at this place of the outbox.
    pub(super) fn on_enqueued(&mut self, peer: NodeId, seq: u64) {
        for (_, lane) in self.lanes.range_mut(routes_of(peer)).filter(|(route, _)| route.target != peer) {
            if !lane.more && lane.loading.is_none() {
                // All before was looked at, and is not looked at once more for each new one.
                lane.cursor = lane.cursor.max(seq.saturating_sub(1));
            }
            lane.more = true;
            self.changed = true;
        }
    }

    pub(super) fn has_letters(&mut self, recipient: NodeId) {
        if self.letters_for.insert(recipient) {
            self.replan.insert(recipient);
        }
        if let Some(lane) = self.lanes.get_mut(&Route { recipient, target: recipient }) {
            lane.more = true;
            self.changed = true;
        }
    }

    /// Whether `node` can be reached has changed.
    pub(super) fn on_reach_changed(&mut self, node: NodeId) {
        if self.letters_for.contains(&node) {
            self.replan.insert(node);
        }
    }

    /// The mailboxes in reach have changed, or those that are left alone.
    pub(super) fn on_mailboxes_changed(&mut self) {
        self.mailboxes_changed = true;
    }

    /// A peer has read letters.
    pub(super) fn on_written(&mut self) {
        self.changed = true;
    }

    pub(super) fn settle(&mut self, now: Now, reach: &Reach<'_>, out: &mut Out<'_>) {
        if std::mem::take(&mut self.mailboxes_changed) {
            self.rank(reach);
        }
        for recipient in std::mem::take(&mut self.replan) {
            self.plan(recipient, reach);
        }
        if std::mem::take(&mut self.any_dead) {
            let Self { sent, lanes, .. } = self;
            let is_alive =
                |parcel: &Parcel| lanes.get(&parcel.route).is_some_and(|lane| lane.run == parcel.run);
            sent.retain(|_, parcel| is_alive(parcel));
        }
        let is_served = |recipient: &NodeId| {
            self.lanes.contains_key(&Route { recipient: *recipient, target: *recipient })
        };
        let question = self.letters_for.ask(is_served, || out.token());
        out.ops.extend(question);
        if std::mem::take(&mut self.changed) {
            self.load(now, true, out);
            self.load(now, false, out);
        }
    }

    /// Which mailboxes can be used, and for whom that makes a difference.
    fn rank(&mut self, reach: &Reach<'_>) {
        let is_usable = |mailbox: &&NodeId| self.paused.until(mailbox).is_none();
        let usable = reach.mailboxes.iter().filter(is_usable).copied().collect();
        self.replan.extend(self.rankings.set_mailboxes(usable, COPIES));
    }

    /// Which lanes there are for a recipient.
    fn plan(&mut self, recipient: NodeId, reach: &Reach<'_>) {
        let mut targets = BTreeSet::new();
        if self.absent.contains(&recipient) {
            targets.extend(self.rankings.first(recipient, COPIES));
        } else {
            self.rankings.forget(&recipient);
        }
        if self.letters_for.contains(&recipient) && reach.reachable.contains(&recipient) {
            targets.insert(recipient);
        }
        let before: Vec<_> = self.lanes.range(routes_of(recipient)).map(|(route, _)| *route).collect();
        for route in before.into_iter().filter(|route| !targets.remove(&route.target)) {
            self.lanes.remove(&route);
            self.any_dead = true;
        }
        for target in targets {
            // Above all that lanes of this route may have come to before.
            self.last_run += 1 << 32;
            self.lanes.insert(Route { recipient, target }, Lane::new(self.last_run));
        }
        // A lane that is gone makes room for others.
        self.changed = true;
    }

    /// Loads the next page of lanes that have none: of what this node wrote, or of letters in its mailbox.
    fn load(&mut self, now: Now, is_own: bool, out: &mut Out<'_>) {
        let kind = usize::from(is_own);
        let lanes = self.lanes.iter().filter(|(route, _)| route.is_own() == is_own);
        let mut places = lanes.filter(|(_, lane)| lane.has_place(now.monotonic)).count();
        let pending: usize = out.sessions.values().map(|state| state.letters.pending().len()).sum();
        let (limit, unread) = if pending < MAX_PENDING { (PAGE, MAX_UNREAD) } else { (SMALL_PAGE, 1) };
        for route in self.ready(now.monotonic, is_own) {
            if places >= MAX_ACTIVE || (is_own && self.sealing.len() >= MAX_SEALING) {
                break;
            }
            let Some(lane) =
                self.lanes.get_mut(&route).filter(|_| can_take(&self.sending, route.target, unread, out))
            else {
                continue;
            };
            places += 1;
            let (token, Route { recipient, target }) = (out.token(), route);
            lane.loading = Some(token);
            self.loading.insert(token, route);
            self.served[kind] = Some(route);
            out.ops.push_back(if target == recipient {
                StoreOp::LoadLetters { recipient, after: lane.cursor, limit, token }
            } else {
                let (after, now) = (lane.cursor, now.wall);
                StoreOp::LoadDeposits { peer: recipient, mailbox: target, after, now, limit, token }
            });
        }
    }

    /// The lanes that may load a page, in the order in which it is their turn.
    fn ready(&self, now: Instant, is_own: bool) -> Vec<Route> {
        let served = self.served[usize::from(is_own)];
        let after = served.map_or(Bound::Unbounded, Bound::Excluded);
        let until = served.map_or(Bound::Excluded(Route::FIRST), Bound::Included);
        let round =
            self.lanes.range((after, Bound::Unbounded)).chain(self.lanes.range((Bound::Unbounded, until)));
        let is_ready = |route: &Route, lane: &Lane| {
            let is_due = lane.due <= now && self.resting.until(route).is_none();
            route.is_own() == is_own && lane.more && !lane.is_active() && is_due
        };
        round.filter(|(route, lane)| is_ready(route, lane)).map(|(route, _)| *route).collect()
    }

    pub(super) fn on_page(&mut self, now: Now, page: Page, out: &mut Out<'_>) {
        let (token, complete) = match &page {
            Page::Deposits { token, complete, .. } | Page::Letters { token, complete, .. } => {
                (*token, *complete)
            }
        };
        self.changed = true;
        self.expect(now.monotonic + PATIENCE);
        if let Some(recipient) = self.letters_for.answered(token) {
            return self.looked_at(recipient, &page);
        }
        let Some((route, lane)) = self.lane_loading(token) else { return };
        lane.loading = None;
        lane.more = !complete;
        (lane.silent_from, lane.answer_by) = (now.monotonic + PATIENCE, now.monotonic + ANSWER);
        let run = lane.run;
        match page {
            Page::Deposits { deposits, .. } => {
                lane.unanswered = deposits.len();
                lane.cursor = deposits.last().map_or(lane.cursor, |deposit| deposit.message.seq);
                deposits.into_iter().for_each(|deposit| self.seal(now.wall, route, run, deposit, out));
            }
            Page::Letters { letters, .. } => {
                lane.unanswered = letters.len();
                lane.cursor = letters.last().map_or(lane.cursor, |(number, _)| *number);
                if letters.is_empty() {
                    self.all_taken(route);
                }
                for (letter, Letter { id, expires, envelope, .. }) in letters {
                    let keep = expires.saturating_since(now.wall);
                    self.hand_over(Parcel { route, run, id, letter, keep }, envelope, out);
                }
            }
        }
    }

    /// Who is not served and has no letters any more is forgotten.
    fn looked_at(&mut self, recipient: NodeId, page: &Page) {
        let has_none = matches!(page, Page::Letters { letters, complete: true, .. } if letters.is_empty());
        if has_none && !self.lanes.contains_key(&Route { recipient, target: recipient }) {
            self.letters_for.remove(&recipient);
        }
    }

    pub(super) fn on_page_failed(&mut self, now: Now, token: u64) {
        self.letters_for.answered(token);
        if let Some((_, lane)) = self.lane_loading(token) {
            lane.loading = None;
            lane.due = now.monotonic + PAUSE.0;
            self.expect(now.monotonic + PAUSE.0);
        }
    }

    fn seal(&mut self, now: UnixTime, route: Route, run: u64, deposit: Deposit, out: &mut Out<'_>) {
        let Deposit { message: OutgoingMessage { id, created, expires, content, .. }, after } = deposit;
        let keep = expires.map_or(KEEP, |expires| expires.saturating_since(now));
        let content = match after {
            Some(after) => content.following(after),
            None => content,
        };
        let letter = envelope::Letter { id, sent_at: created, content };
        let token = out.token();
        self.sealing.insert(token, Parcel { route, run, id, letter: 0, keep });
        out.jobs.push_back(Job::Seal { token, to: route.recipient, letter });
    }

    pub(super) fn on_sealed(&mut self, now: Now, token: u64, envelope: Option<Vec<u8>>, out: &mut Out<'_>) {
        let Some(parcel) = self.sealing.remove(&token) else { return };
        if let Some(lane) = self.lane_of(&parcel) {
            lane.silent_from = now.monotonic + PATIENCE;
        }
        match envelope {
            Some(envelope) => self.hand_over(parcel, envelope, out),
            None => {
                // The key may become known.
                if let Some(lane) = self.lane_of(&parcel) {
                    lane.unanswered = lane.unanswered.saturating_sub(1);
                    lane.due = now.monotonic + REFRESH;
                }
                self.changed = true;
                self.expect(now.monotonic + REFRESH);
            }
        }
    }

    fn hand_over(&mut self, parcel: Parcel, envelope: Vec<u8>, out: &mut Out<'_>) {
        let Route { target, recipient } = parcel.route;
        if self.lane_of(&parcel).is_none() {
            return;
        }
        let Some(session) = self.sending.get(&target).copied() else { return };
        let Some(state) = out.sessions.get_mut(&session) else { return };
        self.last_number += 1;
        let (number, Parcel { id, keep, .. }) = (self.last_number, parcel);
        state.letters.push(&PostRecord::Deposit { number, recipient, id, keep, envelope });
        self.sent.insert((session, number), parcel);
    }

    /// The answer to an envelope. A mailbox that refuses comes back, once for each pause.
    pub(super) fn on_answer(
        &mut self,
        now: Now,
        rng: &mut StdRng,
        (session, number): (SessionId, u64),
        (outcome, keep): (Outcome, Duration),
        out: &mut Out<'_>,
    ) -> Option<(NodeId, Outcome)> {
        let parcel = self.sent.remove(&(session, number))?;
        let Route { target, recipient } = parcel.route;
        let is_own = parcel.route.is_own();
        // An answer that comes when the lane has begun anew or is gone says nothing: all is handed over again.
        self.changed = true;
        let lane = self.lane_of(&parcel)?;
        lane.unanswered = lane.unanswered.saturating_sub(1);
        (lane.silent_from, lane.answer_by) = (now.monotonic + PATIENCE, now.monotonic + ANSWER);
        self.expect(now.monotonic + PATIENCE);
        if matches!(outcome, Outcome::Taken | Outcome::Unreadable) {
            self.resting.forget(&parcel.route);
        }
        match outcome {
            Outcome::Taken if is_own => {
                self.paused.forget(&target);
                let (ids, until) = (vec![parcel.id], now.wall + keep.min(parcel.keep));
                let same = |op: &&mut StoreOp| {
                    matches!(op, StoreOp::Deposited { to, mailbox, until: other, .. }
                    if (*to, *mailbox, *other) == (recipient, target, until))
                };
                match out.ops.back_mut().filter(same) {
                    Some(StoreOp::Deposited { ids, .. }) => ids.push(parcel.id),
                    _ => out.ops.push_back(StoreOp::Deposited { to: recipient, ids, mailbox: target, until }),
                }
                None
            }
            Outcome::Taken | Outcome::Unreadable if !is_own => {
                match out.ops.back_mut() {
                    Some(StoreOp::RemoveLetters { recipient: same, numbers }) if *same == recipient => {
                        numbers.push(parcel.letter);
                    }
                    _ => {
                        let numbers = vec![parcel.letter];
                        out.ops.push_back(StoreOp::RemoveLetters { recipient, numbers });
                    }
                }
                self.all_taken(parcel.route);
                None
            }
            Outcome::Unreadable if is_own => {
                // The mailbox does not serve this recipient. It may serve others.
                self.rest(now.monotonic + REFRESH, parcel.route);
                None
            }
            _ if is_own => self.pause(now.monotonic, rng, target).then_some((target, outcome)),
            _ => {
                // The recipient has no time, or its disk refuses: the whole once more, later.
                if let Some(lane) = self.lane_of(&parcel) {
                    lane.begin_anew();
                }
                self.any_dead = true;
                self.rest(now.monotonic + jittered(rng, PAUSE.0), parcel.route);
                None
            }
        }
    }

    /// Nothing may be left for a recipient.
    fn all_taken(&mut self, route: Route) {
        if self.lanes.get(&route).is_some_and(|lane| !lane.more && !lane.is_active()) {
            self.letters_for.remove(&route.recipient);
            self.replan.insert(route.recipient);
        }
    }

    /// Leaves a mailbox alone for a while; whether it was not left alone already.
    fn pause(&mut self, now: Instant, rng: &mut StdRng, mailbox: NodeId) -> bool {
        let Some(until) = self.paused.begin(now, rng, mailbox) else { return false };
        self.expect(until);
        self.on_mailboxes_changed();
        true
    }

    /// Nothing is to be done on a route until then.
    fn rest(&mut self, until: Instant, route: Route) {
        self.resting.begin_until(until, route);
        self.expect(until);
    }

    /// The nodes to which a session is wanted, each from when on.
    pub(super) fn wanted_sessions(&self) -> impl Iterator<Item = (NodeId, Instant)> {
        let wanted = self.lanes.iter().filter(|(_, lane)| lane.more);
        wanted
            .map(|(route, lane)| (route.target, self.resting.until(route).unwrap_or_default().max(lane.due)))
            .filter(|(target, _)| !self.sending.contains_key(target))
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// Gives mailboxes that have not answered, once for each pause.
    pub(super) fn handle_timeout(&mut self, now: Instant, rng: &mut StdRng) -> Vec<NodeId> {
        if now < self.next {
            return Vec::new();
        }
        self.changed = true;
        if !self.paused.handle_timeout(now).is_empty() {
            self.on_mailboxes_changed();
        }
        self.resting.handle_timeout(now);
        if now >= self.refresh_at {
            self.refresh_at = now + REFRESH;
            self.letters_for.begin_round();
            self.lanes.values_mut().filter(|lane| !lane.is_active()).for_each(Lane::begin_anew);
        }
        let silent = self.give_up(now, rng);
        let lanes = self.lanes.values().flat_map(Lane::changes);
        let changes = lanes.chain(self.paused.changes()).chain(self.resting.changes());
        // What is due already waits for something else.
        self.next = changes.filter(|change| now < *change).fold(self.refresh_at, Instant::min);
        silent
    }

    /// Gives up what was handed over and is not answered.
    fn give_up(&mut self, now: Instant, rng: &mut StdRng) -> Vec<NodeId> {
        let silent = [self.too_silent(now, true), self.too_silent(now, false)].concat();
        for route in &silent {
            self.lanes.entry(*route).and_modify(Lane::begin_anew);
            self.any_dead = true;
            self.resting.begin(now, rng, *route).into_iter().for_each(|until| self.expect(until));
        }
        let mailboxes = silent.into_iter().filter(Route::is_own);
        mailboxes.map(|route| route.target).filter(|mailbox| self.pause(now, rng, *mailbox)).collect()
    }

    /// The lanes whose time is over, and those that have been silent for longest if there are too many.
    fn too_silent(&self, now: Instant, is_own: bool) -> Vec<Route> {
        let silent =
            self.lanes.iter().filter(|(route, lane)| route.is_own() == is_own && lane.is_silent(now));
        let mut silent: Vec<_> = silent.map(|(route, lane)| (lane.answer_by, *route)).collect();
        silent.sort_unstable();
        let too_many = silent.len().saturating_sub(MAX_SILENT);
        let over = silent.partition_point(|(answer_by, _)| *answer_by <= now);
        silent.into_iter().take(over.max(too_many)).map(|(_, route)| route).collect()
    }

    #[cfg(test)]
    pub(super) fn recipients(&self) -> usize {
        self.letters_for.len()
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.sealing.len() + self.sent.len()
    }

    fn expect(&mut self, due: Instant) {
        self.next = self.next.min(due);
    }

    fn lane_loading(&mut self, token: u64) -> Option<(Route, &mut Lane)> {
        let route = self.loading.remove(&token)?;
        let lane = self.lanes.get_mut(&route).filter(|lane| lane.loading == Some(token));
        lane.map(|lane| (route, lane))
    }

    /// The lane of a parcel, if it has not begun anew since.
    fn lane_of(&mut self, parcel: &Parcel) -> Option<&mut Lane> {
        self.lanes.get_mut(&parcel.route).filter(|lane| lane.run == parcel.run)
    }
}

/// Whether there is a session with this node that has left less than `unread` unread.
fn can_take(sending: &BTreeMap<NodeId, SessionId>, target: NodeId, unread: usize, out: &Out<'_>) -> bool {
    let state = sending.get(&target).and_then(|session| out.sessions.get(session));
    state.is_some_and(|state| state.letters.pending().len() < unread)
}
