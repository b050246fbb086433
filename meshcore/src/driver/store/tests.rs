use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command as Process, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::message::SessionId;
use crate::message::store::testing::{TestStore, check_delivery, check_rooms, check_store, random};
use crate::message::store::{Content, MemoryStore, Origin, PageLimit, ReceivedMessage, Unconfirmed};
use crate::types::{MessageId, NodeId, Status};

const PEER: NodeId = NodeId([1; 32]);

/// The database without its thread.
struct Direct {
    file: PathBuf,
    writer: Writer,
}

impl TestStore for Direct {
    fn execute_batch(&mut self, ops: Vec<StoreOp>) -> Vec<StoreReply> {
        self.writer.execute(ops.into_iter().map(Command::Op).collect(), &unheard())
    }

    fn reopen(&mut self) -> OpenedOutboxes {
        // The closing of the thread, in this one.
        self.execute_batch(vec![StoreOp::RemovePeer(PEER)]);
        self.writer = Writer::open(&self.file, KeepHistory::Everything).unwrap();
        self.writer.load().unwrap().outboxes
    }
}

fn direct() -> (tempfile::TempDir, Direct) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("messages.db");
    let writer = Writer::open(&file, KeepHistory::Everything).unwrap();
    (directory, Direct { file, writer })
}

fn open(file: &Path) -> (Store, Opened, Receiver<StoreReply>) {
    let (sender, replies) = channel();
    let is_answer = |reply: &StoreReply| !matches!(reply, StoreReply::Written { .. });
    let deliver = move |batch: Vec<StoreReply>| {
        batch.into_iter().filter(is_answer).for_each(|reply| drop(sender.send(reply)));
    };
    let (store, opened) = Store::open(file, KeepHistory::Everything, Box::new(deliver)).unwrap();
    (store, opened, replies)
}

/// For what is told before a commit ends.
fn unheard() -> ReplyHandler {
    Box::new(drop)
}

fn message_id(n: u32) -> MessageId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    MessageId(id)
}

fn enqueue(n: u32, len: usize) -> StoreOp {
    StoreOp::Enqueue {
        id: message_id(n),
        to: PEER,
        created: UnixTime::default(),
        expires: None,
        text: "x".repeat(len),
    }
}

fn incoming(n: u32) -> StoreOp {
    let at = UnixTime::default();
    let message = ReceivedMessage {
        id: message_id(n),
        content: Content::Text("x".into()),
        sent_at: at,
        received_at: at,
    };
    StoreOp::StoreIncoming {
        origin: Origin::Session(SessionId(1)),
        from: PEER,
        to: NodeId([9; 32]),
        messages: vec![message],
        receipt: None,
    }
}

fn load_all() -> StoreOp {
    let limit = PageLimit { messages: usize::MAX, bytes: usize::MAX };
    StoreOp::LoadOutbox { peer: PEER, after: 0, limit, token: 0 }
}

