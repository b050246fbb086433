//! The probe: is the next hop still there? A question and its echo, between neighbours.
//!
//! Payload: kind (1; 0 question, 1 answer), nonce (4).

use super::{Malformed, reader::Reader};

/// A question or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Whether this is an answer.
    pub answer: bool,
    /// Chosen by who asks; the answer repeats it.
    pub nonce: u32,
}

impl Probe {
    /// Reads the payload.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let answer = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed::Field("kind")),
        };
        let nonce = reader.u32()?;
        reader.finish().map(|()| Self { answer, nonce })
    }

    /// Appends the payload.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.push(self.answer.into());
        out.extend(self.nonce.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_round_trip() {
        for answer in [false, true] {
            let probe = Probe { answer, nonce: 0x0102_0304 };
            let mut bytes = Vec::new();
            probe.emit(&mut bytes);
            assert_eq!(bytes, [u8::from(answer), 1, 2, 3, 4]);
            assert_eq!(Probe::parse(&bytes), Ok(probe));
        }
        assert_eq!(Probe::parse(&[2, 0, 0, 0, 0]), Err(Malformed::Field("kind")));
        assert_eq!(Probe::parse(&[0, 0, 0, 0]), Err(Malformed::Truncated));
        assert_eq!(Probe::parse(&[0; 6]), Err(Malformed::TrailingBytes));
    }
}
