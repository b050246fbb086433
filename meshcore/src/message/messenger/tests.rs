use super::super::store::testing::{execute_failing, full};
use super::super::store::{MemoryStore, OpenedOutboxes, PageLimit, StoreError, StoreReply};
use super::*;
use crate::message::framing::RecordReader;
use crate::message::identity::IdentityKey;
use crate::message::room::RoomCommand;
use crate::wire::content::{Content, MAX_RECEIPT_IDS, MAX_TEXT};
use crate::wire::record::Record;

mod sim;
mod strangers;

const ME: NodeId = NodeId([1; 32]);
const PEER: NodeId = NodeId([2; 32]);
const SESSION: SessionId = SessionId(1);
const NOW: Now = Now { monotonic: Instant::from_micros(1_000_000), wall: UnixTime::from_millis(1000) };

fn id(n: u8) -> MessageId {
    MessageId([n; 16])
}

/// A messenger with a store that does at once what it is told.
struct Node {
    messenger: Messenger,
    store: MemoryStore,
}

impl Node {
    fn new() -> Self {
        Self::with(MessengerConfig::default())
    }

    fn with(config: MessengerConfig) -> Self {
        let mut node = Self { messenger: Messenger::new(ME, config, [7; 32]), store: MemoryStore::default() };
        node.messenger.handle_store(NOW, StoreReply::Opened(OpenedOutboxes::default()));
        node
    }

    fn settle(&mut self) -> Vec<MessengerEvent> {
        while let Some(op) = self.messenger.poll_store() {
            if let Some(reply) = self.store.execute(op) {
                self.messenger.handle_store(NOW, reply);
            }
        }
        std::iter::from_fn(|| self.messenger.poll_event()).collect()
    }

    /// Nothing comes for a while.
    fn wait(&mut self) -> Vec<MessengerEvent> {
        let later = Now { monotonic: NOW.monotonic + Duration::from_millis(50), ..NOW };
        self.messenger.handle_timeout(later);
        self.settle()
    }

    fn send(&mut self, n: u8) {
        self.messenger.send(NOW.wall, id(n), PEER, format!("text {n}"), None).unwrap();
    }

    /// The disk says that it has written what it was asked to, which it is then asked for.
    fn write(&mut self) -> Vec<StoreOp> {
        let ops: Vec<_> = std::iter::from_fn(|| self.messenger.poll_store()).collect();
        for reply in self.store.written(&ops) {
            self.messenger.handle_store(NOW, reply);
        }
        ops
    }

    fn connect(&mut self) {
        self.messenger.session_opened(SESSION, PEER);
        self.messenger.set_sending_session(NOW, PEER, Some(SESSION));
        self.settle();
    }

    fn take(&mut self, channel: Channel) -> Vec<u8> {
        let bytes = self.messenger.pending_write(SESSION, channel).to_vec();
        self.messenger.on_written(NOW.monotonic, SESSION, channel, bytes.len());
        bytes
    }

    fn data(&mut self, channel: Channel, bytes: &[u8]) -> Result<(), ProtocolViolation> {
        self.messenger.handle_data(NOW, SESSION, channel, bytes)
    }
}

fn status(n: u8, status: Status) -> MessengerEvent {
    MessengerEvent::Status { id: id(n), to: PEER, status }
}

fn bytes(record: Record) -> Vec<u8> {
    let mut out = Vec::new();
    record.emit(&mut out);
    out
}

fn message(n: u8) -> Vec<u8> {
    bytes(Record::Message { id: id(n), sent_at: NOW.wall, content: Content::Text("x".repeat(n.into())) })
}

fn receipt(ids: &[u8]) -> Vec<u8> {
    bytes(Record::Receipt(ids.iter().map(|n| id(*n)).collect()))
}

