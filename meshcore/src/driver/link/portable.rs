//! Ethernet frames through pnet: on every system that pnet knows, at the price of a thread, of a copy and two system calls
//! a frame, and of an interface in promiscuous mode.

use std::fmt;
use std::io;
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use pnet::datalink::{self, Channel, Config, DataLinkReceiver, DataLinkSender};
use socket2::Socket;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::frames::{HEADER_LEN, Outbound, put_header};
use super::inbound::{ETHERNET_SLOT, Inbound};
use super::mmsg::BATCH;
use super::packet::{ETHERTYPE, Mac, Take};
use super::{LinkCounters, Sent};

/// Frames that wait for the engine. While there are more, the system's own buffer fills.
const WAITING: usize = 256;

/// How long the thread may outlive its link.
const LINGER: Duration = Duration::from_millis(200);

pub(super) struct Portable {
    /// For questions about the interface; it carries nothing.
    control: Socket,
    sender: Box<dyn DataLinkSender>,
    /// Ends with the thread, which ends when pnet can receive no more.
    received: Receiver<Vec<u8>>,
    /// The frame in the making.
    frame: Vec<u8>,
}

impl Portable {
    pub(super) fn open(control: Socket, name: &str) -> io::Result<Self> {
        let interface = datalink::interfaces().into_iter().find(|interface| interface.name == name);
        let interface = interface.ok_or_else(|| io::Error::from_raw_os_error(nix::libc::ENODEV))?;
        let config = Config {
            // One byte more than a frame may have: what is too long must not look whole.
            read_buffer_size: ETHERNET_SLOT + 1,
            read_timeout: Some(LINGER),
            write_timeout: Some(Duration::ZERO),
            ..Config::default()
        };
        let Channel::Ethernet(sender, receiver) = datalink::channel(&interface, config)? else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let (found, received) = channel(WAITING);
        thread::Builder::new().name("meshchat-pnet".into()).spawn(move || receive(receiver, &found))?;
        Ok(Self { control, sender, received, frame: Vec::with_capacity(ETHERNET_SLOT) })
    }

    /// Whether it can still receive.
    pub(super) fn works(&self) -> bool {
        !self.received.is_closed()
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.control
    }

    /// Takes a batch in; the number of frames that are not for us. `own` is the address of the interface.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        take: Take,
        own: Mac,
        inbound: &mut Inbound,
    ) -> Poll<io::Result<u64>> {
        let ended = || io::Error::from_raw_os_error(nix::libc::ENETDOWN);
        let first = ready!(self.received.poll_recv(cx)).ok_or_else(ended)?;
        let (buffer, frames) = inbound.refill();
        let mut foreign = 0;
        let mut next = Some(first);
        for (number, slot) in buffer.chunks_exact_mut(ETHERNET_SLOT).enumerate().take(BATCH) {
            let Some(frame) = next.take().or_else(|| self.received.try_recv().ok()) else { break };
            let parsed = take.parse(&frame, is_for(&frame, own)).filter(|_| frame.len() <= slot.len());
            let Some((from, range)) = parsed else {
                foreign += 1;
                continue;
            };
            slot[..frame.len()].copy_from_slice(&frame);
            let start = number * ETHERNET_SLOT;
            frames.push((from, start + range.start..start + range.end));
        }
        Poll::Ready(Ok(foreign))
    }

    /// Sends frames. One that there is no room for is lost.
    pub(super) fn send<'a>(
        &mut self,
        source: Mac,
        frames: impl Iterator<Item = Outbound<'a>>,
        counters: &mut LinkCounters,
    ) -> Sent {
        let mut sent = Sent::default();
        for (to, frame) in frames {
            let result = self.send_one(source, to, frame);
            sent.note(counters.count_sent(result));
        }
        sent
    }

    pub(super) fn send_one(&mut self, source: Mac, to: Mac, frame: &[u8]) -> io::Result<()> {
        let mut header = [0; HEADER_LEN];
        put_header(&mut header, source, to);
        self.frame.clear();
        self.frame.extend_from_slice(&header);
        self.frame.extend_from_slice(frame);
        match self.sender.send_to(&self.frame, None) {
            Some(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            result => result.unwrap_or_else(|| Err(io::ErrorKind::Unsupported.into())),
        }
    }
}

impl fmt::Debug for Portable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Portable").field("control", &self.control).finish_non_exhaustive()
    }
}

/// Whether a frame was sent to this interface, and not by it: pnet shows both directions, and what is for others.
fn is_for(frame: &[u8], own: Mac) -> bool {
    let (Some(to), Some(from)) = (frame.get(..6), frame.get(6..12)) else { return false };
    from != own && (to == own || to[0] & 1 == 1)
}

/// Hands the frames of the mesh on, until nobody wants them any more or the interface goes down.
fn receive(mut receiver: Box<dyn DataLinkReceiver>, found: &Sender<Vec<u8>>) {
    while !found.is_closed() {
        match receiver.next() {
            Ok(frame) if frame.get(12..HEADER_LEN) == Some(&ETHERTYPE.to_be_bytes()) => {
                if found.blocking_send(frame.to_vec()).is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::Interrupted) => {}
            Err(error) => return tracing::debug!(%error, "pnet receives no more"),
        }
    }
}
