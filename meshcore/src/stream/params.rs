//! Transport parameters (RFC 9000 §18): what each side tells the other inside the TLS handshake.

use std::time::Duration;

use super::error::{TransportCode, TransportError};
use crate::wire::{Malformed, reader::Reader, segment::MAX_STREAM_COUNT, varint};

/// The ids of RFC 9000 §18.2.
mod id {
    pub(super) const ORIGINAL_DESTINATION: u64 = 0x00;
    pub(super) const MAX_IDLE_TIMEOUT: u64 = 0x01;
    pub(super) const INITIAL_MAX_DATA: u64 = 0x04;
    pub(super) const INITIAL_MAX_STREAM_DATA: u64 = 0x05;
    pub(super) const INITIAL_MAX_STREAMS: u64 = 0x08;
    pub(super) const MAX_ACK_DELAY: u64 = 0x0b;
    pub(super) const INITIAL_SOURCE: u64 = 0x0f;
    /// RFC 9221 §3.
    pub(super) const MAX_DATAGRAM_FRAME_SIZE: u64 = 0x20;
    /// draft-ietf-quic-ack-frequency §3.
    pub(super) const MIN_ACK_DELAY: u64 = 0xff04_de1b;
}

/// More entries than this are refused: it bounds the search for duplicates.
const MAX_ENTRIES: usize = 64;

/// RFC 9000 §18.2: milliseconds when the parameter is absent.
const DEFAULT_ACK_DELAY: u64 = 25;

/// RFC 9000 §18.2: a larger delay is invalid.
const MAX_ACK_DELAY_LIMIT: u64 = 1 << 14;

/// The parameters of one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Params {
    /// The client's first destination connection id, from the server only.
    pub(super) original_destination: Option<u64>,
    /// The sender's connection id.
    pub(super) initial_source: u64,
    /// Zero: no idle time-out.
    pub(super) max_idle_timeout: Duration,
    pub(super) max_data: u64,
    pub(super) max_stream_data: u64,
    pub(super) max_streams: u64,
    pub(super) max_ack_delay: Duration,
    /// Largest DATAGRAM segment that the sender takes; 0: none.
    pub(super) max_datagram: u64,
    /// The sender understands ACK_FREQUENCY, and acknowledges no sooner than this.
    pub(super) min_ack_delay: Option<Duration>,
}

impl Params {
    pub(super) fn emit(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(original) = self.original_destination {
            emit_bytes(id::ORIGINAL_DESTINATION, &original.to_be_bytes(), &mut out);
        }
        emit_bytes(id::INITIAL_SOURCE, &self.initial_source.to_be_bytes(), &mut out);
        let min_ack_delay = self.min_ack_delay.map(|delay| (id::MIN_ACK_DELAY, delay.as_micros() as u64));
        let max_datagram =
            (self.max_datagram > 0).then_some((id::MAX_DATAGRAM_FRAME_SIZE, self.max_datagram));
        for (id, value) in [
            (id::MAX_IDLE_TIMEOUT, self.max_idle_timeout.as_millis() as u64),
            (id::INITIAL_MAX_DATA, self.max_data),
            (id::INITIAL_MAX_STREAM_DATA, self.max_stream_data),
            (id::INITIAL_MAX_STREAMS, self.max_streams),
            (id::MAX_ACK_DELAY, self.max_ack_delay.as_millis() as u64),
        ]
        .into_iter()
        .chain(max_datagram)
        .chain(min_ack_delay)
        {
            let mut bytes = Vec::new();
            varint::emit(value, &mut bytes);
            emit_bytes(id, &bytes, &mut out);
        }
        out
    }

