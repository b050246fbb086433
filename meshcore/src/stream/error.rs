//! What can go wrong, by blame.

use std::borrow::Cow;

use crate::wire::{Malformed, varint};

/// Longest reason of a close in bytes.
pub const MAX_REASON_LEN: usize = 256;

/// Codes of CONNECTION_CLOSE of the transport (RFC 9000 §20.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransportCode {
    /// Closed without an error.
    NoError,
    /// The sender's own fault.
    Internal,
    /// The server takes no connection now.
    Refused,
    /// More data than the limits allow.
    FlowControl,
    /// More streams than the limit allows.
    StreamLimit,
    /// A segment for a stream in a state that forbids it.
    StreamState,
    /// The end of a stream moved.
    FinalSize,
    /// A segment could not be read.
    SegmentEncoding,
    /// The transport parameters are wrong.
    TransportParameter,
    /// Another violation of the protocol.
    Protocol,
    /// The application closed during the handshake.
    Application,
    /// More handshake data than can be buffered.
    CryptoBuffer,
    /// A wrong key update.
    KeyUpdate,
    /// The keys were used as often as is safe.
    AeadLimit,
    /// TLS failed with this alert.
    Tls(u8),
    /// A code without a name here.
    Unknown(u64),
}

impl From<u64> for TransportCode {
    fn from(code: u64) -> Self {
        match code {
            0x00 => Self::NoError,
            0x01 => Self::Internal,
            0x02 => Self::Refused,
            0x03 => Self::FlowControl,
            0x04 => Self::StreamLimit,
            0x05 => Self::StreamState,
            0x06 => Self::FinalSize,
            0x07 => Self::SegmentEncoding,
            0x08 => Self::TransportParameter,
            0x0a => Self::Protocol,
            0x0c => Self::Application,
            0x0d => Self::CryptoBuffer,
            0x0e => Self::KeyUpdate,
            0x0f => Self::AeadLimit,
            0x100..=0x1ff => Self::Tls(code as u8),
            other => Self::Unknown(other),
        }
    }
}

impl From<TransportCode> for u64 {
    fn from(code: TransportCode) -> Self {
        match code {
            TransportCode::NoError => 0x00,
            TransportCode::Internal => 0x01,
            TransportCode::Refused => 0x02,
            TransportCode::FlowControl => 0x03,
            TransportCode::StreamLimit => 0x04,
            TransportCode::StreamState => 0x05,
            TransportCode::FinalSize => 0x06,
            TransportCode::SegmentEncoding => 0x07,
            TransportCode::TransportParameter => 0x08,
            TransportCode::Protocol => 0x0a,
            TransportCode::Application => 0x0c,
            TransportCode::CryptoBuffer => 0x0d,
            TransportCode::KeyUpdate => 0x0e,
            TransportCode::AeadLimit => 0x0f,
            TransportCode::Tls(alert) => 0x100 + u64::from(alert),
            TransportCode::Unknown(code) => code,
        }
    }
}

impl std::fmt::Display for TransportCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::NoError => "NO_ERROR",
            Self::Internal => "INTERNAL_ERROR",
            Self::Refused => "CONNECTION_REFUSED",
            Self::FlowControl => "FLOW_CONTROL_ERROR",
            Self::StreamLimit => "STREAM_LIMIT_ERROR",
            Self::StreamState => "STREAM_STATE_ERROR",
            Self::FinalSize => "FINAL_SIZE_ERROR",
            Self::SegmentEncoding => "FRAME_ENCODING_ERROR",
            Self::TransportParameter => "TRANSPORT_PARAMETER_ERROR",
            Self::Protocol => "PROTOCOL_VIOLATION",
            Self::Application => "APPLICATION_ERROR",
            Self::CryptoBuffer => "CRYPTO_BUFFER_EXCEEDED",
            Self::KeyUpdate => "KEY_UPDATE_ERROR",
            Self::AeadLimit => "AEAD_LIMIT_REACHED",
            Self::Tls(alert) => return write!(f, "TLS alert {alert}"),
            Self::Unknown(code) => return write!(f, "code {code:#x}"),
        };
        f.write_str(name)
    }
}

/// A violation of the protocol: a code and a text for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct TransportError {
    /// The named code.
    pub code: TransportCode,
    /// Details.
    pub reason: Cow<'static, str>,
}

impl TransportError {
    pub(super) fn new(code: TransportCode, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }

