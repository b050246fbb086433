//! What can be tuned, and the constants of the protocol.

use std::time::Duration;

/// Settings of [`super::Mesh`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Time between two hellos on a link. Default 3 s, clamped to 100 ms ..= 60 s. A lost neighbour is noticed after
    /// 3.5 of these. Shorter notices sooner and talks more: a hello costs about 100 bytes on Ethernet, 260 on UDP with
    /// both address families.
    pub hello_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { hello_interval: Duration::from_secs(3) }
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

/// How long a neighbour stays after it said that it leaves (anybody could have said it).
pub(super) const LEAVING_HOLD: Duration = Duration::from_millis(250);

/// How long a neighbour stays usable after it ceased to list us: enough for our answer and its next hello.
pub(super) const UNLISTED_HOLD: Duration = Duration::from_secs(1);

/// How long the station that holds an address has to answer when another one claims it.
pub(super) const CHALLENGE_WAIT: Duration = Duration::from_millis(250);

/// How long a challenge counts; there is not another one before.
pub(super) const CHALLENGE_LIFE: Duration = Duration::from_secs(5);

/// A group hello whose seqno is the latest one or one of this many before it has been heard already.
pub(super) const DUPLICATE_WINDOW: u16 = 8;

/// A neighbour lists us when the seqno it reports is our latest or one of this many before it.
pub(super) const REPORT_WINDOW: u16 = 16;

/// Longest believed rotation of a neighbour's list, in hellos.
pub(super) const MAX_ROTATION: u32 = 64;

/// Least time between two hellos that answer the same neighbour.
pub(super) const ANSWER_GAP: Duration = Duration::from_millis(50);

/// Least time between two copies of our record for the same neighbour; shorter than the first retry.
pub(super) const RECORD_GAP: Duration = Duration::from_millis(150);

/// First and longest time between two requests for an identity record.
pub(super) const REQUEST_RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// First and longest wait after a record that could not be verified.
pub(super) const REFUSED_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Least time between two [`super::MeshEvent::Restarted`] of one node: hellos are not authenticated.
pub(super) const RESTART_GAP: Duration = Duration::from_secs(1);

/// Least time between two [`super::MeshEvent::AddressConflict`].
pub(super) const CONFLICT_GAP: Duration = Duration::from_secs(60);

/// Neighbours on a link whose identity is not verified.
pub(super) const MAX_UNVERIFIED: usize = 512;

/// Neighbours on a link.
pub(super) const MAX_NEIGHBOURS: usize = 2048;

/// Control frames that wait to be sent.
pub(super) const MAX_QUEUE: usize = 1024;
