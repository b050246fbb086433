//! Meshes of many nodes in virtual time.

#![allow(clippy::disallowed_methods)] // tests are drivers

mod files;
mod floors;
mod hostile;
mod insider;
mod property;
mod random;
mod shrink;
mod sim;
