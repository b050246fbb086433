use super::*;
use crate::wire::packet::{Header, Kind, Retry};

#[test]
fn over_a_clean_link_it_takes_two_round_trips() {
    let mut net = Net::new(1, CLEAN);
    net.establish();
    // ClientHello fills two packets; the answer fits what the server may send at once.
    assert!(net.now <= Instant::from_micros(80_000), "{:?}", net.now);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.errors, []);
}

#[test]
fn loss_duplication_and_reordering_only_delay_it() {
    let mut worst = Instant::default();
    // With seed 192, Handshake packets fill the window while the ServerHello is lost.
    for seed in (0..60).chain([192]) {
        let config = Config { handshake_timeout: HOUR, idle_timeout: Duration::ZERO, ..Config::default() };
        let configs = [config.clone(), config];
        let mut net = Net::with(seed, BAD, configs);
        net.establish();
        worst = worst.max(net.now);
    }
    assert!(worst < Instant::from_micros(120_000_000), "{worst:?}");
}

#[test]
fn any_single_packet_may_be_lost() {
    for lost in 1..15 {
        let mut net = Net::new(lost, CLEAN);
        net.swallow = lost;
        net.establish();
        assert!(net.now < Instant::from_micros(5_000_000), "packet {lost}: {:?}", net.now);
    }
}

#[test]
fn small_and_large_packets_work() {
    for mtu in [128, 300, 576, 1500, 9000, 65_535] {
        let mut net = Net::new(mtu as u64, CLEAN);
        net.set_mtu(mtu);
        let (client, server) = net.establish();
        let stream = net.endpoint(0).open(client).unwrap();
        let data = pattern(50_000, 0);
        assert_eq!(net.endpoint(0).write(client, stream, &data), Ok(data.len()));
        let mut read = Vec::new();
        net.run_until("the data", |net| {
            for (_, event) in net.take_events(1) {
                if event == Event::Readable(stream) {
                    read_all(net.endpoint(1), server, stream, &mut read);
                }
            }
            read.len() == data.len()
        });
        assert_eq!(read, data);
    }
}

#[test]
fn a_server_with_another_key_is_refused_by_name() {
    let mut net = Net::new(3, CLEAN);
    let mallory = net.add(CAROL, Config::default());
    // Carol's machine sits at Bob's address.
    let bob = net.nodes[1].address;
    net.nodes[1].address = Address([7; 16]);
    net.nodes[mallory].address = bob;
    net.connect(0, 1);
    net.run_until("the refusal", |net| net.closed(0).is_some() && net.closed(mallory).is_some());
    assert_eq!(net.closed(0), Some(CloseReason::PeerIdentity));
    assert!(net.connected(0).is_none());
    let Some(CloseReason::PeerProtocol(error)) = net.closed(mallory) else {
        panic!("{:?}", net.closed(mallory))
    };
    // access_denied, RFC 8446 §6.
    assert_eq!(error.code, TransportCode::Tls(49));
}

#[test]
fn a_client_whose_key_does_not_fit_its_address_is_refused_by_name() {
    let mut net = Net::new(4, CLEAN);
    let mallory = net.add(CAROL, Config::default());
    // Carol pretends to be Alice.
    let alice = net.nodes[0].address;
    net.nodes[0].address = Address([7; 16]);
    net.nodes[mallory].address = alice;
    net.connect(mallory, 1);
    net.run_until("the refusal", |net| net.closed(1).is_some() && net.closed(mallory).is_some());
    assert_eq!(net.closed(1), Some(CloseReason::PeerIdentity));
    assert_eq!(net.find(1, |_, event| Some(matches!(event, Event::Closed { peer: None, .. }))), Some(true));
    assert!(net.connected(1).is_none());
}

#[test]
fn silence_is_reported_as_a_handshake_timeout() {
    let mut net = Net::new(5, Link { loss: 100, ..CLEAN });
    let client = net.connect(0, 1);
    assert_eq!(net.endpoint(0).open(client), Err(StreamError::NotConnected));
    net.run_until("the time-out", |net| net.closed(0).is_some());
    assert_eq!(net.closed(0), Some(CloseReason::HandshakeTimeout));
    assert_eq!(net.now, Instant::from_micros(10_000_001));
    assert!(net.endpoint(0).is_empty());
    // Backoff: a handful of packets, not a flood.
    assert!(net.nodes[0].sent_bytes < 20_000, "{}", net.nodes[0].sent_bytes);
}

