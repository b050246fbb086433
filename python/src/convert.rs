//! Values of the core as plain Python objects; `meshchat/events.py` gives them names.

use meshcore::{Event, IncomingMessage, LinkStatus, NodeInfo, RouteInfo, TraceHop, UnixTime, Warning};
use pyo3::prelude::*;

use crate::{error, files, insecure, rooms};

/// `(next_hop, hops, metric, mtu, link)`
type Route = (String, u8, u16, usize, String);

/// `(id, nickname, present, last_seen, route, mailbox, trust, is_contact)`
type Info = (String, Option<String>, bool, f64, Option<Route>, bool, &'static str, bool);

/// A message as the core handed it over; what Node.confirm() takes.
#[pyclass(frozen, module = "meshchat._core")]
pub(crate) struct Incoming {
    pub(crate) message: IncomingMessage,
}

#[pymethods]
impl Incoming {
    /// Position in the order of arrival at this node.
    #[getter]
    fn arrival(&self) -> u64 {
        self.message.arrival
    }

    /// Who wrote it.
    #[getter]
    fn sender(&self) -> String {
        self.message.from.to_string()
    }

    /// Its id, unique together with the sender.
    #[getter]
    fn id(&self) -> String {
        self.message.id.to_string()
    }

    /// The room that it was written to, if it was.
    #[getter]
    fn room(&self) -> Option<String> {
        self.message.room.map(|room| room.to_string())
    }

    /// What it says.
    #[getter]
    fn text(&self) -> &str {
        &self.message.text
    }

    /// When it was written, by the sender's clock, in seconds since 1970.
    #[getter]
    fn sent_at(&self) -> f64 {
        seconds(self.message.sent_at)
    }

    /// When it arrived, by our clock, in seconds since 1970.
    #[getter]
    fn received_at(&self) -> f64 {
        seconds(self.message.received_at)
    }
}

pub(crate) fn seconds(time: UnixTime) -> f64 {
    time.as_millis() as f64 / 1000.0
}

pub(crate) fn info(info: NodeInfo) -> Info {
    let nickname = info.nickname.map(|name| name.to_string());
    let (route, last_seen, trust) = (info.route.map(route), seconds(info.last_seen), info.trust.as_str());
    let id = info.id.to_string();
    (id, nickname, info.present, last_seen, route, info.mailbox, trust, info.is_contact)
}

fn route(route: RouteInfo) -> Route {
    (route.next_hop.to_string(), route.hops, route.metric, route.mtu, route.link)
}

/// `(hop, id, round-trip time in seconds)`
pub(crate) fn hop(hop: TraceHop) -> (u8, Option<String>, Option<f64>) {
    (hop.hop, hop.node.map(|id| id.to_string()), hop.rtt.map(|rtt| rtt.as_secs_f64()))
}

pub(crate) fn link(py: Python<'_>, link: &LinkStatus) -> (String, Option<Py<PyAny>>) {
    (link.spec.clone(), link.error.as_ref().map(|error| error::as_object(py, error)))
}

/// A tagged tuple; `None` for an event that this binding does not know.
pub(crate) fn event(py: Python<'_>, event: Event) -> PyResult<Option<Py<PyAny>>> {
    let object = match event {
        Event::NodeFound(node) => ("found", info(node)).into_pyobject(py)?.into_any(),
        Event::NodeLost(node) => ("lost", info(node)).into_pyobject(py)?.into_any(),
        Event::RouteChanged(node) => ("route", info(node)).into_pyobject(py)?.into_any(),
        Event::Message(message) => ("message", Incoming { message }).into_pyobject(py)?.into_any(),
        Event::Broadcast { from, text } => {
            ("broadcast", (from.to_string(), text)).into_pyobject(py)?.into_any()
        }
        Event::Status { id, to, status } => {
            ("status", (id.to_string(), to.to_string(), status.code())).into_pyobject(py)?.into_any()
        }
        Event::Warning(warning) => {
            ("warning", (warning_kind(&warning), warning.to_string())).into_pyobject(py)?.into_any()
        }
        Event::FileOffered(file) => ("file-offered", files::info(file)).into_pyobject(py)?.into_any(),
        Event::FileProgress(file) => ("file-progress", files::info(file)).into_pyobject(py)?.into_any(),
        Event::FileDone(file) => ("file-done", files::info(file)).into_pyobject(py)?.into_any(),
        Event::FileFailed(file) => ("file-failed", files::info(file)).into_pyobject(py)?.into_any(),
        Event::Room { room, name, change } => {
            ("room", rooms::change(room, &name, change)).into_pyobject(py)?.into_any()
        }
        Event::Insecure(event) => return insecure::event(py, event),
        _ => return Ok(None),
    };
    Ok(Some(object.unbind()))
}

fn warning_kind(warning: &Warning) -> &'static str {
    match warning {
        Warning::NicknameTaken { .. } | Warning::VerifiedRenamed { .. } => "nickname-taken",
        Warning::AddressConflict => "address-conflict",
        Warning::Link { .. } => "link",
        Warning::InsecureDropped { .. } => "insecure-dropped",
        Warning::Storage(_) => "storage",
        Warning::MailboxRefused { .. } => "mailbox-refused",
        Warning::FileWaits { .. } => "file-waits",
        _ => "other",
    }
}