fn loaded(replies: &[StoreReply]) -> Vec<MessageId> {
    match replies {
        [.., StoreReply::OutboxPage { messages, .. }] => messages.iter().map(|message| message.id).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sqlite_is_a_store() {
    let (_directory, mut store) = direct();
    check_store(&mut store);
    let (_directory, mut store) = direct();
    check_delivery(&mut store);
    let ((_owners, mut owners), (_members, mut members)) = (direct(), direct());
    check_rooms(&mut owners, &mut members);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sqlite_and_memory_give_the_same_answers(batches in random::batches()) {
        let (_directory, mut store) = direct();
        random::check_same(&mut store, &mut MemoryStore::default(), batches)?;
    }
}

#[test]
fn a_database_of_the_first_version_keeps_its_contents() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("messages.db");
    let old = connect(&file).unwrap();
    old.execute_batch(schema::MIGRATIONS[0]).unwrap();
    old.execute_batch(
        "PRAGMA user_version = 1;
         INSERT INTO outgoing (id, peer, text, created, status) VALUES
            (x'01000000000000000000000000000000', zeroblob(32), 'delivered', 5, 30),
            (x'02000000000000000000000000000000', zeroblob(32), 'sent', 6, 10),
            (x'03000000000000000000000000000000', zeroblob(32), 'queued', 7, 0);
         INSERT INTO incoming (sender, id, text, sent, received) VALUES
            (zeroblob(32), x'04000000000000000000000000000000', 'hello', 8, 9);
         INSERT INTO peers VALUES (zeroblob(32), x'0102', 3, 4);
         INSERT INTO meta VALUES ('confirmed', 1);",
    )
    .unwrap();
    drop(old);
    let mut writer = Writer::open(&file, KeepHistory::Everything).unwrap();
    let Opened { peers, outboxes, .. } = writer.load().unwrap();
    let peer = NodeId([0; 32]);
    assert_eq!((peers.len(), &peers[0].record[..]), (1, &[1, 2][..]));
    let expected = OpenedOutboxes {
        backlog: vec![peer],
        texts_for: vec![peer],
        confirmed: 1,
        last_arrival: 1,
        ..OpenedOutboxes::default()
    };
    assert_eq!(outboxes, expected);
    let limit = PageLimit { messages: 10, bytes: 1000 };
    let at = UnixTime::from_millis;
    let ops = vec![
        StoreOp::LoadOutbox { peer, after: 0, limit, token: 0 },
        StoreOp::LoadIncoming { after: 0, limit },
        StoreOp::MarkRead { from: peer, arrival: 1, receipt: message_id(9), now: at(10) },
    ];
    let replies = writer.execute(ops.into_iter().map(Command::Op).collect(), &unheard());
    let [
        StoreReply::OutboxPage { messages, complete: true, .. },
        StoreReply::IncomingPage { messages: old, .. },
        read,
    ] = &replies[..]
    else {
        panic!("{replies:?}")
    };
    let found: Vec<_> =
        messages.iter().map(|message| (&message.content, message.created, message.status)).collect();
    let text = |text: &str| Content::Text(text.to_owned());
    assert_eq!(found, [(&text("sent"), at(6), Status::Sent), (&text("queued"), at(7), Status::Queued)]);
    assert_eq!((&old[0].text[..], old[0].arrival, old[0].received_at), ("hello", 1, at(9)));
    // What came before there were such receipts was read, and its sender expects to hear nothing of it.
    assert_eq!(*read, StoreReply::MarkedRead { from: peer, arrival: 1, receipt: None });
}

#[test]
fn what_was_submitted_is_there_after_closing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("messages.db");
    let (store, opened, replies) = open(&file);
    assert_eq!(opened, Opened { peers: vec![], files: vec![], outboxes: OpenedOutboxes::default() });
    (0..1000).for_each(|n| store.submit(enqueue(n, 10)).unwrap());
    store.submit(incoming(1)).unwrap();
    store.submit(incoming(2)).unwrap();
    let at = UnixTime::from_millis;
    let peer = StoredPeer { last_seen: at(2), ..StoredPeer::new(PEER, vec![7; 1300], at(1)) };
    let gone = StoredPeer { id: NodeId([9; 32]), ..peer.clone() };
    for op in [StoreOp::SavePeer(gone), StoreOp::SavePeer(peer.clone()), StoreOp::RemovePeer(NodeId([9; 32]))]
    {
        store.submit(op).unwrap();
    }
    store.submit(StoreOp::Confirmed { arrival: 1 }).unwrap();
    store.close();
    assert_eq!(replies.iter().count(), 1002, "every message was answered before the end");
    let (_store, opened, _replies) = open(&file);
    assert_eq!(opened.peers, [peer]);
    let unconfirmed = vec![Unconfirmed { arrival: 2, from: PEER, len: 1 }];
    assert_eq!(
        opened.outboxes,
        OpenedOutboxes {
            backlog: vec![PEER],
            texts_for: vec![PEER],
            confirmed: 1,
            last_arrival: 2,
            unconfirmed,
            ..OpenedOutboxes::default()
        }
    );
    for name in ["messages.db", "messages.db-wal", "messages.db-shm"] {
        assert_eq!(fs::metadata(directory.path().join(name)).unwrap().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn record_numbers_grow() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("messages.db");
    let at = UnixTime::from_millis;
    let (store, ..) = open(&file);
    assert_eq!(store.next_record_number(at(1000)), Ok(1000));
    assert_eq!(store.next_record_number(at(1000)), Ok(1001));
    assert_eq!(store.next_record_number(at(5)), Ok(1002));
    store.close();
    assert_eq!(open(&file).0.next_record_number(at(0)), Ok(1003));
}

#[test]
fn the_cursor_never_goes_back() {
    let (_directory, mut store) = direct();
    store.execute_batch(vec![incoming(1), incoming(2), StoreOp::Confirmed { arrival: 2 }]);
    assert_eq!(store.reopen().confirmed, 2);
    store.execute_batch(vec![StoreOp::Confirmed { arrival: 1 }]);
    assert_eq!(store.reopen().confirmed, 2);
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let (_directory, mut store) = direct();
    store.execute_batch(vec![enqueue(1, 10)]);
    let pages: u32 =
        store.writer.connection().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.writer.connection().pragma_update(None, "max_page_count", pages).unwrap();
    let replies = store.execute_batch(vec![enqueue(2, 10), load_all(), enqueue(3, 1 << 20), incoming(1)]);
    let full = StoreError::Full { file: store.file.clone() };
    assert_eq!(replies[0], StoreReply::NotEnqueued { id: message_id(2), len: 10, error: full.clone() });
    assert_eq!(loaded(&replies[..2]), [message_id(1)], "reading goes on, and sees nothing of what failed");
    assert_eq!(replies[2], StoreReply::NotEnqueued { id: message_id(3), len: 1 << 20, error: full.clone() });
    assert_eq!(replies[3], StoreReply::NotStored { origin: Origin::Session(SessionId(1)), error: full });
    store.writer.connection().pragma_update(None, "max_page_count", 1 << 20).unwrap();
    assert!(matches!(store.execute_batch(vec![enqueue(3, 1 << 20)])[0], StoreReply::Enqueued { .. }));
    store.reopen();
    assert_eq!(loaded(&store.execute_batch(vec![load_all()])), [message_id(1), message_id(3)]);
}

#[test]
fn new_texts_are_told_of_before_the_disk_has_synced_them() {
    let (_directory, mut store) = direct();
    let mut execute = |fails: bool, ops: Vec<StoreOp>| {
        if fails {
            store.writer.fail_to_sync();
        }
        let (sender, early) = channel();
        let written: ReplyHandler = Box::new(move |batch| sender.send(batch).unwrap());
        let replies = store.writer.execute(ops.into_iter().map(Command::Op).collect(), &written);
        drop(written);
        (early.iter().flatten().collect::<Vec<_>>(), replies)
    };
    let seq = |reply: &StoreReply| match reply {
        StoreReply::Written { to: PEER, message } | StoreReply::Enqueued { to: PEER, message } => message.seq,
        other => panic!("{other:?}"),
    };
    let (early, replies) = execute(false, vec![enqueue(1, 10), enqueue(2, 20)]);
    assert!(early.iter().all(|reply| matches!(reply, StoreReply::Written { .. })));
    assert_eq!(early.iter().map(seq).collect::<Vec<_>>(), replies.iter().map(seq).collect::<Vec<_>>());

    let (early, replies) = execute(true, vec![enqueue(3, 10), StoreOp::Confirmed { arrival: 0 }]);
    let lost = seq(&early[0]);
    assert!(matches!(replies[..], [StoreReply::NotEnqueued { id, .. }] if id == message_id(3)));
    let (_, replies) = execute(false, vec![load_all()]);
    assert_eq!(loaded(&replies), [message_id(1), message_id(2)]);
    // Its place is given to another one.
    let (early, _) = execute(false, vec![enqueue(4, 10)]);
    assert_eq!(seq(&early[0]), lost);

    // What else is in the batch was answered before the text was there.
    let (early, replies) = execute(false, vec![load_all(), enqueue(5, 10)]);
    assert_eq!((early, replies.len()), (vec![], 2));
    let (early, replies) = execute(false, vec![enqueue(6, 10), enqueue(5, 10)]);
    assert_eq!((early, replies.len()), (vec![], 2));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let (_directory, mut store) = direct();
    store.execute_batch(vec![enqueue(1, 10)]);
    store.writer.connection().pragma_update(None, "query_only", true).unwrap();
    let error = StoreError::ReadOnly { file: store.file.clone() };
    let status = StoreOp::SetStatus { to: PEER, ids: vec![message_id(1)], status: Status::Sent };
    let replies = store.execute_batch(vec![enqueue(2, 10), status, StoreOp::RemovePeer(PEER)]);
    assert_eq!(replies[0], StoreReply::NotEnqueued { id: message_id(2), len: 10, error: error.clone() });
    assert!(matches!(&replies[1], StoreReply::StatusNotSaved { error: same, .. } if *same == error));
    assert!(matches!(&replies[2], StoreReply::NotSaved { error: same, .. } if *same == error));
    let io = |kind| io_error(&store.file, &io::Error::from(kind));
    assert_eq!(io(io::ErrorKind::ReadOnlyFilesystem), error);
    assert_eq!(io(io::ErrorKind::PermissionDenied), error);
    assert_eq!(io(io::ErrorKind::StorageFull), StoreError::Full { file: store.file.clone() });
    let no_room = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
    let no_room = sqlite_error(&store.file, rusqlite::Error::SqliteFailure(no_room, None));
    assert_eq!(no_room, StoreError::Full { file: store.file.clone() });
}

fn opening_fails(file: &Path) -> StoreError {
    Store::open(file, KeepHistory::Everything, Box::new(drop)).map(drop).unwrap_err()
}

#[test]
fn a_later_schema_is_left_alone() {
    let (_directory, store) = direct();
    store.writer.connection().pragma_update(None, "user_version", 99).unwrap();
    drop(store.writer);
    let before = fs::read(&store.file).unwrap();
    let error = opening_fails(&store.file);
    assert_eq!(error, StoreError::Newer { file: store.file.clone(), found: 99, supported: schema::LATEST });
    assert!(error.to_string().contains("update MeshChat"), "{error}");
    assert_eq!(fs::read(&store.file).unwrap(), before);
}

#[test]
fn rubbish_is_no_database() {
    let (_directory, mut store) = direct();
    store.execute_batch((0..100).map(|n| enqueue(n, 1000)).collect());
    drop(store.writer);
    let corrupt = StoreError::Corrupt { file: store.file.clone() };
    let mut bytes = fs::read(&store.file).unwrap();
    bytes[200..].fill(0xa5);
    fs::write(&store.file, &bytes).unwrap();
    assert_eq!(opening_fails(&store.file), corrupt);
    fs::write(&store.file, "hello".repeat(1000)).unwrap();
    assert_eq!(opening_fails(&store.file), corrupt);
    assert!(corrupt.to_string().contains("messages.db"), "{corrupt}");
    let directory = store.file.parent().unwrap();
    assert!(matches!(opening_fails(directory), StoreError::Failed { .. }));
    assert!(matches!(opening_fails(&store.file.join("x")), StoreError::Failed { .. }));
}

/// A database with some of everything, and its file's bytes.
fn rich_database() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let (_directory, mut store) = direct();
        let batches = random::batches().new_tree(&mut TestRunner::deterministic()).unwrap().current();
        random::check_same(&mut store, &mut MemoryStore::default(), batches).unwrap();
        store.execute_batch((0..400).flat_map(|n| [enqueue(1000 + n, 200), incoming(1000 + n)]).collect());
        store.writer.index();
        store.reopen();
        store.writer.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        fs::read(&store.file).unwrap()
    })
}

