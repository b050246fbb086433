//! Which connection to a peer carries our messages, and when a new one is worth an attempt.
//!
//! A *session* is a connection used for messages. Two nodes may connect to each other at the same moment, and a node may
//! restart while its peer still holds the old connection; the rules here leave one session per peer in the end:
//!
//! - a connection that comes later replaces those that the same side opened earlier, and all that are suspected dead
//!   (the peer has restarted or was out of reach since);
//! - of two connections opened by both sides, the one opened by the node with the smaller NODE_ID is kept, and the
//!   opener of the other one closes it.
//!
//! Nothing is lost by a change of session: messages are sent again until the recipient acknowledges them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::message::Channel;
use crate::stream::{ConnectionId, Side, StreamId};
use crate::types::{Address, Instant, NodeId};

/// Pause before the second attempt to connect after a failure; doubled up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_millis(200);
/// Longest pause between attempts to connect to a node that is in reach.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// A session that lived this long was none of a series of failures: the pauses begin anew with the shortest.
const STABLE: Duration = Duration::from_secs(30);

/// An attempt that is older when its peer restarts or comes back into reach went to nobody, and the next repetition of
/// its first packet may be seconds away: it is given up for a new one. Younger ones stay, for restarts can be forged
/// once a second, and a handshake must be able to succeed meanwhile.
const ATTEMPT_PATIENCE: Duration = Duration::from_millis(500);

/// Established connections at the same time; each may occupy some megabytes. The next one replaces the oldest.
const MAX_SESSIONS: usize = 512;

/// Peers with nothing under way are forgotten (with their pause) when more than this many are held.
const MAX_IDLE_PEERS: usize = 4096;

/// One established connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) peer: NodeId,
    side: Side,
    since: Instant,
    /// The peer seems to have restarted or to be gone: this connection is probably dead.
    suspect: bool,
    /// The stream that we opened for our messages.
    pub(super) outgoing: Option<StreamId>,
    /// The stream that the peer opened for its messages.
    pub(super) incoming: Option<StreamId>,
    /// The stream that we opened for sealed envelopes.
    pub(super) letters: Option<StreamId>,
    /// The stream that the peer opened for sealed envelopes.
    pub(super) deposits: Option<StreamId>,
    /// Streams of the peer whose first byte, which names their protocol, has not come yet.
    pub(super) unnamed: Vec<StreamId>,
}

impl Session {
    /// The streams that are in use.
    pub(super) fn streams(&self) -> impl Iterator<Item = (Channel, StreamId)> {
        let streams = [
            (Channel::Outgoing, self.outgoing),
            (Channel::Incoming, self.incoming),
            (Channel::Letters, self.letters),
            (Channel::Deposits, self.deposits),
        ];
        streams.into_iter().filter_map(|(channel, stream)| Some((channel, stream?)))
    }
}

#[derive(Debug, Default)]
struct Peer {
    /// Our attempt that is under way, and its beginning.
    connecting: Option<(ConnectionId, Instant)>,
    /// Established connections in the order of their establishment.
    established: Vec<ConnectionId>,
    backoff: Duration,
    retry_at: Instant,
}

/// What an established connection changes for a peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Where our messages go from now on.
    pub(super) sending: Option<ConnectionId>,
    /// Connections that we shall close: others serve in their place.
    pub(super) close: Vec<ConnectionId>,
}

/// Sessions of this node with all its peers.
#[derive(Debug)]
pub(super) struct Sessions {
    own: NodeId,
    rng: StdRng,
    peers: BTreeMap<NodeId, Peer>,
    sessions: BTreeMap<ConnectionId, Session>,
}

impl Sessions {
    pub(super) fn new(own: NodeId, seed: [u8; 32]) -> Self {
        Self { own, rng: StdRng::from_seed(seed), peers: BTreeMap::new(), sessions: BTreeMap::new() }
    }

    pub(super) fn session(&mut self, connection: ConnectionId) -> Option<&mut Session> {
        self.sessions.get_mut(&connection)
    }

