//! Real links: UDP sockets and Ethernet interfaces.
//!
//! A link carries whole frames, unchanged, and may lose them. It knows nothing of what is in them.

mod ethernet;
mod interfaces;
mod linux;
mod resolve;
mod spec;
mod udp;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use crate::types::{Destination, LinkAddr};
use ethernet::EthernetLink;
use udp::UdpLink;

pub use spec::{LinkSpec, ParseLinkError, Peer};

/// Wanted size of each socket's buffers in bytes; the kernel may give less.
const BUFFER_SIZE: usize = 1 << 20;

/// Why a link cannot be opened, and what would help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The interface does not exist.
    #[error("there is no interface \"{name}\"; this machine has: {}", known.join(", "))]
    NoSuchInterface {
        /// The name that was asked for.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// The interface is down.
    #[error("the interface \"{name}\" is down; bring it up with: sudo ip link set {name} up")]
    Down {
        /// Name of the interface.
        name: String,
    },
    /// The interface carries something else than Ethernet.
    #[error("the interface \"{name}\" is not an Ethernet interface; use the link udp instead")]
    NotEthernet {
        /// Name of the interface.
        name: String,
    },
    /// Raw frames are a privilege.
    #[error(
        "no permission for raw frames on \"{name}\": it needs CAP_NET_RAW; run as root, or: sudo setcap cap_net_raw+ep {program}"
    )]
    Permission {
        /// Name of the interface.
        name: String,
        /// The program that needs the privilege.
        program: String,
    },
    /// [`Link::open`] was called outside a tokio runtime.
    #[error("a link is opened inside a tokio runtime with I/O and time enabled")]
    NoRuntime,
    /// The operating system refuses.
    #[error("{link} cannot be opened: {source}")]
    Io {
        /// The link.
        link: String,
        /// What the system said.
        source: io::Error,
    },
}

impl LinkError {
    fn permission(interface: &str) -> Self {
        let program = std::env::current_exe().map_or("PROGRAM".into(), |path| path.display().to_string());
        Self::Permission { name: interface.to_owned(), program }
    }
}

/// Whether a frame was dropped for lack of room: nothing that anybody could mend.
fn is_momentary(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(nix::libc::ENOBUFS)
}

/// An open link.
#[derive(Debug)]
pub struct Link {
    spec: LinkSpec,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Udp(UdpLink),
    Ethernet(EthernetLink),
}

impl Link {
    /// Opens a link; see [`LinkSpec::merge`] for several UDP links. Must be called inside a tokio runtime.
    pub fn open(spec: &LinkSpec) -> Result<Self, LinkError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(LinkError::NoRuntime);
        }
        let kind = match spec {
            LinkSpec::Udp { peers } => Kind::Udp(UdpLink::open(peers)?),
            LinkSpec::Ethernet { interface } => Kind::Ethernet(EthernetLink::open(interface)?),
        };
        Ok(Self { spec: spec.clone(), kind })
    }

    /// Largest whole frame in bytes, and so the least size of the buffer for [`Link::poll_recv`].
    pub fn mtu(&self) -> usize {
        match &self.kind {
            Kind::Udp(_) => udp::MTU,
            Kind::Ethernet(link) => link.mtu(),
        }
    }

    /// Receives a frame: its length and the station that sent it. A frame longer than `buf` is lost.
    ///
    /// When an Ethernet interface goes down, that is reported once as an error; the link tries to open it again every
    /// second while it is polled, and sends nothing meanwhile. After any error, polling may go on.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<(usize, LinkAddr)>> {
        match &mut self.kind {
            Kind::Udp(link) => link.poll_recv(cx, buf),
            Kind::Ethernet(link) => link.poll_recv(cx, buf),
        }
    }

    /// [`Link::poll_recv`] as a future; nothing is lost when it is dropped.
    pub async fn recv(&mut self, buf: &mut [u8]) -> io::Result<(usize, LinkAddr)> {
        poll_fn(|cx| self.poll_recv(cx, buf)).await
    }

    /// Sends a frame without waiting. A frame for which there is no room is dropped and counted.
    pub fn send(&mut self, to: Destination, frame: &[u8]) -> io::Result<()> {
        match &mut self.kind {
            Kind::Udp(link) => link.send(to, frame),
            Kind::Ethernet(link) => link.send(to, frame),
        }
    }

    /// Frames dropped so far: for lack of room, for a dead interface, or because they were not for this station.
    pub fn dropped(&self) -> u64 {
        match &self.kind {
            Kind::Udp(link) => link.dropped,
            Kind::Ethernet(link) => link.dropped,
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}
