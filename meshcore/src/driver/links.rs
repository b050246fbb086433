//! All links of a node.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant as Tick;

use super::handle::LinkStatus;
use super::link::{BATCH, Inbound, Link, LinkCounters, LinkEvent, LinkSpec, Queue};
use super::trouble::{Reports, Trouble};
use super::{Error, ErrorKind};
use crate::mesh::LinkInfo;
use crate::types::{Destination, LinkId};

/// How long a link whose buffer is full holds up the others. After that it does so no more until its buffer has room, and
/// its frames are lost: a link that does not get rid of anything must not stop the node.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the links have brought.
#[derive(Debug)]
pub(super) enum Received {
    /// Frames have come in.
    Frames { link: LinkId },
    /// A link works from now on. When it worked already: it reaches more than before, or its properties have changed.
    Up { link: LinkId, name: String, info: LinkInfo },
    /// A link does not work until it is told to be up again.
    Down { link: LinkId, trouble: Option<Trouble> },
    /// Something did not work; the link goes on.
    Trouble(Trouble),
}

#[derive(Debug)]
struct Entry {
    id: LinkId,
    link: Link,
    reports: Reports,
    queue: Queue,
    blocked: Blocked,
    /// Frames that found the queue full.
    dropped: u64,
}

/// Whether a link has room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blocked {
    No,
    /// Not yet; it is waited for until then.
    Until(Tick),
    /// Not for a long time.
    Stuck,
}

/// The links that are open, or will be when their interfaces are there.
#[derive(Debug)]
pub(super) struct Links {
    entries: Vec<Entry>,
    /// Which one is asked first: each in turn, so that a busy link does not starve the others.
    first: usize,
    /// Troubles of sending that are not told yet: each kind of error once a link.
    troubles: VecDeque<Trouble>,
}

impl Links {
    /// Opens links inside a tokio runtime. Fails only when none can be opened, with the first reason; else the missing
    /// ones are waited for.
    pub(super) fn open(specs: Vec<LinkSpec>) -> Result<(Self, Vec<LinkStatus>), Error> {
        let mut entries = Vec::new();
        let mut statuses = Vec::new();
        for (number, spec) in (1..).zip(LinkSpec::merge(specs)) {
            let (link, problem) = Link::open_or_wait(&spec);
            entries.extend(link.map(|link| Entry::new(LinkId(number), link)));
            statuses.push(LinkStatus { spec: spec.to_string(), error: problem.map(Error::from) });
        }
        if statuses.iter().all(|status| status.error.is_some()) {
            let error = statuses.into_iter().find_map(|status| status.error);
            return Err(error.unwrap_or_else(|| Error::new(ErrorKind::Link, "no link was given")));
        }
        Ok((Self { entries, first: 0, troubles: VecDeque::new() }, statuses))
    }

    /// What became of the frames of each link.
    pub(super) fn counters(&self) -> impl Iterator<Item = (LinkId, LinkCounters)> {
        self.entries.iter().map(|entry| {
            let mut counters = entry.link.counters();
            counters.dropped_full += entry.dropped;
            (entry.id, counters)
        })
    }

