//! Connections and streams between whole nodes, in one process and a network namespace of its own.

#![allow(clippy::disallowed_methods)] // tests are drivers

mod common;
#[path = "common/homes.rs"]
mod homes;

use std::io;
use std::time::Duration;

use common::in_namespace;
use homes::{KEYS, home};
use meshcore::{Connection, ErrorKind, Event, Listener, Node};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// Two nodes that know each other; the first has connected to the second.
struct Pair {
    nodes: [Node; 2],
    listener: Listener,
    client: Connection,
    server: Connection,
    _homes: [TempDir; 2],
}

async fn nodes() -> ([Node; 2], [TempDir; 2]) {
    let homes = KEYS.map(home);
    let start = |home: &TempDir| Node::builder().home(home.path()).start();
    let nodes = [start(&homes[0]).await.unwrap(), start(&homes[1]).await.unwrap()];
    for (node, other) in [(0, 1), (1, 0)] {
        let other = nodes[other].id();
        let search = async {
            while !matches!(nodes[node].events().next().await, Some(Event::NodeFound(info)) if info.id == other)
            {
            }
        };
        timeout(PATIENCE, search).await.expect("the nodes find each other");
    }
    (nodes, homes)
}

async fn pair() -> Pair {
    let (nodes, homes) = nodes().await;
    let mut listener = nodes[1].listen().await.unwrap();
    let client = nodes[0].connect(nodes[1].id()).await.unwrap();
    let server = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    assert_eq!((client.peer(), server.peer()), (nodes[1].id(), nodes[0].id()));
    Pair { nodes, listener, client, server, _homes: homes }
}

/// Bytes that show where they stand.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[test]
fn bytes_arrive_in_order_in_both_directions_at_once() {
    in_namespace("bytes_arrive_in_order_in_both_directions_at_once", || async {
        let pair = pair().await;
        let data = pattern(20_000_000);
        let near = pair.client.open().await.unwrap();
        let (mut near_reads, mut near_writes) = tokio::io::split(near);
        let far = async {
            let (mut reads, mut writes) = tokio::io::split(pair.server.accept().await.unwrap());
            let write = async {
                writes.write_all(&data).await.unwrap();
                writes.shutdown().await.unwrap();
            };
            let mut got = Vec::new();
            let (read, ()) = tokio::join!(reads.read_to_end(&mut got), write);
            read.unwrap();
            got
        };
        let write = async {
            // In pieces of all sizes.
            let mut rest = &data[..];
            let mut size = 1;
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(size.min(rest.len()));
                near_writes.write_all(piece).await.unwrap();
                (rest, size) = (behind, size * 3 % 70_001 + 1);
            }
            near_writes.shutdown().await.unwrap();
        };
        let mut back = Vec::new();
        let all = async { tokio::join!(far, write, near_reads.read_to_end(&mut back)) };
        let (there, (), read) = timeout(PATIENCE, all).await.expect("it ends");
        read.unwrap();
        assert!(there == data && back == data);
        let statistics = pair.client.statistics().await.unwrap();
        assert!(statistics.bytes_sent > 20_000_000 && statistics.rtt > Duration::ZERO);
    });
}

#[test]
fn many_streams_share_a_connection() {
    in_namespace("many_streams_share_a_connection", || async {
        let pair = pair().await;
        let server = pair.server.clone();
        // Answers each stream with what it said.
        let echo = tokio::spawn(async move {
            while let Ok(mut stream) = server.accept().await {
                tokio::spawn(async move {
                    let mut said = Vec::new();
                    stream.read_to_end(&mut said).await.unwrap();
                    stream.write_all(&said).await.unwrap();
                    stream.shutdown().await.unwrap();
                });
            }
        });
        let ask = |number: usize| {
            let client = pair.client.clone();
            tokio::spawn(async move {
                let mut stream = client.open().await.unwrap();
                let data = pattern(number * 97);
                stream.write_all(&data).await.unwrap();
                stream.shutdown().await.unwrap();
                let mut back = Vec::new();
                stream.read_to_end(&mut back).await.unwrap();
                assert!(back == data, "stream {number}");
            })
        };
        let asked: Vec<_> = (0..1000).map(ask).collect();
        for answered in asked {
            timeout(PATIENCE, answered).await.expect("every stream is answered").unwrap();
        }
        assert_eq!(pair.client.statistics().await.unwrap().streams, 0);
        drop(pair.client);
        timeout(PATIENCE, echo).await.expect("the last handle closes").unwrap();
    });
}

