//! Ethernet links, and what happens to their interfaces.

#![allow(clippy::disallowed_methods)] // tests are drivers

mod common;
#[path = "common/links.rs"]
mod tools;

use std::future::poll_fn;
use std::io::Write;
use std::process::{Command, Stdio};
use std::task::Poll;
use std::time::Instant as Clock;

use common::{in_namespace, ip};
use meshcore::driver::link::{Link, LinkError, LinkEvent, V1Link};
use meshcore::types::Destination;
use pnet::datalink;
use tokio::time::timeout;
use tools::{
    News, PATIENCE, Station, cable, cable_up, check_names, exchange, next, open, receive, up, wait_for,
};

/// Waits until the link is down; the reason.
async fn down(link: &mut Station) -> String {
    loop {
        if let News::Other(LinkEvent::Down { reason }) = link.next().await {
            return reason.map_or_else(String::new, |reason| reason.to_string());
        }
    }
}

/// Sends a frame with its Ethernet header, so many times.
fn inject(interface: &str, frame: &[u8], times: usize) {
    let interface = datalink::interfaces().into_iter().find(|i| i.name == interface).unwrap();
    let Ok(datalink::Channel::Ethernet(mut sender, _)) = datalink::channel(&interface, Default::default())
    else {
        panic!("no raw channel on {interface}");
    };
    for _ in 0..times {
        sender.send_to(frame, None).unwrap().unwrap();
    }
}

#[test]
fn works_without_ip() {
    in_namespace("works_without_ip", || async {
        cable("a0", "b0");
        let (mut a, mut b) = (open("ethernet:a0"), open("ethernet:b0"));
        assert_eq!(a.mtu(), 1500);
        exchange(&mut a, &mut b).await;
        exchange(&mut b, &mut a).await;
    });
}

#[test]
fn pnet_works_in_its_place() {
    in_namespace("pnet_works_in_its_place", || async {
        cable("a0", "b0");
        let (mut a, mut b) = (open("ethernet:a0?io=pnet"), open("ethernet:b0"));
        let mut beside = open("ethernet:a0?io=pnet");
        exchange(&mut a, &mut beside).await;
        exchange(&mut a, &mut b).await;
        exchange(&mut b, &mut a).await;
        // Neither what is for others, nor what its own interface sends.
        let before = a.counters();
        let header = [&[2, 9, 9, 9, 9, 9][..], &[2, 0, 0, 0, 0, 1, 0x88, 0xb5]].concat();
        inject("b0", &[&header[..], b"for another"].concat(), 3);
        beside.send(Destination::Group, b"from beside").unwrap();
        receive(&mut a, b"from beside").await;
        b.send(Destination::Group, b"news").unwrap();
        receive(&mut a, b"news").await;
        let after = a.counters();
        assert_eq!(
            (after.received, after.dropped_foreign),
            (before.received + 2, before.dropped_foreign + 4)
        );
        // It follows its interface as well.
        ip("link set b0 down");
        assert!(down(&mut a).await.contains("\"a0\" has no carrier"));
        a.send(Destination::Group, b"lost").unwrap();
        assert_eq!(a.counters().dropped_down, before.dropped_down + 1);
        ip("link set b0 up");
        up(&mut a).await;
        for mtu in [1400, 9000] {
            ip("link del a0");
            assert!(down(&mut a).await.contains("no interface \"a0\""));
            ip(&format!("link add a0 mtu {mtu} type veth peer name b0 mtu {mtu}"));
            cable_up("a0", "b0");
            for link in [&mut a, &mut b] {
                while up(link).await != (mtu, true) {}
            }
            exchange(&mut b, &mut a).await;
        }
    });
}

