use super::*;
use crate::stream::pool::Pool;
use crate::stream::streams::Streams;
use crate::stream::tls::initial_keys;
use crate::wire::packet::{Header, Kind};
use crate::wire::segment::Segment;
use proptest::prelude::*;
use std::collections::VecDeque;

/// Everything about an endpoint that a dropped packet must not change.
fn visible(net: &Net, node: usize, connection: ConnectionId) -> String {
    let endpoint = &net.nodes[node].endpoint;
    format!(
        "{:?} {:?} {:?}",
        endpoint.statistics(connection),
        endpoint.poll_timeout(),
        net.nodes[node].events
    )
}

#[test]
fn forged_packets_change_nothing() {
    let mut net = Net::new(1, CLEAN);
    net.log = Some(Vec::new());
    let (client, server) = net.establish();
    let stream = net.endpoint(0).open(client).unwrap();
    net.endpoint(0).write(client, stream, b"hello").unwrap();
    net.run_for(Duration::from_secs(1));
    net.flush();
    let before = visible(&net, 1, server);
    let (alice, bob) = (net.nodes[0].address, net.nodes[1].address);
    let log = net.log.take().unwrap();
    let (now, mut forged) = (net.now, 0);
    for (from, _, packet) in log.iter().filter(|(_, to, _)| *to == bob) {
        let header_len = Header::parse(packet).unwrap().1;
        let mut variants = vec![packet.clone()];
        for position in (0..header_len).chain((header_len..packet.len()).step_by(13)) {
            for bit in 0..8 {
                let mut variant = packet.clone();
                variant[position] ^= 1 << bit;
                variants.push(variant);
            }
        }
        variants.extend((0..packet.len()).step_by(7).map(|len| packet[..len].to_vec()));
        variants.push([packet.as_slice(), b"more"].concat());
        for mut variant in variants {
            // A first packet with another connection id is a new client's, and would be refused later.
            let other = Header::parse(&variant).is_ok_and(|(header, _)| {
                matches!(header.kind, Kind::Initial { .. })
                    && matches!(Header::parse(packet), Ok((one, _)) if one.destination != header.destination)
            });
            let result = net.nodes[1].endpoint.handle_packet(now, *from, &mut variant);
            assert!(result.is_err(), "{result:?} {other}");
            assert_ne!(result, Err(PacketError::Unavailable));
            net.flush();
            forged += 1;
        }
    }
    assert!(forged > 1000);
    assert_eq!(visible(&net, 1, server), before);
    assert_eq!(net.nodes[1].endpoint.dropped(), forged);
    // The right packet from another address.
    net.endpoint(0).ping(client);
    net.flush();
    let flying = net.flying.pop().unwrap().0;
    for source in [Address([9; 16]), bob] {
        let result = net.nodes[1].endpoint.handle_packet(now, source, &mut flying.packet.clone());
        assert_eq!(result, Err(PacketError::WrongSource));
    }
    assert_eq!(net.nodes[1].endpoint.handle_packet(now, alice, &mut flying.packet.clone()), Ok(()));
    assert_eq!(
        net.nodes[1].endpoint.handle_packet(now, alice, &mut flying.packet.clone()),
        Err(PacketError::Duplicate)
    );
}

#[test]
fn forgeries_during_the_handshake_do_not_stop_it() {
    for seed in 0..10 {
        let mut net = Net::new(seed, CLEAN);
        net.connect(0, 1);
        net.run_until("the handshake", |net| {
            let mut copies = Vec::new();
            for flying in net.flying.iter() {
                let mut packet = flying.0.packet.clone();
                let position = packet.len() - 1 - (seed as usize % 40);
                packet[position] ^= 0x40;
                copies.push((flying.0.from, flying.0.to, packet));
            }
            for (from, to, mut packet) in copies {
                let now = net.now;
                let node = net.nodes.iter_mut().find(|node| node.address == to).unwrap();
                assert!(node.endpoint.handle_packet(now, from, &mut packet).is_err());
            }
            net.connected(0).is_some() && net.connected(1).is_some()
        });
    }
}