#[test]
fn status_tells_what_happened() {
    let mut node = Node::new();
    node.send(1);
    assert_eq!(node.messenger.poll_event(), None, "not accepted before the commit");
    assert_eq!(node.settle(), [MessengerEvent::Accepted { id: id(1) }, status(1, Status::Queued)]);
    assert!(node.messenger.has_backlog(PEER));
    node.connect();
    let len = node.messenger.pending_write(SESSION, Channel::Outgoing).len();
    node.messenger.on_written(NOW.monotonic, SESSION, Channel::Outgoing, len - 1);
    assert_eq!(node.wait(), [], "one byte is missing");
    node.messenger.on_written(NOW.monotonic, SESSION, Channel::Outgoing, 1);
    assert_eq!(node.settle(), [], "a receipt may come at once");
    assert_eq!(node.wait(), [status(1, Status::Sent)]);
    node.data(Channel::Outgoing, &receipt(&[1])).unwrap();
    assert_eq!(node.messenger.poll_event(), None, "not delivered before the commit");
    assert_eq!(node.settle(), [status(1, Status::Delivered)]);
    assert!(!node.messenger.has_backlog(PEER));
    node.messenger.session_closed(NOW, SESSION);
    assert_eq!(node.messenger.wanted_sessions().count(), 0);
    assert!(node.messenger.outboxes.is_empty(), "nothing is kept of a peer without messages");
}

#[test]
fn receipts_that_prove_nothing_cost_nothing() {
    let mut node = Node::new();
    node.send(1);
    node.settle();
    node.connect();
    node.data(Channel::Outgoing, &receipt(&[1, 9])).unwrap();
    assert_eq!(node.messenger.poll_store(), None, "not sent yet, and unknown");
    node.take(Channel::Outgoing);
    node.settle();
    let other = SessionId(2);
    node.messenger.session_opened(other, ME);
    node.messenger.handle_data(NOW, other, Channel::Outgoing, &receipt(&[1])).unwrap();
    assert_eq!(node.messenger.poll_store(), None, "somebody else's receipt");
    node.data(Channel::Outgoing, &receipt(&[1])).unwrap();
    node.data(Channel::Outgoing, &receipt(&[1])).unwrap();
    assert!(node.messenger.poll_store().is_some());
    assert_eq!(node.messenger.poll_store(), None, "the second receipt is no news");
}

#[test]
fn texts_are_checked() {
    let mut node = Node::with(MessengerConfig {
        send_queue: PageLimit { messages: 2, bytes: MAX_TEXT + 2 },
        ..MessengerConfig::default()
    });
    let mut send = |n, text: String| node.messenger.send(NOW.wall, id(n), PEER, text, None);
    assert_eq!(send(1, String::new()), Err(SendError::Empty));
    assert_eq!(send(1, "x".repeat(MAX_TEXT + 1)), Err(SendError::TooLong { limit: MAX_TEXT }));
    assert_eq!(send(1, "x".repeat(MAX_TEXT)), Ok(()));
    assert_eq!(send(2, "xxx".into()), Err(SendError::Busy));
    assert_eq!(send(2, "x".into()), Ok(()));
    assert_eq!(send(3, "x".into()), Err(SendError::Busy));
    node.settle();
    node.send(3);
    node.send(3);
    assert!(node.settle().contains(&MessengerEvent::Refused { id: id(3), error: StoreError::DuplicateId }));
    assert_eq!(node.messenger.sending, (0, 0));
}

#[test]
fn duplicates_are_acknowledged_and_not_shown() {
    let mut node = Node::new();
    node.connect();
    node.data(Channel::Incoming, &[message(1), message(2)].concat()).unwrap();
    assert!(node.take(Channel::Incoming).is_empty(), "no receipt before the commit");
    assert_eq!(node.settle().len(), 2);
    assert_eq!(node.take(Channel::Incoming), receipt(&[1, 2]));
    node.data(Channel::Incoming, &message(2)).unwrap();
    assert_eq!(node.settle(), []);
    assert_eq!(node.take(Channel::Incoming), receipt(&[2]));
}

