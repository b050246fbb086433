//! Whom the person knows: contacts, verified and blocked nodes, and nicknames that come with another key.

use meshcore::message::contact::Contact;
use meshcore::message::directory::ResolveError;
use meshcore::node::connections::OpenError;
use meshcore::node::{Event, SendError, TrustError, Warning};
use meshcore::stream;
use meshcore::types::{NodeId, Status, Trust};

use crate::net::{Faults, Segment, World};
use crate::{ALICE, BOB, CAROL, SECOND, is_present, meet, pair, receive, send, take_texts};

/// Type of frames that carry packets of the transport, and where their source stands.
const STREAM: u8 = 4;
const SOURCE: std::ops::Range<usize> = 8..24;

fn id(world: &World, at: usize) -> NodeId {
    world.stations[at].id
}

fn trust(world: &World, at: usize, of: NodeId) -> Option<Trust> {
    let nodes = world.stations[at].stack.as_ref().unwrap().nodes();
    nodes.into_iter().find(|info| info.id == of).map(|info| info.trust)
}

fn block(world: &mut World, at: usize, whom: usize) {
    let id = id(world, whom);
    world.with(at, |stack, now| stack.block(now, id)).unwrap();
}

fn unblock(world: &mut World, at: usize, whom: usize) {
    let id = id(world, whom);
    world.with(at, |stack, now| stack.unblock(now, id)).unwrap();
}

/// Frames of the transport that are put on the wire meanwhile.
fn packets(world: &mut World, meanwhile: impl FnOnce(&mut World)) -> usize {
    world.capture = Some(Vec::new());
    meanwhile(world);
    let frames = world.capture.take().unwrap();
    frames.iter().filter(|frame| frame[1] == STREAM).count()
}

#[test]
fn a_blocked_node_is_neither_heard_nor_answered() {
    let mut world = pair(1, Faults::NONE);
    let (alice, bob) = (id(&world, 0), id(&world, 1));
    send(&mut world, 1, 0, "before");
    assert_eq!(receive(&mut world, 0, SECOND).0, ["before"]);
    world.run_until(SECOND, |_| false);
    world.stations[1].seen.clear();
    let silent = packets(&mut world, |world| block(world, 0, 1));
    assert_eq!(silent, 0, "the session ends without a word");
    send(&mut world, 1, 0, "blocked");
    world.with(1, |stack, now| stack.broadcast(now, "hear me")).unwrap();
    world.stations[0].seen.clear();
    assert_eq!(receive(&mut world, 0, 120 * SECOND).0, [""; 0]);
    assert_eq!(world.stations[0].seen, [], "the application hears nothing at all");
    let stored = world.stations[0].disk.store.opened().last_arrival;
    assert_eq!(stored, 1, "nothing of it is stored");
    let statuses: Vec<_> = world.stations[1].seen.iter().collect();
    assert!(!statuses.iter().any(|event| matches!(event, Event::Status { status: Status::Delivered, .. })));
    assert!(is_present(&world, 1, alice), "for the mesh the node is there");
    let refused = world.with(0, |stack, now| stack.send(now, bob, "hello".into(), None));
    assert_eq!(refused, Err(SendError::Blocked(bob)));
    assert_eq!(world.with(0, |stack, _| stack.offer_file(bob, None)), Err(SendError::Blocked(bob)));
    assert!(matches!(world.with(0, |stack, now| stack.connect(now, bob)), Err(OpenError::Blocked(_))));
    unblock(&mut world, 0, 1);
    assert_eq!(receive(&mut world, 0, 60 * SECOND).0, ["blocked"], "the sender has kept it");
    send(&mut world, 0, 1, "hello");
    assert_eq!(receive(&mut world, 1, SECOND).0, ["hello"]);
}

