//! The way to a node: its route, and a trace along it.

use std::ffi::{CString, c_char};
use std::ptr;

use meshcore::{NodeId, NodeInfo, RouteInfo, TraceHop};

use crate::error::{Failure, c_text};
use crate::node::MESHCHAT_ID_TEXT_SIZE;

/// The way that frames to a node take. It belongs to the event or list that it came from and is never freed. It does not
/// change, and several threads may read it.
pub struct Route {
    info: RouteInfo,
    link: CString,
}

impl Route {
    pub(crate) fn of(node: &NodeInfo) -> Option<Self> {
        node.route.clone().map(|info| Self { link: c_text(info.link.as_str()), info })
    }

    /// NULL for C when there is none.
    pub(crate) fn nullable(route: &Option<Self>) -> *const Self {
        route.as_ref().map_or(ptr::null(), ptr::from_ref)
    }
}

/// NODE_ID of the neighbour that is next, which is the node itself when it is on the same wire, into a buffer of
/// `MESHCHAT_ID_TEXT_SIZE` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_route_next_hop(route: *const Route, id: *mut c_char) -> i32 {
    guard! {
        let route = borrow!(route);
        out_text!(id, MESHCHAT_ID_TEXT_SIZE).set(route.info.next_hop.to_string().as_bytes())?;
    }
}

/// Links to cross, 1 or more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_route_hops(route: *const Route, hops: *mut u32) -> i32 {
    guard! {
        let route = borrow!(route);
        out!(hops).set(route.info.hops.into());
    }
}

/// Cost of the whole way: 96 for each link that loses nothing, more for a link that loses frames.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_route_metric(route: *const Route, metric: *mut u32) -> i32 {
    guard! {
        let route = borrow!(route);
        out!(metric).set(route.info.metric.into());
    }
}

/// Bytes of payload that a frame can carry all the way.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_route_mtu(route: *const Route, mtu: *mut usize) -> i32 {
    guard! {
        let route = borrow!(route);
        out!(mtu).set(route.info.mtu);
    }
}

/// The link to the next hop as it was given, for example "ethernet:eth0". Valid as long as the route.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_route_link(route: *const Route, link: *mut *const c_char) -> i32 {
    guard! {
        let route = borrow!(route);
        out!(link).set(route.link.as_ptr());
    }
}

/// The way to a node as `meshchat_node_trace` found it. Freed by `meshchat_trace_free`. Hops are numbered from 0; the last
/// one is the node itself, unless it did not answer. Several threads may read one trace.
pub struct Trace {
    hops: Vec<TraceHop>,
}

impl Trace {
    pub(crate) fn new(hops: Vec<TraceHop>) -> Self {
        Self { hops }
    }

    fn hop(&self, index: usize) -> Result<&TraceHop, Failure> {
        let count = self.hops.len();
        let error = || Failure::invalid(format!("the index {index} is outside of the trace of {count} hops"));
        self.hops.get(index).ok_or_else(error)
    }
}

/// Frees a trace. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_trace_free(trace: *mut Trace) {
    guard!(() => { free!(trace) })
}

/// Number of hops.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_trace_count(trace: *const Trace, count: *mut usize) -> i32 {
    guard! {
        let trace = borrow!(trace);
        out!(count).set(trace.hops.len());
    }
}

/// Whether somebody answered from there, and the round-trip time in microseconds, 0 when nobody did.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_trace_rtt(
    trace: *const Trace,
    index: usize,
    answered: *mut bool,
    rtt_us: *mut u64,
) -> i32 {
    guard! {
        let trace = borrow!(trace);
        let answered = out!(answered);
        let rtt_us = out!(rtt_us);
        let rtt = trace.hop(index)?.rtt;
        answered.set(rtt.is_some());
        rtt_us.set(rtt.map_or(0, micros));
    }
}

/// NODE_ID of who answered, into a buffer of `MESHCHAT_ID_TEXT_SIZE` bytes; empty when nobody did, or somebody who is not
/// known here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshchat_trace_node_id(trace: *const Trace, index: usize, id: *mut c_char) -> i32 {
    guard! {
        let trace = borrow!(trace);
        let id = out_text!(id, MESHCHAT_ID_TEXT_SIZE);
        let text = trace.hop(index)?.node.as_ref().map(NodeId::to_string).unwrap_or_default();
        id.set(text.as_bytes())?;
    }
}

/// A duration for C.
pub(crate) fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
