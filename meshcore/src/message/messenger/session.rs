//! One session with a peer: what is read of its message streams, and what is on its way to them.

use std::collections::VecDeque;

use super::ProtocolViolation;
use crate::message::framing::{RecordReader, WriteBuffer};
use crate::message::inbound::Inbound;
use crate::message::store::ReceivedMessage;
use crate::types::{MessageId, NodeId, UnixTime};
use crate::wire::content::Content;
use crate::wire::record::Record;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) peer: NodeId,
    /// To be closed; nothing is read any more.
    pub(super) failed: bool,
    pub(super) receipts: RecordReader<Record>,
    pub(super) buffer: WriteBuffer,
    /// Where messages end in the buffer.
    pub(super) ends: VecDeque<(usize, MessageId)>,
    pub(super) inbound: Inbound,
}

impl Session {
    pub(super) fn new(peer: NodeId) -> Self {
        Self {
            peer,
            failed: false,
            receipts: RecordReader::default(),
            buffer: WriteBuffer::default(),
            ends: VecDeque::new(),
            inbound: Inbound::default(),
        }
    }

    pub(super) fn read_messages(
        &mut self,
        received_at: UnixTime,
        mut data: &[u8],
    ) -> Result<(), ProtocolViolation> {
        while let Some(record) = self.inbound.reader.next(&mut data)? {
            match record {
                // What a later version says is not acknowledged: its sender learns that it was not understood.
                Record::Message { content: Content::Unknown(_), .. } => {}
                Record::Message { id, sent_at, content } => {
                    self.inbound.received(ReceivedMessage { id, content, sent_at, received_at });
                }
                Record::Receipt(_) => return Err(ProtocolViolation::WrongStream),
                Record::Unknown(_) => {}
            }
        }
        Ok(())
    }

    pub(super) fn read_receipts(&mut self, mut data: &[u8]) -> Result<Vec<MessageId>, ProtocolViolation> {
        let mut receipts = Vec::new();
        while let Some(record) = self.receipts.next(&mut data)? {
            match record {
                Record::Receipt(ids) => receipts.extend(ids),
                Record::Message { .. } => return Err(ProtocolViolation::WrongStream),
                Record::Unknown(_) => {}
            }
        }
        Ok(receipts)
    }
}
