//! Pointers from C, checked. The macros name the argument in the error and carry the reason why they are sound.

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;

use crate::error::Failure;
use crate::status::{MESHCHAT_BUFFER_TOO_SMALL, MESHCHAT_NOT_UTF8, MESHCHAT_NULL_ARGUMENT};

/// `&T` behind a pointer argument.
macro_rules! borrow {
    ($pointer:ident) => {{
        // SAFETY: callers give NULL or a handle that this library gave out and that is not freed during the call.
        unsafe { $crate::pointer::borrow($pointer, stringify!($pointer)) }?
    }};
}

/// `&mut T` behind a pointer argument.
macro_rules! borrow_mut {
    ($pointer:ident) => {{
        // SAFETY: as for `borrow!`, and a handle of this type is used by one thread at a time.
        unsafe { $crate::pointer::borrow_mut($pointer, stringify!($pointer)) }?
    }};
}

/// [`Out`] behind a pointer argument.
macro_rules! out {
    ($pointer:ident) => {{
        // SAFETY: callers give NULL or room for one value that nobody else uses during the call.
        unsafe { $crate::pointer::Out::new($pointer, stringify!($pointer)) }?
    }};
}

/// [`OutText`] behind a pointer argument with the size of its buffer.
macro_rules! out_text {
    ($pointer:ident, $size:expr) => {{
        // SAFETY: callers give NULL or a buffer of that size that nobody else uses during the call.
        unsafe { $crate::pointer::OutText::new($pointer, $size, stringify!($pointer)) }?
    }};
}

/// `&str` of a NUL-terminated argument.
macro_rules! text {
    ($pointer:ident) => {{
        // SAFETY: callers give NULL or NUL-terminated text that nobody changes during the call.
        unsafe { $crate::pointer::text($pointer, stringify!($pointer)) }?
    }};
}

/// `&Path` of a NUL-terminated argument. A path is bytes, not text.
macro_rules! path {
    ($pointer:ident) => {{
        // SAFETY: callers give NULL or a NUL-terminated path that nobody changes during the call.
        unsafe { $crate::pointer::path($pointer, stringify!($pointer)) }?
    }};
}

/// Bytes of an argument with a length.
macro_rules! bytes {
    ($pointer:ident, $len:expr) => {{
        // SAFETY: callers give NULL or that many bytes that nobody changes during the call.
        unsafe { $crate::pointer::bytes($pointer, $len, stringify!($pointer)) }?
    }};
}

/// Room of an argument with a size, to be filled.
macro_rules! room {
    ($pointer:ident, $size:expr) => {{
        // SAFETY: callers give NULL or a buffer of that size that nobody else uses during the call.
        unsafe { $crate::pointer::room($pointer, $size, stringify!($pointer)) }?
    }};
}

/// Takes a handle back from C and drops it. NULL does nothing.
macro_rules! free {
    ($pointer:ident) => {{
        if !$pointer.is_null() {
            // SAFETY: a handle comes from `Out::give`, that is from `Box::into_raw`, and callers free it once.
            drop(unsafe { Box::from_raw($pointer) });
        }
    }};
}

fn null(name: &str) -> Failure {
    Failure::new(MESHCHAT_NULL_ARGUMENT, format!("the argument '{name}' is NULL"))
}

/// # Safety
/// `pointer` is NULL, or points to a `T` that lives and is not changed during `'a`.
pub(crate) unsafe fn borrow<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Failure> {
    // SAFETY: promised by the caller.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// # Safety
/// `pointer` is NULL, or points to a `T` that lives and is used by nobody else during `'a`.
pub(crate) unsafe fn borrow_mut<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T, Failure> {
    // SAFETY: promised by the caller.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

/// # Safety
/// `pointer` is NULL, or points to NUL-terminated bytes that live and are not changed during `'a`.
pub(crate) unsafe fn c_str<'a>(pointer: *const c_char, name: &str) -> Result<&'a CStr, Failure> {
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: promised by the caller.
    Ok(unsafe { CStr::from_ptr(pointer) })
}

/// # Safety
/// As for [`c_str`].
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str, Failure> {
    // SAFETY: promised by the caller.
    utf8(unsafe { c_str(pointer, name) }?.to_bytes(), name)
}

/// # Safety
/// As for [`c_str`].
pub(crate) unsafe fn path<'a>(pointer: *const c_char, name: &str) -> Result<&'a Path, Failure> {
    // SAFETY: promised by the caller.
    let bytes = unsafe { c_str(pointer, name) }?.to_bytes();
    if bytes.is_empty() {
        return Err(Failure::invalid(format!("the path '{name}' is empty; name a folder")));
    }
    Ok(Path::new(OsStr::from_bytes(bytes)))
}

/// # Safety
/// `pointer` is NULL, or points to `len` bytes that live and are not changed during `'a`.
pub(crate) unsafe fn bytes<'a>(pointer: *const c_char, len: usize, name: &str) -> Result<&'a [u8], Failure> {
    if pointer.is_null() {
        return Err(null(name));
    }
    check_len(len, name)?;
    // SAFETY: promised by the caller, and the length fits.
    Ok(unsafe { std::slice::from_raw_parts(pointer.cast(), len) })
}

/// # Safety
/// `pointer` is NULL, or points to `size` bytes that live and are used by nobody else during `'a`.
pub(crate) unsafe fn room<'a>(
    pointer: *mut c_void,
    size: usize,
    name: &str,
) -> Result<&'a mut [MaybeUninit<u8>], Failure> {
    if pointer.is_null() {
        return Err(null(name));
    }
    check_len(size, name)?;
    // SAFETY: promised by the caller, and the size fits; nothing is read from there.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer.cast(), size) })
}