/// Everything that is done with a database, until it is found to be damaged.
fn use_all(file: &Path) -> Result<(), StoreError> {
    let mut writer = Writer::open(file, KeepHistory::Everything)?;
    let opened = writer.load()?;
    let limit = PageLimit { messages: usize::MAX, bytes: usize::MAX };
    let now = UnixTime::from_millis(1 << 40);
    let own = NodeId([9; 32]);
    let mut ops = vec![
        enqueue(1, 10),
        incoming(1),
        load_all(),
        StoreOp::LoadIncoming { after: 0, limit },
        StoreOp::LoadDeposits { peer: PEER, mailbox: own, after: 0, now, limit, token: 1 },
        StoreOp::LoadLetters { recipient: PEER, after: 0, limit, token: 2 },
        StoreOp::MarkRead { from: PEER, arrival: u64::MAX, receipt: message_id(2), now },
        StoreOp::Sweep { now },
    ];
    for status in [Status::Sent, Status::Delivered] {
        ops.push(StoreOp::SetStatus { to: PEER, ids: (0..2000).map(message_id).collect(), status });
    }
    ops.extend(opened.outboxes.backlog.iter().map(|peer| StoreOp::LoadOutbox {
        peer: *peer,
        after: 0,
        limit,
        token: 3,
    }));
    for op in ops {
        writer.execute(vec![Command::Op(op)], &unheard());
    }
    writer.index();
    writer.sweep();
    let reader = Reader::open(file)?.expect("a database of this version");
    for words in [vec![], vec!["x".to_owned()]] {
        reader.messages(&Wanted { words, limit: 10_000, max_bytes: 1 << 30, ..Wanted::default() })?;
    }
    reader.rooms()?;
    reader.peers().map(drop)
}

