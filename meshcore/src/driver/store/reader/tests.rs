use proptest::prelude::*;
use rusqlite::params;

use super::*;
use crate::driver::store::{connect, schema};

/// A database of messages, alternately from and to the node 1, and some from node 2.
fn database(texts: &[&str]) -> (tempfile::TempDir, Connection, Reader) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("messages.db");
    let mut connection = connect(&file).unwrap();
    schema::prepare(&mut connection, &file).unwrap();
    for (n, text) in (1u8..).zip(texts) {
        let incoming = "INSERT INTO incoming (sender, id, text, sent, received) VALUES (?1, ?2, ?3, 5, ?4)";
        let outgoing = "INSERT INTO outgoing (peer, id, text, created, status) VALUES (?1, ?2, ?3, ?4, 10)";
        let sql = if n % 2 == 1 { incoming } else { outgoing };
        let peer: u8 = if n % 5 == 0 { 2 } else { 1 };
        connection.execute(sql, params![[peer; 32], [n; 16], text, i64::from(n) * 100]).unwrap();
    }
    let reader = Reader::open(&file).unwrap().unwrap();
    (directory, connection, reader)
}

fn wanted() -> Wanted {
    Wanted { limit: 100, max_bytes: 1 << 20, ..Wanted::default() }
}

fn positions(reader: &Reader, wanted: &Wanted) -> (Vec<u64>, bool) {
    let (found, more) = reader.messages(wanted).unwrap();
    (found.iter().map(|message| message.position).collect(), more)
}

fn words(words: &[&str]) -> Wanted {
    Wanted { words: words.iter().map(|word| (*word).to_owned()).collect(), ..wanted() }
}

#[test]
fn messages_of_both_directions_in_their_order() {
    let (_directory, _connection, reader) = database(&["one", "two"]);
    let (found, more) = reader.messages(&wanted()).unwrap();
    let time = UnixTime::from_millis;
    let first = Found {
        position: 1,
        peer: NodeId([1; 32]),
        room: None,
        id: MessageId([1; 16]),
        text: "one".into(),
        sent_at: time(5),
        received_at: Some(time(100)),
        status: None,
    };
    let second = Found {
        position: 2,
        id: MessageId([2; 16]),
        text: "two".into(),
        sent_at: time(200),
        received_at: None,
        status: Some(Status::Sent),
        ..first.clone()
    };
    assert_eq!((found, more), (vec![first, second], false));
}

#[test]
fn pages() {
    let (_directory, _connection, reader) = database(&["x"; 10]);
    let page = |before, after, limit| positions(&reader, &Wanted { before, after, limit, ..wanted() });
    assert_eq!(page(None, None, 3), (vec![8, 9, 10], true));
    assert_eq!(page(Some(8), None, 3), (vec![5, 6, 7], true));
    assert_eq!(page(Some(3), None, 3), (vec![1, 2], false));
    assert_eq!(page(Some(1), None, 3), (vec![], false));
    assert_eq!(page(None, Some(0), 3), (vec![1, 2, 3], true));
    assert_eq!(page(None, Some(8), 3), (vec![9, 10], false));
    assert_eq!(page(Some(6), Some(2), 2), (vec![3, 4], true));
    assert_eq!(page(Some(u64::MAX), Some(9), 100), (vec![10], false));
    let bytes = Wanted { max_bytes: 2, ..wanted() };
    assert_eq!(positions(&reader, &bytes), (vec![9, 10], true));
    assert_eq!(positions(&reader, &Wanted { max_bytes: 0, ..wanted() }), (vec![10], true), "one always fits");
}

#[test]
fn by_node_and_time() {
    let (_directory, _connection, reader) = database(&["x"; 10]);
    let with = Wanted { with: Some(NodeId([2; 32])), ..wanted() };
    assert_eq!(positions(&reader, &with), (vec![5, 10], false));
    let time = |millis| Some(UnixTime::from_millis(millis));
    let between = Wanted { since: time(300), until: time(500), ..wanted() };
    assert_eq!(positions(&reader, &between), (vec![3, 4], false));
    let both = Wanted { with: Some(NodeId([1; 32])), since: time(900), ..wanted() };
    assert_eq!(positions(&reader, &both), (vec![9], false));
}

