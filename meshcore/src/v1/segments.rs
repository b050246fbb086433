//! AlexStream v1: streams in both roles. Nothing is retransmitted.

use rand::RngExt;

use super::config::{STREAM_IDLE, STREAM_WAIT};
use super::output::Envelope;
use super::receive::Arrival;
use super::streams::{NewStream, State, StreamKey};
use super::{DropReason, V1, V1CloseReason, V1Error, V1Event, V1StreamId};
use crate::types::{Instant, UnixTime, V1Address};
use crate::wire::v1::{FrameType, HEADER_LEN, SEGMENT_HEADER_LEN, Segment, SegmentKind};

/// Splits `data` into pieces of at most `max` bytes, and not within a character: programs that print each piece by
/// itself would garble it.
fn pieces(mut data: &[u8], max: usize) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while data.len() > max {
        let starts = |at: &usize| data.get(*at).is_some_and(|byte| byte & 0xc0 != 0x80);
        let at = (max.saturating_sub(3)..=max).rev().find(starts).unwrap_or(max);
        let (piece, rest) = data.split_at(at.max(1));
        pieces.push(piece);
        data = rest;
    }
    if !data.is_empty() {
        pieces.push(data);
    }
    pieces
}

impl V1 {
    /// Opens a stream: [`V1Event::StreamOpened`] follows, or [`V1Event::StreamClosed`] after [`STREAM_WAIT`].
    pub fn connect(&mut self, now: Instant, wall: UnixTime, to: V1Address) -> Result<V1StreamId, V1Error> {
        self.check_peer(to)?;
        if !self.streams.has_room(to) {
            return Err(V1Error::TooManyStreams);
        }
        if !self.has_room(1) {
            return Err(V1Error::Busy);
        }
        let seq: u32 = self.rng.random();
        let number = self.streams.free_number(to, self.rng.random());
        let next = seq.wrapping_add(1);
        let new = NewStream {
            state: State::Connecting { ack: next },
            syn: None,
            seq: next,
            ack: 0,
            to: self.way_to(now, to),
            deadline: now + STREAM_WAIT,
        };
        let envelope = Envelope { destination: to, to: new.to, answers: None };
        let segment = Segment { stream: number, kind: SegmentKind::Syn, seq, ack: 0 };
        self.push_segment(wall, envelope, &segment, &[]);
        Ok(self.streams.insert(now, (to, number), new))
    }

    /// Sends data on an open stream, in as many segments as it takes. What gets lost stays lost. Zero bytes at the end
    /// of a segment are taken for padding by the receiver: streams carry text.
    pub fn write(
        &mut self,
        _now: Instant,
        wall: UnixTime,
        stream: V1StreamId,
        data: &[u8],
    ) -> Result<(), V1Error> {
        let key = self.open_stream(stream)?;
        let pieces = pieces(data, self.mtu - HEADER_LEN - SEGMENT_HEADER_LEN);
        if !self.has_room(pieces.len()) {
            return Err(V1Error::Busy);
        }
        for piece in pieces {
            self.push_own_segment(wall, key, SegmentKind::Data, piece);
        }
        Ok(())
    }

    /// Ends a stream in both directions, also one that is still being opened. [`V1Event::StreamClosed`] follows.
    pub fn close(&mut self, now: Instant, wall: UnixTime, stream: V1StreamId) -> Result<(), V1Error> {
        let key = self.streams.key_of(stream).ok_or(V1Error::UnknownStream)?;
        if self.streams.get(key).is_some_and(|stream| matches!(stream.state, State::Closing { .. })) {
            return Err(V1Error::NotOpen);
        }
        if !self.has_room(1) {
            return Err(V1Error::Busy);
        }
        self.push_own_segment(wall, key, SegmentKind::Fin, &[]);
        if let Some(stream) = self.streams.get_mut(key) {
            stream.state = State::Closing { ack: stream.seq };
            stream.deadline = now + STREAM_WAIT;
        }
        Ok(())
    }

