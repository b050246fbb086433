use std::fs;

use rusqlite::types::Value;
use rusqlite::{Params, StatementStatus};
use tempfile::TempDir;

use super::*;
use crate::driver::store::connect;
use crate::driver::store::writer::incoming::WRITTEN_BEFORE;
use crate::driver::store::writer::outgoing::DEPOSITS;
use crate::message::store::READ_LIFE;

/// A database as version 1 left it, written by SQLite 3 with that version's own statements.
const VERSION_1: &[u8] = include_bytes!("../../../../tests/databases/version-1.db");

fn file_of(bytes: &[u8]) -> (TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("messages.db");
    fs::write(&file, bytes).unwrap();
    (directory, file)
}

fn rows(connection: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| (0..columns).map(|column| row.get(column)).collect();
    statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
}

fn numbers(connection: &Connection, sql: &str) -> Vec<i64> {
    let number = |row: Vec<Value>| if let Value::Integer(n) = row[0] { n } else { panic!("{row:?}") };
    rows(connection, sql).into_iter().map(number).collect()
}

/// What every version has kept, as version 1 kept it.
fn contents(connection: &Connection) -> Vec<Vec<Vec<Value>>> {
    let tables = [
        "SELECT key, value FROM meta WHERE key <> 'indexed' ORDER BY key",
        "SELECT id, record, first_seen, last_seen FROM peers ORDER BY id",
        "SELECT seq, id, peer, text, created, status FROM outgoing ORDER BY seq",
        "SELECT arrival, sender, id, text, sent, received FROM incoming ORDER BY arrival",
        "SELECT seq FROM sqlite_sequence WHERE name IN ('incoming', 'outgoing') ORDER BY name",
    ];
    tables.map(|sql| rows(connection, sql)).to_vec()
}

fn integrity(connection: &Connection) {
    let whole = rows(connection, "PRAGMA integrity_check");
    assert_eq!(whole, [[Value::Text("ok".into())]]);
}

/// The database of version 1, brought up to `version` by the steps of that version's program.
fn database_of(version: u32) -> (TempDir, std::path::PathBuf) {
    let (directory, file) = file_of(VERSION_1);
    let mut connection = connect(&file).unwrap();
    upgrade(&mut connection, &file, &MIGRATIONS[..version as usize]).unwrap();
    assert_eq!(super::version(&connection, &file), Ok(version));
    (directory, file)
}

#[test]
fn the_first_step_makes_what_version_1_had() {
    let (_directory, file) = file_of(VERSION_1);
    let released = Connection::open(file).unwrap();
    let made = Connection::open_in_memory().unwrap();
    made.execute_batch(MIGRATIONS[0]).unwrap();
    let schema = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name";
    let tidy = |connection: &Connection| format!("{:?}", rows(connection, schema)).replace("    ", "");
    assert_eq!(tidy(&made), tidy(&released));
}

#[test]
fn every_version_becomes_the_latest_and_loses_nothing() {
    let (_directory, file) = file_of(VERSION_1);
    let before = contents(&Connection::open(&file).unwrap());
    assert_eq!(
        before.iter().map(Vec::len).collect::<Vec<_>>(),
        [2, 3, 3, 3, 2],
        "the fixture has everything"
    );
    for version in 1..=LATEST {
        let (_directory, file) = database_of(version);
        let mut connection = connect(&file).unwrap();
        prepare(&mut connection, &file).unwrap();
        assert_eq!(super::version(&connection, &file), Ok(LATEST), "from {version}");
        assert_eq!(contents(&connection), before, "from {version}");
        integrity(&connection);
        // A second time nothing happens.
        prepare(&mut connection, &file).unwrap();
        assert_eq!(contents(&connection), before, "from {version}");
    }
}

