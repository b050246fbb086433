//! The tests that every store has to pass.

mod delivery;
#[cfg(feature = "driver")]
pub(crate) mod random;
mod rooms;

pub(crate) use delivery::check_delivery;
pub(crate) use rooms::check_rooms;

use super::*;
use crate::types::{MessageId, NodeId, Status, UnixTime};

/// A store as tests see it.
pub(crate) trait TestStore {
    /// Executes operations as one batch.
    fn execute_batch(&mut self, ops: Vec<StoreOp>) -> Vec<StoreReply>;
    /// Closes the store and opens it again.
    fn reopen(&mut self) -> OpenedOutboxes;
}

/// What a disk without room says.
pub(crate) fn full() -> StoreError {
    StoreError::Full { file: "simulated".into() }
}

/// A batch whose commit fails: reads are answered, the rest fails.
pub(crate) fn execute_failing(store: &mut MemoryStore, ops: Vec<StoreOp>) -> Vec<StoreReply> {
    let run = |op: StoreOp| if op.is_read() { store.execute(op) } else { Some(op.failed(full())) };
    ops.into_iter().filter_map(run).collect()
}

impl TestStore for MemoryStore {
    fn execute_batch(&mut self, ops: Vec<StoreOp>) -> Vec<StoreReply> {
        ops.into_iter().filter_map(|op| self.execute(op)).collect()
    }

    fn reopen(&mut self) -> OpenedOutboxes {
        self.opened()
    }
}

#[test]
fn the_store_in_memory_is_a_store() {
    check_store(&mut MemoryStore::default());
    check_delivery(&mut MemoryStore::default());
    check_rooms(&mut MemoryStore::default(), &mut MemoryStore::default());
}

/// The behaviour of an empty store, operation by operation.
pub(crate) fn check_store(store: &mut dyn TestStore) {
    assert_eq!(store.reopen(), OpenedOutboxes::default());
    check_outbox(store);
    check_inbox(store);
    let unconfirmed = [(3, OTHER, 7), (4, PEER, 3), (5, PEER, 4)];
    let unconfirmed = unconfirmed.map(|(arrival, from, len)| Unconfirmed { arrival, from, len }).to_vec();
    assert_eq!(
        store.reopen(),
        OpenedOutboxes {
            backlog: vec![PEER],
            texts_for: vec![PEER],
            confirmed: 2,
            last_arrival: 5,
            unconfirmed,
            ..OpenedOutboxes::default()
        }
    );
}

const PEER: NodeId = NodeId([1; 32]);
const OTHER: NodeId = NodeId([2; 32]);
const OWN: NodeId = NodeId([9; 32]);

fn id(byte: u8) -> MessageId {
    MessageId([byte; 16])
}

fn outbox_page(store: &mut dyn TestStore, after: u64, messages: usize, bytes: usize) -> (Vec<u8>, bool) {
    let limit = PageLimit { messages, bytes };
    let replies = store.execute_batch(vec![StoreOp::LoadOutbox { peer: PEER, after, limit, token: 77 }]);
    match &replies[..] {
        [StoreReply::OutboxPage { peer: PEER, token: 77, messages, complete }] => {
            assert!(messages.is_sorted_by_key(|message| message.seq));
            (messages.iter().map(|message| message.id.0[0]).collect(), *complete)
        }
        other => panic!("{other:?}"),
    }
}

