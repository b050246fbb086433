//! Links by name, UDP, and the mesh on real links, in network namespaces of their own: nothing of this machine's network is used or changed.
//!
//! A test that needs a namespace starts itself again under unshare(1): as root, or as anybody where unprivileged user
//! namespaces are allowed. Where neither is possible, it fails and says so.

#![allow(clippy::disallowed_methods)] // tests are drivers

mod common;
#[path = "common/links.rs"]
mod tools;

use std::fs::File;
use std::io::{self, Write};
use std::net::UdpSocket;

use common::{in_namespace, ip};
use meshcore::driver::link::{Link, LinkError, LinkEvent, LinkSpec};
use meshcore::types::{Destination, LinkAddr};
use nix::unistd::{Uid, geteuid, seteuid};
use tools::{News, Station, cable, check_names, exchange, open, receive, up, wait_for};

#[test]
fn links_are_named_as_documented() {
    for text in [
        "udp",
        "udp:192.0.2.7:34997",
        "udp:[2001:db8::7]:1",
        "udp:[fe80::1%eth0]:7",
        "udp:host.example:65535,[::1]:5",
        "ethernet:eth0",
        "ethernet:vlan.5@x",
        "ethernet:eth0?io=pnet",
        "ethernet:eth?0",
    ] {
        assert_eq!(text.parse::<LinkSpec>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "tcp",
        "udp:",
        "udp:host",
        "udp:host:",
        "udp:host:0",
        "udp:host:65536",
        "udp::7",
        "udp:::1:7",
        "udp:[::1:7",
        "udp:[x]:7",
        "udp:a b:7",
        "udp:a:7,",
        "ethernet",
        "ethernet:",
        "ethernet:a/b",
        "ethernet:eth0?io=",
        "ethernet:eth0?io=ring",
        "ethernet:?io=pnet",
        "ethernet:0123456789abcdef",
        "Udp",
    ] {
        let error = text.parse::<LinkSpec>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("\"{text}\" is not a link: ")), "{error}");
        assert!(error.contains("udp:192.0.2.7:34997") && error.contains("ethernet:eth0"), "{error}");
    }
}

#[test]
fn udp_links_are_merged() {
    let specs = ["ethernet:a", "udp:h:1", "udp", "ethernet:a?io=pnet", "ethernet:b?io=pnet", "udp:h:1,i:2"];
    let merged = LinkSpec::merge(specs.iter().map(|spec| spec.parse().unwrap()));
    let merged: Vec<String> = merged.iter().map(LinkSpec::to_string).collect();
    assert_eq!(merged, ["udp:h:1,i:2", "ethernet:a", "ethernet:b?io=pnet"]);
}

#[test]
fn links_need_a_runtime() {
    assert!(matches!(Link::open(&"udp".parse().unwrap()), Err(LinkError::NoRuntime)));
}

fn error(spec: &str) -> String {
    Link::open(&spec.parse().unwrap()).unwrap_err().to_string()
}

#[test]
fn errors_say_what_would_help() {
    in_namespace("errors_say_what_would_help", || async {
        ip("link add down0 type bridge");
        let text = error("ethernet:nosuch0");
        assert!(
            text.contains("no interface \"nosuch0\"") && text.contains("lo") && text.contains("down0"),
            "{text}"
        );
        assert!(error("ethernet:down0").contains("ip link set down0 up"));
    });
}

#[test]
fn a_tun_device_is_not_ethernet() {
    // Most systems let anybody use it, but not all; the rule itself is tested beside its code.
    if File::options().read(true).write(true).open("/dev/net/tun").is_err() {
        // Not eprintln!, which is shown of failed tests only.
        let _ = io::stderr()
            .write_all(b"NOT TESTED, /dev/net/tun is closed to this user: a_tun_device_is_not_ethernet\n");
        return;
    }
    in_namespace("a_tun_device_is_not_ethernet", || async {
        ip("tuntap add tun0 mode tun");
        ip("link set tun0 up");
        assert!(error("ethernet:tun0").contains("not an Ethernet interface"));
    });
}

#[test]
fn raw_frames_need_a_privilege() {
    let check = || {
        let text = Link::open(&"ethernet:lo".parse().unwrap()).unwrap_err().to_string();
        assert!(text.contains("CAP_NET_RAW") && text.contains("sudo setcap cap_net_raw+ep /"), "{text}");
    };
    if !geteuid().is_root() {
        return tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(async { check() });
    }
    in_namespace("raw_frames_need_a_privilege", || async {
        seteuid(Uid::from_raw(65534)).unwrap();
        check();
    });
}

#[test]
fn udp_works_with_nothing_but_the_loopback() {
    in_namespace("udp_works_with_nothing_but_the_loopback", || async {
        let (mut a, mut b) = (open("udp"), open("udp"));
        exchange(&mut a, &mut b).await;
        exchange(&mut b, &mut a).await;
    });
}

#[test]
fn udp_works_with_nothing_but_ipv6() {
    in_namespace("udp_works_with_nothing_but_ipv6", || async {
        ip("addr flush dev lo");
        cable("a0", "b0");
        ip("addr add fe80::1/64 dev a0 nodad");
        // The kernel takes an address into use a moment after it was given.
        wait_for("-6 route show table local", "fe80::1");
        let (mut a, mut b) = (open("udp"), open("udp"));
        exchange(&mut a, &mut b).await;
    });
}

