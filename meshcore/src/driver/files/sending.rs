//! An exchange about a file that this node sends.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::channel::{Broken, Turn};
use super::disk::{self, Version};
use super::exchange::{BEAT, Exchange, PATIENCE};
use super::shared::{Turnstile, blocking};
use crate::file::{FileRecord, Heard, Offering, Transfer, Violation};
use crate::types::{FileId, FileReason, FileState};

/// How long a recipient in reach may be silent while it receives: it gives a sign of life every two seconds.
const SENDING_PATIENCE: Duration = Duration::from_secs(30);

/// What is sent from, as soon as the file is accepted.
#[derive(Default)]
struct Source {
    file: Option<Arc<File>>,
    /// A record that the stream has not taken yet.
    chunk: Option<Bytes>,
}

/// Offers the file, and sends it when it is accepted.
pub(super) async fn offer(
    exchange: &mut Exchange,
    turnstile: &Turnstile,
    file: Transfer,
) -> Result<(), Broken> {
    let id = file.id;
    let (mut offering, record) = Offering::new(file.offer.clone());
    exchange.channel.send(record).await?;
    exchange.heard = exchange.shared.now().monotonic;
    let mut source = Source::default();
    let mut idle = None;
    loop {
        if source.chunk.is_none()
            && let Some((offset, len)) = offering.next_read()
        {
            match read(&file, &mut source, offset, len).await {
                Ok(data) => source.chunk = Some(offering.on_read(data)?.emit()),
                Err(reason) => return give_up(exchange, &mut offering, id, reason).await,
            }
        }
        let turn = tokio::select! {
            turn = exchange.channel.turn(source.chunk.as_ref()) => turn?,
            changed = turnstile.current.changed() => {
                changed?;
                let ended = exchange.shared.file(&id).filter(|file| file.state.is_over());
                let Some(reason) = ended.and_then(|file| file.reason) else { continue };
                return exchange.tell(id, offering.cancel(reason)).await;
            }
            () = exchange.shared.stopped() => return Err(Broken::Stopping),
            () = tokio::time::sleep(BEAT) => {
                let patience = if offering.is_unanswered() { PATIENCE } else { SENDING_PATIENCE };
                if idle.is_none() && exchange.shared.is_silent(exchange.peer, exchange.heard, patience) {
                    return Err(Broken::Silent);
                }
                continue;
            }
        };
        let record = match turn {
            Turn::Written => {
                source.chunk = None;
                continue;
            }
            Turn::Came(record) => record,
        };
        exchange.heard = exchange.shared.now().monotonic;
        turnstile.current.unanswered.store(false, Ordering::Relaxed);
        match offering.handle(record)? {
            Heard::Nothing => {}
            Heard::Noted => {
                exchange.shared.ledger.lock().on_noted(id);
                idle = Some(exchange.active.idle());
            }
            Heard::Accepted => {
                idle = None;
                accepted(exchange, id).await?;
                exchange.channel.yield_to_others();
            }
            Heard::Progress(done) => exchange.shared.on_progress(&id, done),
            Heard::Finished => return finished(exchange, id).await,
            Heard::Ended(reason) => return exchange.on_ended(id, reason).await,
        }
    }
}

/// The next bytes of the file, if it still is the one that was offered.
async fn read(file: &Transfer, source: &mut Source, offset: u64, len: usize) -> Result<Bytes, FileReason> {
    let offered = Version { size: file.offer.size, modified: file.modified };
    let opened = match &source.file {
        Some(opened) => Arc::clone(opened),
        None => {
            let path = file.path.clone().ok_or(FileReason::Unreadable)?;
            let opened = blocking(move || disk::open_source(&path)).await;
            let opened = opened.and_then(|opened| opened).map_err(|_| FileReason::Unreadable)?;
            let opened = Arc::new(opened);
            source.file = Some(Arc::clone(&opened));
            opened
        }
    };
    let read = blocking(move || {
        let data = disk::read(&opened, offset, len);
        // Asked after the reading: a change is noticed with the next chunk at the latest.
        (data, Version::of(&opened))
    });
    let (data, version) = read.await.map_err(|_| FileReason::Unreadable)?;
    match (data, version) {
        (Ok(data), Ok(version)) if version == offered => Ok(data),
        (_, Ok(version)) if version != offered => Err(FileReason::Changed),
        _ => Err(FileReason::Unreadable),
    }
}

/// The recipient wants it.
async fn accepted(exchange: &Exchange, id: FileId) -> Result<(), Broken> {
    let saved = exchange.shared.update(|ledger| {
        ledger.on_noted(id);
        let is_news = ledger.get(&id)?.state == FileState::Waiting;
        if is_news { ledger.change(&id, |file| file.state = FileState::Accepted) } else { None }
    });
    if let Some((_, saved)) = saved {
        exchange.shared.saved(saved).await.map_err(|error| Broken::Disk(error.to_string()))?;
    }
    Ok(())
}

async fn finished(exchange: &mut Exchange, id: FileId) -> Result<(), Broken> {
    let was_over = exchange.shared.file(&id).is_none_or(|file| file.state.is_over());
    let saved = exchange.shared.save(|ledger| {
        ledger.change(&id, |file| {
            if !file.state.is_over() {
                (file.state, file.done) = (FileState::Done, file.offer.size);
            }
            file.told = true;
        })
    });
    let file = saved.await.map_err(|error| Broken::Disk(error.to_string()))?;
    if let Some(file) = file.filter(|_| !was_over) {
        exchange.shared.tell_over(&file);
    }
    exchange.channel.send(FileRecord::Noted).await
}

/// The file cannot be sent any more.
async fn give_up(
    exchange: &mut Exchange,
    offering: &mut Offering,
    id: FileId,
    reason: FileReason,
) -> Result<(), Broken> {
    let saved = exchange.shared.save(|ledger| ledger.end(&id, reason).ok()).await;
    let Some(file) = saved.map_err(|error| Broken::Disk(error.to_string()))? else {
        return Err(Violation::Unexpected.into());
    };
    exchange.shared.tell_over(&file);
    exchange.tell(id, offering.cancel(reason)).await
}
