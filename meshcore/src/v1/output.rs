//! Frames of this node.

use super::config::{HANDSHAKE_TTL, MAX_QUEUE, TTL};
use super::{V1, V1Destination};
use crate::types::{UnixTime, V1Address};
use crate::wire::v1::{FrameHeader, FrameType, HEADER_LEN};

/// A frame that waits for being sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) to: V1Destination,
    pub(super) frame: Vec<u8>,
}

/// Where a frame of this node goes, and what it answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Envelope {
    /// The node that it is for.
    pub(super) destination: V1Address,
    /// The stations that it goes to.
    pub(super) to: V1Destination,
    /// The message id of the frame that it answers.
    pub(super) answers: Option<u64>,
}

/// Gives out message ids: the time of day, strictly increasing whatever the clock does.
#[derive(Debug, Default)]
pub(super) struct MessageIds {
    last: u64,
}

impl MessageIds {
    /// The next id. It is not `answered`: a node that knows duplicates by their id alone would drop the answer to a
    /// frame of the same millisecond.
    pub(super) fn next(&mut self, wall: UnixTime, answered: Option<u64>) -> u64 {
        // A clock at the end of time must leave room for the ids to come.
        let wall = wall.as_millis().min(u64::MAX / 2);
        let mut id = wall.max(self.last.saturating_add(1));
        if answered == Some(id) {
            id = id.saturating_add(1);
        }
        self.last = id;
        id
    }
}

impl V1 {
    /// Whether `frames` more can be queued.
    pub(super) fn has_room(&self, frames: usize) -> bool {
        self.queue.len() + frames <= MAX_QUEUE
    }

    /// Queues a frame of this node, whose payload are `parts`; the caller has seen that there is room. The id of the
    /// message comes back.
    pub(super) fn push(
        &mut self,
        wall: UnixTime,
        kind: FrameType,
        envelope: Envelope,
        parts: &[&[u8]],
    ) -> u64 {
        let Envelope { destination, to, answers } = envelope;
        let to_all = kind == FrameType::Handshake && destination == V1Address::EVERYONE;
        let ttl = if to_all { HANDSHAKE_TTL } else { TTL };
        let id = self.ids.next(wall, answers);
        self.push_raw(to, FrameHeader { kind, origin: self.own, destination, ttl, id }, parts);
        id
    }

    /// Queues a frame of anybody.
    pub(super) fn push_raw(&mut self, to: V1Destination, header: FrameHeader, parts: &[&[u8]]) {
        let mut bytes = [0; HEADER_LEN];
        header.emit(&mut bytes);
        let frame = [&[&bytes[..]], parts].concat().concat();
        self.queue.push_back(Outgoing { to, frame });
    }

    /// Queues a handshake, if there is room.
    pub(super) fn push_handshake(&mut self, wall: UnixTime, destination: V1Address, to: V1Destination) {
        if self.has_room(1) {
            self.push(wall, FrameType::Handshake, Envelope { destination, to, answers: None }, &[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_increase_whatever_the_clock_does() {
        let mut ids = MessageIds::default();
        let mut last = None;
        for wall in [1000, 1000, 1001, 5, 0, 900, 2000, 2000, u64::MAX, u64::MAX, 7, u64::MAX / 2] {
            let id = ids.next(UnixTime::from_millis(wall), None);
            assert!(last < Some(id), "{wall}");
            last = Some(id);
        }
        let mut ids = MessageIds::default();
        assert_eq!(ids.next(UnixTime::from_millis(1000), None), 1000);
        assert_eq!(ids.next(UnixTime::from_millis(1000), None), 1001);
        assert_eq!(ids.next(UnixTime::from_millis(5000), None), 5000);
    }

    #[test]
    fn an_answer_has_another_id_than_what_it_answers() {
        let mut ids = MessageIds::default();
        assert_eq!(ids.next(UnixTime::from_millis(1000), Some(1000)), 1001);
        assert_eq!(ids.next(UnixTime::from_millis(1000), Some(1002)), 1003);
        assert_eq!(ids.next(UnixTime::from_millis(9000), Some(u64::MAX)), 9000);
    }
}
