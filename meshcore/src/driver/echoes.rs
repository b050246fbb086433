//! Ping and trace, made of echoes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::engine::Reply;
use super::{Error, ErrorKind};
use crate::mesh::DEFAULT_HOP_LIMIT;
use crate::node::{EchoAnswer, Now, Stack};
use crate::types::NodeId;

/// How long one echo of a trace waits, and how often it is repeated.
const TRACE_WAIT: Duration = Duration::from_millis(600);
const TRACE_TRIES: u32 = 3;

/// The answer to a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pong {
    /// Time from request to answer.
    pub rtt: Duration,
}

/// One step of the way to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceHop {
    /// Links crossed so far, from 1.
    pub hop: u8,
    /// Who answered; `None` when nobody did, or somebody unknown here.
    pub node: Option<NodeId>,
    /// Time from request to answer; `None` when none came.
    pub rtt: Option<Duration>,
}

/// The hops of one trace.
struct Trace {
    to: NodeId,
    hops: Vec<Option<EchoAnswer>>,
    waiting: usize,
    reply: Reply<Vec<TraceHop>>,
}

/// What an echo that is under way belongs to.
enum Purpose {
    Ping { to: NodeId, timeout: Duration, reply: Reply<Pong> },
    Trace { number: u64, hop: u8, tries: u32 },
}

/// The pings and traces that wait for answers.
#[derive(Default)]
pub(super) struct Echoes {
    purposes: BTreeMap<u64, Purpose>,
    traces: BTreeMap<u64, Trace>,
    next_trace: u64,
}

impl Echoes {
    pub(super) fn ping(
        &mut self,
        stack: &mut Stack,
        now: Now,
        (to, timeout): (NodeId, Duration),
        reply: Reply<Pong>,
    ) {
        match stack.echo(now, to, DEFAULT_HOP_LIMIT, timeout) {
            Ok(id) => drop(self.purposes.insert(id, Purpose::Ping { to, timeout, reply })),
            Err(error) => reply.give(Err(error.into())),
        }
    }

    /// Asks all hops at once; two more than the route has, should it be just changing.
    pub(super) fn trace(&mut self, stack: &mut Stack, now: Now, to: NodeId, reply: Reply<Vec<TraceHop>>) {
        let hops = stack.route_to(to).map_or(1, |route| route.hops.saturating_add(2).min(DEFAULT_HOP_LIMIT));
        let number = self.next_trace;
        self.next_trace += 1;
        let trace = Trace { to, hops: vec![None; hops.into()], waiting: 0, reply };
        self.traces.insert(number, trace);
        for hop in 1..=hops {
            if let Err(error) = self.ask(stack, now, number, hop, 1)
                && hop == 1
                && let Some(trace) = self.traces.remove(&number)
            {
                return trace.reply.give(Err(error));
            }
        }
    }

    fn ask(&mut self, stack: &mut Stack, now: Now, number: u64, hop: u8, tries: u32) -> Result<(), Error> {
        let Some(trace) = self.traces.get_mut(&number) else { return Ok(()) };
        let id = stack.echo(now, trace.to, hop, TRACE_WAIT)?;
        trace.waiting += 1;
        self.purposes.insert(id, Purpose::Trace { number, hop, tries });
        Ok(())
    }

    /// An echo has been answered, or not in time.
    pub(super) fn on_result(&mut self, stack: &mut Stack, now: Now, id: u64, answer: Option<EchoAnswer>) {
        match self.purposes.remove(&id) {
            Some(Purpose::Ping { to, timeout, reply }) => reply.give(match answer {
                Some(answer) => Ok(Pong { rtt: answer.rtt }),
                None => {
                    let text = format!("{to} did not answer within {} ms", timeout.as_millis());
                    Err(Error::new(ErrorKind::TimedOut, text))
                }
            }),
            Some(Purpose::Trace { number, hop, tries }) => {
                let Some(trace) = self.traces.get_mut(&number) else { return };
                trace.waiting -= 1;
                match answer {
                    Some(_) => trace.hops[usize::from(hop) - 1] = answer,
                    // Out of reach by now: that hop stays unknown.
                    None if tries < TRACE_TRIES && !trace.is_over() => {
                        drop(self.ask(stack, now, number, hop, tries + 1));
                    }
                    None => {}
                }
                self.finish(number);
            }
            None => {}
        }
    }

    fn finish(&mut self, number: u64) {
        if self.traces.get(&number).is_some_and(|trace| trace.waiting == 0 || trace.is_over())
            && let Some(trace) = self.traces.remove(&number)
        {
            let hops = trace.result();
            trace.reply.give(Ok(hops));
        }
    }
}

impl Trace {
    /// The destination has answered, and every relay before it.
    fn is_over(&self) -> bool {
        self.hops.iter().map_while(|hop| hop.as_ref()).any(|answer| answer.arrived)
    }

    /// The hops up to the destination, or up to the first behind which nobody answered.
    fn result(&self) -> Vec<TraceHop> {
        let arrived = self.hops.iter().position(|hop| hop.is_some_and(|answer| answer.arrived));
        let answered = || self.hops.iter().rposition(Option::is_some).map_or(1, |last| last + 2);
        let count = arrived.map_or_else(answered, |last| last + 1);
        let hops = self.hops.iter().zip(1..).take(count);
        let hop = |(answer, hop): (&Option<EchoAnswer>, u8)| TraceHop {
            hop,
            node: answer.and_then(|answer| answer.from),
            rtt: answer.map(|answer| answer.rtt),
        };
        hops.map(hop).collect()
    }
}