fn check_outbox(store: &mut dyn TestStore) {
    let created = UnixTime::from_millis(u64::MAX);
    let enqueue = |byte: u8, to| {
        let text = "ž\0".repeat(byte.into());
        StoreOp::Enqueue { id: id(byte), to, created, expires: None, text }
    };
    let replies =
        store.execute_batch(vec![enqueue(1, PEER), enqueue(2, OTHER), enqueue(3, PEER), enqueue(4, PEER)]);
    let seqs: Vec<_> = replies
        .iter()
        .map(|reply| match reply {
            StoreReply::Enqueued { message, .. } => {
                assert_eq!((message.created, message.status), (created, Status::Queued));
                message.seq
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(seqs.is_sorted_by(|a, b| a < b));
    // An id is used once, whoever the recipient is; the rest of the batch is not touched by the refusal.
    let replies = store.execute_batch(vec![enqueue(2, PEER), enqueue(5, PEER)]);
    assert_eq!(replies[0], StoreReply::NotEnqueued { id: id(2), len: 6, error: StoreError::DuplicateId });
    assert!(
        matches!(&replies[1], StoreReply::Enqueued { to: PEER, message } if message.content == Content::Text("ž\0".repeat(5)))
    );

    assert_eq!(outbox_page(store, 0, 10, 1000), (vec![1, 3, 4, 5], true));
    assert_eq!(outbox_page(store, 0, 2, 1000), (vec![1, 3], false));
    assert_eq!(outbox_page(store, 0, 4, 1000), (vec![1, 3, 4, 5], true));
    assert_eq!(outbox_page(store, seqs[0], 10, 1), (vec![3], false));
    assert_eq!(outbox_page(store, seqs[0], 10, 9 + 12), (vec![3, 4], false));
    assert_eq!(outbox_page(store, u64::MAX >> 1, 10, 1), (vec![], true));

    // Status grows, for messages to that peer only, and only what grew is reported.
    let set = |ids: &[u8], status| StoreOp::SetStatus {
        to: PEER,
        ids: ids.iter().map(|b| id(*b)).collect(),
        status,
    };
    let replies = store.execute_batch(vec![
        set(&[1, 2, 3, 99], Status::Sent),
        set(&[1, 3], Status::Delivered),
        set(&[3, 4], Status::Sent),
        set(&[3], Status::Delivered),
    ]);
    let saved = |ids: &[u8], status| StoreReply::StatusSaved {
        to: PEER,
        ids: ids.iter().map(|b| id(*b)).collect(),
        status,
    };
    assert_eq!(
        replies,
        [
            saved(&[1, 3], Status::Sent),
            saved(&[1, 3], Status::Delivered),
            saved(&[4], Status::Sent),
            saved(&[], Status::Delivered)
        ]
    );
    assert_eq!(store.reopen().backlog, [PEER, OTHER]);
    assert_eq!(outbox_page(store, 0, 10, 1000), (vec![4, 5], true));
    let delivered = StoreOp::SetStatus { to: OTHER, ids: vec![id(2)], status: Status::Delivered };
    store.execute_batch(vec![delivered]);
}

fn check_inbox(store: &mut dyn TestStore) {
    let received = |byte: u8, text: &str| ReceivedMessage {
        id: id(byte),
        content: Content::Text(text.to_owned()),
        sent_at: UnixTime::from_millis(u64::MAX),
        received_at: UnixTime::from_millis(7),
    };
    let mut incoming = |from, messages| {
        let origin = Origin::Session(SessionId(9));
        let op = StoreOp::StoreIncoming { origin: origin.clone(), from, to: OWN, messages, receipt: None };
        match <[_; 1]>::try_from(store.execute_batch(vec![op])).unwrap() {
            [StoreReply::Stored { origin: same, ids, new, .. }] if same == origin => (ids, new),
            [other] => panic!("{other:?}"),
        }
    };
    let (ids, new) = incoming(PEER, vec![received(1, "a"), received(2, "b"), received(1, "c")]);
    assert_eq!(ids, [id(1), id(2), id(1)]);
    let seen: Vec<_> = new.iter().map(|message| (message.arrival, message.text.as_str())).collect();
    assert_eq!(seen, [(1, "a"), (2, "b")]);
    assert_eq!((new[0].from, new[0].id, new[0].sent_at), (PEER, id(1), UnixTime::from_millis(u64::MAX)));
    assert_eq!(incoming(PEER, vec![received(2, "other")]).1, []);
    assert_eq!(incoming(OTHER, vec![received(2, "its own")]).1[0].arrival, 3);
    assert_eq!(incoming(PEER, vec![received(3, "ccc"), received(4, "dddd")]).1[1].arrival, 5);

    let mut loaded = |after, messages, bytes| {
        let limit = PageLimit { messages, bytes };
        match <[_; 1]>::try_from(store.execute_batch(vec![StoreOp::LoadIncoming { after, limit }])).unwrap() {
            [StoreReply::IncomingPage { messages, complete }] => {
                (messages.iter().map(|message| message.arrival).collect::<Vec<_>>(), complete)
            }
            [other] => panic!("{other:?}"),
        }
    };
    assert_eq!(loaded(0, 10, 1000), (vec![1, 2, 3, 4, 5], true));
    assert_eq!(loaded(1, 2, 1000), (vec![2, 3], false));
    assert_eq!(loaded(3, 10, 1), (vec![4], false));
    assert_eq!(loaded(5, 10, 1), (vec![], true));
    let confirmed = |arrival| StoreOp::Confirmed { arrival };
    assert_eq!(store.execute_batch(vec![confirmed(2), confirmed(1)]), []);
}
