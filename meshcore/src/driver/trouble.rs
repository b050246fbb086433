//! What does not work on a link, for people to hear of: each kind of error once, until the link comes up again.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io;

/// What people should hear of.
#[derive(Debug)]
pub(super) struct Trouble {
    /// The link as it was given.
    pub(super) link: String,
    pub(super) reason: String,
}

impl Trouble {
    pub(super) fn new(link: &dyn Display, reason: &dyn Display) -> Self {
        Self { link: link.to_string(), reason: reason.to_string() }
    }
}

/// What was reported of one link since it came up.
#[derive(Debug, Default)]
pub(super) struct Reports(BTreeSet<io::ErrorKind>);

impl Reports {
    /// The link works again: the next trouble is news.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The error as a trouble, if its kind was not reported yet.
    pub(super) fn report(&mut self, link: &dyn Display, error: &io::Error) -> Option<Trouble> {
        self.0.insert(error.kind()).then(|| Trouble::new(link, error))
    }
}
