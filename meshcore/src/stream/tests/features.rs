use super::*;
use bytes::Bytes;

/// Two connected nodes; the server keeps what it reads.
struct Talk {
    net: Net,
    client: ConnectionId,
    server: ConnectionId,
}

impl Talk {
    fn new(seed: u64, config: Config) -> Self {
        let mut net = Net::with(seed, CLEAN, [config.clone(), config]);
        let (client, server) = net.establish();
        Self { net, client, server }
    }

    /// Sends `len` bytes on a new stream, with `change` in the middle, and checks that they arrive.
    fn transfer(&mut self, len: usize, change: impl FnOnce(&mut Net)) {
        let stream = self.net.endpoint(0).open(self.client).unwrap();
        let data = Bytes::from(pattern(len, 3));
        let mut written = 0;
        let (mut read, mut change) = (Vec::new(), Some(change));
        let server = self.server;
        let client = self.client;
        self.net.run_until("the data", |net| {
            while written < len {
                match net.endpoint(0).write_bytes(client, stream, data.slice(written..)).unwrap() {
                    0 => break,
                    taken => written += taken,
                }
            }
            net.take_events(0);
            for (_, event) in net.take_events(1) {
                if event == Event::Readable(stream) {
                    while let Ok((ReadOutcome::Data(len), bytes)) =
                        net.endpoint(1).read_bytes(server, stream, 10_000)
                    {
                        assert_eq!(bytes.len(), len);
                        read.extend(bytes);
                    }
                }
            }
            if read.len() >= len / 3
                && let Some(change) = change.take()
            {
                change(net);
            }
            read.len() == len
        });
        assert!(read == data, "seed {}", self.net.seed);
    }

    fn statistics(&self) -> crate::stream::Statistics {
        self.net.nodes[0].endpoint.statistics(self.client).unwrap()
    }
}

#[test]
fn urgent_streams_go_first_and_equal_ones_take_turns() {
    let Talk { mut net, client, server } = Talk::new(1, Config::default());
    let streams = [0, 1, 2, 3].map(|_| net.endpoint(0).open(client).unwrap());
    // Set before and after the bytes wait.
    net.endpoint(0).set_priority(client, streams[0], 6).unwrap();
    for stream in streams {
        net.endpoint(0).write(client, stream, &pattern(100_000, 0)).unwrap();
    }
    net.endpoint(0).set_priority(client, streams[3], 0).unwrap();
    let mut finished = Vec::new();
    let mut got = [0; 4];
    net.run_until("all streams", |net| {
        for (_, event) in net.take_events(1) {
            let Event::Readable(stream) = event else { continue };
            let index = streams.iter().position(|other| *other == stream).unwrap();
            let mut read = Vec::new();
            read_all(net.endpoint(1), server, stream, &mut read);
            got[index] += read.len();
            if got[index] == 100_000 {
                finished.push(index);
                if index == 3 {
                    assert!(got[1] + got[2] < 20_000 && got[0] == 0, "{got:?}");
                }
            }
        }
        finished.len() == 4
    });
    assert_eq!((finished[0], finished[3]), (3, 0));
    let missing = net.endpoint(0).set_priority(client, StreamId(400), 1);
    assert_eq!(missing, Err(StreamError::UnknownStream));
}

#[test]
fn datagrams_arrive_or_are_lost_and_never_hold_up_streams() {
    let Talk { mut net, client, server } = Talk::new(2, Config { send_buffer: 200_000, ..Config::default() });
    net.link.loss = 10;
    let stream = net.endpoint(0).open(client).unwrap();
    net.endpoint(0).write(client, stream, &pattern(200_000, 1)).unwrap();
    let limit = net.endpoint(0).max_datagram_len(client).unwrap();
    assert!(limit > 1100 && limit < 1200);
    for number in 0..500u32 {
        let mut data = vec![0; limit];
        data[..4].copy_from_slice(&number.to_be_bytes());
        net.endpoint(0).send_datagram(client, data.into()).unwrap();
    }
    let too_long = net.endpoint(0).send_datagram(client, vec![0; limit + 1].into());
    assert_eq!(too_long, Err(DatagramError::TooLong { limit }));
    let (mut heard, mut read) = (Vec::new(), Vec::new());
    net.run_until("the stream", |net| {
        for (_, event) in net.take_events(1) {
            match event {
                Event::Readable(stream) => {
                    read_all(net.endpoint(1), server, stream, &mut read);
                }
                Event::Datagram => {
                    while let Some(data) = net.endpoint(1).read_datagram(server) {
                        heard.push(u32::from_be_bytes(data[..4].try_into().unwrap()));
                    }
                }
                _ => {}
            }
        }
        read.len() == 200_000
    });
    net.run_for(Duration::from_secs(5));
    for (_, event) in net.take_events(1) {
        assert!(matches!(event, Event::Datagram));
    }
    while let Some(data) = net.endpoint(1).read_datagram(server) {
        heard.push(u32::from_be_bytes(data[..4].try_into().unwrap()));
    }
    heard.sort();
    heard.dedup();
    assert!((380..500).contains(&heard.len()), "{}", heard.len());
    let statistics = net.nodes[0].endpoint.statistics(client).unwrap().datagrams;
    assert_eq!((statistics.sent, statistics.dropped), (500, 0));
}

