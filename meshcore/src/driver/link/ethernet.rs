//! AlexMesh frames straight on Ethernet: EtherType 0x88B5, no IP.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::socket::{LinkAddr as SocketLinkAddr, MsgFlags, recvmsg};
use pnet::packet::ethernet::{EtherType, EthernetPacket, MutableEthernetPacket};
use pnet::util::MacAddr;
use socket2::Socket;
use tokio::io::unix::AsyncFd;
use tokio::time::{Sleep, sleep};

use super::{BUFFER_SIZE, LinkError, interfaces, is_momentary, linux};
use crate::types::{Destination, LinkAddr};

/// EtherType of AlexMesh: local experimental EtherType 1 (IEEE 802).
pub(super) const ETHERTYPE: u16 = 0x88b5;

/// Multicast address of the group, locally administered.
pub(super) const GROUP: [u8; 6] = [0x03, 0x4d, 0x53, 0x48, 0x88, 0xb5];

const HEADER_LEN: usize = 14;

/// Larger frames are not used, whatever the interface could carry (the loopback: 64 kB).
const MAX_MTU: usize = 9216;

/// How often a link whose interface went away tries to open it again.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct EthernetLink {
    interface: String,
    mtu: usize,
    state: State,
    pub(super) dropped: u64,
}

#[derive(Debug)]
enum State {
    Up {
        fd: AsyncFd<Socket>,
        mac: MacAddr,
    },
    /// The interface is down or gone.
    Down {
        retry: Pin<Box<Sleep>>,
    },
}

fn is_down(error: &io::Error) -> bool {
    use nix::libc::{ENETDOWN, ENODEV, ENXIO};
    matches!(error.raw_os_error(), Some(ENETDOWN | ENXIO | ENODEV))
}

/// Opens the interface. Also returns its MTU.
fn open(interface: &str) -> Result<(State, usize), LinkError> {
    let failed = |source| LinkError::Io { link: format!("ethernet:{interface}"), source };
    let missing = || LinkError::NoSuchInterface { name: interface.to_owned(), known: interfaces::names() };
    let socket = linux::packet_socket().map_err(|source| match source.kind() {
        // A privilege would not help then.
        io::ErrorKind::PermissionDenied if !interfaces::names().iter().any(|name| name == interface) => {
            missing()
        }
        io::ErrorKind::PermissionDenied => LinkError::permission(interface),
        _ => failed(source),
    })?;
    let hardware = linux::hardware(&socket, interface).map_err(|source| match is_down(&source) {
        true => missing(),
        false => failed(source),
    })?;
    if !hardware.is_ethernet {
        return Err(LinkError::NotEthernet { name: interface.to_owned() });
    }
    if !hardware.up {
        return Err(LinkError::Down { name: interface.to_owned() });
    }
    for result in [socket.set_recv_buffer_size(BUFFER_SIZE), socket.set_send_buffer_size(BUFFER_SIZE)] {
        result.map_err(failed)?;
    }
    linux::ignore_outgoing(&socket);
    linux::join(&socket, hardware.index, GROUP).map_err(failed)?;
    linux::bind(&socket, hardware.index, ETHERTYPE).map_err(failed)?;
    let fd = linux::watch(socket).map_err(failed)?;
    Ok((State::Up { fd, mac: hardware.mac.into() }, hardware.mtu.min(MAX_MTU)))
}

/// Receives one frame. `None`: it is not for us.
fn receive(socket: &Socket, buf: &mut [u8]) -> io::Result<Option<(usize, LinkAddr)>> {
    let mut header = [0; HEADER_LEN];
    let mut parts = [IoSliceMut::new(&mut header), IoSliceMut::new(buf)];
    let message = recvmsg::<SocketLinkAddr>(socket.as_raw_fd(), &mut parts, None, MsgFlags::empty())?;
    let len = message.bytes.saturating_sub(HEADER_LEN);
    let for_us = message.address.is_some_and(|address| linux::is_for_us(address.pkttype()));
    let whole = len > 0 && !message.flags.contains(MsgFlags::MSG_TRUNC);
    let Some(ethernet) = EthernetPacket::new(&header) else { return Ok(None) };
    let from = LinkAddr::new(&ethernet.get_source().octets());
    let ours = for_us && whole && ethernet.get_ethertype() == EtherType(ETHERTYPE);
    Ok(from.filter(|_| ours).map(|from| (len, from)))
}

impl EthernetLink {
    pub(super) fn open(interface: &str) -> Result<Self, LinkError> {
        let (state, mtu) = open(interface)?;
        Ok(Self { interface: interface.to_owned(), mtu, state, dropped: 0 })
    }

    pub(super) fn mtu(&self) -> usize {
        self.mtu
    }

    pub(super) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, LinkAddr)>> {
        loop {
            match &mut self.state {
                State::Down { retry } => {
                    ready!(retry.as_mut().poll(cx));
                    match open(&self.interface) {
                        Ok((state, _)) => {
                            self.state = state;
                            tracing::info!("{self} works again");
                        }
                        Err(_) => self.close(),
                    }
                }
                State::Up { fd, .. } => {
                    let mut guard = ready!(fd.poll_read_ready(cx))?;
                    match guard.try_io(|fd| receive(fd.get_ref(), buf)) {
                        Ok(Ok(Some(received))) => return Poll::Ready(Ok(received)),
                        Ok(Ok(None)) => self.dropped += 1,
                        Ok(Err(error)) => {
                            if is_down(&error) {
                                self.close();
                            }
                            return Poll::Ready(Err(error));
                        }
                        Err(_would_block) => {}
                    }
                }
            }
        }
    }

    fn close(&mut self) {
        self.state = State::Down { retry: Box::pin(sleep(RETRY)) };
    }

    pub(super) fn send(&mut self, to: Destination, frame: &[u8]) -> io::Result<()> {
        let State::Up { fd, mac } = &self.state else {
            self.dropped += 1;
            return Ok(());
        };
        let destination = match to {
            Destination::Group => GROUP,
            Destination::Station(address) => {
                address.as_bytes().try_into().map_err(|_| io::ErrorKind::InvalidInput)?
            }
        };
        let mut header = [0; HEADER_LEN];
        if let Some(mut ethernet) = MutableEthernetPacket::new(&mut header) {
            ethernet.set_destination(destination.into());
            ethernet.set_source(*mac);
            ethernet.set_ethertype(EtherType(ETHERTYPE));
        }
        match fd.get_ref().send_vectored(&[IoSlice::new(&header), IoSlice::new(frame)]) {
            Ok(_) => Ok(()),
            // That the interface is down, receiving tells, once.
            Err(error) if is_momentary(&error) || is_down(&error) => {
                self.dropped += 1;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl std::fmt::Display for EthernetLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ethernet:{}", self.interface)
    }
}
