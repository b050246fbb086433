//! Files that are sent and received.

use std::path::PathBuf;

use meshcore::{FileId, FileInfo, Node};
use pyo3::prelude::*;

use crate::convert::seconds;
use crate::error;
use crate::job::Job;
use crate::node::parse_id;

/// `(id, peer, incoming, name, size, done, state, reason, path, offered_at)`
type File = (String, String, bool, String, u64, u64, u8, Option<String>, Option<PathBuf>, f64);

pub(crate) fn info(file: FileInfo) -> File {
    (
        file.id.to_string(),
        file.peer.to_string(),
        file.incoming,
        file.name,
        file.size,
        file.done,
        file.state.code(),
        file.reason.map(|reason| reason.to_string()),
        file.path,
        seconds(file.offered_at),
    )
}

pub(crate) fn parse(py: Python<'_>, text: &str) -> PyResult<FileId> {
    text.parse().map_err(|failure: meshcore::ParseIdError| error::bad_argument(py, &failure.to_string()))
}

pub(crate) fn send(
    py: Python<'_>,
    core: &Node,
    to: &str,
    name: Option<&str>,
    path: PathBuf,
) -> PyResult<Job> {
    let to = parse_id(py, to)?;
    let pending = match name {
        Some(name) => core.send_file_named(to, name, path),
        None => core.send_file(to, path),
    };
    let convert = |py: Python<'_>, id: FileId| Ok(id.to_string().into_pyobject(py)?.into_any().unbind());
    Job::spawn(move || pending.wait(), convert)
}

pub(crate) fn accept(py: Python<'_>, core: &Node, id: &str, folder: Option<PathBuf>) -> PyResult<Job> {
    let id = parse(py, id)?;
    Job::of_nothing(match folder {
        Some(folder) => core.accept_file_into(id, folder),
        None => core.accept_file(id),
    })
}

pub(crate) fn list(core: &Node) -> PyResult<Job> {
    let pending = core.files();
    let convert = |py: Python<'_>, files: Vec<FileInfo>| {
        let files: Vec<_> = files.into_iter().map(info).collect();
        Ok(files.into_pyobject(py)?.unbind())
    };
    Job::spawn(move || pending.wait(), convert)
}
