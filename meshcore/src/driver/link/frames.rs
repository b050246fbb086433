//! Ethernet frames through a packet socket of our own, many a system call.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::task::{Context, Poll, ready};

use pnet::packet::ethernet::{EtherType, EthernetPacket, MutableEthernetPacket};
use socket2::Socket;
use tokio::io::unix::AsyncFd;

use super::inbound::{ETHERNET_SLOT, Inbound};
use super::mmsg::{self, BATCH, Incoming, Outgoing};
use super::packet::{ETHERTYPE, Mac, Take};
use super::writable::Writable;
use super::{LinkCounters, Sent, linux};
use crate::types::LinkAddr;

pub(super) const HEADER_LEN: usize = 14;

/// A frame that is to be sent.
pub(super) type Outbound<'a> = (Mac, &'a [u8]);

/// A packet socket that is bound to an interface.
#[derive(Debug)]
pub(super) struct Frames {
    /// Receives.
    fd: AsyncFd<Socket>,
    /// Sends. Nobody watches it: the kernel would wake the engine's descriptors for every frame that has left.
    sender: Socket,
    /// Bytes of a [`Head`] that the sender's kernel is not given.
    skip: usize,
    writable: Writable,
}

/// What stands in front of a frame: a header for the kernel (virtio_net_hdr), which only some sockets want, and that of Ethernet.
type Head = [u8; linux::FRAME_INFO_LEN + HEADER_LEN];

fn head(source: Mac, to: Mac, frame: &[u8]) -> Head {
    let mut head = [0; _];
    let (info, header) = head.split_at_mut(linux::FRAME_INFO_LEN);
    linux::put_frame_info(info, HEADER_LEN + frame.len());
    put_header(header, source, to);
    head
}

impl Frames {
    /// `socket` receives from here on.
    pub(super) fn open(socket: Socket, hardware: &linux::Hardware, take: Take) -> io::Result<Self> {
        let interface = hardware.index;
        let sender = linux::packet_socket()?;
        linux::set_buffers(&sender)?;
        let is_linear = hardware.mtu > linux::PIECE && linux::keep_in_one_piece(&sender);
        linux::bind(&sender, interface, 0)?;
        linux::set_buffers(&socket)?;
        linux::ignore_outgoing(&socket);
        match take {
            Take::Group(group) => linux::join(&socket, interface, group)?,
            Take::Version1 => linux::take_first_byte(&socket, 1)?,
            Take::Inside { .. } => {}
        }
        linux::bind(&socket, interface, ETHERTYPE)?;
        let skip = if is_linear { 0 } else { linux::FRAME_INFO_LEN };
        Ok(Self { fd: linux::watch(socket)?, sender, skip, writable: Writable::default() })
    }

