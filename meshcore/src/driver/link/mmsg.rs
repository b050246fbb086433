//! Many datagrams a system call: recvmmsg(2) and sendmmsg(2), with the segments of udp(7) on Linux.

use std::io::{self, IoSlice};
use std::mem::{MaybeUninit, size_of};
use std::os::fd::AsRawFd;

use nix::libc;
use socket2::{SockAddr, SockAddrStorage, Socket};

/// Datagrams moved by one call at most. More gain nothing (docs/BENCHMARKS.md), and others would wait longer.
pub const BATCH: usize = 32;

/// Room for one control message whose value is an integer.
type Control = [u64; 4];

/// Room for the address of a sender on any link: sockaddr_in6 is the longest, with 28 bytes.
type Name = [u64; 4];

/// A datagram to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing<'a> {
    /// Where to; a bound packet socket needs none.
    pub(super) to: Option<&'a SockAddr>,
    /// Its bytes, gathered.
    pub(super) parts: &'a [IoSlice<'a>],
    /// UDP: cut it into datagrams of so many bytes; the last one may be shorter.
    pub(super) segment: Option<u16>,
}

/// What was received into one slot of a buffer.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Bytes in the slot.
    pub(super) len: usize,
    /// There were more.
    pub(super) is_truncated: bool,
    /// The sender.
    pub(super) from: SockAddr,
    /// UDP: these are several datagrams of so many bytes; the last one may be shorter.
    pub(super) segment: Option<u16>,
}

/// Sends the first of `messages`, up to [`BATCH`], and tells how many. An error is that of the first one.
pub(super) fn send<'a>(socket: &Socket, messages: impl Iterator<Item = Outgoing<'a>>) -> io::Result<usize> {
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
    let mut controls = [const { MaybeUninit::<Control>::uninit() }; BATCH];
    let mut count = 0;
    for ((message, header), control) in messages.zip(&mut headers).zip(&mut controls) {
        // SAFETY: mmsghdr is a plain C structure; all bytes zero is a valid value of it.
        let mut one: libc::mmsghdr = unsafe { std::mem::zeroed() };
        if let Some(to) = message.to {
            one.msg_hdr.msg_name = to.as_ptr().cast_mut().cast();
            one.msg_hdr.msg_namelen = to.len();
        }
        // IoSlice has the layout of iovec; sending writes to neither.
        one.msg_hdr.msg_iov = message.parts.as_ptr().cast_mut().cast();
        one.msg_hdr.msg_iovlen = message.parts.len() as _;
        if let Some(segment) = message.segment {
            put_segment(&mut one.msg_hdr, control.write([0; 4]), segment);
        }
        header.write(one);
        count += 1;
    }
    let fd = socket.as_raw_fd();
    let first = headers.as_mut_ptr().cast::<libc::mmsghdr>();
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the descriptor is open while `socket` is borrowed. The first `count` headers are initialised, and what they
    // point to is borrowed by `messages` for 'a, or lies in `controls`.
    let sent = unsafe {
        match count {
            0 => return Ok(0),
            // Cheaper for a single one.
            1 => libc::sendmsg(fd, &raw const (*first).msg_hdr, flags).min(1) as libc::c_int,
            _ => libc::sendmmsg(fd, first, count as libc::c_uint, flags as _),
        }
    };
    Ok(usize::try_from(nix::errno::Errno::result(sent)?).unwrap_or(0))
}

/// The control message UDP_SEGMENT.
fn put_segment(header: &mut libc::msghdr, control: &mut Control, segment: u16) {
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of::<Control>() as _;
    // SAFETY: `control` is aligned for a cmsghdr and has room for one with a u16 behind it, as the kernel is told.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = libc::SOL_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as libc::c_uint) as _;
        libc::CMSG_DATA(message).cast::<u16>().write_unaligned(segment);
        header.msg_controllen = libc::CMSG_SPACE(size_of::<u16>() as libc::c_uint) as _;
    }
}