#[test]
fn violations_finish_the_session() {
    for (channel, data) in [
        (Channel::Incoming, receipt(&[1])),
        (Channel::Outgoing, message(1)),
        (Channel::Incoming, vec![0xff; 4]),
        (Channel::Outgoing, vec![0, 0, 0, 1, 0]),
    ] {
        let mut node = Node::new();
        node.connect();
        node.data(Channel::Incoming, &message(7)).unwrap();
        node.data(channel, &data).unwrap_err();
        assert!(!node.messenger.wants_data(SESSION, channel));
        assert_eq!(node.data(Channel::Incoming, &message(8)), Ok(()));
        assert_eq!(node.settle().len(), 1, "what came before is kept, what came after is not read");
    }
    let mut node = Node::new();
    node.connect();
    node.data(Channel::Incoming, &bytes(Record::Unknown(200))).unwrap();
    node.data(Channel::Outgoing, &bytes(Record::Unknown(9))).unwrap();
}

#[test]
fn a_failed_commit_leaves_no_gap() {
    let mut node = Node::new();
    node.connect();
    node.data(Channel::Incoming, &message(1)).unwrap();
    let first = node.messenger.poll_store().unwrap();
    node.data(Channel::Incoming, &message(2)).unwrap();
    assert_eq!(node.messenger.poll_store(), None, "one operation at a time");
    for reply in execute_failing(&mut node.store, vec![first]) {
        node.messenger.handle_store(NOW, reply);
    }
    assert_eq!(node.settle(), [MessengerEvent::StorageFailed { session: SESSION, error: full() }]);
    node.data(Channel::Incoming, &message(3)).unwrap();
    assert_eq!(node.settle(), []);
    assert!(node.take(Channel::Incoming).is_empty());
    assert!(node.store.incoming.is_empty());
}

#[test]
fn what_is_written_is_sent_and_not_accepted_before_it_is_kept() {
    let mut node = Node::new();
    node.connect();
    node.send(1);
    let ops = node.write();
    assert!(!node.take(Channel::Outgoing).is_empty());
    node.data(Channel::Outgoing, &receipt(&[1])).unwrap();
    assert_eq!(node.messenger.poll_event(), None);
    for op in ops {
        let reply = node.store.execute(op).unwrap();
        node.messenger.handle_store(NOW, reply);
    }
    let told =
        [MessengerEvent::Accepted { id: id(1) }, status(1, Status::Queued), status(1, Status::Delivered)];
    assert_eq!(node.settle(), told);
    assert!(node.take(Channel::Outgoing).is_empty(), "sent once");
    assert!(!node.messenger.has_backlog(PEER));
}

#[test]
fn what_was_written_and_not_kept_is_in_nobodys_way() {
    let outbox_window = PageLimit { messages: 1, bytes: 1000 };
    for is_sent in [true, false] {
        let mut node = Node::with(MessengerConfig { outbox_window, ..MessengerConfig::default() });
        node.connect();
        node.send(1);
        let ops = node.write();
        if is_sent {
            assert!(!node.take(Channel::Outgoing).is_empty());
        }
        for reply in execute_failing(&mut node.store, ops) {
            node.messenger.handle_store(NOW, reply);
        }
        let refused = MessengerEvent::Refused { id: id(1), error: full() };
        assert_eq!(node.settle(), [refused]);
        assert!(node.take(Channel::Outgoing).is_empty());
        // It may have arrived all the same; and its place in the outbox is that of the next one.
        node.data(Channel::Outgoing, &receipt(&[1])).unwrap();
        node.send(2);
        assert_eq!(node.settle(), [MessengerEvent::Accepted { id: id(2) }, status(2, Status::Queued)]);
        assert!(!node.take(Channel::Outgoing).is_empty());
    }
}

