//! Cutting a stream of bytes into records.

use bytes::{Bytes, BytesMut};

use super::Violation;
use crate::wire::file::{FileRecord, parse_length};
use crate::wire::length::LENGTH_LEN;

/// Puts records together from pieces of any size. Memory follows what has arrived, not what was announced.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: BytesMut,
}

impl Reader {
    /// Takes bytes that came.
    pub fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// The next whole record.
    pub fn next_record(&mut self) -> Result<Option<FileRecord>, Violation> {
        let Some((length, rest)) = self.buffer.split_first_chunk::<LENGTH_LEN>() else { return Ok(None) };
        let length = parse_length(*length)?;
        if rest.len() < length {
            return Ok(None);
        }
        let body: Bytes = self.buffer.split_to(LENGTH_LEN + length).freeze().slice(LENGTH_LEN..);
        Ok(Some(FileRecord::parse(&body)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FileId;

    #[test]
    fn records_come_out_of_pieces_of_any_size() {
        let records = [
            FileRecord::Want(FileId([7; 16])),
            FileRecord::Chunk { offset: 5, data: vec![3; 1000].into() },
            FileRecord::Noted,
        ];
        let bytes: Vec<u8> = records.iter().flat_map(FileRecord::emit).collect();
        for size in [1, 2, 7, 100, bytes.len()] {
            let (mut reader, mut got) = (Reader::default(), Vec::new());
            for piece in bytes.chunks(size) {
                reader.push(piece);
                while let Some(record) = reader.next_record().unwrap() {
                    got.push(record);
                }
            }
            assert_eq!(got, records, "in pieces of {size}");
        }
    }

    #[test]
    fn lengths_and_bodies_are_checked() {
        for bytes in [&[0xff; 4][..], &[0; 4], &[0, 0, 0, 1, 0x40]] {
            let mut reader = Reader::default();
            reader.push(bytes);
            assert!(matches!(reader.next_record(), Err(Violation::Malformed(_))), "{bytes:?}");
        }
    }
}
