//! Messages for nodes that are away, by way of mailboxes.

use std::time::Duration;

use meshcore::MailboxConfig;
use meshcore::node::{Event, Warning};
use meshcore::types::{NodeId, Status};

use crate::net::{Faults, World};
use crate::{ALICE, BOB, CAROL, SECOND, for_seeds, is_present, receive, send, take_texts};

const DAVE: &str = include_str!("../keys/message/rsa4096.pem");

const SENDER: usize = 0;
const RECIPIENT: usize = 1;
const MAILBOX: usize = 2;
const SECOND_MAILBOX: usize = 3;

/// A sender, a recipient, and mailboxes. All have met; then the recipient is gone.
fn world(seed: u64, mailboxes: usize, faults: Faults) -> World {
    let mut world = World::new(seed, &[ALICE, BOB, CAROL, DAVE][..2 + mailboxes], faults);
    for at in 0..world.stations.len() {
        world.stations[at].mailbox = (at >= MAILBOX).then(MailboxConfig::default);
        world.start(at);
    }
    let ids: Vec<_> = world.stations.iter().map(|station| station.id).collect();
    let met = world.run_until(120 * SECOND, |world| {
        (0..ids.len()).all(|at| ids.iter().all(|id| *id == ids[at] || is_present(world, at, *id)))
    });
    assert!(met, "the nodes have not found each other");
    leave(&mut world, RECIPIENT);
    world
}

/// A node goes, and is missed.
fn leave(world: &mut World, at: usize) {
    world.crash(at);
    let id = world.stations[at].id;
    let missed = world.run_until(120 * SECOND, |world| {
        (0..world.stations.len())
            .all(|other| world.stations[other].stack.is_none() || !is_present(world, other, id))
    });
    assert!(missed);
}

/// Runs until the sender has seen this status of so many messages.
fn reach(world: &mut World, at: usize, wanted: Status, count: usize) {
    let mut seen = 0;
    let reached = world.run_until(300 * SECOND, |world| {
        for event in world.stations[at].seen.iter_mut() {
            // Each is counted once; the others are left for the test.
            if let Event::Status { status, .. } = event
                && *status == wanted
            {
                seen += 1;
                *status = Status::Queued;
            }
        }
        seen >= count
    });
    assert!(reached, "{seen} of {count} are {wanted:?}");
}

fn kept(world: &World, at: usize) -> usize {
    world.stations[at].disk.store.letters()
}

#[test]
fn a_message_reaches_who_was_away_and_its_receipt_comes_back() {
    for_seeds(5, |seed| {
        let mut world = world(seed, 1, Faults::NONE);
        send(&mut world, SENDER, RECIPIENT, "while you were out");
        send(&mut world, SENDER, RECIPIENT, "once more");
        reach(&mut world, SENDER, Status::Stored, 2);
        assert_eq!(kept(&world, MAILBOX), 2);
        leave(&mut world, SENDER);

        world.start(RECIPIENT);
        let (mut texts, _) = receive(&mut world, RECIPIENT, 120 * SECOND);
        world.run_until(10 * SECOND, |world| {
            texts.extend(take_texts(world, RECIPIENT));
            false
        });
        assert_eq!(texts, ["while you were out", "once more"]);
        let receipts_only = world.run_until(120 * SECOND, |world| kept(world, MAILBOX) > 0);
        assert!(receipts_only, "the recipient has left its receipt");
        leave(&mut world, RECIPIENT);

        world.start(SENDER);
        reach(&mut world, SENDER, Status::Delivered, 2);
        let empty = world.run_until(60 * SECOND, |world| kept(world, MAILBOX) == 0);
        assert!(empty, "the copies disappear");
        world.start(RECIPIENT);
        assert_eq!(receive(&mut world, RECIPIENT, 60 * SECOND).0, [""; 0], "nothing comes twice");
    });
}

#[test]
fn a_mailbox_may_crash_or_be_lost() {
    for_seeds(5, |seed| {
        let mut world = world(seed, 2, Faults::HARSH);
        (0..5).for_each(|n| send(&mut world, SENDER, RECIPIENT, &format!("message {n}")));
        reach(&mut world, SENDER, Status::Stored, 5);
        let both = world
            .run_until(120 * SECOND, |world| kept(world, MAILBOX) == 5 && kept(world, SECOND_MAILBOX) == 5);
        assert!(both, "two mailboxes have copies");
        leave(&mut world, SENDER);
        // One is lost for good, the other one starts anew.
        world.crash(if seed % 2 == 0 { MAILBOX } else { SECOND_MAILBOX });
        let left = if seed % 2 == 0 { SECOND_MAILBOX } else { MAILBOX };
        world.crash(left);
        world.start(left);
        world.start(RECIPIENT);
        let mut texts = Vec::new();
        world.run_until(300 * SECOND, |world| {
            texts.extend(take_texts(world, RECIPIENT));
            texts.len() >= 5
        });
        assert_eq!(texts, crate::expected(5));
    });
}

