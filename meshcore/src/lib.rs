//! MeshChat's core: a serverless messenger as a library.

pub mod types;
pub mod wire;

pub mod mesh;
pub mod message;
pub mod stream;

pub mod node;

#[cfg(feature = "driver")]
pub mod driver;