/// Streams of a server whose limits are small.
fn victim() -> Streams {
    let config = Config {
        stream_window: 100,
        connection_window: 150,
        max_stream_window: 100,
        max_connection_window: 150,
        max_streams: 2,
        ..Config::default()
    };
    Streams::new(Side::Server, &config, None, Pool::default())
}

#[test]
fn violations_are_named() {
    let events = &mut VecDeque::new();
    let code = |result: Result<(), crate::stream::TransportError>| result.map_err(|error| error.code);
    let mut streams = victim();
    assert_eq!(code(streams.on_data(0, 0, &[0; 100], false, events)), Ok(()));
    assert_eq!(code(streams.on_data(0, 100, &[0], false, events)), Err(TransportCode::FlowControl));
    assert_eq!(code(streams.on_data(4, 0, &[0; 51], false, events)), Err(TransportCode::FlowControl));
    assert_eq!(code(streams.on_data(4, 0, &[0; 50], true, events)), Ok(()));
    assert_eq!(code(streams.on_data(4, 50, &[0], false, events)), Err(TransportCode::FinalSize));
    assert_eq!(code(streams.on_data(4, 0, &[0; 49], true, events)), Err(TransportCode::FinalSize));
    assert_eq!(code(streams.on_reset(4, 0, 49, events)), Err(TransportCode::FinalSize));
    assert_eq!(code(streams.on_reset(0, 0, 99, events)), Err(TransportCode::FinalSize));
    assert_eq!(code(streams.on_reset(0, 0, 101, events)), Err(TransportCode::FlowControl));
    assert_eq!(code(streams.on_data(8, 0, &[], false, events)), Err(TransportCode::StreamLimit));
    assert_eq!(code(streams.on_data(2, 0, &[], false, events)), Err(TransportCode::StreamLimit));
    assert_eq!(code(streams.on_data(1, 0, &[], false, events)), Err(TransportCode::StreamState));
    assert_eq!(code(streams.on_stop(1, 0, events)), Err(TransportCode::StreamState));
    assert_eq!(code(streams.on_max_stream_data(5, 0, events)), Err(TransportCode::StreamState));
    assert_eq!(code(streams.on_stream_data_blocked(12, events)), Err(TransportCode::StreamLimit));
}

#[test]
fn a_later_stream_opens_those_before_it() {
    let events = &mut VecDeque::new();
    let mut streams = victim();
    streams.on_data(4, 0, b"x", false, events).unwrap();
    let expected = [Event::Opened(StreamId(0)), Event::Opened(StreamId(4)), Event::Readable(StreamId(4))];
    assert_eq!(*events, expected);
}

/// A client's Initial packet with this plaintext, as anybody can make it.
pub(super) fn initial(original: u64, number: u32, plain: &[u8]) -> Vec<u8> {
    let header = Header { kind: Kind::Initial { source: 5, token: None }, destination: original, number };
    let mut packet = Vec::new();
    header.emit(&mut packet);
    let mut plain = plain.to_vec();
    let keys = initial_keys(original, Side::Client).unwrap();
    let tag = keys.local.packet.encrypt_in_place(number.into(), &packet, &mut plain).unwrap();
    packet.extend(plain);
    packet.extend(tag.as_ref());
    packet
}

pub(super) fn crypto(offset: u64, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Segment::Crypto { offset, data }.emit(&mut out);
    out
}

