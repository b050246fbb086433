//! What the kernel offers: TCP, and frames.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::namespaces::{Side, World};
use crate::system::{Plain, Wire};

/// Round trips of one sample.
pub(crate) const TRIPS: usize = 20_000;

const PORT: u16 = 5201;

/// Bytes that have come to the right end of the cable so far.
pub(crate) fn link_bytes(world: &World) -> f64 {
    world.enter(Side::Right);
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let line = table.lines().find_map(|line| line.trim().strip_prefix("right0:")).expect("the interface");
    line.split_whitespace().next().and_then(|field| field.parse().ok()).expect("its counter")
}

/// Median and 99th percentile in microseconds.
pub(crate) fn percentiles(mut times: Vec<Duration>) -> Vec<f64> {
    times.sort();
    [50, 99].map(|percent| times[times.len() * percent / 100].as_secs_f64() * 1e6).to_vec()
}

/// Has the right end lose this share of the frames that come, at random.
pub(crate) fn drop_frames(world: &World, percent: u32) {
    world.enter(Side::Right);
    let nft = |arguments: &str| {
        let output = Command::new("nft").arg(arguments).output().expect("nft(8) is needed");
        assert!(output.status.success(), "nft {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    nft("add table netdev lossy; delete table netdev lossy");
    if percent > 0 {
        nft(&format!(
            "add table netdev lossy; \
             add chain netdev lossy in {{ type filter hook ingress device right0 priority 0; }}; \
             add rule netdev lossy in numgen random mod 100 < {percent} drop"
        ));
    }
}

/// One connection of iperf3(1): gigabits a second, bytes on the link for each byte, megabits a second.
pub(crate) fn tcp_bulk(world: &World, time: Duration) -> Vec<f64> {
    let iperf = |arguments: &str| {
        let mut command = Command::new("iperf3");
        command.args(arguments.split(' ')).stdout(Stdio::piped());
        command
    };
    let before = link_bytes(world);
    let mut server = iperf(&format!("-s -1 --forceflush -p {PORT}")).spawn().expect("iperf3(1) is needed");
    let mut output = BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening") {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "iperf3 does not listen");
    }
    world.enter(Side::Left);
    let seconds = time.as_secs();
    let client = iperf(&format!("-c 192.0.2.2 -p {PORT} -C cubic -t {seconds} -J")).output().unwrap();
    output.read_to_string(&mut line).unwrap();
    server.wait().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&client.stdout).unwrap();
    let number =
        |name: &str| report["end"]["sum_received"][name].as_f64().expect("a number in iperf3's report");
    let (bits, bytes) = (number("bits_per_second"), number("bytes"));
    vec![bits * 1e-9, (link_bytes(world) - before) / bytes, bits * 1e-6]
}

/// The same with the offloads, which are off again afterwards.
pub(crate) fn offloaded_tcp_bulk(world: &World, time: Duration) -> Vec<f64> {
    struct On<'a>(&'a World);
    impl Drop for On<'_> {
        fn drop(&mut self) {
            self.0.set_offloads(false);
        }
    }
    world.set_offloads(true);
    let _on = On(world);
    tcp_bulk(world, time)
}

/// Sends frames as fast as it can; what arrives: gigabits a second of payload, bytes on the link for each byte.
pub(crate) fn raw_bulk(world: &World, mtu: usize, time: Duration) -> Vec<f64> {
    let ends = [Side::Left, Side::Right].map(|side| {
        world.enter(side);
        Plain::open(Wire::Watched, side, mtu)
    });
    let [mut near, mut far] = ends;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                near.send_batch();
            }
        });
        let begin = Instant::now();
        let mut frames = 0;
        while begin.elapsed() < time {
            frames += far.receive_batch();
        }
        let rate = (frames * mtu) as f64 / begin.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        vec![rate * 8e-9, (mtu + 14) as f64 / mtu as f64]
    })
}

pub(crate) fn raw_trips(world: &World) -> Vec<f64> {
    let ends = [Side::Left, Side::Right].map(|side| {
        world.enter(side);
        Plain::open(Wire::Ethernet, side, 64)
    });
    let [mut near, mut far] = ends;
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..TRIPS {
                far.receive_one();
                far.send_one(64);
            }
        });
        let trip = |_| {
            let begin = Instant::now();
            near.send_one(64);
            near.receive_one();
            begin.elapsed()
        };
        percentiles((0..TRIPS).map(trip).collect())
    })
}

pub(crate) fn tcp_trips(world: &World) -> Vec<f64> {
    let address = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 2), PORT));
    world.enter(Side::Right);
    let listener = TcpListener::bind(address).unwrap();
    world.enter(Side::Left);
    let mut near = TcpStream::connect(address).unwrap();
    let mut far = listener.accept().unwrap().0;
    for stream in [&near, &far] {
        stream.set_nodelay(true).unwrap();
    }
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut data = [0; 64];
            while far.read_exact(&mut data).is_ok() {
                far.write_all(&data).unwrap();
            }
        });
        let mut data = [7; 64];
        let trip = |_| {
            let begin = Instant::now();
            near.write_all(&data).unwrap();
            near.read_exact(&mut data).unwrap();
            begin.elapsed()
        };
        let times = (0..TRIPS).map(trip).collect();
        drop(near);
        percentiles(times)
    })
}
