//! Rooms.

use meshcore::{MessageId, Node, Pending, RoomChange, RoomId, RoomInfo};
use pyo3::prelude::*;

use crate::error;
use crate::job::Job;

/// `(id, name, owner, standing, members, invited, version)`
type Room = (String, String, String, &'static str, Vec<String>, Vec<String>, u64);

/// `(room, name, change, node)`
pub(crate) type Change = (String, String, &'static str, Option<String>);

fn info(room: RoomInfo) -> Room {
    let texts = |nodes: Vec<meshcore::NodeId>| nodes.iter().map(ToString::to_string).collect();
    (
        room.id.to_string(),
        room.name.to_string(),
        room.owner.to_string(),
        room.standing.as_str(),
        texts(room.members),
        texts(room.invited),
        room.version,
    )
}

pub(crate) fn change(room: RoomId, name: &meshcore::Nickname, change: RoomChange) -> Change {
    (room.to_string(), name.to_string(), change.as_str(), change.node().map(|node| node.to_string()))
}

pub(crate) fn parse(py: Python<'_>, text: &str) -> PyResult<RoomId> {
    text.parse().map_err(|failure: meshcore::ParseIdError| error::bad_argument(py, &failure.to_string()))
}

/// A call that gives an id.
fn id_job<T: ToString + Send + 'static>(pending: Pending<T>) -> PyResult<Job> {
    let convert = |py: Python<'_>, id: T| Ok(id.to_string().into_pyobject(py)?.into_any().unbind());
    Job::spawn(move || pending.wait(), convert)
}

pub(crate) fn create(core: &Node, name: &str) -> PyResult<Job> {
    id_job::<RoomId>(core.create_room(name))
}

pub(crate) fn send(pending: Pending<MessageId>) -> PyResult<Job> {
    id_job(pending)
}

pub(crate) fn list(core: &Node) -> PyResult<Job> {
    let pending = core.rooms();
    Job::spawn(move || pending.wait(), infos)
}

pub(crate) fn infos(py: Python<'_>, rooms: Vec<RoomInfo>) -> PyResult<Py<PyAny>> {
    let rooms: Vec<_> = rooms.into_iter().map(info).collect();
    Ok(rooms.into_pyobject(py)?.unbind())
}

pub(crate) fn resolve(core: &Node, query: &str) -> PyResult<Job> {
    let pending = core.resolve_room(query);
    let convert = |py: Python<'_>, room| Ok(info(room).into_pyobject(py)?.into_any().unbind());
    Job::spawn(move || pending.wait(), convert)
}
