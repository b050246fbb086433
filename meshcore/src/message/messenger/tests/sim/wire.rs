//! Sessions as bytes under way, and envelopes that anybody could read.

use super::node::Node;
use crate::message::envelope::{Letter, OpenError};
use crate::message::messenger::*;
use crate::message::post::{Job, JobOutcome};
use crate::types::{MessageId, NodeId, UnixTime};
use crate::wire::content::Content;

pub(super) const CHANNELS: [Channel; 4] =
    [Channel::Outgoing, Channel::Incoming, Channel::Letters, Channel::Deposits];

/// Bytes under way on a stream at most.
pub(super) const CAPACITY: usize = 16 * 1024;

/// A session between two nodes.
pub(super) struct Wire {
    pub(super) ends: [usize; 2],
    pub(super) lives: [u32; 2],
    /// Who still believes in it.
    pub(super) open: [bool; 2],
    /// It carries nothing any more.
    pub(super) dead: bool,
    /// By the side that writes, and its channel.
    pub(super) pipes: [[Vec<u8>; 4]; 2],
    /// Whether the arrival at a side is on the agenda.
    pub(super) arriving: [bool; 2],
}

impl Wire {
    pub(super) fn new(ends: [usize; 2], lives: [u32; 2]) -> Self {
        Self { ends, lives, open: [true; 2], dead: false, pipes: Default::default(), arriving: [false; 2] }
    }

    pub(super) fn side(&self, node: usize) -> usize {
        usize::from(self.ends[1] == node)
    }

    /// Where the other side reads what is written to the channel of this number.
    pub(super) fn counterpart(channel: usize) -> usize {
        channel ^ 1
    }

    /// Whether there is something for this side.
    pub(super) fn has_data(&self, side: usize) -> bool {
        self.pipes[1 - side].iter().any(|pipe| !pipe.is_empty())
    }

    /// Moves what the writer has; whether it was something.
    pub(super) fn write(
        &mut self,
        now: Instant,
        session: SessionId,
        side: usize,
        writer: &mut Node,
        mut share: impl FnMut(usize) -> usize,
    ) -> bool {
        let Some(running) = &mut writer.running else { return false };
        let lost = self.dead || !self.open[1 - side];
        let mut moved = false;
        for (pipe, channel) in self.pipes[side].iter_mut().zip(CHANNELS) {
            loop {
                let pending = running.messenger.pending_write(session, channel);
                let room = pending.len().min(CAPACITY.saturating_sub(pipe.len()));
                let taken = share(room);
                if taken == 0 {
                    break;
                }
                if !lost {
                    pipe.extend_from_slice(&pending[..taken]);
                }
                running.messenger.on_written(now, session, channel, taken);
                moved = true;
                if taken < room {
                    break;
                }
            }
        }
        moved
    }
}

/// Does a job without a key. An envelope is as long as a real one at least.
pub(super) fn work(own: NodeId, job: Job) -> JobOutcome {
    match job {
        Job::Seal { token, to, letter: Letter { id, sent_at, content } } => {
            let bytes = content.bytes();
            let mut envelope =
                [&to.0[..], &own.0[..], &id.0[..], &sent_at.as_millis().to_be_bytes()].concat();
            envelope.push(content.kind());
            envelope.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
            envelope.extend_from_slice(&bytes);
            envelope.resize(envelope.len().max(1600), 0);
            JobOutcome::Sealed { token, envelope: Some(envelope) }
        }
        Job::Open { token, envelope } => {
            let letter = open(own, &envelope).ok_or(OpenError::NotOpened);
            JobOutcome::Opened { token, letter }
        }
    }
}

fn open(own: NodeId, envelope: &[u8]) -> Option<(NodeId, Letter)> {
    let (to, rest) = envelope.split_first_chunk::<32>()?;
    let (from, rest) = rest.split_first_chunk::<32>()?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let (sent_at, rest) = rest.split_first_chunk::<8>()?;
    let ([kind], rest) = rest.split_first_chunk::<1>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let content = Content::parse(*kind, rest.get(..u32::from_be_bytes(*len) as usize)?).ok()?;
    let sent_at = UnixTime::from_millis(u64::from_be_bytes(*sent_at));
    (*to == own.0).then_some((NodeId(*from), Letter { id: MessageId(*id), sent_at, content }))
}