#[test]
fn a_node_may_take_no_datagrams() {
    let none = Config { datagram_buffer: 0, ..Config::default() };
    let mut net = Net::with(3, CLEAN, [Config::default(), none]);
    let (client, server) = net.establish();
    assert_eq!(net.endpoint(0).max_datagram_len(client), None);
    let refused = net.endpoint(0).send_datagram(client, Bytes::from_static(b"x"));
    assert_eq!(refused, Err(DatagramError::Unsupported));
    let now = net.now;
    net.endpoint(1).inject(now, server, &[0x31, 1, 0]);
    net.run_until("the close", |net| net.closed(1).is_some());
    assert!(
        matches!(net.closed(1), Some(CloseReason::Protocol(error)) if error.code == TransportCode::Protocol)
    );
}

#[test]
fn keep_alive_keeps_an_idle_connection() {
    let keeping = Config { keep_alive: Some(Duration::from_secs(20)), ..Config::default() };
    let mut net = Net::with(4, CLEAN, [keeping, Config::default()]);
    let (client, server) = net.establish();
    let before = net.nodes[0].sent_bytes;
    net.run_for(Duration::from_secs(1000));
    assert!(net.endpoint(0).is_connected(client) && net.endpoint(1).is_connected(server));
    // Some 40 bytes each 20 seconds.
    assert!(net.nodes[0].sent_bytes - before < 50 * 100, "{}", net.nodes[0].sent_bytes - before);
}

#[test]
fn the_mtu_may_change_both_ways_in_mid_transfer() {
    for (seed, before, after) in [(5, 9000, 1500), (6, 1500, 9000), (7, 1200, 128), (8, 128, 65_000)] {
        let mut talk = Talk::new(seed, Config::default());
        talk.net.set_mtu(before);
        talk.transfer(1 << 20, |net| net.change_mtu(after));
        let statistics = talk.statistics();
        assert_eq!(statistics.mtu, after);
        if after < before {
            assert!(statistics.packets_lost > 0);
            // That was no congestion.
            assert_eq!(statistics.congestion_events, 0, "{before} to {after}: {statistics:?}");
        }
    }
}

#[test]
fn another_path_is_measured_anew() {
    let mut talk = Talk::new(9, Config::default());
    talk.transfer(1 << 20, |net| {
        net.link.delay = Duration::from_millis(60);
        let (alice, bob, now) = (net.nodes[0].address, net.nodes[1].address, net.now);
        net.endpoint(0).on_path_change(now, bob);
        net.endpoint(1).on_path_change(now, alice);
    });
    let statistics = talk.statistics();
    assert!(statistics.rtt >= Duration::from_millis(100), "{statistics:?}");
    assert!(statistics.min_rtt >= Duration::from_millis(20), "{statistics:?}");
}

#[test]
fn windows_grow_to_the_bandwidth_delay_product() {
    let small = Config { stream_window: 20_000, connection_window: 20_000, ..Config::default() };
    let fixed = Config { max_stream_window: 20_000, max_connection_window: 20_000, ..small.clone() };
    let poor = Config { window_budget: 10_000, ..small.clone() };
    let [growing, fixed, poor] = [small, fixed, poor].map(|config| {
        let mut talk = Talk::new(10, config);
        let begin = talk.net.now;
        talk.transfer(2 << 20, |_| {});
        talk.net.now - begin
    });
    // 20,000 bytes each 20 ms are a megabyte a second.
    assert!(fixed >= Duration::from_millis(2000), "{fixed:?}");
    assert!(poor >= Duration::from_millis(1900), "{poor:?}");
    assert!(growing <= Duration::from_millis(700), "{growing:?}");
}

#[test]
fn acknowledgements_become_rare_while_the_window_grows() {
    let mut talk = Talk::new(11, Config::default());
    talk.transfer(8 << 20, |_| {});
    let (there, back) = (talk.statistics(), talk.net.nodes[1].endpoint.statistics(talk.server).unwrap());
    assert!(back.packets_sent * 8 < there.packets_sent, "{there:?} {back:?}");
    assert_eq!((there.packets_lost, there.bytes_retransmitted), (0, 0));
    assert_eq!(there.packets_sent, back.packets_received);
}

/// RFC 9002 §7.8: whom the driver holds back has not learned that the window may be larger.
#[test]
fn the_window_stays_when_the_driver_is_the_limit() {
    let Talk { mut net, client, server } = Talk::new(5, Config::default());
    net.run_for(Duration::from_secs(1));
    let stream = net.endpoint(0).open(client).unwrap();
    let data = pattern(1 << 16, 0);
    let mut read = Vec::new();
    for round in 0..500 {
        net.now += Duration::from_millis(1);
        let now = net.now;
        while net.endpoint(0).write(client, stream, &data).unwrap() > 0 {}
        // At first the window is what holds the sender back, then a link that takes little at a time.
        let limit = if round == 0 { usize::MAX } else { 8 };
        for (from, limit) in [(0, limit), (1, usize::MAX)] {
            let (source, to) = (net.nodes[from].address, 1 - from);
            net.endpoint(from).handle_timeout(now);
            for _ in 0..limit {
                let mut packet = Vec::new();
                if net.endpoint(from).poll_transmit(now, &mut packet).is_none() {
                    break;
                }
                net.endpoint(to).handle_packet(now, source, &mut packet).unwrap();
            }
            while net.endpoint(1).poll_event().is_some() {}
            read.clear();
            // At first the peer has not heard of the stream.
            let _ = net.endpoint(1).read(server, stream, &mut read, usize::MAX);
        }
    }
    let statistics = net.endpoint(0).statistics(client).unwrap();
    assert_eq!(statistics.packets_lost, 0);
    assert!(statistics.congestion_window < 40 * 1200, "{}", statistics.congestion_window);
}