#[test]
fn a_status_that_could_not_be_saved_is_saved_later() {
    let not_saved = || {
        let mut node = Node::new();
        node.send(1);
        node.settle();
        node.connect();
        node.take(Channel::Outgoing);
        node.settle();
        node.data(Channel::Outgoing, &receipt(&[1])).unwrap();
        let op = node.messenger.poll_store().unwrap();
        for reply in execute_failing(&mut node.store, vec![op]) {
            node.messenger.handle_store(NOW, reply);
        }
        assert_eq!(node.settle(), []);
        assert!(node.messenger.has_backlog(PEER));
        node
    };
    let mut node = not_saved();
    node.send(2);
    assert!(node.settle().contains(&status(1, Status::Delivered)), "when something else was saved");
    let mut node = not_saved();
    node.messenger.handle_timeout(Now { monotonic: NOW.monotonic + SWEEP, ..NOW });
    assert_eq!(node.settle(), [status(1, Status::Delivered)], "or after a while");
}

#[test]
fn reading_pauses_while_the_disk_or_the_application_is_behind() {
    let mut node = Node::with(MessengerConfig {
        commit_window: PageLimit { messages: 3, bytes: 1000 },
        unconfirmed: PageLimit { messages: 5, bytes: 1000 },
        ..MessengerConfig::default()
    });
    node.connect();
    node.data(Channel::Incoming, &[message(1), message(2)].concat()).unwrap();
    assert!(node.messenger.wants_data(SESSION, Channel::Incoming));
    node.data(Channel::Incoming, &message(3)).unwrap();
    assert!(!node.messenger.wants_data(SESSION, Channel::Incoming));
    node.settle();
    assert!(node.messenger.wants_data(SESSION, Channel::Incoming));
    node.data(Channel::Incoming, &[message(4), message(5)].concat()).unwrap();
    node.settle();
    node.data(Channel::Incoming, &[message(6), message(7)].concat()).unwrap();
    assert_eq!(node.settle(), [], "five are unconfirmed");
    assert!(node.messenger.wants_data(SESSION, Channel::Incoming), "there may come other things than texts");
    node.data(Channel::Incoming, &message(8)).unwrap();
    assert!(!node.messenger.wants_data(SESSION, Channel::Incoming));
    node.take(Channel::Incoming);
    node.messenger.handle_confirmed(u64::MAX);
    let confirmed = node.messenger.poll_store();
    assert_eq!(confirmed, Some(StoreOp::Confirmed { arrival: 5 }), "no more than was handed over");
    assert_eq!(node.settle().len(), 3);
    assert!(node.messenger.wants_data(SESSION, Channel::Incoming));
    assert_eq!(node.take(Channel::Incoming), receipt(&[6, 7, 8]), "in order, and not before");
}

#[test]
fn receipts_that_nobody_reads_stop_the_reading() {
    let mut node = Node::new();
    node.connect();
    let mut rounds = 0;
    while node.messenger.wants_data(SESSION, Channel::Incoming) {
        node.data(Channel::Incoming, &message(1).repeat(1000)).unwrap();
        node.settle();
        rounds += 1;
        assert!(rounds < 10);
    }
    let record = node.take(Channel::Incoming);
    assert_eq!(record.len(), 4 + 2 + 3 + 17 * MAX_RECEIPT_IDS);
}

#[test]
fn a_backlog_is_paged_in_order() {
    let mut node = Node::with(MessengerConfig {
        outbox_window: PageLimit { messages: 10, bytes: 1000 },
        ..MessengerConfig::default()
    });
    (0..200).for_each(|n| node.send(n));
    node.settle();
    node.connect();
    let mut seen = Vec::new();
    for _ in 0..200 {
        assert!(node.messenger.outboxes[&PEER].in_memory().0 <= 10);
        let mut reader = RecordReader::<Record>::default();
        let data = node.take(Channel::Outgoing);
        let mut data = &data[..];
        while let Some(Record::Message { id, content: Content::Text(text), .. }) =
            reader.next(&mut data).unwrap()
        {
            assert_eq!(text, format!("text {}", id.0[0]));
            seen.push(id.0[0]);
            node.data(Channel::Outgoing, &receipt(&[id.0[0]])).unwrap();
        }
        node.settle();
    }
    assert_eq!(seen, (0..200).collect::<Vec<u8>>());
}

