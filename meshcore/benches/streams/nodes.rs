//! Two whole nodes, one in each namespace, each on its application's runtime, with a stream between them.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use meshcore::{Connection, Node, NodeId, Stream};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::oneshot;

use crate::kernel::{TRIPS, link_bytes, percentiles};
use crate::namespaces::{Side, World};

/// Keys of the nodes: to make one takes seconds.
const KEYS: [&str; 2] = [
    include_str!("../../tests/keys/message/rsa2048.pem"),
    include_str!("../../tests/keys/message/rsa2048b.pem"),
];

/// How long the nodes may take to find each other.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const MESSAGE: usize = 100;

/// Runs a node on the runtime of `application`, in one of the namespaces.
pub(crate) fn on_side<T>(
    world: &World,
    link: &str,
    side: Side,
    application: impl AsyncFnOnce(&Node) -> T,
) -> T {
    world.enter(side);
    let home = home(side);
    let spec = if link == "udp" { link.to_owned() } else { format!("{link}:{}", side.interface()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let builder = Node::builder().home(home.path()).link(spec).on_current_runtime();
        let node = builder.start().await.unwrap();
        let result = application(&node).await;
        node.stop().await;
        result
    })
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

/// Gives the two ends of a stream to applications on two threads; the left end has opened it. What the left one gives. They are tasks
/// of their runtimes, as most of an application is: tokio looks for news once more before it goes on with what `block_on` was given.
fn with_stream<N, F, T>(
    world: &World,
    link: &str,
    near: impl FnOnce(Stream) -> N + Send,
    far: impl FnOnce(Stream) -> F + Send,
) -> T
where
    N: Future<Output = T> + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
    T: Send + 'static,
{
    let (tell, id) = oneshot::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            on_side(world, link, Side::Right, async |node| {
                let mut listener = node.listen().await.unwrap();
                tell.send(node.id()).unwrap();
                let connection = listener.accept().await.unwrap();
                let mut stream = connection.accept().await.unwrap();
                stream.read_u8().await.unwrap();
                tokio::spawn(far(stream)).await.unwrap();
            });
        });
        let near = scope.spawn(|| {
            on_side(world, link, Side::Left, async |node| {
                let connection = connect(node, id.await.unwrap()).await;
                let mut stream = connection.open().await.unwrap();
                stream.write_all(&[0]).await.unwrap();
                tokio::spawn(near(stream)).await.unwrap()
            })
        });
        near.join().unwrap()
    })
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
    W: Future<Output = ()> + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    // A few bytes for each sample.
    let stop: &'static AtomicBool = Box::leak(Box::default());
    let count: &'static AtomicU64 = Box::leak(Box::default());
    thread::scope(|scope| {
        let near = move |stream| write(stream, stop);
        let far = move |stream| read(stream, count);
        scope.spawn(|| with_stream(world, link, near, far));
        while count.load(Ordering::Relaxed) == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        let (begin, bytes, first) = (Instant::now(), link_bytes(world), count.load(Ordering::Relaxed));
        wait(count);
        let (done, bytes) = ((count.load(Ordering::Relaxed) - first) as f64, link_bytes(world) - bytes);
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
        let data = bytes::Bytes::from(vec![7; 64 << 10]);
        while !stop.load(Ordering::Relaxed) {
            stream.write_chunk(data.clone()).await.unwrap();
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
    let near = |mut stream: Stream| async move {
        let mut data = [7; 64];
        let mut times = Vec::with_capacity(TRIPS);
        for _ in 0..TRIPS {
            let begin = Instant::now();
            stream.write_all(&data).await.unwrap();
            stream.read_exact(&mut data).await.unwrap();
            times.push(begin.elapsed());
        }
        percentiles(times)
    };
    let far = |mut stream: Stream| async move {
        let mut data = [0; 64];
        while stream.read_exact(&mut data).await.is_ok() {
            // The other end is gone, which the next reading tells.
            let _ = stream.write_all(&data).await;
        }
    };
    with_stream(world, link, near, far)
}
