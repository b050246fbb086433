//! Flows over one bottleneck with a queue that drops at its tail, in virtual time: utilisation, fairness, and goodput
//! under loss.

use super::*;

/// The bottleneck. Acknowledgements come back beside it, as late.
#[derive(Clone, Copy)]
struct Path {
    /// Bits a second.
    rate: u64,
    /// One way.
    delay: Duration,
    /// Bytes.
    queue: u64,
    /// Packets of 1,000 that are lost at random, in the direction of the data.
    loss: u32,
    mtu: usize,
}

impl Path {
    fn bytes_in(self, time: Duration) -> u64 {
        self.rate / 8 * time.as_micros() as u64 / 1_000_000
    }
}

struct Flow {
    ends: [Endpoint; 2],
    addresses: [Address; 2],
    connections: [Option<ConnectionId>; 2],
    stream: Option<StreamId>,
    begins: Instant,
    received: u64,
}

impl Flow {
    fn new(number: u8, begins: Instant, mtu: usize) -> Self {
        let mut ends =
            [ALICE, BOB].map(|key| Endpoint::new(Config::default(), credentials(key), [number; 32]).unwrap());
        let addresses = [0, 1].map(|end| ends[end].node_id().address());
        ends[0].set_path_mtu(addresses[1], mtu);
        ends[1].set_path_mtu(addresses[0], mtu);
        Self { ends, addresses, connections: [None; 2], stream: None, begins, received: 0 }
    }

    /// The application: the client writes whatever fits, the server reads whatever came.
    fn drive(&mut self, now: Instant) {
        if self.connections[0].is_none() && self.begins <= now {
            let peer = self.ends[1].node_id();
            self.connections[0] = Some(self.ends[0].connect(now, peer, Purpose::Application).unwrap());
        }
        let mut sink = Vec::new();
        for end in [0, 1] {
            while let Some((connection, event)) = self.ends[end].poll_event() {
                match event {
                    Event::Connected { .. } => {
                        self.connections[end] = Some(connection);
                        if end == 0 {
                            self.stream = Some(self.ends[0].open(connection).unwrap());
                            self.write();
                        }
                    }
                    Event::Writable(_) => self.write(),
                    Event::Readable(stream) => {
                        sink.clear();
                        read_all(&mut self.ends[1], connection, stream, &mut sink);
                        self.received += sink.len() as u64;
                    }
                    Event::Closed { reason, .. } => panic!("{reason}"),
                    _ => {}
                }
            }
        }
    }

    fn write(&mut self) {
        let (Some(connection), Some(stream)) = (self.connections[0], self.stream) else { return };
        let data = bytes::Bytes::from_static(&[7; 65_536]);
        while self.ends[0].write_bytes(connection, stream, data.clone()).unwrap() == data.len() {}
    }
}

/// Arrival, order, flow, receiving end, packet.
type Arrival = (Instant, u64, usize, usize, Vec<u8>);

struct World {
    path: Path,
    now: Instant,
    flows: Vec<Flow>,
    flying: BinaryHeap<Reverse<Arrival>>,
    order: u64,
    /// When the bottleneck will have sent what is in its queue, in nanoseconds.
    busy_until: u64,
    random: StdRng,
    dropped: u64,
}

impl World {
    fn new(path: Path, begins: &[Duration]) -> Self {
        let start = Instant::from_micros(1);
        let flow = |(number, begin): (usize, &Duration)| Flow::new(number as u8, start + *begin, path.mtu);
        Self {
            path,
            now: start,
            flows: begins.iter().enumerate().map(flow).collect(),
            flying: BinaryHeap::new(),
            order: 0,
            busy_until: 0,
            random: StdRng::seed_from_u64(11),
            dropped: 0,
        }
    }

    /// When a packet that enters the bottleneck now leaves it, unless it is dropped.
    fn pass(&mut self, len: usize) -> Option<Instant> {
        let now = self.now.as_micros() * 1000;
        let start = self.busy_until.max(now);
        let queued = (start - now) as u128 * u128::from(self.path.rate) / 8_000_000_000;
        if queued as u64 + len as u64 > self.path.queue || self.random.random_range(0..1000) < self.path.loss
        {
            self.dropped += 1;
            return None;
        }
        self.busy_until = start + len as u64 * 8_000_000_000 / self.path.rate;
        Some(Instant::from_micros(self.busy_until / 1000))
    }

