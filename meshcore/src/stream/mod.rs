//! AlexStream v2 (layer 4): a reliable, encrypted, multiplexed transport in the manner of QUIC (RFC 9000, 9001, 9002).
//!
//! One packet is the payload of one AlexMesh frame. A connection belongs to two node ids, not to a path: both sides prove
//! their RSA keys in a TLS 1.3 handshake, and packets are taken from the peer's mesh address only. The wire format and
//! all timers are specified in `docs/PROTOCOL.md`; [`Endpoint`] tells how to drive the machine.

mod ack_frequency;
mod assembler;
mod builder;
mod config;
mod congestion;
mod connection;
mod datagrams;
mod endpoint;
mod error;
mod flow;
mod half_open;
mod hystart;
mod ids;
mod keys;
mod pacer;
mod params;
mod pool;
mod ranges;
mod received;
mod recovery;
mod rtt;
mod send_buffer;
mod sent;
mod streams;
mod tls;

#[cfg(test)]
mod tests;

pub use config::{Config, DEFAULT_MTU, MIN_MTU};
pub use datagrams::DatagramStatistics;
pub use endpoint::Endpoint;
pub use error::{
    CloseReason, ConfigError, ConnectError, CredentialsError, DatagramError, MAX_REASON_LEN, PacketError,
    StreamError, TransportCode, TransportError,
};
pub use streams::ReadOutcome;
pub use tls::Credentials;

use crate::types::NodeId;
use std::time::Duration;

/// A connection of one [`Endpoint`]. Handles are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

/// A stream of one connection, numbered as in RFC 9000 §2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

impl StreamId {
    /// The number on the wire.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// Which side of a connection a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that called [`Endpoint::connect`].
    Client,
    /// The other one.
    Server,
}

/// What a connection is for. The client says it in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The node's own exchange with the peer's node.
    Node,
    /// Streams and datagrams of the application.
    Application,
    /// Files between the nodes.
    Files,
}

/// What happened on a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The handshake is complete: the peer has proved its id, and streams can be opened. A client hears this one round
    /// trip before the server has checked the client's key; if that fails, [`Event::Closed`] follows.
    Connected {
        /// The proved id.
        peer: NodeId,
        /// The role of this node.
        side: Side,
        /// What the connection is for.
        purpose: Purpose,
    },
    /// The connection is over; its streams are gone. Always the last event of a connection.
    Closed {
        /// The peer; unknown when an incoming handshake failed before the client proved its id.
        peer: Option<NodeId>,
        /// Why.
        reason: CloseReason,
    },
    /// The peer opened a stream.
    Opened(StreamId),
    /// [`Endpoint::read`] will return something. Comes once, then again only after a read returned
    /// [`ReadOutcome::Blocked`].
    Readable(StreamId),
    /// [`Endpoint::write`], which took less than offered, has space again (half of the send buffer, or more).
    Writable(StreamId),
    /// After [`StreamError::TooManyStreams`]: the peer allows more streams now.
    Openable,
    /// The stream was finished, and everything on it has arrived at the peer's transport.
    Acknowledged(StreamId),
    /// The peer gave up its direction of the stream; unread data is discarded.
    Reset {
        /// The stream.
        stream: StreamId,
        /// The peer's reason.
        code: u64,
    },
    /// [`Endpoint::read_datagram`] will return something. Comes once, then again only after it returned `None`.
    Datagram,
    /// The peer wants no more data on the stream; what was not sent is discarded.
    Stopped {
        /// The stream.
        stream: StreamId,
        /// The peer's reason.
        code: u64,
    },
}

/// Numbers about one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Smoothed round-trip time; a guess of 100 ms before the first measurement.
    pub rtt: Duration,
    /// The latest measurement.
    pub latest_rtt: Duration,
    /// The least; zero before the first measurement.
    pub min_rtt: Duration,
    /// Mean deviation of the round-trip time.
    pub rtt_variation: Duration,
    /// Congestion window in bytes.
    pub congestion_window: u64,
    /// Where slow start ends, when a loss or growing delay has shown that.
    pub slow_start_threshold: Option<u64>,
    /// How often the window was reduced.
    pub congestion_events: u64,
    /// Bytes sent that are neither acknowledged nor lost.
    pub bytes_in_flight: u64,
    /// Bytes of all packets sent.
    pub bytes_sent: u64,
    /// Bytes of all packets received and decrypted.
    pub bytes_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets received and decrypted.
    pub packets_received: u64,
    /// Packets declared lost.
    pub packets_lost: u64,
    /// Packets that were declared lost and arrived all the same.
    pub packets_spurious: u64,
    /// Bytes of streams that were sent again.
    pub bytes_retransmitted: u64,
    /// Datagrams.
    pub datagrams: DatagramStatistics,
    /// Streams open now.
    pub streams: usize,
    /// Largest packet that the path carries.
    pub mtu: usize,
    /// How often the keys were changed since the handshake.
    pub key_updates: u64,
}
