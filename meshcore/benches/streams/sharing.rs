//! One narrow link, shared by a stream and a connection of kernel TCP: a switch whose port to the receivers sends no faster
//! than 200 Mbit/s, out of a queue of 50 ms.
//!
//! The queue is the switch's and not the sender's own: of its own queue the kernel's TCP keeps out (TCP small queues), and
//! learns of drops there at once, which no real bottleneck grants it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpCongestion;

use crate::namespaces::{Namespace, Side, World, cable, ip};
use crate::nodes;

const PORT: u16 = 5202;

/// How long the first flow is alone.
const HEAD_START: Duration = Duration::from_secs(1);

/// Who is on the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Tcp,
    Stream,
}

/// Both ends, and the switch between them.
pub(crate) struct Narrow {
    ends: World,
    _switch: Namespace,
}

impl Narrow {
    pub(crate) fn new() -> Self {
        let (ends, switch) = (World::apart(), Namespace::new());
        ip("link add bridge0 type bridge");
        ip("link set bridge0 up");
        for (side, port) in [(Side::Left, "near0"), (Side::Right, "far0")] {
            cable([(ends.namespace(side), side.interface()), (&switch, port)]);
            switch.enter();
            ip(&format!("link set {port} master bridge0"));
        }
        let tbf = "qdisc add dev far0 root tbf rate 200mbit burst 32k latency 50ms";
        let output = Command::new("tc").args(tbf.split(' ')).output().expect("tc(8) is needed");
        assert!(output.status.success(), "tc {tbf}: {}", String::from_utf8_lossy(&output.stderr));
        ends.set_addresses();
        Self { ends, _switch: switch }
    }

    /// Megabits a second of the flow that was there and of the one that joins it, in the same time, and their ratio.
    pub(crate) fn share(&self, first: Flow, second: Flow, time: Duration) -> Vec<f64> {
        let mut rates = [0.0; 2];
        self.with(first, &mut |there| {
            thread::sleep(HEAD_START);
            self.with(second, &mut |joins| {
                let counts = || [there, joins].map(|count| count.load(Ordering::Relaxed));
                let (begin, before) = (Instant::now(), counts());
                thread::sleep(time);
                let (after, elapsed) = (counts(), begin.elapsed().as_secs_f64());
                rates = [0, 1].map(|flow| (after[flow] - before[flow]) as f64 * 8e-6 / elapsed);
            });
        });
        vec![rates[0], rates[1], rates[1] / rates[0]]
    }

    /// Has a flow go on while `act` runs, which is given the count of bytes that have arrived.
    fn with(&self, flow: Flow, act: &mut dyn FnMut(&AtomicU64)) {
        match flow {
            Flow::Tcp => act(&Tcp::start(&self.ends).count),
            Flow::Stream => drop(nodes::bulk_during(&self.ends, "ethernet", |count| act(count))),
        }
    }
}

/// One connection that sends all the time. Dropping it ends it.
struct Tcp {
    count: Arc<AtomicU64>,
    near: TcpStream,
    threads: Vec<JoinHandle<()>>,
}

impl Tcp {
    fn start(ends: &World) -> Self {
        let address = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 2), PORT));
        ends.enter(Side::Right);
        let listener = TcpListener::bind(address).unwrap();
        ends.enter(Side::Left);
        let near = TcpStream::connect(address).unwrap();
        setsockopt(&near, TcpCongestion, &OsString::from("cubic")).expect("CUBIC");
        let (mut writer, mut reader) = (near.try_clone().unwrap(), listener.accept().unwrap().0);
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let write = move || while writer.write_all(&[7; 64 << 10]).is_ok() {};
        let read = move || {
            let mut data = [0; 64 << 10];
            while let Ok(len @ 1..) = reader.read(&mut data) {
                counted.fetch_add(len as u64, Ordering::Relaxed);
            }
        };
        Self { count, near, threads: vec![thread::spawn(write), thread::spawn(read)] }
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        let _ = self.near.shutdown(Shutdown::Both);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
