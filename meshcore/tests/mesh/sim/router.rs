//! What the simulator asks of a routing protocol. [`meshcore::mesh::Mesh`] is one; a naive one proves that the checks
//! of the simulator find loops.

use std::sync::Arc;

use meshcore::types::{Address, Destination, Instant, LinkAddr, LinkId};

use super::signatures::{Certificate, Registry, Work};
use super::station::Disk;

/// What a node is born with.
#[derive(Debug)]
pub(crate) struct Birth {
    pub identity: Certificate,
    /// Drawn at random at every start.
    pub instance: u64,
    pub seed: [u8; 32],
    pub work: Arc<Work>,
}

/// What became of a received frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    /// It was for the protocol itself, or dropped.
    Taken,
    Deliver {
        source: Address,
        payload: &'a [u8],
    },
    /// It goes on.
    Forward {
        link: LinkId,
        to: LinkAddr,
        frame: &'a [u8],
    },
}

/// Something that a node tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The next hop towards a node may be another one.
    Route(Address),
    /// Somebody else uses its address.
    Conflict,
    /// An answer to an echo, or the end of its way.
    Echo {
        from: Address,
        arrived: bool,
    },
    Other,
}

pub(crate) trait Router: Sized {
    fn start(now: Instant, birth: Birth) -> Self;
    fn add_link(&mut self, now: Instant, link: LinkId, mtu: usize, wired: bool);
    fn remove_link(&mut self, now: Instant, link: LinkId);
    fn handle_frame<'a>(
        &mut self,
        now: Instant,
        link: LinkId,
        from: LinkAddr,
        frame: &'a mut [u8],
    ) -> Received<'a>;
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll_notice(&mut self, now: Instant, known: &mut Acquaintance<'_>) -> Option<Notice>;
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<(LinkId, Destination)>;
    fn next_hop(&self, destination: Address) -> Option<(LinkId, Address)>;
    /// Puts a frame of this node into `out` and says where it goes.
    fn own_frame(
        &mut self,
        now: Instant,
        destination: Address,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<(LinkId, LinkAddr)>;
    /// A frame of somebody else that is to be passed on.
    fn stray_frame(source: Address, destination: Address) -> Vec<u8>;
    /// Whether a frame travels to this destination.
    fn is_for(frame: &[u8], destination: Address) -> bool;
    fn confirm_path(&mut self, now: Instant, node: Address);
    fn leave(&mut self, now: Instant);
    /// What is larger than it may be.
    fn excess(&self) -> Option<String>;
}

/// What a node knows of identities: those on its disk, and how to tell a genuine record.
pub(crate) struct Acquaintance<'a> {
    pub disk: &'a mut Disk,
    pub registry: &'a mut Registry,
}

impl Acquaintance<'_> {
    /// The identity of a node, if it was verified before.
    pub(crate) fn recall(&mut self, node: Address) -> Option<Certificate> {
        let number = *self.disk.known.get(&node)?;
        Some(self.registry.issue(node, number))
    }

    /// Verifies a record that claims to be of `node`, and keeps it.
    pub(crate) fn verify(&mut self, node: Address, record: &[u8]) -> Option<Certificate> {
        let read = self.registry.read(record).filter(|read| read.address == node)?;
        let number = self.disk.known.entry(node).or_default();
        *number = read.number.max(*number);
        Some(read)
    }
}
