//! Paths that change in mid-transfer, and what loss recovery makes of them.

use super::transfer::exchange_while;
use super::*;

/// Everything that a path is, drawn anew.
fn change_path(net: &mut Net) {
    net.link = Link {
        loss: net.random.random_range(0..=30),
        duplication: net.random.random_range(0..20),
        delay: Duration::from_micros(net.random.random_range(30..40_000)),
        jitter: Duration::from_micros(net.random.random_range(0..20_000)),
        corruption: net.random.random_range(0..10),
        burst: net.random.random_range(1..6),
    };
    let mtu = [128, 576, 1200, 1454, 8950][net.random.random_range(0..5usize)];
    net.change_mtu(mtu);
    // The mesh tells each side on its own that the route is another one, or never does.
    for node in [0, 1] {
        if net.random.random() {
            let (now, peer) = (net.now, net.nodes[1 - node].address);
            net.endpoint(node).on_path_change(now, peer);
        }
    }
}

#[test]
fn every_byte_arrives_once_while_the_path_changes_all_the_time() {
    for seed in 0..6 {
        let config = Config { handshake_timeout: HOUR, ..Config::default() };
        let mut net = Net::with(seed, CLEAN, [config.clone(), config]);
        let (mut next, mut changes) = (net.now, 0);
        exchange_while(&mut net, 300_000, |net, _| {
            if net.now >= next {
                change_path(net);
                next = net.now + Duration::from_millis(200);
                changes += 1;
            }
        });
        assert!(changes > 5, "{changes}");
    }
}

fn window(net: &mut Net, connection: ConnectionId) -> u64 {
    net.endpoint(0).statistics(connection).unwrap().congestion_window
}

/// Whether the transfer is in full swing.
fn is_busy(net: &mut Net, connection: ConnectionId) -> bool {
    net.endpoint(0).statistics(connection).unwrap().bytes_sent > 500_000
}

/// RFC 9002 §7.6.
#[test]
fn a_long_blackout_is_persistent_congestion() {
    let mut net = Net::new(3, CLEAN);
    let (mut dark_until, mut collapsed) = (None, false);
    exchange_while(&mut net, 2 << 20, |net, client| {
        match dark_until {
            None if is_busy(net, client) => {
                assert!(window(net, client) > 50_000);
                net.deaf = Some(net.nodes[1].address);
                dark_until = Some(net.now + Duration::from_secs(3));
            }
            Some(end) if net.now >= end => {
                net.deaf = None;
                collapsed |= window(net, client) <= 3 * 1200;
            }
            // Nothing is known while nothing comes back.
            _ => assert!(window(net, client) > 3 * 1200),
        }
    });
    assert!(collapsed);
}

/// RFC 9438 §4.9.2, RFC 9002 §6.1.1.
#[test]
fn packets_that_were_only_late_cost_no_window() {
    let mut net = Net::new(4, CLEAN);
    let bob = net.nodes[1].address;
    let (mut before, mut least, mut statistics) = (0, u64::MAX, None);
    exchange_while(&mut net, 2 << 20, |net, client| {
        if before == 0 && is_busy(net, client) {
            before = window(net, client);
            // The next ones on their way are overtaken by all others.
            let mut flying: Vec<_> = net.flying.drain().map(|flying| flying.0).collect();
            flying.sort();
            for late in flying.iter_mut().filter(|flying| flying.to == bob).take(5) {
                late.arrives += Duration::from_millis(12);
            }
            net.flying.extend(flying.into_iter().map(Reverse));
        }
        if before > 0 {
            least = least.min(window(net, client));
        }
        statistics = net.endpoint(0).statistics(client);
    });
    let statistics = statistics.unwrap();
    assert!(least < before && statistics.packets_spurious >= 5, "{before} {least} {statistics:?}");
    assert_eq!(statistics.packets_lost, statistics.packets_spurious);
    assert!(statistics.congestion_window >= before, "{before} {statistics:?}");
}

/// The first packets of a client, or the answers of a server that knows no way to it yet, went nowhere.
#[test]
fn a_handshake_goes_on_at_once_when_there_is_a_way() {
    for (from, to) in [(0, 1), (1, 0)] {
        let mut net = Net::new(1, CLEAN);
        net.deaf = Some(net.nodes[to].address);
        net.connect(0, 1);
        net.run_for(Duration::from_millis(20));
        net.deaf = None;
        let (now, peer) = (net.now, net.nodes[to].address);
        net.endpoint(from).on_path_change(now, peer);
        net.run_until("the handshake", |net| net.connected(0).is_some() && net.connected(1).is_some());
        let waited = net.now - now;
        assert!(waited < 10 * CLEAN.delay, "{waited:?}");
    }
}

/// The last packets of a client went nowhere: for it, the handshake is over, and the server waits for them.
#[test]
fn a_last_flight_goes_on_at_once_when_there_is_a_way() {
    let mut net = Net::new(1, CLEAN);
    net.connect(0, 1);
    net.run_until("the client's end of the handshake", |net| net.connected(0).is_some());
    net.flush();
    net.flying.clear();
    net.run_for(Duration::from_millis(5));
    assert_eq!(net.connected(1), None);
    let (now, peer) = (net.now, net.nodes[1].address);
    net.endpoint(0).on_path_change(now, peer);
    net.run_until("the handshake", |net| net.connected(1).is_some());
    let waited = net.now - now;
    assert!(waited < 3 * CLEAN.delay, "{waited:?}");
}