#[test]
fn a_server_sends_at_most_three_times_what_it_got() {
    for lost_answers in [false, true] {
        let mut net = Net::new(6, CLEAN);
        net.set_mtu(1200);
        net.connect(0, 1);
        net.flush();
        // Only the first of the client's packets arrives, ever; or nothing of the server's answers.
        let first = net.flying.pop().unwrap();
        let rest: Vec<_> = net.flying.drain().collect();
        net.flying.push(first);
        if lost_answers {
            net.flying.extend(rest);
        }
        let alice = net.nodes[0].address;
        net.nodes[0].address = Address([7; 16]);
        net.run_until("the end", |net| {
            assert!(net.nodes[1].sent_bytes <= 3 * net.nodes[1].received_bytes);
            let mut flying: Vec<_> = std::mem::take(&mut net.flying).into_vec();
            flying.retain(|flying| flying.0.from == alice);
            net.flying = flying.into();
            net.nodes[1].received_bytes > 0 && net.endpoint(1).is_empty()
        });
        assert!(net.nodes[1].sent_bytes > 0);
    }
}

#[test]
fn half_open_connections_are_bounded() {
    let config = Config { max_half_open: 6, ..Config::default() };
    let mut net = Net::with(7, CLEAN, [Config::default(), config]);
    for _ in 0..10 {
        net.connect(0, 1);
    }
    net.flush();
    let packets: Vec<_> = net.flying.drain().map(|flying| flying.0.packet).collect();
    let now = net.now;
    let mut try_from = |source: Address| {
        let mut accepted = 0;
        for packet in &packets {
            match net.nodes[1].endpoint.handle_packet(now, source, &mut packet.clone()) {
                Ok(()) => accepted += 1,
                Err(PacketError::AddressUnproved) => {}
                Err(error) => panic!("{error}"),
            }
        }
        accepted
    };
    // Two packets of each client: those of one connection an address, of two in all.
    assert_eq!([1, 2, 3].map(|source| try_from(Address([source; 16]))), [2, 2, 0]);
    net.nodes[1].endpoint.handle_timeout(now + Duration::from_secs(11));
    let later = net.nodes[1].endpoint.handle_packet(now, Address([3; 16]), &mut packets[0].clone());
    assert_eq!(later, Ok(()));
}

/// A flood of first packets in the names of made-up nodes, and in the client's own name.
#[test]
fn a_flood_of_forged_handshakes_locks_nobody_out() {
    for in_the_clients_name in [false, true] {
        let mut net = Net::new(8, CLEAN);
        let alice = net.nodes[0].address;
        let mut state = 0;
        for number in 0..500u64 {
            let source = if in_the_clients_name { alice } else { Address([number as u8; 16]) };
            let mut forged = super::hostile::initial(number, 0, &super::hostile::crypto(0, &[1, 0, 1, 0]));
            let now = net.now;
            let result = net.endpoint(1).handle_packet(now, source, &mut forged);
            state += usize::from(result.is_ok());
        }
        assert!(state <= 16, "{state}");
        net.establish();
        // One round trip more.
        assert!(net.now <= Instant::from_micros(100_000), "{:?}", net.now);
        assert!(net.nodes[1].sent_bytes < 60_000, "{}", net.nodes[1].sent_bytes);
    }
}

/// First packets with which a handshake begins, in the names of many nodes that never asked for it.
#[test]
fn nobody_is_flooded_in_the_name_of_others() {
    let mut net = Net::new(10, CLEAN);
    net.connect(0, 1);
    net.flush();
    let hello: Vec<_> = net.flying.drain().map(|flying| flying.0.packet).collect();
    let mut balance = std::collections::BTreeMap::new();
    for number in 0..500u16 {
        let mut source = [9; 16];
        source[..2].copy_from_slice(&number.to_be_bytes());
        let source = Address(source);
        for packet in &hello {
            let now = net.now;
            let _ = net.endpoint(1).handle_packet(now, source, &mut packet.clone());
            *balance.entry(source).or_insert(0) += 3 * packet.len();
        }
        drain(&mut net, &mut balance);
    }
    // To all others no more than a token was sent.
    let untouched = 3 * hello.iter().map(Vec::len).sum::<usize>();
    let answered = balance.values().filter(|left| **left + 2 * Retry::LEN < untouched).count();
    assert!((1..=16).contains(&answered), "{answered} handshakes");
    // Nor later, by repetition; and nothing is kept.
    while let Some(next) = net.nodes[1].endpoint.poll_timeout() {
        net.now = net.now.max(next);
        net.nodes[1].endpoint.handle_timeout(next);
        drain(&mut net, &mut balance);
    }
    assert!(net.endpoint(1).is_empty());
    assert!(net.now <= Instant::from_micros(15_000_000), "{:?}", net.now);
}

