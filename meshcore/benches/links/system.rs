//! The bare system calls: what a link cannot do better than.

use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use meshcore::driver::link::BATCH;
use nix::libc;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

use crate::namespaces::Side;

/// What the frames travel in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Ethernet,
    /// With the receiver's descriptor in an epoll(7) set, as it must be for a program that waits for several things: the
    /// kernel then has somebody to tell of each frame.
    Watched,
    Pnet,
    Udp,
}

impl Wire {
    /// The link at one end.
    pub(crate) fn spec(self, side: Side) -> String {
        match self {
            Self::Ethernet | Self::Watched => format!("ethernet:{}", side.interface()),
            Self::Pnet => format!("ethernet:{}?io=pnet", side.interface()),
            Self::Udp => "udp".into(),
        }
    }

    /// Where the link at one end is found.
    pub(crate) fn address(self, side: Side) -> [u8; 6] {
        match self {
            // The group's port.
            Self::Udp => [192, 0, 2, side.number(), 0x88, 0xb5],
            _ => [2, 0, 0, 0, 0, side.number()],
        }
    }
}

/// EtherType of the bare frames: local experimental EtherType 2, so that no link sees them.
const ETHERTYPE: u16 = 0x88b6;

/// Room for a frame of any length that is measured.
const SLOT: usize = 9300;

/// A socket, and what sendmmsg(2) and recvmmsg(2) work on.
pub(crate) struct Plain {
    socket: Socket,
    to: Option<SockAddr>,
    header: [u8; 14],
    /// As many as there are in a batch: frames come from different places.
    bodies: Vec<Vec<u8>>,
    slots: Vec<Vec<u8>>,
    _watch: Option<OwnedFd>,
}

impl Plain {
    pub(crate) fn open(wire: Wire, side: Side, len: usize) -> Self {
        let (socket, to) = match wire {
            Wire::Udp => udp(side),
            _ => (packet(side), None),
        };
        socket.set_recv_buffer_size(4 << 20).unwrap();
        socket.set_send_buffer_size(4 << 20).unwrap();
        let mut header = [2, 0, 0, 0, 0, side.other().number(), 2, 0, 0, 0, 0, side.number(), 0, 0];
        header[12..].copy_from_slice(&ETHERTYPE.to_be_bytes());
        let watch = (wire == Wire::Watched).then(|| watch(&socket));
        Self {
            _watch: watch,
            socket,
            to,
            header,
            bodies: vec![vec![7; len]; BATCH],
            slots: vec![vec![0; SLOT]; BATCH],
        }
    }

    /// The parts of one frame, of `len` bytes at most.
    fn parts(&mut self, number: usize, len: usize) -> [libc::iovec; 2] {
        let header_len = if self.to.is_none() { self.header.len() } else { 0 };
        let body = &mut self.bodies[number];
        [
            libc::iovec { iov_base: self.header.as_mut_ptr().cast(), iov_len: header_len },
            libc::iovec { iov_base: body.as_mut_ptr().cast(), iov_len: len.min(body.len()) },
        ]
    }

    fn message(&self, parts: &mut [libc::iovec]) -> libc::mmsghdr {
        // SAFETY: mmsghdr is a plain C structure; all bytes zero is a valid value of it.
        let mut message: libc::mmsghdr = unsafe { zeroed() };
        message.msg_hdr.msg_iov = parts.as_mut_ptr();
        message.msg_hdr.msg_iovlen = parts.len() as _;
        if let Some(to) = &self.to {
            message.msg_hdr.msg_name = to.as_ptr().cast_mut().cast();
            message.msg_hdr.msg_namelen = to.len();
        }
        message
    }

    pub(crate) fn send_batch(&mut self) {
        let mut parts: [_; BATCH] = std::array::from_fn(|number| self.parts(number, usize::MAX));
        let mut messages = parts.each_mut().map(|parts| self.message(parts));
        // SAFETY: the messages and all that they point to live until the call returns.
        let sent = unsafe { libc::sendmmsg(self.socket.as_raw_fd(), messages.as_mut_ptr(), BATCH as u32, 0) };
        assert_eq!(sent, BATCH as i32, "{}", std::io::Error::last_os_error());
    }

    pub(crate) fn send_one(&mut self, len: usize) {
        let mut parts = self.parts(0, len);
        let message = self.message(&mut parts);
        // SAFETY: as above.
        let sent = unsafe { libc::sendmsg(self.socket.as_raw_fd(), &raw const message.msg_hdr, 0) };
        assert!(sent > 0, "{}", std::io::Error::last_os_error());
    }

    pub(crate) fn receive_batch(&mut self) -> usize {
        let mut parts = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: SLOT }; BATCH];
        for (part, slot) in parts.iter_mut().zip(&mut self.slots) {
            part.iov_base = slot.as_mut_ptr().cast();
        }
        // SAFETY: as in `message`.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        for (message, part) in messages.iter_mut().zip(&mut parts) {
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
        }
        let (fd, flags) = (self.socket.as_raw_fd(), libc::MSG_WAITFORONE);
        // SAFETY: the messages and the slots that they point to live until the call returns.
        let count = unsafe {
            libc::recvmmsg(fd, messages.as_mut_ptr(), BATCH as u32, flags as _, std::ptr::null_mut())
        };
        usize::try_from(count).expect("a frame")
    }

    pub(crate) fn receive_one(&mut self) {
        let slot = &mut self.slots[0];
        // SAFETY: the slot is writable, and as long as is said.
        let len = unsafe { libc::recv(self.socket.as_raw_fd(), slot.as_mut_ptr().cast(), slot.len(), 0) };
        assert!(len > 0);
    }
}

/// An epoll set of this socket.
fn watch(socket: &Socket) -> OwnedFd {
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 0 };
    // SAFETY: the call gives a new descriptor, or -1, which is checked; the other one reads the event.
    unsafe {
        let set = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        assert!(set >= 0);
        assert_eq!(libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event), 0);
        OwnedFd::from_raw_fd(set)
    }
}

fn packet(side: Side) -> Socket {
    let name = std::ffi::CString::new(side.interface()).unwrap();
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0))).unwrap();
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is one of the platform's sockaddr types, as view_as asks for; the name ends with a zero.
    let address = unsafe {
        let link = storage.view_as::<libc::sockaddr_ll>();
        link.sll_family = libc::AF_PACKET as _;
        link.sll_protocol = ETHERTYPE.to_be();
        link.sll_ifindex = libc::if_nametoindex(name.as_ptr()) as i32;
        SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as _)
    };
    socket.bind(&address).unwrap();
    socket
}

fn udp(side: Side) -> (Socket, Option<SockAddr>) {
    let at = |side: Side| SocketAddr::from((Ipv4Addr::new(192, 0, 2, side.number()), 9999)).into();
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.bind(&at(side)).unwrap();
    (socket, Some(at(side.other())))
}

/// Keeps this thread, and those that it starts, on one core.
pub(crate) fn pin(core: usize) {
    // SAFETY: cpu_set_t is a plain C structure, and the call reads it.
    unsafe {
        let mut set: libc::cpu_set_t = zeroed();
        libc::CPU_SET(core, &mut set);
        assert_eq!(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set), 0);
    }
}

/// What this process has used so far.
pub(crate) fn processor_time() -> Duration {
    // SAFETY: timespec is a plain C structure, which the call fills in.
    let time = unsafe {
        let mut time: libc::timespec = zeroed();
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time);
        time
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
