//! What one peer can do to the others, and strangers to all: nothing that lasts.

use super::*;
use crate::message::directory::{CAPACITY, Change, Directory};
use crate::message::envelope::Letter;
use crate::message::identity::{IdentityRecord, RecordFields};
use crate::message::post::MailboxConfig;
use crate::types::RoomId;
use crate::wire::content::{RoomRequest, Stamp};
use crate::wire::post::{Outcome, PostRecord};

const MAILBOX: SessionId = SessionId(2);

fn node_of(n: u32) -> NodeId {
    let mut node = [0x77; 32];
    node[..4].copy_from_slice(&n.to_be_bytes());
    NodeId(node)
}

/// When the envelope of this number comes: as slowly as they are opened.
fn moment(number: u64) -> Now {
    Now { monotonic: NOW.monotonic + number as u32 * Duration::from_millis(10), ..NOW }
}

fn deposit(node: &mut Node, number: u64, recipient: NodeId) {
    // No two are the same.
    let envelope = number.to_be_bytes().repeat(200);
    let (id, keep) = (MessageId([0; 16]), Duration::ZERO);
    let mut data = Vec::new();
    PostRecord::Deposit { number, recipient, id, keep, envelope }.emit(&mut data);
    node.messenger.handle_data(moment(number), MAILBOX, Channel::Deposits, &data).unwrap();
}

/// A mailbox brings a letter of `from`; what it is answered.
fn bring(node: &mut Node, number: u64, from: NodeId, id: MessageId, content: Content) -> Option<Outcome> {
    deposit(node, number, ME);
    while let Some(job) = node.messenger.poll_job() {
        let Job::Open { token, .. } = job else { panic!("{job:?}") };
        let letter = Ok((from, Letter { id, sent_at: NOW.wall, content: content.clone() }));
        node.messenger.handle_job(moment(number), JobOutcome::Opened { token, letter });
    }
    node.settle();
    let answers = node.messenger.pending_write(MAILBOX, Channel::Deposits).to_vec();
    node.messenger.on_written(NOW.monotonic, MAILBOX, Channel::Deposits, answers.len());
    match RecordReader::<PostRecord>::default().next(&mut &answers[..]).unwrap() {
        Some(PostRecord::Answer { number: same, outcome, .. }) if same == number => Some(outcome),
        None => None,
        other => panic!("{other:?}"),
    }
}

fn text() -> Content {
    Content::Text("x".into())
}

/// A node that takes ten messages, six of one sender, and offers a mailbox; with a session with [`PEER`] and one with a mailbox.
fn of_little_patience() -> Node {
    let mut node = Node::with(MessengerConfig {
        mailbox: Some(MailboxConfig::default()),
        unconfirmed: PageLimit { messages: 10, bytes: 1000 },
        unconfirmed_of_sender: PageLimit { messages: 6, bytes: 100 },
        ..MessengerConfig::default()
    });
    node.connect();
    node.messenger.session_opened(MAILBOX, node_of(1));
    node
}

#[test]
fn a_mailbox_serves_others_whatever_waits_for_its_own_person() {
    let mut node = of_little_patience();
    for n in 1..=12 {
        node.data(Channel::Incoming, &message(n)).unwrap();
        node.settle();
    }
    assert_eq!(node.store.incoming.len(), 6, "of one sender");
    for n in 20..30 {
        bring(&mut node, n, node_of(2), id(n as u8), text());
    }
    assert_eq!(node.store.incoming.len(), 10, "of all");
    assert!(node.messenger.wants_data(MAILBOX, Channel::Deposits));
    deposit(&mut node, 50, node_of(9));
    node.settle();
    assert_eq!(node.store.letters(), 1);
}

#[test]
fn who_writes_too_much_is_put_off_alone() {
    let mut node = of_little_patience();
    // Together 105 bytes.
    (1..=14).for_each(|n| node.data(Channel::Incoming, &message(n)).unwrap());
    node.settle();
    assert_eq!(node.store.incoming.len(), 14, "what comes at once is stored at once");
    assert_eq!(bring(&mut node, 1, PEER, id(99), text()), Some(Outcome::Later));
    node.messenger.handle_confirmed(9);
    node.settle();
    assert_eq!(bring(&mut node, 2, node_of(2), id(99), text()), Some(Outcome::Taken));
    assert_eq!(bring(&mut node, 3, PEER, id(99), text()), Some(Outcome::Taken), "five, and 60 bytes");
    assert_eq!(bring(&mut node, 4, PEER, id(98), text()), Some(Outcome::Later), "six");

    // The same after a start, whatever the application has confirmed without the database's knowledge.
    let mut opened = node.store.opened();
    assert_eq!((opened.confirmed, opened.unconfirmed.len()), (9, 7));
    for (confirmed, outcome) in [(9, Outcome::Later), (10, Outcome::Taken)] {
        opened.confirmed = confirmed;
        node.messenger = Messenger::new(ME, node.messenger.config.clone(), [8; 32]);
        node.messenger.handle_store(NOW, StoreReply::Opened(opened.clone()));
        node.messenger.session_opened(MAILBOX, node_of(1));
        node.settle();
        assert_eq!(bring(&mut node, 5, PEER, id(97), text()), Some(outcome));
    }
}

