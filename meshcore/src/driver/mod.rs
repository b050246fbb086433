//! The only part that does I/O: links, clock, entropy, disk, and the handle that applications hold.

// Here, and only here, are clocks, entropy, files, threads and sockets at home.
#![allow(clippy::disallowed_methods)]

mod builder;
mod connections;
mod echoes;
mod engine;
mod error;
mod events;
mod files;
mod handle;
mod history;
pub mod home;
mod identity;
mod insecure;
mod launch;
pub mod link;
mod links;
mod network_key;
mod pending;
mod people;
mod rooms;
mod sealer;
mod signals;
pub mod store;
mod timer;
mod trouble;

use std::path::{Path, PathBuf};

pub use builder::Builder;
pub use connections::{Connection, Listener, Stream};
pub use echoes::{Pong, TraceHop};
pub use error::{Error, ErrorKind};
pub use events::Events;
pub use handle::{LinkStatus, Node};
pub use history::{History, HistoryEntry, HistoryPage, HistoryQuery};
pub use identity::Identity;
pub use pending::Pending;
pub use store::KeepHistory;

/// The home of a node that is told none: `$MESHCHAT_HOME`, else the folder `meshchat` in the XDG data directory. It need
/// not exist yet.
pub fn default_home() -> Result<PathBuf, Error> {
    Ok(home::locate(None)?)
}

/// Makes a network key for a private mesh: a new file of mode 0600 with 64 hexadecimal digits, to be copied to all nodes
/// of that mesh (see [`Builder::network_key_file`]). A file that exists is not overwritten.
pub fn create_network_key(file: impl AsRef<Path>) -> Result<(), Error> {
    network_key::create(file.as_ref()).map(drop)
}
