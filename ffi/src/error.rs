//! Failures of calls, and the text of the last one.

use std::cell::RefCell;
use std::ffi::{CString, c_char};

use crate::status;

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// Why an export failed: its status code and a text that names the thing and the remedy.
pub(crate) struct Failure {
    code: i32,
    text: String,
}

impl Failure {
    pub(crate) fn new(code: i32, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(status::MESHCHAT_INVALID_ARGUMENT, text)
    }

    pub(crate) fn internal(text: &str) -> Self {
        Self::new(status::MESHCHAT_INTERNAL, format!("a defect of MeshChat, please report it: {text}"))
    }

    /// Keeps the text for `meshchat_last_error()` and gives the code.
    pub(crate) fn remember(self) -> i32 {
        let text = c_text(self.text);
        // A thread that is ending has no thread-local storage any more; then only the code is told.
        let _ = LAST_ERROR.try_with(|last| last.replace(text));
        self.code
    }
}

impl From<meshcore::Error> for Failure {
    fn from(error: meshcore::Error) -> Self {
        Self::new(status::of_error(error.kind()), error.to_string())
    }
}

/// Text for C, where NUL ends it.
pub(crate) fn c_text(text: impl Into<String>) -> CString {
    CString::new(text.into().replace('\0', " ")).unwrap_or_default()
}

/// The text of the last call that failed on this thread, for people to read: what went wrong and what helps. Empty
/// when none failed. Valid until the next call on this thread; never to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn meshchat_last_error() -> *const c_char {
    guard!(c"".as_ptr() => {
        LAST_ERROR.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
    })
}
