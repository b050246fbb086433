//! Whole nodes that speak AlexMesh v1, in one process and a network namespace of its own. What they say to a program of
//! v1 is tested end to end (tests/test_v1.py).

#![allow(clippy::disallowed_methods)] // tests are drivers

mod common;
#[path = "common/homes.rs"]
mod homes;

use std::time::Duration;

use common::{in_namespace, ip};
use homes::{KEYS, home};
use meshcore::{
    Builder, ErrorKind, Event, InsecureCloseReason, InsecureEvent, Node, V1Address, Warning,
    create_network_key,
};
use tempfile::TempDir;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// A cable without IP addresses between two interfaces with these addresses.
fn cable(a: &str, b: &str) -> [V1Address; 2] {
    ip(&format!("link add {a} type veth peer name {b}"));
    [(a, 1), (b, 2)].map(|(end, number)| {
        let address = V1Address([2, 0, 0, 0, 0x5e, number]);
        let mac = address.to_string();
        ip(&format!("link set {end} address {}", mac.trim_start_matches("v1:")));
        ip(&format!("link set {end} addrgenmode none"));
        ip(&format!("link set {end} up"));
        address
    })
}

fn builder(home: &TempDir) -> Builder {
    Node::builder().home(home.path())
}

/// The first insecure event that `wanted` makes something of; others are dropped.
async fn wait_for<T>(node: &Node, mut wanted: impl FnMut(InsecureEvent) -> Option<T>) -> T {
    let search = async {
        loop {
            if let Event::Insecure(event) = node.events().next().await.expect("the node runs")
                && let Some(found) = wanted(event)
            {
                return found;
            }
        }
    };
    timeout(PATIENCE, search).await.expect("waited in vain")
}

async fn wait_for_event(node: &Node, wanted: InsecureEvent) {
    wait_for(node, |event| (event == wanted).then_some(())).await;
}

#[test]
fn two_nodes_speak_v1_to_each_other() {
    in_namespace("two_nodes_speak_v1_to_each_other", || async {
        let homes = KEYS.map(home);
        let [left, right] = cable("a0", "b0");
        let alice = builder(&homes[0]).v1("a0").v1("a0").start().await.unwrap();
        let bob = builder(&homes[1]).v1("b0").start().await.unwrap();
        let specs: Vec<_> = alice.links().iter().map(|link| link.spec.as_str()).collect();
        assert_eq!(specs, ["udp", "v1:a0"]);
        assert!(alice.links().iter().all(|link| link.error.is_none()));
        wait_for_event(&alice, InsecureEvent::NodeFound { node: right }).await;
        wait_for_event(&bob, InsecureEvent::NodeFound { node: left }).await;
        let nodes = alice.insecure_nodes().await.unwrap();
        assert_eq!(nodes.iter().map(|node| (node.address, node.direct)).collect::<Vec<_>>(), [(right, true)]);

        let id = alice.send_insecure(right, "ahoj").await.unwrap();
        let message = InsecureEvent::Message { from: left, text: "ahoj".into(), to_all: false };
        wait_for_event(&bob, message).await;
        wait_for_event(&alice, InsecureEvent::Delivered { id, to: right }).await;
        bob.broadcast_insecure("to all").await.unwrap();
        let message = InsecureEvent::Message { from: right, text: "to all".into(), to_all: true };
        wait_for_event(&alice, message).await;

        let stream = alice.connect_insecure(right).await.unwrap();
        wait_for_event(&alice, InsecureEvent::StreamOpened { stream, peer: right, by_peer: false }).await;
        let there = wait_for(&bob, |event| match event {
            InsecureEvent::StreamOpened { stream, by_peer: true, .. } => Some(stream),
            _ => None,
        });
        let there = there.await;
        alice.write_insecure(stream, "there").await.unwrap();
        let data = InsecureEvent::StreamData { stream: there, peer: left, data: b"there".to_vec() };
        wait_for_event(&bob, data).await;
        bob.write_insecure(there, vec![b'x'; 3000]).await.unwrap();
        let mut received = 0;
        while received < 3000 {
            received += wait_for(&alice, |event| match event {
                InsecureEvent::StreamData { data, .. } => Some(data.len()),
                _ => None,
            })
            .await;
        }
        // Whoever stops says so.
        bob.stop().await;
        let reason = InsecureCloseReason::Peer;
        wait_for_event(&alice, InsecureEvent::StreamClosed { stream, peer: right, reason }).await;
        let error = alice.close_insecure(stream).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StreamClosed);
        let error = alice.send_insecure(right, "").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::EmptyMessage);
        let error = alice.send_insecure(right, "x".repeat(1478)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MessageTooLong);
        let error = alice.send_insecure(left, "to myself").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        alice.stop().await;
        assert_eq!(alice.insecure_nodes().await.unwrap_err().kind(), ErrorKind::Stopped);
    });
}

