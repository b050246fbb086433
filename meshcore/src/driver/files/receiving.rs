//! An exchange about a file that this node receives.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::channel::{Broken, Turn};
use super::disk;
use super::exchange::{BEAT, Exchange, PATIENCE};
use super::shared::{Shared, Turnstile, blocking};
use super::turns::Permit;
use crate::file::{FileRecord, Taken, Taking, Transfer, sync_interval};
use crate::types::{FileId, FileReason, FileState};

/// How often a disk that refuses is tried again.
const DISK_PAUSE: Duration = Duration::from_secs(2);

/// A partial file that is open.
struct Part {
    path: PathBuf,
    file: Arc<File>,
    /// So many bytes of it are there.
    len: u64,
    /// So many are safe, as the ledger knows.
    safe: u64,
}

/// Receives an accepted file from where it is to its end.
pub(super) async fn receive(
    exchange: &mut Exchange,
    turnstile: &Turnstile,
    file: Transfer,
) -> Result<(), Broken> {
    let id = file.id;
    let shared = Arc::clone(&exchange.shared);
    let permit = turn(exchange, turnstile).await?;
    if is_placed(&shared, &file).await.map_err(|error| refused(&shared, &file, &error))? {
        return finish(exchange, id).await;
    }
    let mut part = open_part(&shared, &file).await?;
    let (mut taking, record) = Taking::new(file.offer.clone(), part.len);
    exchange.channel.send(record).await?;
    shared.on_progress(&id, part.len);
    let taken = take_all(exchange, (turnstile, &permit), &mut taking, &mut part, &file).await;
    if !matches!(taken, Ok(Next::Over)) {
        // What is there need not come again, whatever ends the exchange.
        let synced = sync(&shared, &file, &mut part).await;
        if matches!(taken, Ok(Next::Verify)) {
            synced?;
        }
    }
    match taken? {
        Next::Over => Ok(()),
        Next::Verify => verify(exchange, turnstile, &mut taking, &part, &file).await,
    }
}

/// Waits until few enough files are being received, of this peer and in all.
async fn turn(exchange: &mut Exchange, turnstile: &Turnstile) -> Result<Permit, Broken> {
    let (shared, peer) = (Arc::clone(&exchange.shared), exchange.peer);
    if let Some(permit) = shared.receiving.try_take(peer) {
        return Ok(permit);
    }
    exchange.channel.send(FileRecord::Noted).await?;
    let permit = tokio::select! {
        permit = shared.receiving.take(peer) => permit.ok_or(Broken::Stopping)?,
        // The next exchange does what was decided.
        changed = turnstile.current.changed() => return changed.and(Err(Broken::Replaced)),
        () = exchange.shared.stopped() => return Err(Broken::Stopping),
    };
    exchange.heard = exchange.shared.now().monotonic;
    Ok(permit)
}

enum Next {
    /// All of it is written.
    Verify,
    /// It was given up.
    Over,
}

async fn take_all(
    exchange: &mut Exchange,
    (turnstile, permit): (&Turnstile, &Permit),
    taking: &mut Taking,
    part: &mut Part,
    file: &Transfer,
) -> Result<Next, Broken> {
    let shared = Arc::clone(&exchange.shared);
    let id = file.id;
    let mut fed = shared.now().monotonic;
    while !taking.is_complete() {
        // Signs of life alone keep no place for which others wait.
        if permit.is_awaited() && shared.now().monotonic - fed >= PATIENCE {
            return Err(Broken::Stalled);
        }
        let record = tokio::select! {
            turn = exchange.channel.turn(None) => match turn? {
                Turn::Came(record) => record,
                Turn::Written => continue,
            },
            changed = turnstile.current.changed() => {
                changed?;
                let Some(reason) = ended(&shared, &id) else { continue };
                exchange.tell(id, taking.cancel(reason)).await?;
                return Ok(Next::Over);
            }
            () = shared.stopped() => return Err(Broken::Stopping),
            () = sleep(BEAT) => {
                if shared.is_silent(exchange.peer, exchange.heard, PATIENCE) {
                    return Err(Broken::Silent);
                }
                continue;
            }
        };
        exchange.heard = shared.now().monotonic;
        match taking.handle(record)? {
            Taken::Nothing | Taken::Noted => {}
            Taken::Ended(reason) => {
                exchange.on_ended(id, reason).await?;
                return Ok(Next::Over);
            }
            Taken::Write { offset, data } => {
                let len = data.len();
                write(exchange, turnstile, taking, (part, file), (offset, data)).await?;
                part.len = offset + len as u64;
                shared.on_progress(&id, part.len);
                fed = shared.now().monotonic;
                if let Some(progress) = taking.on_written(len) {
                    exchange.channel.send(progress).await?;
                }
                if part.len - part.safe >= sync_interval(file.offer.size) {
                    sync(&shared, file, part).await?;
                }
            }
        }
    }
    Ok(Next::Verify)
}

