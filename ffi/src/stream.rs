//! Streams of connections.

use std::ffi::{c_int, c_void};
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use meshcore::Stream;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::peer_code;
use crate::error::Failure;
use crate::readiness::{Direction, Readiness, Side};
use crate::status::{MESHCHAT_DISCONNECTED, MESHCHAT_STREAM_CLOSED, MESHCHAT_STREAM_RESET};

/// The least urgent priority of a stream.
pub const MESHCHAT_PRIORITY_MAX: u8 = 7;

/// A stream of bytes in both directions, each reliable and in order. Given out by `meshchat_connection_open` and
/// `meshchat_connection_accept`, freed by `meshchat_stream_free`. No call on it blocks. Several threads may use it.
pub struct MeshStream {
    ends: Mutex<Ends>,
    readiness: Arc<Readiness>,
    reader: Direction,
    writer: Direction,
}

/// The stream, and what the program has done with it.
struct Ends {
    stream: Stream,
    finished: bool,
    reset: bool,
    stopped: bool,
}

impl MeshStream {
    pub(crate) fn new(stream: Stream) -> Self {
        let readiness = Arc::default();
        let [reader, writer] = [Side::Read, Side::Write].map(|side| Direction::new(&readiness, side));
        let ends = Ends { stream, finished: false, reset: false, stopped: false };
        Self { ends: Mutex::new(ends), readiness, reader, writer }
    }
}

impl Ends {
    fn stream(&mut self) -> Pin<&mut Stream> {
        Pin::new(&mut self.stream)
    }
}

fn closed(text: &str) -> Failure {
    Failure::new(MESHCHAT_STREAM_CLOSED, text)
}

/// What the peer or the end of the connection did to a direction. What the program itself did is asked before.
fn failure(error: io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => MESHCHAT_STREAM_RESET,
        _ => MESHCHAT_DISCONNECTED,
    };
    Failure::new(code, error.to_string())
}

/// Takes bytes that have arrived, at most `size`, without waiting; `read_len` is how many, 0 at the end of the stream only.
/// `MESHCHAT_WOULD_BLOCK` when there are none now. `MESHCHAT_STREAM_RESET` when the peer gave up sending,
/// `MESHCHAT_DISCONNECTED` when the connection is over, `MESHCHAT_STREAM_CLOSED` after `meshchat_stream_stop_reading`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_stream_read(
    stream: *mut MeshStream,
    buffer: *mut c_void,
    size: usize,
    read_len: *mut usize,
) -> i32 {
    guard! {
        let stream = borrow!(stream);
        let buffer = room!(buffer, size);
        let read_len = out!(read_len);
        if buffer.is_empty() {
            Err(Failure::invalid("the size of 'buffer' is 0; reading 0 bytes tells of the end of the stream"))?;
        }
        let mut ends = stream.ends.lock();
        if ends.stopped {
            Err(closed("reading was given up by meshchat_stream_stop_reading()"))?;
        }
        let mut filled = ReadBuf::uninit(buffer);
        stream.reader.attempt(|cx| ends.stream().poll_read(cx, &mut filled))?.map_err(failure)?;
        read_len.set(filled.filled().len());
    }
}

/// Hands over as many of the `data_len` bytes as there is room for, without waiting; `written_len` is how many. They are sent
/// without further ado. `MESHCHAT_WOULD_BLOCK` when there is no room now. `MESHCHAT_STREAM_RESET` when the peer wants no more,
/// `MESHCHAT_DISCONNECTED` when the connection is over, `MESHCHAT_STREAM_CLOSED` after `meshchat_stream_finish` or
/// `meshchat_stream_reset`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_stream_write(
    stream: *mut MeshStream,
    data: *const c_void,
    data_len: usize,
    written_len: *mut usize,
) -> i32 {
    guard! {
        let stream = borrow!(stream);
        let data = data.cast();
        let data = bytes!(data, data_len);
        let written_len = out!(written_len);
        let mut ends = stream.ends.lock();
        if ends.finished || ends.reset {
            Err(closed("this node has ended its direction of the stream"))?;
        }
        let written = stream.writer.attempt(|cx| ends.stream().poll_write(cx, data))?;
        written_len.set(written.map_err(failure)?);
    }
}

