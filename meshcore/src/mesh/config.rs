//! What can be tuned, and the constants of the protocol.

use std::time::Duration;

/// Settings of [`super::Mesh`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Time between two hellos on a link. Default 4 s, clamped to 100 ms ..= 60 s. A lost neighbour is noticed after
    /// 3.5 of these, or at once on an active path. Shorter notices sooner and talks more: a hello costs about 100 bytes
    /// on Ethernet, 280 on UDP with both address families, and 24 more a neighbour.
    pub hello_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { hello_interval: Duration::from_secs(4) }
    }
}

impl Config {
    /// The interval between hellos within its bounds.
    pub(super) fn interval(&self) -> Duration {
        clamp_interval(self.hello_interval)
    }
}

/// Shortest and longest interval that is used, and that is believed when a neighbour announces it.
pub(super) fn clamp_interval(interval: Duration) -> Duration {
    interval.clamp(Duration::from_millis(100), Duration::from_secs(60))
}

/// When the first hellos on a new link are sent, after the link's start. From then on: every interval.
pub(super) const EARLY_HELLOS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(700)];

/// Early hellos but the first are late by up to this.
pub(super) const EARLY_JITTER: Duration = Duration::from_millis(20);

/// How long something is waited for before it is tried again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub(super) first: Duration,
    pub(super) longest: Duration,
    /// Tries that wait for no longer than the first; from then on the time is doubled.
    pub(super) quick: u32,
}

impl Retry {
    /// The wait after `tries` that came before it.
    pub(super) fn wait(self, tries: u32) -> Duration {
        let doublings = tries.saturating_add(1).saturating_sub(self.quick);
        self.first.saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(self.longest)
    }
}

/// Tries that are not put off: a usable neighbour is asked for what it has, so it is chance that no answer comes. On a
/// link that loses a fifth each way a question or its answer is lost in 36 of 100 cases, eight times in a row in 3 of
/// 10,000.
const QUICK: u32 = 8;

/// How long a neighbour stays after it said that it leaves (anybody could have said it).
pub(super) const LEAVING_HOLD: Duration = Duration::from_millis(250);

/// How long a neighbour stays usable after it ceased to list us: enough for our answer and its next hello.
pub(super) const UNLISTED_HOLD: Duration = Duration::from_secs(1);

/// How long the station that holds an address has to answer when another one claims it.
pub(super) const CHALLENGE_WAIT: Duration = Duration::from_millis(250);

/// How long a challenge counts; there is not another one before.
pub(super) const CHALLENGE_LIFE: Duration = Duration::from_secs(5);

/// A seqno further than this from the latest one: the neighbour's link has started anew (RFC 8966, appendix A.1).
pub(super) const MAX_JUMP: u16 = 16;

/// How long hellos of an instance that was replaced are taken for late ones.
pub(super) const FORMER_LIFE: Duration = Duration::from_secs(1);

/// A group hello whose seqno is the latest one or one of this many before it has been heard already.
pub(super) const DUPLICATE_WINDOW: u16 = 8;

/// A neighbour lists us when the seqno it reports is our latest or one of this many before it.
pub(super) const REPORT_WINDOW: u16 = 16;

/// Longest believed rotation of a neighbour's list, in hellos.
pub(super) const MAX_ROTATION: u32 = 64;

/// Least time between two hellos that answer the same neighbour.
pub(super) const ANSWER_GAP: Duration = Duration::from_millis(50);

/// How long a neighbour that is heard and has not listed us yet is waited for before it is asked, and asked again:
/// early hellos, or answers to them, were lost.
pub(super) const NEWCOMER_ASKS: [Duration; 6] = [
    Duration::from_millis(200),
    Duration::from_millis(200),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];

/// Least time between two records for the same neighbour while it is not verified; shorter than the first retry.
pub(super) const RECORD_GAP: Duration = Duration::from_millis(150);

/// Requests for a newer record of this node itself until that is given up: somebody must have made it up.
pub(super) const MAX_REQUESTS: u32 = 8;

/// Neighbours that are remembered as sources of one record.
pub(super) const MAX_SOURCES: usize = 8;

/// Routes of one neighbour that wait for the identity of their destination. Of one that is not verified itself: only
/// the route to it.
pub(super) const MAX_PENDING: usize = 128;

/// How long updates are collected before they are sent: at least, and at random more.
pub(super) const UPDATE_DELAY: Duration = Duration::from_millis(2);