#[test]
fn refuses_frames_of_a_vlan() {
    in_namespace("refuses_frames_of_a_vlan", || async {
        cable("a0", "b0");
        let (mut a, mut b) = (open("ethernet:a0"), open("ethernet:b0"));
        let header = [&[0x03, 0x4d, 0x53, 0x48, 0x88, 0xb5][..], &[2, 0, 0, 0, 0, 1]].concat();
        inject("a0", &[&header[..], &[0x81, 0, 0, 5, 0x88, 0xb5], b"tagged"].concat(), 1);
        a.send(Destination::Group, b"plain").unwrap();
        receive(&mut b, b"plain").await;
        assert_eq!(b.counters().received, 1);
        assert_eq!(b.counters().dropped_foreign, 1);
    });
}

#[test]
fn frames_for_others_hold_nobody() {
    in_namespace("frames_for_others_hold_nobody", || async {
        cable("a0", "b0");
        let mut b = open("ethernet:b0");
        up(&mut b).await;
        let frame = [&[2, 9, 9, 9, 9, 9, 2, 0, 0, 0, 0, 1, 0x88, 0xb5][..], b"for another"].concat();
        inject("a0", &frame, 200);
        let mut most = 0;
        let all = poll_fn(|cx| {
            let before = b.counters().dropped_foreign;
            assert!(b.link.poll(cx, &mut b.inbound).is_pending());
            most = most.max(b.counters().dropped_foreign - before);
            if b.counters().dropped_foreign == 200 { Poll::Ready(()) } else { Poll::Pending }
        });
        timeout(PATIENCE, all).await.expect("waited in vain");
        assert!(most <= 64, "{most} at once");
    });
}

#[test]
fn follows_the_carrier() {
    in_namespace("follows_the_carrier", || async {
        cable("a0", "b0");
        let (mut a, mut b) = (open("ethernet:a0"), open("ethernet:b0"));
        assert_eq!(up(&mut a).await, (1500, true));
        assert_eq!(up(&mut b).await, (1500, true));
        ip("link set b0 down");
        assert!(down(&mut a).await.contains("\"a0\" has no carrier"));
        assert!(down(&mut b).await.contains("ip link set b0 up"));
        for link in [&mut a, &mut b] {
            link.send(Destination::Group, b"lost").unwrap();
            assert_eq!((link.counters().sent, link.counters().dropped_down), (0, 1));
        }
        ip("link set b0 up");
        for link in [&mut a, &mut b] {
            assert_eq!(up(link).await, (1500, true));
        }
        exchange(&mut a, &mut b).await;
        exchange(&mut b, &mut a).await;
    });
}

#[test]
fn without_a_carrier_is_open_and_down() {
    in_namespace("without_a_carrier_is_open_and_down", || async {
        ip("link add a0 type veth peer name b0");
        ip("link set a0 up");
        let mut a = open("ethernet:a0");
        assert!(down(&mut a).await.contains("no carrier"));
        ip("link set b0 up");
        up(&mut a).await;
    });
}

#[test]
fn notices_on_sending_that_the_interface_is_down() {
    in_namespace("notices_on_sending_that_the_interface_is_down", || async {
        cable("a0", "b0");
        let mut a = open("ethernet:a0");
        up(&mut a).await;
        ip("link set a0 down");
        // The link has not been polled and does not know.
        a.send(Destination::Group, b"lost").unwrap();
        assert_eq!((a.counters().sent, a.counters().dropped_down), (0, 1));
        down(&mut a).await;
    });
}

#[test]
fn survives_an_interface_that_is_made_anew() {
    in_namespace("survives_an_interface_that_is_made_anew", || async {
        cable("a0", "b0");
        let (mut a, mut b) = (open("ethernet:a0"), open("ethernet:b0"));
        exchange(&mut a, &mut b).await;
        for mtu in [1400, 9000] {
            ip("link del a0");
            for (link, name) in [(&mut a, "a0"), (&mut b, "b0")] {
                assert!(down(link).await.contains(&format!("no interface \"{name}\"")));
            }
            ip(&format!("link add a0 mtu {mtu} type veth peer name b0 mtu {mtu}"));
            for end in ["a0", "b0"] {
                ip(&format!("link set {end} up"));
            }
            for link in [&mut a, &mut b] {
                assert_eq!(up(link).await, (mtu, true));
                assert_eq!(link.mtu(), mtu);
            }
            wait_for("-o link show a0", "state UP");
            exchange(&mut a, &mut b).await;
            exchange(&mut b, &mut a).await;
        }
    });
}