#[test]
fn what_is_not_damaged_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("messages.db");
    fs::write(&file, rich_database()).unwrap();
    assert_eq!(use_all(&file), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_damaged_database_is_an_error_at_most(flips in vec((any::<Index>(), 1u8..), 1..20)) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("messages.db");
        let mut bytes = rich_database().to_vec();
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        fs::write(&file, bytes).unwrap();
        let used = use_all(&file);
        let is_clear = matches!(used, Ok(()) | Err(StoreError::Corrupt { .. } | StoreError::Newer { .. }));
        prop_assert!(is_clear, "{used:?}");
    }
}

const VICTIM: &str = "MESHCHAT_TEST_STORE_OF_VICTIM";

/// In the child: writes as fast as it can and prints the id of everything that was answered.
fn be_killed(file: &Path) {
    let (store, _, replies) = open(file);
    for n in 0.. {
        store.submit(enqueue(n, 50)).unwrap();
        if n >= 50
            && let Ok(StoreReply::Enqueued { message, .. }) = replies.recv()
        {
            println!("\nstored {}", message.id);
        }
    }
}

#[test]
fn what_was_answered_survives_kill_9() {
    if let Some(file) = std::env::var_os(VICTIM) {
        return be_killed(Path::new(&file));
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("messages.db");
    let mut stored = Vec::new();
    for round in 0..3 {
        fs::remove_file(&file).ok();
        stored.clear();
        let mut child: Child = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", "driver::store::tests::what_was_answered_survives_kill_9", "--nocapture"])
            .env(VICTIM, &file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut killed = false;
        for line in lines {
            stored.extend(line.strip_prefix("stored ").and_then(|id| id.parse::<MessageId>().ok()));
            if stored.len() > 100 + 77 * round && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        child.wait().unwrap();
        let mut writer = Writer::open(&file, KeepHistory::Everything).unwrap();
        let found = loaded(&writer.execute(vec![Command::Op(load_all())], &unheard()));
        assert!(stored.len() > 100 && found.len() >= stored.len());
        assert_eq!(found[..stored.len()], stored[..]);
        drop(writer);
        for name in ["messages.db-wal", "messages.db-shm"] {
            fs::remove_file(directory.path().join(name)).ok();
        }
    }
}
