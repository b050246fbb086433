use std::os::unix::fs::MetadataExt;

use super::*;
use crate::driver::store::KeepHistory;
use crate::message::SessionId;
use crate::message::store::{Content, Origin, ReceivedMessage, StoreOp};

const PEER: NodeId = NodeId([1; 32]);

/// A home with messages, and its store, which goes on.
fn home_with(texts: &[&str]) -> (tempfile::TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let (sender, replies) = std::sync::mpsc::channel();
    let deliver = Box::new(move |batch: Vec<_>| sender.send(batch.len()).unwrap_or(()));
    let file = super::super::home::database(home.path());
    let (store, _) = Store::open(&file, KeepHistory::Everything, deliver).unwrap();
    for (n, text) in (0..).zip(texts) {
        let at = UnixTime::from_millis(n);
        let message = ReceivedMessage {
            id: MessageId([n as u8; 16]),
            content: Content::Text((*text).into()),
            sent_at: at,
            received_at: at,
        };
        let origin = Origin::Session(SessionId(1));
        let op = StoreOp::StoreIncoming {
            origin,
            from: PEER,
            to: NodeId([9; 32]),
            messages: vec![message],
            receipt: None,
        };
        store.submit(op).unwrap();
    }
    let mut answered = 0;
    while answered < texts.len() {
        answered += replies.recv().unwrap();
    }
    (home, store)
}

fn open(home: &Path) -> Result<History, Error> {
    History::open(Some(home))
}

fn texts(history: &mut History, query: HistoryQuery) -> Vec<String> {
    history.page(&query).unwrap().entries.into_iter().map(|entry| entry.text).collect()
}

#[test]
fn it_is_read_beside_the_node_and_without_one() {
    let (home, store) = home_with(&["one", "two"]);
    let mut history = open(home.path()).unwrap();
    assert_eq!(texts(&mut history, HistoryQuery::default()), ["one", "two"]);
    store.close();
    let mut history = open(home.path()).unwrap();
    assert_eq!(texts(&mut history, HistoryQuery::default().search("TW")), ["two"]);
}

#[test]
fn names_are_those_of_the_directory() {
    let (home, store) = home_with(&["one"]);
    let peer = StoredPeer {
        nickname: Some("anna".parse().unwrap()),
        ties: crate::message::directory::Ties::Own,
        ..StoredPeer::new(PEER, vec![], UnixTime::default())
    };
    store.submit(StoreOp::SavePeer(peer)).unwrap();
    store.close();
    let mut history = open(home.path()).unwrap();
    let entry = history.page(&HistoryQuery::default()).unwrap().entries.remove(0);
    assert_eq!(entry.nickname.unwrap().as_str(), "anna");
    assert_eq!(history.resolve("anna").unwrap(), PEER);
    assert_eq!(history.resolve("ann").unwrap_err().kind(), ErrorKind::UnknownNode);
    assert_eq!(history.resolve(&NodeId([9; 32]).to_string()).unwrap(), NodeId([9; 32]));
}

#[test]
fn queries_that_make_no_sense_say_so() {
    let (home, _store) = home_with(&["one"]);
    let mut history = open(home.path()).unwrap();
    let many = "word ".repeat(MAX_WORDS + 1);
    let long = "x".repeat(MAX_SEARCH + 1);
    for (search, says) in
        [("", "a letter"), (" \t\0", "a letter"), ("?! 😀", "a letter"), (&many, "32"), (&long, "1024")]
    {
        let error = history.page(&HistoryQuery::default().search(search)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(says), "{error}");
    }
    for limit in [0, HistoryQuery::MAX_LIMIT + 1] {
        let error = history.page(&HistoryQuery::default().limit(limit)).unwrap_err();
        assert!(error.to_string().contains("1 to 1000"), "{error}");
    }
    assert_eq!(
        texts(&mut history, HistoryQuery::default().search("on\0 ?!")),
        ["one"],
        "what means nothing is left out"
    );
}

#[test]
fn a_home_without_a_database_is_told_apart_from_an_empty_one() {
    let home = tempfile::tempdir().unwrap();
    let error = open(home.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().contains("no node has run"), "{error}");
    assert!(open(&home.path().join("nowhere")).is_err());
    assert!(!home.path().join("messages.db").exists(), "reading makes nothing");
    let (home, store) = home_with(&[]);
    store.close();
    assert_eq!(texts(&mut open(home.path()).unwrap(), HistoryQuery::default()), [""; 0]);
}

#[test]
fn files_that_reading_makes_are_private() {
    let (home, store) = home_with(&["one"]);
    store.close();
    let mut history = open(home.path()).unwrap();
    assert_eq!(texts(&mut history, HistoryQuery::default()), ["one"]);
    for entry in home.path().read_dir().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
}
