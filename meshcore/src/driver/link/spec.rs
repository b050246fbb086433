//! Names of links, as people write them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A link to open: `udp`, `udp:HOST:PORT`, `ethernet:IFACE`, `ethernet:IFACE?io=pnet`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LinkSpec {
    /// UDP on every interface, and to peers beyond the reach of multicast.
    Udp {
        /// Peers that get every group frame by unicast.
        peers: Vec<Peer>,
    },
    /// Ethernet frames on one interface.
    Ethernet {
        /// Name of the interface.
        interface: String,
        /// How frames are moved.
        io: Io,
    },
}

/// How frames are moved through an Ethernet interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Io {
    /// Many a system call, through a packet socket of our own.
    #[default]
    Batches,
    /// One by one, through pnet: the portable way. It is slower, keeps the interface in promiscuous mode, and does not
    /// tell frames of a VLAN from others.
    Pnet,
}

/// A host name or IP address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Host name or address; an IPv6 address stands without brackets.
    pub host: String,
    /// UDP port.
    pub port: u16,
}

/// Why a text names no link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is not a link: {problem}; examples: udp, udp:192.0.2.7:34997, udp:[2001:db8::7]:34997, ethernet:eth0"
)]
pub struct ParseLinkError {
    text: String,
    problem: &'static str,
}

impl LinkSpec {
    /// Puts all UDP links together, as one link serves all peers, and drops repeated interfaces.
    pub fn merge(specs: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut udp: Option<Vec<Peer>> = None;
        let mut merged = Vec::new();
        let mut seen = BTreeSet::new();
        for spec in specs {
            match spec {
                Self::Udp { peers } => {
                    let all = udp.get_or_insert_default();
                    for peer in peers {
                        if !all.contains(&peer) {
                            all.push(peer);
                        }
                    }
                }
                // Two on one interface would be one node that hears everything twice.
                Self::Ethernet { interface, io } => {
                    if seen.insert(interface.clone()) {
                        merged.push(Self::Ethernet { interface, io });
                    }
                }
            }
        }
        if let Some(peers) = udp {
            merged.insert(0, Self::Udp { peers });
        }
        merged
    }
}

fn parse_peer(text: &str) -> Result<Peer, &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("a peer is HOST:PORT")?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or("the port is a number from 1 to 65535")?;
    let host = match host.strip_prefix('[') {
        Some(rest) => {
            let host = rest.strip_suffix(']').ok_or("a bracket is not closed")?;
            let address = host.split_once('%').map_or(host, |(address, _)| address);
            address.parse::<Ipv6Addr>().map_err(|_| "there is no IPv6 address between the brackets")?;
            host
        }
        None if host.contains(':') => return Err("an IPv6 address stands in brackets"),
        None => host,
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control() || ",[]/".contains(c)) {
        return Err("the host is missing or holds a forbidden character");
    }
    Ok(Peer { host: host.to_owned(), port })
}

/// Why a text cannot be the name of an interface.
pub(in crate::driver) fn check_interface(name: &str) -> Result<(), &'static str> {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    match name {
        "" => Err("the interface is missing"),
        // IFNAMSIZ with its terminating zero.
        name if name.len() > 15 => Err("an interface's name has at most 15 bytes"),
        name if name.contains(forbidden) => Err("an interface's name has no white space and no '/'"),
        _ => Ok(()),
    }
}

fn parse(text: &str) -> Result<LinkSpec, &'static str> {
    match text.split_once(':') {
        None if text == "udp" => Ok(LinkSpec::Udp { peers: Vec::new() }),
        None if text == "ethernet" => Err("the interface is missing"),
        Some(("udp", peers)) => {
            let peers = peers.split(',').map(parse_peer).collect::<Result<_, _>>()?;
            Ok(LinkSpec::Udp { peers })
        }
        Some(("ethernet", rest)) => {
            let (interface, io) = match rest.split_once("?io=") {
                None => (rest, Io::Batches),
                Some((interface, "pnet")) => (interface, Io::Pnet),
                Some(_) => return Err("the only way beside the usual one is ?io=pnet"),
            };
            check_interface(interface)?;
            Ok(LinkSpec::Ethernet { interface: interface.to_owned(), io })
        }
        _ => Err("it is neither udp nor ethernet"),
    }
}

impl FromStr for LinkSpec {
    type Err = ParseLinkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|problem| ParseLinkError { text: text.to_owned(), problem })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for LinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp { peers } => {
                f.write_str("udp")?;
                for (index, peer) in peers.iter().enumerate() {
                    write!(f, "{}{peer}", if index == 0 { ':' } else { ',' })?;
                }
                Ok(())
            }
            Self::Ethernet { interface, io: Io::Batches } => write!(f, "ethernet:{interface}"),
            Self::Ethernet { interface, io: Io::Pnet } => write!(f, "ethernet:{interface}?io=pnet"),
        }
    }
}
