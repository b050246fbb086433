//! All links of a node.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use super::error::Error;
use super::handle::LinkStatus;
use super::link::{Link, LinkSpec};
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