#[test]
fn a_full_mailbox_says_so_and_the_sender_keeps_the_message() {
    let mut world = world(1, 1, Faults::NONE);
    world.crash(MAILBOX);
    world.stations[MAILBOX].mailbox = Some(MailboxConfig { sender_quota: 5000, ..MailboxConfig::default() });
    world.start(MAILBOX);
    (0..4).for_each(|n| send(&mut world, SENDER, RECIPIENT, &format!("message {n}")));
    reach(&mut world, SENDER, Status::Stored, 2);
    let warned = world.run_until(60 * SECOND, |world| {
        let is_warning = |event: &Event| matches!(event, Event::Warning(Warning::MailboxRefused { .. }));
        world.stations[SENDER].seen.iter().any(is_warning)
    });
    assert!(warned);
    assert_eq!(kept(&world, MAILBOX), 2);
    world.start(RECIPIENT);
    let mut texts = Vec::new();
    world.run_until(120 * SECOND, |world| {
        texts.extend(take_texts(world, RECIPIENT));
        texts.len() >= 4
    });
    assert_eq!(texts, crate::expected(4));
}

#[test]
fn what_its_sender_gives_up_is_not_delivered() {
    let mut world = world(3, 0, Faults::NONE);
    let bob: NodeId = world.stations[RECIPIENT].id;
    let lifetime = Some(Duration::from_secs(60));
    world.with(SENDER, |stack, now| stack.send(now, bob, "a lift home?".into(), lifetime)).unwrap();
    send(&mut world, SENDER, RECIPIENT, "later");
    reach(&mut world, SENDER, Status::Expired, 1);
    world.start(RECIPIENT);
    assert_eq!(receive(&mut world, RECIPIENT, 60 * SECOND).0, ["later"]);
}

#[test]
fn who_reads_can_tell() {
    let mut world = world(4, 1, Faults::NONE);
    send(&mut world, SENDER, RECIPIENT, "read this");
    reach(&mut world, SENDER, Status::Stored, 1);
    leave(&mut world, SENDER);
    world.start(RECIPIENT);
    assert_eq!(receive(&mut world, RECIPIENT, 60 * SECOND).0, ["read this"]);
    let alice = world.stations[SENDER].id;
    world.with(RECIPIENT, |stack, now| stack.mark_read(now, alice, 1));
    world.run_until(30 * SECOND, |_| false);
    leave(&mut world, RECIPIENT);
    world.start(SENDER);
    reach(&mut world, SENDER, Status::Read, 1);
}

fn judge(world: &mut World, at: usize, whom: usize, blocked: bool) {
    let id = world.stations[whom].id;
    let judged =
        world.with(at, |stack, now| if blocked { stack.block(now, id) } else { stack.unblock(now, id) });
    judged.unwrap();
}

#[test]
fn letters_of_a_blocked_node_are_neither_stored_nor_answered() {
    for_seeds(3, |seed| {
        let mut world = world(seed, 1, Faults::NONE);
        send(&mut world, SENDER, RECIPIENT, "read me");
        reach(&mut world, SENDER, Status::Stored, 1);
        leave(&mut world, SENDER);
        world.start(RECIPIENT);
        judge(&mut world, RECIPIENT, SENDER, true);
        let gone = world.run_until(120 * SECOND, |world| kept(world, MAILBOX) == 0);
        assert!(gone, "the mailbox need not keep it");
        world.run_until(120 * SECOND, |world| kept(world, MAILBOX) > 0);
        assert_eq!(kept(&world, MAILBOX), 0, "no receipt is left for the sender");
        assert_eq!(world.stations[RECIPIENT].disk.store.opened().last_arrival, 0, "it is not stored");
        assert_eq!(take_texts(&mut world, RECIPIENT), [""; 0]);

        judge(&mut world, RECIPIENT, SENDER, false);
        world.start(SENDER);
        assert_eq!(receive(&mut world, RECIPIENT, 120 * SECOND).0, ["read me"], "its sender has kept it");
        reach(&mut world, SENDER, Status::Delivered, 1);
    });
}

#[test]
fn nothing_is_left_at_a_mailbox_for_a_blocked_node_or_at_a_blocked_mailbox() {
    for blocked in [RECIPIENT, MAILBOX] {
        let mut world = world(1, 1, Faults::NONE);
        send(&mut world, SENDER, RECIPIENT, "while you were out");
        judge(&mut world, SENDER, blocked, true);
        assert!(!world.run_until(60 * SECOND, |world| kept(world, MAILBOX) > 0), "station {blocked}");
        judge(&mut world, SENDER, blocked, false);
        reach(&mut world, SENDER, Status::Stored, 1);
    }
}

#[test]
fn a_mailbox_serves_no_node_that_its_person_has_blocked() {
    let mut world = world(1, 1, Faults::NONE);
    send(&mut world, SENDER, RECIPIENT, "kept before");
    reach(&mut world, SENDER, Status::Stored, 1);
    judge(&mut world, MAILBOX, RECIPIENT, true);
    send(&mut world, SENDER, RECIPIENT, "not kept");
    assert!(!world.run_until(60 * SECOND, |world| kept(world, MAILBOX) > 1));
    let is_warning = |event: &Event| matches!(event, Event::Warning(Warning::MailboxRefused { .. }));
    assert!(!world.stations[SENDER].seen.iter().any(is_warning), "for others it is a mailbox as ever");
    leave(&mut world, SENDER);
    world.start(RECIPIENT);
    assert_eq!(receive(&mut world, RECIPIENT, 60 * SECOND).0, [""; 0]);
    judge(&mut world, MAILBOX, RECIPIENT, false);
    assert_eq!(receive(&mut world, RECIPIENT, 60 * SECOND).0, ["kept before"]);
}
