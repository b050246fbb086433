//! Connections that other nodes open.

use std::ffi::c_int;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::connection::MeshConnection;
use crate::error::Failure;
use crate::node::MeshNode;
use crate::readiness::{Direction, Readiness, Side};
use crate::status::MESHCHAT_STOPPED;

/// Takes the connections that other nodes open: made by `meshchat_node_listen`, freed by `meshchat_listener_free`. Several
/// threads may use it.
pub struct Listener {
    listener: Mutex<meshcore::Listener>,
    readiness: Arc<Readiness>,
    acceptor: Direction,
}

/// Takes connections from now on, in the place of an earlier listener. While there is none, connections are refused, and
/// those beyond 128 that wait to be accepted. The listener is to be freed by `meshchat_listener_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_listen(node: *mut MeshNode, listener: *mut *mut Listener) -> i32 {
    guard! {
        let node = borrow!(node);
        let listener = out!(listener);
        let inner = Mutex::new(node.node.listen().wait()?);
        let readiness = Arc::default();
        let acceptor = Direction::new(&readiness, Side::Read);
        listener.give(Listener { listener: inner, readiness, acceptor });
    }
}

/// The next connection that another node has opened, without waiting: `MESHCHAT_WOULD_BLOCK` when there is none. It is to
/// be freed by `meshchat_connection_free`. `MESHCHAT_STOPPED` when the node has stopped, or another listener has taken the
/// place of this one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_listener_accept(
    listener: *mut Listener,
    connection: *mut *mut MeshConnection,
) -> i32 {
    guard! {
        let listener = borrow!(listener);
        let connection = out!(connection);
        let mut inner = listener.listener.lock();
        let accepted = listener.acceptor.attempt(|cx| inner.poll_accept(cx))?;
        let over = || Failure::new(MESHCHAT_STOPPED, "the node has been stopped, or listens in another place");
        connection.give(MeshConnection::new(accepted.ok_or_else(over)?));
    }
}

/// A descriptor for `poll` and the like, readable (`POLLIN`) from the start until `meshchat_listener_accept` gives
/// `MESHCHAT_WOULD_BLOCK`, and again as soon as it would give something else. It belongs to the listener: never read from
/// it, never write to it, never close it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_listener_fd(listener: *const Listener, fd: *mut c_int) -> i32 {
    guard! {
        let listener = borrow!(listener);
        let fd = out!(fd);
        fd.set(listener.readiness.fd()?);
    }
}

/// Frees a listener and closes the connections that nobody has accepted; further ones are refused. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_listener_free(listener: *mut Listener) {
    guard!(() => { free!(listener) })
}
