//! Limits and timers of a private mesh. Each bounds what somebody without the key can cause by replaying frames.

use std::time::Duration;

/// Sessions on a link that are proven to be alive; the one that has been silent longest makes room for a new one. Twice
/// the number of neighbours that a link may have, about 1.5 kB each.
pub(super) const MAX_MEMBERS: usize = 4096;

/// Stations at which one session may live: a node speaks IPv4 and IPv6 on several interfaces.
pub(super) const MAX_STATIONS: usize = 4;

/// Pairs of session and station on a link that are not proven, about 150 bytes each; the one that has waited longest
/// makes room. As all of the budgets together allow `3 * BURST` at once and then three every `PERIOD`, an entry stays
/// for (1024 - 384) / 1500 = 0.43 s at least: longer than any answer takes.
pub(super) const MAX_STRANGERS: usize = 1024;

/// Challenges, or answers to strangers, on a link at once, for each cause.
pub(super) const BURST: u32 = 128;

/// Afterwards: one in this time, for each cause.
pub(super) const PERIOD: Duration = Duration::from_millis(2);

/// First and longest time between two challenges for the same session at the same station.
pub(super) const CHALLENGE_GAP: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_millis(800));

/// Least time between two answers to the same unproven session at the same station; shorter than the first gap between
/// its challenges.
pub(super) const ANSWER_GAP: Duration = Duration::from_millis(50);

/// How long a challenge may be answered. A new one is drawn at half of that.
pub(super) const CHALLENGE_LIFE: Duration = Duration::from_secs(10);

/// How much later than its successors a frame may come.
pub(super) const MAX_LATENESS: Duration = Duration::from_secs(5);

/// Blocks of AES that one session encrypts, 1 TiB: then the sender starts a new one. Below this, an attacker's advantage
/// stays under 2^-57 (RFC 9001, appendix B.1.1); the counter stays far below 2^64.
pub(super) const MAX_BLOCKS: u64 = 1 << 36;

/// Frames of a link that wait to be sent.
pub(super) const MAX_QUEUE: usize = 1024;
