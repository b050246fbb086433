use super::*;

/// Writes as much of `data` as fits, and the end.
fn pump(
    endpoint: &mut Endpoint,
    connection: ConnectionId,
    stream: StreamId,
    data: &[u8],
    written: &mut usize,
) {
    let before = *written;
    while *written < data.len() {
        match endpoint.write(connection, stream, &data[*written..]).unwrap() {
            0 => return,
            taken => *written += taken,
        }
    }
    if before < data.len() {
        endpoint.finish(connection, stream).unwrap();
    }
}

/// Moves bytes both ways on one stream and checks that they arrive exactly.
fn exchange(net: &mut Net, len: usize) {
    exchange_while(net, len, |_, _| {});
}

/// The same while `meanwhile` happens to the net and the client's connection, at every step.
pub(super) fn exchange_while(net: &mut Net, len: usize, mut meanwhile: impl FnMut(&mut Net, ConnectionId)) {
    let (client, server) = net.establish();
    let connections = [client, server];
    let stream = net.endpoint(0).open(client).unwrap();
    let data = [pattern(len, 0), pattern(len, 77)];
    let mut written = [0, 0];
    let mut read = [Vec::new(), Vec::new()];
    let mut finished = [false, false];
    let mut acknowledged = [false, false];
    pump(net.endpoint(0), client, stream, &data[0], &mut written[0]);
    net.run_until("the exchange", |net| {
        meanwhile(net, client);
        for node in [0, 1] {
            for (connection, event) in net.take_events(node) {
                assert_eq!(connection, connections[node]);
                match event {
                    Event::Opened(opened) => {
                        assert_eq!((node, opened), (1, stream));
                        pump(net.endpoint(1), server, stream, &data[1], &mut written[1]);
                    }
                    Event::Writable(_) => {
                        pump(net.endpoint(node), connection, stream, &data[node], &mut written[node]);
                    }
                    Event::Readable(_) => {
                        finished[node] |= read_all(net.endpoint(node), connection, stream, &mut read[node]);
                    }
                    Event::Acknowledged(_) => acknowledged[node] = true,
                    other => panic!("{other:?}, seed {}", net.seed),
                }
            }
        }
        finished == [true, true] && acknowledged == [true, true]
    });
    assert!(read[1] == data[0] && read[0] == data[1], "seed {}", net.seed);
    for (node, connection) in connections.into_iter().enumerate() {
        let mut none = Vec::new();
        let outcome = net.endpoint(node).read(connection, stream, &mut none, 1);
        assert_eq!(outcome, Err(StreamError::UnknownStream), "the stream is not forgotten");
    }
}

#[test]
fn megabytes_arrive_exactly_over_a_clean_link() {
    let mut net = Net::new(1, CLEAN);
    exchange(&mut net, 3 << 20);
    assert_eq!(net.errors, []);
    assert!(net.now < Instant::from_micros(4_000_000), "{:?}", net.now);
}

#[test]
fn a_megabyte_arrives_exactly_over_a_bad_link() {
    for seed in 0..3 {
        let configs = [0, 1].map(|_| Config { handshake_timeout: HOUR, ..Config::default() });
        exchange(&mut Net::with(seed, Link { loss: 8, ..BAD }, configs), 1 << 20);
    }
}

#[test]
fn every_byte_arrives_once_over_links_of_every_kind() {
    let links = [
        Link { loss: 30, ..CLEAN },
        Link { loss: 3, burst: 12, ..CLEAN },
        Link { corruption: 20, ..CLEAN },
        Link { duplication: 50, ..CLEAN },
        Link { jitter: Duration::from_millis(60), ..CLEAN },
        Link { loss: 10, corruption: 10, duplication: 10, burst: 3, ..BAD },
        Link { loss: 10, delay: Duration::from_micros(30), jitter: Duration::from_micros(200), ..CLEAN },
    ];
    for (seed, link) in links.into_iter().enumerate() {
        let configs = [0, 1].map(|_| Config { handshake_timeout: HOUR, ..Config::default() });
        let mut net = Net::with(100 + seed as u64, link, configs);
        net.set_mtu([1200, 1454, 8950][seed % 3]);
        exchange(&mut net, 400_000);
    }
}