/// Receives into the slots of `slot` bytes that `buffer` is cut into, at most [`BATCH`], and hands what came to `each`,
/// in order, with the number of its slot. Fewer datagrams than slots: no more were there.
pub(super) fn receive(
    socket: &Socket,
    buffer: &mut [u8],
    slot: usize,
    mut each: impl FnMut(usize, Incoming),
) -> io::Result<usize> {
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
    let mut parts = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
    let mut names = [const { MaybeUninit::<Name>::uninit() }; BATCH];
    let mut controls = [const { MaybeUninit::<Control>::uninit() }; BATCH];
    let mut count = 0;
    let slots = buffer.chunks_exact_mut(slot);
    for ((((slot, header), part), name), control) in
        slots.zip(&mut headers).zip(&mut parts).zip(&mut names).zip(&mut controls)
    {
        let part = part.write(libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() });
        // SAFETY: mmsghdr is a plain C structure; all bytes zero is a valid value of it.
        let mut one: libc::mmsghdr = unsafe { std::mem::zeroed() };
        one.msg_hdr.msg_iov = part;
        one.msg_hdr.msg_iovlen = 1;
        one.msg_hdr.msg_name = name.write([0; 4]).as_mut_ptr().cast();
        one.msg_hdr.msg_namelen = size_of::<Name>() as _;
        one.msg_hdr.msg_control = control.write([0; 4]).as_mut_ptr().cast();
        one.msg_hdr.msg_controllen = size_of::<Control>() as _;
        header.write(one);
        count += 1;
    }
    let first = headers.as_mut_ptr().cast::<libc::mmsghdr>();
    let (fd, flags) = (socket.as_raw_fd(), libc::MSG_DONTWAIT);
    // SAFETY: the descriptor is open while `socket` is borrowed. The first `count` headers are initialised; they point to
    // slots of `buffer`, which is borrowed mutably, and to the arrays above.
    let received =
        unsafe { libc::recvmmsg(fd, first, count as libc::c_uint, flags as _, std::ptr::null_mut()) };
    let received = usize::try_from(nix::errno::Errno::result(received)?).unwrap_or(0).min(count);
    for (number, (header, name)) in headers.iter().zip(&names).enumerate().take(received) {
        // SAFETY: the first `count` headers and names were initialised above, and the kernel has filled in this one.
        let (header, name) = unsafe { (header.assume_init_ref(), name.assume_init_ref()) };
        let len = usize::try_from(header.msg_len).unwrap_or(0).min(slot);
        let is_truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        let (from, segment) = (address(name, header.msg_hdr.msg_namelen), segment(&header.msg_hdr));
        each(number, Incoming { len, is_truncated, from, segment });
    }
    Ok(received)
}

fn address(name: &Name, len: libc::socklen_t) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: both are plain memory, and a sockaddr_storage is the longer one. The kernel wrote an address of this length,
    // and never more than there was room for.
    unsafe {
        std::ptr::copy_nonoverlapping(name.as_ptr(), storage.view_as::<Name>().as_mut_ptr(), name.len());
        SockAddr::new(storage, len.min(size_of::<Name>() as libc::socklen_t))
    }
}

/// The value of the control message UDP_GRO.
fn segment(header: &libc::msghdr) -> Option<u16> {
    // SAFETY: the kernel has filled the header's control buffer in, and tells its length.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header).as_ref()?;
        let is_ours = message.cmsg_level == libc::SOL_UDP && message.cmsg_type == libc::UDP_GRO;
        let is_whole = message.cmsg_len as usize >= libc::CMSG_LEN(size_of::<libc::c_int>() as _) as usize;
        let value = || libc::CMSG_DATA(message).cast::<libc::c_int>().read_unaligned();
        (is_ours && is_whole).then(value).and_then(|value| u16::try_from(value).ok()).filter(|size| *size > 0)
    }
}
