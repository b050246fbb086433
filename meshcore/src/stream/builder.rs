//! A packet being filled with segments.

use super::sent::{Content, Sent};
use crate::wire::segment::Segment;

/// Plaintext of one packet at the end of a buffer, with a note of what it carries.
pub(super) struct Builder<'a> {
    pub(super) out: &'a mut Vec<u8>,
    /// The packet's plaintext may not grow beyond this position of `out`.
    end: usize,
    pub(super) content: Content,
    pub(super) eliciting: bool,
}

impl<'a> Builder<'a> {
    /// `end`: position in `out` that the plaintext may not pass.
    pub(super) fn new(out: &'a mut Vec<u8>, end: usize) -> Self {
        Self { out, end, content: Content::new(), eliciting: false }
    }

    /// Bytes left.
    pub(super) fn room(&self) -> usize {
        self.end.saturating_sub(self.out.len())
    }

    /// Appends a segment if it fits; returns whether it did.
    pub(super) fn push(&mut self, segment: &Segment<'_>, sent: Option<Sent>) -> bool {
        let before = self.out.len();
        segment.emit(self.out);
        if self.out.len() > self.end {
            self.out.truncate(before);
            return false;
        }
        self.eliciting |= segment.is_ack_eliciting();
        self.content.extend(sent);
        true
    }
}
