//! Segments: what a decrypted AlexStream packet is made of. They are the frames of RFC 9000 §19, code for code; they are
//! called segments here because a frame is what AlexMesh carries.

use std::ops::RangeInclusive;

use super::{Malformed, reader::Reader, varint};

/// The codes, as in RFC 9000 §19.
mod code {
    pub(super) const PADDING: u8 = 0x00;
    pub(super) const PING: u8 = 0x01;
    pub(super) const ACK: u8 = 0x02;
    pub(super) const RESET_STREAM: u8 = 0x04;
    pub(super) const STOP_SENDING: u8 = 0x05;
    pub(super) const CRYPTO: u8 = 0x06;
    pub(super) const STREAM: u8 = 0x08;
    pub(super) const STREAM_LAST: u8 = 0x0f;
    pub(super) const MAX_DATA: u8 = 0x10;
    pub(super) const MAX_STREAM_DATA: u8 = 0x11;
    pub(super) const MAX_STREAMS: u8 = 0x12;
    pub(super) const DATA_BLOCKED: u8 = 0x14;
    pub(super) const STREAM_DATA_BLOCKED: u8 = 0x15;
    pub(super) const STREAMS_BLOCKED: u8 = 0x16;
    pub(super) const CLOSE_TRANSPORT: u8 = 0x1c;
    pub(super) const CLOSE_APPLICATION: u8 = 0x1d;
    pub(super) const HANDSHAKE_DONE: u8 = 0x1e;
    /// RFC 9221; the lowest bit tells of a length.
    pub(super) const DATAGRAM: u8 = 0x30;
    pub(super) const DATAGRAM_WITH_LENGTH: u8 = 0x31;
    /// draft-ietf-quic-ack-frequency has 0xaf, which does not fit one byte as a varint.
    pub(super) const ACK_FREQUENCY: u8 = 0x2f;
}

const STREAM_FIN: u8 = 0x01;
const STREAM_LEN: u8 = 0x02;
const STREAM_OFF: u8 = 0x04;

/// More streams than this cannot be numbered (RFC 9000 §4.6).
pub const MAX_STREAM_COUNT: u64 = 1 << 60;

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment<'a> {
    /// A zero byte that only fills the packet.
    Padding,
    /// Asks for an acknowledgement.
    Ping,
    /// Acknowledges packets.
    Ack(Ack<'a>),
    /// The sender gives up its direction of a stream.
    ResetStream {
        /// The stream.
        stream: u64,
        /// Why, in the application's terms.
        code: u64,
        /// How many bytes the sender ever sent on it.
        final_size: u64,
    },
    /// The receiver wants no more of a stream.
    StopSending {
        /// The stream.
        stream: u64,
        /// Why, in the application's terms.
        code: u64,
    },
    /// A piece of the TLS handshake.
    Crypto {
        /// Where the piece lies.
        offset: u64,
        /// The piece.
        data: &'a [u8],
    },
    /// A piece of a stream.
    Stream {
        /// The stream.
        stream: u64,
        /// Where the piece lies.
        offset: u64,
        /// Whether the stream ends with this piece.
        fin: bool,
        /// The piece.
        data: &'a [u8],
    },
    /// The receiver takes this many bytes on all streams together.
    MaxData(u64),
    /// The receiver takes this many bytes on one stream.
    MaxStreamData {
        /// The stream.
        stream: u64,
        /// How many bytes since its start.
        max: u64,
    },
    /// The peer may open this many bidirectional streams since the start of the connection.
    MaxStreams(u64),
    /// The sender has more to send than the connection's limit, which is repeated here.
    DataBlocked(u64),
    /// The sender has more to send than a stream's limit.
    StreamDataBlocked {
        /// The stream.
        stream: u64,
        /// The limit.
        limit: u64,
    },
    /// The sender wants to open more streams than this limit.
    StreamsBlocked(u64),
    /// The connection is over because of the transport.
    CloseTransport {
        /// An error code of RFC 9000 §20.1.
        code: u64,
        /// Code of the segment that was wrong, 0 when unknown.
        segment: u64,
        /// Text for people.
        reason: &'a [u8],
    },
    /// The connection is over because the application said so.
    CloseApplication {
        /// The application's code.
        code: u64,
        /// Text for people.
        reason: &'a [u8],
    },
    /// The server has completed the handshake.
    HandshakeDone,
    /// Asks for another rhythm of acknowledgements.
    AckFrequency(AckFrequency),
    /// A message that is not repeated when it is lost (RFC 9221).
    Datagram(&'a [u8]),
}

/// A request for a rhythm of acknowledgements (draft-ietf-quic-ack-frequency §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckFrequency {
    /// Counts the requests of one side.
    pub sequence: u64,
    /// Ack-eliciting packets that may arrive without an acknowledgement.
    pub threshold: u64,
    /// Microseconds that an acknowledgement may wait.
    pub delay: u64,
    /// 0: packets out of order are not acknowledged at once.
    pub reordering: u64,
}

