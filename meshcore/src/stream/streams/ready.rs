//! Who sends next: the most urgent streams, in turn.

use std::collections::VecDeque;

/// Urgencies of RFC 9218 §4.1: 0 is the most urgent, 7 the least.
pub(super) const LEVELS: usize = 8;

/// What a stream has until it is told otherwise (RFC 9218 §4.1).
pub(super) const DEFAULT_PRIORITY: u8 = 3;

/// Streams with bytes to send, by urgency.
#[derive(Debug, Default)]
pub(super) struct Ready {
    levels: [VecDeque<u64>; LEVELS],
    len: usize,
}

impl Ready {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, stream: u64, priority: u8) {
        if let Some(level) = self.levels.get_mut(usize::from(priority)) {
            level.push_back(stream);
            self.len += 1;
        }
    }

    /// Whose turn it is.
    pub(super) fn front(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        self.levels.iter().find_map(|level| level.front().copied())
    }

    pub(super) fn pop_front(&mut self) {
        if let Some(level) = self.levels.iter_mut().find(|level| !level.is_empty()) {
            level.pop_front();
            self.len -= 1;
        }
    }

    /// A stream that waits has another urgency from now on.
    pub(super) fn reorder(&mut self, stream: u64, priority: u8) {
        for level in &mut self.levels {
            let before = level.len();
            level.retain(|other| *other != stream);
            if level.len() < before {
                self.len -= 1;
                return self.push(stream, priority);
            }
        }
    }
}
