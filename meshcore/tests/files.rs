//! Files between whole nodes, in one process and a network namespace of its own.

#![allow(clippy::disallowed_methods)] // tests are drivers

mod common;
#[path = "common/homes.rs"]
mod homes;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::in_namespace;
use homes::{KEYS, home};
use meshcore::{ErrorKind, Event, FileId, FileInfo, FileReason, FileState, Node};
use tempfile::TempDir;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

struct Pair {
    near: Node,
    far: Node,
    homes: [TempDir; 2],
    folder: TempDir,
}

async fn start(home: &TempDir) -> Node {
    Node::builder().home(home.path()).start().await.unwrap()
}

async fn found(node: &Node, other: &Node) {
    event(node, |event| matches!(event, Event::NodeFound(info) if info.id == other.id()).then_some(())).await;
}

/// The first event that `pick` wants; others are passed over.
async fn event<T>(node: &Node, mut pick: impl FnMut(Event) -> Option<T>) -> T {
    let search = async {
        loop {
            let event = node.events().next().await.expect("the node runs");
            if let Some(picked) = pick(event) {
                return picked;
            }
        }
    };
    timeout(PATIENCE, search).await.expect("the event comes")
}

async fn offered(node: &Node) -> FileInfo {
    event(node, |event| if let Event::FileOffered(file) = event { Some(file) } else { None }).await
}

async fn done(node: &Node) -> FileInfo {
    event(node, |event| match event {
        Event::FileDone(file) => Some(file),
        Event::FileFailed(file) => panic!("{file:?}"),
        _ => None,
    })
    .await
}

async fn failed(node: &Node) -> FileInfo {
    event(node, |event| if let Event::FileFailed(file) = event { Some(file) } else { None }).await
}

async fn progress(node: &Node) -> u64 {
    event(node, |event| match event {
        Event::FileProgress(file) => (file.done > 0).then_some(file.done),
        Event::FileDone(_) => panic!("it was too fast"),
        _ => None,
    })
    .await
}

