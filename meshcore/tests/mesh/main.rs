//! Meshes of many nodes in virtual time.

#![allow(clippy::disallowed_methods)] // tests are drivers

mod files;
#[allow(dead_code)]
mod sim;