#[test]
fn blocking_costs_a_look_and_lasts() {
    let mut world = pair(2, Faults::NONE);
    block(&mut world, 0, 1);
    for restarted in [false, true] {
        if restarted {
            world.run_until(SECOND, |_| false);
            world.crash(0);
            world.start(0);
            meet(&mut world);
        }
        // Only the blocked one talks.
        send(&mut world, 1, 0, "hello");
        let bob = id(&world, 1);
        assert_eq!(trust(&world, 0, bob), Some(Trust::Blocked));
        world.capture = Some(Vec::new());
        world.run_until(60 * SECOND, |_| false);
        let frames = world.capture.take().unwrap();
        let sources: Vec<_> =
            frames.iter().filter(|frame| frame[1] == STREAM).map(|frame| &frame[SOURCE]).collect();
        assert!(!sources.is_empty(), "it tries");
        assert!(sources.iter().all(|source| *source == bob.address().as_bytes()), "and nobody answers");
        let due = world.with(0, |stack, _| stack.transport().poll_timeout());
        assert_eq!(due, None, "no handshake was begun for it");
    }
}

#[test]
fn messages_that_wait_for_a_blocked_node_go_on_waiting() {
    let mut world = pair(3, Faults::NONE);
    world.crash(1);
    let bob = id(&world, 1);
    assert!(world.run_until(60 * SECOND, |world| !is_present(world, 0, bob)));
    send(&mut world, 0, 1, "later");
    world.run_until(SECOND, |_| false);
    block(&mut world, 0, 1);
    world.start(1);
    meet(&mut world);
    let sent = packets(&mut world, |world| {
        world.run_until(60 * SECOND, |_| false);
    });
    assert_eq!(sent, 0);
    unblock(&mut world, 0, 1);
    assert_eq!(receive(&mut world, 1, SECOND).0, ["later"]);
}

#[test]
fn connections_of_applications_end_on_one_side_only() {
    let mut world = pair(4, Faults::NONE);
    let alice = id(&world, 0);
    world.with(1, |stack, now| stack.connect(now, alice)).unwrap();
    let mut events = Vec::new();
    world.run_until(5 * SECOND, |world| {
        events.extend(world.with(0, |stack, now| stack.poll_connection_event(now)));
        !events.is_empty()
    });
    assert!(matches!(events[0].1, stream::Event::Connected { .. }), "{events:?}");
    while world.with(1, |stack, now| stack.poll_connection_event(now)).is_some() {}
    block(&mut world, 0, 1);
    let closed = world.with(0, |stack, now| stack.poll_connection_event(now));
    assert!(matches!(closed, Some((_, stream::Event::Closed { .. }))), "{closed:?}");
    world.run_until(5 * SECOND, |_| false);
    let heard = world.with(1, |stack, now| stack.poll_connection_event(now));
    assert!(heard.is_none(), "the other one is told nothing: {heard:?}");
}

#[test]
fn a_blocked_node_is_relayed_for() {
    let mut world = World::new(5, &[ALICE, BOB, CAROL], Faults::NONE);
    world.segments = [vec![0, 1], vec![1, 2]]
        .map(|members| Segment { members: Some(members), mtu: 1500, up: true })
        .into();
    (0..3).for_each(|station| world.start(station));
    let carol = id(&world, 2);
    let alice = id(&world, 0);
    let know_each_other = |world: &mut World| is_present(world, 0, carol) && is_present(world, 2, alice);
    assert!(world.run_until(30 * SECOND, know_each_other));
    block(&mut world, 1, 2);
    send(&mut world, 2, 0, "through somebody who blocks me");
    assert_eq!(receive(&mut world, 0, 5 * SECOND).0, ["through somebody who blocks me"]);
    world.with(2, |stack, now| stack.broadcast(now, "everybody")).unwrap();
    let heard = |event: &Event| matches!(event, Event::Broadcast { text, .. } if text == "everybody");
    assert!(world.run_until(5 * SECOND, |world| world.stations[0].seen.iter().any(heard)));
    assert!(!world.stations[1].seen.iter().any(heard));
}

