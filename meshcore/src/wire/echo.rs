//! The echo: ping and trace across the mesh, as ICMP has it (RFC 4443, sections 3.3 and 4).
//!
//! Payload: kind (1; 0 request, 1 reply, 2 hop limit exceeded), id (8). Nothing in it is authenticated.

use super::{Malformed, reader::Reader};

/// What an echo frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EchoKind {
    /// The destination is to reply.
    Request,
    /// From the destination of the request.
    Reply,
    /// From a relay at which the hop limit of the request ran out.
    Exceeded,
}

/// An echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    /// What it says.
    pub kind: EchoKind,
    /// Chosen by who asks.
    pub id: u64,
}

impl Echo {
    /// Reads the payload.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let kind = match reader.u8()? {
            0 => EchoKind::Request,
            1 => EchoKind::Reply,
            2 => EchoKind::Exceeded,
            _ => return Err(Malformed::Field("kind")),
        };
        let id = reader.u64()?;
        reader.finish().map(|()| Self { kind, id })
    }

    /// Appends the payload.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.push(match self.kind {
            EchoKind::Request => 0,
            EchoKind::Reply => 1,
            EchoKind::Exceeded => 2,
        });
        out.extend(self.id.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_round_trip() {
        for (code, kind) in [EchoKind::Request, EchoKind::Reply, EchoKind::Exceeded].into_iter().enumerate() {
            let echo = Echo { kind, id: 0x0102_0304_0506_0708 };
            let mut bytes = Vec::new();
            echo.emit(&mut bytes);
            assert_eq!(bytes, [code as u8, 1, 2, 3, 4, 5, 6, 7, 8]);
            assert_eq!(Echo::parse(&bytes), Ok(echo));
        }
        assert_eq!(Echo::parse(&[3, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Malformed::Field("kind")));
        assert_eq!(Echo::parse(&[0; 8]), Err(Malformed::Truncated));
        assert_eq!(Echo::parse(&[0; 10]), Err(Malformed::TrailingBytes));
    }
}
