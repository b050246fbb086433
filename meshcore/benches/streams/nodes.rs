//! Two whole nodes, one in each namespace, with a stream between them.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use meshcore::{Connection, Node, NodeId, Stream};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::runtime::Runtime;

use crate::kernel::{TRIPS, link_bytes, percentiles};
use crate::namespaces::{Side, World};

/// Keys of the nodes: to make one takes seconds.
const KEYS: [&str; 2] = [
    include_str!("../../tests/keys/message/rsa2048.pem"),
    include_str!("../../tests/keys/message/rsa2048b.pem"),
];

/// How long the nodes may take to find each other.
const PATIENCE: Duration = Duration::from_secs(20);

const MESSAGE: usize = 100;

/// One side of the stream, with the application's runtime.
struct End {
    runtime: Runtime,
    stream: Stream,
    _node: Node,
    _home: TempDir,
}

fn start(world: &World, link: &str, side: Side) -> (Runtime, Node, TempDir) {
    world.enter(side);
    let home = home(side);
    let spec = if link == "udp" { link.to_owned() } else { format!("{link}:{}", side.interface()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let node = runtime.block_on(Node::builder().home(home.path()).link(spec).start()).unwrap();
    (runtime, node, home)
}

/// A home with the key of the node at this side.
pub(crate) fn home(side: Side) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(home.path().join("identity.pem"));
    file.unwrap().write_all(KEYS[side as usize].as_bytes()).unwrap();
    home
}

/// Connects as soon as the nodes have found each other.
pub(crate) async fn connect(node: &Node, to: NodeId) -> Connection {
    let begin = Instant::now();
    loop {
        match node.connect(to).await {
            Ok(connection) => break connection,
            Err(error) => assert!(begin.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The left end has opened the stream.
fn open(world: &World, link: &str) -> [End; 2] {
    let (near_runtime, near, near_home) = start(world, link, Side::Left);
    let (far_runtime, far, far_home) = start(world, link, Side::Right);
    let mut listener = far_runtime.block_on(far.listen()).unwrap();
    let client = near_runtime.block_on(connect(&near, far.id()));
    let near_stream = near_runtime.block_on(async {
        let mut stream = client.open().await.unwrap();
        stream.write_all(&[0]).await.unwrap();
        stream
    });
    let far_stream = far_runtime.block_on(async {
        let server = listener.accept().await.unwrap();
        let mut stream = server.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        stream
    });
    [
        End { runtime: near_runtime, stream: near_stream, _node: near, _home: near_home },
        End { runtime: far_runtime, stream: far_stream, _node: far, _home: far_home },
    ]
}

/// Runs a writer until `wait` returns, and a reader that counts; how many a second it has counted, and how many bytes were
/// on the link for each.
fn rate<W, R>(
    world: &World,
    link: &str,
    wait: impl FnOnce(&AtomicU64),
    write: impl FnOnce(Stream, &'static AtomicBool) -> W + Send,
    read: impl FnOnce(Stream, &'static AtomicU64) -> R + Send,
) -> [f64; 2]
where
    W: Future<Output = ()>,
    R: Future<Output = ()>,
{
    let [near, far] = open(world, link);
    // A few bytes for each sample.
    let stop: &'static AtomicBool = Box::leak(Box::default());
    let count: &'static AtomicU64 = Box::leak(Box::default());
    // The nodes outlive the threads.
    let End { runtime: near, stream: written, _node, _home } = near;
    let End { runtime: far, stream: read_from, _node: _far_node, _home: _far_home } = far;
    thread::scope(|scope| {
        scope.spawn(move || near.block_on(write(written, stop)));
        scope.spawn(move || far.block_on(read(read_from, count)));
        let (begin, bytes) = (Instant::now(), link_bytes(world));
        wait(count);
        let (done, bytes) = (count.load(Ordering::Relaxed) as f64, link_bytes(world) - bytes);
        let elapsed = begin.elapsed();
        stop.store(true, Ordering::Relaxed);
        [done / elapsed.as_secs_f64(), bytes / done]
    })
}

/// Gigabits a second, bytes on the link for each byte, megabits a second.
pub(crate) fn bulk(world: &World, link: &str, time: Duration) -> Vec<f64> {
    bulk_during(world, link, |_| thread::sleep(time))
}

/// The same until `wait` returns, which is given the count of bytes so far.
pub(crate) fn bulk_during(world: &World, link: &str, wait: impl FnOnce(&AtomicU64)) -> Vec<f64> {
    let write = |mut stream: Stream, stop: &'static AtomicBool| async move {
        let data = vec![7; 64 << 10];
        while !stop.load(Ordering::Relaxed) {
            stream.write_all(&data).await.unwrap();
        }
    };
    let read = |mut stream: Stream, count: &'static AtomicU64| async move {
        while let Ok(chunk) = stream.read_chunk(usize::MAX).await {
            if chunk.is_empty() {
                break;
            }
            count.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
    };
    let [bytes, on_link] = rate(world, link, wait, write, read);
    vec![bytes * 8e-9, on_link, bytes * 8e-6]
}

/// Millions a second: each is written by a call of its own, behind its length, and read by calls of its own.
pub(crate) fn messages(world: &World, link: &str, time: Duration) -> Vec<f64> {
    let write = |mut stream: Stream, stop: &'static AtomicBool| async move {
        let mut message = [7; 4 + MESSAGE];
        message[..4].copy_from_slice(&(MESSAGE as u32).to_be_bytes());
        while !stop.load(Ordering::Relaxed) {
            stream.write_all(&message).await.unwrap();
        }
    };
    let read = |stream: Stream, count: &'static AtomicU64| async move {
        let mut reader = BufReader::with_capacity(64 << 10, stream);
        let mut message = Vec::with_capacity(MESSAGE);
        while let Ok(len) = reader.read_u32().await {
            message.resize(len as usize, 0);
            if reader.read_exact(&mut message).await.is_err() {
                break;
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    vec![rate(world, link, |_| thread::sleep(time), write, read)[0] * 1e-6]
}

/// Median and 99th percentile of the round-trip time in microseconds.
pub(crate) fn trips(world: &World, link: &str) -> Vec<f64> {
    let [near, far] = open(world, link);
    let End { runtime: near, stream: mut asks, _node, _home } = near;
    let End { runtime: far, mut stream, _node: _far_node, _home: _far_home } = far;
    thread::scope(|scope| {
        scope.spawn(move || {
            far.block_on(async {
                let mut data = [0; 64];
                while stream.read_exact(&mut data).await.is_ok() {
                    stream.write_all(&data).await.unwrap();
                }
            });
        });
        near.block_on(async {
            let mut data = [7; 64];
            let mut times = Vec::with_capacity(TRIPS);
            for _ in 0..TRIPS {
                let begin = Instant::now();
                asks.write_all(&data).await.unwrap();
                asks.read_exact(&mut data).await.unwrap();
                times.push(begin.elapsed());
            }
            // The other end reads the end, and stops.
            drop(asks);
            percentiles(times)
        })
    })
}
