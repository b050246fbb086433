use rusqlite::types::Value;
use tempfile::TempDir;

use super::*;
use crate::driver::store::index::Indexer;
use crate::driver::store::schema;

const SECOND: i64 = 1000;

fn database() -> (TempDir, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("messages.db");
    let mut connection = super::super::connect(&file).unwrap();
    schema::prepare(&mut connection, &file).unwrap();
    (directory, connection)
}

/// One message of each direction a second: from 1 to `count`.
fn fill(connection: &mut Connection, count: i64) {
    let transaction = connection.transaction().unwrap();
    for n in 1..=count {
        let text = format!("secret{n}");
        let row = params![[7u8; 32], n.to_be_bytes(), text, n * SECOND];
        let sql = "INSERT INTO incoming (sender, id, text, sent, received) VALUES (?1, ?2, ?3, ?4, ?4)";
        transaction.execute(sql, row).unwrap();
        let sql = "INSERT INTO outgoing (peer, id, text, created, status) VALUES (?1, ?2, ?3, ?4, 30)";
        transaction.execute(sql, row).unwrap();
    }
    transaction.commit().unwrap();
    index(connection);
}

fn index(connection: &mut Connection) {
    Indexer::open(connection).unwrap().step(connection).unwrap();
}

fn sweep(connection: &mut Connection, keep: KeepHistory, confirmed: u64, now: i64) -> usize {
    let mut sweeper = Sweeper::new(keep);
    for steps in 1.. {
        sweeper.step_at(connection, confirmed, now).unwrap();
        if sweeper.sweep.is_none() {
            return steps;
        }
    }
    unreachable!()
}

fn column(connection: &Connection, sql: &str) -> Vec<Value> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn numbers(connection: &Connection, sql: &str) -> Vec<i64> {
    let number = |value| if let Value::Integer(n) = value { n } else { panic!("{value:?}") };
    column(connection, sql).into_iter().map(number).collect()
}

fn found(connection: &Connection, word: &str) -> usize {
    let sql = "SELECT rowid FROM words WHERE words MATCH ?";
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([word], |row| row.get::<_, i64>(0)).unwrap().count()
}

#[test]
fn everything_stays_by_default() {
    let (_directory, mut connection) = database();
    fill(&mut connection, 10);
    sweep(&mut connection, KeepHistory::default(), 10, i64::MAX);
    assert_eq!(numbers(&connection, "SELECT count(*) FROM history"), [20]);
    assert_eq!(Sweeper::new(KeepHistory::Everything).wait(Instant::now()), None, "it never wakes the writer");
}

#[test]
fn what_is_too_old_goes_and_its_identity_stays() {
    let (_directory, mut connection) = database();
    fill(&mut connection, 10);
    sweep(&mut connection, KeepHistory::For(Duration::from_secs(4)), 10, 10 * SECOND);
    assert_eq!(numbers(&connection, "SELECT DISTINCT time / 1000 FROM history"), [6, 7, 8, 9, 10]);
    assert_eq!(numbers(&connection, "SELECT seq FROM outgoing"), [6, 7, 8, 9, 10]);
    assert_eq!(numbers(&connection, "SELECT arrival FROM incoming WHERE text <> ''"), [6, 7, 8, 9, 10]);
    assert_eq!(numbers(&connection, "SELECT sum(sent + received) FROM incoming WHERE arrival <= 5"), [0]);
    assert_eq!(
        numbers(&connection, "SELECT count(DISTINCT id) FROM incoming"),
        [10],
        "repetitions are known"
    );
    assert_eq!((found(&connection, "secret5"), found(&connection, "secret6")), (0, 2));
}

#[test]
fn the_newest_stay() {
    let (_directory, mut connection) = database();
    fill(&mut connection, 10);
    sweep(&mut connection, KeepHistory::Messages(3), 10, 10 * SECOND);
    assert_eq!(numbers(&connection, "SELECT position FROM history"), [18, 19, 20]);
    sweep(&mut connection, KeepHistory::Messages(0), 10, 10 * SECOND);
    assert_eq!(numbers(&connection, "SELECT count(*) FROM history"), [0]);
    sweep(&mut connection, KeepHistory::Messages(u64::MAX), 10, 10 * SECOND);
    // Numbers are never used again.
    fill_more(&connection);
    assert_eq!(numbers(&connection, "SELECT position FROM history"), [21]);
}

fn fill_more(connection: &Connection) {
    let sql = "INSERT INTO outgoing (peer, id, text, created, status) VALUES (x'00', x'00', 'x', 0, 30)";
    connection.execute(sql, []).unwrap();
}

