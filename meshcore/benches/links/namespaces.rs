//! Two network namespaces with a cable between them. They have no names, and end with this process.

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

pub(crate) struct World([File; 2]);

impl World {
    /// Makes both namespaces; this thread is in one of them from now on.
    pub(crate) fn new() -> Self {
        let world = Self([Side::Left, Side::Right].map(|_| {
            // SAFETY: a system call that takes a number.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "network namespaces need root");
            File::open("/proc/thread-self/ns/net").unwrap()
        }));
        world.enter(Side::Left);
        ip("link add left0 type veth peer name right0");
        ip(&format!("link set right0 netns /proc/{}/fd/{}", std::process::id(), world.0[1].as_raw_fd()));
        for side in [Side::Left, Side::Right] {
            world.enter(side);
            let (name, number) = (side.interface(), side.number());
            ip("link set lo up");
            ip(&format!("link set {name} address 02:00:00:00:00:0{number}"));
            ip(&format!("addr add 192.0.2.{number}/24 dev {name}"));
            offloads_off(name);
            ip(&format!("link set {name} up"));
        }
        world
    }

    /// Puts this thread into a namespace.
    pub(crate) fn enter(&self, side: Side) {
        // SAFETY: the descriptor is open, and names a namespace.
        let result = unsafe { libc::setns(self.0[side as usize].as_raw_fd(), libc::CLONE_NEWNET) };
        assert_eq!(result, 0);
    }

    pub(crate) fn set_mtu(&self, mtu: usize) {
        for side in [Side::Left, Side::Right] {
            self.enter(side);
            ip(&format!("link set {} mtu {mtu}", side.interface()));
        }
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("ip(8) is needed");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// As `ethtool -K NAME tso off gso off gro off sg off tx off rx off` does (linux/ethtool.h).
fn offloads_off(name: &str) {
    const SET: [u32; 6] = [0x1f, 0x24, 0x2c, 0x19, 0x17, 0x15];
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    for command in SET {
        let mut value = [command, 0];
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