#[test]
fn receipts_come_through_whatever_waits() {
    let mut node = of_little_patience();
    node.send(200);
    node.settle();
    node.take(Channel::Outgoing);
    (1..=7).for_each(|n| {
        node.data(Channel::Incoming, &message(n)).unwrap();
        node.settle();
    });
    let read = Content::Receipts { status: Status::Read, ids: vec![id(200)] };
    let message = |n, content| bytes(Record::Message { id: id(n), sent_at: NOW.wall, content });
    node.take(Channel::Incoming);
    node.data(Channel::Incoming, &message(100, read.clone())).unwrap();
    assert_eq!(node.settle(), [status(200, Status::Read)]);
    assert_eq!(node.take(Channel::Incoming), receipt(&[100]), "the text before it is not acknowledged");
    assert_eq!(bring(&mut node, 1, PEER, id(101), read), Some(Outcome::Taken));
}

#[test]
fn ids_of_receipts_weigh_as_much_as_messages() {
    let mut node = Node::new();
    node.connect();
    let ids =
        (0..MAX_RECEIPT_IDS as u32).map(|n| MessageId([n.to_be_bytes(); 4].concat().try_into().unwrap()));
    let content = Content::Receipts { status: Status::Delivered, ids: ids.collect() };
    let record = bytes(Record::Message { id: id(1), sent_at: NOW.wall, content });
    node.data(Channel::Incoming, &record).unwrap();
    assert!(!node.messenger.wants_data(SESSION, Channel::Incoming), "1024 of them are enough for one commit");
    node.settle();
    assert!(node.messenger.wants_data(SESSION, Channel::Incoming));
}

/// Letters of strangers, which a mailbox brings, that say nothing which anybody sees.
fn letters_of_strangers(node: &mut Node, count: u32) {
    node.messenger.session_opened(MAILBOX, node_of(u32::MAX));
    for n in 0..count {
        let stamp = Stamp { room: RoomId([1; 16]), version: 1 };
        let content = Content::RoomRequest { stamp, request: RoomRequest::Join };
        assert_eq!(bring(node, n.into(), node_of(n), id(1), content), Some(Outcome::Taken));
    }
}

#[test]
fn strangers_do_not_fill_the_outbox_for_good() {
    let mut node = Node::new();
    letters_of_strangers(&mut node, 200);
    assert_eq!(node.store.opened().backlog.len(), 200, "they are told that their letters have arrived");
    assert_eq!(node.messenger.wanted_sessions().count(), 200);
    let month = Duration::from_secs(30 * 24 * 3600);
    node.messenger.handle_timeout(Now { monotonic: NOW.monotonic + month, wall: NOW.wall + month });
    node.settle();
    assert_eq!(node.store.opened().backlog, []);
    assert_eq!(node.messenger.wanted_sessions().count(), 0);
    assert!(node.messenger.outboxes.is_empty());
}

#[test]
fn strangers_do_not_fill_the_directory_for_good() {
    let mut node = Node::new();
    letters_of_strangers(&mut node, CAPACITY as u32);
    // That of a room may be all that is known of its recipient.
    node.send(1);
    node.settle();
    node.messenger = Messenger::new(ME, MessengerConfig::default(), [8; 32]);
    node.messenger.handle_store(NOW, StoreReply::Opened(node.store.opened()));
    node.settle();
    assert!(node.messenger.has_backlog(node_of(0)) && !node.messenger.has_pending_texts(node_of(0)));
    assert!(node.messenger.has_pending_texts(PEER));
    let mut directory = Directory::new();
    let mut see = |id: NodeId| {
        let fields = RecordFields {
            nickname: None,
            subkey: [0; 32],
            capabilities: 0,
            number: 1,
            issued: UnixTime::default(),
            valid_until: UnixTime::from_millis(1),
        };
        let record = IdentityRecord { id, public_key: vec![], fields };
        directory.refresh(&record, b"x", NOW.wall, false, |id| node.messenger.has_pending_texts(id)).change
    };
    assert!((0..CAPACITY as u32).all(|n| see(node_of(n)) == Change::New));
    assert_eq!(see(NodeId([0xaa; 32])), Change::New, "somebody comes later");
}
