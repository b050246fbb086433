//! Versions.

use std::ffi::{CStr, c_char};

/// Version of the binary interface that this header describes; the number at the end of the soname.
pub const MESHCHAT_ABI_VERSION: u32 = 0;

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("the version of the package contains NUL"),
};

/// Version of the binary interface of the library in use; a program was compiled for it when this equals
/// `MESHCHAT_ABI_VERSION`.
#[unsafe(no_mangle)]
pub extern "C" fn meshchat_abi_version() -> u32 {
    guard!(MESHCHAT_ABI_VERSION => { MESHCHAT_ABI_VERSION })
}

/// Version of the library in use, for example "0.1.0". Never NULL, never to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn meshchat_version() -> *const c_char {
    guard!(VERSION.as_ptr() => { VERSION.as_ptr() })
}