#[test]
fn what_is_not_done_with_stays() {
    let (_directory, mut connection) = database();
    fill(&mut connection, 10);
    // Sent and stored ones are pending, one that was given up is not.
    let sql = "UPDATE outgoing SET status = CASE seq WHEN 4 THEN 10 WHEN 5 THEN 20 ELSE 25 END WHERE seq BETWEEN 4 AND 6";
    connection.execute(sql, []).unwrap();
    sweep(&mut connection, KeepHistory::Messages(0), 6, 10 * SECOND);
    assert_eq!(numbers(&connection, "SELECT seq FROM outgoing"), [4, 5]);
    assert_eq!(numbers(&connection, "SELECT arrival FROM incoming WHERE text <> ''"), [7, 8, 9, 10]);
}

#[test]
fn receipts_and_what_belongs_to_pending_messages_stay() {
    let (_directory, mut connection) = database();
    fill(&mut connection, 3);
    connection
        .execute_batch(
            "UPDATE outgoing SET status = 20 WHERE seq = 2;
             INSERT INTO outgoing (id, peer, text, created, status, kind, content)
                VALUES (x'aa', x'07', '', 4000, 0, 2, x'81'), (x'ab', x'07', '', 4000, 30, 3, x'81');
             INSERT INTO told VALUES (x'07', x'01', 4), (x'07', x'02', 5);
             INSERT INTO copies VALUES (1, x'09', 5), (2, x'09', 5), (4, x'09', 5);",
        )
        .unwrap();
    assert_eq!(numbers(&connection, "SELECT count(*) FROM history"), [6], "receipts are no history");
    sweep(&mut connection, KeepHistory::Messages(0), 3, 10 * SECOND);
    assert_eq!(numbers(&connection, "SELECT seq FROM outgoing"), [2, 4, 5]);
    assert_eq!(numbers(&connection, "SELECT seq FROM told"), [4, 5]);
    assert_eq!(numbers(&connection, "SELECT seq FROM copies"), [2, 4]);
}

#[test]
fn a_clock_that_was_wrong_keeps_only_its_own_messages() {
    let (_directory, mut connection) = database();
    fill(&mut connection, 10);
    connection.execute("UPDATE history SET time = 1000000 WHERE position = 3", []).unwrap();
    sweep(&mut connection, KeepHistory::For(Duration::from_secs(1)), 10, 10 * SECOND);
    assert_eq!(numbers(&connection, "SELECT position FROM history"), [3, 17, 18, 19, 20]);
}

#[test]
fn a_sweep_goes_in_small_steps() {
    let (_directory, mut connection) = database();
    fill(&mut connection, 2 * i64::from(STEP));
    assert_eq!(sweep(&mut connection, KeepHistory::Messages(1), u64::MAX, 0), 4);
    let mut sweeper = Sweeper::new(KeepHistory::Messages(0));
    assert!(sweeper.is_due(Instant::now()), "at the start");
    sweeper.step(&mut connection, 0).unwrap();
    let wait = sweeper.wait(Instant::now()).unwrap();
    assert!(wait > STEP_PAUSE && wait <= SWEEP_PAUSE, "{wait:?}");
}

#[test]
fn nothing_of_it_is_left_in_the_files() {
    let (directory, mut connection) = database();
    fill(&mut connection, 50);
    let sql = "INSERT INTO incoming (sender, id, text, sent, received) VALUES (x'07', x'08', ?, 0, 0)";
    connection.execute(sql, ["secret long ".repeat(2000)]).unwrap();
    index(&mut connection);
    let sweep = sweep(&mut connection, KeepHistory::Messages(0), u64::MAX, 0);
    assert_eq!(sweep, 1);
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let needle = b"secret";
        assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{}", path.display());
    }
}

#[test]
fn a_text_to_a_room_goes_with_all_its_copies_or_stays() {
    let (_directory, mut connection) = database();
    for (id, peer, status) in [(1u8, 1u8, 30), (1, 2, 40), (2, 1, 30), (2, 2, 20), (3, 1, 25)] {
        let sql = "INSERT INTO outgoing (id, peer, text, created, status, kind, room, version)
                   VALUES (?1, ?2, 'secret', ?3, ?4, 5, ?5, 1)";
        let row = params![[id; 16], [peer; 32], i64::from(id) * SECOND, status, [9u8; 16]];
        connection.execute(sql, row).unwrap();
    }
    connection
        .execute("INSERT INTO copies SELECT seq, x'66', 9000 FROM outgoing WHERE id = ?", [[1u8; 16]])
        .unwrap();
    index(&mut connection);
    assert_eq!(numbers(&connection, "SELECT seq FROM history"), [1, 3, 5], "one row for all copies");
    sweep(&mut connection, KeepHistory::For(Duration::ZERO), 10, 10 * SECOND);
    assert_eq!(numbers(&connection, "SELECT seq FROM history"), [3]);
    assert_eq!(numbers(&connection, "SELECT seq FROM outgoing"), [3, 4], "a copy of it waits");
    assert_eq!(numbers(&connection, "SELECT count(*) FROM copies"), [0]);
    assert_eq!(found(&connection, "secret"), 1);
}
