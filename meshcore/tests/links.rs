//! Real links, in network namespaces of their own: nothing of this machine's network is used or changed.
//!
//! A test that needs a namespace starts itself again under unshare(1): as root, or as anybody where unprivileged user
//! namespaces are allowed. Where neither is possible, it fails and says so.

#![allow(clippy::disallowed_methods)] // tests are drivers

mod common;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant as Clock};

use common::{in_namespace, ip};
use meshcore::driver::link::{Link, LinkError, LinkSpec};
use meshcore::mesh::{Config, Mesh};
use meshcore::types::{Address, Destination, Instant, LinkAddr, LinkId};
use nix::unistd::{Uid, geteuid, seteuid};
use pnet::datalink;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// A pair of interfaces without IP addresses, as ends of one cable.
fn cable(a: &str, b: &str) {
    ip(&format!("link add {a} type veth peer name {b}"));
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

async fn receive(link: &mut Link, wanted: &[u8]) -> LinkAddr {
    let mut buf = vec![0xa5; link.mtu()];
    let mut others = Vec::new();
    loop {
        let received = timeout(PATIENCE, link.recv(&mut buf)).await;
        let Ok(received) = received else { panic!("{link}: waited in vain, but for {others:?}") };
        let (len, from) = received.unwrap();
        if &buf[..len] == wanted {
            return from;
        }
        others.push(buf[..len].to_vec());
    }
}

/// A group frame there, an answer back.
async fn exchange(a: &mut Link, b: &mut Link) {
    let long = vec![7; a.mtu()];
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
        let start = Clock::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "the new interface is not used");
            a.send(Destination::Group, b"again").unwrap();
            b.send(Destination::Group, b"listening").unwrap();
            let from = receive(&mut b, b"again").await;
            if from.as_bytes().starts_with(&[192, 0, 2, 1]) {
                break;
            }
        }
        ip("link del later0");
        exchange(&mut a, &mut b).await;
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
        let mut buf = [0; 1500];
        let (len, _) = timeout(PATIENCE, b.recv(&mut buf)).await.unwrap().unwrap();
        assert_eq!(&buf[..len], b"plain");
        assert_eq!(b.dropped(), 1);
    });
}

#[test]
fn ethernet_survives_an_interface_that_goes_and_comes() {
    in_namespace("ethernet_survives_an_interface_that_goes_and_comes", || async {
        cable("a0", "b0");
        let (mut a, mut b) = (open("ethernet:a0"), open("ethernet:b0"));
        exchange(&mut a, &mut b).await;
        let mut buf = [0; 1500];
        for change in ["link set a0 down", "link del a0"] {
            ip(change);
            let error = timeout(PATIENCE, a.recv(&mut buf)).await.unwrap().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(nix::libc::ENETDOWN));
            a.send(Destination::Group, b"lost").unwrap();
            assert!(a.dropped() > 0);
            if change == "link del a0" {
                cable("a0", "b0");
                b = open("ethernet:b0");
            }
            ip("link set a0 up");
            // The link opens the interface again while it is polled.
            wait_for("-o link show b0", "state UP");
            let reopened = async {
                loop {
                    b.send(Destination::Group, b"back").unwrap();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::select! {
                _ = receive(&mut a, b"back") => {}
                () = reopened => {}
            }
            exchange(&mut a, &mut b).await;
        }
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
            if let Ok(received) = timeout(wait, self.link.recv(&mut buf)).await {
                let (len, from) = received.unwrap();
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
