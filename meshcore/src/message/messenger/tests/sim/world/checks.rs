//! What must hold at every step, and at the end.

use std::collections::BTreeSet;

use super::super::node::Node;
use super::World;
use crate::message::messenger::*;
use crate::types::Status;

impl World {
    pub(super) fn check_status(&mut self, node: usize, id: MessageId, to: NodeId, status: Status) {
        *self.seen.entry(status).or_default() += 1;
        let from = self.nodes[node].id;
        let sent = &self.nodes[node].sent[&id];
        let recipient = &self.nodes[sent.to];
        assert_eq!(recipient.id, to);
        match status {
            Status::Queued | Status::Sent => {}
            Status::Stored => {
                let kept = || self.nodes.iter().any(|other| other.disk.has_letter(to, from, id));
                assert!(
                    sent.may_expire || recipient.disk.knows(from, id) || kept(),
                    "{id:?} is said to be in a mailbox, and is in none"
                );
            }
            Status::Delivered => {
                assert!(recipient.disk.knows(from, id), "{id:?} is said to be delivered, and is not");
            }
            Status::Read => assert!(recipient.has_read(from, id), "{id:?} is said to be read, and is not"),
            Status::Expired => assert!(sent.may_expire),
        }
    }

    /// After the calm: nothing is lost, nothing came twice, and nothing is left over.
    pub(in super::super) fn check_all(&self) {
        for node in &self.nodes {
            let known: BTreeSet<_> = node.texts().map(|(_, message)| message.id).collect();
            assert!(node.accepted.iter().all(|id| known.contains(id)), "accepted and lost");
            for (to, message) in node.texts() {
                let sent = &node.sent[&message.id];
                let recipient = &self.nodes[sent.to];
                assert_eq!(recipient.id, *to);
                let shown = recipient.shown.contains(&(node.id, message.id));
                let settled = match message.status {
                    Status::Delivered | Status::Read => shown,
                    Status::Expired => sent.may_expire,
                    _ => false,
                };
                assert!(settled, "{message:?} was shown: {shown}");
            }
        }
    }

    /// What still waits for something.
    pub(in super::super) fn describe(&self) -> String {
        let mut lines = Vec::new();
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.is_quiet()) {
            let Some(running) = &node.running else { continue };
            let (ops, screen) = (running.ops.len(), running.screen.len());
            lines.push(format!("{index} {:?}: {ops} operations, {screen} on the screen", node.id));
            for peer in node.disk.opened().backlog {
                let pending = node
                    .disk
                    .outgoing
                    .values()
                    .filter(|(to, message)| *to == peer && message.status.is_pending());
                let pending: Vec<_> = pending
                    .map(|(_, message)| (message.id, message.status, message.content.kind()))
                    .collect();
                let to = self.nodes.iter().position(|other| other.id == peer);
                let outbox = running.messenger.outboxes.get(&peer);
                let session =
                    outbox.map(|outbox| (outbox.session(), outbox.in_memory(), outbox.has_backlog()));
                let sessions: Vec<_> =
                    running.sessions.iter().filter(|(_, with)| Some(**with) == to).collect();
                let pause = to.and_then(|to| running.pauses.get(&to));
                let reach = to.is_some_and(|to| running.reach.contains(&to));
                let connecting = to.is_some_and(|to| running.connecting.contains(&to));
                let wires: Vec<_> = sessions
                    .iter()
                    .map(|(session, _)| {
                        self.wires.get(session).map(|wire| {
                            (
                                wire.open,
                                wire.dead,
                                wire.arriving,
                                wire.pipes
                                    .iter()
                                    .map(|pipes| pipes.iter().map(Vec::len).collect::<Vec<_>>())
                                    .collect::<Vec<_>>(),
                            )
                        })
                    })
                    .collect();
                lines.push(format!("  to {to:?}: {pending:?} outbox {session:?} sessions {sessions:?} pause {pause:?} reach {reach} connecting {connecting} wires {wires:?}"));
            }
        }
        lines.join("\n")
    }

    pub(in super::super) fn shown(&self) -> usize {
        self.nodes.iter().map(|node| node.shown.len()).sum()
    }

    pub(in super::super) fn is_quiet(&self) -> bool {
        self.nodes.iter().all(Node::is_quiet)
    }

    /// Letters in mailboxes, and messages that wait for others.
    pub(in super::super) fn left_over(&self) -> (usize, usize) {
        let left = self.nodes.iter().map(|node| (node.disk.letters(), node.disk.held()));
        left.fold((0, 0), |sum, left| (sum.0 + left.0, sum.1 + left.1))
    }
}