    pub(super) fn connections(&self) -> Vec<ConnectionId> {
        self.sessions.keys().copied().collect()
    }

    /// All connections with a peer, and the attempt to make one, which is given up: they are to be closed.
    pub(super) fn cut(&mut self, peer: NodeId) -> Vec<ConnectionId> {
        let Some(state) = self.peers.get_mut(&peer) else { return Vec::new() };
        let attempt = state.connecting.take().map(|(attempt, _)| attempt);
        attempt.into_iter().chain(state.established.iter().copied()).collect()
    }

    /// Whether to connect to `peer`, to whom messages wait: there is no healthy session and no attempt under way.
    pub(super) fn wants_connection(&self, now: Instant, peer: NodeId) -> bool {
        let Some(state) = self.peers.get(&peer) else { return true };
        let healthy = state.established.iter().any(|c| self.sessions.get(c).is_some_and(|s| !s.suspect));
        !healthy && state.connecting.is_none() && now >= state.retry_at
    }

    /// When the next attempt to one of `peers`, each wanted from a time on, is due.
    pub(super) fn next_attempt(&self, peers: impl Iterator<Item = (NodeId, Instant)>) -> Option<Instant> {
        peers
            .filter(|(peer, _)| self.wants_connection(Instant::from_micros(u64::MAX), *peer))
            .map(|(peer, from)| self.peers.get(&peer).map_or(from, |state| state.retry_at.max(from)))
            .min()
    }

    /// Whether there is an established connection with `peer`, which has proved its id by that.
    pub(super) fn is_connected(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|state| !state.established.is_empty())
    }

    pub(super) fn on_connecting(&mut self, now: Instant, peer: NodeId, connection: ConnectionId) {
        self.peers.entry(peer).or_default().connecting = Some((connection, now));
    }

    /// An attempt could not even be made, or a session broke: wait before the next.
    pub(super) fn on_failure(&mut self, now: Instant, peer: NodeId) {
        let state = self.peers.entry(peer).or_default();
        state.backoff = (2 * state.backoff).clamp(MIN_BACKOFF, MAX_BACKOFF);
        // Up to a quarter more or less: those who failed together do not try again together.
        state.retry_at = now + state.backoff.mul_f64(self.rng.random_range(0.75..1.25));
    }

    /// The peer acknowledged a message or came into reach: the next failure starts with a short pause again.
    pub(super) fn on_progress(&mut self, peer: NodeId) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.backoff = Duration::ZERO;
            state.retry_at = Instant::default();
        }
    }

    /// Whoever holds this address has started anew, or went out of reach. Only hints: they close nothing, but allow a
    /// new connection.
    pub(super) fn suspect(&mut self, node: Address) {
        for (_, state) in self.peers.range(ids_of(node)) {
            for connection in &state.established {
                if let Some(session) = self.sessions.get_mut(connection) {
                    session.suspect = true;
                }
            }
        }
    }

    /// Whoever holds this address has started anew, or came into reach: attempts that it has not heard are to be closed.
    pub(super) fn give_up_attempts(&mut self, now: Instant, node: Address) -> Vec<ConnectionId> {
        let old = |(_, begun): &mut (ConnectionId, Instant)| now - *begun >= ATTEMPT_PATIENCE;
        let states = self.peers.range_mut(ids_of(node));
        states.filter_map(|(_, state)| state.connecting.take_if(old)).map(|(id, _)| id).collect()
    }

    pub(super) fn on_connected(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        peer: NodeId,
        side: Side,
    ) -> Change {
        let state = self.peers.entry(peer).or_default();
        state.connecting.take_if(|(attempt, _)| *attempt == connection);
        let sessions = &mut self.sessions;
        let mut close = Vec::new();
        state.established.retain(|old| {
            let replaced = sessions.get(old).is_none_or(|s| s.suspect || s.side == side);
            if replaced {
                close.push(*old);
            }
            !replaced
        });
        state.established.push(connection);
        let session = Session {
            peer,
            side,
            since: now,
            suspect: false,
            outgoing: None,
            incoming: None,
            letters: None,
            deposits: None,
            unnamed: Vec::new(),
        };
        sessions.insert(connection, session);
        let sending = self.preferred(peer);
        if let Some(state) = self.peers.get(&peer) {
            let is_ours = |c: &ConnectionId| self.sessions.get(c).is_some_and(|s| s.side == Side::Client);
            close.extend(state.established.iter().copied().filter(|c| Some(*c) != sending && is_ours(c)));
        }
        Change { sending, close }
    }

    /// The session that has to go for the sake of a newer one.
    pub(super) fn surplus(&self) -> Option<ConnectionId> {
        let oldest = self.sessions.keys().next().copied();
        oldest.filter(|_| self.sessions.len() > MAX_SESSIONS)
    }

    /// Forgets a connection. Returns its peer and where messages to that peer go now, when it was established.
    pub(super) fn on_closed(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        peer: Option<NodeId>,
    ) -> Option<(NodeId, Option<ConnectionId>)> {
        let established = self.sessions.remove(&connection);
        let peer = established.as_ref().map(|session| session.peer).or(peer)?;
        let state = self.peers.get_mut(&peer)?;
        state.established.retain(|c| *c != connection);
        let failed_attempt = state.connecting.take_if(|(attempt, _)| *attempt == connection).is_some();
        if established.as_ref().is_some_and(|session| now - session.since >= STABLE) {
            state.backoff = Duration::ZERO;
        }
        if failed_attempt || (established.is_some() && state.established.is_empty()) {
            self.on_failure(now, peer);
        }
        if self.peers.len() > MAX_IDLE_PEERS {
            self.peers.retain(|_, state| state.connecting.is_some() || !state.established.is_empty());
        }
        established.map(|_| (peer, self.preferred(peer)))
    }

    /// The connection that our messages to `peer` use.
    fn preferred(&self, peer: NodeId) -> Option<ConnectionId> {
        let keep = if self.own < peer { Side::Client } else { Side::Server };
        let state = self.peers.get(&peer)?;
        let rank = |c: &ConnectionId| self.sessions.get(c).map(|s| (!s.suspect, s.side == keep));
        state.established.iter().copied().max_by_key(rank)
    }
}

