//! All links of a node.

use std::future::poll_fn;
use std::io::ErrorKind as ErrorCode;
use std::task::{Context, Poll, Waker};

use super::handle::LinkStatus;
use super::link::{Link, LinkSpec};
use super::{Error, ErrorKind};
use crate::mesh::LinkInfo;
use crate::types::{Destination, LinkAddr, LinkId};

/// What the links have brought.
pub(super) enum Received {
    /// A frame of `len` bytes is in the buffer.
    Frame { link: LinkId, from: LinkAddr, len: usize },
    /// A link does not work at present; it goes on trying.
    Trouble { link: String, reason: String },
}

#[derive(Debug)]
struct Open {
    id: LinkId,
    link: Link,
    /// What was reported last: one trouble is reported once.
    trouble: Option<ErrorCode>,
}

/// The links that could be opened.
#[derive(Debug)]
pub(super) struct Links {
    open: Vec<Open>,
    /// Which one is asked first: each in turn, so that a busy link does not starve the others.
    first: usize,
}

impl Links {
    /// Opens links inside a tokio runtime. Fails only when none can be opened, with the first reason.
    pub(super) fn open(specs: Vec<LinkSpec>) -> Result<(Self, Vec<LinkStatus>), Error> {
        let mut open = Vec::new();
        let mut statuses = Vec::new();
        for (number, spec) in (1..).zip(LinkSpec::merge(specs)) {
            let name = spec.to_string();
            match Link::open(&spec) {
                Ok(link) => {
                    open.push(Open { id: LinkId(number), link, trouble: None });
                    statuses.push(LinkStatus { spec: name, error: None });
                }
                Err(error) => statuses.push(LinkStatus { spec: name, error: Some(error.into()) }),
            }
        }
        if open.is_empty() {
            let error = statuses.into_iter().find_map(|status| status.error);
            return Err(error.unwrap_or_else(|| Error::new(ErrorKind::Link, "no link was given")));
        }
        Ok((Self { open, first: 0 }, statuses))
    }

    /// The links with their names and properties.
    pub(super) fn opened(&self) -> Vec<(LinkId, String, LinkInfo)> {
        let info = |link: &Link| LinkInfo { mtu: link.mtu(), wired: true };
        self.open.iter().map(|open| (open.id, open.link.to_string(), info(&open.link))).collect()
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
        let count = self.open.len();
        self.first = (self.first + 1) % count;
        for number in 0..count {
            let open = &mut self.open[(self.first + number) % count];
            match open.link.poll_recv(cx, buffer) {
                Poll::Pending => {}
                Poll::Ready(Ok((len, from))) => {
                    open.trouble = None;
                    return Poll::Ready(Received::Frame { link: open.id, from, len });
                }
                // Asked again later and not in a loop: a link that does nothing but fail must not hold the engine.
                Poll::Ready(Err(error)) if open.trouble == Some(error.kind()) => cx.waker().wake_by_ref(),
                Poll::Ready(Err(error)) => {
                    open.trouble = Some(error.kind());
                    let (link, reason) = (open.link.to_string(), error.to_string());
                    return Poll::Ready(Received::Trouble { link, reason });
                }
            }
        }
        Poll::Pending
    }

    /// Sends a frame, or loses it: the layers above repeat what matters.
    pub(super) fn send(&mut self, link: LinkId, to: Destination, frame: &[u8]) {
        let Some(open) = self.open.iter_mut().find(|open| open.id == link) else { return };
        if let Err(error) = open.link.send(to, frame) {
            tracing::debug!(link = %open.link, %error, "a frame was not sent");
        }
    }
}
