//! The identity in a home, without starting a node.

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use meshcore::{Identity, NodeId};

use crate::error::c_text;
use crate::node::{MESHCHAT_ID_TEXT_SIZE, node_id};

/// Size of a buffer for safety words, with room to spare.
pub const MESHCHAT_SAFETY_WORDS_SIZE: usize = 128;

/// The key pair of a home, made by `meshchat_identity_create` or `meshchat_identity_load`, freed by
/// `meshchat_identity_free`. It does not change, and several threads may use it.
pub struct MeshIdentity {
    identity: Identity,
    public_pem: CString,
}

impl MeshIdentity {
    fn new(identity: Identity) -> Self {
        Self { public_pem: c_text(identity.public_pem()), identity }
    }
}

/// The default home for NULL.
macro_rules! optional_path {
    ($pointer:ident) => {{ if $pointer.is_null() { None::<&Path> } else { Some(path!($pointer)) } }};
}

/// No text for NULL.
macro_rules! optional_text {
    ($pointer:ident) => {{ if $pointer.is_null() { None::<&str> } else { Some(text!($pointer)) } }};
}

/// The core checks it.
pub(crate) fn key_bits(bits: u32) -> usize {
    usize::try_from(bits).unwrap_or(usize::MAX)
}

/// The home of a node that is told none: the environment variable MESHCHAT_HOME, else the folder "meshchat" in the XDG data
/// directory; it need not exist yet. `home` has `home_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_default_home(home: *mut c_char, home_size: usize) -> i32 {
    guard! {
        let home = out_text!(home, home_size);
        home.set(meshcore::default_home()?.as_os_str().as_bytes())?;
    }
}

/// Whether the home (NULL: the default home) holds a key file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_identity_exists(home: *const c_char, exists: *mut bool) -> i32 {
    guard! {
        let home = optional_path!(home);
        let exists = out!(exists);
        exists.set(Identity::exists(home)?);
    }
}

/// Makes a key of `bits` (2048 to 4096 in steps of 8; 0: the default, 3072) in the home (NULL: the default home), protected by the
/// passphrase (NULL: none). This takes seconds. A key that exists already is never overwritten.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_identity_create(
    home: *const c_char,
    bits: u32,
    passphrase: *const c_char,
    identity: *mut *mut MeshIdentity,
) -> i32 {
    guard! {
        let home = optional_path!(home);
        let bits = if bits == 0 { Identity::DEFAULT_BITS } else { key_bits(bits) };
        let passphrase = optional_text!(passphrase);
        let identity = out!(identity);
        identity.give(MeshIdentity::new(Identity::create(home, bits, passphrase)?));
    }
}

/// Reads the key in the home (NULL: the default home) with the passphrase (NULL: none).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_identity_load(
    home: *const c_char,
    passphrase: *const c_char,
    identity: *mut *mut MeshIdentity,
) -> i32 {
    guard! {
        let home = optional_path!(home);
        let passphrase = optional_text!(passphrase);
        let identity = out!(identity);
        identity.give(MeshIdentity::new(Identity::load(home, passphrase)?));
    }
}

/// Frees an identity. The key in the home stays. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_identity_free(identity: *mut MeshIdentity) {
    guard!(() => { free!(identity) })
}

/// NODE_ID, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_identity_id(identity: *const MeshIdentity, id: *mut c_char) -> i32 {
    guard! {
        let identity = borrow!(identity);
        let id = out_text!(id, MESHCHAT_ID_TEXT_SIZE);
        id.set(identity.identity.id().to_string().as_bytes())?;
    }
}

/// The public key as PEM SubjectPublicKeyInfo. Valid as long as the identity.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_identity_public_pem(
    identity: *const MeshIdentity,
    public_pem: *mut *const c_char,
) -> i32 {
    guard! {
        let identity = borrow!(identity);
        out!(public_pem).set(identity.public_pem.as_ptr());
    }
}

/// Eight words, separated by spaces, that two people compare by voice: the same on both sides only if each has the
/// other's true key. `peer_id` is the other's NODE_ID. `words` has `words_size` bytes; `MESHCHAT_SAFETY_WORDS_SIZE` is
/// enough.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_identity_safety_words(
    identity: *const MeshIdentity,
    peer_id: *const c_char,
    words: *mut c_char,
    words_size: usize,
) -> i32 {
    guard! {
        let identity = borrow!(identity);
        let peer_id: NodeId = node_id(text!(peer_id), "peer_id")?;
        let words = out_text!(words, words_size);
        words.set(identity.identity.safety_words(peer_id).join(" ").as_bytes())?;
    }
}