    /// The next news of any link. What is left in `inbound` is lost.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, inbound: &mut Inbound) -> Poll<Received> {
        if let Some(trouble) = self.troubles.pop_front() {
            return Poll::Ready(Received::Trouble(trouble));
        }
        let count = self.entries.len();
        self.first = (self.first + 1) % count;
        for number in 0..count {
            let entry = &mut self.entries[(self.first + number) % count];
            let link = entry.id;
            match entry.link.poll(cx, inbound) {
                Poll::Pending => {}
                Poll::Ready(LinkEvent::Frames) => return Poll::Ready(Received::Frames { link }),
                Poll::Ready(LinkEvent::Up { mtu, larger, wired }) => {
                    entry.reports.clear();
                    let name = entry.link.to_string();
                    let info = LinkInfo { mtu, larger, wired };
                    return Poll::Ready(Received::Up { link, name, info });
                }
                Poll::Ready(LinkEvent::Down { reason }) => {
                    entry.give_up(Blocked::No);
                    let trouble = reason.map(|reason| Trouble::new(&entry.link, &reason));
                    return Poll::Ready(Received::Down { link, trouble });
                }
                Poll::Ready(LinkEvent::Trouble(error)) => match entry.reports.report(&entry.link, &error) {
                    Some(trouble) => return Poll::Ready(Received::Trouble(trouble)),
                    // Asked again later and not in a loop: a link that does nothing but fail must not hold the engine.
                    None => cx.waker().wake_by_ref(),
                },
            }
        }
        Poll::Pending
    }

    /// Takes a frame that is to be sent by the next [`Links::flush`] at the latest, and leaves empty memory in its place.
    pub(super) fn push(&mut self, link: LinkId, to: Destination, frame: &mut Vec<u8>) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == link) else {
            return frame.clear();
        };
        if entry.queue.len() == BATCH {
            entry.flush(&mut self.troubles);
        }
        if entry.queue.len() < BATCH && entry.blocked != Blocked::Stuck {
            entry.queue.push(to, frame);
        } else {
            entry.dropped += 1;
            frame.clear();
        }
    }

    /// Sends what was pushed. What does not fit into the system's buffer waits: see [`Links::are_blocked`].
    pub(super) fn flush(&mut self) {
        for entry in &mut self.entries {
            entry.flush(&mut self.troubles);
        }
    }

    /// Whether no more frames should be made until [`Links::poll_writable`] has told that there is room.
    pub(super) fn are_blocked(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.blocked, Blocked::Until(_)))
    }

    /// Ready when a link is blocked no more.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut result = Poll::Pending;
        for entry in self.entries.iter_mut().filter(|entry| entry.blocked != Blocked::No) {
            if entry.link.poll_writable(cx).is_pending() {
                continue;
            }
            entry.blocked = Blocked::No;
            entry.flush(&mut self.troubles);
            match entry.blocked {
                Blocked::No => result = Poll::Ready(()),
                // What it waits for now was not asked for yet.
                _ => cx.waker().wake_by_ref(),
            }
        }
        result
    }

    /// When [`Links::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Tick> {
        let due = |entry: &Entry| if let Blocked::Until(due) = entry.blocked { Some(due) } else { None };
        self.entries.iter().filter_map(due).min()
    }

    /// Gives links up that have been blocked for too long.
    pub(super) fn handle_timeout(&mut self, now: Tick) {
        for entry in &mut self.entries {
            if matches!(entry.blocked, Blocked::Until(due) if due <= now) {
                tracing::debug!(link = %entry.link, "sends nothing");
                entry.give_up(Blocked::Stuck);
            }
        }
    }
}

impl Entry {
    fn new(id: LinkId, link: Link) -> Self {
        let (reports, queue) = (Reports::default(), Queue::default());
        Self { id, link, reports, queue, blocked: Blocked::No, dropped: 0 }
    }

    /// Loses what waits.
    fn give_up(&mut self, blocked: Blocked) {
        self.blocked = blocked;
        self.dropped += self.queue.len() as u64;
        self.queue.remove(BATCH);
    }

    /// Sends what waits, but for the rest that there is no room for.
    fn flush(&mut self, troubles: &mut VecDeque<Trouble>) {
        if self.queue.is_empty() || self.blocked != Blocked::No {
            return;
        }
        let sent = self.link.send_batch(self.queue.frames());
        self.queue.remove(sent.done);
        if !self.queue.is_empty() {
            self.blocked = Blocked::Until(Tick::now() + PATIENCE);
        }
        if let Some(error) = sent.error {
            tracing::debug!(link = %self.link, %error, "a frame was not sent");
            troubles.extend(self.reports.report(&self.link, &error));
        }
    }
}