#[test]
fn small_windows_and_many_key_updates_change_nothing() {
    for seed in 10..20 {
        let config = Config {
            stream_window: 5000,
            connection_window: 7000,
            send_buffer: 3000,
            key_update_packets: 20,
            handshake_timeout: HOUR,
            idle_timeout: Duration::ZERO,
            ..Config::default()
        };
        let mut net = Net::with(seed, Link { loss: 15, ..BAD }, [config.clone(), config]);
        exchange(&mut net, 100_000);
    }
}

#[test]
fn a_stream_without_credit_still_repeats_what_was_lost() {
    for seed in 20..30 {
        let config = Config {
            stream_window: 20_000,
            connection_window: 5_000,
            handshake_timeout: HOUR,
            idle_timeout: Duration::ZERO,
            ..Config::default()
        };
        let mut net = Net::with(seed, Link { loss: 15, ..BAD }, [config.clone(), config]);
        exchange(&mut net, 60_000);
    }
}

#[test]
fn keys_are_updated_by_either_side() {
    for updater in [0, 1] {
        let mut configs = [Config::default(), Config::default()];
        configs[updater].key_update_packets = 10;
        let mut net = Net::with(2, CLEAN, configs);
        let (client, server) = net.establish();
        for _ in 0..200 {
            net.endpoint(updater).ping([client, server][updater]);
            net.run_for(Duration::from_millis(50));
        }
        let updates = [net.nodes[0].endpoint.statistics(client), net.nodes[1].endpoint.statistics(server)]
            .map(|statistics| statistics.unwrap().key_updates);
        assert!(updates[0] >= 5 && updates[0] == updates[1], "{updates:?}");
        assert_eq!(net.errors, []);
    }
}

#[test]
fn a_slow_reader_holds_back_the_writer() {
    let config =
        Config { stream_window: 20_000, send_buffer: 10_000, max_send_buffer: 10_000, ..Config::default() };
    let mut net = Net::with(3, CLEAN, [config.clone(), config]);
    let (client, server) = net.establish();
    let stream = net.endpoint(0).open(client).unwrap();
    let data = pattern(200_000, 5);
    let mut written = 0;
    pump(net.endpoint(0), client, stream, &data, &mut written);
    let mut read = Vec::new();
    for _ in 0..1000 {
        net.run_for(Duration::from_millis(200));
        for (_, event) in net.take_events(0) {
            if matches!(event, Event::Writable(_)) {
                pump(net.endpoint(0), client, stream, &data, &mut written);
            }
        }
        // What is under way is never more than the window and the buffer.
        assert!(written - read.len() <= 30_000 + 10_000, "{written} {}", read.len());
        match net.endpoint(1).read(server, stream, &mut read, 3_000).unwrap() {
            ReadOutcome::Finished => break,
            ReadOutcome::Data(len) => assert!(len <= 3_000),
            ReadOutcome::Blocked => {}
        }
    }
    assert!(read == data);
}

#[test]
fn a_stalled_stream_does_not_stop_the_others() {
    let config = Config { connection_window: 100_000, stream_window: 30_000, ..Config::default() };
    let mut net = Net::with(4, CLEAN, [config.clone(), config]);
    let (client, server) = net.establish();
    let [stalled, lively] = [0, 1].map(|_| net.endpoint(0).open(client).unwrap());
    net.endpoint(0).write(client, stalled, &pattern(100_000, 1)).unwrap();
    let data = pattern(400_000, 2);
    let mut written = 0;
    pump(net.endpoint(0), client, lively, &data, &mut written);
    let mut read = Vec::new();
    net.run_until("the lively stream's end", |net| {
        for (_, event) in net.take_events(0) {
            if event == Event::Writable(lively) {
                pump(net.endpoint(0), client, lively, &data, &mut written);
            }
        }
        let readable = net.take_events(1).contains(&(server, Event::Readable(lively)));
        readable && read_all(net.endpoint(1), server, lively, &mut read)
    });
    assert!(read == data);
}

