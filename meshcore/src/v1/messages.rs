//! Messages and their acknowledgements.

use super::config::{ACK_WAIT, MAX_PENDING};
use super::output::Envelope;
use super::receive::Arrival;
use super::{DropReason, V1, V1Destination, V1Error, V1Event, V1MessageId};
use crate::types::{Instant, UnixTime, V1Address};
use crate::wire::v1::{FrameType, HEADER_LEN, Segment, ack_of, ack_text, without_padding};

/// A message that waits for its acknowledgement.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) to: V1Address,
    pub(super) deadline: Instant,
}

impl V1 {
    /// Sends a text to one node. [`V1Event::Delivered`] tells that it was acknowledged, [`V1Event::Failed`] that it was
    /// not within [`ACK_WAIT`].
    pub fn send(
        &mut self,
        now: Instant,
        wall: UnixTime,
        to: V1Address,
        text: &str,
    ) -> Result<V1MessageId, V1Error> {
        self.check_peer(to)?;
        self.check_text(text)?;
        if self.pending.len() >= MAX_PENDING || !self.has_room(1) {
            return Err(V1Error::Busy);
        }
        let envelope = Envelope { destination: to, to: self.way_to(now, to), answers: None };
        let id = V1MessageId(self.push(wall, FrameType::Message, envelope, &[text.as_bytes()]));
        self.pending.insert(id, Pending { to, deadline: now + ACK_WAIT });
        Ok(id)
    }

    /// Sends a text to every node of the segment. Nobody acknowledges it.
    pub fn broadcast(&mut self, _now: Instant, wall: UnixTime, text: &str) -> Result<V1MessageId, V1Error> {
        self.check_text(text)?;
        if !self.has_room(1) {
            return Err(V1Error::Busy);
        }
        let (destination, to) = (V1Address::EVERYONE, V1Destination::Everyone);
        let envelope = Envelope { destination, to, answers: None };
        Ok(V1MessageId(self.push(wall, FrameType::Broadcast, envelope, &[text.as_bytes()])))
    }

    /// Longest text of a message in bytes.
    pub fn max_text_len(&self) -> usize {
        self.mtu - HEADER_LEN
    }

    fn check_text(&self, text: &str) -> Result<(), V1Error> {
        let (len, max) = (text.len(), self.max_text_len());
        if text.is_empty() {
            return Err(V1Error::Empty);
        }
        if len > max {
            return Err(V1Error::TooLong { len, max });
        }
        let is_forbidden = |c: char| c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r');
        if text.contains(is_forbidden) { Err(V1Error::ControlCharacter) } else { Ok(()) }
    }

    pub(super) fn on_message(&mut self, arrival: &Arrival, body: &[u8]) -> Result<(), DropReason> {
        match Segment::parse(body) {
            // A stream has two ends.
            Some(_) if arrival.to_all() => Err(DropReason::Malformed),
            Some((segment, data)) => self.on_segment(arrival, &segment, without_padding(data)),
            // Answers from all of them would be a storm.
            None if arrival.to_all() => self.on_text_for_all(arrival, body),
            None => self.on_text(arrival, body),
        }
    }

    /// Only what is acknowledged is taken, and the other way round: the status of the sender's message is honest.
    fn on_text(&mut self, arrival: &Arrival, body: &[u8]) -> Result<(), DropReason> {
        if !self.has_room(1) {
            return Err(DropReason::QueueFull);
        }
        self.accept(arrival.now, arrival.header.origin)?;
        let text = ack_text(arrival.header.id);
        self.push(arrival.wall, FrameType::Status, arrival.answer(), &[text.as_bytes()]);
        self.tell_text(arrival, body, false);
        Ok(())
    }

    pub(super) fn on_text_for_all(&mut self, arrival: &Arrival, body: &[u8]) -> Result<(), DropReason> {
        self.accept(arrival.now, arrival.header.origin)?;
        self.tell_text(arrival, body, true);
        Ok(())
    }

    fn tell_text(&mut self, arrival: &Arrival, body: &[u8], to_all: bool) {
        let text = String::from_utf8_lossy(without_padding(body)).into_owned();
        self.events.push_back(V1Event::Message { from: arrival.header.origin, text, to_all });
    }

    /// An acknowledgement counts if it comes from whom the message was for.
    pub(super) fn on_status(&mut self, arrival: &Arrival, body: &[u8]) -> Result<(), DropReason> {
        let id = ack_of(body).map(V1MessageId).ok_or(DropReason::UnexpectedStatus)?;
        match self.pending.get(&id) {
            Some(pending) if pending.to == arrival.header.origin && !arrival.to_all() => {
                self.pending.remove(&id);
                self.events.push_back(V1Event::Delivered { id });
                Ok(())
            }
            _ => Err(DropReason::UnexpectedStatus),
        }
    }

    pub(super) fn fail_messages(&mut self, now: Instant) {
        let events = &mut self.events;
        self.pending.retain(|id, pending| {
            let waits = pending.deadline > now;
            if !waits {
                events.push_back(V1Event::Failed { id: *id });
            }
            waits
        });
    }
}