#[cfg(test)]
#[path = "../../tests/common/mod.rs"]
mod common;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::process::Command;
    use std::task::Waker;

    use super::common::{in_namespace, ip};
    use super::*;
    use crate::types::LinkAddr;

    const SLOW: LinkId = LinkId(1);
    const FAST: LinkId = LinkId(2);

    fn tc(arguments: &str) {
        let output = Command::new("tc").args(arguments.split(' ')).output().expect("tc(8) is needed");
        assert!(output.status.success(), "tc {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn counters(links: &Links, link: LinkId) -> LinkCounters {
        links.counters().find(|(id, _)| *id == link).unwrap().1
    }

    /// Two links that are up; what the first is given hardly ever leaves the machine.
    async fn links() -> Links {
        for (here, there) in [("slow0", "slow1"), ("fast0", "fast1")] {
            ip(&format!("link add {here} type veth peer name {there}"));
            for end in [here, there] {
                ip(&format!("link set {end} addrgenmode none"));
                ip(&format!("link set {end} up"));
            }
        }
        tc("qdisc add dev slow0 root tbf rate 8kbit burst 2k limit 100m");
        let specs = ["ethernet:slow0", "ethernet:fast0"].map(|spec| spec.parse().unwrap());
        let (mut links, _) = Links::open(specs.into()).unwrap();
        let mut inbound = Inbound::new();
        let mut up = 0;
        while up < 2 {
            if let Received::Up { .. } = poll_fn(|cx| links.poll(cx, &mut inbound)).await {
                up += 1;
            }
        }
        links
    }

    fn push(links: &mut Links, link: LinkId) {
        let to = Destination::Station(LinkAddr::new(&[2, 0, 0, 0, 0, 9]).unwrap());
        let mut frame = vec![7; 1400];
        links.push(link, to, &mut frame);
        assert!(frame.is_empty());
    }

    /// Fills the slow link; how many frames it took.
    fn fill(links: &mut Links) -> u64 {
        let mut pushed = 0;
        while !links.are_blocked() {
            push(links, SLOW);
            pushed += 1;
        }
        pushed
    }

    fn is_writable(links: &mut Links) -> bool {
        links.poll_writable(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_full_link_keeps_what_it_has() {
        in_namespace("driver::links::tests::a_full_link_keeps_what_it_has", || async {
            let mut links = links().await;
            let pushed = fill(&mut links);
            assert!(!is_writable(&mut links));
            // Others send on.
            for _ in 0..3 {
                push(&mut links, FAST);
            }
            links.flush();
            assert_eq!(counters(&links, FAST).sent, 3);
            // What waits is a batch at most; the rest is lost.
            let room = BATCH as u64 - (pushed - counters(&links, SLOW).sent);
            for _ in 0..room + 5 {
                push(&mut links, SLOW);
            }
            links.flush();
            assert_eq!(counters(&links, SLOW).dropped_full, 5);
            // The queue of the interface is emptied with its discipline.
            tc("qdisc del dev slow0 root");
            poll_fn(|cx| links.poll_writable(cx)).await;
            assert!(!links.are_blocked() && links.poll_timeout().is_none());
            assert_eq!(counters(&links, SLOW).sent, pushed + room);
        });
    }

    #[test]
    fn a_link_that_goes_down_holds_nobody() {
        in_namespace("driver::links::tests::a_link_that_goes_down_holds_nobody", || async {
            let mut links = links().await;
            let pushed = fill(&mut links);
            ip("link set slow1 down");
            let mut inbound = Inbound::new();
            let is_down = |news| matches!(news, Received::Down { link: SLOW, .. });
            while !is_down(poll_fn(|cx| links.poll(cx, &mut inbound)).await) {}
            assert!(!links.are_blocked() && links.poll_timeout().is_none());
            push(&mut links, SLOW);
            links.flush();
            let LinkCounters { sent, dropped_full, dropped_down, .. } = counters(&links, SLOW);
            assert_eq!((sent + dropped_full, dropped_down), (pushed, 1));
        });
    }

    #[test]
    fn a_stuck_link_holds_nobody() {
        in_namespace("driver::links::tests::a_stuck_link_holds_nobody", || async {
            let mut links = links().await;
            let pushed = fill(&mut links);
            let due = links.poll_timeout().unwrap();
            links.handle_timeout(due - Duration::from_millis(1));
            assert!(links.are_blocked());
            links.handle_timeout(due);
            assert!(!links.are_blocked() && links.poll_timeout().is_none() && !is_writable(&mut links));
            push(&mut links, SLOW);
            links.flush();
            let LinkCounters { sent, dropped_full, .. } = counters(&links, SLOW);
            assert_eq!(sent + dropped_full, pushed + 1);
            tc("qdisc del dev slow0 root");
            poll_fn(|cx| links.poll_writable(cx)).await;
            push(&mut links, SLOW);
            links.flush();
            assert_eq!(counters(&links, SLOW).sent, sent + 1);
        });
    }
}
