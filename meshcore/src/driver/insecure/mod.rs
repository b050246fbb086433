//! AlexMesh v1 beside the mesh: its interfaces, and what the engine does for it.

mod handle;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use rand::RngExt;

use super::engine::{Clock, Reply};
use super::handle::LinkStatus;
use super::link::{Inbound, LinkEvent, V1Link, check_interface};
use super::trouble::{Reports, Trouble};
use super::{Error, ErrorKind};
use crate::node::{
    Insecure, InsecureError, InsecureEvent, InsecureMessageId, InsecureNode, InsecureStreamId, Now,
};
use crate::types::{Instant, LinkAddr, LinkId, V1Address};
use crate::v1::V1Destination;

/// Batches of frames taken before other work of the engine is looked at.
const BATCHES: usize = 4;

/// What the handle asks of this side of the engine.
pub(super) enum InsecureCommand {
    Nodes { reply: Reply<Vec<InsecureNode>> },
    Send { to: V1Address, text: String, reply: Reply<InsecureMessageId> },
    Broadcast { text: String, reply: Reply<()> },
    Connect { to: V1Address, reply: Reply<InsecureStreamId> },
    Write { stream: InsecureStreamId, data: Vec<u8>, reply: Reply<()> },
    Close { stream: InsecureStreamId, reply: Reply<()> },
}

#[derive(Debug)]
struct Entry {
    id: LinkId,
    link: V1Link,
    up: bool,
    reports: Reports,
}

/// The interfaces on which v1 is spoken, and the v1 nodes on them.
#[derive(Debug)]
pub(super) struct InsecureLinks {
    entries: Vec<Entry>,
    /// Whether any interface was asked for.
    wanted: bool,
    /// Which one is asked first: each in turn.
    first: usize,
    insecure: Insecure,
    troubles: VecDeque<Trouble>,
    inbound: Inbound,
}

impl InsecureLinks {
    /// Opens the interfaces inside a tokio runtime; what does not exist yet is waited for.
    pub(super) fn open(interfaces: &[String]) -> (Self, Vec<LinkStatus>) {
        let mut entries = Vec::new();
        let mut statuses = Vec::new();
        for (number, interface) in (1..).zip(interfaces) {
            let (link, problem) = V1Link::open_or_wait(interface);
            let reports = Reports::default();
            entries.extend(link.map(|link| Entry { id: LinkId(number), link, up: false, reports }));
            statuses.push(LinkStatus { spec: format!("v1:{interface}"), error: problem.map(Error::from) });
        }
        let links = Self {
            entries,
            wanted: !interfaces.is_empty(),
            first: 0,
            insecure: Insecure::new(rand::rng().random()),
            troubles: VecDeque::new(),
            inbound: Inbound::new(),
        };
        (links, statuses)
    }

    /// Waits until the interfaces bring something, and takes it in, up to a batch.
    pub(super) async fn recv(&mut self, clock: Clock) {
        poll_fn(|cx| self.poll_recv(cx, clock)).await;
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, clock: Clock) -> Poll<()> {
        let mut result = Poll::Pending;
        for _ in 0..BATCHES {
            if self.poll_one(cx, clock).is_pending() {
                return result;
            }
            result = Poll::Ready(());
        }
        result
    }