#[test]
fn a_new_session_begins_with_the_first_undelivered_message() {
    let mut node = Node::new();
    (1..=3).for_each(|n| node.send(n));
    node.settle();
    node.connect();
    let all = node.messenger.pending_write(SESSION, Channel::Outgoing).to_vec();
    let (first, second) = (all.len() / 3 + 2, 2 * all.len() / 3);
    node.messenger.on_written(NOW.monotonic, SESSION, Channel::Outgoing, first);
    node.data(Channel::Outgoing, &receipt(&[1])).unwrap();
    node.settle();

    let other = SessionId(2);
    node.messenger.session_opened(other, PEER);
    node.messenger.set_sending_session(NOW, PEER, Some(other));
    // A page that was asked for by the old session would leave a gap.
    let stale = StoreReply::OutboxPage { peer: PEER, token: 1, messages: vec![], complete: true };
    node.messenger.handle_store(NOW, stale);
    node.settle();
    assert_eq!(node.messenger.pending_write(other, Channel::Outgoing), &all[all.len() / 3..]);
    assert_eq!(node.take(Channel::Outgoing), all[first..], "what was given to the old stream is finished");
    assert_eq!(node.settle(), [], "the old session is not the sending session");
    node.messenger.on_written(NOW.monotonic, other, Channel::Outgoing, second);
    assert_eq!(node.wait(), [status(2, Status::Sent), status(3, Status::Sent)]);

    node.messenger.session_closed(NOW, other);
    assert!(node.messenger.has_backlog(PEER));
    node.messenger.set_sending_session(NOW, PEER, Some(other));
    assert_eq!(node.messenger.outboxes[&PEER].session(), None, "a closed session is none");
    assert!(node.messenger.pending_write(other, Channel::Outgoing).is_empty());
}

#[test]
fn a_session_that_ends_before_its_first_page_leaves_no_backlog_behind() {
    let mut node = Node::new();
    node.messenger.session_opened(SESSION, PEER);
    node.messenger.set_sending_session(NOW, PEER, Some(SESSION));
    node.messenger.session_closed(NOW, SESSION);
    node.settle();
    assert!(!node.messenger.has_backlog(PEER));
    assert!(node.messenger.outboxes.is_empty());
}

