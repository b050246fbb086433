//! All links of a node.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant as Tick;

use super::handle::LinkStatus;
use super::link::{BATCH, Inbound, Link, LinkCounters, LinkEvent, LinkSpec, Queue};
use super::trouble::{Reports, Trouble};
use super::{Error, ErrorKind};
use crate::mesh::LinkInfo;
use crate::types::{Destination, LinkId};

/// How long a link whose buffer is full holds up the others. After that it does so no more until its buffer has room, and
/// its frames are lost: a link that does not get rid of anything must not stop the node.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the links have brought.
#[derive(Debug)]
pub(super) enum Received {
    /// Frames have come in.
    Frames { link: LinkId },
    /// A link works from now on. When it worked already: it reaches more than before, or `wired` has changed.
    Up { link: LinkId, name: String, info: LinkInfo },
    /// A link does not work until it is told to be up again.
    Down { link: LinkId, trouble: Option<Trouble> },
    /// Something did not work; the link goes on.
    Trouble(Trouble),
}

#[derive(Debug)]
struct Entry {
    id: LinkId,
    link: Link,
    reports: Reports,
    queue: Queue,
    blocked: Blocked,
    /// Frames that found the queue full.
    dropped: u64,
}

/// Whether a link has room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blocked {
    No,
    /// Not yet; it is waited for until then.
    Until(Tick),
    /// Not for a long time.
    Stuck,
}

/// The links that are open, or will be when their interfaces are there.
#[derive(Debug)]
pub(super) struct Links {
    entries: Vec<Entry>,
    /// Which one is asked first: each in turn, so that a busy link does not starve the others.
    first: usize,
    /// Troubles of sending that are not told yet: each kind of error once a link.
    troubles: VecDeque<Trouble>,
}

impl Links {
    /// Opens links inside a tokio runtime. Fails only when none can be opened, with the first reason; else the missing
    /// ones are waited for.
    pub(super) fn open(specs: Vec<LinkSpec>) -> Result<(Self, Vec<LinkStatus>), Error> {
        let mut entries = Vec::new();
        let mut statuses = Vec::new();
        for (number, spec) in (1..).zip(LinkSpec::merge(specs)) {
            let (link, problem) = Link::open_or_wait(&spec);
            entries.extend(link.map(|link| Entry::new(LinkId(number), link)));
            statuses.push(LinkStatus { spec: spec.to_string(), error: problem.map(Error::from) });
        }
        if statuses.iter().all(|status| status.error.is_some()) {
            let error = statuses.into_iter().find_map(|status| status.error);
            return Err(error.unwrap_or_else(|| Error::new(ErrorKind::Link, "no link was given")));
        }
        Ok((Self { entries, first: 0, troubles: VecDeque::new() }, statuses))
    }

    /// What became of the frames of each link.
    pub(super) fn counters(&self) -> impl Iterator<Item = (LinkId, LinkCounters)> {
        self.entries.iter().map(|entry| {
            let mut counters = entry.link.counters();
            counters.dropped_full += entry.dropped;
            (entry.id, counters)
        })
    }

    /// The next news of any link. What is left in `inbound` is lost.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, inbound: &mut Inbound) -> Poll<Received> {
        if let Some(trouble) = self.troubles.pop_front() {
            return Poll::Ready(Received::Trouble(trouble));
        }
        let count = self.entries.len();
        self.first = (self.first + 1) % count;
        for number in 0..count {
            let entry = &mut self.entries[(self.first + number) % count];
            let link = entry.id;
            match entry.link.poll(cx, inbound) {
                Poll::Pending => {}
                Poll::Ready(LinkEvent::Frames) => return Poll::Ready(Received::Frames { link }),
                Poll::Ready(LinkEvent::Up { mtu, wired }) => {
                    entry.reports.clear();
                    let name = entry.link.to_string();
                    return Poll::Ready(Received::Up { link, name, info: LinkInfo { mtu, wired } });
                }
                Poll::Ready(LinkEvent::Down { reason }) => {
                    let trouble = reason.map(|reason| Trouble::new(&entry.link, &reason));
                    return Poll::Ready(Received::Down { link, trouble });
                }
                Poll::Ready(LinkEvent::Trouble(error)) => match entry.reports.report(&entry.link, &error) {
                    Some(trouble) => return Poll::Ready(Received::Trouble(trouble)),
                    // Asked again later and not in a loop: a link that does nothing but fail must not hold the engine.
                    None => cx.waker().wake_by_ref(),
                },
            }
        }
        Poll::Pending
    }

    /// Takes a frame that is to be sent by the next [`Links::flush`] at the latest, and leaves empty memory in its place.
    pub(super) fn push(&mut self, link: LinkId, to: Destination, frame: &mut Vec<u8>) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == link) else {
            return frame.clear();
        };
        if entry.queue.len() == BATCH {
            entry.flush(&mut self.troubles);
        }
        if entry.queue.len() < BATCH && entry.blocked != Blocked::Stuck {
            entry.queue.push(to, frame);
        } else {
            entry.dropped += 1;
            frame.clear();
        }
    }

    /// Sends what was pushed. What does not fit into the system's buffer waits: see [`Links::are_blocked`].
    pub(super) fn flush(&mut self) {
        for entry in &mut self.entries {
            entry.flush(&mut self.troubles);
        }
    }

    /// Whether no more frames should be made until [`Links::poll_writable`] has told that there is room.
    pub(super) fn are_blocked(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.blocked, Blocked::Until(_)))
    }

    /// Ready when a link is blocked no more.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut result = Poll::Pending;
        for entry in self.entries.iter_mut().filter(|entry| entry.blocked != Blocked::No) {
            if entry.link.poll_writable(cx).is_pending() {
                continue;
            }
            entry.blocked = Blocked::No;
            entry.flush(&mut self.troubles);
            match entry.blocked {
                Blocked::No => result = Poll::Ready(()),
                // What it waits for now was not asked for yet.
                _ => cx.waker().wake_by_ref(),
            }
        }
        result
    }

    /// When [`Links::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Tick> {
        let due = |entry: &Entry| if let Blocked::Until(due) = entry.blocked { Some(due) } else { None };
        self.entries.iter().filter_map(due).min()
    }

    /// Gives links up that have been blocked for too long.
    pub(super) fn handle_timeout(&mut self) {
        let now = Tick::now();
        for entry in &mut self.entries {
            if matches!(entry.blocked, Blocked::Until(due) if due <= now) {
                tracing::debug!(link = %entry.link, "sends nothing");
                entry.blocked = Blocked::Stuck;
                entry.dropped += entry.queue.len() as u64;
                entry.queue.remove(BATCH);
            }
        }
    }
}

impl Entry {
    fn new(id: LinkId, link: Link) -> Self {
        let (reports, queue) = (Reports::default(), Queue::default());
        Self { id, link, reports, queue, blocked: Blocked::No, dropped: 0 }
    }

    /// Sends what waits, but for the rest that there is no room for.
    fn flush(&mut self, troubles: &mut VecDeque<Trouble>) {
        if self.queue.is_empty() || self.blocked != Blocked::No {
            return;
        }
        let sent = self.link.send_batch(self.queue.frames());
        self.queue.remove(sent.done);
        if !self.queue.is_empty() {
            self.blocked = Blocked::Until(Tick::now() + PATIENCE);
        }
        if let Some(error) = sent.error {
            tracing::debug!(link = %self.link, %error, "a frame was not sent");
            troubles.extend(self.reports.report(&self.link, &error));
        }
    }
}
