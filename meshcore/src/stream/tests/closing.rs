use super::*;

#[test]
fn a_close_is_heard_with_code_and_reason() {
    for closer in [0, 1] {
        let mut net = Net::new(1, CLEAN);
        let (client, server) = net.establish();
        let connections = [client, server];
        let now = net.now;
        net.endpoint(closer).close(now, connections[closer], 7, "b\x1bye");
        net.run_until("the close", |net| net.closed(1 - closer).is_some());
        let reason = "bye".to_owned();
        assert_eq!(net.closed(closer), Some(CloseReason::Local { code: 7, reason: "b\x1bye".to_owned() }));
        assert_eq!(net.closed(1 - closer), Some(CloseReason::Peer { code: 7, reason }));
        assert_eq!(net.endpoint(closer).open(connections[closer]), Err(StreamError::UnknownConnection));
        net.run_for(Duration::from_secs(10));
        assert!(net.endpoint(0).is_empty() && net.endpoint(1).is_empty());
        assert_eq!(net.endpoint(0).peer(client), None);
    }
}

#[test]
fn a_lost_close_is_repeated_when_the_peer_goes_on() {
    let mut net = Net::new(2, CLEAN);
    let (client, server) = net.establish();
    let now = net.now;
    net.endpoint(0).close(now, client, 1, "");
    net.flush();
    net.flying.clear();
    net.endpoint(1).ping(server);
    net.run_until("the close", |net| net.closed(1).is_some());
    assert_eq!(net.closed(1), Some(CloseReason::Peer { code: 1, reason: String::new() }));
}

#[test]
fn a_close_acknowledges_what_has_come_and_leaves_it_to_be_read() {
    let mut net = Net::new(6, CLEAN);
    let (client, server) = net.establish();
    net.run_for(Duration::from_secs(1));
    let stream = net.endpoint(0).open(client).unwrap();
    net.endpoint(0).write(client, stream, b"the last word").unwrap();
    net.endpoint(0).finish(client, stream).unwrap();
    net.run_until("the word", |net| {
        net.find(1, |_, event| (*event == Event::Readable(stream)).then_some(())).is_some()
    });
    // The acknowledgement is not due yet.
    let now = net.now;
    net.endpoint(1).write(server, stream, b"answer").unwrap();
    net.endpoint(1).close(now, server, 0, "");
    net.take_events(0);
    net.run_until("the close", |net| net.closed(0).is_some());
    let events = net.take_events(0);
    assert!(
        matches!(&events[..], [(_, Event::Acknowledged(acknowledged)), (_, Event::Closed { .. })] if *acknowledged == stream),
        "{events:?}"
    );
    // Who has closed reads no more; nothing was sent behind the close.
    let mut got = Vec::new();
    assert_eq!(net.endpoint(1).read(server, stream, &mut got, 100), Err(StreamError::UnknownConnection));
    assert_eq!(net.endpoint(0).read(client, stream, &mut got, 100), Ok(ReadOutcome::Blocked));

    let mut net = Net::new(7, CLEAN);
    let (client, server) = net.establish();
    let stream = net.endpoint(0).open(client).unwrap();
    net.endpoint(0).write(client, stream, b"unread").unwrap();
    net.run_until("the word", |net| {
        net.find(1, |_, event| (*event == Event::Readable(stream)).then_some(())).is_some()
    });
    let now = net.now;
    net.endpoint(0).close(now, client, 0, "");
    net.run_until("the close", |net| net.closed(1).is_some());
    assert_eq!(net.endpoint(1).read(server, stream, &mut got, 100), Ok(ReadOutcome::Data(6)));
    assert_eq!(got, b"unread");
}

#[test]
fn long_reasons_are_cut_and_small_packets_do_without() {
    for (mtu, expected) in [(1200, 256), (128, 0)] {
        let mut net = Net::new(3, CLEAN);
        net.set_mtu(mtu);
        let (client, _) = net.establish();
        let now = net.now;
        net.endpoint(0).close(now, client, u64::MAX, &"x".repeat(1000));
        net.run_until("the close", |net| net.closed(1).is_some());
        let Some(CloseReason::Peer { reason, .. }) = net.closed(1) else { panic!() };
        assert_eq!(reason.len(), expected);
    }
}

#[test]
fn closing_during_the_handshake_is_heard_without_the_application_s_words() {
    let mut net = Net::new(4, CLEAN);
    let client = net.connect(0, 1);
    net.run_for(Duration::from_millis(15));
    let now = net.now;
    net.endpoint(0).close(now, client, 7, "secret");
    net.run_until("the close", |net| net.closed(1).is_some());
    let Some(CloseReason::PeerProtocol(error)) = net.closed(1) else { panic!("{:?}", net.closed(1)) };
    assert_eq!((error.code, error.reason.as_ref()), (TransportCode::Application, ""));
    net.run_for(Duration::from_secs(20));
    assert!(net.endpoint(0).is_empty() && net.endpoint(1).is_empty());
}

#[test]
fn silence_ends_a_connection_and_pings_keep_it() {
    let short = Config { idle_timeout: Duration::from_secs(5), ..Config::default() };
    let mut net = Net::with(5, CLEAN, [Config::default(), short]);
    let (client, server) = net.establish();
    for _ in 0..10 {
        net.run_for(Duration::from_secs(4));
        net.endpoint(0).ping(client);
    }
    net.run_for(Duration::from_secs(4));
    assert!(net.endpoint(0).is_connected(client) && net.endpoint(1).is_connected(server));
    net.run_for(Duration::from_secs(6));
    // The shorter of both time-outs counts for both.
    assert_eq!(net.closed(0), Some(CloseReason::IdleTimeout));
    assert_eq!(net.closed(1), Some(CloseReason::IdleTimeout));
    assert!(net.endpoint(0).is_empty() && net.endpoint(1).is_empty());
}

#[test]
fn a_peer_that_vanished_is_noticed_by_who_sends() {
    let mut net = Net::new(6, CLEAN);
    let (client, _) = net.establish();
    let stream = net.endpoint(0).open(client).unwrap();
    net.link.loss = 100;
    net.endpoint(0).write(client, stream, b"hello?").unwrap();
    let start = net.now;
    net.run_until("the time-out", |net| net.closed(0).is_some());
    assert_eq!(net.closed(0), Some(CloseReason::IdleTimeout));
    assert!(net.now - start < Duration::from_secs(61), "{:?}", net.now - start);
}

#[test]
fn an_idle_connection_costs_no_packets_and_no_wake_ups() {
    let mut net = Net::new(7, CLEAN);
    net.establish();
    net.run_for(Duration::from_secs(1));
    let sent = net.nodes[0].sent_bytes + net.nodes[1].sent_bytes;
    let mut steps = 0;
    while net.closed(0).is_none() {
        assert!(net.step());
        steps += 1;
    }
    assert!(steps <= 2, "{steps}");
    assert_eq!(net.nodes[0].sent_bytes + net.nodes[1].sent_bytes, sent);
}