#[test]
fn a_slow_reader_holds_the_writer_up() {
    in_namespace("a_slow_reader_holds_the_writer_up", || async {
        let pair = pair().await;
        let mut near = pair.client.open().await.unwrap();
        let chunk = pattern(1_000_000);
        let mut written = 0_u64;
        // Until nothing goes any more.
        while let Ok(result) = timeout(Duration::from_millis(500), near.write(&chunk)).await {
            written += result.unwrap() as u64;
            // The window at the other end, what is kept until acknowledged, and what lies before and behind them.
            assert!(written < (1 << 20) + (16 << 20) + 2 * (256 << 10) + 64_000, "the windows are bounded");
        }
        let mut far = pair.server.accept().await.unwrap();
        let mut read = 0;
        while read < written {
            let chunk = timeout(PATIENCE, far.read_chunk(10_000)).await.unwrap().unwrap();
            assert!((1..=10_000).contains(&chunk.len()));
            let available = far.available();
            assert!(available <= 128 * 1024, "{available} bytes wait");
            if available > 0 {
                let mut rest = vec![0; available];
                assert_eq!(far.read(&mut rest).await.unwrap(), available);
                read += available as u64;
            }
            read += chunk.len() as u64;
        }
        assert_eq!(read, written);
        timeout(PATIENCE, near.write_all(&chunk)).await.expect("there is room again").unwrap();
    });
}

#[test]
fn what_has_arrived_is_read_after_the_end() {
    in_namespace("what_has_arrived_is_read_after_the_end", || async {
        let pair = pair().await;
        let data = pattern(900_000);
        let mut near = pair.client.open().await.unwrap();
        near.write_all(&data).await.unwrap();
        timeout(PATIENCE, near.shutdown()).await.expect("all of it fits into the windows").unwrap();
        let mut far = pair.server.accept().await.unwrap();
        pair.client.close(0, "done");
        timeout(PATIENCE, pair.server.closed()).await.unwrap();
        let mut got = Vec::new();
        timeout(PATIENCE, far.read_to_end(&mut got)).await.unwrap().unwrap();
        assert!(got == data, "{} bytes", got.len());
    });
}

#[test]
fn both_may_close_when_they_have_everything() {
    in_namespace("both_may_close_when_they_have_everything", || async {
        let pair = pair().await;
        for _ in 0..20 {
            let exchange = async |connection: Connection, mut stream: meshcore::Stream| {
                stream.write_all(b"the last word").await.unwrap();
                let mut got = Vec::new();
                let (mut reads, mut writes) = tokio::io::split(stream);
                let (sent, read) = tokio::join!(writes.shutdown(), reads.read_to_end(&mut got));
                // At once: the acknowledgement of what was read travels with the close, if it was not sent before.
                connection.close(0, "");
                (sent, read)
            };
            let mut listener = pair.nodes[1].listen().await.unwrap();
            let client = pair.nodes[0].connect(pair.nodes[1].id()).await.unwrap();
            let near = client.open().await.unwrap();
            let far = async {
                let server = listener.accept().await.unwrap();
                let stream = server.accept().await.unwrap();
                exchange(server, stream).await
            };
            let ends = async { tokio::join!(exchange(client, near), far) };
            let ((sent, read), (sent_back, read_back)) = timeout(PATIENCE, ends).await.unwrap();
            sent.unwrap();
            sent_back.unwrap();
            assert_eq!((read.unwrap(), read_back.unwrap()), (13, 13));
        }
    });
}

#[test]
fn both_ends_hear_of_the_end() {
    in_namespace("both_ends_hear_of_the_end", || async {
        let pair = pair().await;
        let open = async || {
            let mut near = pair.client.open().await.unwrap();
            near.write_all(b"x").await.unwrap();
            let mut far = pair.server.accept().await.unwrap();
            assert_eq!(far.read_u8().await.unwrap(), b'x');
            (near, far)
        };
        let (mut near, mut far) = open().await;
        near.reset(7);
        let error = timeout(PATIENCE, far.read_u8()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(error.to_string().contains("code 7"), "{error}");

        // Also who has ended its own direction before.
        let (mut near, mut far) = open().await;
        far.shutdown().await.unwrap();
        near.reset(8);
        let error = timeout(PATIENCE, far.read_u8()).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("code 8"), "{error}");

        let (mut near, mut far) = open().await;
        far.stop_reading(9);
        let write = async {
            loop {
                if let Err(error) = near.write_all(&[0; 1000]).await {
                    break error;
                }
                tokio::task::yield_now().await;
            }
        };
        let error = timeout(PATIENCE, write).await.unwrap();
        assert!(error.kind() == io::ErrorKind::BrokenPipe && error.to_string().contains("code 9"), "{error}");

        // A dropped stream has ended, and lost nothing.
        let (mut near, mut far) = open().await;
        near.write_all(&pattern(300_000)).await.unwrap();
        drop(near);
        let mut got = Vec::new();
        timeout(PATIENCE, far.read_to_end(&mut got)).await.unwrap().unwrap();
        assert!(got == pattern(300_000));

        let (mut near, far) = open().await;
        pair.server.close(3, "that is all");
        let error = timeout(PATIENCE, near.read_u8()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert!(error.to_string().contains("that is all"), "{error}");
        assert!(pair.client.closed().await.contains("that is all"));
        assert_eq!(pair.client.open().await.unwrap_err().kind(), ErrorKind::Disconnected);
        assert_eq!(pair.server.accept().await.unwrap_err().kind(), ErrorKind::Disconnected);
        drop(far);
    });
}

#[test]
fn nobody_who_does_not_listen_is_connected() {
    in_namespace("nobody_who_does_not_listen_is_connected", || async {
        let (nodes, _homes) = nodes().await;
        // The client hears of the refusal after the handshake.
        match nodes[0].connect(nodes[1].id()).await {
            Ok(connection) => {
                let reason = timeout(PATIENCE, connection.closed()).await.unwrap();
                assert!(reason.contains("nobody takes connections"), "{reason}");
                // Whatever is asked of it later is answered with the same reason.
                let answers = [
                    connection.open().await.unwrap_err(),
                    connection.send_datagram(vec![1]).await.unwrap_err(),
                ];
                for error in answers {
                    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Disconnected, reason.clone()));
                }
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Refused),
        }
        let error = nodes[0].connect(nodes[0].id()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let stranger = meshcore::NodeId([7; 32]);
        assert_eq!(nodes[0].connect(stranger).await.unwrap_err().kind(), ErrorKind::OutOfReach);
    });
}

