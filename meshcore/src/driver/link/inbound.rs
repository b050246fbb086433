//! Frames that have come in, in memory that is used again and again.

use std::fmt;
use std::ops::Range;

use super::mmsg::BATCH;
use crate::types::LinkAddr;

/// Largest Ethernet frame with its header, in bytes.
pub(super) const ETHERNET_SLOT: usize = super::frames::HEADER_LEN + super::packet::MAX_MTU;

/// Largest run of datagrams that the kernel has put together, in bytes.
pub(super) const UDP_SLOT: usize = 1 << 16;

/// How many of those are received at once.
pub(super) const UDP_SLOTS: usize = 8;

/// Ethernet frames that are asked for at least.
const FEW: usize = 4;

/// Room for either kind: 512 KiB. What is never written to costs no memory.
const BUFFER: usize = UDP_SLOTS * UDP_SLOT;

const _: () = assert!(BATCH * ETHERNET_SLOT <= BUFFER);

/// The frames of one [`super::Link::poll`]. They can be changed in place, as packets are decrypted.
pub struct Inbound {
    buffer: Vec<u8>,
    frames: Vec<(LinkAddr, Range<usize>)>,
    /// The first that is not taken yet.
    next: usize,
}

impl Inbound {
    /// Memory for a batch of frames.
    pub fn new() -> Self {
        // A run of datagrams holds some 45 frames, or more when they are short.
        Self { buffer: vec![0; BUFFER], frames: Vec::with_capacity(UDP_SLOTS * 64), next: 0 }
    }

    /// Takes the next frame, and who sent it.
    pub fn pop(&mut self) -> Option<(LinkAddr, &mut [u8])> {
        let (from, range) = self.frames.get(self.next)?.clone();
        self.next += 1;
        Some((from, self.buffer.get_mut(range)?))
    }

    /// Who sent the frames that are left.
    pub(super) fn senders(&self) -> impl Iterator<Item = LinkAddr> {
        self.frames.iter().skip(self.next).map(|(from, _)| *from)
    }

    /// How many frames are left to be taken.
    pub fn len(&self) -> usize {
        self.frames.len() - self.next
    }

    /// Whether all frames have been taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory, to be filled anew, and the list of what is in it.
    pub(super) fn refill(&mut self) -> (&mut [u8], &mut Vec<(LinkAddr, Range<usize>)>) {
        self.frames.clear();
        self.next = 0;
        (&mut self.buffer, &mut self.frames)
    }

    /// How many Ethernet frames to ask for after those that came last: to prepare a whole batch for a lone frame takes longer than to receive it.
    pub(super) fn slots(&self) -> usize {
        (2 * self.frames.len()).clamp(FEW, BATCH)
    }

    /// Changes the senders of the frames; a frame that gets none is dropped.
    pub(super) fn rename(&mut self, mut name: impl FnMut(LinkAddr) -> Option<LinkAddr>) {
        self.frames.retain_mut(|(from, _)| name(*from).map(|renamed| *from = renamed).is_some());
    }
}

impl Default for Inbound {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("frames", &self.frames)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}
