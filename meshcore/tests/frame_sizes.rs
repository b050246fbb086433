//! Frames as large as the interfaces carry, and as the other end takes: whole nodes in two network namespaces with a cable
//! between them.

#![allow(clippy::disallowed_methods)] // tests are drivers

mod common;
#[path = "common/homes.rs"]
mod homes;
#[allow(dead_code)]
#[path = "../benches/links/namespaces.rs"]
mod namespaces;

use std::thread;
use std::time::Duration;

use common::{in_namespace, ip};
use homes::{KEYS, home};
use meshcore::{Connection, Event, Node};
use namespaces::{Side, World};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// Payload of the largest frames that go anywhere: without the headers of IPv6, UDP and AlexMesh.
const USUAL: usize = 1500 - 40 - 8 - 40;
const LARGE: usize = 9000 - 40 - 8 - 40;

/// Two nodes at the ends of a cable, and a connection between them.
struct Pair {
    client: Connection,
    server: Connection,
    _nodes: [Node; 2],
    _homes: [TempDir; 2],
}

async fn pair(world: &World, links: [&str; 2]) -> Pair {
    let homes = KEYS.map(home);
    let nodes = [Side::Left, Side::Right].map(|side| {
        world.enter(side);
        let builder = Node::builder().home(homes[side as usize].path());
        let builder = builder.link(links[side as usize]);
        // A thread of the runtime might be in the other namespace already.
        thread::spawn(move || builder.start_blocking().unwrap()).join().unwrap()
    });
    let right = nodes[1].id();
    let search = async {
        while !matches!(nodes[0].events().next().await, Some(Event::NodeFound(info)) if info.id == right) {}
    };
    timeout(PATIENCE, search).await.expect("the nodes find each other");
    let mut listener = nodes[1].listen().await.unwrap();
    let client = nodes[0].connect(right).await.unwrap();
    let server = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    Pair { client, server, _nodes: nodes, _homes: homes }
}

/// Sends so many bytes from the one to the other, all of which must arrive.
async fn carry(from: &Connection, to: &Connection, len: usize) {
    let data: Vec<u8> =
        (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    let send = async {
        let mut stream = from.open().await.unwrap();
        stream.write_all(&data).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let receive = async {
        let mut got = Vec::new();
        to.accept().await.unwrap().read_to_end(&mut got).await.unwrap();
        got
    };
    let ((), got) = timeout(PATIENCE, async { tokio::join!(send, receive) }).await.expect("it arrives");
    assert!(got == data);
}

async fn mtu(connection: &Connection) -> usize {
    connection.statistics().await.unwrap().mtu
}

/// Sends there and back until packets of one side have this size.
async fn carry_until(pair: &Pair, side: Side, size: usize) {
    let connection = if side == Side::Left { &pair.client } else { &pair.server };
    let reach = async {
        while mtu(connection).await != size {
            carry(&pair.client, &pair.server, 20_000).await;
            carry(&pair.server, &pair.client, 20_000).await;
        }
    };
    timeout(PATIENCE, reach).await.expect("packets get the size that the path carries");
}

/// Bytes of a packet, on average.
async fn carry_and_measure(pair: &Pair, len: usize) -> u64 {
    let before = pair.client.statistics().await.unwrap();
    carry(&pair.client, &pair.server, len).await;
    let after = pair.client.statistics().await.unwrap();
    (after.bytes_sent - before.bytes_sent) / (after.packets_sent - before.packets_sent)
}

/// Sets the MTU of one end.
fn set_mtu(world: &World, side: Side, mtu: usize) {
    world.enter(side);
    ip(&format!("link set {} mtu {mtu}", side.interface()));
}

#[test]
fn frames_are_as_large_as_the_interfaces_carry() {
    in_namespace("frames_are_as_large_as_the_interfaces_carry", || async {
        let world = World::new();
        world.set_mtu(9000);
        let pair = pair(&world, ["udp"; 2]).await;
        carry_until(&pair, Side::Left, LARGE).await;
        carry_until(&pair, Side::Right, LARGE).await;
        assert!(carry_and_measure(&pair, 5_000_000).await > 6000);
    });
}

#[test]
fn a_small_interface_gets_small_frames() {
    in_namespace("a_small_interface_gets_small_frames", || async {
        for links in [["udp"; 2], ["ethernet:left0", "ethernet:right0"]] {
            let usual = if links[0] == "udp" { USUAL } else { USUAL + 48 };
            let world = World::new();
            set_mtu(&world, Side::Left, 9000);
            let pair = pair(&world, links).await;
            // For longer than it takes to try larger ones.
            carry(&pair.client, &pair.server, 10_000_000).await;
            carry(&pair.server, &pair.client, 10_000_000).await;
            assert_eq!([mtu(&pair.client).await, mtu(&pair.server).await], [usual; 2]);
            // The other one has been made large as well, and finds out at once.
            set_mtu(&world, Side::Right, 9000);
            carry_until(&pair, Side::Right, usual + 7500).await;
        }
    });
}

#[test]
fn a_stream_survives_that_frames_become_smaller() {
    in_namespace("a_stream_survives_that_frames_become_smaller", || async {
        for side in [Side::Left, Side::Right] {
            let world = World::new();
            world.set_mtu(9000);
            let pair = pair(&world, ["udp"; 2]).await;
            carry_until(&pair, Side::Left, LARGE).await;
            let data = vec![7; 6_000_000];
            let send = async {
                let mut near = pair.client.open().await.unwrap();
                near.write_all(&data).await.unwrap();
                near.shutdown().await.unwrap();
            };
            let receive = async {
                let mut far = pair.server.accept().await.unwrap();
                let mut got = vec![0; 1_000_000];
                far.read_exact(&mut got).await.unwrap();
                // The sender hears nothing of it when it is the other end.
                set_mtu(&world, side, 1500);
                far.read_to_end(&mut got).await.unwrap();
                got
            };
            let all = async { tokio::join!(send, receive).1 };
            let got = timeout(PATIENCE, all).await.expect("it arrives");
            assert!(got == data);
            assert_eq!(mtu(&pair.client).await, USUAL);
        }
    });
}

#[test]
fn beyond_a_router_frames_stay_small() {
    in_namespace("beyond_a_router_frames_stay_small", || async {
        let world = World::new();
        world.set_mtu(9000);
        // Nobody is near: neither interface is one for groups.
        for (side, to) in [(Side::Left, 2), (Side::Right, 1)] {
            world.enter(side);
            ip(&format!("link set {} multicast off", side.interface()));
            ip(&format!("addr add 198.51.100.{}/32 dev lo", side.number()));
            ip(&format!("route add 198.51.100.{to}/32 via 192.0.2.{to}"));
        }
        let pair = pair(&world, ["udp:198.51.100.2:34997", "udp"]).await;
        carry(&pair.client, &pair.server, 10_000_000).await;
        carry(&pair.server, &pair.client, 10_000_000).await;
        assert_eq!([mtu(&pair.client).await, mtu(&pair.server).await], [USUAL; 2]);
    });
}
