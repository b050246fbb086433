//! Work that takes time, on a thread of its own.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::error;

type Outcome = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// Work on a thread of its own. Its descriptor becomes readable when result() has an answer.
#[pyclass(frozen, module = "meshchat._core")]
pub(crate) struct Job {
    outcome: Arc<Mutex<Option<Outcome>>>,
    done: UnixStream,
}

impl Job {
    /// Runs `work` on a new thread; `convert` turns its result into a Python object when somebody asks for it.
    pub(crate) fn spawn<T, W, C>(work: W, convert: C) -> PyResult<Self>
    where
        T: Send + 'static,
        W: FnOnce() -> Result<T, meshcore::Error> + Send + 'static,
        C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    {
        let (done, signal) = UnixStream::pair()?;
        let outcome = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&outcome);
        std::thread::Builder::new().name("meshchat-job".into()).spawn(move || {
            // Closing the other end makes `done` readable, also when `work` panics.
            let _signal = signal;
            let result = work();
            let finish: Outcome = Box::new(move |py| match result {
                Ok(value) => convert(py, value),
                Err(error) => Err(error::exception(py, &error)),
            });
            *slot.lock() = Some(finish);
        })?;
        Ok(Self { outcome, done })
    }

    /// Waits for a call that gives nothing.
    pub(crate) fn of_nothing(pending: meshcore::Pending<()>) -> PyResult<Self> {
        Self::spawn(move || pending.wait(), |py, ()| Ok(py.None()))
    }
}

#[pymethods]
impl Job {
    /// The descriptor to wait on; never read from it.
    fn fileno(&self) -> i32 {
        self.done.as_raw_fd()
    }

    /// What the work gave. Ask once, after the descriptor became readable.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let outcome = self.outcome.lock().take();
        match outcome {
            Some(finish) => finish(py),
            None => {
                Err(error::internal(py, "the result of a job was asked for before it was there, or twice"))
            }
        }
    }
}