#[test]
fn streams_share_the_link_fairly() {
    for (count, millis) in [(4, 65), (100, 300)] {
        let mut net = Net::new(5, CLEAN);
        let (client, server) = net.establish();
        let streams: Vec<_> = (0..count).map(|_| net.endpoint(0).open(client).unwrap()).collect();
        for stream in &streams {
            net.endpoint(0).write(client, *stream, &pattern(200_000, 0)).unwrap();
        }
        net.run_for(Duration::from_millis(millis));
        let got = streams.iter().map(|stream| {
            let mut read = Vec::new();
            read_all(net.endpoint(1), server, *stream, &mut read);
            read.len()
        });
        let got: Vec<_> = got.collect();
        let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
        assert!(*least > 0 && most - least <= 2400, "{got:?}");
    }
}

#[test]
fn the_number_of_streams_is_limited_and_renewed() {
    let config = Config { max_streams: 4, ..Config::default() };
    let mut net = Net::with(6, CLEAN, [config.clone(), config]);
    let (client, server) = net.establish();
    let mut served = 0;
    for round in 0..50u64 {
        let mut opened = 0;
        while let Ok(stream) = net.endpoint(0).open(client) {
            net.endpoint(0).write(client, stream, &round.to_be_bytes()).unwrap();
            net.endpoint(0).finish(client, stream).unwrap();
            net.endpoint(0).stop(client, stream, 1).unwrap();
            opened += 1;
        }
        assert!(opened <= 4);
        net.run_for(Duration::from_millis(100));
        for (_, event) in net.take_events(1) {
            if let Event::Opened(stream) = event {
                let mut read = Vec::new();
                assert!(read_all(net.endpoint(1), server, stream, &mut read));
                assert_eq!(read, round.to_be_bytes());
                served += 1;
            }
        }
        net.run_for(Duration::from_millis(100));
        assert!(net.take_events(0).contains(&(client, Event::Openable)));
    }
    assert_eq!(served, 200);
}

#[test]
fn resets_and_stops_reach_the_other_side() {
    for (seed, link) in [(7, CLEAN), (8, BAD), (9, BAD)] {
        let configs = [0, 1].map(|_| Config { handshake_timeout: HOUR, ..Config::default() });
        let mut net = Net::with(seed, link, configs);
        let (client, server) = net.establish();
        let stream = net.endpoint(0).open(client).unwrap();
        net.endpoint(0).write(client, stream, b"half a sent").unwrap();
        net.run_until("the opening", |net| {
            net.find(1, |_, event| (*event == Event::Opened(stream)).then_some(())).is_some()
        });
        net.endpoint(0).reset(client, stream, 42).unwrap();
        assert_eq!(net.endpoint(0).write(client, stream, b"x"), Err(StreamError::Reset(42)));
        net.endpoint(1).write(server, stream, b"an answer nobody wants").unwrap();
        net.endpoint(0).stop(client, stream, 43).unwrap();
        let mut none = Vec::new();
        assert_eq!(net.endpoint(0).read(client, stream, &mut none, 9), Err(StreamError::ReadStopped));
        net.run_until("reset and stop", |net| {
            let events: Vec<_> = net.nodes[1].events.iter().map(|(_, event)| event.clone()).collect();
            events.contains(&Event::Reset { stream, code: 42 })
                && events.contains(&Event::Stopped { stream, code: 43 })
        });
        net.run_for(Duration::from_secs(20));
        for (node, connection) in [(0, client), (1, server)] {
            let result = net.endpoint(node).write(connection, stream, b"x");
            assert_eq!(result, Err(StreamError::UnknownStream), "node {node}, seed {seed}");
        }
    }
}