#[test]
fn waits_for_an_interface() {
    in_namespace("waits_for_an_interface", || async {
        let wait = |spec: &str| {
            let (link, problem) = Link::open_or_wait(&spec.parse().unwrap());
            (Station::from(link.unwrap()), problem.unwrap().to_string())
        };
        let (mut a, problem) = wait("ethernet:a0");
        assert!(problem.contains("no interface \"a0\""), "{problem}");
        ip("link add a0 type veth peer name b0");
        let (mut b, problem) = wait("ethernet:b0");
        assert!(problem.contains("ip link set b0 up"), "{problem}");
        cable_up("a0", "b0");
        for link in [&mut a, &mut b] {
            assert_eq!(up(link).await, (1500, true));
        }
        exchange(&mut a, &mut b).await;
    });
}

#[test]
fn tells_another_mtu() {
    in_namespace("tells_another_mtu", || async {
        cable("a0", "b0");
        let (mut a, mut b) = (open("ethernet:a0"), open("ethernet:b0"));
        up(&mut a).await;
        ip("link set a0 mtu 1300");
        // A frame of the old size; that is an error, and no end.
        let error = a.send(Destination::Group, &[1; 1500]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::EMSGSIZE));
        assert_eq!(a.counters().dropped_error, 1);
        assert_eq!(down(&mut a).await, "");
        assert_eq!(up(&mut a).await, (1300, true));
        a.send(Destination::Group, &[1; 1300]).unwrap();
        receive(&mut b, &[1; 1300]).await;
    });
}

#[test]
fn follows_the_address_of_the_interface() {
    in_namespace("follows_the_address_of_the_interface", || async {
        cable("a0", "b0");
        let (mut a, mut b) = (open("ethernet:a0"), open("ethernet:b0"));
        exchange(&mut a, &mut b).await;
        ip("link set a0 address 02:00:00:00:00:07");
        // Frames may be received before the news is.
        let start = Clock::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "the new address is not used");
            b.send(Destination::Group, b"news").unwrap();
            receive(&mut a, b"news").await;
            a.send(Destination::Group, b"new").unwrap();
            if receive(&mut b, b"new").await.as_bytes() == [2, 0, 0, 0, 0, 7] {
                break;
            }
        }
        exchange(&mut b, &mut a).await;
    });
}

#[test]
fn joins_processes_on_one_interface() {
    in_namespace("joins_processes_on_one_interface", || async {
        cable("a0", "b0");
        cable("c0", "d0");
        let (mut first, mut second) = (open("ethernet:a0"), open("ethernet:a0"));
        let (mut b, mut c, mut d) = (open("ethernet:b0"), open("ethernet:c0"), open("ethernet:d0"));
        let mut lo = open("ethernet:lo");
        exchange(&mut first, &mut second).await;
        exchange(&mut second, &mut first).await;
        exchange(&mut second, &mut b).await;
        // Nobody hears himself, or another segment, or anything twice. What is received here is the last in its queue.
        let mut counts = Vec::new();
        for _ in 0..2 {
            second.send(Destination::Group, b"from the second").unwrap();
            for link in [&mut first, &mut b] {
                receive(link, b"from the second").await;
            }
            b.send(Destination::Group, b"from the peer").unwrap();
            receive(&mut first, b"from the peer").await;
            c.send(Destination::Group, b"from the other segment").unwrap();
            receive(&mut d, b"from the other segment").await;
            // The loopback is a segment of its own, on which even the sender hears.
            lo.send(Destination::Group, b"from the loopback").unwrap();
            receive(&mut lo, b"from the loopback").await;
            counts.push([&first, &b, &c, &d, &lo].map(|link| link.counters().received));
        }
        assert_eq!(counts[0][2..], [0, 1, 1]);
        assert_eq!(counts[1], [counts[0][0] + 2, counts[0][1] + 1, 0, 2, 2]);
        // Also when the interface has another number.
        ip("link del a0");
        cable("a0", "b0");
        for link in [&mut first, &mut second] {
            down(link).await;
            up(link).await;
        }
        exchange(&mut first, &mut second).await;
    });
}