/// An acknowledgement whose ranges were checked when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Largest packet number acknowledged.
    pub largest: u64,
    /// Time between receiving that packet and sending this segment, in units of 8 microseconds.
    pub delay: u64,
    first: u64,
    ranges: &'a [u8],
}

impl Ack<'_> {
    /// The acknowledged packet numbers, highest range first.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u64>> + Clone {
        let mut reader = Reader::new(self.ranges);
        let mut lowest = self.largest - self.first;
        let rest = std::iter::from_fn(move || {
            // The subtractions cannot underflow: `parse` has walked the same ranges.
            let gap = varint::parse(&mut reader).ok()?;
            let len = varint::parse(&mut reader).ok()?;
            let high = lowest.checked_sub(gap)?.checked_sub(2)?;
            lowest = high.checked_sub(len)?;
            Some(lowest..=high)
        });
        std::iter::once(self.largest - self.first..=self.largest).chain(rest)
    }
}

fn parse_ack<'a>(reader: &mut Reader<'a>) -> Result<Ack<'a>, Malformed> {
    const FIELD: Malformed = Malformed::Field("acknowledged range");
    let largest = varint::parse(reader)?;
    let delay = varint::parse(reader)?;
    let count = varint::parse(reader)?;
    let first = varint::parse(reader)?;
    let mut lowest = largest.checked_sub(first).ok_or(FIELD)?;
    let start = reader.rest();
    for _ in 0..count {
        let gap = varint::parse(reader)?;
        let len = varint::parse(reader)?;
        // RFC 9000 §19.3.1: the next range ends `gap + 2` below the smallest of the previous one.
        lowest = lowest.checked_sub(gap).and_then(|low| low.checked_sub(2)).ok_or(FIELD)?;
        lowest = lowest.checked_sub(len).ok_or(FIELD)?;
    }
    let ranges = &start[..start.len() - reader.rest().len()];
    Ok(Ack { largest, delay, first, ranges })
}

fn parse_piece<'a>(reader: &mut Reader<'a>, offset: u64) -> Result<&'a [u8], Malformed> {
    let len = varint::parse(reader)?;
    let data = reader.bytes(usize::try_from(len).map_err(|_| Malformed::Truncated)?)?;
    check_end(offset, data)?;
    Ok(data)
}

/// No piece may reach beyond the largest offset (RFC 9000 §19.6, §19.8).
fn check_end(offset: u64, data: &[u8]) -> Result<(), Malformed> {
    if offset + data.len() as u64 > varint::MAX { Err(Malformed::Field("offset")) } else { Ok(()) }
}

fn parse_stream<'a>(code: u8, reader: &mut Reader<'a>) -> Result<Segment<'a>, Malformed> {
    let stream = varint::parse(reader)?;
    let offset = if code & STREAM_OFF != 0 { varint::parse(reader)? } else { 0 };
    let data = if code & STREAM_LEN != 0 {
        parse_piece(reader, offset)?
    } else {
        let rest = reader.bytes(reader.rest().len())?;
        check_end(offset, rest)?;
        rest
    };
    Ok(Segment::Stream { stream, offset, fin: code & STREAM_FIN != 0, data })
}

