//! Streams of applications between whole nodes, over paths that change.

use std::time::Duration;

use meshcore::stream::{ConnectionId, Event, ReadOutcome, Statistics, StreamId};
use meshcore::wire::frame::{FrameType, HEADER_LEN};

use crate::net::{Faults, Segment, World};
use crate::{ALICE, BOB, CAROL, SECOND, for_seeds, is_present};

/// Bytes that show where they stand.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// One stream from Alice to Carol.
struct Transfer {
    client: ConnectionId,
    server: ConnectionId,
    stream: StreamId,
    data: Vec<u8>,
    written: usize,
    read: Vec<u8>,
}

impl Transfer {
    fn new(world: &mut World, len: usize) -> Self {
        let carol = world.stations[2].id;
        let client = world.with(0, |stack, now| stack.connect(now, carol)).unwrap();
        let mut server = None;
        world.run_until(5 * SECOND, |world| {
            server = world.with(2, |stack, now| stack.poll_connection_event(now)).map(|(id, _)| id);
            server.is_some()
        });
        let stream = world.with(0, |stack, _| stack.transport().open(client)).unwrap();
        let server = server.expect("a connection");
        Self { client, server, stream, data: pattern(len), written: 0, read: Vec::new() }
    }

    /// Carries on until so many bytes have arrived; tells how long that took.
    fn run(&mut self, world: &mut World, until: usize, limit: Duration) -> Duration {
        let start = world.now;
        let arrived = world.run_until(limit, |world| {
            self.drive(world);
            self.read.len() >= until
        });
        assert!(arrived, "{} of {until} bytes, {:?}", self.read.len(), self.statistics(world));
        assert!(self.data.starts_with(&self.read), "wrong bytes");
        world.now - start
    }

    fn drive(&mut self, world: &mut World) {
        let rest = &self.data[self.written..];
        self.written += world.with(0, |stack, now| {
            while let Some((_, event)) = stack.poll_connection_event(now) {
                assert!(!matches!(event, Event::Closed { .. }), "{event:?}");
            }
            stack.transport().write(self.client, self.stream, rest).unwrap()
        });
        world.with(2, |stack, now| {
            while let Some((_, event)) = stack.poll_connection_event(now) {
                assert!(!matches!(event, Event::Closed { .. }), "{event:?}");
            }
            let (server, stream) = (self.server, self.stream);
            while let Ok(ReadOutcome::Data(_)) =
                stack.transport().read(server, stream, &mut self.read, 65_536)
            {}
        });
    }

    fn statistics(&self, world: &mut World) -> Statistics {
        world.with(0, |stack, _| stack.transport().statistics(self.client)).unwrap()
    }
}

/// Alice and Carol on a wire of their own, and both on one with Bob; each wire carries frames of another size.
fn triangle(seed: u64, direct: usize, around: [usize; 2], faults: Faults) -> World {
    let mut world = World::new(seed, &[ALICE, BOB, CAROL], faults);
    let wire = |members: &[usize], mtu| Segment { members: Some(members.to_vec()), mtu, up: true };
    world.segments = vec![wire(&[0, 1], around[0]), wire(&[1, 2], around[1]), wire(&[0, 2], direct)];
    (0..3).for_each(|at| world.start(at));
    let (alice, carol) = (world.stations[0].id, world.stations[2].id);
    let met = world.run_until(10 * SECOND, |world| {
        let direct =
            |stack: &mut meshcore::node::Stack, id| stack.route_to(id).is_some_and(|way| way.hops == 1);
        is_present(world, 0, carol)
            && is_present(world, 2, alice)
            && world.with(0, |stack, _| direct(stack, carol))
            && world.with(2, |stack, _| direct(stack, alice))
    });
    assert!(met, "the nodes have not found each other");
    world
}

/// The segments check that no frame is larger than they carry.
#[test]
fn a_transfer_goes_on_over_paths_of_other_sizes() {
    const STEP: usize = 500_000;
    for (direct, around) in [(1500, [1200, 800]), (800, [1500, 9000]), (9000, [1500, 1500])] {
        for_seeds(1, |seed| {
            let mut world = triangle(seed, direct, around, Faults::NONE);
            let mut transfer = Transfer::new(&mut world, 4 * STEP);
            let mtus = [direct, around[0].min(around[1])].map(|mtu| mtu - HEADER_LEN);
            transfer.run(&mut world, STEP / 2, 5 * SECOND);
            for (round, up) in (1..).zip([false, true, false]) {
                // In the midst of what is on its way.
                assert!(transfer.statistics(&mut world).bytes_in_flight > 0);
                world.segments[2].up = up;
                transfer.run(&mut world, round * STEP, 20 * SECOND);
                // A wire that is back has to prove itself first.
                let is_taken = |world: &mut World| {
                    let hops = if up { 1 } else { 2 };
                    let ways = [(0, 2), (2, 0)].map(|(from, to)| {
                        let to = world.stations[to].id;
                        world.with(from, |stack, _| stack.route_to(to))
                    });
                    ways.iter().all(|way| way.as_ref().is_some_and(|way| way.hops == hops))
                };
                assert!(world.run_until(20 * SECOND, is_taken), "round {round}: the way does not change");
                transfer.run(&mut world, round * STEP + STEP / 2, 20 * SECOND);
                let statistics = transfer.statistics(&mut world);
                assert_eq!(statistics.mtu, mtus[usize::from(!up)], "round {round}: {statistics:?}");
            }
            transfer.run(&mut world, 4 * STEP, 20 * SECOND);
        });
    }
}

#[test]
fn a_transfer_survives_lossy_paths_that_come_and_go() {
    for_seeds(3, |seed| {
        let faults = Faults { loss: 0.05, duplication: 0.05, corruption: 0.01, ..Faults::NONE };
        let faults = Faults { jitter: Duration::from_millis(2), ..faults };
        let mut world = triangle(seed, 1500, [1200, 700], faults);
        let mut transfer = Transfer::new(&mut world, 600_000);
        for round in 1..=6 {
            world.segments[2].up = round % 2 == 0;
            transfer.run(&mut world, round * 100_000, 60 * SECOND);
        }
    });
}

#[test]
fn frames_of_the_mesh_overtake_those_of_streams() {
    let mut world = triangle(1, 1500, [1500, 1500], Faults::NONE);
    let transfer = Transfer::new(&mut world, 100_000);
    world.run_until(SECOND, |_| false);
    let carol = world.stations[2].id;
    let kinds = world.with(0, |stack, now| {
        stack.transport().write(transfer.client, transfer.stream, &transfer.data).unwrap();
        stack.echo(now, carol, 128, SECOND).unwrap();
        let mut frame = Vec::new();
        let first = stack.poll_transmit(now, &mut frame).map(|_| frame[1]);
        frame.clear();
        (first, stack.poll_transmit(now, &mut frame).map(|_| frame[1]))
    });
    let [echo, stream] = [FrameType::Echo, FrameType::Stream].map(|kind| Some(u8::from(kind)));
    assert_eq!(kinds, (echo, stream));
}
