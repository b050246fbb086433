use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::driver::store::reader::{Reader, Wanted};
use crate::driver::store::{connect, schema};

fn database() -> (TempDir, Connection, Reader) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("messages.db");
    let mut connection = connect(&file).unwrap();
    schema::prepare(&mut connection, &file).unwrap();
    let reader = Reader::open(&file).unwrap().unwrap();
    (directory, connection, reader)
}

/// Messages with the words "word" and "number" followed by a number.
fn fill(connection: &Connection, numbers: std::ops::Range<usize>, word: &str) {
    connection.execute_batch("BEGIN").unwrap();
    for number in numbers {
        let (id, text) = ((number as u64).to_be_bytes(), format!("{word} number{number}"));
        let sql = "INSERT INTO incoming (sender, id, text, sent, received) VALUES (zeroblob(32), ?, ?, 0, 0)";
        connection.execute(sql, params![[id, id].concat(), text]).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
}

fn indexed(connection: &Connection) -> i64 {
    connection.query_row("SELECT value FROM meta WHERE key = 'indexed'", [], |row| row.get(0)).unwrap()
}

fn found(reader: &Reader, word: &str, (before, after): (Option<u64>, Option<u64>)) -> Vec<u64> {
    let wanted =
        Wanted { words: vec![word.into()], before, after, limit: 4, max_bytes: 1 << 20, ..Wanted::default() };
    reader.messages(&wanted).unwrap().0.iter().map(|message| message.position).collect()
}

fn check(connection: &Connection) {
    connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 0)", []).unwrap();
}

#[test]
fn what_is_not_indexed_is_found_all_the_same() {
    let (_directory, mut connection, reader) = database();
    fill(&connection, 1..4, "word");
    assert_eq!(indexed(&connection), 0);
    assert_eq!(found(&reader, "word", (None, None)), [1, 2, 3]);
    Indexer::open(&connection).unwrap().step(&mut connection).unwrap();
    assert_eq!(indexed(&connection), 3);
    assert_eq!(found(&reader, "word", (None, None)), [1, 2, 3]);
    fill(&connection, 4..7, "word");
    assert_eq!(indexed(&connection), 3);
    assert_eq!(found(&reader, "word", (None, None)), [3, 4, 5, 6], "the newest, of both");
    assert_eq!(found(&reader, "word", (Some(5), None)), [1, 2, 3, 4]);
    assert_eq!(found(&reader, "word", (None, Some(1))), [2, 3, 4, 5], "the oldest, of both");
    assert_eq!(found(&reader, "number2", (None, None)), [2]);
    assert_eq!(found(&reader, "number6", (None, None)), [6]);
    assert_eq!(found(&reader, "number9", (None, None)), [0; 0]);
}

#[test]
fn what_is_forgotten_is_not_found_indexed_or_not() {
    let (_directory, mut connection, reader) = database();
    fill(&connection, 1..4, "word");
    let mut indexer = Indexer::open(&connection).unwrap();
    indexer.step(&mut connection).unwrap();
    fill(&connection, 4..7, "word");
    connection.execute("DELETE FROM history WHERE position IN (2, 5)", []).unwrap();
    assert_eq!(found(&reader, "word", (None, Some(0))), [1, 3, 4, 6]);
    indexer.step(&mut connection).unwrap();
    assert_eq!(indexed(&connection), 6);
    assert_eq!(found(&reader, "word", (None, Some(0))), [1, 3, 4, 6]);
    check(&connection);
}

#[test]
fn enough_make_it_due_and_a_step_is_bounded() {
    let (_directory, mut connection, _reader) = database();
    fill(&connection, 0..2 * MISSING.0 + 7, "word");
    let mut indexer = Indexer::open(&connection).unwrap();
    assert_eq!((indexer.missing.0, indexer.is_due()), (2 * MISSING.0 + 7, true));
    for (step, due) in [(1, true), (2, false)] {
        indexer.step(&mut connection).unwrap();
        assert_eq!((indexed(&connection), indexer.is_due()), ((step * MISSING.0) as i64, due));
    }
    indexer.step(&mut connection).unwrap();
    assert_eq!((indexed(&connection), indexer.missing), (2 * MISSING.0 as i64 + 7, (0, 0)));
    // Long ones are fewer.
    fill(&connection, 10_000..10_004, &"long ".repeat(MISSING.1 / 10));
    let mut indexer = Indexer::open(&connection).unwrap();
    assert!(indexer.is_due());
    indexer.step(&mut connection).unwrap();
    assert_eq!(indexed(&connection), 2 * MISSING.0 as i64 + 7 + 2);
    check(&connection);
}

#[test]
fn a_step_that_fails_changes_nothing() {
    let (_directory, mut connection, reader) = database();
    fill(&connection, 1..4, "word");
    let fails = "CREATE TEMP TRIGGER full BEFORE UPDATE ON main.meta BEGIN SELECT RAISE(FAIL, 'full'); END";
    connection.execute_batch(fails).unwrap();
    let mut indexer = Indexer::open(&connection).unwrap();
    assert!(indexer.step(&mut connection).is_err());
    assert_eq!((indexed(&connection), found(&reader, "word", (None, None))), (0, vec![1, 2, 3]));
    connection.execute_batch("DROP TRIGGER full").unwrap();
    indexer.step(&mut connection).unwrap();
    assert_eq!((indexed(&connection), found(&reader, "word", (None, None))), (3, vec![1, 2, 3]));
    check(&connection);
}
