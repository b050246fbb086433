//! Status codes. Numbers are part of the ABI: never changed, never given to something else. Each group has room for
//! more; a program treats a code that it does not know like a failure.

use std::ffi::{CStr, c_char};

use meshcore::ErrorKind;

/// The call succeeded.
pub const MESHCHAT_OK: i32 = 0;

/// A pointer that must not be NULL is NULL.
pub const MESHCHAT_NULL_ARGUMENT: i32 = 1;
/// An argument makes no sense.
pub const MESHCHAT_INVALID_ARGUMENT: i32 = 2;
/// A text is not UTF-8.
pub const MESHCHAT_NOT_UTF8: i32 = 3;
/// A buffer is too small for the output; the text of the error tells the size that is needed.
pub const MESHCHAT_BUFFER_TOO_SMALL: i32 = 4;
/// An event of this type has no such value.
pub const MESHCHAT_WRONG_EVENT: i32 = 5;
/// The message is empty.
pub const MESHCHAT_EMPTY_MESSAGE: i32 = 6;
/// The message is longer than 1 MiB.
pub const MESHCHAT_MESSAGE_TOO_LONG: i32 = 7;

/// Nobody of that name or id is known.
pub const MESHCHAT_UNKNOWN_NODE: i32 = 20;
/// A name or the beginning of an id fits several nodes, or a nickname is used by several keys.
pub const MESHCHAT_AMBIGUOUS_NODE: i32 = 21;
/// There is no way to the node now.
pub const MESHCHAT_OUT_OF_REACH: i32 = 22;
/// No answer came in time.
pub const MESHCHAT_TIMED_OUT: i32 = 23;
/// Too much of this is under way: try again in a moment.
pub const MESHCHAT_BUSY: i32 = 24;
/// The stream is not open, or no more.
pub const MESHCHAT_STREAM_CLOSED: i32 = 25;
/// The other side takes no connection now.
pub const MESHCHAT_REFUSED: i32 = 26;
/// The connection is over.
pub const MESHCHAT_DISCONNECTED: i32 = 27;
/// The peer has given up this direction of the stream.
pub const MESHCHAT_STREAM_RESET: i32 = 28;
/// Not now: wait with `poll` on the descriptor of the object, then try again.
pub const MESHCHAT_WOULD_BLOCK: i32 = 29;

/// No file with this id is known.
pub const MESHCHAT_UNKNOWN_FILE: i32 = 30;

/// The person has blocked the node.
pub const MESHCHAT_BLOCKED: i32 = 31;

/// No room with this id or name is known.
pub const MESHCHAT_UNKNOWN_ROOM: i32 = 32;
/// The room does not allow it: this node is not its owner or no member, or the room is full or closed.
pub const MESHCHAT_ROOM_REFUSED: i32 = 33;

/// The home is in use by another running node.
pub const MESHCHAT_HOME_IN_USE: i32 = 40;
/// There is no key in the home, or no network key in the file.
pub const MESHCHAT_NO_KEY: i32 = 41;
/// There is a key in the home, or the file of the network key, already.
pub const MESHCHAT_KEY_EXISTS: i32 = 42;
/// The key file is readable by others.
pub const MESHCHAT_KEY_TOO_OPEN: i32 = 43;
/// The key file is not a key that can be used.
pub const MESHCHAT_KEY_CORRUPT: i32 = 44;
/// The key file is protected and no passphrase was given.
pub const MESHCHAT_PASSPHRASE_NEEDED: i32 = 45;
/// The passphrase is wrong.
pub const MESHCHAT_WRONG_PASSPHRASE: i32 = 46;

/// The disk or the database refuses: full, read-only, corrupt, of a newer version.
pub const MESHCHAT_STORAGE: i32 = 60;

/// No link could be opened.
pub const MESHCHAT_LINK: i32 = 80;
/// A link needs a privilege that this process lacks.
pub const MESHCHAT_PERMISSION: i32 = 81;

/// The node has been stopped.
pub const MESHCHAT_STOPPED: i32 = 100;

/// A defect of MeshChat.
pub const MESHCHAT_INTERNAL: i32 = 120;

