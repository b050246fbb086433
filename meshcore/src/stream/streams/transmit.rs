//! Writes what the streams want to send into packets.

use super::super::builder::Builder;
use super::super::sent::Sent;
use super::Streams;
use crate::wire::segment::{Segment, emit_stream_header};
use crate::wire::varint;

/// A STREAM segment for less than this is not started when it would only fill up a packet.
const MIN_PIECE: usize = 16;

impl Streams {
    /// Whether anything is there to send, as far as the windows allow.
    pub(in super::super) fn has_pending(&self) -> bool {
        self.shared.update
            || self.owes_max_streams
            || self.owes_streams_blocked
            || !self.owing.is_empty()
            || !self.ready.is_empty()
    }

    /// Fills a packet: limits and resets first, then bytes.
    pub(in super::super) fn transmit(&mut self, builder: &mut Builder<'_>) {
        self.transmit_limits(builder);
        while let Some(&id) = self.owing.front() {
            if !self.transmit_owed(id, builder) {
                return;
            }
            self.owing.pop_front();
            if let Some(stream) = self.all.get_mut(&id) {
                stream.is_owing = false;
            }
        }
        self.transmit_pieces(builder);
    }

    fn transmit_limits(&mut self, builder: &mut Builder<'_>) {
        if self.shared.update {
            let limit = Segment::MaxData(self.shared.window.limit());
            self.shared.update = !builder.push(&limit, Some(Sent::MaxData));
        }
        if self.owes_max_streams {
            let limit = Segment::MaxStreams(self.max_accepted);
            self.owes_max_streams = !builder.push(&limit, Some(Sent::MaxStreams));
        }
        if self.owes_streams_blocked {
            let blocked = Segment::StreamsBlocked(self.max_opened);
            self.owes_streams_blocked = !builder.push(&blocked, None);
        }
    }

    /// Returns whether everything that the stream owes was written.
    fn transmit_owed(&mut self, id: u64, builder: &mut Builder<'_>) -> bool {
        let Some(stream) = self.all.get_mut(&id) else { return true };
        if stream.owes.reset
            && let Some((code, final_size)) = stream.send.reset_values()
            && !builder.push(&Segment::ResetStream { stream: id, code, final_size }, Some(Sent::Reset(id)))
        {
            return false;
        }
        stream.owes.reset = false;
        if stream.owes.stop
            && let Some(code) = stream.receive.stop_code()
            && !builder.push(&Segment::StopSending { stream: id, code }, Some(Sent::Stop(id)))
        {
            return false;
        }
        stream.owes.stop = false;
        if stream.owes.max_data
            && let Some(max) = stream.receive.limit_to_tell()
            && !builder.push(&Segment::MaxStreamData { stream: id, max }, Some(Sent::MaxStreamData(id)))
        {
            return false;
        }
        stream.owes.max_data = false;
        // Not repeated when lost: the peer knows its limits, this only helps people who debug.
        if stream.owes.blocked && stream.send.is_blocked() {
            let limit = stream.send.window.limit();
            if !builder.push(&Segment::StreamDataBlocked { stream: id, limit }, None) {
                return false;
            }
        }
        stream.owes.blocked = false;
        true
    }

    /// One piece of each stream in turn.
    fn transmit_pieces(&mut self, builder: &mut Builder<'_>) {
        while let Some(id) = self.ready.front() {
            let Some(stream) = self.all.get_mut(&id) else {
                self.ready.pop_front();
                continue;
            };
            let free = stream.send.can_send_without_credit();
            if !free && stream.send.can_send_new() && self.credit.left() == 0 {
                self.ready.pop_front();
                self.starved.push(id);
                if let Some(limit) = self.credit.complaint() {
                    builder.push(&Segment::DataBlocked(limit), None);
                }
                continue;
            }
            if free || stream.send.can_send_new() {
                let start = stream.send.next_start();
                let header = 1 + varint::len(id) + varint::len(start) + varint::len(builder.room() as u64);
                let Some(len) = builder.room().checked_sub(header + MIN_PIECE) else { return };
                if let Some((range, fin, new)) = stream.send.take(len + MIN_PIECE, self.credit.left()) {
                    self.credit.consume(new);
                    let len = (range.end - range.start) as usize;
                    self.retransmitted += len as u64 - new;
                    emit_stream_header(id, range.start, len, fin, builder.out);
                    stream.send.copy(&range, builder.out);
                    builder.eliciting = true;
                    builder.content.push(Sent::Stream { stream: id, range, fin });
                }
            }
            stream.queued = false;
            self.ready.pop_front();
            self.enqueue(id);
        }
    }
}
