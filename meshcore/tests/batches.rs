//! Links under load, in network namespaces of their own: many frames a system call, none lost, none out of order.

#![allow(clippy::disallowed_methods)] // tests are drivers

mod common;
#[path = "common/counting.rs"]
mod counting;
#[path = "common/links.rs"]
mod tools;

use std::future::poll_fn;
use std::net::UdpSocket;
use std::process::Command;
use std::task::Poll;

use common::{in_namespace, ip};
use meshcore::driver::link::{BATCH, LinkEvent, Queue};
use meshcore::types::{Destination, LinkAddr};
use pnet::datalink;
use tokio::time::timeout;
use tools::{News, PATIENCE, Station, cable, check_names, exchange, open, receive, up};

/// First byte of the frames that count; what else comes (hellos of the set-up) is passed over.
const MARK: u8 = 0xf5;

/// A frame of at least 5 bytes that tells its number.
fn numbered(number: usize, len: usize) -> Vec<u8> {
    let mut frame = vec![number as u8; len.max(5)];
    frame[0] = MARK;
    frame[1..5].copy_from_slice(&(number as u32).to_be_bytes());
    frame
}

fn frames(to: Destination, lens: impl IntoIterator<Item = usize>) -> Vec<(Destination, Vec<u8>)> {
    lens.into_iter().enumerate().map(|(number, len)| (to, numbered(number, len))).collect()
}

/// The address of `to` as `from` sees it.
async fn address(from: &mut Station, to: &mut Station) -> Destination {
    to.send(Destination::Group, b"here I am").unwrap();
    Destination::Station(receive(from, b"here I am").await)
}

/// Two links that know each other, and the address of the second: a cable of this MTU, or the loopback.
async fn pair(kind: &str, mtu: usize) -> (Station, Station, Destination) {
    let (mut a, mut b) = match kind {
        "udp" | "ethernet:lo" => (open(kind), open(kind)),
        kind => {
            cable("a0", "b0");
            for end in ["a0", "b0"] {
                ip(&format!("link set {end} mtu {mtu}"));
            }
            (open(&kind.replace("IFACE", "a0")), open(&kind.replace("IFACE", "b0")))
        }
    };
    exchange(&mut a, &mut b).await;
    let to = address(&mut a, &mut b).await;
    (a, b, to)
}

/// Sends everything, and waits for room where there is none; how often that was.
async fn send_all(link: &mut Station, frames: &[(Destination, Vec<u8>)]) -> usize {
    let (mut done, mut waited) = (0, 0);
    while done < frames.len() {
        let sent = link.send_batch(&frames[done..]);
        assert!(sent.error.is_none(), "{:?}", sent.error);
        done += sent.done;
        if done < frames.len() {
            waited += 1;
            let writable = poll_fn(|cx| link.poll_writable(cx));
            timeout(PATIENCE, writable).await.expect("waited in vain");
        }
    }
    waited
}

/// Receives these frames, in this order and no others in between.
async fn receive_all(link: &mut Station, frames: &[(Destination, Vec<u8>)]) {
    for (number, (_, wanted)) in frames.iter().enumerate() {
        let frame = loop {
            match link.next().await {
                News::Frame(_, frame) if frame.first() == Some(&MARK) => break frame,
                News::Frame(..) => {}
                News::Other(event) => panic!("{event:?}"),
            }
        };
        assert!(frame == *wanted, "frame {number} has {} bytes, not {}", frame.len(), wanted.len());
    }
}

/// Runs of one length, single frames of every other one, the longest and the shortest.
fn mixed(longest: usize) -> impl Iterator<Item = usize> {
    (0..40).flat_map(move |run| {
        let len = 5 + run * (longest - 5) / 39;
        std::iter::repeat_n(len, run * 7 % 37).chain([longest, 5, len])
    })
}

async fn keeps_order_and_sizes(kind: &str, mtu: usize) {
    let (mut a, mut b, to) = pair(kind, mtu).await;
    let frames = frames(to, mixed(a.mtu()));
    for _ in 0..3 {
        let before = a.counters().sent;
        // pnet leaves the buffer as small as it is.
        for frames in frames.chunks(if kind.contains("pnet") { 64 } else { frames.len() }) {
            assert_eq!(send_all(&mut a, frames).await, 0);
            receive_all(&mut b, frames).await;
        }
        assert_eq!(a.counters().sent, before + frames.len() as u64);
    }
}

#[test]
fn ethernet_keeps_order_and_sizes() {
    in_namespace("ethernet_keeps_order_and_sizes", || keeps_order_and_sizes("ethernet:IFACE", 1500));
}

#[test]
fn jumbo_frames_keep_order_and_sizes() {
    in_namespace("jumbo_frames_keep_order_and_sizes", || keeps_order_and_sizes("ethernet:IFACE", 9000));
}

#[test]
fn pnet_keeps_order_and_sizes() {
    in_namespace("pnet_keeps_order_and_sizes", || keeps_order_and_sizes("ethernet:IFACE?io=pnet", 1500));
}

