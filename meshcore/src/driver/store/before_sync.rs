//! The moment of a commit between its write and its sync.
//!
//! A commit appends pages to the write-ahead log, and then waits until the disk has them, which takes longer than all the rest. SQLite has
//! no hook there: so the log's file gets a copy of its methods that tells of a sync before it begins.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::ffi::{
    self, SQLITE_FCNTL_JOURNAL_POINTER, SQLITE_IOERR_CLOSE, SQLITE_IOERR_FSYNC, SQLITE_IOERR_WRITE,
    SQLITE_OK, sqlite3_file, sqlite3_int64, sqlite3_io_methods,
};

/// What [`BeforeSync::during`] lends to the methods.
struct Act(*mut (dyn FnMut() + Send));

// SAFETY: what it points to is `Send`, and is called under a lock.
unsafe impl Send for Act {}

/// The methods of the log's file, which holds a reference of its own to them.
#[repr(C)]
struct Methods {
    /// First: this is what SQLite sees of it.
    table: sqlite3_io_methods,
    original: sqlite3_io_methods,
    /// Pages were written since `act` was set. A log that begins anew has its header written and synced before them.
    any_page: AtomicBool,
    act: Mutex<Option<Act>>,
    #[cfg(test)]
    fails: AtomicBool,
}

/// Acts in the commits of one connection.
pub(super) struct BeforeSync(Option<Arc<Methods>>);

impl BeforeSync {
    /// For a connection that has begun to work. Without a write-ahead log, which not every file system allows, nothing is ever called.
    pub(super) fn install(connection: &Connection) -> rusqlite::Result<Self> {
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        if !mode.eq_ignore_ascii_case("wal") {
            return Ok(Self(None));
        }
        let mut file: *mut sqlite3_file = ptr::null_mut();
        // SAFETY: the handle is that of an open connection, and what this operation writes is one pointer to a file.
        let code = unsafe {
            let pointer = (&raw mut file).cast();
            ffi::sqlite3_file_control(connection.handle(), ptr::null(), SQLITE_FCNTL_JOURNAL_POINTER, pointer)
        };
        if code != SQLITE_OK {
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        }
        // SAFETY: the file belongs to the connection, which nobody else uses meanwhile; its methods are constants, if it is open.
        let Some((file, original)) = (unsafe {
            file.as_mut().and_then(|file| file.pMethods.as_ref().map(|original| (file, *original)))
        }) else {
            return Ok(Self(None));
        };
        let ours =
            sqlite3_io_methods { xClose: Some(close), xWrite: Some(write), xSync: Some(sync), ..original };
        let methods = Arc::new(Methods {
            table: ours,
            original,
            any_page: AtomicBool::new(false),
            act: Mutex::new(None),
            #[cfg(test)]
            fails: AtomicBool::new(false),
        });
        file.pMethods = Arc::into_raw(methods.clone()).cast();
        Ok(Self(Some(methods)))
    }

    /// Runs `commit`; once its pages are written, and before they are synced, `act`. What writes no page does not act.
    pub(super) fn during<R>(&self, mut act: impl FnMut() + Send, commit: impl FnOnce() -> R) -> R {
        let Some(methods) = &self.0 else { return commit() };
        let act: *mut (dyn FnMut() + Send + '_) = &raw mut act;
        // SAFETY: only the lifetime changes, and the pointer is taken back before `act` ends.
        let act = Act(unsafe {
            std::mem::transmute::<*mut (dyn FnMut() + Send + '_), *mut (dyn FnMut() + Send)>(act)
        });
        methods.any_page.store(false, Relaxed);
        *methods.act.lock() = Some(act);
        let _disarm = Disarm(methods);
        commit()
    }

    /// The next sync fails.
    #[cfg(test)]
    pub(super) fn fail(&self) {
        self.0.as_ref().unwrap().fails.store(true, Relaxed);
    }
}

struct Disarm<'a>(&'a Methods);

impl Drop for Disarm<'_> {
    fn drop(&mut self) {
        *self.0.act.lock() = None;
    }
}

/// # Safety
/// `file` has methods of this kind.
unsafe fn methods<'a>(file: *mut sqlite3_file) -> &'a Methods {
    // SAFETY: see above; the file keeps them until it is closed.
    unsafe { &*(*file).pMethods.cast::<Methods>() }
}

