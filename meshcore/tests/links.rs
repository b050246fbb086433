//! Real links, in network namespaces of their own: nothing of this machine's network is used or changed.
//!
//! A test that needs a namespace starts itself again under unshare(1): as root, or as anybody where unprivileged user
//! namespaces are allowed. Where neither is possible, it fails and says so.

#![allow(clippy::disallowed_methods)] // tests are drivers

mod common;

use std::collections::BTreeSet;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Write};
use std::net::UdpSocket;
use std::time::{Duration, Instant as Clock};

use common::{in_namespace, ip};
use meshcore::driver::link::{Link, LinkError, LinkEvent, LinkSpec, V1Link};
use meshcore::mesh::{Config, Mesh};
use meshcore::types::{Address, Destination, Instant, LinkAddr, LinkId};
use nix::unistd::{Uid, geteuid, seteuid};
use pnet::datalink;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// A pair of interfaces without IP addresses, as ends of one cable.
fn cable(a: &str, b: &str) {
    ip(&format!("link add {a} type veth peer name {b}"));
    cable_up(a, b);
}

fn cable_up(a: &str, b: &str) {
    for end in [a, b] {
        ip(&format!("link set {end} addrgenmode none"));
        ip(&format!("link set {end} up"));
    }
    // An interface that has just been brought up drops frames for a moment.
    for end in [a, b] {
        wait_for(&format!("-o link show {end}"), "state UP");
    }
}

