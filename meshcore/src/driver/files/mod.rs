//! Files on their way: the part of the driver that reads, hashes, writes and syncs them, on a thread of its own.
//!
//! The [`service`] holds the connections and begins what the ledger says is to be done; each exchange is a task
//! ([`sending`], [`receiving`]) around its state machine in [`crate::file`]. Nothing of it runs on the engine's thread: the disk
//! may be slow. A file that is read too slowly fills its stream's buffers, and a sender waits for that.

mod api;
mod channel;
mod disk;
mod exchange;
mod receiving;
mod sending;
mod service;
mod shared;
mod turns;

pub(super) use service::{FileCommand, FileParts, Files, Notice};
