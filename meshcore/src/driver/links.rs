//! All links of a node.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use super::handle::LinkStatus;
use super::link::{Link, LinkSpec};
use super::{Error, ErrorKind};
use crate::types::{Destination, LinkAddr, LinkId};

/// What the links have brought.
pub(super) enum Received {
    /// A frame of `len` bytes is in the buffer.
    Frame { link: LinkId, from: LinkAddr, len: usize },
    /// A link stopped working and tries to come back.
    Down { link: LinkId, name: String, reason: String },
    /// A link works again.
    Up { link: LinkId, mtu: usize },
}

#[derive(Debug)]
struct Open {
    id: LinkId,
    link: Link,
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
                    open.push(Open { id: LinkId(number), link });
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

    /// The links and the largest frame of each.
    pub(super) fn opened(&self) -> Vec<(LinkId, usize)> {
        self.open.iter().map(|open| (open.id, open.link.mtu())).collect()
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
}
