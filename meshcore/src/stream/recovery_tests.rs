use super::*;

const RTT: Duration = Duration::from_millis(100);

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

fn established() -> Recovery {
    let progress = Progress {
        at_amplification_limit: false,
        peer_validated_us: true,
        has_handshake_keys: false,
        confirmed: true,
    };
    let mut recovery = Recovery::new(1200, progress);
    recovery.window_limited = true;
    recovery
}

fn send(recovery: &mut Recovery, millis: u64, number: u64) {
    let time = at(millis);
    let packet = SentPacket {
        time,
        size: 1200,
        eliciting: true,
        content: [Sent::Reset(number)].into_iter().collect(),
    };
    recovery.on_sent(time, SpaceId::Data, number, packet);
}

fn ack(recovery: &mut Recovery, millis: u64, range: RangeInclusive<u64>) -> Outcome {
    let ack = AckInfo { largest: *range.end(), delay: Duration::ZERO, next_number: *range.end() + 1 };
    recovery.on_ack(at(millis), SpaceId::Data, ack, [range].into_iter())
}

#[test]
fn three_later_packets_make_a_loss() {
    let mut recovery = established();
    for number in 0..5 {
        send(&mut recovery, 0, number);
    }
    let outcome = ack(&mut recovery, 100, 3..=3);
    assert_eq!(outcome.acked, [Sent::Reset(3)]);
    assert_eq!(outcome.lost, [Sent::Reset(0)]);
    assert_eq!(recovery.lost(), 1);
    assert_eq!(recovery.rtt.smoothed(), RTT);
    // The others are lost an eighth of a round trip later.
    assert_eq!(recovery.timer(), Some(Instant::from_micros(112_500)));
    let Expired::Lost(SpaceId::Data, lost) = recovery.on_timeout(at(113)) else { panic!() };
    assert_eq!(lost, [Sent::Reset(1), Sent::Reset(2)]);
    assert_eq!(recovery.congestion.in_flight(), 1200);
}

#[test]
fn probe_timeouts_back_off_and_an_acknowledgement_ends_that() {
    let mut recovery = established();
    send(&mut recovery, 0, 0);
    ack(&mut recovery, 100, 0..=0);
    assert_eq!(recovery.timer(), None);
    send(&mut recovery, 200, 1);
    let mut now = 200;
    for step in [300, 600, 1200] {
        now += step;
        assert_eq!(recovery.timer(), Some(at(now)));
        assert!(matches!(recovery.on_timeout(at(now)), Expired::Probe(SpaceId::Data)));
        assert_eq!(recovery.oldest(SpaceId::Data), [Sent::Reset(1)]);
    }
    send(&mut recovery, now, 2);
    ack(&mut recovery, now + 100, 2..=2);
    send(&mut recovery, now + 200, 3);
    assert!(recovery.timer().is_some_and(|timer| timer < at(now + 1000)));
}

#[test]
fn long_silence_is_persistent_congestion_unless_something_arrived_in_between() {
    for acked_between in [false, true] {
        let mut recovery = established();
        send(&mut recovery, 0, 0);
        ack(&mut recovery, 100, 0..=0);
        for (number, millis) in [(1, 200), (2, 300), (3, 700), (4, 2000), (5, 2100)] {
            send(&mut recovery, millis, number);
        }
        if acked_between {
            ack(&mut recovery, 2150, 2..=3);
        }
        ack(&mut recovery, 2200, 5..=5);
        // The minimum of two packets, and slow start with the packet acknowledged.
        assert_eq!(recovery.congestion.window() == 3600, !acked_between);
    }
}

#[test]
fn a_client_probes_without_anything_in_flight_until_the_server_knows_it() {
    let progress = Progress {
        at_amplification_limit: false,
        peer_validated_us: false,
        has_handshake_keys: true,
        confirmed: false,
    };
    let mut recovery = Recovery::new(1200, progress);
    recovery.set_timer(at(0));
    assert_eq!(recovery.timer(), Some(at(300)));
    assert!(matches!(recovery.on_timeout(at(300)), Expired::Probe(SpaceId::Handshake)));
    recovery.progress.at_amplification_limit = true;
    recovery.set_timer(at(301));
    assert_eq!(recovery.timer(), None);
}

#[test]
fn a_path_that_reorders_is_tolerated_and_the_window_comes_back() {
    let mut recovery = established();
    for number in 0..6 {
        send(&mut recovery, 0, number);
    }
    let window = recovery.congestion.window();
    let outcome = ack(&mut recovery, 100, 5..=5);
    assert_eq!(outcome.lost, [0, 1, 2].map(Sent::Reset));
    assert!(recovery.congestion.window() < window);
    // They were only late.
    let outcome = ack(&mut recovery, 101, 0..=4);
    assert_eq!(outcome.acked, [0, 1, 2, 3, 4].map(Sent::Reset));
    assert_eq!((recovery.lost(), recovery.spurious()), (3, 3));
    assert!(recovery.congestion.window() >= window);
    // The same disorder is no loss any more.
    for number in 10..20 {
        send(&mut recovery, 200, number);
    }
    assert_eq!(ack(&mut recovery, 300, 15..=15).lost, []);
}

#[test]
fn reordering_is_unlearned_after_losses_without_it() {
    let mut recovery = established();
    recovery.reordering = Reordering { packets: 50, eighths: 8, noticed: 0 };
    for round in 0..20 {
        let (start, millis) = (round * 60, round * 1000);
        for number in start..start + 60 {
            send(&mut recovery, millis, number);
        }
        ack(&mut recovery, millis + 100, start + 1..=start + 59);
    }
    assert_eq!(recovery.reordering.packets, PACKET_THRESHOLD);
}

#[test]
fn packets_that_no_longer_fit_are_lost_without_congestion() {
    let mut recovery = established();
    send(&mut recovery, 0, 0);
    ack(&mut recovery, 100, 0..=0);
    send(&mut recovery, 110, 1);
    let window = recovery.congestion.window();
    assert_eq!(recovery.on_smaller_mtu(at(120), SpaceId::Data, 1200), []);
    assert_eq!(recovery.on_smaller_mtu(at(120), SpaceId::Data, 1199), [Sent::Reset(1)]);
    assert_eq!((recovery.congestion.window(), recovery.congestion.in_flight()), (window, 0));
    assert_eq!(recovery.timer(), None);
    // One arrives all the same.
    assert_eq!(ack(&mut recovery, 200, 1..=1).acked, [Sent::Reset(1)]);
}