    /// Reads the peer's parameters. Unknown ids are ignored, duplicates refused, absent ones take the defaults of
    /// RFC 9000 §18.2.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TransportError> {
        Self::read(bytes).map_err(|_| {
            TransportError::new(TransportCode::TransportParameter, "malformed transport parameters")
        })
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut seen = Vec::new();
        let (mut original_destination, mut initial_source) = (None, None);
        let (mut idle, mut data, mut stream_data, mut streams) = (0, 0, 0, 0);
        let (mut datagram, mut min_ack_delay) = (0, None);
        let mut ack_delay = DEFAULT_ACK_DELAY;
        while !reader.is_empty() {
            let id = varint::parse(&mut reader)?;
            let len = varint::parse(&mut reader)?;
            let value = reader.bytes(usize::try_from(len).map_err(|_| Malformed::Truncated)?)?;
            if seen.contains(&id) || seen.len() >= MAX_ENTRIES {
                return Err(Malformed::Field("transport parameter"));
            }
            seen.push(id);
            match id {
                id::ORIGINAL_DESTINATION => original_destination = Some(connection_id(value)?),
                id::INITIAL_SOURCE => initial_source = Some(connection_id(value)?),
                id::MAX_IDLE_TIMEOUT => idle = number(value, varint::MAX)?,
                id::INITIAL_MAX_DATA => data = number(value, varint::MAX)?,
                id::INITIAL_MAX_STREAM_DATA => stream_data = number(value, varint::MAX)?,
                id::INITIAL_MAX_STREAMS => streams = number(value, MAX_STREAM_COUNT)?,
                id::MAX_ACK_DELAY => ack_delay = number(value, MAX_ACK_DELAY_LIMIT - 1)?,
                id::MAX_DATAGRAM_FRAME_SIZE => datagram = number(value, varint::MAX)?,
                id::MIN_ACK_DELAY => min_ack_delay = Some(number(value, varint::MAX)?),
                _ => {}
            }
        }
        // draft-ietf-quic-ack-frequency §3.
        if min_ack_delay.is_some_and(|min| min > 1000 * ack_delay) {
            return Err(Malformed::Field("transport parameter"));
        }
        Ok(Self {
            original_destination,
            initial_source: initial_source.ok_or(Malformed::Truncated)?,
            max_idle_timeout: Duration::from_millis(idle),
            max_data: data,
            max_stream_data: stream_data,
            max_streams: streams,
            max_ack_delay: Duration::from_millis(ack_delay),
            max_datagram: datagram,
            min_ack_delay: min_ack_delay.map(Duration::from_micros),
        })
    }
}

fn emit_bytes(id: u64, value: &[u8], out: &mut Vec<u8>) {
    varint::emit(id, out);
    varint::emit(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn connection_id(value: &[u8]) -> Result<u64, Malformed> {
    let mut reader = Reader::new(value);
    let id = reader.u64()?;
    reader.finish()?;
    Ok(id)
}

fn number(value: &[u8], max: u64) -> Result<u64, Malformed> {
    let mut reader = Reader::new(value);
    let number = varint::parse(&mut reader)?;
    reader.finish()?;
    if number > max { Err(Malformed::Field("transport parameter")) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn params() -> Params {
        Params {
            original_destination: Some(7),
            initial_source: 9,
            max_idle_timeout: Duration::from_secs(60),
            max_data: 4 << 20,
            max_stream_data: 1 << 20,
            max_streams: 128,
            max_ack_delay: Duration::from_millis(25),
            max_datagram: 65_535,
            min_ack_delay: Some(Duration::from_millis(1)),
        }
    }

    #[test]
    fn what_is_emitted_is_read_back() {
        let params = params();
        assert_eq!(Params::parse(&params.emit()), Ok(params.clone()));
        let client = Params { original_destination: None, ..params };
        assert_eq!(Params::parse(&client.emit()), Ok(client));
    }

    #[test]
    fn unknown_ids_are_ignored_and_duplicates_refused() {
        let mut bytes = params().emit();
        emit_bytes(0x1234, b"whatever", &mut bytes);
        assert_eq!(Params::parse(&bytes), Ok(params()));
        emit_bytes(0x1234, b"", &mut bytes);
        assert!(Params::parse(&bytes).is_err());
        assert!(Params::parse(&[]).is_err());
        let mut bytes = params().emit();
        bytes.pop();
        assert!(Params::parse(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Params::parse(&bytes);
        }
    }
}
