//! A running node.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meshcore::{InsecureStreamId, NodeId};
use pyo3::prelude::*;

use crate::answers::{Answer, Answers, Value};
use crate::convert::{self, Incoming};
use crate::{error, files, insecure, job::Job, people, rooms, streams, tasks};

/// A running node. Dropping it stops the node.
#[pyclass(frozen, module = "meshchat._core")]
pub(crate) struct Node {
    core: Arc<meshcore::Node>,
    answers: Arc<Answers>,
}

/// `(token, value, None)` or `(token, None, exception)`
type PyAnswer = (u64, Option<Py<PyAny>>, Option<Py<PyAny>>);

pub(crate) fn parse_id(py: Python<'_>, text: &str) -> PyResult<NodeId> {
    text.parse().map_err(|failure: meshcore::ParseIdError| error::bad_argument(py, &failure.to_string()))
}

fn seconds(py: Python<'_>, seconds: f64) -> PyResult<Duration> {
    let text = || format!("{seconds} seconds are no length of time: give a number from 0 on");
    Duration::try_from_secs_f64(seconds).map_err(|_| error::bad_argument(py, &text()))
}

fn info_job(pending: meshcore::Pending<meshcore::NodeInfo>) -> PyResult<Job> {
    let convert = |py: Python<'_>, node| Ok(convert::info(node).into_pyobject(py)?.into_any().unbind());
    Job::spawn(move || pending.wait(), convert)
}

/// Starts a node; a Job of Node. `mailbox`: quota, quota of a sender, seconds.
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "one for each argument of the Python class")]
pub(crate) fn start(
    py: Python<'_>,
    home: Option<PathBuf>,
    temporary: bool,
    nickname: Option<String>,
    passphrase: Option<String>,
    key_bits: Option<usize>,
    links: Vec<String>,
    v1: Vec<String>,
    network_key_file: Option<PathBuf>,
    mailbox: Option<(u64, u64, f64)>,
    downloads: Option<PathBuf>,
    keep_seconds: Option<u64>,
    keep_messages: Option<u64>,
) -> PyResult<Job> {
    let keep = people::keep(keep_seconds, keep_messages);
    let mut builder = meshcore::Node::builder().keep_history(keep);
    if let Some(home) = home {
        builder = builder.home(home);
    }
    if temporary {
        builder = builder.temporary();
    }
    if let Some(nickname) = nickname {
        builder = builder.nickname(nickname);
    }
    if let Some(passphrase) = passphrase {
        builder = builder.passphrase(passphrase);
    }
    if let Some(bits) = key_bits {
        builder = builder.key_bits(bits);
    }
    if let Some(file) = network_key_file {
        builder = builder.network_key_file(file);
    }
    if let Some((quota, sender_quota, keep)) = mailbox {
        let keep = seconds(py, keep)?;
        builder = builder.mailbox(meshcore::MailboxConfig { quota, sender_quota, keep });
    }
    if let Some(folder) = downloads {
        builder = builder.downloads(folder);
    }
    builder = links.into_iter().fold(builder, meshcore::Builder::link);
    builder = v1.into_iter().fold(builder, meshcore::Builder::v1);
    let answers = Arc::new(Answers::new()?);
    Job::spawn(
        move || builder.start_blocking(),
        move |py, core| Ok(Py::new(py, Node { core: Arc::new(core), answers })?.into_any()),
    )
}

#[pymethods]
impl Node {
    /// NODE_ID.
    #[getter]
    fn id(&self) -> String {
        self.core.id().to_string()
    }

    /// The name that this node shows to others.
    #[getter]
    fn nickname(&self) -> Option<String> {
        self.core.nickname().map(ToString::to_string)
    }

    /// The folder of key, outbox and history.
    #[getter]
    fn home(&self) -> &Path {
        self.core.home()
    }

    /// Each link that was asked for, with the exception that says why it is not open.
    #[getter]
    fn links(&self, py: Python<'_>) -> Vec<(String, Option<Py<PyAny>>)> {
        self.core.links().iter().map(|link| convert::link(py, link)).collect()
    }