#[test]
fn udp_keeps_order_and_sizes() {
    in_namespace("udp_keeps_order_and_sizes", || keeps_order_and_sizes("udp", 1500));
}

#[test]
fn udp_frames_travel_as_segments() {
    in_namespace("udp_frames_travel_as_segments", || async {
        let (mut a, mut b, to) = pair("udp", 1500).await;
        // The last one is short; the ninth of them would need a second call if each travelled by itself.
        let frames = frames(to, [1400; 11].into_iter().chain([77]));
        assert_eq!(send_all(&mut a, &frames).await, 0);
        loop {
            let Station { link, inbound } = &mut b;
            let event = timeout(PATIENCE, link.next(inbound)).await.expect("waited in vain");
            assert!(matches!(event, LinkEvent::Frames), "{event:?}");
            if inbound.len() == frames.len() {
                break;
            }
        }
        receive_all(&mut b, &frames).await;
        // One of other length in between, or longer than the first: no segments of one datagram.
        let frames = self::frames(to, [1400, 1400, 1452, 1452, 9, 9, 10, 1452]);
        assert_eq!(send_all(&mut a, &frames).await, 0);
        receive_all(&mut b, &frames).await;
    });
}

#[test]
fn udp_does_without_segments() {
    in_namespace("udp_does_without_segments", || async {
        let (mut a, mut b, to) = pair("udp", 1500).await;
        // A segment must fit into the MTU; a datagram is sent in fragments.
        ip("link set lo mtu 1300");
        while up(&mut b).await != (1452, true) {}
        let frames = frames(to, [1400; 50].into_iter().chain([77, 1000, 1000]));
        for _ in 0..2 {
            assert_eq!(send_all(&mut a, &frames).await, 0);
            receive_all(&mut b, &frames).await;
        }
        assert_eq!(a.counters().dropped_error, 0);
    });
}

#[test]
fn a_batch_may_go_to_many_stations() {
    in_namespace("a_batch_may_go_to_many_stations", || async {
        for kind in ["udp", "ethernet:lo"] {
            let mut a = open(kind);
            let mut others: Vec<_> = (0..4).map(|_| open(kind)).collect();
            for other in &mut others {
                exchange(&mut a, other).await;
            }
            let mut all = Vec::new();
            for (index, other) in others.iter_mut().enumerate() {
                let to = address(&mut a, other).await;
                all.extend((0..100).map(|number| ((number * 7 % 40, number, index), to)));
            }
            all.sort_by_key(|(order, _)| *order);
            let frame = |number: usize, index: usize| numbered(number, 100 + 300 * (number % 3) + index);
            let batch: Vec<_> =
                all.iter().map(|&((_, number, index), to)| (to, frame(number, index))).collect();
            assert_eq!(send_all(&mut a, &batch).await, 0);
            if kind == "udp" {
                for (index, other) in others.iter_mut().enumerate() {
                    let wanted = all.iter().zip(&batch).filter(|(((_, _, to), _), _)| *to == index);
                    let wanted: Vec<_> = wanted.map(|(_, frame)| frame.clone()).collect();
                    receive_all(other, &wanted).await;
                }
            } else {
                // All links share the address of the loopback.
                receive_all(&mut a, &batch).await;
            }
        }
    });
}

async fn waits_for_room(kind: &str, slow: &str) {
    let (mut a, mut b, to) = pair(kind, 1500).await;
    tc(&format!("qdisc add dev {slow} root tbf rate 20mbit burst 128k limit 100m"));
    let frames = frames(to, (0..4000).map(|number| if number % 9 == 0 { 300 } else { 1452 }));
    // No buffer for what was received holds all of them.
    let (waited, ()) = tokio::join!(send_all(&mut a, &frames), receive_all(&mut b, &frames));
    assert!(waited > 0, "the buffer was never full");
    assert_eq!(a.counters().dropped_full, 0);
}

#[test]
fn ethernet_waits_for_room() {
    in_namespace("ethernet_waits_for_room", || waits_for_room("ethernet:IFACE", "a0"));
}

#[test]
fn udp_waits_for_room() {
    in_namespace("udp_waits_for_room", || waits_for_room("udp", "lo"));
}

#[test]
fn what_is_waited_for_is_lost_with_the_interface() {
    in_namespace("what_is_waited_for_is_lost_with_the_interface", || async {
        let (mut a, _b, to) = pair("ethernet:IFACE", 1500).await;
        tc("qdisc add dev a0 root tbf rate 8kbit burst 2k limit 100m");
        let frames = frames(to, [1400; 4000]);
        let sent = a.send_batch(&frames);
        assert!((1..4000).contains(&sent.done));
        let full = poll_fn(|cx| Poll::Ready(a.poll_writable(cx).is_pending()));
        assert!(full.await);
        ip("link set a0 down");
        while !matches!(a.next().await, News::Other(LinkEvent::Down { .. })) {}
        let writable = poll_fn(|cx| a.poll_writable(cx));
        timeout(PATIENCE, writable).await.expect("waited in vain");
        let rest = frames.len() - sent.done;
        assert_eq!(a.send_batch(&frames[sent.done..]).done, rest);
        assert_eq!(a.counters().dropped_down, rest as u64);
        ip("link set a0 up");
        assert_eq!(up(&mut a).await, (1500, true));
    });
}