#[test]
fn rooms_are_conversations_of_their_own() {
    let (_directory, connection, reader) = database(&["one", "two"]);
    let room = RoomId([9; 16]);
    for (peer, status) in [(1u8, 30), (2, 20), (3, 40)] {
        let sql = "INSERT INTO outgoing (id, peer, text, created, status, kind, room, version)
                   VALUES (?1, ?2, 'to all', 900, ?3, 5, ?4, 1)";
        connection.execute(sql, params![[8u8; 16], [peer; 32], status, room.0]).unwrap();
    }
    let sql = "INSERT INTO incoming (sender, id, text, sent, received, room) VALUES (?1, ?2, 'from one', 5, 950, ?3)";
    connection.execute(sql, params![[1u8; 32], [7u8; 16], room.0]).unwrap();
    assert_eq!(positions(&reader, &wanted()), (vec![1, 2, 3, 4], false));
    let with = Wanted { with: Some(NodeId([1; 32])), ..wanted() };
    assert_eq!(positions(&reader, &with), (vec![1, 2], false), "to that node alone");
    let (found, _) = reader.messages(&Wanted { room: Some(room), ..wanted() }).unwrap();
    let seen: Vec<_> =
        found.iter().map(|message| (message.peer.0[0], message.room, message.status)).collect();
    assert_eq!(seen, [(1, Some(room), Some(Status::Stored)), (1, Some(room), None)]);
    assert_eq!(positions(&reader, &words(&["all"])), (vec![3], false));
}

#[test]
fn words_are_found_whatever_their_case_and_accents() {
    let texts = ["Sejdeme se u řeky", "ok: foo-bar", "REKA \"quoted\"", "nul\0behind", "Řeka, reka"];
    let (_directory, _connection, reader) = database(&texts);
    let found = |list: &[&str]| positions(&reader, &words(list)).0;
    assert_eq!(found(&["rek"]), [1, 3, 5], "the beginning of a word is enough");
    assert_eq!(found(&["REKA"]), [3, 5]);
    assert_eq!(found(&["u", "sejdeme"]), [1], "all words, in any order");
    assert_eq!(found(&["foo-bar"]), [2]);
    assert_eq!(found(&["bar-foo"]), [0; 0]);
    assert_eq!(found(&["\"quoted\""]), [3]);
    assert_eq!(found(&["behind"]), [4]);
    let page = Wanted { after: Some(1), with: Some(NodeId([1; 32])), ..words(&["reka"]) };
    assert_eq!(positions(&reader, &page), (vec![3], false));
    let page = Wanted { before: Some(5), limit: 1, ..words(&["reka"]) };
    assert_eq!(positions(&reader, &page), (vec![3], false));
}

#[test]
fn what_is_syntax_elsewhere_is_only_text_here() {
    let (_directory, _connection, reader) = database(&["and or not near text"]);
    for word in ["AND", "OR", "NOT", "NEAR(", "text:", "-text", "^text", "te*", "text)", "'text", "\"text"] {
        assert!(reader.messages(&words(&[word])).is_ok(), "{word}");
    }
    assert_eq!(positions(&reader, &words(&["and", "OR", "text:"])).0, [1]);
}

#[test]
fn it_reads_while_another_writes_and_cannot_write() {
    let (_directory, connection, reader) = database(&["x"]);
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let sql = "INSERT INTO outgoing (peer, id, text, created, status) VALUES (zeroblob(32), zeroblob(16), 'new', 0, 0)";
    connection.execute(sql, []).unwrap();
    assert_eq!(positions(&reader, &wanted()).0, [1]);
    connection.execute_batch("COMMIT").unwrap();
    assert_eq!(positions(&reader, &wanted()).0, [1, 2]);
    assert!(reader.connection.execute("DELETE FROM history", []).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_word_is_a_syntax_error(word in "[^\\x00\\s]{1,40}") {
        let (_directory, _connection, reader) = shared();
        prop_assert!(reader.messages(&words(&[&word])).is_ok());
    }
}

fn shared() -> (tempfile::TempDir, Connection, Reader) {
    database(&["one", "two"])
}
