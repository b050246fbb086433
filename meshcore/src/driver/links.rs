//! All links of a node.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use super::handle::LinkStatus;
use super::link::{Link, LinkCounters, LinkEvent, LinkSpec};
use super::trouble::{Reports, Trouble};
use super::{Error, ErrorKind};
use crate::mesh::LinkInfo;
use crate::types::{Destination, LinkAddr, LinkId};

/// What the links have brought.
#[derive(Debug)]
pub(super) enum Received {
    /// A frame of `len` bytes is in the buffer.
    Frame { link: LinkId, from: LinkAddr, len: usize },
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
            entries.extend(link.map(|link| Entry { id: LinkId(number), link, reports: Reports::default() }));
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
        self.entries.iter().map(|entry| (entry.id, entry.link.counters()))
    }

    /// Waits for the next news of any link.
    pub(super) async fn recv(&mut self, buffer: &mut [u8]) -> Received {
        poll_fn(|cx| self.poll_recv(cx, buffer)).await
    }

    /// The next news, if there is any.
    pub(super) fn try_recv(&mut self, buffer: &mut [u8]) -> Option<Received> {
        match self.poll_recv(&mut Context::from_waker(Waker::noop()), buffer) {
            Poll::Ready(received) => Some(received),
            Poll::Pending => None,
        }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Received> {
        if let Some(trouble) = self.troubles.pop_front() {
            return Poll::Ready(Received::Trouble(trouble));
        }
        let count = self.entries.len();
        self.first = (self.first + 1) % count;
        for number in 0..count {
            let entry = &mut self.entries[(self.first + number) % count];
            let link = entry.id;
            match entry.link.poll(cx, buffer) {
                Poll::Pending => {}
                Poll::Ready(LinkEvent::Frame { len, from }) => {
                    return Poll::Ready(Received::Frame { link, from, len });
                }
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

    /// Sends a frame, or loses it: the layers above repeat what matters. An error is told by the next [`Links::recv`].
    pub(super) fn send(&mut self, link: LinkId, to: Destination, frame: &[u8]) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == link) else { return };
        if let Err(error) = entry.link.send(to, frame) {
            tracing::debug!(link = %entry.link, %error, "a frame was not sent");
            self.troubles.extend(entry.reports.report(&entry.link, &error));
        }
    }
}
