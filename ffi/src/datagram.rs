//! Datagrams of connections.

use std::ffi::{c_int, c_void};
use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use meshcore::{Connection, Error};
use parking_lot::Mutex;

use crate::connection::{MeshConnection, block_on};
use crate::error::Failure;
use crate::readiness::{Direction, Readiness, Side};
use crate::status::MESHCHAT_BUFFER_TOO_SMALL;

/// The datagrams that come, as the program takes them.
pub(crate) struct Datagrams {
    next: Mutex<Next>,
    readiness: Arc<Readiness>,
    reader: Direction,
}

type Waiting = Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send>>;

/// The next datagram.
#[derive(Default)]
struct Next {
    /// The wait for it, which goes on between calls.
    waiting: Option<Waiting>,
    /// It is here, and nobody has had room for it.
    arrived: Option<Bytes>,
}

impl Datagrams {
    pub(crate) fn new() -> Self {
        let readiness = Arc::default();
        let reader = Direction::new(&readiness, Side::Read);
        Self { next: Mutex::default(), readiness, reader }
    }
}

impl Next {
    fn poll(&mut self, cx: &mut Context<'_>, connection: &Connection) -> Poll<Result<Bytes, Error>> {
        if let Some(datagram) = &self.arrived {
            return Poll::Ready(Ok(datagram.clone()));
        }
        let waiting = self.waiting.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.read_datagram().await })
        });
        let result = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        self.arrived = result.as_ref().ok().cloned();
        Poll::Ready(result)
    }
}

/// Copies a datagram to where it fits.
fn copy(datagram: &[u8], buffer: &mut [MaybeUninit<u8>]) -> Result<(), Failure> {
    let (len, size) = (datagram.len(), buffer.len());
    let Some(room) = buffer.get_mut(..len) else {
        let text = format!("the buffer has {size} bytes, the datagram {len}");
        return Err(Failure::new(MESHCHAT_BUFFER_TOO_SMALL, text));
    };
    room.write_copy_of_slice(datagram);
    Ok(())
}

/// Sends a message of `data_len` bytes that is not repeated when it is lost, and may overtake others and what is on streams.
/// It may be empty. The longest one is that of a packet of the path, `MESHCHAT_STATISTIC_MTU` less 32 bytes:
/// `MESHCHAT_INVALID_ARGUMENT` when it is longer (`meshchat_last_error` tells the limit), or the peer takes none. At most 1 MiB
/// waits to be sent, 64 bytes counted for each beside its own; then the oldest are dropped, as are those that do not fit any
/// more after a change of the route. Waits for the engine's answer alone. `MESHCHAT_DISCONNECTED` when the connection is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_connection_send_datagram(
    connection: *mut MeshConnection,
    data: *const c_void,
    data_len: usize,
) -> i32 {
    guard! {
        let connection = borrow!(connection);
        let data = data.cast();
        let data = bytes!(data, data_len);
        block_on(connection.connection.send_datagram(Bytes::copy_from_slice(data)))?;
    }
}

/// Takes the next datagram of the peer, without waiting; `read_len` is its length, which may be 0. `MESHCHAT_WOULD_BLOCK` when
/// there is none now. `MESHCHAT_BUFFER_TOO_SMALL` when it is longer than `size`: it stays to be taken, and `meshchat_last_error`
/// tells its length; 65535 bytes are enough for any. Of those that nobody takes the latest 256 are kept.
/// `MESHCHAT_DISCONNECTED` when the connection is over and all have been taken; `meshchat_last_error` then says why.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_connection_read_datagram(
    connection: *mut MeshConnection,
    buffer: *mut c_void,
    size: usize,
    read_len: *mut usize,
) -> i32 {
    guard! {
        let connection = borrow!(connection);
        let buffer = room!(buffer, size);
        let read_len = out!(read_len);
        let Datagrams { next, reader, .. } = &connection.datagrams;
        let mut next = next.lock();
        let datagram = reader.attempt(|cx| next.poll(cx, &connection.connection))??;
        copy(&datagram, buffer)?;
        next.arrived = None;
        read_len.set(datagram.len());
    }
}

/// A descriptor for `poll` and the like, readable (`POLLIN`) from the start until `meshchat_connection_read_datagram` gives
/// `MESHCHAT_WOULD_BLOCK`, and again as soon as it would give something else: also when the connection is over. It is another
/// one than that of `meshchat_connection_fd`, made at the first call, and belongs to the connection: never read from it, never
/// write to it, never close it. `MESHCHAT_BUSY` when the process has no descriptor left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_connection_datagram_fd(
    connection: *const MeshConnection,
    fd: *mut c_int,
) -> i32 {
    guard! {
        let connection = borrow!(connection);
        let fd = out!(fd);
        fd.set(connection.datagrams.readiness.fd()?);
    }
}
