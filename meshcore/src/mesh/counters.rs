//! What was dropped, by cause.

use crate::wire::Malformed;

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a frame was dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
        #[non_exhaustive]
        pub enum DropReason {
            $($(#[$doc])* #[error($text)] $name,)*
        }

        impl DropReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }

        const REASONS: usize = DropReason::ALL.len();
    };
}

drop_reasons! {
    /// Private mesh: it is not sealed.
    NotSealed = "not sealed",
    /// Private mesh: it carries no valid tag under the network key.
    BadTag = "no valid tag under the network key",
    /// Private mesh: it was received before, or is too old to tell.
    Replayed = "replayed",
    /// Private mesh: its sender is to prove first that its session is alive.
    UnprovenSession = "session is not proven",
    /// Private mesh: its sender is alive, and is to prove first that it lives at this station.
    UnprovenStation = "station is not proven",
    /// Private mesh: an answer to no challenge of this node.
    UnexpectedAnswer = "answers no challenge",
    /// Private mesh: this node has sealed it.
    Reflected = "sealed by this node",
    /// Private mesh: a frame of our own that is too long to be sealed.
    Unsealable = "too long to be sealed",
    /// It is no frame, or its payload is not what its type says.
    Malformed = "malformed",
    /// It came over a link that was not added.
    UnknownLink = "unknown link",
    /// Its source is this node: an echo, or somebody with the same key.
    OwnAddress = "the source is this node",
    /// It is for another node and not to be relayed.
    NotForUs = "for another node",
    /// Its type is not known.
    UnknownType = "unknown type",
    /// It must not be relayed, and its hop limit is not 1.
    HopLimit = "hop limit is not 1",
    /// It would have to cross more links than it may.
    HopLimitExceeded = "hop limit exceeded",
    /// There is no route to its destination.
    NoRoute = "no route to the destination",
    /// It does not fit the next link.
    TooBig = "too big for the next link",
    /// A broadcast that came before.
    DuplicateBroadcast = "duplicate broadcast",
    /// A hello that was heard before.
    DuplicateHello = "duplicate hello",
    /// A hello whose source lives at another station of the link.
    AddressHeld = "the address is held by another station",
    /// The table of neighbours is full of verified ones, or that of routes of live ones.
    TableFull = "table is full",
    /// It comes from no neighbour of this link.
    UnknownNeighbour = "not from a neighbour",
    /// An identity record, or an answer, that was not asked for.
    Unsolicited = "unsolicited answer",
    /// An update from before the neighbour's restart.
    StaleUpdate = "stale update",
    /// A route whose announcement is not signed by its destination.
    BadSignature = "bad signature of a route",
    /// A route that rests on an older identity record than is known.
    Outdated = "outdated announcement of a route",
    /// A route that would have to wait for its destination's identity, like too many others.
    TooManyPending = "too many routes to unknown nodes",
    /// Its answer would exceed what one neighbour, or the link, may cause.
    RateLimited = "rate limited",
    /// It asks for the identity record, and there is none yet.
    NoRecord = "no identity record to serve",
    /// A frame of our own that found the send queue full.
    QueueFull = "send queue is full",
}

impl From<Malformed> for DropReason {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Frames dropped since the start.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    dropped: [u64; REASONS],
}

impl Counters {
    /// Frames dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Every reason with its count.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.iter().map(|reason| (*reason, self.dropped(*reason)))
    }

    pub(super) fn count(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }
}
