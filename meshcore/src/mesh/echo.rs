//! Ping and trace: echoes across the mesh. They tell about the path, and prove nothing about who answers.

use super::config::{ECHO_LIFE, MAX_ECHOES};
use super::output::Control;
use super::{DropReason, Mesh, MeshEvent};
use crate::types::{Address, Instant, LinkAddr, LinkId};
use crate::wire::echo::{Echo, EchoKind};
use crate::wire::frame::{DEFAULT_HOP_LIMIT, FrameHeader, FrameType};

/// An echo of this node that is not answered yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    to: Address,
    at: Instant,
}

impl Mesh {
    /// Sends an echo request towards `to` that crosses at most `hop_limit` links. [`MeshEvent::Echo`] tells the answer,
    /// if one comes, with the id given here. `None`: there is no route, or 1024 echoes wait already.
    pub fn echo(&mut self, now: Instant, to: Address, hop_limit: u8) -> Option<u64> {
        self.router.selected(to)?;
        self.echoes.retain(|_, asked| now - asked.at < ECHO_LIFE);
        if self.echoes.len() >= MAX_ECHOES || hop_limit == 0 {
            return None;
        }
        let id = rand::RngExt::random(&mut self.rng);
        let echo = Echo { kind: EchoKind::Request, id };
        if !self.push(Control::Echo { to, echo, hop_limit, came: None }) {
            return None;
        }
        self.echoes.insert(id, Asked { to, at: now });
        Some(id)
    }

    pub(super) fn on_echo(
        &mut self,
        now: Instant,
        came: (LinkId, LinkAddr),
        header: &FrameHeader,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        let Echo { kind, id } = Echo::parse(payload)?;
        if kind == EchoKind::Request {
            return self.answer_echo(now, came, header.source, Echo { kind: EchoKind::Reply, id });
        }
        let asked = *self.echoes.get(&id).ok_or(DropReason::Unsolicited)?;
        let arrived = kind == EchoKind::Reply;
        if arrived != (asked.to == header.source) {
            return Err(DropReason::Unsolicited);
        }
        self.echoes.remove(&id);
        let rtt = now - asked.at;
        self.events.push_back(MeshEvent::Echo { id, from: header.source, arrived, rtt });
        Ok(())
    }

    /// The hop limit of a frame ran out here. Told for echo requests alone: they ask for it.
    pub(super) fn on_hop_limit_exceeded(
        &mut self,
        now: Instant,
        came: (LinkId, LinkAddr),
        header: &FrameHeader,
        payload: &[u8],
    ) {
        if header.kind == FrameType::Echo
            && let Ok(Echo { kind: EchoKind::Request, id }) = Echo::parse(payload)
            && let Err(reason) =
                self.answer_echo(now, came, header.source, Echo { kind: EchoKind::Exceeded, id })
        {
            self.counters.count(reason);
        }
    }

    fn answer_echo(
        &mut self,
        now: Instant,
        came: (LinkId, LinkAddr),
        to: Address,
        echo: Echo,
    ) -> Result<(), DropReason> {
        if !self.echo_answers.take(now) {
            return Err(DropReason::RateLimited);
        }
        self.push(Control::Echo { to, echo, hop_limit: DEFAULT_HOP_LIMIT, came: Some(came) });
        Ok(())
    }
}