fn parse_reason<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    parse_piece(reader, 0)
}

fn parse_stream_count(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    let count = varint::parse(reader)?;
    if count > MAX_STREAM_COUNT { Err(Malformed::Field("stream count")) } else { Ok(count) }
}

impl<'a> Segment<'a> {
    /// Reads the next segment. An unknown code is an error: its length cannot be known (RFC 9000 §12.4).
    pub fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let code = reader.u8()?;
        Ok(match code {
            code::PADDING => Self::Padding,
            code::PING => Self::Ping,
            code::ACK => Self::Ack(parse_ack(reader)?),
            code::RESET_STREAM => Self::ResetStream {
                stream: varint::parse(reader)?,
                code: varint::parse(reader)?,
                final_size: varint::parse(reader)?,
            },
            code::STOP_SENDING => {
                Self::StopSending { stream: varint::parse(reader)?, code: varint::parse(reader)? }
            }
            code::CRYPTO => {
                let offset = varint::parse(reader)?;
                Self::Crypto { offset, data: parse_piece(reader, offset)? }
            }
            code::STREAM..=code::STREAM_LAST => parse_stream(code, reader)?,
            code::MAX_DATA => Self::MaxData(varint::parse(reader)?),
            code::MAX_STREAM_DATA => {
                Self::MaxStreamData { stream: varint::parse(reader)?, max: varint::parse(reader)? }
            }
            code::MAX_STREAMS => Self::MaxStreams(parse_stream_count(reader)?),
            code::DATA_BLOCKED => Self::DataBlocked(varint::parse(reader)?),
            code::STREAM_DATA_BLOCKED => {
                Self::StreamDataBlocked { stream: varint::parse(reader)?, limit: varint::parse(reader)? }
            }
            code::STREAMS_BLOCKED => Self::StreamsBlocked(parse_stream_count(reader)?),
            code::CLOSE_TRANSPORT => Self::CloseTransport {
                code: varint::parse(reader)?,
                segment: varint::parse(reader)?,
                reason: parse_reason(reader)?,
            },
            code::CLOSE_APPLICATION => {
                Self::CloseApplication { code: varint::parse(reader)?, reason: parse_reason(reader)? }
            }
            code::HANDSHAKE_DONE => Self::HandshakeDone,
            code::ACK_FREQUENCY => Self::AckFrequency(AckFrequency {
                sequence: varint::parse(reader)?,
                threshold: varint::parse(reader)?,
                delay: varint::parse(reader)?,
                reordering: varint::parse(reader)?,
            }),
            code::DATAGRAM => Self::Datagram(reader.bytes(reader.rest().len())?),
            code::DATAGRAM_WITH_LENGTH => Self::Datagram(parse_piece(reader, 0)?),
            _ => return Err(Malformed::Field("segment code")),
        })
    }

    /// Whether the receiver must acknowledge a packet that holds this segment (RFC 9002 §2).
    pub const fn is_ack_eliciting(&self) -> bool {
        !matches!(
            self,
            Self::Padding | Self::Ack(_) | Self::CloseTransport { .. } | Self::CloseApplication { .. }
        )
    }

    /// Appends the segment. A stream's piece and a datagram are always written with their length.
    pub fn emit(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Padding => out.push(code::PADDING),
            Self::Ping => out.push(code::PING),
            Self::Ack(ref ack) => {
                emit_ack(ack.delay, ack.ranges(), usize::MAX, out);
            }
            Self::ResetStream { stream, code, final_size } => {
                emit_numbers(code::RESET_STREAM, &[stream, code, final_size], out);
            }
            Self::StopSending { stream, code } => emit_numbers(code::STOP_SENDING, &[stream, code], out),
            Self::Crypto { offset, data } => {
                emit_crypto_header(offset, data.len(), out);
                out.extend_from_slice(data);
            }
            Self::Stream { stream, offset, fin, data } => {
                emit_stream_header(stream, offset, data.len(), fin, out);
                out.extend_from_slice(data);
            }
            Self::MaxData(max) => emit_numbers(code::MAX_DATA, &[max], out),
            Self::MaxStreamData { stream, max } => emit_numbers(code::MAX_STREAM_DATA, &[stream, max], out),
            Self::MaxStreams(max) => emit_numbers(code::MAX_STREAMS, &[max], out),
            Self::DataBlocked(limit) => emit_numbers(code::DATA_BLOCKED, &[limit], out),
            Self::StreamDataBlocked { stream, limit } => {
                emit_numbers(code::STREAM_DATA_BLOCKED, &[stream, limit], out);
            }
            Self::StreamsBlocked(limit) => emit_numbers(code::STREAMS_BLOCKED, &[limit], out),
            Self::CloseTransport { code, segment, reason } => {
                emit_numbers(code::CLOSE_TRANSPORT, &[code, segment, reason.len() as u64], out);
                out.extend_from_slice(reason);
            }
            Self::CloseApplication { code, reason } => {
                emit_numbers(code::CLOSE_APPLICATION, &[code, reason.len() as u64], out);
                out.extend_from_slice(reason);
            }
            Self::HandshakeDone => out.push(code::HANDSHAKE_DONE),
            Self::AckFrequency(AckFrequency { sequence, threshold, delay, reordering }) => {
                emit_numbers(code::ACK_FREQUENCY, &[sequence, threshold, delay, reordering], out);
            }
            Self::Datagram(data) => {
                emit_numbers(code::DATAGRAM_WITH_LENGTH, &[data.len() as u64], out);
                out.extend_from_slice(data);
            }
        }
    }
}