#[test]
fn an_empty_finished_stream_is_heard_of() {
    let mut net = Net::new(11, CLEAN);
    let (client, server) = net.establish();
    let stream = net.endpoint(0).open(client).unwrap();
    net.endpoint(0).finish(client, stream).unwrap();
    assert_eq!(net.endpoint(0).finish(client, stream), Err(StreamError::Finished));
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.take_events(1), [(server, Event::Opened(stream)), (server, Event::Readable(stream))]);
    assert_eq!(net.take_events(0), [(client, Event::Acknowledged(stream))]);
    assert_eq!(net.endpoint(1).read(server, stream, &mut Vec::new(), 9), Ok(ReadOutcome::Finished));
}

#[test]
fn lost_control_segments_are_sent_again() {
    let config = Config { max_streams: 1, ..Config::default() };
    let mut net = Net::with(12, CLEAN, [config.clone(), config]);
    let (client, server) = net.establish();
    // STOP_SENDING.
    let stream = net.endpoint(0).open(client).unwrap();
    net.endpoint(0).write(client, stream, b"x").unwrap();
    net.run_for(Duration::from_secs(1));
    net.endpoint(0).stop(client, stream, 3).unwrap();
    net.flush();
    net.flying.clear();
    net.run_until("STOP_SENDING", |net| {
        net.take_events(1).contains(&(server, Event::Stopped { stream, code: 3 }))
    });
    // RESET_STREAM.
    net.run_for(Duration::from_secs(1));
    net.endpoint(0).reset(client, stream, 4).unwrap();
    net.flush();
    net.flying.clear();
    assert_eq!(net.endpoint(0).open(client), Err(StreamError::TooManyStreams));
    net.run_until("RESET_STREAM", |net| {
        net.take_events(1).contains(&(server, Event::Reset { stream, code: 4 }))
    });
    // MAX_STREAMS.
    net.flush();
    net.flying.clear();
    net.run_until("MAX_STREAMS", |net| net.take_events(0).contains(&(client, Event::Openable)));
    assert!(net.endpoint(0).open(client).is_ok());
}

#[test]
fn discarded_data_gives_its_credit_back() {
    let config = Config { connection_window: 40_000, stream_window: 40_000, ..Config::default() };
    for who_gives_up in [0, 1] {
        let mut net = Net::with(13, CLEAN, [config.clone(), config.clone()]);
        let (client, server) = net.establish();
        for _ in 0..5 {
            let stream = net.endpoint(0).open(client).unwrap();
            net.endpoint(0).write(client, stream, &pattern(30_000, 0)).unwrap();
            net.run_for(Duration::from_secs(1));
            if who_gives_up == 0 {
                net.endpoint(0).reset(client, stream, 0).unwrap();
            } else {
                net.endpoint(1).stop(server, stream, 0).unwrap();
            }
            net.run_for(Duration::from_secs(1));
            let mut read = Vec::new();
            assert!(net.endpoint(1).read(server, stream, &mut read, usize::MAX).is_err());
        }
        let stream = net.endpoint(0).open(client).unwrap();
        net.endpoint(0).write(client, stream, &pattern(30_000, 0)).unwrap();
        net.run_for(Duration::from_secs(1));
        let mut read = Vec::new();
        read_all(net.endpoint(1), server, stream, &mut read);
        assert_eq!(read.len(), 30_000);
    }
}

#[test]
fn data_sent_before_the_server_is_done_does_not_block_the_handshake() {
    for seed in 0..20 {
        let config = Config { handshake_timeout: HOUR, idle_timeout: Duration::ZERO, ..Config::default() };
        let mut net = Net::with(seed, BAD, [config.clone(), config]);
        net.set_mtu([128, 300, 1200][seed as usize % 3]);
        let client = net.connect(0, 1);
        net.run_until("the client's handshake", |net| net.connected(0).is_some());
        let stream = net.endpoint(0).open(client).unwrap();
        let data = pattern(20_000, seed);
        let mut written = 0;
        pump(net.endpoint(0), client, stream, &data, &mut written);
        let mut read = Vec::new();
        net.run_until("the data", |net| {
            let readable =
                net.take_events(1).into_iter().find(|(_, event)| *event == Event::Readable(stream));
            readable.is_some_and(|(server, _)| read_all(net.endpoint(1), server, stream, &mut read))
        });
        assert!(read == data, "seed {seed}");
    }
}