/// Each status with its name and the error of the core that it stands for.
const STATUSES: &[(i32, &CStr, Option<ErrorKind>)] = &[
    (MESHCHAT_OK, c"MESHCHAT_OK", None),
    (MESHCHAT_NULL_ARGUMENT, c"MESHCHAT_NULL_ARGUMENT", None),
    (MESHCHAT_INVALID_ARGUMENT, c"MESHCHAT_INVALID_ARGUMENT", Some(ErrorKind::InvalidArgument)),
    (MESHCHAT_NOT_UTF8, c"MESHCHAT_NOT_UTF8", None),
    (MESHCHAT_BUFFER_TOO_SMALL, c"MESHCHAT_BUFFER_TOO_SMALL", None),
    (MESHCHAT_WRONG_EVENT, c"MESHCHAT_WRONG_EVENT", None),
    (MESHCHAT_EMPTY_MESSAGE, c"MESHCHAT_EMPTY_MESSAGE", Some(ErrorKind::EmptyMessage)),
    (MESHCHAT_MESSAGE_TOO_LONG, c"MESHCHAT_MESSAGE_TOO_LONG", Some(ErrorKind::MessageTooLong)),
    (MESHCHAT_UNKNOWN_NODE, c"MESHCHAT_UNKNOWN_NODE", Some(ErrorKind::UnknownNode)),
    (MESHCHAT_AMBIGUOUS_NODE, c"MESHCHAT_AMBIGUOUS_NODE", Some(ErrorKind::AmbiguousNode)),
    (MESHCHAT_OUT_OF_REACH, c"MESHCHAT_OUT_OF_REACH", Some(ErrorKind::OutOfReach)),
    (MESHCHAT_TIMED_OUT, c"MESHCHAT_TIMED_OUT", Some(ErrorKind::TimedOut)),
    (MESHCHAT_BUSY, c"MESHCHAT_BUSY", Some(ErrorKind::Busy)),
    (MESHCHAT_STREAM_CLOSED, c"MESHCHAT_STREAM_CLOSED", Some(ErrorKind::StreamClosed)),
    (MESHCHAT_REFUSED, c"MESHCHAT_REFUSED", Some(ErrorKind::Refused)),
    (MESHCHAT_DISCONNECTED, c"MESHCHAT_DISCONNECTED", Some(ErrorKind::Disconnected)),
    (MESHCHAT_STREAM_RESET, c"MESHCHAT_STREAM_RESET", None),
    (MESHCHAT_WOULD_BLOCK, c"MESHCHAT_WOULD_BLOCK", None),
    (MESHCHAT_UNKNOWN_FILE, c"MESHCHAT_UNKNOWN_FILE", Some(ErrorKind::UnknownFile)),
    (MESHCHAT_BLOCKED, c"MESHCHAT_BLOCKED", Some(ErrorKind::Blocked)),
    (MESHCHAT_UNKNOWN_ROOM, c"MESHCHAT_UNKNOWN_ROOM", Some(ErrorKind::UnknownRoom)),
    (MESHCHAT_ROOM_REFUSED, c"MESHCHAT_ROOM_REFUSED", Some(ErrorKind::Room)),
    (MESHCHAT_HOME_IN_USE, c"MESHCHAT_HOME_IN_USE", Some(ErrorKind::HomeInUse)),
    (MESHCHAT_NO_KEY, c"MESHCHAT_NO_KEY", Some(ErrorKind::NoKey)),
    (MESHCHAT_KEY_EXISTS, c"MESHCHAT_KEY_EXISTS", Some(ErrorKind::KeyExists)),
    (MESHCHAT_KEY_TOO_OPEN, c"MESHCHAT_KEY_TOO_OPEN", Some(ErrorKind::KeyTooOpen)),
    (MESHCHAT_KEY_CORRUPT, c"MESHCHAT_KEY_CORRUPT", Some(ErrorKind::KeyCorrupt)),
    (MESHCHAT_PASSPHRASE_NEEDED, c"MESHCHAT_PASSPHRASE_NEEDED", Some(ErrorKind::PassphraseNeeded)),
    (MESHCHAT_WRONG_PASSPHRASE, c"MESHCHAT_WRONG_PASSPHRASE", Some(ErrorKind::WrongPassphrase)),
    (MESHCHAT_STORAGE, c"MESHCHAT_STORAGE", Some(ErrorKind::Storage)),
    (MESHCHAT_LINK, c"MESHCHAT_LINK", Some(ErrorKind::Link)),
    (MESHCHAT_PERMISSION, c"MESHCHAT_PERMISSION", Some(ErrorKind::Permission)),
    (MESHCHAT_STOPPED, c"MESHCHAT_STOPPED", Some(ErrorKind::Stopped)),
    (MESHCHAT_INTERNAL, c"MESHCHAT_INTERNAL", Some(ErrorKind::Internal)),
];

/// The status that stands for an error of the core.
pub(crate) fn of_error(kind: ErrorKind) -> i32 {
    let known = STATUSES.iter().find(|(_, _, stands_for)| *stands_for == Some(kind));
    // The tests hold the table complete.
    known.map_or(MESHCHAT_INTERNAL, |(code, ..)| *code)
}

/// The name of a status, for example "MESHCHAT_HOME_IN_USE"; "unknown" for a number that is none. Never NULL, never to
/// be freed.
#[unsafe(no_mangle)]
pub extern "C" fn meshchat_status_name(status: i32) -> *const c_char {
    guard!(c"unknown".as_ptr() => {
        let known = STATUSES.iter().find(|(code, ..)| *code == status);
        known.map_or(c"unknown".as_ptr(), |(_, name, _)| name.as_ptr())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Names of the variants of `ErrorKind`, from its source: the compiler lets no other crate list them.
    fn error_kinds() -> Vec<&'static str> {
        let source = include_str!("../../meshcore/src/driver/error.rs");
        let body = source.split("pub enum ErrorKind {").nth(1).and_then(|rest| rest.split('}').next());
        let lines = body.unwrap_or_default().lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .map(|l| l.trim_end_matches(','))
            .collect()
    }

    #[test]
    fn every_error_of_the_core_has_a_status_of_its_own() {
        let mapped: Vec<String> =
            STATUSES.iter().filter_map(|(_, _, kind)| kind.map(|kind| format!("{kind:?}"))).collect();
        let mut expected = error_kinds();
        assert!(expected.len() >= 17, "the source was not understood: {expected:?}");
        let mut found: Vec<&str> = mapped.iter().map(String::as_str).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
        for (code, _, kind) in STATUSES {
            assert!(kind.is_none_or(|kind| of_error(kind) == *code));
        }
    }

    #[test]
    fn every_constant_is_in_the_table_once() {
        let declared: BTreeSet<(String, i32)> = include_str!("status.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("pub const ")?.strip_suffix(';')?.split_once(": i32 = "))
            .filter_map(|(name, code)| Some((name.to_owned(), code.parse().ok()?)))
            .collect();
        let codes: BTreeSet<i32> = STATUSES.iter().map(|(code, ..)| *code).collect();
        assert_eq!(codes.len(), STATUSES.len(), "a number is used twice");
        let table =
            STATUSES.iter().map(|(code, name, _)| (name.to_string_lossy().into_owned(), *code)).collect();
        assert_eq!(declared, table);
    }
}
