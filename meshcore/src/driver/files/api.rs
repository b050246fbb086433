//! What applications ask of the files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{self, Version};
use super::receiving::discard_part;
use super::service::{FileCommand, News};
use super::shared::{Shared, blocking};
use crate::driver::engine::{Command, Reply};
use crate::driver::{Error, ErrorKind, Node, Pending};
use crate::file::{DecideError, Direction, Ledger, MAX_NAME, Offer, Transfer};
use crate::types::{FileId, FileInfo, FileReason, FileState, NodeId};

impl Node {
    /// Offers a file to a known node. The answer comes when the file was read once, for its SHA-256, and the offer is on
    /// this node's disk; from then on it is made whenever the recipient is in reach, also after a restart, until it is
    /// decided. [`crate::Event::FileProgress`], [`crate::Event::FileDone`] and [`crate::Event::FileFailed`] tell how it
    /// goes on. The file must stay where it is, and as it is, until then.
    pub fn send_file(&self, to: NodeId, path: impl Into<PathBuf>) -> Pending<FileId> {
        let path = path.into();
        self.ask_files(|reply| FileCommand::Send { to, name: None, path, reply })
    }

    /// [`Node::send_file`] to somebody whom the person calls `name`: refused as by [`Node::send_named`].
    pub fn send_file_named(&self, to: NodeId, name: &str, path: impl Into<PathBuf>) -> Pending<FileId> {
        let (name, path) = (Some(name.to_owned()), path.into());
        self.ask_files(|reply| FileCommand::Send { to, name, path, reply })
    }

    /// Accepts a file that is offered, into the folder of the downloads ([`crate::Builder::downloads`]). It gets its name
    /// there when it is whole and verified; a file that is there already is never overwritten.
    pub fn accept_file(&self, id: FileId) -> Pending<()> {
        self.ask_files(|reply| FileCommand::Accept { id, folder: None, reply })
    }

    /// Accepts a file that is offered, into a folder, which is made if need be.
    pub fn accept_file_into(&self, id: FileId, folder: impl Into<PathBuf>) -> Pending<()> {
        let folder = Some(folder.into());
        self.ask_files(|reply| FileCommand::Accept { id, folder, reply })
    }

    /// Refuses a file that is offered. The sender is told when it is in reach.
    pub fn refuse_file(&self, id: FileId) -> Pending<()> {
        self.ask_files(|reply| FileCommand::Refuse { id, reply })
    }

    /// Gives up a file that is sent or received. The other side is told when it is in reach.
    pub fn cancel_file(&self, id: FileId) -> Pending<()> {
        self.ask_files(|reply| FileCommand::Cancel { id, reply })
    }

    /// The files that are sent and received, and those that were lately, in the order in which they were offered.
    pub fn files(&self) -> Pending<Vec<FileInfo>> {
        self.ask_files(|reply| FileCommand::List { reply })
    }

    fn ask_files<T: Send + 'static>(&self, command: impl FnOnce(Reply<T>) -> FileCommand) -> Pending<T> {
        let (resolve, pending) = Pending::new();
        self.submit(Command::File(command(Reply::new(resolve))));
        pending
    }
}

impl Shared {
    /// Does what the application asks for, in a task of its own where that takes time.
    pub(super) fn command(self: &Arc<Self>, command: FileCommand) {
        let shared = Arc::clone(self);
        match command {
            FileCommand::List { reply } => {
                let files = self.ledger.lock().all();
                reply.give(Ok(files.iter().map(|file| self.info(file)).collect()));
            }
            FileCommand::Send { to, path, reply, .. } => {
                self.spawn(async move { reply.give(send(&shared, to, path).await) });
            }
            FileCommand::Accept { id, folder, reply } => {
                self.spawn(async move { reply.give(accept(&shared, id, folder).await) });
            }
            FileCommand::Refuse { id, reply } => self.spawn(async move {
                let undecided = shared.ledger.lock().check_undecided(&id).map(drop);
                reply.give(match undecided {
                    Ok(()) => end(&shared, id).await,
                    Err(error) => Err(error.into()),
                });
            }),
            FileCommand::Cancel { id, reply } => {
                self.spawn(async move { reply.give(end(&shared, id).await) })
            }
        }
    }