impl Pair {
    async fn new() -> Self {
        let homes = KEYS.map(home);
        let (near, far) = (start(&homes[0]).await, start(&homes[1]).await);
        tokio::join!(found(&near, &far), found(&far, &near));
        Self { near, far, homes, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    async fn send(&self, path: &Path) -> FileId {
        self.near.send_file(self.far.id(), path).await.unwrap()
    }

    async fn downloads(&self) -> Vec<String> {
        let folder = self.homes[1].path().join("downloads");
        let mut names: Vec<_> = fs::read_dir(folder)
            .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
            .unwrap_or_default();
        names.sort();
        names
    }
}

/// Bytes that show where they stand.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[test]
fn files_of_all_sizes_arrive_whole_and_under_their_names() {
    in_namespace("files_of_all_sizes_arrive_whole_and_under_their_names", || async {
        let pair = Pair::new().await;
        for (name, size) in [("empty", 0), ("one", 1), ("odd.bin", 131_073), ("large.bin", 20_000_000)] {
            let content = pattern(size);
            let id = pair.send(&pair.file(name, &content)).await;
            let offer = offered(&pair.far).await;
            assert_eq!((offer.peer, offer.name.as_str(), offer.size), (pair.near.id(), name, size as u64));
            assert_eq!((offer.incoming, offer.state, offer.path.clone()), (true, FileState::Waiting, None));
            assert_ne!(offer.id, id, "ids of others are not used here");
            pair.far.accept_file(offer.id).await.unwrap();
            let (sent, got) = tokio::join!(done(&pair.near), done(&pair.far));
            assert_eq!((sent.id, sent.state, sent.done), (id, FileState::Done, size as u64));
            let path = got.path.unwrap();
            assert_eq!(path, pair.homes[1].path().join("downloads").join(name));
            assert!(fs::read(&path).unwrap() == content);
        }
        assert_eq!(pair.downloads().await, ["empty", "large.bin", "odd.bin", "one"]);
        let files = pair.near.files().await.unwrap();
        assert!(files.len() == 4 && files.iter().all(|file| file.state == FileState::Done && !file.incoming));
    });
}

#[test]
fn nothing_is_overwritten_and_no_path_leaves_the_folder() {
    in_namespace("nothing_is_overwritten_and_no_path_leaves_the_folder", || async {
        let pair = Pair::new().await;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.txt"), "mine").unwrap();
        std::os::unix::fs::symlink("/nowhere", folder.path().join("a (2).txt")).unwrap();
        let path = pair.file("a.txt", b"theirs");
        // The same name twice at the same time.
        for _ in 0..2 {
            pair.send(&path).await;
            let id = offered(&pair.far).await.id;
            pair.far.accept_file_into(id, folder.path()).await.unwrap();
        }
        let mut paths = [done(&pair.far).await.path.unwrap(), done(&pair.far).await.path.unwrap()];
        paths.sort();
        assert_eq!(paths, ["a (3).txt", "a (4).txt"].map(|name| folder.path().join(name)));
        assert_eq!(fs::read_to_string(folder.path().join("a.txt")).unwrap(), "mine");
        let strange = pair.file("..\u{202e}gpj.exe", b"x");
        pair.send(&strange).await;
        assert_eq!(offered(&pair.far).await.name, "_gpj.exe");
    });
}

#[test]
fn what_cannot_be_sent_or_taken_is_refused_with_a_reason() {
    in_namespace("what_cannot_be_sent_or_taken_is_refused_with_a_reason", || async {
        let pair = Pair::new().await;
        let to = pair.far.id();
        for (path, kind) in
            [(pair.folder.path().to_owned(), "folder"), (pair.folder.path().join("nothing"), "no such file")]
        {
            let error = pair.near.send_file(to, path).await.unwrap_err();
            assert!(
                error.kind() == ErrorKind::InvalidArgument && error.to_string().contains(kind),
                "{error}"
            );
        }
        let path = pair.file("x", b"x");
        let stranger = meshcore::NodeId([1; 32]);
        assert_eq!(pair.near.send_file(stranger, &path).await.unwrap_err().kind(), ErrorKind::UnknownNode);
        assert_eq!(pair.near.cancel_file(FileId([1; 16])).await.unwrap_err().kind(), ErrorKind::UnknownFile);

        let own = pair.send(&path).await;
        let offer = offered(&pair.far).await.id;
        assert_eq!(pair.near.accept_file(own).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
        let error = pair.far.accept_file_into(offer, "/proc/nowhere").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
        pair.far.refuse_file(offer).await.unwrap();
        let (there, here) = tokio::join!(failed(&pair.far), failed(&pair.near));
        for file in [there, here] {
            assert_eq!((file.state, file.reason), (FileState::Refused, Some(FileReason::Refused)));
        }
        assert_eq!(pair.far.accept_file(offer).await.unwrap_err().kind(), ErrorKind::InvalidArgument);

        // Taken back before it was decided.
        let id = pair.send(&path).await;
        let offer = offered(&pair.far).await.id;
        pair.near.cancel_file(id).await.unwrap();
        let there = failed(&pair.far).await;
        assert_eq!((there.id, there.reason), (offer, Some(FileReason::SenderCancelled)));

        // More than may wait.
        for number in 0..64 {
            pair.send(&pair.file(&format!("{number}"), b"y")).await;
            offered(&pair.far).await;
        }
        assert_eq!(pair.near.send_file(to, &path).await.unwrap_err().kind(), ErrorKind::Busy);
        assert_eq!(pair.downloads().await, [""; 0]);
    });
}

#[test]
fn a_file_that_changes_is_not_sent() {
    in_namespace("a_file_that_changes_is_not_sent", || async {
        let pair = Pair::new().await;
        for (change, reason) in [
            (
                Box::new(|path: &Path| fs::write(path, "after!").unwrap()) as Box<dyn Fn(&Path)>,
                FileReason::Changed,
            ),
            (Box::new(|path: &Path| fs::remove_file(path).unwrap()), FileReason::Unreadable),
        ] {
            let path = pair.file("x", b"before");
            pair.send(&path).await;
            let offer = offered(&pair.far).await;
            change(&path);
            pair.far.accept_file(offer.id).await.unwrap();
            let (there, here) = tokio::join!(failed(&pair.far), failed(&pair.near));
            for file in [there, here] {
                assert_eq!((file.state, file.reason), (FileState::Failed, Some(reason)));
            }
        }
        // The partial file is gone as well.
        assert_eq!(pair.downloads().await, [""; 0]);
    });
}

#[test]
fn both_sides_may_stop_at_any_time_and_go_on() {
    in_namespace("both_sides_may_stop_at_any_time_and_go_on", || async {
        let mut pair = Pair::new().await;
        let content = pattern(60_000_000);
        let id = pair.send(&pair.file("big", &content)).await;
        let offer = offered(&pair.far).await;
        pair.near.stop().await;
        pair.far.stop().await;
        // The offer is there again, and accepted while the sender is away.
        pair.far = start(&pair.homes[1]).await;
        assert_eq!(offered(&pair.far).await.id, offer.id);
        pair.far.accept_file(offer.id).await.unwrap();
        pair.near = start(&pair.homes[0]).await;
        let first = progress(&pair.far).await;
        assert!(first < content.len() as u64);
        pair.far.stop().await;
        pair.far = start(&pair.homes[1]).await;
        // What was there was not sent again.
        let kept = pair.far.files().await.unwrap()[0].done;
        assert!(kept >= first.saturating_sub(1 << 20), "{kept} of {first}");
        assert!(progress(&pair.far).await >= kept);
        pair.near.stop().await;
        pair.near = start(&pair.homes[0]).await;
        let (sent, got) = tokio::join!(done(&pair.near), done(&pair.far));
        assert_eq!(sent.id, id);
        assert!(fs::read(got.path.unwrap()).unwrap() == content);
        assert_eq!(pair.downloads().await, ["big"]);
        for node in [pair.near, pair.far] {
            node.stop().await;
        }
        // Nothing is offered or told again.
        let far = start(&pair.homes[1]).await;
        assert_eq!(far.files().await.unwrap()[0].state, FileState::Done);
        assert_eq!(far.events().try_next(), None);
    });
}

#[test]
fn a_transfer_is_cancelled_by_either_side() {
    in_namespace("a_transfer_is_cancelled_by_either_side", || async {
        let pair = Pair::new().await;
        for by_sender in [true, false] {
            let id = pair.send(&pair.file("big", &pattern(100_000_000))).await;
            let offer = offered(&pair.far).await.id;
            pair.far.accept_file(offer).await.unwrap();
            event(&pair.far, |event| matches!(event, Event::FileProgress(_)).then_some(())).await;
            let reason = match by_sender {
                true => pair.near.cancel_file(id).await.map(|()| FileReason::SenderCancelled),
                false => pair.far.cancel_file(offer).await.map(|()| FileReason::RecipientCancelled),
            };
            let (there, here) = tokio::join!(failed(&pair.far), failed(&pair.near));
            for file in [there, here] {
                assert_eq!(
                    (file.state, file.reason),
                    (FileState::Cancelled, Some(reason.as_ref().copied().unwrap()))
                );
            }
            assert_eq!(pair.downloads().await, [""; 0]);
        }
    });
}

#[test]
fn a_blocked_node_offers_nothing_and_is_offered_nothing() {
    in_namespace("a_blocked_node_offers_nothing_and_is_offered_nothing", || async {
        let pair = Pair::new().await;
        let (first, second) = (pair.file("first", b"1"), pair.file("second", b"2"));
        let sent = pair.send(&first).await;
        let waiting = offered(&pair.far).await;
        pair.far.block(pair.near.id()).await.unwrap();
        let refused = failed(&pair.far).await;
        assert_eq!((refused.id, refused.reason), (waiting.id, Some(FileReason::Refused)));
        let error = pair.far.send_file(pair.near.id(), &first).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Blocked, "{error}");
        let again = pair.send(&second).await;
        // When it is blocked no more, it hears of the one, and offers the other.
        pair.far.unblock(pair.near.id()).await.unwrap();
        let file = offered(&pair.far).await;
        assert_eq!(file.name, "second", "nothing else was offered meanwhile");
        let failed = failed(&pair.near).await;
        assert_eq!((failed.id, failed.state), (sent, FileState::Refused));
        pair.far.accept_file(file.id).await.unwrap();
        assert_eq!(done(&pair.near).await.id, again);
    });
}