#[test]
fn an_interface_is_followed() {
    in_namespace("an_interface_is_followed", || async {
        let homes = KEYS.map(home);
        let alice = builder(&homes[0]).v1("a0").start().await.unwrap();
        let [_, status] = alice.links() else { panic!("{:?}", alice.links()) };
        let error = status.error.as_ref().unwrap();
        assert_eq!((status.spec.as_str(), error.kind()), ("v1:a0", ErrorKind::Link));
        assert!(error.to_string().contains("there is no interface \"a0\""), "{error}");
        let to = V1Address([2, 0, 0, 0, 0, 9]);
        let error = alice.send_insecure(to, "nobody").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfReach);

        let [left, right] = cable("a0", "b0");
        let bob = builder(&homes[1]).v1("b0").start().await.unwrap();
        wait_for_event(&alice, InsecureEvent::NodeFound { node: right }).await;
        let stream = alice.connect_insecure(right).await.unwrap();
        wait_for_event(&alice, InsecureEvent::StreamOpened { stream, peer: right, by_peer: false }).await;
        // Another address: another node.
        ip("link set b0 address 02:00:00:00:5e:03");
        let other = V1Address([2, 0, 0, 0, 0x5e, 3]);
        wait_for_event(&alice, InsecureEvent::NodeFound { node: other }).await;
        let reason = InsecureCloseReason::LinkDown;
        let closed = wait_for(&bob, |event| match event {
            InsecureEvent::StreamClosed { peer, reason, .. } => Some((peer, reason)),
            _ => None,
        });
        assert_eq!(closed.await, (left, reason));

        ip("link set a0 down");
        wait_for_event(&alice, InsecureEvent::StreamClosed { stream, peer: right, reason }).await;
        wait_for_event(&alice, InsecureEvent::NodeLost { node: other }).await;
        assert!(alice.insecure_nodes().await.unwrap().is_empty());
        ip("link set a0 up");
        wait_for_event(&alice, InsecureEvent::NodeFound { node: other }).await;
        let id = alice.send_insecure(other, "again").await.unwrap();
        wait_for_event(&alice, InsecureEvent::Delivered { id, to: other }).await;
    });
}

#[test]
fn a_flood_of_texts_costs_no_memory_and_is_told() {
    in_namespace("a_flood_of_texts_costs_no_memory_and_is_told", || async {
        let homes = KEYS.map(home);
        let [_, right] = cable("a0", "b0");
        let alice = builder(&homes[0]).v1("a0").start().await.unwrap();
        let bob = builder(&homes[1]).v1("b0").start().await.unwrap();
        wait_for_event(&bob, InsecureEvent::NodeFound { node: V1Address([2, 0, 0, 0, 0x5e, 1]) }).await;
        // As much as is taken at once: 512 segments on each of four streams.
        for _ in 0..4 {
            let stream = alice.connect_insecure(right).await.unwrap();
            wait_for_event(&alice, InsecureEvent::StreamOpened { stream, peer: right, by_peer: false }).await;
            for number in 0..500 {
                alice.write_insecure(stream, format!("{number}\n")).await.unwrap();
            }
        }
        let id = alice.send_insecure(right, "last").await.unwrap();
        wait_for_event(&alice, InsecureEvent::Delivered { id, to: right }).await;
        let first = bob.events().next().await.unwrap();
        let Event::Warning(Warning::InsecureDropped { count }) = first else { panic!("{first:?}") };
        assert!(count > 900, "{count}");
        let mut left = 0;
        while bob.events().try_next().is_some() {
            left += 1;
        }
        assert!((1024..1100).contains(&left), "{left}");
    });
}

#[test]
fn what_makes_no_sense_is_refused() {
    in_namespace("what_makes_no_sense_is_refused", || async {
        let home = home(KEYS[0]);
        for (interface, says) in [
            ("", "the interface is missing"),
            ("two words", "no white space"),
            ("0123456789abcdef", "at most 15 bytes"),
        ] {
            let error = builder(&home).v1(interface).start().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(says), "{error}");
        }
        let key = home.path().join("network.key");
        create_network_key(&key).unwrap();
        let error = builder(&home).network_key_file(&key).v1("lo").start().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("private mesh"), "{error}");
        // Nobody speaks v1 unasked.
        let node = builder(&home).start().await.unwrap();
        let error = node.send_insecure(V1Address([2, 0, 0, 0, 0, 1]), "x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("was not asked for"), "{error}");
    });
}
