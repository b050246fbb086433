//! Nodes of v1 on several interfaces, and those they talk to.

use std::time::Duration;

use super::*;
use crate::types::UnixTime;
use crate::v1::V1Error;

const A: LinkId = LinkId(1);
const B: LinkId = LinkId(2);
const MTU: usize = 1500;

fn at(millis: u64) -> Now {
    Now {
        monotonic: Instant::default() + Duration::from_millis(millis),
        wall: UnixTime::from_millis(1_000_000 + millis),
    }
}

fn address(number: u8) -> V1Address {
    V1Address([2, 0, 0, 0, 0, number])
}

/// A node with interfaces A and B, of which each has one peer: node 1 on A hears 11, node 2 on B hears 12.
struct Bench {
    node: Insecure,
    peers: [(LinkId, V1); 2],
}

impl Bench {
    fn new() -> Self {
        let mut node = Insecure::new([7; 32]);
        node.add_interface(A, address(1), MTU);
        node.add_interface(B, address(2), MTU);
        let peer = |number| V1::new(address(number), MTU, [number; 32]);
        let mut bench = Self { node, peers: [(A, peer(11)), (B, peer(12))] };
        bench.run(0);
        bench.run(200);
        bench
    }

    /// Lets time come to `millis`, and delivers frames until all are silent.
    fn run(&mut self, millis: u64) {
        let now = at(millis);
        self.node.handle_timeout(now);
        for (_, peer) in &mut self.peers {
            peer.handle_timeout(now.monotonic, now.wall);
        }
        loop {
            let mut frame = Vec::new();
            if let Some((link, _)) = self.node.poll_transmit(&mut frame) {
                let from = self.node.address(link).unwrap();
                for (_, peer) in self.peers.iter_mut().filter(|(at, _)| *at == link) {
                    let _ = peer.handle_frame(now.monotonic, now.wall, from, &frame);
                }
                continue;
            }
            let mut peers = self.peers.iter_mut();
            let Some((link, from)) = peers
                .find_map(|(link, peer)| peer.poll_transmit(&mut frame).map(|_| (*link, peer.address())))
            else {
                return;
            };
            let _ = self.node.handle_frame(now, link, from, &frame);
        }
    }

    fn events(&mut self) -> Vec<InsecureEvent> {
        std::iter::from_fn(|| self.node.poll_event()).collect()
    }

    fn peer_events(&mut self, index: usize) -> Vec<V1Event> {
        std::iter::from_fn(|| self.peers[index].1.poll_event()).collect()
    }
}

#[test]
fn each_node_is_spoken_to_where_it_is_heard() {
    let mut bench = Bench::new();
    let found = |number| InsecureEvent::NodeFound { node: address(number) };
    assert_eq!(bench.events(), [found(11), found(12)]);
    bench.peer_events(0);
    bench.peer_events(1);
    let ids = [11, 12].map(|to| bench.node.send(at(300), address(to), "ahoj").unwrap());
    assert_ne!(ids[0], ids[1]);
    bench.run(300);
    let delivered = |index: usize| InsecureEvent::Delivered { id: ids[index], to: address(11 + index as u8) };
    assert_eq!(bench.events(), [delivered(0), delivered(1)]);
    for (index, from) in [(0, 1), (1, 2)] {
        let message = V1Event::Message { from: address(from), text: "ahoj".into(), to_all: false };
        assert_eq!(bench.peer_events(index), [message]);
    }
    bench.node.broadcast(at(400), "all").unwrap();
    bench.run(400);
    for index in [0, 1] {
        assert!(matches!(&bench.peer_events(index)[..], [V1Event::Message { to_all: true, .. }]));
    }
}

#[test]
fn a_node_on_two_segments_is_found_and_lost_once() {
    let mut bench = Bench::new();
    bench.peers[1].1 = V1::new(address(11), MTU, [9; 32]);
    bench.run(300);
    let node = address(11);
    assert_eq!(
        bench.events(),
        [InsecureEvent::NodeFound { node }, InsecureEvent::NodeFound { node: address(12) }]
    );
    assert_eq!(bench.node.nodes(at(300)).len(), 2);
    bench.node.remove_interface(A);
    assert_eq!(bench.events(), []);
    bench.node.remove_interface(B);
    let mut lost = bench.events();
    lost.sort_by_key(|event| matches!(event, InsecureEvent::NodeLost { node } if *node == address(12)));
    assert_eq!(lost, [InsecureEvent::NodeLost { node }, InsecureEvent::NodeLost { node: address(12) }]);
    assert_eq!(bench.node.nodes(at(300)), []);
}

