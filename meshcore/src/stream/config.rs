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
    /// Bytes that a peer may send on one stream beyond what was read. Default 1 MiB; 1 to 2^32. Costs at most as much
    /// memory per stream; less than bandwidth times round-trip time slows a stream down.
    pub stream_window: u64,
    /// The same for all streams of a connection together. Default 4 MiB; 1 to 2^32. The memory that one peer can
    /// occupy by sending (up to twice that while buffers grow).
    pub connection_window: u64,
    /// Streams that the peer may have open at the same time. Default 128; 0 to 2^16. A few hundred bytes each.
    pub max_streams: u64,
    /// Bytes that [`super::Endpoint::write`] keeps per stream until acknowledged. Default 1 MiB; at least 1.
    pub send_buffer: usize,
    /// Incoming handshakes that may go on at the same time. Default 64; at least 1. Some 20 kB of memory each. More are
    /// dropped before any cryptography.
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
            connection_window: 4 << 20,
            max_streams: 128,
            send_buffer: 1 << 20,
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
            (windows.contains(&self.connection_window), "connection_window"),
            (self.max_streams <= 1 << 16, "max_streams"),
            (self.send_buffer >= 1, "send_buffer"),
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