    /// Receives a batch; the number of those that are not for us.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        take: Take,
        inbound: &mut Inbound,
    ) -> Poll<io::Result<u64>> {
        let slots = inbound.slots();
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(cx))?;
            let Ok(received) = guard.try_io(|fd| receive(fd.get_ref(), take, slots, inbound)) else {
                continue;
            };
            let (count, foreign) = received?;
            if count < slots {
                // The queue is empty, and whatever comes now is told anew: this saves the call that would find nothing.
                guard.clear_ready();
            }
            return Poll::Ready(Ok(foreign));
        }
    }

    /// Sends frames, until the socket's buffer is full.
    pub(super) fn send<'a>(
        &mut self,
        source: Mac,
        mut frames: impl ExactSizeIterator<Item = Outbound<'a>>,
        counters: &mut LinkCounters,
    ) -> Sent {
        let mut sent = Sent::default();
        while frames.len() > 0 {
            // A lone frame need not wait until a whole batch is laid out.
            let batch = match frames.len() {
                1 => self.send_batch::<1>(source, frames.by_ref(), counters),
                _ => self.send_batch::<BATCH>(source, frames.by_ref(), counters),
            };
            let is_full = batch.is_full;
            sent.add(batch.sent);
            if is_full {
                break;
            }
        }
        sent
    }

    /// Sends up to `N` frames.
    fn send_batch<'a, const N: usize>(
        &mut self,
        source: Mac,
        frames: impl Iterator<Item = Outbound<'a>>,
        counters: &mut LinkCounters,
    ) -> Batch {
        let mut heads = [[0; _]; N];
        let mut bodies = [&[][..]; N];
        let mut count = 0;
        for ((head_of_it, body), (to, frame)) in heads.iter_mut().zip(&mut bodies).zip(frames) {
            *head_of_it = head(source, to, frame);
            *body = frame;
            count += 1;
        }
        let mut parts = [[IoSlice::new(&[]); 2]; N];
        for ((parts, head), body) in parts.iter_mut().zip(&heads).zip(bodies) {
            *parts = [IoSlice::new(head.get(self.skip..).unwrap_or_default()), IoSlice::new(body)];
        }
        let sent = self.send_parts(parts.get(..count).unwrap_or_default(), counters);
        Batch { is_full: sent.done < count, sent }
    }

    fn send_parts(&mut self, parts: &[[IoSlice<'_>; 2]], counters: &mut LinkCounters) -> Sent {
        let mut sent = Sent::default();
        while let Some(rest) = parts.get(sent.done..).filter(|rest| !rest.is_empty()) {
            let messages = rest.iter().map(|parts| Outgoing { to: None, parts, segment: None });
            match mmsg::send(&self.sender, messages) {
                Ok(count) => {
                    sent.done += count;
                    counters.sent += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.writable.wait_for(&self.sender) {
                        Ok(()) => break,
                        // Nobody would tell when it is over.
                        Err(_) => sent.note(counters.count_sent(Err(error))),
                    }
                }
                Err(error) => sent.note(counters.count_sent(Err(error))),
            }
        }
        sent
    }

    /// Sends one frame, or loses it.
    pub(super) fn send_one(&self, source: Mac, to: Mac, frame: &[u8]) -> io::Result<()> {
        let head = head(source, to, frame);
        let parts = [IoSlice::new(head.get(self.skip..).unwrap_or_default()), IoSlice::new(frame)];
        self.sender.send_vectored(&parts).map(|_| ())
    }

    /// Ready when there is room for what could not be sent.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.writable.poll(cx)
    }

    pub(super) fn socket(&self) -> &Socket {
        self.fd.get_ref()
    }
}

/// What came of a batch.
struct Batch {
    sent: Sent,
    /// The rest waits for room.
    is_full: bool,
}

pub(super) fn put_header(header: &mut [u8], source: Mac, destination: Mac) {
    if let Some(mut ethernet) = MutableEthernetPacket::new(header) {
        ethernet.set_destination(destination.into());
        ethernet.set_source(source.into());
        ethernet.set_ethertype(EtherType(ETHERTYPE));
    }
}

/// Receives a batch of `slots` frames at most: how many, and how many of them are not for us.
fn receive(socket: &Socket, take: Take, slots: usize, inbound: &mut Inbound) -> io::Result<(usize, u64)> {
    let (buffer, frames) = inbound.refill();
    let buffer = buffer.get_mut(..slots * ETHERNET_SLOT).unwrap_or_default();
    let mut here = [None; BATCH];
    let count = mmsg::receive(socket, buffer, ETHERNET_SLOT, |number, incoming| {
        let Incoming { len, is_truncated, from, .. } = incoming;
        if let (false, Some(here)) = (is_truncated, here.get_mut(number)) {
            *here = Some((len, linux::is_for_us(&from)));
        }
    })?;
    for (number, (slot, here)) in buffer.chunks_exact(ETHERNET_SLOT).zip(here).enumerate().take(count) {
        let Some((len, here)) = here else { continue };
        if let Some((from, frame)) = slot.get(..len).and_then(|slot| take.parse(slot, here)) {
            let start = number * ETHERNET_SLOT;
            frames.push((from, start + frame.start..start + frame.end));
        }
    }
    Ok((count, (count - frames.len()) as u64))
}

impl Take {
    /// Who sent a frame, and where in it the part behind the header lies; `None` when it is not for us. `here`: the kernel
    /// says that it was sent to this machine.
    pub(super) fn parse(self, slot: &[u8], here: bool) -> Option<(LinkAddr, Range<usize>)> {
        let ethernet = EthernetPacket::new(slot)?;
        let (source, destination) = (ethernet.get_source().octets(), ethernet.get_destination().octets());
        let is_group = destination[0] & 1 == 1 && destination != [0xff; 6];
        let for_us = match self {
            // On the loopback there are groups of others.
            Self::Group(group) => here && (!is_group || destination == group),
            Self::Version1 => here,
            Self::Inside { station, group } => {
                source != station && (destination == station || destination == group)
            }
        };
        let ours = for_us && slot.len() > HEADER_LEN && ethernet.get_ethertype() == EtherType(ETHERTYPE);
        LinkAddr::new(&source).filter(|_| ours).map(|from| (from, HEADER_LEN..slot.len()))
    }
}