/// Time between two update frames on a link when more than a burst has to be told.
pub(super) const UPDATE_PACE: Duration = Duration::from_millis(5);

/// Update frames on a link that are sent at once.
pub(super) const UPDATE_BURST: u32 = 16;

/// When neighbours are reminded of the latest version after an update, so that a lost one is noticed.
pub(super) const REMINDERS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// Requests for the same updates that are answered by one frame to all.
pub(super) const ANSWER_ALL: usize = 4;

/// Time between two requests for missed updates: repeated, then doubled.
pub(super) const SYNC_RETRY: Retry =
    Retry { first: Duration::from_millis(150), longest: Duration::from_secs(4), quick: QUICK };

/// A gap is asked about at once, unless it was asked about this short a time ago.
pub(super) const GAP_WAIT: Duration = Duration::from_millis(30);

/// A neighbour's routes are void when its updates could not be had for so long: less than destinations without route
/// are remembered, so that no retraction is missed.
pub(super) const STALE: Duration = Duration::from_secs(45);

/// Time between two frames of the periodic refresh on a link, and least time of a round through the table.
pub(super) const REFRESH: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(60));

/// How long a node without route is still held to be in reach, for the mesh heals itself.
pub(super) const UNREACHABLE_HOLD: Duration = Duration::from_secs(1);

/// Time between two sweeps through the tables.
pub(super) const COLLECT: Duration = Duration::from_secs(30);

/// New announcements of this node that others can cause: at once, and one more each time this has passed.
pub(super) const ANNOUNCEMENTS: (u32, Duration) = (8, Duration::from_secs(3));

/// Seqno requests of neighbours on a link that are looked at: at once, and one more each time this has passed.
pub(super) const SEQNO_REQUESTS: (u32, Duration) = (1024, Duration::from_millis(10));

/// Links of a node.
pub(super) const MAX_LINKS: usize = 64;

/// Answers to probes of one neighbour: at once, and one more each time this has passed. Short and long questions may come
/// together, and several of each when a node gets no time for a while.
pub(super) const PROBE_ANSWERS: (u32, Duration) = (8, Duration::from_millis(20));

/// Stations of a neighbour besides the one that frames are sent to.
pub(super) const MAX_OTHERS: usize = 3;

/// Echo answers: at once, and one more each time this has passed.
pub(super) const ECHOES: (u32, Duration) = (64, Duration::from_millis(5));

/// Echoes of this node that wait for an answer.
pub(super) const MAX_ECHOES: usize = 1024;

/// How long an answer to an echo is waited for.
pub(super) const ECHO_LIFE: Duration = Duration::from_secs(10);

/// Frames without any sign of life from the destination, and time since the first of them, after which another next
/// hop is tried: the present one may swallow them.
pub(super) const SWALLOWED: (u32, Duration) = (4, Duration::from_millis(1500));

/// Destinations of this node's own frames that are watched.
pub(super) const MAX_WATCHED: usize = 1024;

/// Time between two requests for records to verified neighbours, when more than a burst of them waits.
pub(super) const REQUEST_PACE: Duration = Duration::from_millis(2);

/// Least and longest time that a request waits before it looks again whether it is its turn.
pub(super) const REQUEST_ROUND: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Time between two requests for an identity record.
pub(super) const REQUEST_RETRY: Retry =
    Retry { first: Duration::from_millis(200), longest: Duration::from_secs(10), quick: QUICK };

/// Wait after a record that could not be verified.
pub(super) const REFUSED_WAIT: Retry =
    Retry { first: Duration::from_secs(1), longest: Duration::from_secs(300), quick: 1 };

/// Least time between two [`super::MeshEvent::AddressConflict`].
pub(super) const CONFLICT_GAP: Duration = Duration::from_secs(60);

/// Neighbours on a link whose identity is not verified.
pub(super) const MAX_UNVERIFIED: usize = 512;

/// Neighbours on a link.
pub(super) const MAX_NEIGHBOURS: usize = 2048;

/// Control frames that wait to be sent.
pub(super) const MAX_QUEUE: usize = 1024;

/// Broadcasts of one origin: at once, and one more each time this has passed.
pub(super) const BROADCASTS: (u32, Duration) = (8, Duration::from_secs(1));

/// Signatures of broadcasts that are checked on a link: at once, and one more each time this has passed.
pub(super) const SIGNATURE_CHECKS: (u32, Duration) = (64, Duration::from_millis(5));

/// Copies of broadcasts that wait to be sent.
pub(super) const MAX_FLOODING: usize = 256;
