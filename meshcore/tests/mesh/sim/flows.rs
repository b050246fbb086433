//! Probe frames between nodes, forwarded hop by hop by the nodes themselves and answered at the end.

use std::collections::{BTreeMap, BTreeSet};

use meshcore::types::{Address, Instant};

use super::reach::best_delivery;
use super::router::Router;
use super::scenario::Flow;
use super::station::node_at;
use super::tally::Delivery;
use super::world::World;

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const PAYLOAD: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Flows {
    all: Vec<Progress>,
    pub total: Delivery,
    /// What the oracle says of frames from a node, for one version of the world.
    best: BTreeMap<usize, (u64, Vec<f64>)>,
}

#[derive(Debug)]
struct Progress {
    flow: Flow,
    sent: u64,
    /// Requests that count and have not arrived yet.
    on_the_way: BTreeSet<u64>,
    /// Answered requests, with the time at which the answer came.
    answered: Vec<Instant>,
}

impl Flows {
    /// When answers to the frames of a flow came.
    pub(crate) fn answers(&self, flow: usize) -> &[Instant] {
        &self.all[flow].answered
    }

    pub(crate) fn requests(&self, flow: usize) -> u64 {
        self.all[flow].sent
    }
}

fn payload(kind: u8, flow: usize, number: u64) -> [u8; PAYLOAD] {
    let mut bytes = [kind; PAYLOAD];
    bytes[..8].copy_from_slice(&(flow as u64).to_be_bytes());
    bytes[8..16].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> Option<(usize, u64, u8)> {
    let word = |range: std::ops::Range<usize>| Some(u64::from_be_bytes(bytes.get(range)?.try_into().ok()?));
    Some((word(0..8)? as usize, word(8..16)?, *bytes.get(16)?))
}

impl<R: Router> World<R> {
    /// Starts sending; times are since the beginning of the world. Tells the number of the flow.
    pub(crate) fn start_flow(&mut self, flow: Flow) -> usize {
        let number = self.flows.all.len();
        let first = (self.begin() + flow.start).max(self.now);
        self.flows.all.push(Progress { flow, sent: 0, on_the_way: BTreeSet::new(), answered: Vec::new() });
        self.plan_probe(first, number);
        number
    }

    pub(super) fn probe(&mut self, number: usize) {
        let Some(Progress { flow, .. }) = self.flows.all.get(number) else { return };
        let flow = *flow;
        if self.elapsed() > flow.end {
            return;
        }
        self.plan_probe(self.now + flow.every, number);
        if !self.is_up(flow.from) {
            return;
        }
        let best = self.best(flow.from, flow.to);
        let progress = &mut self.flows.all[number];
        progress.sent += 1;
        let request = payload(REQUEST, number, progress.sent);
        if best > 0.0 {
            progress.on_the_way.insert(progress.sent);
            self.flows.total.sent += 1;
            self.flows.total.possible += best;
        } else {
            self.flows.total.hopeless += 1;
        }
        self.send_probe(flow.from, self.stations[flow.to].address, &request);
    }

    /// Share of frames that arrives by the best way.
    fn best(&mut self, from: usize, to: usize) -> f64 {
        let known = self.flows.best.get(&from).filter(|(version, _)| *version == self.changes);
        if let Some((_, best)) = known {
            return best[to];
        }
        let best = best_delivery(&self.air, |node| self.is_up(node), self.stations.len(), from);
        let share = best[to];
        self.flows.best.insert(from, (self.changes, best));
        share
    }

    fn send_probe(&mut self, from: usize, to: Address, payload: &[u8]) {
        let mut frame = Vec::new();
        let sent = self.with(from, |router, now| router.own_frame(now, to, payload, &mut frame));
        if let Some(Some((link, at))) = sent {
            self.send_data(from, link, at, &frame);
        }
    }

    pub(super) fn deliver(&mut self, node: usize, source: Address, bytes: &[u8]) {
        let Some((flow, number, kind)) = parse(bytes) else { return };
        let Some(progress) = self.flows.all.get_mut(flow) else { return };
        match kind {
            REQUEST if node == progress.flow.to && node_at(source) == Some(progress.flow.from) => {
                self.flows.total.arrived += u64::from(progress.on_the_way.remove(&number));
                // As the layer above does: whatever is authentic is a sign of life.
                self.with(node, |router, now| router.confirm_path(now, source));
                self.send_probe(node, source, &payload(REPLY, flow, number));
            }
            REPLY if node == progress.flow.from => {
                progress.answered.push(self.now);
                self.with(node, |router, now| router.confirm_path(now, source));
            }
            _ => {}
        }
    }
}