/// All ids with this address.
fn ids_of(node: Address) -> RangeInclusive<NodeId> {
    let id = |rest| {
        let mut bytes = [rest; NodeId::LEN];
        bytes[..Address::LEN].copy_from_slice(node.as_bytes());
        NodeId(bytes)
    };
    id(0)..=id(0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: NodeId = NodeId([1; 32]);
    const LARGE: NodeId = NodeId([2; 32]);
    const NOW: Instant = Instant::from_micros(1);

    fn is_about(pause: Duration, wanted: Duration) -> bool {
        (wanted.mul_f64(0.75)..=wanted.mul_f64(1.25)).contains(&pause)
    }

    fn connection(number: u64) -> ConnectionId {
        ConnectionId(number)
    }

    #[test]
    fn crossing_connections_leave_one() {
        for (own, peer, closes) in [(SMALL, LARGE, vec![]), (LARGE, SMALL, vec![connection(1)])] {
            let mut sessions = Sessions::new(own, [0; 32]);
            sessions.on_connecting(NOW, peer, connection(1));
            sessions.on_connected(NOW, connection(1), peer, Side::Client);
            let change = sessions.on_connected(NOW, connection(2), peer, Side::Server);
            assert_eq!(change.close, closes);
            let kept = if own == SMALL { 1 } else { 2 };
            assert_eq!(change.sending, Some(connection(kept)));
        }
    }

    #[test]
    fn later_connection_of_the_same_side_replaces() {
        let mut sessions = Sessions::new(SMALL, [0; 32]);
        sessions.on_connected(NOW, connection(1), LARGE, Side::Server);
        let change = sessions.on_connected(NOW, connection(2), LARGE, Side::Server);
        assert_eq!(change, Change { sending: Some(connection(2)), close: vec![connection(1)] });
    }

    #[test]
    fn restart_allows_a_new_connection_that_replaces_the_suspect() {
        let mut sessions = Sessions::new(LARGE, [0; 32]);
        sessions.on_connected(NOW, connection(1), SMALL, Side::Server);
        assert!(!sessions.wants_connection(NOW, SMALL));
        sessions.suspect(SMALL.address());
        assert!(sessions.wants_connection(NOW, SMALL));
        sessions.on_connecting(NOW, SMALL, connection(2));
        assert!(!sessions.wants_connection(NOW, SMALL));
        let change = sessions.on_connected(NOW, connection(2), SMALL, Side::Client);
        assert_eq!(change, Change { sending: Some(connection(2)), close: vec![connection(1)] });
    }

    #[test]
    fn failures_back_off_and_progress_resets() {
        let mut sessions = Sessions::new(SMALL, [0; 32]);
        let mut now = NOW;
        let mut pauses = Vec::new();
        for attempt in 0..12 {
            sessions.on_connecting(now, LARGE, connection(attempt));
            sessions.on_closed(now, connection(attempt), Some(LARGE));
            let due = sessions.next_attempt([(LARGE, NOW)].into_iter()).unwrap();
            assert!(!sessions.wants_connection(now, LARGE) && sessions.wants_connection(due, LARGE));
            pauses.push(due - now);
            now = due;
        }
        assert!(is_about(pauses[0], MIN_BACKOFF) && is_about(pauses[11], MAX_BACKOFF), "{pauses:?}");
        sessions.on_progress(LARGE);
        assert!(sessions.wants_connection(NOW, LARGE));
        let later = NOW + STABLE;
        assert_eq!(
            sessions.next_attempt([(LARGE, later)].into_iter()),
            Some(later),
            "not before it is wanted"
        );
    }

    #[test]
    fn short_sessions_back_off_and_long_ones_do_not() {
        for (life, last) in [(STABLE - MIN_BACKOFF, MAX_BACKOFF), (STABLE, MIN_BACKOFF)] {
            let mut sessions = Sessions::new(SMALL, [0; 32]);
            let mut now = NOW;
            for number in 0..12 {
                sessions.on_connected(now, connection(number), LARGE, Side::Server);
                now += life;
                sessions.on_closed(now, connection(number), None);
            }
            let pause = sessions.next_attempt([(LARGE, NOW)].into_iter()).unwrap() - now;
            assert!(is_about(pause, last), "{pause:?}");
        }
    }

    #[test]
    fn only_an_attempt_that_was_not_heard_is_given_up() {
        let mut sessions = Sessions::new(SMALL, [0; 32]);
        sessions.on_connecting(NOW, LARGE, connection(1));
        let later = NOW + ATTEMPT_PATIENCE;
        assert_eq!(sessions.give_up_attempts(NOW, LARGE.address()), []);
        assert_eq!(sessions.give_up_attempts(later, SMALL.address()), []);
        assert_eq!(sessions.give_up_attempts(later, LARGE.address()), [connection(1)]);
        // That is not a failure.
        sessions.on_closed(later, connection(1), Some(LARGE));
        assert!(sessions.wants_connection(later, LARGE));
    }

    #[test]
    fn the_number_of_sessions_is_bounded() {
        let mut sessions = Sessions::new(SMALL, [0; 32]);
        for number in 0..MAX_SESSIONS as u64 {
            let mut id = [3; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            sessions.on_connected(NOW, connection(number), NodeId(id), Side::Server);
            assert_eq!(sessions.surplus(), None);
        }
        sessions.on_connected(NOW, connection(9999), LARGE, Side::Server);
        assert_eq!(sessions.surplus(), Some(connection(0)));
    }
}