#[test]
fn an_error_in_a_batch_harms_one_frame() {
    in_namespace("an_error_in_a_batch_harms_one_frame", || async {
        for (kind, too_long) in [("ethernet:IFACE", 1501), ("udp", 65_530)] {
            let (mut a, mut b, to) = pair(kind, 1500).await;
            let mut frames = frames(to, [1000, 1000, too_long, 1000, 1000]);
            frames.push((Destination::Station(LinkAddr::new(b"neither").unwrap()), numbered(5, 10)));
            frames.push((to, numbered(6, 10)));
            let before = a.counters();
            let sent = a.send_batch(&frames);
            assert_eq!(sent.done, frames.len());
            assert_eq!(sent.error.unwrap().raw_os_error(), Some(nix::libc::EMSGSIZE));
            assert!(
                a.counters().sent == before.sent + 5 && a.counters().dropped_error > before.dropped_error
            );
            frames.retain(|(to_this, frame)| *to_this == to && frame.len() < too_long);
            receive_all(&mut b, &frames).await;
        }
    });
}

#[test]
fn what_is_no_frame_is_passed_over() {
    in_namespace("what_is_no_frame_is_passed_over", || async {
        let (mut a, mut b, to) = pair("ethernet:lo", 0).await;
        let before = b.counters();
        // Nothing behind the header, and more than any frame may have.
        let bare = [&[0; 12][..], &[0x88, 0xb5]].concat();
        for frame in [bare.clone(), [bare, vec![MARK; 9217]].concat()] {
            inject("lo", &frame);
        }
        let good = frames(to, [9216, 5]);
        assert_eq!(send_all(&mut a, &good).await, 0);
        receive_all(&mut b, &good).await;
        assert_eq!(b.counters().dropped_foreign, before.dropped_foreign + 2);

        let (mut a, mut b, to) = pair("udp", 0).await;
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(&[], "127.0.0.1:34997").unwrap();
        // The kernel gives it to one of those that listen there.
        let empty = poll_fn(|cx| {
            for Station { link, inbound } in [&mut a, &mut b] {
                while link.poll(cx, inbound).is_ready() {}
            }
            let dropped = a.counters().dropped_foreign + b.counters().dropped_foreign;
            if dropped == 1 { Poll::Ready(()) } else { Poll::Pending }
        });
        timeout(PATIENCE, empty).await.expect("waited in vain");
        let good = frames(to, [1452, 5]);
        for len in [0, 1, 65_507] {
            socket.send_to(&vec![b'?'; len], "127.0.0.1:34997").unwrap();
        }
        assert_eq!(send_all(&mut a, &good).await, 0);
        receive_all(&mut b, &good).await;
    });
}

async fn allocates_nothing(kind: &str) {
    let (mut a, mut b, to) = pair(kind, 1500).await;
    let mut queue = Queue::default();
    let mut frame = Vec::with_capacity(2000);
    let mut received = 0;
    for round in 0..50 {
        let before = counting::allocations();
        for number in 0..BATCH {
            frame.resize(1400, MARK);
            frame.truncate(if number % 5 == 0 { 700 } else { 1400 });
            queue.push(to, &mut frame);
        }
        let sent = a.send_batch(queue.frames());
        queue.remove(sent.done);
        let mut missing = BATCH;
        while missing > 0 {
            let Station { link, inbound } = &mut b;
            assert!(matches!(link.next(inbound).await, LinkEvent::Frames));
            while let Some((_, frame)) = inbound.pop() {
                missing -= usize::from(frame[0] == MARK);
            }
        }
        received += BATCH;
        let count = counting::allocations() - before;
        assert!(round < 2 || count == 0, "{count} allocations in round {round}");
    }
    assert_eq!(received, 50 * BATCH);
}

#[test]
fn ethernet_allocates_nothing() {
    in_namespace("ethernet_allocates_nothing", || allocates_nothing("ethernet:IFACE"));
}

#[test]
fn udp_allocates_nothing() {
    in_namespace("udp_allocates_nothing", || allocates_nothing("udp"));
}

/// Sends a frame with its Ethernet header.
fn inject(interface: &str, frame: &[u8]) {
    let interface = datalink::interfaces().into_iter().find(|i| i.name == interface).unwrap();
    let Ok(datalink::Channel::Ethernet(mut sender, _)) = datalink::channel(&interface, Default::default())
    else {
        panic!("no raw channel on {interface}");
    };
    sender.send_to(frame, None).unwrap().unwrap();
}

/// Runs tc(8), which comes with ip(8).
fn tc(arguments: &str) {
    let output = Command::new("tc").args(arguments.split(' ')).output().expect("tc(8) is needed");
    assert!(output.status.success(), "tc {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn tests_run_in_their_namespaces() {
    check_names(include_str!("batches.rs"));
}