#[test]
fn rubbish_in_initial_packets_is_refused_by_name() {
    let cases: [(Vec<Vec<u8>>, TransportCode); 8] = [
        (vec![vec![]], TransportCode::Protocol),
        (vec![vec![0x1f]], TransportCode::SegmentEncoding),
        (vec![vec![0x0a, 0, 1, 0]], TransportCode::Protocol),
        (vec![vec![0x1e]], TransportCode::Protocol),
        (vec![vec![0x02, 0, 0, 0, 0]], TransportCode::Protocol),
        (vec![vec![0x1d, 0, 0]], TransportCode::Protocol),
        (vec![crypto(65 * 1024, b"x")], TransportCode::CryptoBuffer),
        // Not a ClientHello: unexpected_message.
        (vec![crypto(1, &[0, 0, 0]), crypto(0, &[20])], TransportCode::Tls(10)),
    ];
    for (packets, expected) in cases {
        let mut net = Net::new(1, CLEAN);
        for (number, plain) in packets.iter().enumerate() {
            let now = net.now;
            let mut packet = initial(77, number as u32, plain);
            assert_eq!(net.endpoint(1).handle_packet(now, Address([5; 16]), &mut packet), Ok(()));
        }
        net.flush();
        let code = match net.closed(1) {
            Some(CloseReason::Protocol(error)) => error.code,
            Some(CloseReason::Tls(_)) => TransportCode::Tls(10),
            other => panic!("{other:?} instead of {expected}"),
        };
        assert_eq!(code, expected, "{packets:02x?}");
        net.run_for(Duration::from_secs(11));
        assert!(net.endpoint(1).is_empty());
    }
}

#[test]
fn violations_of_a_proved_peer_close_the_connection() {
    let cases: [(&[u8], TransportCode); 11] = [
        (&[], TransportCode::Protocol),
        (&[0x1e], TransportCode::Protocol),
        (&[0x02, 0x80, 1, 0, 0, 0, 0, 0], TransportCode::Protocol),
        (&[0x3f], TransportCode::SegmentEncoding),
        (&[0x0a, 2, 0], TransportCode::StreamLimit),
        (&[0x0a, 1, 0], TransportCode::StreamState),
        (&[0x0e, 0, 0xc0, 0, 0, 0, 0x40, 0, 0, 0, 1, 7], TransportCode::FlowControl),
        // Behind the last offset that there is (RFC 9000 §19.8).
        (&[0x0e, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 7], TransportCode::SegmentEncoding),
        // Data behind the end, an end before the data, another end.
        (&[0x0b, 0, 1, 7, 0x0e, 0, 1, 1, 7], TransportCode::FinalSize),
        (&[0x0a, 0, 2, 7, 7, 0x04, 0, 0, 1], TransportCode::FinalSize),
        (&[0x0b, 0, 1, 7, 0x04, 0, 0, 2], TransportCode::FinalSize),
    ];
    for (plain, expected) in cases {
        let mut net = Net::new(1, CLEAN);
        let (_, server) = net.establish();
        let now = net.now;
        net.endpoint(1).inject(now, server, plain);
        net.run_until("the close", |net| net.closed(0).is_some() && net.closed(1).is_some());
        let Some(CloseReason::Protocol(here)) = net.closed(1) else { panic!("{:?}", net.closed(1)) };
        let Some(CloseReason::PeerProtocol(there)) = net.closed(0) else { panic!("{:?}", net.closed(0)) };
        assert_eq!((here.code, there.code), (expected, expected), "{plain:02x?}");
    }
}

#[test]
fn a_peer_that_opens_streams_without_end_is_stopped_at_the_limit() {
    let mut net = Net::new(1, CLEAN);
    let (_, server) = net.establish();
    let mut opened = 0;
    for number in 0..1000 {
        // Opened, written to, given up: as the application has not ended its own direction, none of them is over.
        let mut plain = Vec::new();
        Segment::Stream { stream: 4 * number, offset: 0, fin: false, data: &[7; 100] }.emit(&mut plain);
        Segment::ResetStream { stream: 4 * number, code: 0, final_size: 100 }.emit(&mut plain);
        let now = net.now;
        net.endpoint(1).inject(now, server, &plain);
        net.flush();
        if !net.nodes[1].endpoint.is_connected(server) {
            break;
        }
        opened = net.nodes[1].endpoint.statistics(server).unwrap().streams;
    }
    assert_eq!(opened as u64, Config::default().max_streams);
    let Some(CloseReason::Protocol(error)) = net.closed(1) else { panic!("{:?}", net.closed(1)) };
    assert_eq!(error.code, TransportCode::StreamLimit);
    assert_eq!(net.nodes[1].endpoint.statistics(server).unwrap().streams, 0);
}

