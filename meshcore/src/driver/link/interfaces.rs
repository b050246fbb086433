//! The network interfaces of this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use pnet::datalink::{self, NetworkInterface};
use pnet::ipnetwork::IpNetwork;
use socket2::Socket;

use super::linux;

/// An interface that can carry group frames over UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) v4: Option<Ipv4Addr>,
    pub(super) has_v6: bool,
    pub(super) is_loopback: bool,
    pub(super) is_wireless: bool,
    /// Largest IP packet; 0: unknown.
    pub(super) mtu: usize,
    networks: Vec<IpNetwork>,
}

impl Interface {
    /// Whether a station of this address is on the interface's own network, not behind a router.
    pub(super) fn is_near(&self, station: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(station))
    }

    /// Whether frames to a station seem to leave by this interface, and to go through no router.
    pub(super) fn leads_to(&self, station: SocketAddr) -> bool {
        match station {
            SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => v6.scope_id() == self.index,
            _ => self.is_near(station.ip()),
        }
    }
}

/// Interfaces that carry frames and know multicast; the loopback does although it does not say so. `socket` is any socket.
pub(super) fn for_multicast(socket: &Socket) -> Vec<Interface> {
    let interfaces = datalink::interfaces().into_iter();
    let works = |i: &NetworkInterface| i.is_up() && i.is_running() && i.index != 0;
    let usable = interfaces.filter(|i| works(i) && (i.is_multicast() || i.is_loopback()));
    usable
        .map(|interface| Interface {
            index: interface.index,
            v4: interface.ips.iter().find_map(|ip| match ip {
                IpNetwork::V4(v4) if v4.ip() != Ipv4Addr::UNSPECIFIED => Some(v4.ip()),
                _ => None,
            }),
            has_v6: interface.ips.iter().any(IpNetwork::is_ipv6),
            is_loopback: interface.is_loopback(),
            is_wireless: is_wireless(&interface.name),
            mtu: linux::hardware(socket, &interface.name).map_or(0, |hardware| hardware.mtu),
            networks: interface.ips,
        })
        .collect()
}

/// Names of all interfaces.
pub(super) fn names() -> Vec<String> {
    datalink::interfaces().into_iter().map(|interface| interface.name).collect()
}

/// Whether the interface is a wireless one, where a station may hear the access point and not its neighbour. (Where
/// /sys is missing, none is.)
pub(super) fn is_wireless(name: &str) -> bool {
    let folder = Path::new("/sys/class/net").join(name);
    folder.join("wireless").exists() || folder.join("phy80211").exists()
}