#[test]
fn messages_of_version_1_are_in_the_history() {
    let (_directory, file) = database_of(LATEST);
    let connection = Connection::open(&file).unwrap();
    let times = numbers(&connection, "SELECT time FROM history ORDER BY position");
    assert_eq!(times, [110, 150, 210, 250, 310, 400]);
    let found = |word: &str| {
        numbers(&connection, &format!("SELECT rowid FROM words WHERE words MATCH '{word}' ORDER BY rowid"))
    };
    assert_eq!((found("rano"), found("answer"), found("morning OR queued")), (vec![3], vec![2], vec![1, 6]));
    // Later ones follow.
    let sql =
        "INSERT INTO outgoing (id, peer, text, created, status) VALUES (x'99', x'01', 'afterwards', 0, 0)";
    connection.execute(sql, []).unwrap();
    assert_eq!(numbers(&connection, "SELECT position FROM history WHERE seq = 4"), [7]);
    assert_eq!(numbers(&connection, "SELECT value FROM meta WHERE key = 'indexed'"), [6]);
}

#[test]
fn of_version_3_only_texts_are_history_and_only_texts_make_contacts() {
    let (_directory, file) = database_of(3);
    let mut connection = connect(&file).unwrap();
    // A receipt that waits, one that was not forgotten yet, a text with a copy, one that was given up; a message that waits
    // for another one, one that was not read, and a letter.
    connection
        .execute_batch(
            "INSERT INTO outgoing (id, peer, text, created, status, kind, content, expires) VALUES
                (x'a1', x'77', '', 500, 0, 2, x'81', NULL), (x'a2', x'77', '', 501, 30, 3, x'81', NULL),
                (x'a3', x'78', 'stored words', 502, 20, 1, NULL, NULL),
                (x'a4', x'79', 'expired words', 503, 25, 1, NULL, 900);
             INSERT INTO copies SELECT seq, x'66', 9000 FROM outgoing WHERE id = x'a3';
             INSERT INTO told SELECT x'77', x'b1', seq FROM outgoing WHERE id = x'a1';
             INSERT INTO held (sender, follows, id, text, sent, received) VALUES (x'77', x'b0', x'b2', 'held words', 1, 2);
             INSERT INTO incoming (sender, id, text, sent, received) VALUES (x'77', x'b1', 'unread words', 504, 504);
             INSERT INTO letters (recipient, sender, id, expires, envelope) VALUES (x'55', x'77', x'c1', 9000, x'00');
             INSERT INTO peers VALUES (x'77', x'01', 1, 2), (x'78', x'01', 1, 2);",
        )
        .unwrap();
    let tables = ["outgoing", "incoming", "copies", "told", "held", "letters", "letter_sizes", "files"];
    // Later steps may add columns.
    let columns = tables.map(|table| {
        let sql = format!("SELECT group_concat(name) FROM pragma_table_info('{table}')");
        connection.query_row(&sql, [], |row| row.get::<_, String>(0)).unwrap()
    });
    let selects =
        || tables.iter().zip(&columns).map(|(table, columns)| format!("SELECT {columns} FROM {table}"));
    let all = |connection: &Connection| selects().map(|sql| rows(connection, &sql)).collect::<Vec<_>>();
    let before = all(&connection);
    prepare(&mut connection, &file).unwrap();
    assert_eq!(super::version(&connection, &file), Ok(LATEST));
    assert_eq!(all(&connection), before);
    let found = |word: &str| {
        let sql = "SELECT time FROM words JOIN history ON position = words.rowid WHERE words MATCH";
        numbers(&connection, &format!("{sql} '{word}' ORDER BY 1"))
    };
    assert_eq!(found("words"), [502, 503, 504]);
    assert_eq!(numbers(&connection, "SELECT count(*) FROM history WHERE time BETWEEN 500 AND 510"), [3]);
    assert_eq!(numbers(&connection, "SELECT bytes FROM held_sizes ORDER BY sender"), [10, 10]);
    assert_eq!(numbers(&connection, "SELECT ties FROM peers WHERE id IN (x'77', x'78') ORDER BY id"), [1, 2]);
    integrity(&connection);
}

#[test]
fn receipts_of_version_6_end() {
    let (_directory, file) = database_of(6);
    let mut connection = connect(&file).unwrap();
    let insert = "INSERT INTO outgoing (id, peer, text, created, status, kind, content) VALUES";
    let rows = "(x'b1', x'77', '', 500, 20, 3, x'81'), (x'b2', x'77', 'text', 500, 20, 1, NULL)";
    connection.execute(&format!("{insert} {rows}"), []).unwrap();
    prepare(&mut connection, &file).unwrap();
    let ends = |id: &str| format!("SELECT coalesce(expires, 0) FROM outgoing WHERE id = x'{id}'");
    assert_eq!(numbers(&connection, &ends("b1")), [500 + READ_LIFE.as_millis() as i64]);
    assert_eq!(numbers(&connection, &ends("b2")), [0]);
}