#[test]
fn what_a_blocked_node_has_left_holds_nobody_up() {
    let mut world = World::new(6, &[ALICE, BOB, CAROL], Faults::NONE);
    (0..3).for_each(|station| world.start(station));
    let (bob, carol) = (id(&world, 1), id(&world, 2));
    let alice = id(&world, 0);
    let all_meet = |world: &mut World| {
        [bob, carol].iter().all(|other| is_present(world, 0, *other))
            && [1, 2].iter().all(|at| is_present(world, *at, alice))
    };
    assert!(world.run_until(30 * SECOND, all_meet));
    // More than the application is handed at a time, and it confirms none of them.
    for n in 0..1100 {
        send(&mut world, 1, 0, &format!("{n}"));
    }
    let stored = |world: &mut World| world.stations[0].disk.store.opened().last_arrival == 1100;
    assert!(world.run_until(60 * SECOND, stored));
    block(&mut world, 0, 1);
    world.run_until(SECOND, |_| false);
    world.crash(0);
    world.start(0);
    assert!(world.run_until(30 * SECOND, all_meet));
    send(&mut world, 2, 0, "from a friend");
    assert_eq!(receive(&mut world, 0, 5 * SECOND).0, ["from a friend"]);
}

/// Alice talks with Bob, called node1; then Carol comes with the same name.
fn twins(seed: u64, verified: bool) -> World {
    let mut world = World::new(seed, &[ALICE, BOB, CAROL], Faults::NONE);
    world.stations[2].nickname = "node1".into();
    world.start(0);
    world.start(1);
    meet(&mut world);
    let bob = id(&world, 1);
    if verified {
        world.with(0, |stack, now| stack.verify(now, bob)).unwrap();
    }
    say(&mut world, "first").unwrap();
    assert_eq!(receive(&mut world, 1, SECOND).0, ["first"]);
    world.start(2);
    let carol = id(&world, 2);
    assert!(world.run_until(30 * SECOND, |world| is_present(world, 0, carol) && is_present(world, 2, bob)));
    world
}

/// A line in the conversation that Alice has opened as `@node1`.
fn say(world: &mut World, text: &str) -> Result<(), SendError> {
    let bob = id(world, 1);
    world.with(0, |stack, now| stack.send_named(now, bob, "node1", text.into(), None)).map(drop)
}

fn warned(world: &World) -> Vec<Warning> {
    let warning = |event: &Event| if let Event::Warning(w) = event { Some(w.clone()) } else { None };
    world.stations[0].seen.iter().filter_map(warning).collect()
}

#[test]
fn a_nickname_with_another_key_stops_what_goes_to_the_name() {
    let mut world = twins(7, false);
    let (bob, carol) = (id(&world, 1), id(&world, 2));
    let holders = vec![bob, carol];
    let shared = ResolveError::SharedName { name: "node1".into(), holders };
    assert_eq!(say(&mut world, "second"), Err(SendError::Name(shared.clone())));
    let file = |world: &mut World, name| world.with(0, |stack, _| stack.offer_file(bob, name));
    assert_eq!(file(&mut world, Some("node1")), Err(SendError::Name(shared.clone())));
    assert_eq!(file(&mut world, None), Ok(()));
    let text = shared.to_string();
    for part in [&bob.to_string(), &carol.to_string(), "safety words", "/verify", "full id"] {
        assert!(text.contains(part), "{text}");
    }
    let nickname: meshcore::Nickname = "node1".parse().unwrap();
    assert_eq!(
        warned(&world),
        [Warning::NicknameTaken { nickname, known: bob, verified: false, other: carol }]
    );
    // By its id it goes on.
    send(&mut world, 0, 1, "by id");
    assert_eq!(receive(&mut world, 1, SECOND).0, ["by id"]);
    // Whoever has compared the words has his name back.
    world.with(0, |stack, now| stack.verify(now, bob)).unwrap();
    say(&mut world, "third").unwrap();
    assert_eq!(receive(&mut world, 1, SECOND).0, ["third"]);
    // If it was the other one, the conversation does not change over to it unseen.
    world.with(0, |stack, now| stack.unverify(now, bob)).unwrap();
    world.with(0, |stack, now| stack.verify(now, carol)).unwrap();
    assert!(matches!(say(&mut world, "fourth"), Err(SendError::Name(_))));
    assert_eq!(world.stations[0].stack.as_ref().unwrap().resolve("node1").unwrap().id, carol);
    assert_eq!(take_texts(&mut world, 2), [""; 0], "the other one got nothing");
}

