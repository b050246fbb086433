//! Network namespaces, and cables between them; two of them with one cable are a world.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::libc;

/// The ends of the cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

impl Side {
    /// Name of the interface at this end.
    pub(crate) fn interface(self) -> &'static str {
        ["left0", "right0"][self as usize]
    }

    /// Number of its station in every address.
    pub(crate) fn number(self) -> u8 {
        1 + self as u8
    }

    pub(crate) fn other(self) -> Self {
        if self == Self::Left { Self::Right } else { Self::Left }
    }
}

/// A network namespace. It has no name, and ends with this process.
pub(crate) struct Namespace(File);

impl Namespace {
    /// Makes one; this thread is in it from now on.
    pub(crate) fn new() -> Self {
        // SAFETY: a system call that takes a number.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "network namespaces need root");
        ip("link set lo up");
        Self(File::open("/proc/thread-self/ns/net").unwrap())
    }

    /// Puts this thread into it.
    pub(crate) fn enter(&self) {
        // SAFETY: the descriptor is open, and names a namespace.
        let result = unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) };
        assert_eq!(result, 0);
    }
}

/// Joins two namespaces by a cable between interfaces of these names, with all offloads off.
pub(crate) fn cable(ends: [(&Namespace, &str); 2]) {
    let [(near, name), (far, far_name)] = ends;
    near.enter();
    let there = format!("/proc/{}/fd/{}", std::process::id(), far.0.as_raw_fd());
    ip(&format!("link add {name} type veth peer name {far_name} netns {there}"));
    for (namespace, name) in ends {
        namespace.enter();
        set_offloads(name, false);
        ip(&format!("link set {name} up"));
    }
}

pub(crate) struct World([Namespace; 2]);

impl World {
    /// Both namespaces, with the cable.
    pub(crate) fn new() -> Self {
        let world = Self::apart();
        let ends = [Side::Left, Side::Right].map(|side| (world.namespace(side), side.interface()));
        cable(ends);
        world.set_addresses();
        world
    }

    /// Both namespaces, with nothing between them.
    pub(crate) fn apart() -> Self {
        Self([Side::Left, Side::Right].map(|_| Namespace::new()))
    }

    /// Gives the interfaces, once they are there, the addresses of their stations.
    pub(crate) fn set_addresses(&self) {
        for side in [Side::Left, Side::Right] {
            self.enter(side);
            let (name, number) = (side.interface(), side.number());
            ip(&format!("link set {name} address 02:00:00:00:00:0{number}"));
            ip(&format!("addr add 192.0.2.{number}/24 dev {name}"));
        }
    }

    pub(crate) fn namespace(&self, side: Side) -> &Namespace {
        &self.0[side as usize]
    }

    /// Puts this thread into a namespace.
    pub(crate) fn enter(&self, side: Side) {
        self.namespace(side).enter();
    }

    /// Switches all offloads at both ends.
    pub(crate) fn set_offloads(&self, on: bool) {
        for side in [Side::Left, Side::Right] {
            self.enter(side);
            set_offloads(side.interface(), on);
        }
    }

    pub(crate) fn set_mtu(&self, mtu: usize) {
        for side in [Side::Left, Side::Right] {
            self.enter(side);
            ip(&format!("link set {} mtu {mtu}", side.interface()));
        }
    }
}

pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("ip(8) is needed");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// As `ethtool -K NAME rx on tx on sg on gro on gso on tso on` does, or `off` in the opposite order, for some need others
/// (linux/ethtool.h).
fn set_offloads(name: &str, on: bool) {
    const SET: [u32; 6] = [0x15, 0x17, 0x19, 0x2c, 0x24, 0x1f];
    let mut commands = SET;
    if !on {
        commands.reverse();
    }
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    for command in commands {
        let mut value = [command, u32::from(on)];
        // SAFETY: ifreq is a plain C structure; all bytes zero is a valid value of it.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
        // SAFETY: an ethtool_value is two u32, and the name ends with a zero.
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    }
}
