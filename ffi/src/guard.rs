//! The one macro around every export.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};

use crate::error::Failure;
use crate::status::MESHCHAT_OK;

/// Body of an export. `guard! { ... }` runs statements that may use `?` on [`Failure`]s and gives a status code;
/// `guard!(fallback => { ... })` gives the block's value, or `fallback` should it panic.
macro_rules! guard {
    ($fallback:expr => $body:block) => {
        $crate::guard::value($fallback, || $body)
    };
    ($($body:tt)*) => {
        $crate::guard::status(|| {
            $($body)*
            #[allow(unreachable_code)]
            Ok(())
        })
    };
}

/// Runs `call`; a failure is remembered for `meshchat_last_error()`.
pub(crate) fn status(call: impl FnOnce() -> Result<(), Failure>) -> i32 {
    // After a panic nothing half-done is seen: handles are changed by single assignments, and the core's methods take
    // `&self` and have their own locks.
    match panic::catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => MESHCHAT_OK,
        Ok(Err(failure)) => failure.remember(),
        Err(payload) => Failure::internal(panic_text(payload.as_ref())).remember(),
    }
}

/// Runs `call` and gives its value, or `fallback` after a panic.
pub(crate) fn value<T>(fallback: T, call: impl FnOnce() -> T) -> T {
    panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        Failure::internal(panic_text(payload.as_ref())).remember();
        fallback
    })
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic without a text")
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use crate::status::{MESHCHAT_INTERNAL, MESHCHAT_OK, MESHCHAT_STOPPED};

    fn last_error() -> String {
        // SAFETY: the text is valid until the next call on this thread.
        unsafe { CStr::from_ptr(crate::meshchat_last_error()) }.to_string_lossy().into_owned()
    }

    #[test]
    fn a_panic_becomes_a_status() {
        assert_eq!(guard! { panic!("sixty-{}", "four"); }, MESHCHAT_INTERNAL);
        assert!(last_error().contains("sixty-four"), "{}", last_error());
        assert_eq!(guard!(7 => { panic!("on the way") }), 7);
        assert!(last_error().contains("on the way"), "{}", last_error());
    }

    #[test]
    fn a_failure_keeps_its_status_and_text() {
        let failed = guard! {
            Err(crate::error::Failure::new(MESHCHAT_STOPPED, "gone\0away"))?;
        };
        assert_eq!(failed, MESHCHAT_STOPPED);
        assert_eq!(last_error(), "gone away");
        assert_eq!(guard! {}, MESHCHAT_OK);
        assert_eq!(guard!(0 => { 5 }), 5);
    }
}
