//! The history, and contacts as text.

use std::path::PathBuf;

use meshcore::{Contact, History, HistoryEntry, HistoryPage, HistoryQuery, KeepHistory, UnixTime};
use pyo3::prelude::*;

use crate::convert::seconds;
use crate::{error, job::Job, node, rooms};

/// `(with, room, search, since, until, limit, before, after)`; the times in milliseconds since 1970.
pub(crate) type Query = (
    Option<String>,
    Option<String>,
    Option<String>,
    Option<u64>,
    Option<u64>,
    usize,
    Option<u64>,
    Option<u64>,
);

/// `(position, is_own, peer, nickname, room, id, text, sent_at, received_at, status)`
type Entry =
    (u64, bool, String, Option<String>, Option<String>, String, String, f64, Option<f64>, Option<u8>);

pub(crate) fn query(py: Python<'_>, query: Query) -> PyResult<HistoryQuery> {
    let (with, room, search, since, until, limit, before, after) = query;
    let mut query = HistoryQuery::default().limit(limit);
    if let Some(with) = with {
        query = query.with(node::parse_id(py, &with)?);
    }
    if let Some(room) = room {
        query = query.room(rooms::parse(py, &room)?);
    }
    if let Some(search) = search {
        query = query.search(search);
    }
    if let Some(since) = since {
        query = query.since(UnixTime::from_millis(since));
    }
    if let Some(until) = until {
        query = query.until(UnixTime::from_millis(until));
    }
    if let Some(before) = before {
        query = query.before(before);
    }
    if let Some(after) = after {
        query = query.after(after);
    }
    Ok(query)
}

/// `(entries, more)`
pub(crate) fn page(py: Python<'_>, page: HistoryPage) -> PyResult<Py<PyAny>> {
    let entries: Vec<_> = page.entries.into_iter().map(entry).collect();
    Ok((entries, page.more).into_pyobject(py)?.into_any().unbind())
}

fn entry(entry: HistoryEntry) -> Entry {
    let HistoryEntry { position, is_own, peer, id, text, .. } = entry;
    let nickname = entry.nickname.map(|nickname| nickname.to_string());
    let room = entry.room.map(|room| room.to_string());
    let received_at = entry.received_at.map(seconds);
    let status = entry.status.map(meshcore::Status::code);
    let (peer, id, sent_at) = (peer.to_string(), id.to_string(), seconds(entry.sent_at));
    (position, is_own, peer, nickname, room, id, text, sent_at, received_at, status)
}

/// Messages of a home, whether a node runs there or not; a Job.
#[pyfunction]
pub(crate) fn read_history(py: Python<'_>, home: Option<PathBuf>, wanted: Query) -> PyResult<Job> {
    let query = query(py, wanted)?;
    Job::spawn(move || History::open(home.as_deref())?.page(&query), page)
}

/// The full id that a name means among the nodes that are known in a home; a Job.
#[pyfunction]
pub(crate) fn resolve_in_history(home: Option<PathBuf>, name: String) -> PyResult<Job> {
    let work = move || History::open(home.as_deref())?.resolve(&name);
    Job::spawn(work, |py, id| Ok(id.to_string().into_pyobject(py)?.into_any().unbind()))
}

/// The rooms that are known in a home; a Job.
#[pyfunction]
pub(crate) fn rooms_in_history(home: Option<PathBuf>) -> PyResult<Job> {
    let work = move || History::open(home.as_deref())?.rooms();
    Job::spawn(work, rooms::infos)
}

/// The full id that a name means among the rooms that are known in a home; a Job.
#[pyfunction]
pub(crate) fn resolve_room_in_history(home: Option<PathBuf>, name: String) -> PyResult<Job> {
    let work = move || History::open(home.as_deref())?.resolve_room(&name);
    Job::spawn(work, |py, id| Ok(id.to_string().into_pyobject(py)?.into_any().unbind()))
}

/// The nickname of a node that is known in a home; a Job.
#[pyfunction]
pub(crate) fn nickname_in_history(py: Python<'_>, home: Option<PathBuf>, id: &str) -> PyResult<Job> {
    let id = node::parse_id(py, id)?;
    let work = move || History::open(home.as_deref())?.nickname(id);
    let convert = |py: Python<'_>, nickname: Option<meshcore::Nickname>| {
        Ok(nickname.map(|name| name.to_string()).into_pyobject(py)?.into_any().unbind())
    };
    Job::spawn(work, convert)
}

pub(crate) fn contact(py: Python<'_>, text: &str) -> PyResult<Contact> {
    text.parse().map_err(|failure: meshcore::ContactError| error::bad_argument(py, &failure.to_string()))
}

/// `(id, nickname)` of a contact's text.
#[pyfunction]
pub(crate) fn parse_contact(py: Python<'_>, text: &str) -> PyResult<(String, Option<String>)> {
    let contact = contact(py, text)?;
    Ok((contact.id.to_string(), contact.nickname.map(|nickname| nickname.to_string())))
}

/// A contact as text.
#[pyfunction]
pub(crate) fn contact_text(py: Python<'_>, id: &str, nickname: Option<&str>) -> PyResult<String> {
    let id = node::parse_id(py, id)?;
    let nickname = nickname.map(str::parse).transpose();
    let nickname =
        nickname.map_err(|failure: meshcore::NicknameError| error::bad_argument(py, &failure.to_string()))?;
    Ok(Contact { id, nickname }.to_string())
}

/// How long messages stay: so many seconds, or so many messages, or for good.
pub(crate) fn keep(seconds: Option<u64>, messages: Option<u64>) -> KeepHistory {
    match (seconds, messages) {
        (Some(seconds), _) => KeepHistory::For(std::time::Duration::from_secs(seconds)),
        (None, Some(messages)) => KeepHistory::Messages(messages),
        (None, None) => KeepHistory::Everything,
    }
}
