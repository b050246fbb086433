//! The Python extension module `meshchat._core`: a thin binding of the public API of `meshcore`.
//!
//! Nothing here calls Python from a foreign thread. What takes time runs on a thread of its own that never touches
//! the interpreter and tells through a descriptor that it is done ([`job`]); so a node that still runs when the
//! interpreter exits can neither hang nor crash it.

mod answers;
mod convert;
mod error;
mod files;
mod identity;
mod insecure;
mod job;
mod node;
mod people;
mod rooms;
mod streams;
mod tasks;

use pyo3::prelude::*;

/// Binding of the MeshChat core; use the package `meshchat` instead.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::convert::Incoming;
    #[pymodule_export]
    use super::identity::{
        Identity, create_identity, create_network_key, default_home, identity_exists, load_identity,
    };
    #[pymodule_export]
    use super::insecure::insecure_address;
    #[pymodule_export]
    use super::job::Job;
    #[pymodule_export]
    use super::node::{Node, start};
    #[pymodule_export]
    use super::people::{
        contact_text, nickname_in_history, parse_contact, read_history, resolve_in_history,
        resolve_room_in_history, rooms_in_history,
    };
    #[pymodule_export]
    use super::streams::{Connection, Listener, Stream};

    #[pymodule_export]
    const DEFAULT_KEY_BITS: usize = meshcore::Identity::DEFAULT_BITS;
}