/// Waits until `ip` shows `text`.
fn wait_for(arguments: &str, text: &str) {
    let start = Clock::now();
    while !ip(arguments).contains(text) {
        assert!(start.elapsed() < PATIENCE, "ip {arguments} does not show {text}");
    }
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

fn open(spec: &str) -> Link {
    Link::open(&spec.parse().unwrap()).unwrap()
}

async fn next(link: &mut Link, buf: &mut [u8]) -> LinkEvent {
    match timeout(PATIENCE, link.next(buf)).await {
        Ok(LinkEvent::Trouble(error)) => panic!("{link}: {error}"),
        Ok(event) => event,
        Err(_) => panic!("{link}: waited in vain"),
    }
}

/// Waits for a frame.
async fn receive(link: &mut Link, wanted: &[u8]) -> LinkAddr {
    let mut buf = vec![0xa5; 10_000];
    loop {
        match next(link, &mut buf).await {
            LinkEvent::Frame { len, from } if &buf[..len] == wanted => return from,
            _ => {}
        }
    }
}

/// Waits until the link is up; its MTU, and whether it is wired.
async fn up(link: &mut Link) -> (usize, bool) {
    loop {
        if let LinkEvent::Up { mtu, wired } = next(link, &mut [0; 10_000]).await {
            return (mtu, wired);
        }
    }
}

/// Waits until the link is down; the reason.
async fn down(link: &mut Link) -> String {
    loop {
        if let LinkEvent::Down { reason } = next(link, &mut [0; 10_000]).await {
            return reason.map_or_else(String::new, |reason| reason.to_string());
        }
    }
}

/// A group frame there, an answer back.
async fn exchange(a: &mut Link, b: &mut Link) {
    let long = vec![7; b.mtu()];
    a.send(Destination::Group, b"who is there?").unwrap();
    let at_a = receive(b, b"who is there?").await;
    b.send(Destination::Station(at_a), &long).unwrap();
    let at_b = receive(a, &long).await;
    a.send(Destination::Station(at_b), b"x").unwrap();
    assert_eq!(receive(b, b"x").await, at_a);
}

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
    let specs = ["ethernet:a", "udp:h:1", "udp", "ethernet:a", "ethernet:b", "udp:h:1,i:2"];
    let merged = LinkSpec::merge(specs.iter().map(|spec| spec.parse().unwrap()));
    let merged: Vec<String> = merged.iter().map(LinkSpec::to_string).collect();
    assert_eq!(merged, ["udp:h:1,i:2", "ethernet:a", "ethernet:b"]);
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
        assert_eq!(up(&mut open("udp:127.0.0.1:34997")).await, (1452, false));
        let mut link = open("udp");
        assert_eq!(up(&mut link).await, (1452, true));
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
fn ethernet_works_without_ip() {
    in_namespace("ethernet_works_without_ip", || async {
        cable("a0", "b0");
        let (mut a, mut b) = (open("ethernet:a0"), open("ethernet:b0"));
        assert_eq!(a.mtu(), 1500);
        exchange(&mut a, &mut b).await;
        exchange(&mut b, &mut a).await;
    });
}

#[test]
fn ethernet_refuses_frames_of_a_vlan() {
    in_namespace("ethernet_refuses_frames_of_a_vlan", || async {
        cable("a0", "b0");
        let (mut a, mut b) = (open("ethernet:a0"), open("ethernet:b0"));
        let header = [&[0x03, 0x4d, 0x53, 0x48, 0x88, 0xb5][..], &[2, 0, 0, 0, 0, 1]].concat();
        inject("a0", &[&header[..], &[0x81, 0, 0, 5, 0x88, 0xb5], b"tagged"].concat());
        a.send(Destination::Group, b"plain").unwrap();
        receive(&mut b, b"plain").await;
        assert_eq!(b.counters().received, 1);
        assert_eq!(b.counters().dropped_foreign, 1);
    });
}

#[test]
fn ethernet_follows_the_carrier() {
    in_namespace("ethernet_follows_the_carrier", || async {
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
fn ethernet_without_a_carrier_is_open_and_down() {
    in_namespace("ethernet_without_a_carrier_is_open_and_down", || async {
        ip("link add a0 type veth peer name b0");
        ip("link set a0 up");
        let mut a = open("ethernet:a0");
        assert!(down(&mut a).await.contains("no carrier"));
        ip("link set b0 up");
        up(&mut a).await;
    });
}

#[test]
fn ethernet_notices_on_sending_that_the_interface_is_down() {
    in_namespace("ethernet_notices_on_sending_that_the_interface_is_down", || async {
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
fn ethernet_survives_an_interface_that_is_made_anew() {
    in_namespace("ethernet_survives_an_interface_that_is_made_anew", || async {
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
fn ethernet_waits_for_an_interface() {
    in_namespace("ethernet_waits_for_an_interface", || async {
        let wait = |spec: &str| {
            let (link, problem) = Link::open_or_wait(&spec.parse().unwrap());
            (link.unwrap(), problem.unwrap().to_string())
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
fn ethernet_tells_another_mtu() {
    in_namespace("ethernet_tells_another_mtu", || async {
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
fn ethernet_follows_the_address_of_the_interface() {
    in_namespace("ethernet_follows_the_address_of_the_interface", || async {
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
fn ethernet_joins_processes_on_one_interface() {
    in_namespace("ethernet_joins_processes_on_one_interface", || async {
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
    async fn next(link: &mut V1Link, buf: &mut [u8]) -> LinkEvent {
        timeout(PATIENCE, poll_fn(|cx| link.poll(cx, buf))).await.expect("waited in vain")
    }
    async fn receive(link: &mut V1Link) -> (Vec<u8>, Vec<u8>) {
        let mut buf = [0; 1500];
        loop {
            if let LinkEvent::Frame { len, from } = next(link, &mut buf).await {
                return (buf[..len].to_vec(), from.as_bytes().to_vec());
            }
        }
    }
    in_namespace("frames_of_version_1_have_a_link_of_their_own", || async {
        assert!(matches!(V1Link::open("a0"), Err(LinkError::NoSuchInterface { .. })));
        cable("a0", "b0");
        let mut beside = open("ethernet:a0");
        let (mut a, mut b) = (V1Link::open("a0").unwrap(), V1Link::open("b0").unwrap());
        for link in [&mut a, &mut b] {
            assert!(matches!(next(link, &mut []).await, LinkEvent::Up { mtu: 1500, wired: true }));
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
            assert!(matches!(next(link, &mut []).await, LinkEvent::Down { .. }));
        }
        a.send(None, b"\x01 lost").unwrap();
        assert_eq!((a.counters().sent, a.counters().dropped_down), (1, 1));
        ip("link set b0 up");
        for link in [&mut a, &mut b] {
            assert!(matches!(next(link, &mut []).await, LinkEvent::Up { .. }));
        }
        b.send(None, b"\x01 again").unwrap();
        assert_eq!(receive(&mut a).await.0, b"\x01 again");
    });
}

/// A mesh on a link, driven by the clock.
struct Node {
    mesh: Mesh,
    link: Link,
    start: Clock,
}

impl Node {
    fn new(spec: &str, name: u8) -> Self {
        let link = open(spec);
        let mut mesh = Mesh::new(Config::default(), Address([name; 16]), name.into(), [name; 32]);
        let start = Clock::now();
        mesh.add_link(Instant::default(), LinkId(0), link.mtu());
        Self { mesh, link, start }
    }

    /// Runs until `node` is reachable.
    async fn find(&mut self, node: Address) {
        let mut buf = vec![0; self.link.mtu()];
        while !self.mesh.is_reachable(node) {
            let now = Instant::from_micros(self.start.elapsed().as_micros() as u64);
            self.mesh.handle_timeout(now);
            let mut out = Vec::new();
            while let Some((_, to)) = self.mesh.poll_transmit(now, &mut out) {
                self.link.send(to, &out).unwrap();
                out.clear();
            }
            let wait = self.mesh.poll_timeout().map_or(PATIENCE, |due| due - now);
            if let Ok(LinkEvent::Frame { len, from }) = timeout(wait, self.link.next(&mut buf)).await {
                let now = Instant::from_micros(self.start.elapsed().as_micros() as u64);
                let _ = self.mesh.handle_frame(now, LinkId(0), from, &mut buf[..len]);
            }
        }
        let now = Instant::from_micros(self.start.elapsed().as_micros() as u64);
        let mut out = Vec::new();
        while let Some((_, to)) = self.mesh.poll_transmit(now, &mut out) {
            self.link.send(to, &out).unwrap();
            out.clear();
        }
    }
}

async fn discover(a: &str, b: &str) {
    let (mut a, mut b) = (Node::new(a, 1), Node::new(b, 2));
    let both = async { tokio::join!(a.find(Address([2; 16])), b.find(Address([1; 16]))) };
    timeout(PATIENCE, both).await.expect("the nodes do not find each other");
}

#[test]
fn nodes_find_each_other_over_udp() {
    in_namespace("nodes_find_each_other_over_udp", || discover("udp", "udp"));
}

#[test]
fn nodes_find_each_other_over_ethernet() {
    in_namespace("nodes_find_each_other_over_ethernet", || async {
        cable("a0", "b0");
        discover("ethernet:a0", "ethernet:b0").await;
    });
}

/// Every test that needs a namespace names itself rightly, or the child would run nothing and succeed.
#[test]
fn namespaced_tests_run_in_their_namespace() {
    let source = include_str!("links.rs");
    let mut functions = BTreeSet::new();
    let mut last = "";
    for line in source.lines() {
        if let Some(rest) = line.strip_prefix("fn ") {
            last = rest.split(['(', '<']).next().unwrap_or("");
        }
        if let Some(rest) = line.strip_prefix("    in_namespace(\"") {
            assert_eq!(rest.split('"').next(), Some(last));
            functions.insert(last);
        }
    }
    assert!(functions.len() >= 8);
}