#[test]
fn udp_reaches_static_peers() {
    in_namespace("udp_reaches_static_peers", || async {
        let mut listener = open("udp");
        for peer in ["127.0.0.1", "[::1]", "localhost"] {
            let mut link = open(&format!("udp:{peer}:34997"));
            // Not by multicast.
            ip("link set lo multicast off");
            exchange(&mut link, &mut listener).await;
        }
    });
}

#[test]
fn udp_takes_up_interfaces_that_come_later() {
    in_namespace("udp_takes_up_interfaces_that_come_later", || async {
        let (mut a, mut b) = (open("udp"), open("udp"));
        exchange(&mut a, &mut b).await;
        cable("later0", "later1");
        ip("addr add 192.0.2.1/24 dev later0");
        for link in [&mut a, &mut b] {
            up(link).await;
        }
        a.send(Destination::Group, b"here too").unwrap();
        while !receive(&mut b, b"here too").await.as_bytes().starts_with(&[192, 0, 2, 1]) {}
        ip("link del later0");
        exchange(&mut a, &mut b).await;
    });
}

#[test]
fn udp_says_when_ipv6_begins_to_work() {
    in_namespace("udp_says_when_ipv6_begins_to_work", || async {
        ip("addr flush dev lo");
        let (mut a, mut b) = (open("udp"), open("udp"));
        for link in [&mut a, &mut b] {
            up(link).await;
        }
        a.send(Destination::Group, b"nobody").unwrap();
        assert_eq!((a.counters().sent, a.counters().dropped_down), (0, 1));
        ip("link add a0 type veth peer name b0");
        for end in ["a0", "b0"] {
            ip(&format!("link set {end} up"));
        }
        // The kernel tries the new addresses for a while; the first send after that works.
        for link in [&mut b, &mut a] {
            up(link).await;
        }
        a.send(Destination::Group, b"works").unwrap();
        assert_eq!(a.counters().sent, 1);
        receive(&mut b, b"works").await;
    });
}

#[test]
fn udp_is_wired_when_everybody_hears_everybody() {
    in_namespace("udp_is_wired_when_everybody_hears_everybody", || async {
        ip("addr flush dev lo");
        ip("addr add 127.0.0.1/8 dev lo");
        assert_eq!(up(&mut open("udp:127.0.0.1:34997")).await, (9216, false));
        let mut link = open("udp");
        assert_eq!(up(&mut link).await, (9216, true));
        for (number, (a, b)) in [("a0", "b0"), ("a1", "b1")].into_iter().enumerate() {
            cable(a, b);
            ip(&format!("addr add 192.0.{number}.1/24 dev {a}"));
            while up(&mut link).await.1 != (number == 0) {}
        }
        ip("link del a1");
        while !up(&mut link).await.1 {}
        // A station beyond a router.
        cable("far0", "far1");
        ip("link set far0 multicast off");
        ip("addr add 198.51.100.9/24 dev far0");
        let far = UdpSocket::bind("198.51.100.9:0").unwrap();
        far.send_to(b"hello", "127.0.0.1:34997").unwrap();
        while up(&mut link).await.1 {}
    });
}

#[test]
fn udp_sends_larger_frames_where_an_interface_carries_them() {
    in_namespace("udp_sends_larger_frames_where_an_interface_carries_them", || async {
        ip("addr flush dev lo");
        ip("addr add 127.0.0.1/8 dev lo");
        cable("a0", "b0");
        ip("addr add 192.0.2.1/24 dev a0");
        ip("link set a0 mtu 3000");
        let (mut a, mut b) = (open("udp"), open("udp"));
        for link in [&mut a, &mut b] {
            // As both are known: without the headers, and no larger than a frame of Ethernet.
            while !matches!(
                link.next().await,
                News::Other(LinkEvent::Up { mtu: 1452, larger: [9216, 2952, 0, 0], wired: true })
            ) {}
        }
        exchange(&mut a, &mut b).await;
        // Beside the loopback, beside a smaller interface, and beyond any.
        ip("route add 198.51.100.0/24 dev a0");
        let sent = |link: &mut Station, ip: [u8; 4], len: usize| {
            let to = LinkAddr::new(&[&ip[..], &[0x88, 0xb5]].concat()).unwrap();
            let before = link.counters();
            // Only what is longer than any frame is an error of who sends it.
            assert_eq!(link.send(Destination::Station(to), &vec![7; len]).is_ok(), len <= 9216);
            let after = link.counters();
            assert_eq!(after.sent + after.dropped_error, before.sent + before.dropped_error + 1);
            after.sent > before.sent
        };
        for (ip, most) in [([127, 0, 0, 1], 9216), ([192, 0, 2, 1], 2952), ([198, 51, 100, 1], 1452)] {
            assert!(sent(&mut a, ip, most) && !sent(&mut a, ip, most + 1), "{ip:?}");
        }
        ip("link set lo mtu 5000");
        while !matches!(a.next().await, News::Other(LinkEvent::Up { larger: [4952, 2952, 0, 0], .. })) {}
        assert!(sent(&mut a, [127, 0, 0, 1], 4952) && !sent(&mut a, [127, 0, 0, 1], 4953));
    });
}

#[test]
fn tests_run_in_their_namespaces() {
    check_names(include_str!("links.rs"));
}
