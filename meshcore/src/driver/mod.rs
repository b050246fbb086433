//! The only part that does I/O: links, clock, entropy, disk, and the handle that applications hold.

// Here, and only here, are clocks, entropy, files, threads and sockets at home.
#![allow(clippy::disallowed_methods)]

mod builder;
mod echoes;
mod engine;
mod error;
mod events;
mod handle;
pub mod home;
mod identity;
pub mod link;
mod links;
pub mod network_key;
mod pending;
pub mod store;

use std::path::PathBuf;

pub use builder::Builder;
pub use echoes::{Pong, TraceHop};
pub use error::{Error, ErrorKind};
pub use events::Events;
pub use handle::{LinkStatus, Node};
pub use identity::Identity;
pub use pending::Pending;

/// The home of a node that is told none: `$MESHCHAT_HOME`, else the folder `meshchat` in the XDG data directory. It need
/// not exist yet.
pub fn default_home() -> Result<PathBuf, Error> {
    Ok(home::locate(None)?)
}
