//! Numbers about a connection.

use meshcore::Statistics;

use crate::error::Failure;
use crate::route::micros;

/// Smoothed round-trip time in microseconds; 100,000 before the first measurement.
pub const MESHCHAT_STATISTIC_RTT_US: i32 = 0;
/// Latest round-trip time in microseconds.
pub const MESHCHAT_STATISTIC_LATEST_RTT_US: i32 = 1;
/// Least round-trip time in microseconds; 0 before the first measurement.
pub const MESHCHAT_STATISTIC_MIN_RTT_US: i32 = 2;
/// Mean deviation of the round-trip time in microseconds.
pub const MESHCHAT_STATISTIC_RTT_VARIATION_US: i32 = 3;
/// Congestion window in bytes.
pub const MESHCHAT_STATISTIC_CONGESTION_WINDOW: i32 = 20;
/// Where slow start ends, in bytes; `UINT64_MAX` until a loss or growing delay has shown that.
pub const MESHCHAT_STATISTIC_SLOW_START_THRESHOLD: i32 = 21;
/// How often the congestion window was reduced.
pub const MESHCHAT_STATISTIC_CONGESTION_EVENTS: i32 = 22;
/// Bytes sent that are neither acknowledged nor lost.
pub const MESHCHAT_STATISTIC_BYTES_IN_FLIGHT: i32 = 23;
/// Bytes of all packets sent.
pub const MESHCHAT_STATISTIC_BYTES_SENT: i32 = 40;
/// Bytes of all packets received and decrypted.
pub const MESHCHAT_STATISTIC_BYTES_RECEIVED: i32 = 41;
/// Bytes of streams that were sent again.
pub const MESHCHAT_STATISTIC_BYTES_RETRANSMITTED: i32 = 42;
/// Packets sent.
pub const MESHCHAT_STATISTIC_PACKETS_SENT: i32 = 60;
/// Packets received and decrypted.
pub const MESHCHAT_STATISTIC_PACKETS_RECEIVED: i32 = 61;
/// Packets declared lost.
pub const MESHCHAT_STATISTIC_PACKETS_LOST: i32 = 62;
/// Packets that were declared lost and arrived all the same.
pub const MESHCHAT_STATISTIC_PACKETS_SPURIOUS: i32 = 63;
/// Streams open now.
pub const MESHCHAT_STATISTIC_STREAMS: i32 = 80;
/// Bytes of the largest packet that the path carries.
pub const MESHCHAT_STATISTIC_MTU: i32 = 81;
/// How often the keys were changed since the handshake.
pub const MESHCHAT_STATISTIC_KEY_UPDATES: i32 = 82;

/// Numbers about a connection as they were when `meshchat_connection_statistics` was called. Freed by
/// `meshchat_statistics_free`. It does not change, and several threads may read it.
pub struct ConnectionStatistics {
    statistics: Statistics,
}

impl ConnectionStatistics {
    pub(crate) fn new(statistics: Statistics) -> Self {
        Self { statistics }
    }

    fn value(&self, statistic: i32) -> Option<u64> {
        let all = &self.statistics;
        let size = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        Some(match statistic {
            MESHCHAT_STATISTIC_RTT_US => micros(all.rtt),
            MESHCHAT_STATISTIC_LATEST_RTT_US => micros(all.latest_rtt),
            MESHCHAT_STATISTIC_MIN_RTT_US => micros(all.min_rtt),
            MESHCHAT_STATISTIC_RTT_VARIATION_US => micros(all.rtt_variation),
            MESHCHAT_STATISTIC_CONGESTION_WINDOW => all.congestion_window,
            MESHCHAT_STATISTIC_SLOW_START_THRESHOLD => all.slow_start_threshold.unwrap_or(u64::MAX),
            MESHCHAT_STATISTIC_CONGESTION_EVENTS => all.congestion_events,
            MESHCHAT_STATISTIC_BYTES_IN_FLIGHT => all.bytes_in_flight,
            MESHCHAT_STATISTIC_BYTES_SENT => all.bytes_sent,
            MESHCHAT_STATISTIC_BYTES_RECEIVED => all.bytes_received,
            MESHCHAT_STATISTIC_BYTES_RETRANSMITTED => all.bytes_retransmitted,
            MESHCHAT_STATISTIC_PACKETS_SENT => all.packets_sent,
            MESHCHAT_STATISTIC_PACKETS_RECEIVED => all.packets_received,
            MESHCHAT_STATISTIC_PACKETS_LOST => all.packets_lost,
            MESHCHAT_STATISTIC_PACKETS_SPURIOUS => all.packets_spurious,
            MESHCHAT_STATISTIC_STREAMS => size(all.streams),
            MESHCHAT_STATISTIC_MTU => size(all.mtu),
            MESHCHAT_STATISTIC_KEY_UPDATES => all.key_updates,
            _ => return None,
        })
    }
}

/// One of the numbers: `statistic` is one of MESHCHAT_STATISTIC_... `MESHCHAT_INVALID_ARGUMENT` when this version of the
/// library does not know it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_statistics_value(
    statistics: *const ConnectionStatistics,
    statistic: i32,
    value: *mut u64,
) -> i32 {
    guard! {
        let statistics = borrow!(statistics);
        let value = out!(value);
        let unknown = || Failure::invalid(format!("the statistic {statistic} is not known to this version"));
        value.set(statistics.value(statistic).ok_or_else(unknown)?);
    }
}

/// Frees statistics. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_statistics_free(statistics: *mut ConnectionStatistics) {
    guard!(() => { free!(statistics) })
}
