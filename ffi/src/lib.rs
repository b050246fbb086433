//! The C ABI of MeshChat. The header `include/meshchat.h` is generated from this crate, its introduction is in
//! `cbindgen.toml`; there the contract for callers is written once.
//!
//! Rules for every export, kept by `guard!` and the macros of [`pointer`]:
//! - It is named `meshchat_<type>_<verb>` and its body is one `guard!`, so that no panic crosses into C.
//! - Every pointer is checked for NULL before anything happens. Arguments that may be NULL say so.
//! - Outputs are written only on success, as the last thing.
//! - What C has to free is a `Box` behind an opaque pointer, given away by [`pointer::Out::give`] alone; text that C
//!   may read without freeing belongs to such a box.

// The contract of all pointers is the same and is written in the header's introduction.
#![allow(clippy::missing_safety_doc)]

#[macro_use]
mod guard;
#[macro_use]
mod pointer;

// First in the header, too.
mod status;
mod version;

mod config;
mod connection;
mod datagram;
mod error;
mod event;
mod file;
mod history;
mod identity;
mod insecure;
mod list;
mod listener;
mod node;
mod people;
mod readiness;
mod room;
mod route;
mod statistics;
mod stream;

pub use config::*;
pub use connection::*;
pub use datagram::*;
pub use error::meshchat_last_error;
pub use event::*;
pub use file::*;
pub use history::*;
pub use identity::*;
pub use insecure::*;
pub use list::*;
pub use listener::*;
pub use node::*;
pub use people::*;
pub use room::*;
pub use route::*;
pub use statistics::*;
pub use status::*;
pub use stream::*;
pub use version::*;
