//! Frames that travel: to this node, through it, and from it.

use std::collections::BTreeMap;

use rand::RngExt;

use super::config::{MAX_WATCHED, SWALLOWED};
use super::output::Control;
use super::{Delivery, DropReason, Handled, Mesh, NextHop, Timer};
use crate::types::{Address, Instant, LinkAddr, LinkId};
use crate::wire::frame::{FrameHeader, FrameType, HEADER_LEN};

/// Own frames to a destination since its last sign of life.
#[derive(Debug, Clone, Copy)]
struct Unconfirmed {
    since: Instant,
    frames: u32,
}

/// Which destinations of own frames give no sign of life.
#[derive(Debug, Default)]
pub(super) struct Watch {
    destinations: BTreeMap<Address, Unconfirmed>,
}

impl Watch {
    /// A frame goes out. Whether so many have gone unconfirmed that another next hop should be tried.
    fn on_sent(&mut self, now: Instant, destination: Address) -> bool {
        if self.destinations.len() >= MAX_WATCHED && !self.destinations.contains_key(&destination) {
            self.destinations.pop_first();
        }
        let fresh = Unconfirmed { since: now, frames: 0 };
        let entry = self.destinations.entry(destination).or_insert(fresh);
        entry.frames = entry.frames.saturating_add(1);
        let (frames, time) = SWALLOWED;
        let swallowed = entry.frames >= frames && now - entry.since >= time;
        if swallowed {
            *entry = fresh;
        }
        swallowed
    }

    fn on_sign_of_life(&mut self, destination: Address) {
        self.destinations.remove(&destination);
    }
}

impl Mesh {
    /// Where the next frame of this node towards `destination` goes. The path counts as active from now on: its next hop
    /// is asked for signs of life, and when none comes from the destination itself, another next hop is tried.
    pub fn next_hop(&mut self, now: Instant, destination: Address) -> Option<NextHop> {
        if self.watch.on_sent(now, destination) {
            self.router.avoid_next_hop(now, destination);
            self.settle(now);
        }
        self.use_route(now, destination)
    }

    /// Something authentic has come from `node`: the path to it works from end to end.
    pub fn confirm_path(&mut self, node: Address) {
        self.watch.on_sign_of_life(node);
    }

    /// The next hop of a frame that is sent now.
    pub(super) fn use_route(&mut self, now: Instant, destination: Address) -> Option<NextHop> {
        let route = self.router.selected(destination)?;
        let (link, node) = (route.hop.link, route.hop.node);
        let neighbour = self.links.get_mut(&link)?.table.get_mut(node)?;
        let to = neighbour.at;
        if neighbour.liveness.on_traffic(now, || self.rng.random()) {
            self.timers.set(Timer::Probe(link, node), now);
            let seed = self.rng.random();
            self.begin_long_questions(now, link, node, seed);
        }
        Some(NextHop { link, to, mtu: route.mtu.into() })
    }

    /// A frame that may cross several links: delivers it, passes it on, or drops it.
    pub(super) fn on_travelling<'a>(
        &mut self,
        now: Instant,
        id: LinkId,
        from: LinkAddr,
        header: &FrameHeader,
        frame: &'a mut [u8],
    ) -> Result<Handled<'a>, DropReason> {
        let link = self.links.get(&id).ok_or(DropReason::UnknownLink)?;
        let previous = link.table.usable_at(from);
        if let Some(previous) = previous
            && let Some(neighbour) = self.neighbour_mut(id, previous)
        {
            neighbour.on_frame(now, from);
        }
        if header.destination != self.own {
            let previous = previous.ok_or(DropReason::UnknownNeighbour)?;
            return self.pass_on(now, (id, from, previous), header, frame);
        }
        let payload = frame.get_mut(HEADER_LEN..).ok_or(DropReason::Malformed)?;
        match header.kind {
            FrameType::Echo => self.on_echo(now, (id, from), header, payload).map(|()| Handled::Done),
            kind => Ok(Handled::Deliver(Delivery { source: header.source, kind, payload })),
        }
    }

    /// Passes a frame on in the buffer that it came in: nothing is copied, nothing allocated, nothing queued here.
    fn pass_on<'a>(
        &mut self,
        now: Instant,
        (link, from, previous): (LinkId, LinkAddr, Address),
        header: &FrameHeader,
        frame: &'a mut [u8],
    ) -> Result<Handled<'a>, DropReason> {
        if header.destination == Address::EVERYONE {
            return Err(DropReason::NotForUs);
        }
        if header.hop_limit <= 1 {
            self.on_hop_limit_exceeded(
                now,
                (link, from),
                header,
                frame.get(HEADER_LEN..).unwrap_or_default(),
            );
            return Err(DropReason::HopLimitExceeded);
        }
        let Some(hop) = self.use_route(now, header.destination) else {
            // It believes that we have a route: a reminder shows it what it has missed.
            if self.links.get_mut(&link).is_some_and(|link| link.budget(true).answers.take(now)) {
                self.push(Control::ReminderTo { link, node: previous });
            }
            return Err(DropReason::NoRoute);
        };
        if frame.len() > hop.mtu + HEADER_LEN {
            return Err(DropReason::TooBig);
        }
        FrameHeader::set_hop_limit(frame, header.hop_limit - 1);
        Ok(Handled::Forward { hop, frame })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn unconfirmed_frames_are_noticed_and_the_watch_is_bounded() {
        let mut watch = Watch::default();
        let node = Address([1; 16]);
        let at = |millis: u64| Instant::from_micros(0) + Duration::from_millis(millis);
        assert!(![0, 100, 200, 300, 1400].map(|millis| watch.on_sent(at(millis), node)).contains(&true));
        assert!(watch.on_sent(at(1500), node));
        assert!(!watch.on_sent(at(1501), node));
        watch.on_sign_of_life(node);
        assert!(!watch.on_sent(at(9000), node));
        for number in 0..2 * MAX_WATCHED as u128 {
            watch.on_sent(at(9000), Address(number.to_be_bytes()));
        }
        assert!(watch.destinations.len() <= MAX_WATCHED);
    }
}