    fn open_stream(&self, id: V1StreamId) -> Result<StreamKey, V1Error> {
        let key = self.streams.key_of(id).ok_or(V1Error::UnknownStream)?;
        match self.streams.get(key) {
            Some(stream) if stream.state == State::Open => Ok(key),
            _ => Err(V1Error::NotOpen),
        }
    }

    fn push_segment(&mut self, wall: UnixTime, envelope: Envelope, segment: &Segment, data: &[u8]) {
        let mut header = [0; SEGMENT_HEADER_LEN];
        segment.emit(&mut header);
        self.push(wall, FrameType::Message, envelope, &[&header, data]);
    }

    /// Queues the next DATA or FIN of a stream.
    fn push_own_segment(&mut self, wall: UnixTime, key: StreamKey, kind: SegmentKind, data: &[u8]) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let (peer, number) = key;
        let segment = Segment { stream: number, kind, seq: stream.seq, ack: stream.ack };
        let length = if kind == SegmentKind::Fin { 1 } else { data.len() as u32 };
        stream.seq = stream.seq.wrapping_add(length);
        let envelope = Envelope { destination: peer, to: stream.to, answers: None };
        self.push_segment(wall, envelope, &segment, data);
    }

    /// Acknowledges a segment; the caller has seen that there is room.
    fn push_answer(&mut self, arrival: &Arrival, stream: u16, kind: SegmentKind, seq: u32, ack: u32) {
        self.push_segment(arrival.wall, arrival.answer(), &Segment { stream, kind, seq, ack }, &[]);
    }

    pub(super) fn on_segment(
        &mut self,
        arrival: &Arrival,
        segment: &Segment,
        data: &[u8],
    ) -> Result<(), DropReason> {
        match segment.kind {
            SegmentKind::Syn => self.on_syn(arrival, segment)?,
            SegmentKind::SynAck => self.on_syn_ack(arrival, segment)?,
            SegmentKind::Data => self.on_data(arrival, segment, data)?,
            SegmentKind::Ack => self.on_ack(arrival, segment)?,
            SegmentKind::Fin => self.on_fin(arrival, segment)?,
        }
        if let Some(stream) = self.streams.get_mut((arrival.header.origin, segment.stream)) {
            stream.to = arrival.back;
            stream.heard_at = arrival.now;
            if stream.state == State::Open {
                stream.deadline = arrival.now + STREAM_IDLE;
            }
        }
        Ok(())
    }

    fn on_syn(&mut self, arrival: &Arrival, segment: &Segment) -> Result<(), DropReason> {
        let Arrival { now, header, back, .. } = *arrival;
        let key = (header.origin, segment.stream);
        let replaced = match self.streams.get(key) {
            // The same SYN once more, or both ends chose the same number.
            Some(stream) if stream.syn.is_none_or(|id| id == header.id) => {
                return Err(DropReason::UnexpectedSegment);
            }
            // The peer has started anew.
            Some(_) => Some(key),
            None => self.streams.in_the_way_of(header.origin)?,
        };
        if !self.has_room(1) {
            return Err(DropReason::QueueFull);
        }
        self.accept(now, header.origin)?;
        if let Some(replaced) = replaced {
            self.end(replaced, V1CloseReason::Replaced);
        }
        let seq: u32 = self.rng.random();
        let ack = segment.seq.wrapping_add(1);
        let new = NewStream {
            state: State::Open,
            syn: Some(header.id),
            seq: seq.wrapping_add(1),
            ack,
            to: back,
            deadline: now + STREAM_IDLE,
        };
        let stream = self.streams.insert(now, key, new);
        self.push_answer(arrival, segment.stream, SegmentKind::SynAck, seq, ack);
        self.events.push_back(V1Event::StreamOpened { stream, peer: header.origin, by_peer: true });
        Ok(())
    }

    fn on_syn_ack(&mut self, arrival: &Arrival, segment: &Segment) -> Result<(), DropReason> {
        let key = (arrival.header.origin, segment.stream);
        let stream = self.streams.get_mut(key).ok_or(DropReason::UnknownStream)?;
        if stream.state != (State::Connecting { ack: segment.ack }) {
            return Err(DropReason::UnexpectedSegment);
        }
        stream.ack = segment.seq.wrapping_add(1);
        self.opened(key);
        Ok(())
    }

    fn opened(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.state = State::Open;
            self.events.push_back(V1Event::StreamOpened { stream: stream.id, peer: key.0, by_peer: false });
        }
    }

    /// Data is shown as it comes, and only if it can be acknowledged. On a stream that is being opened it has overtaken
    /// the SYN|ACK, or that was lost; on one that is being closed it has met the FIN.
    fn on_data(&mut self, arrival: &Arrival, segment: &Segment, data: &[u8]) -> Result<(), DropReason> {
        let key = (arrival.header.origin, segment.stream);
        let room = self.has_room(1);
        let stream = self.streams.get_mut(key).ok_or(DropReason::UnknownStream)?;
        if !room {
            return Err(DropReason::QueueFull);
        }
        if !stream.accepted.take(arrival.now) {
            return Err(DropReason::RateLimited);
        }
        let ack = segment.seq.wrapping_add(data.len() as u32);
        stream.ack = ack;
        stream.used = true;
        let (id, seq) = (stream.id, stream.seq);
        if matches!(stream.state, State::Connecting { .. }) {
            self.opened(key);
        }
        self.push_answer(arrival, segment.stream, SegmentKind::Ack, seq, ack);
        if !data.is_empty() {
            self.events.push_back(V1Event::StreamData { stream: id, data: data.to_vec() });
        }
        Ok(())
    }

    /// An ACK of data means nothing here, as nothing is retransmitted, but that the peer lives.
    fn on_ack(&mut self, arrival: &Arrival, segment: &Segment) -> Result<(), DropReason> {
        let key = (arrival.header.origin, segment.stream);
        let stream = self.streams.get(key).ok_or(DropReason::UnknownStream)?;
        match stream.state {
            State::Connecting { .. } => Err(DropReason::UnexpectedSegment),
            State::Closing { ack } if ack == segment.ack => {
                self.end(key, V1CloseReason::Here);
                Ok(())
            }
            State::Open | State::Closing { .. } => Ok(()),
        }
    }

    /// A FIN is acknowledged even if the stream has gone: both ends may have closed it.
    fn on_fin(&mut self, arrival: &Arrival, segment: &Segment) -> Result<(), DropReason> {
        if !self.has_room(1) {
            return Err(DropReason::QueueFull);
        }
        self.accept(arrival.now, arrival.header.origin)?;
        let key = (arrival.header.origin, segment.stream);
        let seq = self.streams.get(key).map_or(segment.ack, |stream| stream.seq);
        let ack = segment.seq.wrapping_add(1);
        self.push_answer(arrival, segment.stream, SegmentKind::Ack, seq, ack);
        self.end(key, V1CloseReason::Peer);
        Ok(())
    }

    fn end(&mut self, key: StreamKey, reason: V1CloseReason) {
        if let Some(stream) = self.streams.remove(key) {
            self.events.push_back(V1Event::StreamClosed { stream: stream.id, reason });
        }
    }

    pub(super) fn expire_streams(&mut self, now: Instant, wall: UnixTime) {
        while let Some(key) = self.streams.expired(now) {
            let open = self.streams.get(key).is_some_and(|stream| stream.state == State::Open);
            if open && self.has_room(1) {
                self.push_own_segment(wall, key, SegmentKind::Fin, &[]);
            }
            self.end(key, if open { V1CloseReason::Idle } else { V1CloseReason::NoAnswer });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::pieces;

    proptest! {
        #[test]
        fn pieces_make_the_whole(data in proptest::collection::vec(any::<u8>(), 0..300), max in 1..50usize) {
            let pieces = pieces(&data, max);
            prop_assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= max));
            prop_assert_eq!(pieces.concat(), data);
        }

        #[test]
        fn characters_stay_whole(text in "[a-ž€😀]{0,100}", max in 4..50usize) {
            for piece in pieces(text.as_bytes(), max) {
                prop_assert!(str::from_utf8(piece).is_ok());
            }
        }
    }
}
