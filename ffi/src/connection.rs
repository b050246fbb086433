//! Connections with other nodes.

use std::ffi::{c_char, c_int};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use meshcore::{Connection, Error, Stream};
use parking_lot::Mutex;

use crate::datagram::Datagrams;
use crate::error::Failure;
use crate::node::{MESHCHAT_ID_TEXT_SIZE, MeshNode, node_id};
use crate::readiness::{Direction, Readiness, Side};
use crate::statistics::ConnectionStatistics;
use crate::stream::MeshStream;

/// Largest code that the ends of streams and connections carry: 2^62 - 1.
pub const MESHCHAT_CODE_MAX: u64 = 0x3fff_ffff_ffff_ffff;

/// A connection with another node, encrypted and authenticated from end to end: any number of streams, and datagrams. It
/// survives changes of the route. Given out by `meshchat_node_connect` and `meshchat_listener_accept`, freed by
/// `meshchat_connection_free`. Several threads may use it.
pub struct MeshConnection {
    pub(crate) connection: Connection,
    /// The wait for the next stream of the peer, which goes on between calls.
    accepting: Mutex<Option<Accepting>>,
    readiness: Arc<Readiness>,
    acceptor: Direction,
    pub(crate) datagrams: Datagrams,
}

type Accepting = Pin<Box<dyn Future<Output = Result<Stream, Error>> + Send>>;

impl MeshConnection {
    pub(crate) fn new(connection: Connection) -> Self {
        let readiness = Arc::default();
        let acceptor = Direction::new(&readiness, Side::Read);
        let (accepting, datagrams) = (Mutex::default(), Datagrams::new());
        Self { connection, accepting, readiness, acceptor, datagrams }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Stream, Error>> {
        let mut waiting = self.accepting.lock();
        let accepting = waiting.get_or_insert_with(|| {
            let connection = self.connection.clone();
            Box::pin(async move { connection.accept().await })
        });
        let accepted = accepting.as_mut().poll(cx);
        if accepted.is_ready() {
            *waiting = None;
        }
        accepted
    }
}

/// A code that the peer is told.
pub(crate) fn peer_code(code: u64) -> Result<u64, Failure> {
    if code <= MESHCHAT_CODE_MAX { Ok(code) } else { Err(too_large(code)) }
}

fn too_large(code: u64) -> Failure {
    Failure::invalid(format!("the code {code} is larger than MESHCHAT_CODE_MAX"))
}

/// What a thread waits for in [`block_on`].
#[derive(Default)]
struct Gate {
    is_open: std::sync::Mutex<bool>,
    opened: Condvar,
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        *self.is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.opened.notify_one();
    }
}

impl Gate {
    fn pass(&self) {
        let is_open = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = self.opened.wait_while(is_open, |is_open| !*is_open);
        *opened.unwrap_or_else(PoisonError::into_inner) = false;
    }
}

/// Blocks until the core has answered. (Parking would leave the thread's own record to a thread that is not Rust's.)
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let gate = Arc::new(Gate::default());
    let waker = Waker::from(Arc::clone(&gate));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        gate.pass();
    }
}

/// Connects to the node in reach with the NODE_ID `to`, and waits for the end of the handshake, ten seconds at most. The
/// connection is to be freed by `meshchat_connection_free`. `MESHCHAT_REFUSED` when the other node does not listen; should the
/// refusal come after the handshake, the connection is over at once and the next call on it gives `MESHCHAT_DISCONNECTED`.
/// `MESHCHAT_OUT_OF_REACH` when there is no way, `MESHCHAT_TIMED_OUT` when there is no answer, `MESHCHAT_BUSY` when there are
/// too many connections.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_node_connect(
    node: *mut MeshNode,
    to: *const c_char,
    connection: *mut *mut MeshConnection,
) -> i32 {
    guard! {
        let node = borrow!(node);
        let to = node_id(text!(to), "to")?;
        let connection = out!(connection);
        connection.give(MeshConnection::new(node.node.connect(to).wait()?));
    }
}

/// NODE_ID of the node at the other end, as it has proved, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_connection_peer(connection: *const MeshConnection, id: *mut c_char) -> i32 {
    guard! {
        let connection = borrow!(connection);
        let id = out_text!(id, MESHCHAT_ID_TEXT_SIZE);
        id.set(connection.connection.peer().to_string().as_bytes())?;
    }
}

/// Opens a stream. Waits while the peer allows no more of them, until one ends or the connection is over; other threads may
/// close it meanwhile. The peer hears of the stream with the first bytes, or with its end. The stream is to be freed by
/// `meshchat_stream_free`. `MESHCHAT_DISCONNECTED` when the connection is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_connection_open(
    connection: *mut MeshConnection,
    stream: *mut *mut MeshStream,
) -> i32 {
    guard! {
        let connection = borrow!(connection);
        let stream = out!(stream);
        stream.give(MeshStream::new(block_on(connection.connection.open())?));
    }
}

/// The next stream that the peer has opened, without waiting: `MESHCHAT_WOULD_BLOCK` when there is none. It is to be freed
/// by `meshchat_stream_free`. `MESHCHAT_DISCONNECTED` when the connection is over and all streams have been taken;
/// `meshchat_last_error` then says why.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_connection_accept(
    connection: *mut MeshConnection,
    stream: *mut *mut MeshStream,
) -> i32 {
    guard! {
        let connection = borrow!(connection);
        let stream = out!(stream);
        let accepted = connection.acceptor.attempt(|cx| connection.poll_accept(cx))?;
        stream.give(MeshStream::new(accepted?));
    }
}

/// A descriptor for `poll` and the like, readable (`POLLIN`) from the start until `meshchat_connection_accept` gives
/// `MESHCHAT_WOULD_BLOCK`, and again as soon as it would give something else: also when the connection is over. It belongs
/// to the connection: never read from it, never write to it, never close it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_connection_fd(connection: *const MeshConnection, fd: *mut c_int) -> i32 {
    guard! {
        let connection = borrow!(connection);
        let fd = out!(fd);
        fd.set(connection.readiness.fd()?);
    }
}

/// Numbers about the connection now, to be freed by `meshchat_statistics_free`. `MESHCHAT_DISCONNECTED` some time after the
/// end, when the node has forgotten them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_connection_statistics(
    connection: *const MeshConnection,
    statistics: *mut *mut ConnectionStatistics,
) -> i32 {
    guard! {
        let connection = borrow!(connection);
        let statistics = out!(statistics);
        statistics.give(ConnectionStatistics::new(block_on(connection.connection.statistics())?));
    }
}

/// Closes the connection with all its streams, at once: what has not arrived may be lost. The peer is told the code, at most
/// `MESHCHAT_CODE_MAX`, and the first 256 bytes of the reason. A second close does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_connection_close(
    connection: *mut MeshConnection,
    code: u64,
    reason: *const c_char,
) -> i32 {
    guard! {
        let connection = borrow!(connection);
        let code = peer_code(code)?;
        connection.connection.close(code, text!(reason));
    }
}

/// Frees a connection; its descriptor is closed. When all of its streams have been freed, too, the connection is closed at
/// once: `meshchat_stream_finish` tells before whether everything has arrived. Of two programs that free at once when all
/// is done, one may be told `MESHCHAT_DISCONNECTED` by its last finish: let one wait for the close of the other. NULL does
/// nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_connection_free(connection: *mut MeshConnection) {
    guard!(() => { free!(connection) })
}