    fn transmit(&mut self, flow: usize) {
        for end in [0, 1] {
            loop {
                let mut packet = Vec::new();
                if self.flows[flow].ends[end].poll_transmit(self.now, &mut packet).is_none() {
                    break;
                }
                assert!(packet.len() <= self.path.mtu);
                let left = if end == 0 { self.pass(packet.len()) } else { Some(self.now) };
                if let Some(left) = left {
                    self.order += 1;
                    self.flying.push(Reverse((left + self.path.delay, self.order, flow, 1 - end, packet)));
                }
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let timers = self.flows.iter().flat_map(|flow| {
                let begin = flow.connections[0].is_none().then_some(flow.begins);
                flow.ends.iter().filter_map(Endpoint::poll_timeout).chain(begin)
            });
            let next = timers.chain(self.flying.peek().map(|next| next.0.0)).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            let mut touched = None;
            if let Some(Reverse((_, _, flow, receiver, mut packet))) = self
                .flying
                .peek()
                .is_some_and(|flying| flying.0.0 <= self.now)
                .then(|| self.flying.pop())
                .flatten()
            {
                let source = self.flows[flow].addresses[1 - receiver];
                let _ = self.flows[flow].ends[receiver].handle_packet(self.now, source, &mut packet);
                touched = Some(flow);
            }
            for flow in 0..self.flows.len() {
                let is_due = |end: &Endpoint| end.poll_timeout().is_some_and(|timer| timer <= self.now);
                if touched != Some(flow)
                    && !self.flows[flow].ends.iter().any(is_due)
                    && (self.flows[flow].connections[0].is_some() || self.flows[flow].begins > self.now)
                {
                    continue;
                }
                for end in &mut self.flows[flow].ends {
                    end.handle_timeout(self.now);
                }
                self.flows[flow].drive(self.now);
                self.transmit(flow);
            }
        }
        self.now = end;
    }

    /// Bits a second that each flow's application got in the next `time`.
    fn goodput(&mut self, time: Duration) -> Vec<f64> {
        let before: Vec<_> = self.flows.iter().map(|flow| flow.received).collect();
        self.run(time);
        let got = self.flows.iter().zip(before).map(|(flow, before)| flow.received - before);
        got.map(|bytes| bytes as f64 * 8.0 / time.as_secs_f64()).collect()
    }

    fn statistics(&self, flow: usize) -> super::super::Statistics {
        let flow = &self.flows[flow];
        flow.ends[0].statistics(flow.connections[0].unwrap()).unwrap()
    }
}

#[test]
fn a_long_fat_link_is_filled() {
    let delay = Duration::from_millis(25);
    let mut path = Path { rate: 1_000_000_000, delay, queue: 0, loss: 0, mtu: 8950 };
    // Half of the product of bandwidth and delay.
    path.queue = path.bytes_in(delay);
    let mut world = World::new(path, &[Duration::ZERO]);
    world.run(Duration::from_secs(3));
    let goodput = world.goodput(Duration::from_secs(5))[0];
    let statistics = world.statistics(0);
    assert!(goodput >= 0.9 * path.rate as f64, "{:.0} Mbit/s, {statistics:?}", goodput / 1e6);
    assert!(statistics.packets_lost <= world.dropped + 2, "{statistics:?}");
}

#[test]
fn four_flows_share_a_bottleneck_fairly() {
    let delay = Duration::from_millis(10);
    let mut path = Path { rate: 40_000_000, delay, queue: 0, loss: 0, mtu: 1454 };
    path.queue = path.bytes_in(2 * delay);
    let begins = [0, 300, 700, 1500].map(Duration::from_millis);
    let mut world = World::new(path, &begins);
    world.run(Duration::from_secs(10));
    let goodput = world.goodput(Duration::from_secs(20));
    let (sum, squares) =
        goodput.iter().fold((0.0, 0.0), |(sum, squares), rate| (sum + rate, squares + rate * rate));
    let jain = sum * sum / (goodput.len() as f64 * squares);
    assert!(jain >= 0.95, "Jain's index {jain:.3}: {goodput:.0?}");
    assert!(sum >= 0.9 * path.rate as f64, "{goodput:.0?}");
}

#[test]
fn a_bandwidth_that_drops_and_returns_is_followed() {
    let delay = Duration::from_millis(10);
    let mut path = Path { rate: 40_000_000, delay, queue: 0, loss: 0, mtu: 1454 };
    path.queue = path.bytes_in(2 * delay);
    let mut world = World::new(path, &[Duration::ZERO]);
    for rate in [40_000_000, 2_000_000, 40_000_000] {
        world.path.rate = rate;
        // The queue stays: at a twentieth of the rate it holds 400 ms.
        world.run(Duration::from_secs(5));
        let goodput = world.goodput(Duration::from_secs(5))[0];
        assert!(goodput >= 0.85 * rate as f64, "{goodput:.0} of {rate} bit/s, {:?}", world.statistics(0));
    }
}

/// RFC 9438 §5.1 and §4.3: on a short round trip the window is Reno's on average, sqrt(1.5 / p) packets.
#[test]
fn loss_costs_no_more_than_the_window_that_it_allows() {
    for (loss, least) in [(10, 0.75), (50, 0.6)] {
        let delay = Duration::from_micros(500);
        let path = Path { rate: 1_000_000_000, delay, queue: 1 << 20, loss, mtu: 1454 };
        let mut world = World::new(path, &[Duration::ZERO]);
        world.run(Duration::from_secs(1));
        let goodput = world.goodput(Duration::from_secs(4))[0];
        let window = (1.5 / (f64::from(loss) / 1000.0)).sqrt() * path.mtu as f64 * 8.0;
        let theory = window / (2.0 * delay.as_secs_f64());
        let statistics = world.statistics(0);
        assert!(goodput >= least * theory, "{loss}: {goodput:.0} of {theory:.0} bit/s, {statistics:?}");
        println!("loss {loss}: {:.2} of theory", goodput / theory);
    }
}
