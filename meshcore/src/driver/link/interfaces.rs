//! The network interfaces of this machine.

use std::net::Ipv4Addr;

use pnet::datalink;
use pnet::ipnetwork::IpNetwork;

/// An interface that can carry group frames over UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) v4: Option<Ipv4Addr>,
    pub(super) has_v6: bool,
}

/// Interfaces that are up and know multicast; the loopback does although it does not say so.
pub(super) fn for_multicast() -> Vec<Interface> {
    let interfaces = datalink::interfaces().into_iter();
    let usable = interfaces.filter(|i| i.is_up() && i.index != 0 && (i.is_multicast() || i.is_loopback()));
    usable
        .map(|interface| Interface {
            index: interface.index,
            v4: interface.ips.iter().find_map(|ip| match ip {
                IpNetwork::V4(v4) if v4.ip() != Ipv4Addr::UNSPECIFIED => Some(v4.ip()),
                _ => None,
            }),
            has_v6: interface.ips.iter().any(IpNetwork::is_ipv6),
        })
        .collect()
}

/// Names of all interfaces.
pub(super) fn names() -> Vec<String> {
    datalink::interfaces().into_iter().map(|interface| interface.name).collect()
}
