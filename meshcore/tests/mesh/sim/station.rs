//! A node of the world: its router while it runs, its disk, its wall clock.

use std::collections::BTreeMap;
use std::time::Duration;

use meshcore::types::{Address, Instant, LinkId};

use super::router::Notice;
use super::signatures::mix;

/// What wall clocks show at the start of the world, in milliseconds since 1970.
const EPOCH: i64 = 1_800_000_000_000;

/// Address of a node. Addresses are spread like hashes; the last bytes tell the node.
pub(crate) fn address(node: usize) -> Address {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mix(1, &(node as u64).to_be_bytes()).to_be_bytes());
    bytes[8..].copy_from_slice(&(node as u64).to_be_bytes());
    Address(bytes)
}

/// The node with this address; `None`: somebody made it up.
pub(crate) fn node_at(node: Address) -> Option<usize> {
    let index = u64::from_be_bytes(node.as_bytes()[8..].try_into().ok()?) as usize;
    (index < 1 << 32 && address(index) == node).then_some(index)
}

/// What survives a crash.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Numbers of the identities that were verified; what else they say follows from them.
    pub known: BTreeMap<Address, u64>,
    /// Number of its own identity; `None`: it has never run.
    pub number: Option<u64>,
}

/// How often a node told something, over all of its lives.
#[derive(Debug, Default, Clone)]
pub(crate) struct Notices {
    pub conflicts: usize,
    /// Who answered an echo, or ended its way.
    pub echoes: Vec<(Address, bool)>,
}

impl Notices {
    pub(crate) fn note(&mut self, notice: Notice) {
        match notice {
            Notice::Conflict => self.conflicts += 1,
            Notice::Echo { from, arrived } => self.echoes.push((from, arrived)),
            Notice::Route(_) | Notice::Other => {}
        }
    }
}

#[derive(Debug)]
pub(crate) struct Station<R> {
    /// Whose address it uses; usually its own.
    pub address: Address,
    pub router: Option<R>,
    pub disk: Disk,
    /// What its wall clock is ahead of the truth, in seconds.
    pub clock: i64,
    /// What its monotonic clock is ahead of the world's.
    pub ahead: Duration,
    /// Counts starts and crashes.
    pub life: u32,
    /// It takes frames for this destination and throws them away.
    pub swallows: Option<Address>,
    /// Frames that came while no router ran, kept for attackers: by which link, from which port.
    pub tap: Option<Vec<(LinkId, usize, Vec<u8>)>>,
    pub notices: Notices,
    /// Earliest time for which a wake-up is planned.
    pub wake: Option<Instant>,
}

impl<R> Station<R> {
    pub(crate) fn new(node: usize) -> Self {
        Self {
            address: address(node),
            router: None,
            disk: Disk::default(),
            clock: 0,
            ahead: Duration::ZERO,
            life: 0,
            swallows: None,
            tap: None,
            notices: Notices::default(),
            wake: None,
        }
    }

    /// The number of the next life's identity. Without a disk there is only the wall clock to number it by.
    pub(crate) fn next_number(&mut self, now: Instant, with_disk: bool) -> u64 {
        if !with_disk {
            self.disk = Disk::default();
        }
        let clock = EPOCH + 1000 * self.clock + now.as_micros() as i64 / 1000;
        let number = self.disk.number.map_or(clock as u64, |last| last + 1);
        self.disk.number = Some(number);
        number
    }
}
