//! Real links: UDP sockets and Ethernet interfaces.
//!
//! A link carries whole frames, unchanged, and may lose them. It knows nothing of what is in them.

mod carrier;
mod counters;
mod ethernet;
mod family;
mod frames;
mod inbound;
mod inside;
mod interfaces;
mod linux;
mod mmsg;
mod monitor;
mod packet;
mod portable;
mod queue;
mod resolve;
mod spec;
mod udp;
mod v1;
mod writable;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use crate::types::{Destination, LargerFrames};
use ethernet::EthernetLink;
use udp::UdpLink;

pub use counters::{LinkCounters, Sent};
pub use inbound::Inbound;
pub use mmsg::BATCH;
pub use queue::Queue;
pub(super) use spec::check_interface;
pub use spec::{Io, LinkSpec, ParseLinkError, Peer};
pub use v1::V1Link;

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
    /// The interface is up, and nothing is connected to it.
    #[error("the interface \"{name}\" has no carrier: its cable is unplugged, or its other end is down")]
    NoCarrier {
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

/// What a link brings.
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkEvent {
    /// Frames are in [`Inbound`].
    Frames,
    /// The link works from now on. When it worked already: it reaches more than before, or its properties have changed,
    /// and whoever wants to be found should say so again.
    Up {
        /// Largest whole frame in bytes that every station takes, as far as this machine can tell.
        mtu: usize,
        /// Larger ones that go to some stations; whether they take them is to be tried.
        larger: LargerFrames,
        /// Whether all stations on the link hear one another.
        wired: bool,
    },
    /// The link does not work until it is told to be up again.
    Down {
        /// Why; `None` when it is up again at once, with frames of another size or made anew.
        reason: Option<LinkError>,
    },
    /// Something could not be received; the link goes on.
    Trouble(io::Error),
}

/// A link to other machines or processes. It is opened when it can be, and follows its interface from then on.
#[derive(Debug)]
pub struct Link {
    spec: LinkSpec,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Udp(Box<UdpLink>),
    Ethernet(Box<EthernetLink>),
}

impl Link {
    /// Opens a link; see [`LinkSpec::merge`] for several UDP links. Must be called inside a tokio runtime.
    pub fn open(spec: &LinkSpec) -> Result<Self, LinkError> {
        match Self::open_or_wait(spec) {
            (Some(link), None) => Ok(link),
            (_, problem) => Err(problem.unwrap_or(LinkError::NoRuntime)),
        }
    }

    /// [`Link::open`] that also gives a link that cannot be opened yet, with the reason: it is up as soon as its
    /// interface is there. There is no such link of UDP, which fails for other reasons.
    pub fn open_or_wait(spec: &LinkSpec) -> (Option<Self>, Option<LinkError>) {
        if tokio::runtime::Handle::try_current().is_err() {
            return (None, Some(LinkError::NoRuntime));
        }
        let (kind, problem) = match spec {
            LinkSpec::Udp { peers } => match UdpLink::open(peers) {
                Ok(link) => (Kind::Udp(Box::new(link)), None),
                Err(error) => return (None, Some(error)),
            },
            LinkSpec::Ethernet { interface, io } => {
                let (link, problem) = EthernetLink::open_or_wait(interface, *io);
                (Kind::Ethernet(Box::new(link)), problem)
            }
        };
        (Some(Self { spec: spec.clone(), kind }), problem)
    }

    /// Largest whole frame in bytes that any station may take, at present.
    pub fn mtu(&self) -> usize {
        match &self.kind {
            Kind::Udp(link) => link.mtu(),
            Kind::Ethernet(link) => link.mtu(),
        }
    }

    /// What is new. The first event of a link that was opened is `Up` or `Down`. What is left in `inbound` is lost.
    ///
    /// Only while it is polled a link follows its interfaces. After [`LinkEvent::Trouble`], polling may go on.
    pub fn poll(&mut self, cx: &mut Context<'_>, inbound: &mut Inbound) -> Poll<LinkEvent> {
        match &mut self.kind {
            Kind::Udp(link) => link.poll(cx, inbound),
            Kind::Ethernet(link) => link.poll(cx, inbound),
        }
    }

    /// [`Link::poll`] as a future; nothing is lost when it is dropped.
    pub async fn next(&mut self, inbound: &mut Inbound) -> LinkEvent {
        poll_fn(|cx| self.poll(cx, inbound)).await
    }

    /// Sends frames in this order, or loses them and counts why, with as few system calls as possible. It never waits: when
    /// the system's buffer is full, the frames from there on are left to the caller. No error ends the link.
    pub fn send_batch<F: AsRef<[u8]>>(&mut self, frames: &[(Destination, F)]) -> Sent {
        match &mut self.kind {
            Kind::Udp(link) => link.send(frames),
            Kind::Ethernet(link) => link.send(frames),
        }
    }

    /// Ready when it makes sense to send what [`Link::send_batch`] left.
    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.kind {
            Kind::Udp(link) => link.poll_writable(cx),
            Kind::Ethernet(link) => link.poll_writable(cx),
        }
    }

    /// What became of the frames so far.
    pub fn counters(&self) -> LinkCounters {
        match &self.kind {
            Kind::Udp(link) => link.counters(),
            Kind::Ethernet(link) => link.counters(),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}
