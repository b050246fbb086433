//! Pings: echo requests with a time limit.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::stack::Stack;
use crate::types::{Address, Instant, NodeId, Now};

/// Why no echo was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EchoError {
    /// The destination is this node.
    #[error("that is this node itself: choose another one")]
    Myself,
    /// There is no way to the node now.
    #[error("the node {0} is out of reach; list the nodes in reach with: meshchat nodes")]
    OutOfReach(NodeId),
    /// More echoes than can be remembered are under way.
    #[error("too many echoes are waiting for their answers; wait for them first")]
    Busy,
}

/// An answer to an echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoAnswer {
    /// Who answers; `None` when its identity is not known here.
    pub from: Option<NodeId>,
    /// It is the destination; otherwise the relay at which the hop limit ran out.
    pub arrived: bool,
    /// Time from request to answer.
    pub rtt: Duration,
}

/// Echoes that are under way, and their results.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    waiting: BTreeMap<u64, Instant>,
    results: VecDeque<(u64, Option<EchoAnswer>)>,
}

impl Echoes {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.values().min().copied()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let late = self.waiting.extract_if(.., |_, deadline| *deadline <= now);
        self.results.extend(late.map(|(id, _)| (id, None)));
    }
}

impl Stack {
    /// Sends an echo request that crosses at most `hop_limit` links; [`Stack::poll_echo`] gives the result within
    /// `timeout` (at most 10 s). Anybody on the way could answer: an echo proves nothing.
    pub fn echo(&mut self, now: Now, to: NodeId, hop_limit: u8, timeout: Duration) -> Result<u64, EchoError> {
        if to == self.own {
            return Err(EchoError::Myself);
        }
        if !self.mesh.is_reachable(to.address()) {
            return Err(EchoError::OutOfReach(to));
        }
        let id = self.mesh.echo(now.monotonic, to.address(), hop_limit).ok_or(EchoError::Busy)?;
        let timeout = timeout.min(Duration::from_secs(10));
        self.echoes.waiting.insert(id, now.monotonic + timeout);
        Ok(id)
    }

    /// The next result of an echo: the answer, or `None` when none came in time.
    pub fn poll_echo(&mut self) -> Option<(u64, Option<EchoAnswer>)> {
        self.settle_packets();
        self.echoes.results.pop_front()
    }

    pub(super) fn on_echo(&mut self, id: u64, from: Address, arrived: bool, rtt: Duration) {
        if self.echoes.waiting.remove(&id).is_some() {
            let from = self.directory.by_address(&from).map(|entry| entry.id);
            self.echoes.results.push_back((id, Some(EchoAnswer { from, arrived, rtt })));
        }
    }
}
