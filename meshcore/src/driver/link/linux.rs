//! What only Linux has, and everything `unsafe` that links need: packet sockets (packet(7), netdevice(7)) and news of
//! interfaces (rtnetlink(7)).

use std::io;
use std::mem::size_of;
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType};
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

nix::ioctl_read_bad!(get_index, libc::SIOCGIFINDEX, libc::ifreq);
nix::ioctl_read_bad!(get_flags, libc::SIOCGIFFLAGS, libc::ifreq);
nix::ioctl_read_bad!(get_mtu, libc::SIOCGIFMTU, libc::ifreq);
nix::ioctl_read_bad!(get_hardware, libc::SIOCGIFHWADDR, libc::ifreq);

/// Wanted room for what was received, in bytes: the kernel doubles it, and counts a frame of 1500 bytes as 2304. It holds a
/// window of 5 MB.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Wanted room for what is to be sent: some 900 frames of 1500 bytes. Less than the usual queue of an interface, which is 1000
/// frames long: a full buffer is something to wait for, and what does not fit into the queue is lost.
const SEND_BUFFER: usize = 1 << 20;

/// What the kernel knows of an interface.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hardware {
    pub(super) index: i32,
    pub(super) up: bool,
    /// Up, and with a carrier: frames go through.
    pub(super) running: bool,
    pub(super) mtu: usize,
    /// Its frames have Ethernet headers.
    pub(super) is_ethernet: bool,
    pub(super) mac: [u8; 6],
}

/// A packet socket that receives nothing before it is bound.
pub(super) fn packet_socket() -> io::Result<Socket> {
    Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), Some(Protocol::from(0)))
}

/// Lets tokio tell when the socket is readable.
pub(super) fn watch(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // Not when it is writable, which it becomes anew after each frame: see [`super::writable`].
    // SAFETY: a Socket owns its descriptor, keeps it open until it is dropped, and always names the same one.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

/// Lets tokio tell when the socket is writable.
pub(super) fn watch_writable(socket: &Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: as in [`watch`]. The copy has a descriptor of its own, for one can be registered only once.
    Ok(unsafe { AsyncFd::register_with_interest(socket.try_clone()?, Interest::WRITABLE) }?)
}

/// Gives the socket its buffers, as large as the system allows.
pub(super) fn set_buffers(socket: &Socket) -> io::Result<()> {
    let wanted = RECEIVE_BUFFER as libc::c_int;
    let (level, force) = (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE);
    // With CAP_NET_ADMIN beyond the limit of net.core.rmem_max.
    if set_option(socket, level, force, &wanted).is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    socket.set_send_buffer_size(SEND_BUFFER)
}

/// A socket that becomes readable when an interface or an address changes.
pub(super) fn route_socket() -> io::Result<Socket> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = nix::sys::socket::socket(
        AddressFamily::Netlink,
        SockType::Raw,
        flags,
        Some(SockProtocol::NetlinkRoute),
    )?;
    let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
    nix::sys::socket::bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups as u32))?;
    Ok(socket.into())
}

/// Makes the kernel drop Ethernet frames with another first byte behind their header.
pub(super) fn take_first_byte(socket: &Socket, byte: u8) -> io::Result<()> {
    const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    socket.attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, 14),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, byte.into()),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ])
}

/// Looks the interface `name` up; `socket` is any socket.
pub(super) fn hardware(socket: &Socket, name: &str) -> io::Result<Hardware> {
    // SAFETY: ifreq is a plain C structure; all bytes zero is a valid value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    let fd = socket.as_raw_fd();
    // SAFETY: the descriptor is open while `socket` is borrowed, and `request` is an ifreq with a terminated name. Each
    // request fills the member of the union that is read after it.
    unsafe {
        get_index(fd, &mut request)?;
        let index = request.ifr_ifru.ifru_ifindex;
        get_flags(fd, &mut request)?;
        let flags = i32::from(request.ifr_ifru.ifru_flags);
        let up = flags & libc::IFF_UP != 0;
        let running = up && flags & libc::IFF_RUNNING != 0;
        get_mtu(fd, &mut request)?;
        let mtu = usize::try_from(request.ifr_ifru.ifru_mtu).unwrap_or(0);
        get_hardware(fd, &mut request)?;
        let hardware = request.ifr_ifru.ifru_hwaddr;
        let is_ethernet = carries_ethernet(hardware.sa_family);
        let [a, b, c, d, e, f, ..] = hardware.sa_data.map(|byte| byte as u8);
        Ok(Hardware { index, up, running, mtu, is_ethernet, mac: [a, b, c, d, e, f] })
    }
}

/// Whether the frames of hardware of this type start with an Ethernet header.
fn carries_ethernet(hardware_type: u16) -> bool {
    matches!(hardware_type, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK)
}

