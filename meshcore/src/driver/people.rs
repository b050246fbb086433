//! What a running node's person knows: the history, and whom to trust.

use std::thread;
use std::time::Duration;

use super::engine::{Command, Reply};
use super::files::{Files, Notice};
use super::history::{History, HistoryPage, HistoryQuery};
use super::{Error, ErrorKind, Node, Pending};
use crate::message::contact::{Contact, ContactError};
use crate::message::identity;
use crate::node::{NodeInfo, Stack};
use crate::types::{MessageId, NodeId, Now};

/// What the person says of a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Opinion {
    Verified,
    NotVerified,
    Blocked,
    NotBlocked,
}

/// What the handle asks of the engine.
pub(super) enum PeopleCommand {
    Judge { id: NodeId, opinion: Opinion, reply: Reply<NodeInfo> },
    Import { contact: Contact, reply: Reply<NodeInfo> },
}

pub(super) fn handle_command(now: Now, stack: &mut Stack, files: &Files, command: PeopleCommand) {
    match command {
        PeopleCommand::Judge { id, opinion, reply } => {
            let judged = match opinion {
                Opinion::Verified => stack.verify(now, id),
                Opinion::NotVerified => stack.unverify(now, id),
                Opinion::Blocked => stack.block(now, id),
                Opinion::NotBlocked => stack.unblock(now, id),
            };
            if let Ok(info) = &judged {
                tell_files(files, info, opinion);
            }
            reply.give(judged.map_err(Error::from));
        }
        PeopleCommand::Import { contact, reply } => {
            reply.give(stack.import(now, &contact).map_err(Error::from));
        }
    }
}

fn tell_files(files: &Files, info: &NodeInfo, opinion: Opinion) {
    match opinion {
        Opinion::Blocked => files.tell(Notice::Blocked(info.id)),
        Opinion::NotBlocked => {
            files.tell(Notice::Unblocked(info.id));
            if info.present {
                files.tell(Notice::Found(info.id));
            }
        }
        Opinion::Verified | Opinion::NotVerified => {}
    }
}

impl Node {
    /// Messages of this node, as [`History::page`]; read on a thread of its own, so that nothing else waits for it.
    pub fn history(&self, query: HistoryQuery) -> Pending<HistoryPage> {
        let (resolve, pending) = Pending::new();
        let home = self.home.clone();
        let read = move || resolve(History::open(Some(&home)).and_then(|mut history| history.page(&query)));
        // A thread that cannot be made drops the answer, which is then that the node has stopped.
        let spawned = thread::Builder::new().name("meshchat-history".into()).spawn(read);
        if let Err(error) = spawned {
            let (resolve, pending) = Pending::new();
            resolve(Err(Error::new(ErrorKind::Internal, error)));
            return pending;
        }
        pending
    }

    /// Eight words that the person and that of the node `peer` compare by voice: the same on both sides only if each has
    /// the other's true key.
    pub fn safety_words(&self, peer: NodeId) -> Vec<&'static str> {
        identity::safety_words(self.id, peer).to_vec()
    }

    /// Notes that the person has compared safety words with a node, seen or not: its nickname then means this node alone.
    /// Not for a blocked node.
    pub fn verify(&self, id: NodeId) -> Pending<NodeInfo> {
        self.judge(id, Opinion::Verified)
    }

    /// Takes [`Node::verify`] back.
    pub fn unverify(&self, id: NodeId) -> Pending<NodeInfo> {
        self.judge(id, Opinion::NotVerified)
    }

    /// Blocks a node, seen or not: nothing of it reaches the application or the disk, connections with it end, and
    /// nothing is sent to it; for it, this node does not answer. Its frames are forwarded as ever. That it was verified is
    /// forgotten. Messages to it that were accepted before wait.
    pub fn block(&self, id: NodeId) -> Pending<NodeInfo> {
        self.judge(id, Opinion::Blocked)
    }

    /// Takes [`Node::block`] back.
    pub fn unblock(&self, id: NodeId) -> Pending<NodeInfo> {
        self.judge(id, Opinion::NotBlocked)
    }

    fn judge(&self, id: NodeId, opinion: Opinion) -> Pending<NodeInfo> {
        let (reply, pending) = Pending::new();
        let reply = Reply::new(reply);
        self.submit(Command::People(PeopleCommand::Judge { id, opinion, reply }));
        pending
    }

    /// This node as a contact to be passed on.
    pub fn contact(&self) -> Contact {
        Contact { id: self.id, nickname: self.nickname.clone() }
    }

    /// Keeps a contact, which need not have been seen yet: messages to it wait until it is in reach. It is no more trusted
    /// than a node that was seen: whoever made the text chose what it says. The node's own name, once it is seen, goes
    /// before that of the contact.
    pub fn import_contact(&self, contact: &Contact) -> Pending<NodeInfo> {
        let (reply, pending) = Pending::new();
        let (contact, reply) = (contact.clone(), Reply::new(reply));
        self.submit(Command::People(PeopleCommand::Import { contact, reply }));
        pending
    }

    /// [`Node::send`] to somebody whom the person calls `name`, as in a conversation that was opened by a nickname. When
    /// another key uses that nickname by now, and the person has not verified `to`, nothing is sent:
    /// [`ErrorKind::AmbiguousNode`].
    pub fn send_named(&self, to: NodeId, name: &str, text: impl Into<String>) -> Pending<MessageId> {
        let (reply, pending) = Pending::new();
        self.send_named_then(to, name, text, None, reply);
        pending
    }

    /// [`Node::send_named`] for callers with a callback, as [`Node::send_then`].
    pub fn send_named_then(
        &self,
        to: NodeId,
        name: &str,
        text: impl Into<String>,
        lifetime: Option<Duration>,
        done: impl FnOnce(Result<MessageId, Error>) + Send + 'static,
    ) {
        let (name, text, reply) = (Some(name.to_owned()), text.into(), Reply::new(done));
        self.submit(Command::Send { to, name, text, lifetime, reply });
    }
}

impl From<ContactError> for Error {
    fn from(error: ContactError) -> Self {
        Self::new(ErrorKind::InvalidArgument, error)
    }
}
