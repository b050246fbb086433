//! (to be written)

pub mod home;
pub mod store;