/// Binds a packet socket to an interface and an EtherType.
pub(super) fn bind(socket: &Socket, interface: i32, ethertype: u16) -> io::Result<()> {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is one of the platform's sockaddr types, as view_as asks for.
    let link: &mut libc::sockaddr_ll = unsafe { storage.view_as() };
    link.sll_family = libc::AF_PACKET as libc::sa_family_t;
    link.sll_protocol = ethertype.to_be();
    link.sll_ifindex = interface;
    let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the storage holds an AF_PACKET address of this length.
    socket.bind(&unsafe { SockAddr::new(storage, len) })
}

fn set_packet_option<T>(socket: &Socket, option: libc::c_int, value: &T) -> io::Result<()> {
    set_option(socket, libc::SOL_PACKET, option, value)
}

/// Sets an option whose value is a plain C type.
pub(super) fn set_option<T>(
    socket: &Socket,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    let value = std::ptr::from_ref(value).cast();
    // SAFETY: `value` points to `len` readable bytes, and the kernel copies them.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, len) };
    nix::errno::Errno::result(result)?;
    Ok(())
}

/// Makes the interface receive frames to a multicast address.
pub(super) fn join(socket: &Socket, interface: i32, group: [u8; 6]) -> io::Result<()> {
    let mut address = [0; 8];
    address[..6].copy_from_slice(&group);
    let request = libc::packet_mreq {
        mr_ifindex: interface,
        mr_type: libc::PACKET_MR_MULTICAST as libc::c_ushort,
        mr_alen: 6,
        mr_address: address,
    };
    set_packet_option(socket, libc::PACKET_ADD_MEMBERSHIP, &request)
}

/// Spares us the copies of frames that this machine sends (Linux 4.20; older kernels deliver them, marked as such).
pub(super) fn ignore_outgoing(socket: &Socket) {
    let on: libc::c_int = 1;
    if let Err(error) = set_packet_option(socket, libc::PACKET_IGNORE_OUTGOING, &on) {
        tracing::debug!(%error, "outgoing frames are filtered by type");
    }
}

/// Length of a virtio_net_hdr (Linux, include/uapi/linux/virtio_net.h), without what only later devices have.
pub(super) const FRAME_INFO_LEN: usize = 10;

/// The kernel puts frames that are longer than about a page together from pieces.
pub(super) const PIECE: usize = 3500;

/// PACKET_VNET_HDR (Linux, include/uapi/linux/if_packet.h): a virtio_net_hdr stands in front of every frame.
const PACKET_VNET_HDR: libc::c_int = 15;

/// Has the kernel keep each frame in one piece of memory, as far as [`put_frame_info`] in front of it says. Otherwise an interface
/// that takes no pieces (without scatter-gather) costs another copy. Whether it will.
pub(super) fn keep_in_one_piece(socket: &Socket) -> bool {
    let on: libc::c_int = 1;
    set_packet_option(socket, PACKET_VNET_HDR, &on)
        .inspect_err(|error| tracing::debug!(%error, "large frames are sent in pieces"))
        .is_ok()
}

/// Writes a virtio_net_hdr that asks for nothing but the first `len` bytes in one piece: its third byte on is that number.
pub(super) fn put_frame_info(info: &mut [u8], len: usize) {
    let len = u16::try_from(len).unwrap_or(0);
    if let Some(place) = info.get_mut(2..4) {
        place.copy_from_slice(&len.to_ne_bytes());
    }
}

/// Whether a frame of this sender was sent to this machine: neither its own, nor for another station, which is
/// also how the kernel marks frames of a VLAN that no interface here belongs to.
pub(super) fn is_for_us(from: &SockAddr) -> bool {
    // SAFETY: an AF_PACKET address is a sockaddr_ll, and the storage behind a SockAddr is longer than that.
    let packet_type = || unsafe { (*from.as_ptr().cast::<libc::sockaddr_ll>()).sll_pkttype };
    let is_link = i32::from(from.family()) == libc::AF_PACKET;
    is_link && matches!(packet_type(), libc::PACKET_HOST | libc::PACKET_BROADCAST | libc::PACKET_MULTICAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ethernet_carries_ethernet() {
        assert!(carries_ethernet(libc::ARPHRD_ETHER) && carries_ethernet(libc::ARPHRD_LOOPBACK));
        // A tun device, a serial line, a tunnel, a monitoring Wi-Fi card.
        for other in
            [libc::ARPHRD_NONE, libc::ARPHRD_PPP, libc::ARPHRD_TUNNEL, libc::ARPHRD_IEEE80211_RADIOTAP]
        {
            assert!(!carries_ethernet(other), "{other}");
        }
    }
}