#[test]
fn frames_of_version_1_have_a_link_of_their_own() {
    async fn news(link: &mut Station<V1Link>) -> News {
        next(link, |link, cx, inbound| link.poll(cx, inbound)).await
    }
    async fn receive(link: &mut Station<V1Link>) -> (Vec<u8>, Vec<u8>) {
        loop {
            if let News::Frame(from, frame) = news(link).await {
                return (frame, from.as_bytes().to_vec());
            }
        }
    }
    in_namespace("frames_of_version_1_have_a_link_of_their_own", || async {
        assert!(matches!(V1Link::open("a0"), Err(LinkError::NoSuchInterface { .. })));
        cable("a0", "b0");
        let mut beside = open("ethernet:a0");
        let [mut a, mut b] = ["a0", "b0"].map(|interface| Station::from(V1Link::open(interface).unwrap()));
        for link in [&mut a, &mut b] {
            assert!(matches!(news(link).await, News::Other(LinkEvent::Up { mtu: 1500, wired: true, .. })));
        }
        // The link of version 2 says something else.
        beside.send(Destination::Group, b"\x02 version 2").unwrap();
        a.send(None, b"\x01 to all").unwrap();
        assert_eq!(receive(&mut b).await, (b"\x01 to all".to_vec(), a.mac().to_vec()));
        b.send(Some([2, 9, 9, 9, 9, 9]), b"\x01 to another").unwrap();
        b.send(Some(a.mac()), b"\x01 to one").unwrap();
        assert_eq!(receive(&mut a).await, (b"\x01 to one".to_vec(), b.mac().to_vec()));
        assert_eq!(a.counters().dropped_foreign, 1);
        ip("link set b0 down");
        for link in [&mut a, &mut b] {
            assert!(matches!(news(link).await, News::Other(LinkEvent::Down { .. })));
        }
        a.send(None, b"\x01 lost").unwrap();
        assert_eq!((a.counters().sent, a.counters().dropped_down), (1, 1));
        ip("link set b0 up");
        for link in [&mut a, &mut b] {
            assert!(matches!(news(link).await, News::Other(LinkEvent::Up { .. })));
        }
        b.send(None, b"\x01 again").unwrap();
        assert_eq!(receive(&mut a).await.0, b"\x01 again");
    });
}

#[test]
fn survives_a_flood_of_news() {
    in_namespace("survives_a_flood_of_news", || async {
        cable("a0", "b0");
        let mut a = open("ethernet:a0");
        up(&mut a).await;
        // More than the kernel keeps for a reader: some are lost.
        let mut batch = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        let mtus = (0..2000).map(|number| format!("link set a0 mtu {}\n", 1000 + number % 400));
        batch.stdin.take().unwrap().write_all(mtus.collect::<String>().as_bytes()).unwrap();
        assert!(batch.wait().unwrap().success());
        down(&mut a).await;
        assert_eq!(up(&mut a).await, (1399, true));
        ip("link set b0 down");
        assert!(down(&mut a).await.contains("no carrier"));
        ip("link set b0 up");
        up(&mut a).await;
    });
}

#[test]
fn tests_run_in_their_namespaces() {
    check_names(include_str!("ethernet.rs"));
}
