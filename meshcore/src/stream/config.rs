//! What can be tuned.

use std::time::Duration;

use super::error::ConfigError;

/// Path MTU that is assumed until [`super::Endpoint::set_path_mtu`] says otherwise: 1,200 bytes, as RFC 9000 §14 asks of
/// every path.
pub const DEFAULT_MTU: usize = 1200;

/// A path that carries less than this cannot carry AlexStream: smaller values are taken as this one.
pub const MIN_MTU: usize = 128;

/// Limits and timers of an endpoint. What one endpoint announces holds for all its connections.
#[derive(Debug, Clone)]
pub struct Config {
    /// Silence after which a connection is over; the smaller of both sides' values counts, but at least three probe
    /// time-outs (RFC 9000 §10.1). Default 60 s; zero: never on account of this side. Rounded to milliseconds.
    pub idle_timeout: Duration,
    /// Longest time for a whole handshake. Default 10 s; at least 1 ms. Half-open connections live as long.
    pub handshake_timeout: Duration,
    /// Bytes that a peer may send on one stream beyond what was read, at first. Default 1 MiB; 1 to 2^32. A reader that
    /// keeps up makes it grow up to `max_stream_window`.
    pub stream_window: u64,
    /// Default 16 MiB; 1 to 2^32. Less than bandwidth times round-trip time slows a stream down.
    pub max_stream_window: u64,
    /// The same as `stream_window` for all streams of a connection together. Default 4 MiB; 1 to 2^32. The memory that
    /// one peer can occupy by sending, beside a block of 16 KiB a stream.
    pub connection_window: u64,
    /// Default 24 MiB; 1 to 2^32.
    pub max_connection_window: u64,
    /// Bytes by which the windows of all connections together may grow beyond `connection_window`. Default 256 MiB; any.
    /// Bounds what all peers together can occupy.
    pub window_budget: u64,
    /// Streams that the peer may have open at the same time. Default 128; 0 to 2^16. A few hundred bytes each.
    pub max_streams: u64,
    /// Bytes that [`super::Endpoint::write`] keeps per stream until acknowledged, at first. Default 128 KiB, which stays in a
    /// processor's cache; at least 1.
    /// Grows to twice the congestion window, up to `max_send_buffer`.
    pub send_buffer: usize,
    /// Default 16 MiB; at least 1.
    pub max_send_buffer: usize,
    /// Bytes of datagrams that wait in each direction, 64 more for each datagram; the oldest are dropped. Default 1 MiB;
    /// any. 0: this node takes no datagrams.
    pub datagram_buffer: usize,
    /// Silence after which a packet is sent that the peer must answer, on a connection that is to be kept. Default: none.
    /// At least 1 ms; less than the idle time-out, or it is of no use.
    pub keep_alive: Option<Duration>,
    /// Incoming handshakes that may go on at the same time from clients that have proved their address. Default 64, not
    /// zero. Some 20 kB of memory each. More are dropped before any cryptography. A quarter of that, in addition, for
    /// clients that have proved nothing; more of those have to prove their address first.
    pub max_half_open: usize,
    /// The same per source address. Default 4; at least 1.
    pub max_half_open_per_address: usize,
    /// Packets after which the keys are changed. Default 2^20; at least 1; half of what the AEAD stands
    /// (RFC 9001 §6.6) when that is less.
    pub key_update_packets: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
            stream_window: 1 << 20,
            max_stream_window: 16 << 20,
            connection_window: 4 << 20,
            max_connection_window: 24 << 20,
            window_budget: 256 << 20,
            max_streams: 128,
            send_buffer: 128 << 10,
            max_send_buffer: 16 << 20,
            datagram_buffer: 1 << 20,
            keep_alive: None,
            max_half_open: 64,
            max_half_open_per_address: 4,
            key_update_packets: 1 << 20,
        }
    }
}

impl Config {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let windows = 1..=1 << 32;
        let checks = [
            (self.idle_timeout.as_millis() < 1 << 62, "idle_timeout"),
            (self.handshake_timeout.as_millis() >= 1, "handshake_timeout"),
            (windows.contains(&self.stream_window), "stream_window"),
            (windows.contains(&self.max_stream_window), "max_stream_window"),
            (windows.contains(&self.connection_window), "connection_window"),
            (windows.contains(&self.max_connection_window), "max_connection_window"),
            (self.max_streams <= 1 << 16, "max_streams"),
            (self.send_buffer >= 1, "send_buffer"),
            (self.max_send_buffer >= 1, "max_send_buffer"),
            (self.keep_alive.is_none_or(|time| time.as_millis() >= 1), "keep_alive"),
            (self.max_half_open >= 1, "max_half_open"),
            (self.max_half_open_per_address >= 1, "max_half_open_per_address"),
            (self.key_update_packets >= 1, "key_update_packets"),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, name)) => Err(ConfigError(name)),
            None => Ok(()),
        }
    }
}