    /// All nodes that are known; a Job.
    fn nodes(&self) -> PyResult<Job> {
        let pending = self.core.nodes();
        let convert = |py: Python<'_>, nodes: Vec<meshcore::NodeInfo>| {
            let nodes: Vec<_> = nodes.into_iter().map(convert::info).collect();
            Ok(nodes.into_pyobject(py)?.unbind())
        };
        Job::spawn(move || pending.wait(), convert)
    }

    /// The node that a query means; a Job.
    fn resolve(&self, query: &str) -> PyResult<Job> {
        info_job(self.core.resolve(query))
    }

    /// Says something to every node in reach; a Job.
    fn broadcast(&self, text: String) -> PyResult<Job> {
        let pending = self.core.broadcast(text);
        Job::spawn(move || pending.wait(), |py, ()| Ok(py.None()))
    }

    /// Asks a node for an answer for at most `timeout` seconds; a Job of the round-trip time in seconds.
    fn ping(&self, py: Python<'_>, to: &str, timeout: f64) -> PyResult<Job> {
        let to = parse_id(py, to)?;
        let timeout = Duration::try_from_secs_f64(timeout).map_err(|_| {
            error::bad_argument(py, &format!("{timeout} seconds are no time limit: give 0 to 10"))
        })?;
        let pending = self.core.ping(to, timeout);
        let convert = |py: Python<'_>, pong: meshcore::Pong| {
            Ok(pong.rtt.as_secs_f64().into_pyobject(py)?.into_any().unbind())
        };
        Job::spawn(move || pending.wait(), convert)
    }

    /// The way to a node; a Job.
    fn trace(&self, py: Python<'_>, to: &str) -> PyResult<Job> {
        let pending = self.core.trace(parse_id(py, to)?);
        let convert = |py: Python<'_>, hops: Vec<meshcore::TraceHop>| {
            let hops: Vec<_> = hops.into_iter().map(convert::hop).collect();
            Ok(hops.into_pyobject(py)?.unbind())
        };
        Job::spawn(move || pending.wait(), convert)
    }

    /// Sends a text that is given up after `lifetime` seconds; take_answers() gives the answer under the number `token`.
    #[pyo3(signature = (token, to, text, lifetime=None))]
    fn send(
        &self,
        py: Python<'_>,
        token: u64,
        to: &str,
        text: String,
        lifetime: Option<f64>,
    ) -> PyResult<()> {
        let to = parse_id(py, to)?;
        let lifetime = lifetime.map(|lifetime| seconds(py, lifetime)).transpose()?;
        let answers = Arc::clone(&self.answers);
        let done = move |result: Result<meshcore::MessageId, _>| {
            answers.push((token, result.map(|id| Value::Text(id.to_string()))))
        };
        py.detach(|| self.core.send_then(to, text, lifetime, done));
        Ok(())
    }

    /// Sends a text to somebody who is called so, as send().
    #[pyo3(signature = (token, to, name, text, lifetime=None))]
    fn send_named(
        &self,
        py: Python<'_>,
        token: u64,
        to: &str,
        name: &str,
        text: String,
        lifetime: Option<f64>,
    ) -> PyResult<()> {
        let to = parse_id(py, to)?;
        let lifetime = lifetime.map(|lifetime| seconds(py, lifetime)).transpose()?;
        let answers = Arc::clone(&self.answers);
        let done = move |result: Result<meshcore::MessageId, _>| {
            answers.push((token, result.map(|id| Value::Text(id.to_string()))));
        };
        py.detach(|| self.core.send_named_then(to, name, text, lifetime, done));
        Ok(())
    }

    /// Messages; a Job.
    fn history(&self, py: Python<'_>, wanted: people::Query) -> PyResult<Job> {
        let pending = self.core.history(people::query(py, wanted)?);
        Job::spawn(move || pending.wait(), people::page)
    }

    /// Eight words to compare by voice with the node `peer`.
    fn safety_words(&self, py: Python<'_>, peer: &str) -> PyResult<Vec<&'static str>> {
        Ok(self.core.safety_words(parse_id(py, peer)?))
    }

    /// Notes that safety words were compared; a Job.
    fn verify(&self, py: Python<'_>, id: &str) -> PyResult<Job> {
        info_job(self.core.verify(parse_id(py, id)?))
    }

    /// Takes verify() back; a Job.
    fn unverify(&self, py: Python<'_>, id: &str) -> PyResult<Job> {
        info_job(self.core.unverify(parse_id(py, id)?))
    }

    /// Hears nothing of a node any more; a Job.
    fn block(&self, py: Python<'_>, id: &str) -> PyResult<Job> {
        info_job(self.core.block(parse_id(py, id)?))
    }

    /// Takes block() back; a Job.
    fn unblock(&self, py: Python<'_>, id: &str) -> PyResult<Job> {
        info_job(self.core.unblock(parse_id(py, id)?))
    }

    /// Keeps a contact; a Job.
    fn import_contact(&self, py: Python<'_>, text: &str) -> PyResult<Job> {
        info_job(self.core.import_contact(&people::contact(py, text)?))
    }

    /// Connects to a node; take_answers() gives the Connection under the number `token`.
    fn connect(&self, py: Python<'_>, token: u64, to: &str) -> PyResult<()> {
        let pending = self.core.connect(parse_id(py, to)?);
        tasks::ask(&self.answers, token, async { pending.await.map(Value::Connection) });
        Ok(())
    }

    /// Takes connections; take_answers() gives the Listener under the number `token`.
    fn listen(&self, token: u64) {
        let pending = self.core.listen();
        tasks::ask(&self.answers, token, async { pending.await.map(Value::Listener) });
    }

    /// Offers a file; a Job of its id.
    #[pyo3(signature = (to, path, name=None))]
    fn send_file(&self, py: Python<'_>, to: &str, path: PathBuf, name: Option<&str>) -> PyResult<Job> {
        files::send(py, &self.core, to, name, path)
    }

    /// Accepts a file, into the folder of the downloads or another one; a Job.
    fn accept_file(&self, py: Python<'_>, id: &str, folder: Option<PathBuf>) -> PyResult<Job> {
        files::accept(py, &self.core, id, folder)
    }

    /// Refuses a file; a Job.
    fn refuse_file(&self, py: Python<'_>, id: &str) -> PyResult<Job> {
        Job::of_nothing(self.core.refuse_file(files::parse(py, id)?))
    }

    /// Gives up a file; a Job.
    fn cancel_file(&self, py: Python<'_>, id: &str) -> PyResult<Job> {
        Job::of_nothing(self.core.cancel_file(files::parse(py, id)?))
    }

    /// The files; a Job.
    fn files(&self) -> PyResult<Job> {
        files::list(&self.core)
    }

    /// Makes a room; a Job of its id.
    fn create_room(&self, name: &str) -> PyResult<Job> {
        rooms::create(&self.core, name)
    }

    /// The rooms; a Job.
    fn rooms(&self) -> PyResult<Job> {
        rooms::list(&self.core)
    }

    /// The room that a query means; a Job.
    fn resolve_room(&self, query: &str) -> PyResult<Job> {
        rooms::resolve(&self.core, query)
    }

    /// Invites a node to a room; a Job.
    fn invite_to_room(&self, py: Python<'_>, room: &str, node: &str) -> PyResult<Job> {
        Job::of_nothing(self.core.invite_to_room(rooms::parse(py, room)?, parse_id(py, node)?))
    }

    /// Takes a node out of a room; a Job.
    fn remove_from_room(&self, py: Python<'_>, room: &str, node: &str) -> PyResult<Job> {
        Job::of_nothing(self.core.remove_from_room(rooms::parse(py, room)?, parse_id(py, node)?))
    }

    /// Accepts the invitation to a room; a Job.
    fn join_room(&self, py: Python<'_>, room: &str) -> PyResult<Job> {
        Job::of_nothing(self.core.join_room(rooms::parse(py, room)?))
    }

    /// Leaves a room; a Job.
    fn leave_room(&self, py: Python<'_>, room: &str) -> PyResult<Job> {
        Job::of_nothing(self.core.leave_room(rooms::parse(py, room)?))
    }

    /// Sends a text, which is given up after `lifetime` seconds, to a room; a Job of its id.
    #[pyo3(signature = (room, text, lifetime=None))]
    fn send_to_room(&self, py: Python<'_>, room: &str, text: String, lifetime: Option<f64>) -> PyResult<Job> {
        let lifetime = lifetime.map(|lifetime| seconds(py, lifetime)).transpose()?;
        rooms::send(self.core.send_to_room(rooms::parse(py, room)?, text, lifetime))
    }

    /// The v1 nodes that were heard lately; a Job.
    fn insecure_nodes(&self) -> PyResult<Job> {
        insecure::nodes(&self.core)
    }

    /// Sends a text to a v1 node; take_answers() gives the message's number under the number `token`.
    fn send_insecure(&self, py: Python<'_>, token: u64, to: &str, text: String) -> PyResult<()> {
        let to = insecure::parse(py, to)?;
        let answers = Arc::clone(&self.answers);
        let done = move |result: Result<meshcore::InsecureMessageId, _>| {
            answers.push((token, result.map(|id| Value::Text(id.to_string()))));
        };
        py.detach(|| self.core.send_insecure_then(to, text, done));
        Ok(())
    }

    /// Opens a stream to a v1 node; take_answers() gives its number under the number `token`.
    fn connect_insecure(&self, py: Python<'_>, token: u64, to: &str) -> PyResult<()> {
        let to = insecure::parse(py, to)?;
        let answers = Arc::clone(&self.answers);
        let done = move |result: Result<meshcore::InsecureStreamId, _>| {
            answers.push((token, result.map(|id| Value::Text(id.to_string()))));
        };
        py.detach(|| self.core.connect_insecure_then(to, done));
        Ok(())
    }

    /// Sends a text to every v1 node; a Job.
    fn broadcast_insecure(&self, text: String) -> PyResult<Job> {
        Job::of_nothing(self.core.broadcast_insecure(text))
    }

    /// Sends data on a stream; a Job.
    fn write_insecure(&self, stream: u64, data: Vec<u8>) -> PyResult<Job> {
        Job::of_nothing(self.core.write_insecure(InsecureStreamId(stream), data))
    }

    /// Ends a stream; a Job.
    fn close_insecure(&self, stream: u64) -> PyResult<Job> {
        Job::of_nothing(self.core.close_insecure(InsecureStreamId(stream)))
    }

    /// Readable while take_answers() has something.
    fn answers_fileno(&self) -> i32 {
        self.answers.fileno()
    }

    /// The answers that are there.
    fn take_answers(&self, py: Python<'_>) -> PyResult<Vec<PyAnswer>> {
        let convert = |(token, result): Answer| match result {
            Ok(value) => Ok((token, Some(streams::object(py, &self.answers, value)?), None)),
            Err(failure) => Ok((token, None, Some(error::as_object(py, &failure)))),
        };
        self.answers.take_all().into_iter().map(convert).collect()
    }

    /// Readable while next_event() has something, or the node has stopped.
    fn events_fileno(&self) -> i32 {
        self.core.events().as_fd().as_raw_fd()
    }

    /// The next event as a tagged tuple, if one waits.
    fn next_event(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        while let Some(event) = self.core.events().try_next() {
            if let Some(object) = convert::event(py, event)? {
                return Ok(Some(object));
            }
        }
        Ok(None)
    }

    /// Whether the node has stopped: no event will be added.
    fn is_stopped(&self) -> bool {
        self.core.events().is_stopped()
    }

    /// Confirms a message and all that arrived before it.
    fn confirm(&self, py: Python<'_>, incoming: &Incoming) -> PyResult<()> {
        let confirmed = py.detach(|| self.core.confirm(&incoming.message));
        confirmed.map_err(|failure| error::exception(py, &failure))
    }

    /// Tells the sender that a message was read, and those before it.
    fn mark_read(&self, py: Python<'_>, incoming: &Incoming) {
        py.detach(|| self.core.mark_read(&incoming.message));
    }

    /// Stops the node; a Job.
    fn stop(&self) -> PyResult<Job> {
        let core = Arc::clone(&self.core);
        let work = move || {
            core.stop_blocking();
            Ok(())
        };
        Job::spawn(work, |py, ()| Ok(py.None()))
    }
}
