//! A simulator of meshes in virtual time. Everything that chance decides comes from one seed.

pub(crate) mod air;
pub(crate) mod flows;
pub(crate) mod format;
mod led;
mod loops;
pub(crate) mod measure;
pub(crate) mod mesh_router;
#[cfg(test)]
mod naive;
mod print;
mod queue;
pub(crate) mod reach;
pub(crate) mod router;
pub(crate) mod scenario;
pub(crate) mod signatures;
pub(crate) mod station;
pub(crate) mod tally;
pub(crate) mod topology;
pub(crate) mod world;