#[test]
fn connections_that_nobody_takes_are_bounded() {
    in_namespace("connections_that_nobody_takes_are_bounded", || async {
        let (nodes, _homes) = nodes().await;
        let mut listener = nodes[1].listen().await.unwrap();
        let mut clients = Vec::new();
        for _ in 0..130 {
            clients.push(nodes[0].connect(nodes[1].id()).await);
        }
        // The handshakes of the last ones are done as well; then they hear that there is no place.
        let mut refused = 0;
        for client in clients.drain(128..) {
            match client {
                Ok(client) => {
                    let reason = timeout(PATIENCE, client.closed()).await.unwrap();
                    assert!(reason.contains("nobody takes connections"), "{reason}");
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Refused),
            }
            refused += 1;
        }
        assert_eq!(refused, 2);
        // The others are as good as ever, and make room when they are taken.
        let last = clients.pop().unwrap().unwrap();
        let mut near = last.open().await.unwrap();
        near.write_all(b"x").await.unwrap();
        let mut taken = Vec::new();
        for _ in 0..128 {
            taken.push(timeout(PATIENCE, listener.accept()).await.unwrap().unwrap());
        }
        let mut far = timeout(PATIENCE, taken[127].accept()).await.unwrap().unwrap();
        assert_eq!(timeout(PATIENCE, far.read_u8()).await.unwrap().unwrap(), b'x');
        let _another = nodes[0].connect(nodes[1].id()).await.unwrap();
        timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    });
}

#[test]
fn datagrams_pass_and_messages_as_well() {
    in_namespace("datagrams_pass_and_messages_as_well", || async {
        let mut pair = pair().await;
        pair.client.send_datagram(&b"quick"[..]).await.unwrap();
        let datagram = timeout(PATIENCE, pair.server.read_datagram()).await.unwrap().unwrap();
        assert_eq!(&datagram[..], b"quick");
        let error = pair.client.send_datagram(vec![0; 100_000]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        // The node's own connection is another one: messages go beside, and neither closes the other.
        pair.nodes[1].send(pair.nodes[0].id(), "beside").await.unwrap();
        let text = async {
            loop {
                if let Some(Event::Message(message)) = pair.nodes[0].events().next().await {
                    break message.text;
                }
            }
        };
        assert_eq!(timeout(PATIENCE, text).await.unwrap(), "beside");
        let second = pair.nodes[0].connect(pair.nodes[1].id()).await.unwrap();
        let _accepted = timeout(PATIENCE, pair.listener.accept()).await.unwrap().unwrap();
        for client in [&pair.client, &second] {
            client.send_datagram(&b"still here"[..]).await.unwrap();
        }
        timeout(PATIENCE, pair.server.read_datagram()).await.unwrap().unwrap();
    });
}

#[test]
fn a_stopped_node_leaves_nobody_waiting() {
    in_namespace("a_stopped_node_leaves_nobody_waiting", || async {
        let pair = pair().await;
        let mut near = pair.client.open().await.unwrap();
        near.write_all(b"x").await.unwrap();
        let mut far = pair.server.accept().await.unwrap();
        far.read_u8().await.unwrap();
        pair.nodes[0].stop().await;
        assert!(near.read_u8().await.is_err() && near.shutdown().await.is_err());
        assert!(pair.client.accept().await.is_err() && pair.client.open().await.is_err());
        assert!(pair.nodes[0].connect(pair.nodes[1].id()).await.is_err());
        // The peer is told.
        assert!(timeout(PATIENCE, far.read_u8()).await.unwrap().is_err());
        let mut listener = pair.listener;
        pair.nodes[1].stop().await;
        assert!(listener.accept().await.is_none());
    });
}