/// # Safety
/// For SQLite, with the file that these methods were given to.
unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    data: *const c_void,
    len: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: see above.
    let methods = unsafe { methods(file) };
    if offset > 0 {
        methods.any_page.store(true, Relaxed);
    }
    // SAFETY: the arguments are passed on as they came.
    methods.original.xWrite.map_or(SQLITE_IOERR_WRITE, |write| unsafe { write(file, data, len, offset) })
}

/// # Safety
/// For SQLite, with the file that these methods were given to.
unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: see above.
    let methods = unsafe { methods(file) };
    if methods.any_page.load(Relaxed) {
        let mut act = methods.act.lock();
        if let Some(Act(act)) = act.take() {
            // SAFETY: `during` lends it until the commit, which this belongs to, has ended; and to take it back it needs the lock.
            unsafe { (*act)() };
        }
    }
    #[cfg(test)]
    if methods.fails.swap(false, Relaxed) {
        return SQLITE_IOERR_FSYNC;
    }
    // SAFETY: the arguments are passed on as they came.
    methods.original.xSync.map_or(SQLITE_IOERR_FSYNC, |sync| unsafe { sync(file, flags) })
}

/// # Safety
/// For SQLite, with the file that these methods were given to.
unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: `install` has made the pointer of an `Arc`, and nobody uses it after this.
    let methods = unsafe { Arc::from_raw((*file).pMethods.cast::<Methods>()) };
    // SAFETY: the argument is passed on as it came.
    methods.original.xClose.map_or(SQLITE_IOERR_CLOSE, |close| unsafe { close(file) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect() -> (tempfile::TempDir, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let connection = Connection::open(directory.path().join("test.db")).unwrap();
        let begin = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE numbers (n INTEGER);";
        connection.execute_batch(begin).unwrap();
        (directory, connection)
    }

    #[test]
    fn each_commit_acts_once_after_its_write_and_before_others_see_it() {
        let (directory, connection) = connect();
        let before_sync = BeforeSync::install(&connection).unwrap();
        let other = Mutex::new(Connection::open(directory.path().join("test.db")).unwrap());
        let seen = || -> u32 {
            other.lock().query_row("SELECT count(*) FROM numbers", [], |row| row.get(0)).unwrap()
        };
        let log_len = || directory.path().join("test.db-wal").metadata().unwrap().len();
        for n in 0..20 {
            // Now and then the log begins anew.
            if n % 5 == 4 {
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            }
            let (mut acts, before) = (0, log_len());
            let act = || {
                acts += 1;
                assert!(log_len() >= before + 4096, "the page is written");
                assert_eq!(seen(), n, "nobody sees it yet");
            };
            before_sync.during(act, || connection.execute("INSERT INTO numbers VALUES (?)", [n])).unwrap();
            assert_eq!((acts, seen()), (1, n + 1));
        }
        let nothing = || panic!("nothing is written");
        before_sync.during(nothing, || connection.execute("DELETE FROM numbers WHERE n = 99", [])).unwrap();
        connection.execute("DELETE FROM numbers", []).unwrap();
    }

    #[test]
    fn what_cannot_be_synced_is_not_committed() {
        let (_directory, connection) = connect();
        let before_sync = BeforeSync::install(&connection).unwrap();
        before_sync.fail();
        let mut acts = 0;
        let insert = || connection.execute("INSERT INTO numbers VALUES (1)", []);
        assert!(before_sync.during(|| acts += 1, insert).is_err());
        assert_eq!(acts, 1);
        let count: u32 = connection.query_row("SELECT count(*) FROM numbers", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 0);
        before_sync.during(|| acts += 1, insert).unwrap();
        assert_eq!(acts, 2);
    }

    #[test]
    fn without_a_log_nothing_is_called() {
        let connection = Connection::open_in_memory().unwrap();
        let before_sync = BeforeSync::install(&connection).unwrap();
        let create = || connection.execute_batch("CREATE TABLE numbers (n INTEGER)");
        before_sync.during(|| panic!("no log"), create).unwrap();
    }
}
