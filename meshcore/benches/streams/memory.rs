//! What a connection costs in memory while nothing happens on it, at both ends: nodes in processes of their own, which are
//! this program again.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use meshcore::{Connection, Node, Stream};
use nix::libc;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::namespaces::{Side, World};
use crate::nodes::{self, connect};
use crate::programs::Running;

pub(crate) const CONNECTIONS: usize = 1000;

/// First argument of a process that is one end.
const ROLE: &str = "hold";

/// Longest life of such a process in seconds.
const LIFE: u32 = 120;

/// Until the last acknowledgements are through, and what was kept for the handshakes is gone.
const SETTLING: Duration = Duration::from_secs(1);

/// KiB a connection: resident and on the heap of the end that connects, then of the other.
pub(crate) fn idle(world: &World, with_streams: bool) -> Vec<f64> {
    let homes = [Side::Left, Side::Right].map(nodes::home);
    let start = |side: Side, peer: Option<&str>| {
        world.enter(side);
        let mut command = Command::new(std::env::current_exe().unwrap());
        let link = format!("ethernet:{}", side.interface());
        let home = homes[side as usize].path();
        Running::start(command.arg(ROLE).arg(home).args([&link, &with_streams.to_string()]).args(peer))
    };
    let mut far = start(Side::Right, None);
    let id = far.line();
    let mut near = start(Side::Left, Some(&id));
    let [before, after] = [(); 2].map(|()| [near.json(), far.json()]);
    let cost = |end: usize, what: &str| {
        let bytes = |one: &serde_json::Value| one[what].as_f64().expect("a number of bytes");
        (bytes(&after[end]) - bytes(&before[end])) / 1024.0 / CONNECTIONS as f64
    };
    vec![cost(0, "resident"), cost(0, "heap"), cost(1, "resident"), cost(1, "heap")]
}

/// Whether this process is an end of this measurement; then it does nothing else.
pub(crate) fn is_end() -> bool {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [role, home, link, with_streams, peer @ ..] = &arguments[..] else { return false };
    if role != ROLE {
        return false;
    }
    // SAFETY: a system call that takes a number.
    unsafe { libc::alarm(LIFE) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let node = Node::builder().home(Path::new(home)).link(link).start().await.unwrap();
        let with_streams = with_streams == "true";
        match peer.first() {
            Some(peer) => hold_near(&node, peer, with_streams).await,
            None => hold_far(&node, with_streams).await,
        }
    });
    true
}

/// Bytes that this process occupies: resident, and allocated by Rust and C together.
async fn report() {
    tokio::time::sleep(SETTLING).await;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let resident = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024;
    // SAFETY: it takes nothing, and gives numbers.
    let heap = unsafe { libc::mallinfo2() };
    println!("{}", json!({ "resident": resident, "heap": heap.uordblks + heap.hblkhd }));
}

/// The first connection is not counted; on it the other end says that it has looked at its memory.
async fn hold_near(node: &Node, peer: &str, with_streams: bool) {
    let peer = peer.parse().expect("a NODE_ID");
    let first = connect(node, peer).await;
    let mut control = exchange(&first).await;
    control.read_u8().await.unwrap();
    report().await;
    let mut held: Vec<(Connection, Option<Stream>)> = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let connection = node.connect(peer).await.unwrap();
        let stream = if with_streams { Some(exchange(&connection).await) } else { None };
        held.push((connection, stream));
    }
    report().await;
    for (connection, _) in &held {
        connection.statistics().await.expect("a connection that is still there");
    }
    control.read_u8().await.expect_err("nothing more");
}

/// A stream on which a byte went each way.
async fn exchange(connection: &Connection) -> Stream {
    let mut stream = connection.open().await.unwrap();
    stream.write_u8(0).await.unwrap();
    stream.read_u8().await.unwrap();
    stream
}

async fn hold_far(node: &Node, with_streams: bool) {
    let mut listener = node.listen().await.unwrap();
    println!("{}", node.id());
    let first = listener.accept().await.unwrap();
    let mut control = answer(&first).await;
    report().await;
    control.write_u8(0).await.unwrap();
    let mut held: Vec<(Connection, Option<Stream>)> = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let connection = listener.accept().await.unwrap();
        let stream = if with_streams { Some(answer(&connection).await) } else { None };
        held.push((connection, stream));
    }
    report().await;
    control.read_u8().await.expect_err("nothing more");
}

async fn answer(connection: &Connection) -> Stream {
    let mut stream = connection.accept().await.unwrap();
    stream.read_u8().await.unwrap();
    stream.write_u8(0).await.unwrap();
    stream
}