#[test]
fn nodes_of_version_1_are_trusted_as_seen() {
    let (_directory, file) = database_of(LATEST);
    let connection = Connection::open(&file).unwrap();
    assert_eq!(numbers(&connection, "SELECT trust FROM peers"), [0, 0, 0]);
    // The person has written to the first and the second; the third has written.
    assert_eq!(numbers(&connection, "SELECT ties FROM peers ORDER BY id"), [2, 2, 1]);
}

/// The rows that a query gives, and the steps that SQLite takes for it.
fn work(connection: &Connection, sql: &str, parameters: impl Params) -> (usize, i32) {
    let mut statement = connection.prepare(sql).unwrap();
    let count = statement.query_map(parameters, |_| Ok(())).unwrap().count();
    (count, statement.get_status(StatementStatus::VmStep))
}

#[test]
fn what_is_looked_up_with_each_message_is_not_searched_for() {
    let (_directory, file) = database_of(LATEST);
    let connection = connect(&file).unwrap();
    // Receipts, and texts with a lifetime: neither are followed by anything.
    for (peer, kind, content, expires) in
        [(1, 3, "x'81'", "NULL"), (2, 3, "x'81'", "900"), (3, 1, "NULL", "900")]
    {
        let sql = format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
             INSERT INTO outgoing (id, peer, text, created, status, kind, content, expires)
                SELECT randomblob(16), x'0{peer}', '', 0, 0, {kind}, {content}, {expires} FROM n"
        );
        connection.execute(&sql, []).unwrap();
        let last = numbers(&connection, "SELECT max(seq) FROM outgoing")[0];
        let (rows, steps) = work(&connection, DEPOSITS, ([peer as u8], last - 16, [9], 0));
        assert!(rows == 16 && steps < 1000, "kind {kind}: {steps} steps for {rows} rows");
    }
    connection
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1024)
             INSERT INTO held (sender, follows, id, text, sent, received)
                SELECT x'01', randomblob(16), randomblob(16), 'x', 1000 + i, 0 FROM n",
        )
        .unwrap();
    let (rows, steps) = work(&connection, WRITTEN_BEFORE, ([1u8], 1003));
    assert!(rows == 2 && steps < 100, "{steps} steps for {rows} rows");
}

#[test]
fn a_step_that_fails_leaves_the_version_before() {
    for done in 0..MIGRATIONS.len() {
        let (_directory, file) = match done {
            0 => file_of(b""),
            _ => database_of(done as u32),
        };
        let mut connection = connect(&file).unwrap();
        let before = rows(&connection, "SELECT name, sql FROM sqlite_schema ORDER BY name");
        // The step runs to its last statement and fails there.
        let broken = format!("{} INSERT INTO nowhere VALUES (1);", MIGRATIONS[done]);
        let mut steps = MIGRATIONS[..done].to_vec();
        steps.push(&broken);
        assert!(upgrade(&mut connection, &file, &steps).is_err());
        assert_eq!(super::version(&connection, &file), Ok(done as u32));
        assert_eq!(rows(&connection, "SELECT name, sql FROM sqlite_schema ORDER BY name"), before);
        drop(connection);
        // With the step mended it goes on.
        let mut connection = connect(&file).unwrap();
        prepare(&mut connection, &file).unwrap();
        assert_eq!(super::version(&connection, &file), Ok(LATEST));
        integrity(&connection);
    }
}

#[test]
fn a_later_version_is_refused_and_left_alone() {
    let (_directory, file) = database_of(LATEST);
    let connection = Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", LATEST + 1).unwrap();
    drop(connection);
    let before = fs::read(&file).unwrap();
    let mut connection = connect(&file).unwrap();
    let newer = StoreError::Newer { file: file.clone(), found: LATEST + 1, supported: LATEST };
    assert_eq!(prepare(&mut connection, &file), Err(newer));
    drop(connection);
    assert_eq!(fs::read(&file).unwrap(), before);
}