#[test]
fn a_violation_harms_no_other_connection() {
    let mut net = Net::new(1, CLEAN);
    let (client, server) = net.establish();
    let (bob, now) = (net.nodes[1].id, net.now);
    let other = net.endpoint(0).connect(now, bob, Purpose::Node).unwrap();
    net.run_until("the second handshake", |net| net.connected(1).is_some());
    let stream = net.endpoint(0).open(client).unwrap();
    net.endpoint(0).write(client, stream, &pattern(100_000, 0)).unwrap();
    let violator = net.connected(1).unwrap();
    net.endpoint(1).inject(now, violator, &[0x3f]);
    net.run_for(Duration::from_secs(5));
    assert!(net.closed(0).is_some() && net.closed(1).is_some());
    assert!(!net.endpoint(0).is_connected(other) && net.endpoint(0).is_connected(client));
    let mut read = Vec::new();
    read_all(net.endpoint(1), server, stream, &mut read);
    assert!(read == pattern(100_000, 0));
}

#[test]
fn optimistic_acknowledgements_are_noticed() {
    let mut net = Net::new(1, CLEAN);
    let (client, server) = net.establish();
    // The server acknowledges whatever might have been sent, to be sent more (RFC 9000 §21.4).
    let stream = net.endpoint(0).open(client).unwrap();
    for _ in 0..100 {
        if net.endpoint(0).write(client, stream, &[0; 5000]).is_err() {
            break;
        }
        net.run_for(Duration::from_millis(30));
        let sent = net.nodes[0].endpoint.next_number(client);
        let mut plain = Vec::new();
        let ranges = [0..=sent.saturating_sub(1)];
        crate::wire::segment::emit_ack(0, ranges.into_iter(), 1000, &mut plain);
        let now = net.now;
        net.endpoint(0).inject(now, client, &plain);
        net.flush();
    }
    let Some(CloseReason::Protocol(error)) = net.closed(0) else { panic!("{:?}", net.closed(0)) };
    assert_eq!(error.code, TransportCode::Protocol);
    assert!(error.reason.contains("skipped"), "{error}");
    net.run_until("the close", |net| net.closed(1).is_some());
    assert_eq!(net.nodes[1].endpoint.peer(server), Some(net.nodes[0].id));
}

#[test]
fn acknowledgements_sooner_than_announced_are_not_for_the_asking() {
    let mut net = Net::new(1, CLEAN);
    let (_, server) = net.establish();
    let request = crate::wire::segment::AckFrequency { sequence: 0, threshold: 1, delay: 999, reordering: 1 };
    let mut plain = Vec::new();
    Segment::AckFrequency(request).emit(&mut plain);
    let now = net.now;
    net.endpoint(1).inject(now, server, &plain);
    net.flush();
    assert!(
        matches!(net.closed(1), Some(CloseReason::Protocol(error)) if error.code == TransportCode::Protocol)
    );
}

/// The peer's packets arrive, but it never acknowledges anything: what waits for it stays within the windows, and the
/// probes become rare.
#[test]
fn a_peer_that_never_acknowledges_costs_bounded_memory() {
    let config = Config { idle_timeout: Duration::ZERO, send_buffer: 100_000, ..Config::default() };
    let mut net = Net::with(1, CLEAN, [config.clone(), config]);
    let (client, server) = net.establish();
    let stream = net.endpoint(0).open(client).unwrap();
    net.deaf = Some(net.nodes[1].address);
    let mut taken = 0;
    for _ in 0..300 {
        taken += net.endpoint(0).write(client, stream, &[0; 50_000]).unwrap();
        // The server goes on talking.
        net.endpoint(1).ping(server);
        net.run_for(Duration::from_secs(10));
    }
    assert_eq!(taken, 100_000);
    let statistics = net.nodes[0].endpoint.statistics(client).unwrap();
    assert!(statistics.packets_sent < 700, "{statistics:?}");
    assert!(statistics.bytes_in_flight < 100_000, "{statistics:?}");
}