    /// Takes one piece of news of one interface.
    fn poll_one(&mut self, cx: &mut Context<'_>, clock: Clock) -> Poll<()> {
        let count = self.entries.len();
        for number in 0..count {
            let index = (self.first + number) % count;
            let Some(entry) = self.entries.get_mut(index) else { break };
            let event = entry.link.poll(cx, &mut self.inbound);
            let mac = V1Address(entry.link.mac());
            if let Poll::Ready(event) = event {
                self.first = index + 1;
                self.on_link_event(clock.now(), index, mac, event);
                return Poll::Ready(());
            }
            // An interface may get another address while it is up.
            if entry.up && self.insecure.address(entry.id) != Some(mac) {
                self.insecure.add_interface(entry.id, mac, entry.link.mtu());
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    fn on_link_event(&mut self, now: Now, index: usize, mac: V1Address, event: LinkEvent) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        match event {
            LinkEvent::Frames => {
                while let Some((from, frame)) = self.inbound.pop() {
                    let Some(from) = station(from) else { continue };
                    let taken = self.insecure.handle_frame(now, entry.id, from, frame);
                    if let Err(reason) = taken {
                        tracing::trace!(link = %entry.link, %from, %reason, "a v1 frame was dropped");
                    }
                }
            }
            LinkEvent::Up { mtu, .. } => {
                tracing::info!(link = %entry.link, %mac, mtu, "AlexMesh v1 is spoken");
                entry.up = true;
                entry.reports.clear();
                self.insecure.add_interface(entry.id, mac, mtu);
            }
            LinkEvent::Down { reason } => {
                entry.up = false;
                self.insecure.remove_interface(entry.id);
                let trouble = reason.map(|reason| Trouble::new(&entry.link, &reason));
                self.troubles.extend(trouble);
            }
            LinkEvent::Trouble(error) => {
                let trouble = entry.reports.report(&entry.link, &error);
                self.troubles.extend(trouble);
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.insecure.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Now) {
        if self.insecure.poll_timeout().is_some_and(|due| due <= now.monotonic) {
            self.insecure.handle_timeout(now);
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<InsecureEvent> {
        self.insecure.poll_event()
    }

    /// What people should hear of.
    pub(super) fn poll_trouble(&mut self) -> Option<Trouble> {
        self.troubles.pop_front()
    }

    /// Sends what is to be sent, or loses it, as v1 does.
    pub(super) fn transmit(&mut self, frame: &mut Vec<u8>) {
        frame.clear();
        while let Some((link, to)) = self.insecure.poll_transmit(frame) {
            let to = match to {
                V1Destination::Everyone => None,
                V1Destination::One(station) => Some(station.0),
            };
            if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == link)
                && let Err(error) = entry.link.send(to, frame)
            {
                tracing::debug!(link = %entry.link, %error, "a v1 frame was not sent");
                let trouble = entry.reports.report(&entry.link, &error);
                self.troubles.extend(trouble);
            }
            frame.clear();
        }
    }

    /// Ends all streams, before the node stops.
    pub(super) fn leave(&mut self, now: Now) {
        self.insecure.leave(now);
    }

    pub(super) fn handle_command(&mut self, now: Now, command: InsecureCommand) {
        match command {
            InsecureCommand::Nodes { reply } => reply.give(Ok(self.insecure.nodes(now))),
            InsecureCommand::Send { to, text, reply } => {
                reply.give(self.run(|insecure| insecure.send(now, to, &text)));
            }
            InsecureCommand::Broadcast { text, reply } => {
                reply.give(self.run(|insecure| insecure.broadcast(now, &text)));
            }
            InsecureCommand::Connect { to, reply } => {
                reply.give(self.run(|insecure| insecure.connect(now, to)))
            }
            InsecureCommand::Write { stream, data, reply } => {
                reply.give(self.run(|insecure| insecure.write(now, stream, &data)));
            }
            InsecureCommand::Close { stream, reply } => {
                reply.give(self.run(|insecure| insecure.close(now, stream)))
            }
        }
    }

    fn run<T>(
        &mut self,
        command: impl FnOnce(&mut Insecure) -> Result<T, InsecureError>,
    ) -> Result<T, Error> {
        if !self.wanted {
            let text = "AlexMesh v1 was not asked for: start the node with the interface that is to speak it";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        Ok(command(&mut self.insecure)?)
    }
}

fn station(from: LinkAddr) -> Option<V1Address> {
    from.as_bytes().try_into().ok().map(V1Address)
}

/// The interfaces, each once; or why one of them cannot be.
pub(super) fn check(interfaces: &[String], is_private: bool) -> Result<Vec<String>, Error> {
    let refuse = |text: String| Err(Error::new(ErrorKind::InvalidArgument, text));
    let mut distinct: Vec<String> = Vec::new();
    for interface in interfaces {
        if let Err(problem) = check_interface(interface) {
            return refuse(format!(
                "\"{interface}\" is no interface for AlexMesh v1: {problem}; example: eth0"
            ));
        }
        if !distinct.contains(interface) {
            distinct.push(interface.clone());
        }
    }
    if is_private && !distinct.is_empty() {
        // Its frames would show everybody what the private mesh hides: that this node is here, and who talks to it.
        return refuse(
            "AlexMesh v1 is open to everybody and cannot be used in a private mesh: leave out one of them"
                .into(),
        );
    }
    Ok(distinct)
}
