//! Connections and streams; `meshchat/connection.py` and `meshchat/streams.py` make them asynchronous.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use meshcore::Statistics;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::answers::{Answers, Value};
use crate::{error, tasks};

/// Reads of up to this many bytes go over the stack.
const SMALL: usize = 4096;

/// A connection with another node.
#[pyclass(frozen, module = "meshchat._core")]
pub(crate) struct Connection {
    core: meshcore::Connection,
    answers: Arc<Answers>,
}

/// What a call made as a Python object.
pub(crate) fn object(py: Python<'_>, answers: &Arc<Answers>, value: Value) -> PyResult<Py<PyAny>> {
    let answers = Arc::clone(answers);
    Ok(match value {
        Value::Text(text) => text.into_pyobject(py)?.into_any().unbind(),
        Value::Connection(core) => Py::new(py, Connection { core, answers })?.into_any(),
        Value::Listener(core) => {
            let listening = Arc::new(Mutex::new(Listening { core: Some(core), waiting: None }));
            Py::new(py, Listener { listening, answers })?.into_any()
        }
        Value::Stream(core) => Py::new(py, Stream::new(core, answers))?.into_any(),
        Value::Datagram(data) => PyBytes::new(py, &data).into_any().unbind(),
        Value::Statistics(numbers) => statistics(py, &numbers)?.into_any().unbind(),
        Value::Nothing => py.None(),
    })
}

fn statistics<'py>(py: Python<'py>, numbers: &Statistics) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    let times = [
        ("rtt", numbers.rtt),
        ("latest_rtt", numbers.latest_rtt),
        ("min_rtt", numbers.min_rtt),
        ("rtt_variation", numbers.rtt_variation),
    ];
    for (name, time) in times {
        fields.set_item(name, time.as_secs_f64())?;
    }
    fields.set_item("slow_start_threshold", numbers.slow_start_threshold)?;
    let counts = [
        ("congestion_window", numbers.congestion_window),
        ("congestion_events", numbers.congestion_events),
        ("bytes_in_flight", numbers.bytes_in_flight),
        ("bytes_sent", numbers.bytes_sent),
        ("bytes_received", numbers.bytes_received),
        ("packets_sent", numbers.packets_sent),
        ("packets_received", numbers.packets_received),
        ("packets_lost", numbers.packets_lost),
        ("packets_spurious", numbers.packets_spurious),
        ("bytes_retransmitted", numbers.bytes_retransmitted),
        ("datagrams_sent", numbers.datagrams.sent),
        ("datagrams_received", numbers.datagrams.received),
        ("datagrams_dropped", numbers.datagrams.dropped),
        ("streams", numbers.streams as u64),
        ("mtu", numbers.mtu as u64),
        ("key_updates", numbers.key_updates),
    ];
    for (name, count) in counts {
        fields.set_item(name, count)?;
    }
    Ok(fields)
}

#[pymethods]
impl Connection {
    /// NODE_ID of the node at the other end.
    #[getter]
    fn peer(&self) -> String {
        self.core.peer().to_string()
    }

    /// Opens a stream, the answer to `token`.
    fn open(&self, token: u64) {
        let core = self.core.clone();
        tasks::ask(&self.answers, token, async move { core.open().await.map(Value::Stream) });
    }

    /// Takes a stream that the peer has opened, the answer to `token`.
    fn accept(&self, token: u64) {
        let core = self.core.clone();
        tasks::ask(&self.answers, token, async move { core.accept().await.map(Value::Stream) });
    }

    /// Sends a datagram; `token` is answered when it is on its way.
    fn send_datagram(&self, token: u64, data: Vec<u8>) {
        let core = self.core.clone();
        tasks::ask(
            &self.answers,
            token,
            async move { core.send_datagram(data).await.map(|()| Value::Nothing) },
        );
    }

    /// Takes a datagram, the answer to `token`.
    fn read_datagram(&self, token: u64) {
        let core = self.core.clone();
        tasks::ask(&self.answers, token, async move { core.read_datagram().await.map(Value::Datagram) });
    }

    /// Numbers about the connection, the answer to `token`.
    fn statistics(&self, token: u64) {
        let core = self.core.clone();
        tasks::ask(&self.answers, token, async move {
            core.statistics().await.map(|numbers| Value::Statistics(Box::new(numbers)))
        });
    }

    /// Waits until the connection is over; the answer to `token` tells why.
    fn closed(&self, token: u64) {
        let core = self.core.clone();
        tasks::ask(&self.answers, token, async move { Ok(Value::Text(core.closed().await)) });
    }

    /// Closes the connection at once.
    fn close(&self, code: u64, reason: &str) {
        self.core.close(code, reason);
    }
}

/// Takes connections of other nodes.
#[pyclass(frozen, module = "meshchat._core")]
pub(crate) struct Listener {
    listening: Arc<Mutex<Listening>>,
    answers: Arc<Answers>,
}

struct Listening {
    core: Option<meshcore::Listener>,
    waiting: Option<Waker>,
}