/// A window is never taken back (RFC 9000 §4.1): smaller limits are ignored, and nothing is sent twice or beyond.
#[test]
fn windows_that_shrink_are_ignored() {
    let mut net = Net::new(1, CLEAN);
    let (client, server) = net.establish();
    let stream = net.endpoint(0).open(client).unwrap();
    net.endpoint(0).write(client, stream, &pattern(50_000, 0)).unwrap();
    let now = net.now;
    for segment in [
        Segment::MaxData(1),
        Segment::MaxStreamData { stream: stream.as_u64(), max: 1 },
        Segment::MaxStreams(0),
    ] {
        let mut plain = Vec::new();
        segment.emit(&mut plain);
        net.endpoint(0).inject(now, client, &plain);
    }
    assert!(net.endpoint(0).open(client).is_ok());
    net.run_for(Duration::from_secs(1));
    let mut read = Vec::new();
    read_all(net.endpoint(1), server, stream, &mut read);
    assert_eq!(read.len(), 50_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_packets_never_panic(
        packets in proptest::collection::vec((0u8..4, proptest::collection::vec(any::<u8>(), 0..100), any::<u64>()), 0..40),
    ) {
        let mut net = Net::new(1, CLEAN);
        let alice = net.nodes[0].address;
        net.connect(0, 1);
        for (kind, bytes, id) in packets {
            let mut packet = vec![0x20 | kind];
            packet.extend(id.to_be_bytes());
            packet.extend(bytes);
            let now = net.now;
            prop_assert!(net.endpoint(1).handle_packet(now, alice, &mut packet).is_err());
        }
    }

    #[test]
    fn segments_of_a_hostile_peer_never_panic(
        segments in proptest::collection::vec((0u8..8, 0u64..24, 0u64..220, 0usize..120, any::<bool>()), 0..60),
    ) {
        let events = &mut VecDeque::new();
        let mut streams = victim();
        streams.on_peer_limits(1000, 500, 3);
        for (what, stream, number, len, fin) in segments {
            let _ = match what {
                0 | 1 => streams.on_data(stream, number, &vec![1; len], fin, events),
                2 => streams.on_reset(stream, 1, number, events),
                3 => streams.on_stop(stream, 2, events),
                4 => streams.on_max_stream_data(stream, number, events),
                5 => streams.read(StreamId(stream), &mut Vec::new(), len).map(|_| ()).or(Ok(())),
                6 => streams.write(StreamId(stream), &vec![0; len]).map(|_| ()).or(Ok(())),
                _ => streams.stop(StreamId(stream), 3).or(Ok(())),
            };
        }
    }

    #[test]
    fn arbitrary_initial_packets_never_panic(
        plains in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..8),
        hello in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut net = Net::new(1, CLEAN);
        let hello = crypto(0, &[&[1, 0, 0, hello.len() as u8], &hello[..]].concat());
        for (number, plain) in plains.iter().chain([&hello]).enumerate() {
            let now = net.now;
            let _ = net.endpoint(1).handle_packet(now, Address([5; 16]), &mut initial(77, number as u32, plain));
            net.flush();
        }
        net.run_for(Duration::from_secs(30));
        prop_assert!(net.endpoint(1).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn arbitrary_segments_of_a_proved_peer_never_panic(
        codes in proptest::collection::vec((0u8..0x40, proptest::collection::vec(0u8..64, 0..6)), 0..300),
    ) {
        let mut net = Net::new(1, CLEAN);
        let (_, server) = net.establish();
        let stream = net.endpoint(1).open(server).unwrap();
        for (code, fields) in codes {
            if !net.nodes[1].endpoint.is_connected(server) {
                break;
            }
            let _ = net.endpoint(1).write(server, stream, b"some more");
            let now = net.now;
            net.endpoint(1).inject(now, server, &[&[code], &fields[..]].concat());
            net.flush();
        }
        net.run_for(Duration::from_secs(200));
        prop_assert!(net.endpoint(0).is_empty() && net.endpoint(1).is_empty());
    }
}