fn check_len(len: usize, name: &str) -> Result<(), Failure> {
    // No object is larger than that: the length is a negative number that went astray.
    let too_long =
        |_| Failure::invalid(format!("the length of '{name}' is {len}, more than any memory holds"));
    isize::try_from(len).map(drop).map_err(too_long)
}

/// The bytes as text.
pub(crate) fn utf8<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, Failure> {
    std::str::from_utf8(bytes).map_err(|error| {
        let text = format!("the argument '{name}' is not UTF-8: bad byte at offset {}", error.valid_up_to());
        Failure::new(MESHCHAT_NOT_UTF8, text)
    })
}

/// Where C wants an output. Nothing is read from there, and nothing written before [`Out::set`].
pub(crate) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// # Safety
    /// `place` is NULL, or room for a `T` that nobody else uses as long as this value lives.
    pub(crate) unsafe fn new(place: *mut T, name: &str) -> Result<Self, Failure> {
        NonNull::new(place).map(Self).ok_or_else(|| null(name))
    }

    pub(crate) fn set(self, value: T) {
        // SAFETY: the caller of `new` promised room for a `T`.
        unsafe { self.0.write(value) }
    }
}

impl<T> Out<*mut T> {
    /// Hands `value` over to C, which gives it back to `free!`.
    pub(crate) fn give(self, value: T) {
        self.set(Box::into_raw(Box::new(value)));
    }
}

/// A buffer of C that a text goes to.
pub(crate) struct OutText {
    place: NonNull<u8>,
    size: usize,
    name: &'static str,
}

impl OutText {
    /// # Safety
    /// `place` is NULL, or room for `size` bytes that nobody else uses as long as this value lives.
    pub(crate) unsafe fn new(place: *mut c_char, size: usize, name: &'static str) -> Result<Self, Failure> {
        NonNull::new(place.cast()).map(|place| Self { place, size, name }).ok_or_else(|| null(name))
    }

    /// Writes the text, which has no NUL in it, and a NUL.
    pub(crate) fn set(self, text: &[u8]) -> Result<(), Failure> {
        if text.len() >= self.size {
            let (name, size, needed) = (self.name, self.size, text.len() + 1);
            let text = format!("the buffer '{name}' has {size} bytes, {needed} are needed");
            return Err(Failure::new(MESHCHAT_BUFFER_TOO_SMALL, text));
        }
        // SAFETY: the caller of `new` promised `size` bytes, and text and NUL fit; a buffer that C may write to does
        // not overlap a text of ours.
        unsafe {
            self.place.copy_from_nonoverlapping(NonNull::from(text).cast(), text.len());
            self.place.add(text.len()).write(0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::c_char;

    use super::OutText;

    #[test]
    fn a_text_is_written_only_where_it_fits() {
        for (size, fits) in [(0, false), (3, false), (4, true), (5, true)] {
            let mut buffer = [0x5a as c_char; 6];
            // SAFETY: the buffer has six bytes.
            let out = unsafe { OutText::new(buffer.as_mut_ptr(), size, "buffer") };
            let written = out.is_ok_and(|out| out.set(b"abc").is_ok());
            assert_eq!(written, fits, "size {size}");
            let expected = if fits { *b"abc\0ZZ" } else { *b"ZZZZZZ" };
            assert_eq!(buffer.map(|c| c as u8), expected, "size {size}");
        }
    }
}
