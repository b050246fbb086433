//! Errors of the core become exceptions that belong to Python.

use std::io;

use pyo3::prelude::*;

/// The exception for an error of the core. The classes live in `meshchat/errors.py`, which maps them by the name of
/// the [`meshcore::ErrorKind`].
pub(crate) fn exception(py: Python<'_>, error: &meshcore::Error) -> PyErr {
    named(py, &format!("{:?}", error.kind()), &error.to_string())
}

/// The exception for an argument that this binding itself refuses.
pub(crate) fn bad_argument(py: Python<'_>, text: &str) -> PyErr {
    named(py, "InvalidArgument", text)
}

/// The exception for a call on a stream that is over.
pub(crate) fn stream_closed(py: Python<'_>, text: &str) -> PyErr {
    named(py, "StreamClosed", text)
}

/// The exception for a failure of a stream.
pub(crate) fn of_stream(py: Python<'_>, failure: &io::Error) -> PyErr {
    match failure.kind() {
        io::ErrorKind::ConnectionAborted => named(py, "Disconnected", &failure.to_string()),
        _ => stream_closed(py, &failure.to_string()),
    }
}

/// The exception for a defect.
pub(crate) fn internal(py: Python<'_>, text: &str) -> PyErr {
    named(py, "Internal", text)
}

/// The exception object for an error of the core that is a value, not a failure of this call.
pub(crate) fn as_object(py: Python<'_>, error: &meshcore::Error) -> Py<PyAny> {
    exception(py, error).into_value(py).into_any()
}

fn named(py: Python<'_>, kind: &str, text: &str) -> PyErr {
    let made =
        py.import("meshchat.errors").and_then(|errors| errors.call_method1("error_of_kind", (kind, text)));
    match made {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}