/// The reason for which this side has given the file up.
fn ended(shared: &Shared, id: &FileId) -> Option<FileReason> {
    shared.file(id).filter(|file| file.state.is_over()).and_then(|file| file.reason)
}

/// Writes a chunk. A disk that refuses, being full perhaps, is tried again until it takes it: meanwhile nothing is read from
/// the stream, so that the sender waits as well.
async fn write(
    exchange: &mut Exchange,
    turnstile: &Turnstile,
    taking: &mut Taking,
    (part, file): (&Part, &Transfer),
    (offset, data): (u64, Bytes),
) -> Result<(), Broken> {
    let shared = Arc::clone(&exchange.shared);
    loop {
        let (part, piece) = (Arc::clone(&part.file), data.clone());
        let written = blocking(move || part.write_all_at(&piece, offset)).await;
        let error = match written {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(error) => return Err(Broken::Disk(error.to_string())),
        };
        shared.warn_of_file(file, advice(&error));
        tokio::select! {
            () = sleep(DISK_PAUSE) => exchange.channel.send(taking.progress()).await?,
            changed = turnstile.current.changed() => {
                changed?;
                // What was decided is seen to before the next chunk.
                turnstile.current.changed.notify_one();
                if ended(&shared, &file.id).is_some() {
                    return Ok(());
                }
            }
            () = shared.stopped() => return Err(Broken::Stopping),
        }
    }
}

fn advice(error: &io::Error) -> String {
    let help = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room, and it goes on",
        _ => "check the folder, and it goes on",
    };
    format!("{error}; {help}")
}

fn refused(shared: &Shared, file: &Transfer, error: &io::Error) -> Broken {
    if !shared.stopping.load(std::sync::atomic::Ordering::Relaxed) {
        shared.warn_of_file(file, advice(error));
    }
    Broken::Disk(error.to_string())
}

/// Has the disk keep what is written, then notes how much that is.
async fn sync(shared: &Arc<Shared>, file: &Transfer, part: &mut Part) -> Result<(), Broken> {
    let opened = Arc::clone(&part.file);
    let synced =
        blocking(move || opened.sync_data()).await.map_err(|error| Broken::Disk(error.to_string()))?;
    synced.map_err(|error| refused(shared, file, &error))?;
    let len = part.len;
    let saved = shared.save(|ledger| ledger.change(&file.id, |file| file.done = len)).await;
    saved.map_err(|error| Broken::Disk(error.to_string()))?;
    part.safe = len;
    Ok(())
}

/// Whether the file has its final name already: this node died between giving it and noting that.
async fn is_placed(shared: &Arc<Shared>, file: &Transfer) -> io::Result<bool> {
    let (Some(path), Some(part)) = (file.path.clone(), file.part.clone()) else { return Ok(false) };
    let (offer, stop) = (file.offer.clone(), Arc::clone(&shared.stopping));
    let placed = blocking(move || {
        Ok(disk::open_part(&part)?.is_none() && disk::is_there(&path, offer.size, &offer.sha256, &stop)?)
    });
    placed.await.map_err(io::Error::other)?
}

/// Opens the partial file, or makes one. What is in it counts as far as it is known: what this process has written, or
/// what was synced before that.
async fn open_part(shared: &Arc<Shared>, file: &Transfer) -> Result<Part, Broken> {
    let known = shared.written(&file.id).unwrap_or(0).max(file.done);
    let (old, name) = (file.part.clone(), file.offer.name.clone());
    let folder = file.folder.clone().unwrap_or_else(|| shared.downloads.clone());
    let needed = file.offer.size.saturating_sub(known);
    let opened = blocking(move || {
        if let Some(path) = old
            && let Some(opened) = disk::open_part(&path)?
        {
            let len = disk::keep(&opened, known)?;
            return Ok((path, opened, len, false));
        }
        disk::prepare_folder(&folder, needed).map_err(io::Error::other)?;
        let (path, opened) = disk::create_part(&folder, &name)?;
        Ok((path, opened, 0, true))
    });
    let opened = opened.await.map_err(|error| Broken::Disk(error.to_string()))?;
    let (path, opened, len, is_new) = opened.map_err(|error: io::Error| refused(shared, file, &error))?;
    if is_new {
        let part = path.clone();
        let saved =
            shared.save(|ledger| ledger.change(&file.id, |file| (file.part, file.done) = (Some(part), 0)));
        if let Err(error) = saved.await {
            disk::discard(&path);
            return Err(Broken::Disk(error.to_string()));
        }
    }
    Ok(Part { path, file: Arc::new(opened), len, safe: len.min(file.done) })
}