/// Ends this node's direction: the peer reads everything, then the end. Reading goes on. The first call does it, whatever it
/// gives: `MESHCHAT_WOULD_BLOCK` says that not everything has arrived at the peer's node; call it again when the descriptor
/// is writable. After `MESHCHAT_OK` stream and connection can be freed, the node stopped, and nothing is lost. The failures
/// are those of `meshchat_stream_write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_stream_finish(stream: *mut MeshStream) -> i32 {
    guard! {
        let stream = borrow!(stream);
        let mut ends = stream.ends.lock();
        if ends.reset {
            Err(closed("this node's direction of the stream was reset"))?;
        }
        ends.finished = true;
        stream.writer.attempt(|cx| ends.stream().poll_shutdown(cx))?.map_err(failure)?;
    }
}

/// Gives up this node's direction: what has not arrived may never arrive, and the peer's reads fail. The peer is told the
/// code, at most `MESHCHAT_CODE_MAX`. Reading goes on. A second reset does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_stream_reset(stream: *mut MeshStream, code: u64) -> i32 {
    guard! {
        let stream = borrow!(stream);
        let code = peer_code(code)?;
        let mut ends = stream.ends.lock();
        if !ends.reset {
            ends.reset = true;
            ends.stream.reset(code);
        }
    }
}

/// Gives up reading: what has arrived is dropped, and the peer's writes fail. The peer is told the code, at most
/// `MESHCHAT_CODE_MAX`. Writing goes on. A second call does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_stream_stop_reading(stream: *mut MeshStream, code: u64) -> i32 {
    guard! {
        let stream = borrow!(stream);
        let code = peer_code(code)?;
        let mut ends = stream.ends.lock();
        if !ends.stopped {
            ends.stopped = true;
            ends.stream.stop_reading(code);
        }
    }
}

/// How urgent the stream is among those of its connection: 0 most, `MESHCHAT_PRIORITY_MAX` least, 3 by default.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_stream_set_priority(stream: *mut MeshStream, priority: u8) -> i32 {
    guard! {
        let stream = borrow!(stream);
        if priority > MESHCHAT_PRIORITY_MAX {
            Err(Failure::invalid(format!("the priority {priority} is larger than MESHCHAT_PRIORITY_MAX")))?;
        }
        stream.ends.lock().stream.set_priority(priority);
    }
}

/// A descriptor for `poll` and the like, to be waited on as if it were the stream's own socket:
/// - Readable (`POLLIN`) from the start until `meshchat_stream_read` gives `MESHCHAT_WOULD_BLOCK`, and again as soon as it
///   would give something else: bytes, the end, or a failure.
/// - Writable (`POLLOUT`) from the start until `meshchat_stream_write` or `meshchat_stream_finish` gives
///   `MESHCHAT_WOULD_BLOCK`, and again as soon as half of the buffer is empty, for a finish that everything has arrived, or
///   that the call would fail.
///
/// It is made at the first call and belongs to the stream: never read from it, never write to it, never close it.
/// `MESHCHAT_BUSY` when the process has no descriptor left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_stream_fd(stream: *const MeshStream, fd: *mut c_int) -> i32 {
    guard! {
        let stream = borrow!(stream);
        let fd = out!(fd);
        fd.set(stream.readiness.fd()?);
    }
}

/// Frees a stream; its descriptor is closed. What it has not ended ends: it finishes writing, without waiting, and gives up
/// reading. What was written still goes out, as long as the connection is held by somebody. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_stream_free(stream: *mut MeshStream) {
    guard!(() => { free!(stream) })
}