/// Takes what Bob sends off what he may send to each.
fn drain(net: &mut Net, balance: &mut std::collections::BTreeMap<Address, usize>) {
    let (now, mut packet) = (net.now, Vec::new());
    while let Some(to) = net.endpoint(1).poll_transmit(now, &mut packet) {
        let left = balance.get_mut(&to).unwrap();
        *left = left.checked_sub(packet.len()).expect("more than three times what came");
        packet.clear();
    }
    while net.endpoint(1).poll_event().is_some() {}
}

/// Somebody with another key, as client and as server, again and again.
#[test]
fn impostors_harm_no_other_connection() {
    let mut net = Net::new(11, CLEAN);
    let (client, server) = net.establish();
    // Bob's key sits at Carol's address, Carol's key at one that belongs to nobody.
    let (false_carol, stranger) = (net.add(BOB, Config::default()), net.add(CAROL, Config::default()));
    let carol = net.nodes[stranger].id;
    net.nodes[false_carol].address = carol.address();
    net.nodes[stranger].address = Address([7; 16]);
    let stream = net.endpoint(0).open(client).unwrap();
    let data = pattern(100_000, 0);
    net.endpoint(0).write(client, stream, &data).unwrap();
    for _ in 0..20 {
        let now = net.now;
        net.endpoint(0).connect(now, carol, Purpose::Application).unwrap();
        net.connect(stranger, 1);
        net.run_for(Duration::from_millis(100));
    }
    net.run_for(Duration::from_secs(30));
    for (node, own) in [(0, client), (1, server)] {
        let closed = net.take_events(node).into_iter().filter_map(|(connection, event)| match event {
            Event::Closed { reason, .. } => Some((connection, reason)),
            _ => None,
        });
        let closed: Vec<_> = closed.collect();
        assert_eq!(closed.len(), 20, "node {node}");
        assert!(closed.iter().all(|(other, reason)| *other != own && *reason == CloseReason::PeerIdentity));
    }
    let mut read = Vec::new();
    read_all(net.endpoint(1), server, stream, &mut read);
    assert!(read == data);
    // Nothing of the others is left.
    let now = net.now;
    net.endpoint(0).close(now, client, 0, "");
    net.run_for(Duration::from_secs(2));
    assert!([0, 1, false_carol, stranger].into_iter().all(|node| net.endpoint(node).is_empty()));
}

#[test]
fn a_retry_of_somebody_else_changes_nothing() {
    let mut net = Net::new(9, CLEAN);
    net.connect(0, 1);
    net.flush();
    let (now, bob) = (net.now, net.nodes[1].address);
    let first = Header::parse(&net.flying.peek().unwrap().0.packet).unwrap().0;
    let Kind::Initial { source, .. } = first.kind else { panic!() };
    let right = Retry { destination: source, original: first.destination, token: [7; 24] };
    let hand = |net: &mut Net, from, retry: Retry| {
        let mut packet = Vec::new();
        retry.emit(&mut packet);
        net.endpoint(0).handle_packet(now, from, &mut packet)
    };
    let wrong = [
        (Address([5; 16]), right, PacketError::WrongSource),
        (bob, Retry { original: 1, ..right }, PacketError::WrongSource),
        (bob, Retry { destination: 1, ..right }, PacketError::UnknownConnection),
    ];
    for (from, retry, error) in wrong {
        assert_eq!(hand(&mut net, from, retry), Err(error));
    }
    assert_eq!(net.nodes[0].endpoint.poll_transmit(now, &mut Vec::new()), None);
    // Who knows the ids can make the client repeat itself a few times; the handshake goes on all the same.
    let accepted = (0..10).filter(|_| hand(&mut net, bob, right).is_ok()).count();
    assert_eq!(accepted, 4);
    net.establish_with(ConnectionId(0));
    // Once the server has answered, a Retry comes too late.
    assert_eq!(hand(&mut net, bob, right), Err(PacketError::WrongSource));
}

#[test]
fn both_may_call_each_other_at_once() {
    let mut net = Net::new(8, CLEAN);
    let (a, b) = (net.connect(0, 1), net.connect(1, 0));
    net.run_until("both handshakes", |net| {
        [0, 1].iter().all(|node| {
            net.nodes[*node]
                .events
                .iter()
                .filter(|(_, event)| matches!(event, Event::Connected { .. }))
                .count()
                == 2
        })
    });
    assert!(net.endpoint(0).is_connected(a) && net.endpoint(1).is_connected(b));
    let alice = net.nodes[0].id;
    assert!(net.endpoint(0).connect(Instant::default(), alice, Purpose::Node).is_err());
}