#[pymethods]
impl Listener {
    /// Takes a connection, the answer to `token`; None when there will be none. One waits at a time.
    fn accept(&self, token: u64) {
        let listening = Arc::clone(&self.listening);
        let accept = std::future::poll_fn(move |cx| {
            let mut listening = listening.lock();
            listening.waiting = Some(cx.waker().clone());
            let Some(core) = listening.core.as_mut() else { return Poll::Ready(Ok(Value::Nothing)) };
            // The queue of connections remembers who waits, not this future.
            let accepted = std::pin::pin!(core.accept()).poll(cx);
            accepted.map(|connection| Ok(connection.map_or(Value::Nothing, Value::Connection)))
        });
        tasks::ask(&self.answers, token, accept);
    }

    /// Takes no more; who waits is answered.
    fn close(&self) {
        let waiting = {
            let mut listening = self.listening.lock();
            listening.core.take();
            listening.waiting.take()
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// A stream of bytes in both directions. Nothing here waits.
#[pyclass(frozen, module = "meshchat._core")]
pub(crate) struct Stream {
    open: Mutex<Option<Open>>,
    answers: Arc<Answers>,
    id: u64,
}

struct Open {
    core: meshcore::Stream,
    reader: Waker,
    writer: Waker,
}

impl Stream {
    fn new(core: meshcore::Stream, answers: Arc<Answers>) -> Self {
        let (reader, writer) = (Waker::noop().clone(), Waker::noop().clone());
        Self { id: core.id(), open: Mutex::new(Some(Open { core, reader, writer })), answers }
    }

    fn with<T>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Open) -> Poll<io::Result<T>>,
    ) -> PyResult<Option<T>> {
        let mut slot = self.open.lock();
        let Some(open) = slot.as_mut() else { return Err(error::stream_closed(py, "the stream is closed")) };
        match act(open) {
            Poll::Pending => Ok(None),
            Poll::Ready(Ok(value)) => Ok(Some(value)),
            Poll::Ready(Err(failure)) => Err(error::of_stream(py, &failure)),
        }
    }
}

#[pymethods]
impl Stream {
    /// Number of the stream in its connection.
    #[getter]
    fn id(&self) -> u64 {
        self.id
    }

    /// The tokens that are answered when there is something to read, and room to write, after there was none.
    fn watch(&self, readable: u64, writable: u64) {
        if let Some(open) = self.open.lock().as_mut() {
            open.reader = self.answers.waker(readable);
            open.writer = self.answers.waker(writable);
        }
    }

    /// All bytes that are there, `limit` at most: none at the end of the stream, None when there are none yet.
    fn read<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.with(py, |open| {
            let cx = &mut Context::from_waker(&open.reader);
            let len = open.core.available().min(limit);
            if len > SMALL {
                return Poll::Ready(read_much(py, cx, &mut open.core, len));
            }
            let mut small = [0; SMALL];
            let mut into = ReadBuf::new(&mut small[..limit.min(SMALL)]);
            let read = Pin::new(&mut open.core).poll_read(cx, &mut into);
            read.map_ok(|()| PyBytes::new(py, into.filled()))
        })
    }

    /// Takes bytes of `data` from `start` on; how many there was room for.
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyBytes>, start: usize) -> PyResult<usize> {
        let mut rest = data.as_bytes().get(start..).unwrap_or_default();
        let before = rest.len();
        self.with(py, |open| {
            let cx = &mut Context::from_waker(&open.writer);
            while !rest.is_empty() {
                match Pin::new(&mut open.core).poll_write(cx, rest) {
                    Poll::Ready(Ok(taken)) => rest = rest.get(taken..).unwrap_or_default(),
                    Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                    Poll::Pending => break,
                }
            }
            Poll::Ready(Ok(()))
        })?;
        Ok(before - rest.len())
    }

    /// Ends this node's direction; whether everything has arrived.
    fn finish(&self, py: Python<'_>) -> PyResult<bool> {
        let done = self.with(py, |open| {
            Pin::new(&mut open.core).poll_shutdown(&mut Context::from_waker(&open.writer))
        })?;
        Ok(done.is_some())
    }

    /// Gives up this node's direction.
    fn reset(&self, code: u64) {
        if let Some(open) = self.open.lock().as_mut() {
            open.core.reset(code);
        }
    }

    /// Gives up reading.
    fn stop_reading(&self, code: u64) {
        if let Some(open) = self.open.lock().as_mut() {
            open.core.stop_reading(code);
        }
    }

    /// Sets how urgent the stream is.
    fn set_priority(&self, priority: u8) {
        if let Some(open) = self.open.lock().as_ref() {
            open.core.set_priority(priority);
        }
    }

    /// Lets go of the stream: this node's direction ends, and reading is given up.
    fn close(&self) {
        self.open.lock().take();
    }
}

/// Reads `len` bytes that are there straight into a Python object.
fn read_much<'py>(
    py: Python<'py>,
    cx: &mut Context<'_>,
    core: &mut meshcore::Stream,
    len: usize,
) -> io::Result<Bound<'py, PyBytes>> {
    let mut outcome = Ok(());
    let bytes = PyBytes::new_with(py, len, |buffer| {
        let mut into = ReadBuf::new(buffer);
        while into.remaining() > 0 {
            match Pin::new(&mut *core).poll_read(cx, &mut into) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(failure)) => {
                    outcome = Err(failure);
                    break;
                }
                // Nobody else takes what was available.
                Poll::Pending => {
                    outcome = Err(io::ErrorKind::WouldBlock.into());
                    break;
                }
            }
        }
        Ok(())
    });
    outcome.and(bytes.map_err(|_| io::ErrorKind::OutOfMemory.into()))
}
