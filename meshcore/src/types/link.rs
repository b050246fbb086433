//! Names of links and of stations on them.

use std::fmt;

/// A link of this node: one network interface in one mode. Numbers are given by the driver and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// Address of a station on a link, opaque above the driver (a MAC address, or an IP address with port and scope).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkAddr {
    len: u8,
    bytes: [u8; LinkAddr::MAX_LEN],
}

impl LinkAddr {
    /// Longest address of a link in bytes.
    pub const MAX_LEN: usize = 23;

    /// Wraps the bytes of an address; `None` when there are more than [`LinkAddr::MAX_LEN`].
    pub fn new(address: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX_LEN];
        bytes.get_mut(..address.len())?.copy_from_slice(address);
        Some(Self { len: address.len() as u8, bytes })
    }

    /// The bytes given to [`LinkAddr::new`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for LinkAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkAddr({})", hex::encode(self.as_bytes()))
    }
}

/// Lengths of frames, in bytes, that are larger than those that every station of a link takes, the longest first; 0: none.
pub type LargerFrames = [usize; 4];

/// Where on a link a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Destination {
    /// Every node on the link.
    Group,
    /// One station.
    Station(LinkAddr),
}
