//! AlexMesh v1: programs that speak nothing newer. Insecure, all of it; `meshchat/insecure.py` gives the values names.

use meshcore::{InsecureCloseReason, InsecureEvent, InsecureNode, V1Address};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error;
use crate::job::Job;

pub(crate) fn parse(py: Python<'_>, text: &str) -> PyResult<V1Address> {
    text.parse()
        .map_err(|failure: meshcore::ParseV1AddressError| error::bad_argument(py, &failure.to_string()))
}

/// The address of a v1 node in its usual form.
#[pyfunction]
pub(crate) fn insecure_address(py: Python<'_>, text: &str) -> PyResult<String> {
    Ok(parse(py, text)?.to_string())
}

/// A Job of `(address, direct)` for each node.
pub(crate) fn nodes(core: &meshcore::Node) -> PyResult<Job> {
    let pending = core.insecure_nodes();
    let convert = |py: Python<'_>, nodes: Vec<InsecureNode>| {
        let nodes: Vec<_> = nodes.into_iter().map(|node| (node.address.to_string(), node.direct)).collect();
        Ok(nodes.into_pyobject(py)?.unbind())
    };
    Job::spawn(move || pending.wait(), convert)
}

/// A tagged tuple; `None` for an event that this binding does not know.
pub(crate) fn event(py: Python<'_>, event: InsecureEvent) -> PyResult<Option<Py<PyAny>>> {
    match event {
        InsecureEvent::NodeFound { node } => tagged(py, "v1-found", node.to_string()),
        InsecureEvent::NodeLost { node } => tagged(py, "v1-lost", node.to_string()),
        InsecureEvent::Message { from, text, to_all } => {
            tagged(py, "v1-message", (from.to_string(), text, to_all))
        }
        InsecureEvent::Delivered { id, to } => tagged(py, "v1-delivered", (id.0, to.to_string())),
        InsecureEvent::Failed { id, to } => tagged(py, "v1-failed", (id.0, to.to_string())),
        InsecureEvent::StreamOpened { stream, peer, by_peer } => {
            tagged(py, "v1-opened", (stream.0, peer.to_string(), by_peer))
        }
        InsecureEvent::StreamData { stream, peer, data } => {
            tagged(py, "v1-data", (stream.0, peer.to_string(), PyBytes::new(py, &data)))
        }
        InsecureEvent::StreamClosed { stream, peer, reason } => {
            let values = (stream.0, peer.to_string(), reason_name(reason), reason.to_string());
            tagged(py, "v1-closed", values)
        }
        _ => Ok(None),
    }
}

fn tagged<'py>(py: Python<'py>, tag: &str, values: impl IntoPyObject<'py>) -> PyResult<Option<Py<PyAny>>> {
    Ok(Some((tag, values).into_pyobject(py)?.into_any().unbind()))
}

fn reason_name(reason: InsecureCloseReason) -> &'static str {
    match reason {
        InsecureCloseReason::Here => "here",
        InsecureCloseReason::Peer => "peer",
        InsecureCloseReason::NoAnswer => "no-answer",
        InsecureCloseReason::Idle => "idle",
        InsecureCloseReason::Replaced => "replaced",
        InsecureCloseReason::LinkDown => "link-down",
        _ => "other",
    }
}