    /// Refuses what a peer has offered, and what it will offer.
    pub(super) fn block(self: &Arc<Self>, peer: NodeId) {
        self.set_present(peer, false);
        let undecided = self.ledger.lock().set_blocked(peer, true);
        for id in undecided {
            let shared = Arc::clone(self);
            self.spawn(async move {
                if let Err(error) = end(&shared, id).await {
                    tracing::debug!(%id, %error, "an offer of a blocked node could not be refused");
                }
            });
        }
    }

    fn tend(&self, peer: NodeId) {
        let _ = self.news.send(News::Tend(peer));
    }
}

async fn send(shared: &Arc<Shared>, to: NodeId, path: PathBuf) -> Result<FileId, Error> {
    check_room(&shared.ledger.lock(), to)?;
    let stop = Arc::clone(&shared.stopping);
    let read = blocking(move || {
        let path =
            std::path::absolute(&path).map_err(|error| Error::new(ErrorKind::InvalidArgument, error))?;
        let file = disk::open_source(&path)?;
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::InvalidArgument, format!("{}: {error}", path.display()))
        };
        let before = Version::of(&file).map_err(failed)?;
        let (sha256, size) = disk::digest(&file, &stop).map_err(failed)?;
        let after = Version::of(&file).map_err(failed)?;
        if before != after || size != after.size {
            let text = format!(
                "{}: this file changes while it is read; send it when it is finished",
                path.display()
            );
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        Ok((path, after, sha256))
    });
    let (path, version, sha256) = read.await??;
    let id = FileId(rand::random());
    let file = Transfer {
        id,
        direction: Direction::Outgoing,
        peer: to,
        offer: Offer { id, size: version.size, sha256, name: name_of(&path) },
        state: FileState::Waiting,
        reason: None,
        told: false,
        created: shared.now().wall,
        path: Some(path),
        modified: version.modified,
        part: None,
        folder: None,
        done: 0,
    };
    let mut room = Ok(());
    let saved = shared.save(|ledger| {
        room = check_room(ledger, to);
        room.is_ok().then(|| {
            ledger.put(file.clone());
            file
        })
    });
    if let Err(error) = saved.await {
        shared.forget(&id);
        return Err(error);
    }
    room?;
    shared.tend(to);
    Ok(id)
}

fn check_room(ledger: &Ledger, to: NodeId) -> Result<(), Error> {
    if ledger.has_room(to, Direction::Outgoing) { Ok(()) } else { Err(DecideError::TooMany.into()) }
}

/// The name in the offer: the recipient makes it safe, here it only has to fit.
fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = &name[..name.floor_char_boundary(MAX_NAME)];
    if name.is_empty() { "file".to_owned() } else { name.to_owned() }
}

async fn accept(shared: &Arc<Shared>, id: FileId, folder: Option<PathBuf>) -> Result<(), Error> {
    let file = shared.ledger.lock().check_undecided(&id).cloned()?;
    let folder = folder.unwrap_or_else(|| shared.downloads.clone());
    let size = file.offer.size;
    let prepared = blocking(move || {
        let folder =
            std::path::absolute(folder).map_err(|error| Error::new(ErrorKind::InvalidArgument, error))?;
        disk::prepare_folder(&folder, size)?;
        Ok::<_, Error>(folder)
    });
    let folder = prepared.await??;
    let mut decided = Ok(());
    let saved = shared.save(|ledger| {
        decided = ledger.check_undecided(&id).map(drop);
        decided.is_ok().then(|| {
            ledger.change(&id, |file| (file.state, file.folder) = (FileState::Accepted, Some(folder)))
        })?
    });
    if let Err(error) = saved.await {
        // What is not on disk was not decided.
        shared.ledger.lock().change(&id, |file| file.state = FileState::Waiting);
        return Err(error);
    }
    decided?;
    shared.signal(&id);
    shared.tend(file.peer);
    Ok(())
}

/// Refuses or cancels.
async fn end(shared: &Arc<Shared>, id: FileId) -> Result<(), Error> {
    let mut ended = Err(DecideError::Unknown(id));
    let saved = shared.save(|ledger| {
        let reason: FileReason = ledger.cancel_reason(&id);
        ended = ledger.end(&id, reason);
        ended.as_ref().ok().cloned()
    });
    saved.await?;
    let file = ended?;
    discard_part(&file).await;
    shared.tell_over(&file);
    shared.signal(&id);
    shared.tend(file.peer);
    Ok(())
}