#[test]
fn streams_have_numbers_of_their_own() {
    let mut bench = Bench::new();
    bench.events();
    let first = bench.node.connect(at(300), address(12)).unwrap();
    bench.run(300);
    let now = at(301);
    bench.peers[0].1.connect(now.monotonic, now.wall, address(1)).unwrap();
    bench.run(301);
    let events = bench.events();
    let [
        InsecureEvent::StreamOpened { stream: one, peer: to, by_peer: false },
        InsecureEvent::StreamOpened { stream: two, peer: from, by_peer: true },
    ] = events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((one, to, from), (first, address(12), address(11)));
    assert_ne!(one, two);
    bench.node.write(at(302), two, b"to the client").unwrap();
    bench.node.write(at(302), one, b"to the server").unwrap();
    bench.run(302);
    for (index, text) in [(0, "to the client"), (1, "to the server")] {
        let events = bench.peer_events(index);
        assert!(
            matches!(events.last(), Some(V1Event::StreamData { data, .. }) if data == text.as_bytes()),
            "{events:?}"
        );
    }
    bench.node.close(at(303), one).unwrap();
    bench.run(303);
    let closed = |stream, peer, reason| InsecureEvent::StreamClosed { stream, peer, reason };
    assert_eq!(bench.events(), [closed(one, address(12), InsecureCloseReason::Here)]);
    assert_eq!(bench.node.write(at(304), one, b"x"), Err(InsecureError::UnknownStream(one)));
    assert_eq!(bench.node.close(at(304), one), Err(InsecureError::UnknownStream(one)));
    bench.node.leave(at(305));
    bench.run(305);
    assert_eq!(bench.events(), [closed(two, address(11), InsecureCloseReason::Here)]);
}

#[test]
fn an_interface_that_goes_ends_what_was_under_way_on_it() {
    let mut bench = Bench::new();
    bench.events();
    let stream = bench.node.connect(at(300), address(12)).unwrap();
    bench.run(300);
    let id = bench.node.send(at(301), address(12), "lost").unwrap();
    bench.events();
    // The same interface with another address.
    bench.node.add_interface(B, address(3), MTU);
    let (peer, reason) = (address(12), InsecureCloseReason::LinkDown);
    assert_eq!(
        bench.events(),
        [
            InsecureEvent::Failed { id, to: peer },
            InsecureEvent::StreamClosed { stream, peer, reason },
            InsecureEvent::NodeLost { node: peer },
        ]
    );
    bench.run(20_000);
    bench.run(20_200);
    assert!(bench.events().contains(&InsecureEvent::NodeFound { node: peer }), "found again");
    assert_eq!(bench.node.address(B), Some(address(3)));
}

#[test]
fn nothing_can_be_sent_without_an_interface() {
    let mut node = Insecure::new([1; 32]);
    assert_eq!(node.send(at(0), address(9), "x"), Err(InsecureError::NoInterface));
    assert_eq!(node.connect(at(0), address(9)), Err(InsecureError::NoInterface));
    assert_eq!(node.broadcast(at(0), "x"), Err(InsecureError::NoInterface));
    assert_eq!(node.poll_timeout(), None);
    assert_eq!(node.handle_frame(at(0), A, address(9), &[1; 40]), Ok(()));
    assert_eq!(node.poll_event(), None);
}

#[test]
fn commands_that_make_no_sense_are_refused() {
    let mut bench = Bench::new();
    for own in [1, 2] {
        let refused = Err(InsecureError::V1(V1Error::OwnAddress));
        assert_eq!(bench.node.send(at(300), address(own), "x"), refused);
    }
    assert_eq!(bench.node.broadcast(at(300), ""), Err(InsecureError::V1(V1Error::Empty)));
    // Nobody hears it, and it is tried nevertheless.
    let id = bench.node.send(at(300), address(99), "x").unwrap();
    bench.events();
    bench.run(5300);
    assert_eq!(bench.events(), [InsecureEvent::Failed { id, to: address(99) }]);
}
