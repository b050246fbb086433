//! Links that carry nothing for a while, and nodes that get no time to run.

use super::*;

/// Flow control keeps the tests fast.
const WINDOW: u64 = 20_000;

/// Both ends write without end, and read what comes.
struct Talk {
    net: Net,
    connections: [ConnectionId; 2],
    streams: [StreamId; 2],
    received: [usize; 2],
}

impl Talk {
    fn new(seed: u64, link: Link, key_update_packets: u64) -> Self {
        let (stream, connection) = (WINDOW, 2 * WINDOW);
        let config = Config {
            stream_window: stream,
            max_stream_window: stream,
            connection_window: connection,
            max_connection_window: connection,
            send_buffer: 2 * WINDOW as usize,
            max_send_buffer: 2 * WINDOW as usize,
            key_update_packets,
            ..Config::default()
        };
        let mut net = Net::with(seed, link, [config.clone(), config]);
        let (client, server) = net.establish();
        let connections = [client, server];
        let streams = [0, 1].map(|node| net.endpoint(node).open(connections[node]).unwrap());
        let mut talk = Self { net, connections, streams, received: [0; 2] };
        [0, 1].into_iter().for_each(|node| talk.write(node));
        talk.run_for(Duration::from_millis(200));
        talk
    }

    fn write(&mut self, node: usize) {
        let (connection, stream) = (self.connections[node], self.streams[node]);
        while self.net.endpoint(node).write(connection, stream, &[7; 2000]).unwrap() == 2000 {}
    }

    /// What the applications do.
    fn serve(&mut self) {
        for node in [0, 1] {
            for (connection, event) in self.net.take_events(node) {
                match event {
                    Event::Writable(_) => self.write(node),
                    Event::Readable(stream) => {
                        let mut read = Vec::new();
                        read_all(self.net.endpoint(node), connection, stream, &mut read);
                        self.received[node] += read.len();
                    }
                    Event::Closed { reason, .. } => panic!("{reason}, seed {}", self.net.seed),
                    _ => {}
                }
            }
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.net.now + time;
        self.net.flush();
        while self.net.next().is_some_and(|next| next <= end) {
            self.net.step();
            self.serve();
        }
        self.net.now = end;
    }

    /// How long it takes until both ends have got something new.
    fn resumes(&mut self) -> Duration {
        let (begin, before) = (self.net.now, self.received);
        let is_new = |talk: &Self| (0..2).all(|node| talk.received[node] > before[node]);
        while !is_new(self) {
            assert!(self.net.step(), "nothing happens any more, seed {}", self.net.seed);
            self.serve();
        }
        self.net.now - begin
    }
}

#[test]
fn a_transfer_goes_on_soon_after_an_outage() {
    let link = Link { delay: Duration::from_millis(2), ..CLEAN };
    for (seed, millis) in (0..).zip([50, 300, 1_000, 3_000, 9_000, 20_000, 31_000, 40_000, 50_000]) {
        let mut talk = Talk::new(seed, link, u64::MAX);
        talk.net.is_cut = true;
        talk.run_for(Duration::from_millis(millis));
        talk.net.is_cut = false;
        let waited = talk.resumes();
        assert!(waited < Duration::from_secs(7), "{waited:?} after {millis} ms");
    }
}

#[test]
fn a_node_that_gets_no_time_to_run_loses_no_connection() {
    for seed in 0..10 {
        let link = Link { delay: Duration::from_millis(1), loss: seed as u32 % 3, burst: 6, ..CLEAN };
        let mut talk = Talk::new(seed, link, 200);
        for round in 0..30 {
            let node = talk.net.random.random_range(0..2);
            let longest = [20, 300, 2_000, 15_000][round % 4];
            let pause = Duration::from_millis(talk.net.random.random_range(1..longest));
            let mtu = [1200, 1200, 300, 1400][round % 4];
            talk.net.pause(node);
            talk.run_for(pause);
            talk.net.resume();
            talk.net.set_mtu(mtu);
            let waited = talk.resumes();
            // What is sent then may be lost twice.
            assert!(
                waited < Duration::from_secs(14),
                "{waited:?} after {pause:?}, seed {seed}, round {round}"
            );
            let run = Duration::from_millis(talk.net.random.random_range(1..50));
            talk.run_for(run);
        }
    }
}

#[test]
fn another_path_is_tried_at_once_though_the_window_is_full() {
    let mut talk = Talk::new(1, Link { delay: Duration::from_secs(1), ..CLEAN }, u64::MAX);
    talk.run_for(Duration::from_secs(20));
    talk.net.is_cut = true;
    talk.run_for(Duration::from_secs(3));
    talk.net.is_cut = false;
    talk.net.link = CLEAN;
    for node in [0, 1] {
        let (now, peer) = (talk.net.now, talk.net.nodes[1 - node].address);
        talk.net.endpoint(node).on_path_change(now, peer);
    }
    // The old path had round trips of two seconds.
    let waited = talk.resumes();
    assert!(waited < Duration::from_millis(100), "{waited:?}");
}