    pub(super) fn protocol(reason: &'static str) -> Self {
        Self::new(TransportCode::Protocol, reason)
    }
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CloseReason {
    /// [`super::Endpoint::close`] was called.
    #[error("closed here with code {code}: {reason}")]
    Local {
        /// The application's code.
        code: u64,
        /// The application's text.
        reason: String,
    },
    /// The application at the peer closed.
    #[error("closed by the peer with code {code}: {reason}")]
    Peer {
        /// The application's code.
        code: u64,
        /// The application's text.
        reason: String,
    },
    /// The peer's transport closed: it refused our handshake or found a violation.
    #[error("the peer's transport closed the connection: {0}")]
    PeerProtocol(TransportError),
    /// Nothing was heard for the idle time-out.
    #[error("nothing was heard from the peer for the idle time-out")]
    IdleTimeout,
    /// The handshake took too long.
    #[error("the peer did not complete the handshake in time")]
    HandshakeTimeout,
    /// The peer proved a key, but not the key of the node that it should be.
    #[error("the peer's key is not the key of the expected node")]
    PeerIdentity,
    /// TLS refused the handshake.
    #[error("the handshake failed: {0}")]
    Tls(rustls::Error),
    /// The peer violated the protocol, or a limit of this side was reached.
    #[error("the connection was closed for a violation: {0}")]
    Protocol(TransportError),
}

/// Why a packet was dropped. Nothing but counters has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The header could not be read.
    #[error("malformed packet: {0}")]
    Malformed(#[from] Malformed),
    /// There is no connection with this id.
    #[error("the packet is for no known connection")]
    UnknownConnection,
    /// The packet came from another node than the connection's peer, or with another connection id.
    #[error("the packet does not come from the connection's peer")]
    WrongSource,
    /// The keys are not known yet or were discarded.
    #[error("there are no keys for a packet of this kind now")]
    NoKeys,
    /// The packet was forged, damaged or made with other keys.
    #[error("the packet cannot be decrypted")]
    Undecryptable,
    /// The packet was seen before.
    #[error("the packet is a duplicate")]
    Duplicate,
    /// Too many handshakes of unknown peers are going on.
    #[error("too many incoming handshakes are going on")]
    TooManyHandshakes,
    /// An unknown client was asked to come again and prove its address: many others try to connect.
    #[error("the client has to prove its address first")]
    AddressUnproved,
    /// TLS could not be set up for an incoming connection.
    #[error("the handshake cannot be started")]
    Unavailable,
}

/// Why a call about a stream failed. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// There is no such connection.
    #[error("the connection is unknown or over")]
    UnknownConnection,
    /// The handshake is not complete.
    #[error("the connection is not established yet")]
    NotConnected,
    /// There is no such stream, or both of its directions have ended.
    #[error("the stream is unknown or over")]
    UnknownStream,
    /// The peer allows no further stream now; wait for [`super::Event::Openable`].
    #[error("the peer allows no further stream now")]
    TooManyStreams,
    /// The stream's sending direction was finished before.
    #[error("the stream is finished")]
    Finished,
    /// This direction of the stream was reset, with this code.
    #[error("the stream was reset with code {0}")]
    Reset(u64),
    /// The peer wants no more data on this stream, and gave this code.
    #[error("the peer stopped the stream with code {0}")]
    Stopped(u64),
    /// The reading direction was stopped here before.
    #[error("reading was stopped")]
    ReadStopped,
}

/// Why a datagram was not taken. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// There is no such connection.
    #[error("the connection is unknown or over")]
    UnknownConnection,
    /// The handshake is not complete.
    #[error("the connection is not established yet")]
    NotConnected,
    /// The peer takes no datagrams.
    #[error("the peer takes no datagrams")]
    Unsupported,
    /// The datagram does not fit a packet on this path.
    #[error("the datagram is longer than the {limit} bytes that the path carries")]
    TooLong {
        /// The longest that would.
        limit: usize,
    },
}

/// Why no connection attempt was made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConnectError {
    /// The peer is this node.
    #[error("a node does not connect to itself")]
    ToSelf,
    /// TLS could not be set up.
    #[error("the handshake cannot be started: {0}")]
    Tls(#[from] rustls::Error),
}

/// A configuration value out of its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the configuration value {0} is out of its bounds")]
pub struct ConfigError(pub &'static str);

/// A private key that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CredentialsError {
    /// Not an RSA private key in PKCS#8 DER.
    #[error("not an RSA private key in PKCS#8 form: {0}")]
    Malformed(rustls::Error),
    /// Not an RSA key of 2048 to 4096 bits.
    #[error("the key is not an RSA key of 2048 to 4096 bits")]
    Unsuitable,
}

/// Text for a close, of at most [`MAX_REASON_LEN`] bytes.
pub(super) fn shorten(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(MAX_REASON_LEN)]
}

/// A code of the application that fits the wire.
pub(super) fn wire_code(code: u64) -> u64 {
    code.min(varint::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for code in (0..0x220).chain([varint::MAX]) {
            assert_eq!(u64::from(TransportCode::from(code)), code);
        }
    }

    #[test]
    fn reasons_are_cut_between_characters() {
        assert_eq!(shorten("short"), "short");
        assert_eq!(shorten(&"é".repeat(200)).len(), 256);
        assert_eq!(shorten(&"€".repeat(100)).len(), 255);
    }
}