#[test]
fn a_verified_node_keeps_its_name() {
    let mut world = twins(8, true);
    let (bob, carol) = (id(&world, 1), id(&world, 2));
    let nickname = "node1".parse().unwrap();
    assert_eq!(
        warned(&world),
        [Warning::NicknameTaken { nickname, known: bob, verified: true, other: carol }]
    );
    say(&mut world, "second").unwrap();
    assert_eq!(receive(&mut world, 1, SECOND).0, ["second"]);
    // Also after a restart.
    world.run_until(SECOND, |_| false);
    world.crash(0);
    world.start(0);
    assert!(world.run_until(30 * SECOND, |world| is_present(world, 0, carol) && is_present(world, 0, bob)));
    assert_eq!(trust(&world, 0, bob), Some(Trust::Verified));
    say(&mut world, "third").unwrap();
    assert_eq!(receive(&mut world, 1, 5 * SECOND).0, ["third"]);
}

#[test]
fn a_verified_node_that_renames_itself_is_told_of_once() {
    let mut world = World::new(12, &[ALICE, BOB], Faults::NONE);
    (0..2).for_each(|station| world.start(station));
    meet(&mut world);
    let bob = id(&world, 1);
    world.with(0, |stack, now| stack.verify(now, bob)).unwrap();
    world.stations[1].nickname = "anna".into();
    for _ in 0..2 {
        world.crash(1);
        world.start(1);
        world.run_until(60 * SECOND, |_| false);
    }
    let names = ["node1", "anna"].map(|name| Some(name.parse().unwrap()));
    let [nickname, own_name] = names.clone();
    assert_eq!(warned(&world), [Warning::VerifiedRenamed { node: bob, nickname, own_name }]);
    let called =
        |world: &World| world.stations[0].stack.as_ref().unwrap().resolve(&bob.to_string()).unwrap().nickname;
    assert_eq!(called(&world), names[0]);
    // Also after a restart, until it is verified once more.
    world.crash(0);
    world.start(0);
    meet(&mut world);
    assert_eq!(called(&world), names[0]);
    world.with(0, |stack, now| stack.verify(now, bob)).unwrap();
    assert_eq!(called(&world), names[1]);
}

#[test]
fn a_blocked_impostor_takes_no_name() {
    let mut world = twins(9, false);
    let carol = id(&world, 2);
    assert!(say(&mut world, "second").is_err());
    world.with(0, |stack, now| stack.block(now, carol)).unwrap();
    say(&mut world, "second").unwrap();
    assert_eq!(receive(&mut world, 1, SECOND).0, ["second"]);
}

#[test]
fn a_contact_can_be_written_to_before_it_was_seen() {
    let mut world = World::new(10, &[ALICE, BOB], Faults::NONE);
    let (alice, bob) = (id(&world, 0), id(&world, 1));
    let contact = Contact { id: bob, nickname: Some("bob".parse().unwrap()) };
    world.start(0);
    assert_eq!(
        world.with(0, |stack, now| stack.send(now, bob, "hello".into(), None)),
        Err(SendError::UnknownNode(bob))
    );
    let info = world.with(0, |stack, now| stack.import(now, &contact)).unwrap();
    assert_eq!((info.trust, info.is_contact, info.present), (Trust::Seen, true, false));
    assert_eq!(info.contact(), contact);
    send(&mut world, 0, 1, "hello");
    world.run_until(SECOND, |_| false);
    world.crash(0);
    world.start(0);
    assert_eq!(world.stations[0].stack.as_ref().unwrap().resolve("bob").unwrap().id, bob);
    world.start(1);
    meet(&mut world);
    assert_eq!(receive(&mut world, 1, 5 * SECOND).0, ["hello"]);
    assert_eq!(world.stations[0].stack.as_ref().unwrap().resolve("node1").unwrap().id, bob);
    // What makes no sense.
    let own = Contact { id: alice, nickname: None };
    assert_eq!(world.with(0, |stack, now| stack.import(now, &own)), Err(TrustError::Myself));
    assert_eq!(world.with(0, |stack, now| stack.verify(now, alice)), Err(TrustError::Myself));
    block(&mut world, 0, 1);
    assert_eq!(world.with(0, |stack, now| stack.verify(now, bob)), Err(TrustError::Blocked(bob)));
    world.with(0, |stack, now| stack.unverify(now, bob)).unwrap();
    assert_eq!(trust(&world, 0, bob), Some(Trust::Blocked), "only unblocking unblocks");
}
