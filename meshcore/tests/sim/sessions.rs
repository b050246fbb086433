//! Which connection carries messages: crossing attempts, restarts, quiet times, changing paths.

use std::time::Duration;

use crate::net::{Faults, Segment, World};
use crate::{ALICE, BOB, CAROL, SECOND, for_seeds, is_present, meet, pair, receive, send, take_texts};

const SOON: Duration = Duration::from_millis(500);

/// One message, and how long it took.
fn message(world: &mut World, from: usize, to: usize) -> Duration {
    send(world, from, to, "hello");
    let (texts, took) = receive(world, to, 120 * SECOND);
    assert_eq!(texts, ["hello"], "{from} to {to}");
    took
}

fn run(world: &mut World, time: Duration) {
    world.run_until(time, |_| false);
}

#[test]
fn attempts_that_cross_deliver_both_ways_at_once() {
    for_seeds(20, |seed| {
        let mut world = pair(seed, Faults { jitter: Duration::from_millis(5), ..Faults::NONE });
        for round in 0..3 {
            let start = world.now;
            send(&mut world, 0, 1, "to the right");
            // The second one starts somewhere within the handshake of the first one.
            run(&mut world, Duration::from_millis(2 * (seed % 6)));
            send(&mut world, 1, 0, "to the left");
            let mut got = [Vec::new(), Vec::new()];
            world.run_until(10 * SECOND, |world| {
                for (at, texts) in got.iter_mut().enumerate() {
                    texts.extend(take_texts(world, at));
                }
                got.iter().all(|texts| !texts.is_empty())
            });
            assert_eq!(got, [["to the left"], ["to the right"]], "round {round}");
            assert!(world.now - start < SOON, "round {round} took {:?}", world.now - start);
            // Longer than the idle time-out: the next round connects anew.
            run(&mut world, 70 * SECOND);
        }
    });
}

#[test]
fn a_dead_session_does_not_outlive_the_absence_of_its_peer() {
    for_seeds(8, |seed| {
        let mut world = pair(seed, Faults::NONE);
        let (alice, bob) = (seed as usize % 2, 1 - seed as usize % 2);
        // Either may have opened the session.
        let opener = seed as usize / 2 % 2;
        message(&mut world, opener, 1 - opener);
        let id = world.stations[bob].id;
        world.crash(bob);
        assert!(world.run_until(60 * SECOND, |world| !is_present(world, alice, id)));
        world.start(bob);
        meet(&mut world);
        let took = message(&mut world, alice, bob);
        assert!(took < SOON, "took {took:?}");
    });
}

#[test]
fn a_restarted_node_is_written_to_at_once() {
    for_seeds(8, |seed| {
        let mut world = pair(seed, Faults::NONE);
        let (alice, bob) = (seed as usize % 2, 1 - seed as usize % 2);
        let opener = seed as usize / 2 % 2;
        message(&mut world, opener, 1 - opener);
        world.crash(bob);
        world.start(bob);
        run(&mut world, SECOND);
        let took = message(&mut world, alice, bob);
        assert!(took < SOON, "to the restarted one: {took:?}");
        let took = message(&mut world, bob, alice);
        assert!(took < SOON, "from the restarted one: {took:?}");
    });
}

#[test]
fn a_message_written_during_a_short_absence_arrives_when_the_node_is_back() {
    for away in [1, 2, 4, 8, 12, 30] {
        let mut world = pair(away, Faults::NONE);
        world.crash(1);
        send(&mut world, 0, 1, "hello");
        run(&mut world, u32::try_from(away).unwrap() * SECOND);
        world.start(1);
        let (texts, took) = receive(&mut world, 1, 60 * SECOND);
        assert_eq!(texts, ["hello"]);
        // A hello of the restarted node may be needed to see that it is another life.
        assert!(took < SECOND, "after {away} s away it took {took:?}");
    }
}

#[test]
fn quiet_hours_do_not_slow_the_next_answer() {
    let mut world = pair(1, Faults::NONE);
    for _ in 0..12 {
        message(&mut world, 0, 1);
        // The session idles out.
        run(&mut world, 62 * SECOND);
    }
    let took = message(&mut world, 1, 0);
    assert!(took < SOON, "took {took:?}");
}

#[test]
fn a_path_may_change_to_one_with_smaller_frames_and_back() {
    let mut world = World::new(1, &[ALICE, BOB], Faults::NONE);
    world.segments.push(Segment { members: None, mtu: 600, up: true });
    world.start(0);
    world.start(1);
    meet(&mut world);
    run(&mut world, SECOND);
    message(&mut world, 0, 1);
    for wide in [false, true, false] {
        world.segments[0].up = wide;
        let text = "x".repeat(200_000);
        send(&mut world, 0, 1, &text);
        let (texts, took) = receive(&mut world, 1, 120 * SECOND);
        assert!(texts == [text], "lost");
        assert!(took < 15 * SECOND, "took {took:?}");
        run(&mut world, 20 * SECOND);
    }
}

#[test]
fn a_node_that_leaves_and_returns_finds_its_messages() {
    for_seeds(4, |seed| {
        let mut world = pair(seed, Faults::NONE);
        let bob = world.stations[1].id;
        for _ in 0..3 {
            message(&mut world, 0, 1);
            world.with(1, |stack, now| stack.leave(now));
            run(&mut world, Duration::from_millis(1));
            world.crash(1);
            assert!(world.run_until(SECOND, |world| !is_present(world, 0, bob)));
            send(&mut world, 0, 1, "while you were away");
            run(&mut world, u32::try_from(seed).unwrap() * 10 * SECOND);
            world.start(1);
            let (texts, took) = receive(&mut world, 1, 60 * SECOND);
            assert_eq!(texts, ["while you were away"]);
            assert!(took < SOON, "took {took:?}");
        }
    });
}

#[test]
fn three_nodes_talk_all_ways() {
    for_seeds(4, |seed| {
        let mut world = World::new(seed, &[ALICE, BOB, CAROL], Faults { loss: 0.05, ..Faults::NONE });
        (0..3).for_each(|at| world.start(at));
        let ids: Vec<_> = world.stations.iter().map(|station| station.id).collect();
        assert!(world.run_until(10 * SECOND, |world| {
            (0..3).all(|at| ids.iter().all(|id| *id == ids[at] || is_present(world, at, *id)))
        }));
        for round in 0..10 {
            for (from, to) in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)] {
                send(&mut world, from, to, &format!("{from} to {to}: {round}"));
            }
        }
        let mut got = vec![Vec::new(); 3];
        world.run_until(60 * SECOND, |world| {
            for (at, texts) in got.iter_mut().enumerate() {
                texts.extend(take_texts(world, at));
            }
            got.iter().all(|texts| texts.len() >= 20)
        });
        for (at, texts) in got.into_iter().enumerate() {
            for from in (0..3).filter(|from| *from != at) {
                let expected: Vec<_> = (0..10).map(|round| format!("{from} to {at}: {round}")).collect();
                let of_one: Vec<_> = texts.iter().filter(|t| t.starts_with(&from.to_string())).collect();
                assert_eq!(of_one, expected.iter().collect::<Vec<_>>());
            }
        }
    });
}
