//! Frames that wait to be sent.

use crate::types::Destination;

/// The frames of a batch for one link. Their memory is used again and again.
#[derive(Debug, Default)]
pub struct Queue {
    /// Behind the first `len` there is memory to spare.
    frames: Vec<(Destination, Vec<u8>)>,
    len: usize,
}

impl Queue {
    /// Takes a frame, and leaves empty memory in its place.
    pub fn push(&mut self, to: Destination, frame: &mut Vec<u8>) {
        if self.len == self.frames.len() {
            self.frames.push((to, Vec::new()));
        }
        if let Some((place, spare)) = self.frames.get_mut(self.len) {
            *place = to;
            spare.clear();
            std::mem::swap(spare, frame);
            self.len += 1;
        }
    }

    /// What waits, the oldest first.
    pub fn frames(&self) -> &[(Destination, Vec<u8>)] {
        self.frames.get(..self.len).unwrap_or_default()
    }

    /// Forgets the oldest frames.
    pub fn remove(&mut self, count: usize) {
        let count = count.min(self.len);
        if let Some(waiting) = self.frames.get_mut(..self.len) {
            waiting.rotate_left(count);
        }
        self.len -= count;
    }

    /// How many frames wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no frame waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_keep_their_order_and_their_memory() {
        let mut queue = Queue::default();
        let mut frame = Vec::new();
        for round in 0..3 {
            for number in 0..5 {
                frame.push(number);
                queue.push(Destination::Group, &mut frame);
                assert!(frame.is_empty() && frame.capacity() == 0 || round > 0 || number > 0);
            }
            queue.remove(2);
            let left: Vec<_> = queue.frames().iter().map(|(_, frame)| frame[0]).collect();
            assert_eq!((left, queue.len()), (vec![2, 3, 4], 3));
            queue.remove(9);
            assert!(queue.is_empty() && queue.frames().is_empty());
        }
        assert_eq!(queue.frames.len(), 5);
    }
}