/// Compares what is on disk with what was offered, and gives it its name.
async fn verify(
    exchange: &mut Exchange,
    turnstile: &Turnstile,
    taking: &mut Taking,
    part: &Part,
    file: &Transfer,
) -> Result<(), Broken> {
    let shared = Arc::clone(&exchange.shared);
    let (opened, stop) = (Arc::clone(&part.file), Arc::clone(&shared.stopping));
    let digest = blocking(move || disk::digest(&opened, &stop));
    tokio::pin!(digest);
    let digest = loop {
        tokio::select! {
            digest = &mut digest => break digest.map_err(|error| Broken::Disk(error.to_string()))?,
            // The sender is to see that this side is alive.
            () = sleep(DISK_PAUSE) => exchange.channel.send(taking.progress()).await?,
        }
    };
    let digest = digest.map_err(|error| refused(&shared, file, &error))?;
    turnstile.current.check()?;
    if digest != (file.offer.sha256, file.offer.size) {
        let saved = shared.save(|ledger| ledger.end(&file.id, FileReason::Mismatch).ok()).await;
        let saved = saved.map_err(|error| Broken::Disk(error.to_string()))?;
        discard_part(file).await;
        disk::discard(&part.path);
        saved.iter().for_each(|file| shared.tell_over(file));
        let reason = ended(&shared, &file.id).unwrap_or(FileReason::Mismatch);
        return exchange.tell(file.id, taking.cancel(reason)).await;
    }
    match place(&shared, part, file).await? {
        true => finish(exchange, file.id).await,
        false => {
            let reason = ended(&shared, &file.id).unwrap_or(FileReason::RecipientCancelled);
            exchange.tell(file.id, taking.cancel(reason)).await
        }
    }
}

/// Gives the file the first name that is free. Which one is noted before: so a crash right after it is understood.
/// Not when it was given up meanwhile.
async fn place(shared: &Arc<Shared>, part: &Part, file: &Transfer) -> Result<bool, Broken> {
    let folder = part.path.parent().map(PathBuf::from).unwrap_or_default();
    for path in disk::names(&folder, &file.offer.name) {
        let chosen = path.clone();
        let saved = shared.save(|ledger| {
            let is_wanted = ledger.get(&file.id)?.state == FileState::Accepted;
            is_wanted.then(|| ledger.change(&file.id, |file| file.path = Some(chosen)))?
        });
        if saved.await.map_err(|error| Broken::Disk(error.to_string()))?.is_none() {
            return Ok(false);
        }
        let from = part.path.clone();
        let placed = blocking(move || disk::place(&from, &path)).await;
        let placed = placed.map_err(|error| Broken::Disk(error.to_string()))?;
        if placed.map_err(|error| refused(shared, file, &error))? {
            return Ok(true);
        }
    }
    Err(refused(shared, file, &disk::no_name(&file.offer.name)))
}

/// The file has its name: notes it, and tells both sides.
async fn finish(exchange: &mut Exchange, id: FileId) -> Result<(), Broken> {
    let saved = exchange.shared.save(|ledger| {
        let is_wanted = ledger.get(&id)?.state == FileState::Accepted;
        is_wanted.then(|| {
            ledger.change(&id, |file| (file.state, file.done) = (FileState::Done, file.offer.size))
        })?
    });
    let Some(file) = saved.await.map_err(|error| Broken::Disk(error.to_string()))? else {
        // It was given up in the last moment.
        let Some(file) = exchange.shared.file(&id) else { return Ok(()) };
        if let Some(path) = file.path.clone() {
            let _ = blocking(move || disk::discard(&path)).await;
        }
        let reason = file.reason.unwrap_or(FileReason::RecipientCancelled);
        return exchange.tell(id, FileRecord::Cancel { id: file.offer.id, reason }).await;
    };
    exchange.shared.tell_over(&file);
    exchange.tell(id, FileRecord::Finished).await
}

/// Removes what is there of a file that was given up.
pub(super) async fn discard_part(file: &Transfer) {
    if let Some(part) = file.part.clone() {
        // The exchange goes on without it.
        let _ = blocking(move || disk::discard(&part)).await;
    }
}