#[test]
fn all_that_was_read_is_told() {
    let mut node = Node::new();
    node.connect();
    let messages = (0..1500u32).map(|n| {
        let id = MessageId([n.to_be_bytes(); 4].concat().try_into().unwrap());
        bytes(Record::Message { id, sent_at: NOW.wall, content: Content::Text("x".into()) })
    });
    for message in messages {
        node.data(Channel::Incoming, &message).unwrap();
        node.settle();
        node.take(Channel::Incoming);
    }
    node.messenger.mark_read(NOW.wall, PEER, 1500);
    node.settle();
    let told = node.store.outgoing.values().map(|(_, message)| match &message.content {
        Content::Receipts { status: Status::Read, ids } => ids.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(told.collect::<Vec<_>>(), [1024, 476]);
}

#[test]
fn what_the_disk_could_not_read_is_read_later() {
    let mut node = Node::new();
    node.connect();
    node.data(Channel::Incoming, &message(1)).unwrap();
    node.settle();
    let opened = node.store.opened();
    node.messenger = Messenger::new(ME, MessengerConfig::default(), [8; 32]);
    node.messenger.handle_store(NOW, StoreReply::Opened(opened));
    while let Some(op) = node.messenger.poll_store() {
        node.messenger.handle_store(NOW, op.failed(full()));
    }
    assert_eq!(node.settle(), []);
    node.messenger.handle_timeout(Now { monotonic: NOW.monotonic + SWEEP, ..NOW });
    assert!(matches!(&node.settle()[..], [MessengerEvent::Received(message)] if message.id == id(1)));
}

#[test]
fn what_was_given_up_on_its_way_may_arrive_all_the_same() {
    let mut node = Node::new();
    for n in 1..=2 {
        let expires = Some(NOW.wall + SWEEP);
        node.messenger.send(NOW.wall, id(n), PEER, "x".into(), expires).unwrap();
        node.settle();
        node.connect();
        if n == 1 {
            node.take(Channel::Outgoing);
        }
    }
    node.wait();
    node.messenger.handle_timeout(Now { monotonic: NOW.monotonic + 2 * SWEEP, wall: NOW.wall + SWEEP });
    assert_eq!(node.settle(), [status(1, Status::Expired), status(2, Status::Expired)]);
    assert!(node.take(Channel::Outgoing).is_empty(), "what was not on its way stays here");
    node.data(Channel::Outgoing, &receipt(&[1, 2])).unwrap();
    assert_eq!(node.settle(), [status(1, Status::Delivered)]);
    assert!(!node.messenger.has_backlog(PEER));
}

#[test]
fn a_session_with_somebody_who_is_gone_keeps_nothing_from_mailboxes() {
    let mailbox = NodeId([9; 32]);
    let mut node = Node::new();
    node.connect();
    node.messenger.set_reachable(NOW, PEER, true);
    node.messenger.set_reachable(NOW, mailbox, true);
    node.messenger.set_mailboxes(NOW, BTreeSet::from([mailbox]));
    node.send(1);
    node.settle();
    let deposits = |node: &mut Node, seconds| {
        let now = Now { monotonic: NOW.monotonic + Duration::from_secs(seconds), ..NOW };
        node.messenger.handle_timeout(now);
        // By a session with the mailbox.
        node.messenger.session_opened(SessionId(2), mailbox);
        node.messenger.set_sending_session(now, mailbox, Some(SessionId(2)));
        let ops = std::iter::from_fn(|| node.messenger.poll_store());
        ops.filter(|op| matches!(op, StoreOp::LoadDeposits { peer: PEER, .. })).count()
    };
    assert_eq!(deposits(&mut node, 20), 0, "it is there");
    node.messenger.set_reachable(NOW, PEER, false);
    assert_eq!(deposits(&mut node, 24), 1);
}

#[test]
fn a_blocked_owner_cannot_invite() {
    let pem = include_str!("../../../tests/keys/message/rsa2048.pem");
    let key = IdentityKey::from_pem(pem, None).unwrap();
    let owner = key.node_id();
    let mut owners = MemoryStore::default();
    let mut command = |n, command| {
        let op = StoreOp::Room { own: owner, id: id(n), now: NOW.wall, command };
        match owners.execute(op) {
            Some(StoreReply::RoomDone { outcome, .. }) => outcome.room,
            other => panic!("{other:?}"),
        }
    };
    let (nonce, name) = ([1; 16], "insult".parse().unwrap());
    let room = command(1, RoomCommand::Create { nonce, owner_key: key.spki_der().to_vec(), name });
    let room = command(2, RoomCommand::Invite(room.id().unwrap(), ME));
    let signed = room.unsigned().unwrap().sign(&key).unwrap();
    for blocked in [true, false] {
        let mut node = Node::new();
        node.messenger.set_blocked(NOW, owner, blocked);
        node.connect();
        let record = Record::Message { id: id(7), sent_at: NOW.wall, content: Content::Room(signed.clone()) };
        node.data(Channel::Incoming, &bytes(record)).unwrap();
        let events = node.settle();
        let is_shown = events.iter().any(|event| matches!(event, MessengerEvent::Room { .. }));
        assert_eq!(is_shown, !blocked, "{events:?}");
        assert_eq!(node.messenger.rooms().count(), usize::from(!blocked));
        assert!(!node.take(Channel::Incoming).is_empty(), "whoever brought it is told that it has arrived");
    }
}
