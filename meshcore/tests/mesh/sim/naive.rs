//! A distance vector as it was before anybody knew better (RFC 1058 without split horizon): it counts to infinity and
//! loops, which the simulator has to see.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use meshcore::types::{Address, Destination, Instant, LinkAddr, LinkId};

use super::router::{Acquaintance, Birth, Notice, Received, Router};

const PERIOD: Duration = Duration::from_secs(1);
const LIFE: Duration = Duration::from_millis(3500);
const INFINITY: u8 = 64;
const VECTOR: u8 = 1;
const DATA: u8 = 2;
const ENTRY: usize = 17;

#[derive(Debug, Clone, Copy)]
struct Entry {
    metric: u8,
    link: LinkId,
    at: LinkAddr,
    via: Address,
    heard: Instant,
}

#[derive(Debug)]
pub(crate) struct Naive {
    own: Address,
    links: Vec<LinkId>,
    table: BTreeMap<Address, Entry>,
    next_update: Instant,
    queue: VecDeque<LinkId>,
    notices: VecDeque<Notice>,
}

fn address(bytes: &[u8]) -> Address {
    Address::try_from(&bytes[..16]).expect("sixteen bytes")
}

impl Naive {
    fn lose(&mut self, gone: impl Fn(&Entry) -> bool) {
        for (node, _) in self.table.extract_if(.., |_, entry| gone(entry)) {
            self.notices.push_back(Notice::Route(node));
        }
    }

    fn on_vector(&mut self, now: Instant, link: LinkId, at: LinkAddr, frame: &[u8]) {
        let via = address(&frame[1..]);
        for entry in frame[17..].chunks(ENTRY) {
            let (node, metric) = (address(entry), entry[16].saturating_add(1));
            let better = self.table.get(&node).is_none_or(|old| old.via == via || metric < old.metric);
            if node == self.own || !better {
                continue;
            }
            self.notices.push_back(Notice::Route(node));
            if metric < INFINITY {
                self.table.insert(node, Entry { metric, link, at, via, heard: now });
            } else {
                self.table.remove(&node);
            }
        }
    }
}

impl Router for Naive {
    fn start(now: Instant, birth: Birth) -> Self {
        Self {
            own: birth.identity.address,
            links: Vec::new(),
            table: BTreeMap::new(),
            next_update: now,
            queue: VecDeque::new(),
            notices: VecDeque::new(),
        }
    }

    fn add_link(&mut self, _now: Instant, link: LinkId, _mtu: usize, _wired: bool) {
        self.links.push(link);
    }

    fn remove_link(&mut self, _now: Instant, link: LinkId) {
        self.links.retain(|known| *known != link);
        self.lose(|entry| entry.link == link);
    }

    fn handle_frame<'a>(
        &mut self,
        now: Instant,
        link: LinkId,
        from: LinkAddr,
        frame: &'a mut [u8],
    ) -> Received<'a> {
        if frame[0] == VECTOR {
            self.on_vector(now, link, from, frame);
            return Received::Taken;
        }
        let (source, destination) = (address(&frame[1..]), address(&frame[17..]));
        if destination == self.own {
            return Received::Deliver { source, payload: &frame[33..] };
        }
        let entry = self.table.get(&destination);
        entry.map_or(Received::Taken, |entry| Received::Forward { link: entry.link, to: entry.at, frame })
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.lose(|entry| now - entry.heard >= LIFE);
        if now >= self.next_update {
            self.next_update = now + PERIOD;
            self.queue.extend(&self.links);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.next_update)
    }

    fn poll_notice(&mut self, _now: Instant, _known: &mut Acquaintance<'_>) -> Option<Notice> {
        self.notices.pop_front()
    }

    fn poll_transmit(&mut self, _now: Instant, out: &mut Vec<u8>) -> Option<(LinkId, Destination)> {
        let link = self.queue.pop_front()?;
        out.push(VECTOR);
        out.extend(self.own.as_bytes());
        out.extend(self.own.as_bytes());
        out.push(0);
        for (node, entry) in &self.table {
            out.extend(node.as_bytes());
            out.push(entry.metric);
        }
        Some((link, Destination::Group))
    }

    fn next_hop(&self, destination: Address) -> Option<(LinkId, Address)> {
        self.table.get(&destination).map(|entry| (entry.link, entry.via))
    }

    fn own_frame(
        &mut self,
        _now: Instant,
        destination: Address,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<(LinkId, LinkAddr)> {
        let entry = self.table.get(&destination)?;
        out.push(DATA);
        out.extend(self.own.as_bytes());
        out.extend(destination.as_bytes());
        out.extend(payload);
        Some((entry.link, entry.at))
    }

    fn stray_frame(source: Address, destination: Address) -> Vec<u8> {
        let head = [DATA].into_iter();
        head.chain(*source.as_bytes()).chain(*destination.as_bytes()).collect()
    }

    fn is_for(frame: &[u8], destination: Address) -> bool {
        frame[17..].starts_with(destination.as_bytes())
    }

    fn confirm_path(&mut self, _now: Instant, _node: Address) {}

    fn leave(&mut self, _now: Instant) {}

    fn excess(&self) -> Option<String> {
        (self.table.len() > 4096).then(|| format!("{} routes", self.table.len()))
    }
}
