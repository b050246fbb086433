//! The constants of this implementation. Those of the protocol itself are in [`crate::wire::v1`].

use std::time::Duration;

/// Time between two handshakes to everyone.
pub const HANDSHAKE_INTERVAL: Duration = Duration::from_secs(5);

/// A node that was silent for this long is lost: three and a half handshakes.
pub const NODE_LIFETIME: Duration = Duration::from_millis(17_500);

/// A node that has been heard over this time, about two handshakes, cannot be pushed out of the table by newer ones.
pub(super) const ESTABLISHED: Duration = Duration::from_secs(4);

/// The handshake of a new node is answered after a random part of this, so that the answers of a whole segment spread.
pub(super) const ANSWER_JITTER: Duration = Duration::from_millis(100);

/// Handshakes to one node are at least this far apart: an answer may be answered in turn, and it has to end.
pub(super) const ANSWER_INTERVAL: Duration = Duration::from_secs(1);

/// A message without an acknowledgement after this time has failed.
pub const ACK_WAIT: Duration = Duration::from_secs(5);

/// A SYN or a FIN without an answer after this time has failed.
pub const STREAM_WAIT: Duration = Duration::from_secs(5);

/// A stream on which the peer was silent for this long is closed. v1 has no keep-alive, and people pause.
pub const STREAM_IDLE: Duration = Duration::from_secs(15 * 60);

/// TTL of frames that may travel.
pub(super) const TTL: u8 = 8;

/// TTL of handshakes to everyone: they concern the segment.
pub(super) const HANDSHAKE_TTL: u8 = 1;

/// Smallest payload of an Ethernet frame; an interface is never taken to carry less.
pub(super) const MIN_MTU: usize = 46;

/// Most nodes that are known at a time.
pub(super) const MAX_NODES: usize = 256;

/// Most messages that wait for their acknowledgement.
pub(super) const MAX_PENDING: usize = 256;

/// Most streams.
pub(super) const MAX_STREAMS: usize = 64;

/// Most streams with one peer.
pub(super) const MAX_STREAMS_OF_PEER: usize = 4;

/// Most frames that wait for being sent.
pub(super) const MAX_QUEUE: usize = 256;

/// Most frames remembered as seen, and as many again as rebroadcast.
pub(super) const MAX_SEEN: usize = 1024;

/// Most frames of one origin remembered as seen.
pub(super) const MAX_SEEN_OF_ORIGIN: usize = 128;

/// Rates: how many at once, and the time after which there is another one.
pub(super) type Rate = (u32, Duration);

/// New nodes in the table. Of 256 places a flood takes 64 + 10 a second: who comes with it has the five seconds until
/// its second handshake, unless more than half of the table is established already.
pub(super) const NEWCOMERS: Rate = (64, Duration::from_millis(100));

/// Handshakes that answer others, to all nodes together.
pub(super) const HANDSHAKE_ANSWERS: Rate = (32, Duration::from_millis(50));

/// Messages and stream openings taken from one node, and from all unknown ones together.
pub(super) const ACCEPTED: Rate = (32, Duration::from_millis(50));

/// Data segments taken on one stream.
pub(super) const STREAM_DATA: Rate = (512, Duration::from_millis(1));

/// Rebroadcasts for all origins. The memory of 1024 frames then reaches back (1024 - 24) / 100 = 10 seconds at least,
/// far longer than a frame can be under way between two nodes that throw it to each other.
pub(super) const RELAYED: Rate = (24, Duration::from_millis(10));

/// Rebroadcasts for all origins that are not known: what is made up leaves room for what is not.
pub(super) const RELAYED_FOR_UNKNOWN: Rate = (12, Duration::from_millis(20));

/// Rebroadcasts for one origin within [`RELAY_WINDOW`].
pub(super) const MAX_RELAYED_OF_ORIGIN: usize = 20;

/// See [`MAX_RELAYED_OF_ORIGIN`].
pub(super) const RELAY_WINDOW: Duration = Duration::from_secs(1);
