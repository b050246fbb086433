//! The only part that does I/O: links, clock, entropy, disk, and the handle that applications hold.

// Here, and only here, are clocks, entropy, files, threads and sockets at home.
#![allow(clippy::disallowed_methods)]

mod builder;
mod engine;
mod error;
mod events;
mod handle;
pub mod home;
mod identity;
pub mod link;
mod links;
mod pending;
pub mod store;

pub use builder::Builder;
pub use error::{Error, ErrorKind};
pub use events::Events;
pub use handle::{LinkStatus, Node};
pub use identity::Identity;
pub use pending::Pending;