fn emit_numbers(code: u8, numbers: &[u64], out: &mut Vec<u8>) {
    out.push(code);
    for number in numbers {
        varint::emit(*number, out);
    }
}

/// Appends what stands in front of the `len` bytes of a CRYPTO segment.
pub fn emit_crypto_header(offset: u64, len: usize, out: &mut Vec<u8>) {
    emit_numbers(code::CRYPTO, &[offset, len as u64], out);
}

/// Appends what stands in front of the `len` bytes of a STREAM segment.
pub fn emit_stream_header(stream: u64, offset: u64, len: usize, fin: bool, out: &mut Vec<u8>) {
    let fin = if fin { STREAM_FIN } else { 0 };
    if offset == 0 {
        emit_numbers(code::STREAM | STREAM_LEN | fin, &[stream, len as u64], out);
    } else {
        emit_numbers(code::STREAM | STREAM_LEN | STREAM_OFF | fin, &[stream, offset, len as u64], out);
    }
}

/// Appends an ACK segment of at most `limit` bytes with as many of `ranges` (highest first, with a gap between any two)
/// as fit. Returns whether anything was written: nothing is when not even the first range fits.
pub fn emit_ack(
    delay: u64,
    mut ranges: impl Iterator<Item = RangeInclusive<u64>> + Clone,
    limit: usize,
    out: &mut Vec<u8>,
) -> bool {
    const LONGEST_COUNT: usize = 8;
    let Some(first) = ranges.next() else { return false };
    let (largest, lowest) = (*first.end(), *first.start());
    let mut len =
        1 + varint::len(largest) + varint::len(delay) + LONGEST_COUNT + varint::len(largest - lowest);
    if len > limit {
        return false;
    }
    // How many ranges fit is told before them.
    let mut count = 0;
    for (gap, size) in gaps(lowest, ranges.clone()) {
        len += varint::len(gap) + varint::len(size);
        if len > limit {
            break;
        }
        count += 1;
    }
    emit_numbers(code::ACK, &[largest, delay, count, largest - lowest], out);
    for (gap, size) in gaps(lowest, ranges).take(count as usize) {
        varint::emit(gap, out);
        varint::emit(size, out);
    }
    true
}

/// The fields of the ranges below `lowest`: the gap before each, and its length (RFC 9000 §19.3.1).
fn gaps(
    mut lowest: u64,
    ranges: impl Iterator<Item = RangeInclusive<u64>>,
) -> impl Iterator<Item = (u64, u64)> {
    ranges.map(move |range| {
        let gap = lowest - range.end() - 2;
        lowest = *range.start();
        (gap, range.end() - range.start())
    })
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
