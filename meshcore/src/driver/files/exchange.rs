//! How exchanges begin: those that this side opens for a duty, and those that the peer opens.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::channel::{Broken, Channel};
use super::service::Active;
use super::shared::{Shared, Turnstile};
use super::{receiving, sending};
use crate::driver::{Connection, Stream};
use crate::file::{Answer, Direction, Duty, FileRecord, Offer, Transfer, Violation};
use crate::types::{FileId, FileReason, FileState, Instant, NodeId};

/// How long a peer in reach may be silent where it is to answer at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Longest time for telling the end of a file in one exchange, in reach or not.
const TELLING: Duration = Duration::from_secs(30);

/// How long an offer of ours goes before a question for the same file that crosses it.
const CROSSING: Duration = Duration::from_secs(5);

/// How often it is seen whether the peer is silent, and a sign of life is given where that is due.
pub(super) const BEAT: Duration = Duration::from_secs(1);

/// What an exchange works with.
pub(super) struct Exchange {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: NodeId,
    pub(super) active: Active,
    pub(super) channel: Channel,
    /// When the peer was heard last.
    pub(super) heard: Instant,
}

impl Exchange {
    fn new(shared: &Arc<Shared>, peer: NodeId, active: Active, stream: Stream) -> Self {
        let heard = shared.now().monotonic;
        Self { shared: Arc::clone(shared), peer, active, channel: Channel::new(stream), heard }
    }

    /// The next record, for which a peer in reach needs no longer than `patience`.
    pub(super) async fn recv(&mut self, patience: Duration) -> Result<FileRecord, Broken> {
        loop {
            tokio::select! {
                record = self.channel.recv() => {
                    self.heard = self.shared.now().monotonic;
                    return record;
                }
                () = self.shared.stopped() => return Err(Broken::Stopping),
                () = tokio::time::sleep(BEAT) => {
                    if self.shared.is_silent(self.peer, self.heard, patience) {
                        return Err(Broken::Silent);
                    }
                }
            }
        }
    }

    /// Tells the end of a file, until the peer has it on disk.
    pub(super) async fn tell(&mut self, id: FileId, record: FileRecord) -> Result<(), Broken> {
        // Another exchange may wait for the end of this one.
        timeout(TELLING, self.tell_and_hear(record)).await.map_err(|_| Broken::Silent)??;
        self.mark_told(id).await
    }

    async fn tell_and_hear(&mut self, record: FileRecord) -> Result<(), Broken> {
        self.channel.send(record).await?;
        loop {
            match self.recv(PATIENCE).await? {
                // A cancellation that crosses is an answer as well.
                FileRecord::Noted | FileRecord::Cancel { .. } => return Ok(()),
                // What was under way.
                FileRecord::Chunk { .. } | FileRecord::Progress(_) | FileRecord::Unknown(_) => {}
                _ => return Err(Violation::Unexpected.into()),
            }
        }
    }

    pub(super) async fn mark_told(&self, id: FileId) -> Result<(), Broken> {
        let told = self.shared.save(|ledger| ledger.change(&id, |file| file.told = true)).await;
        told.map(drop).map_err(|error| Broken::Disk(error.to_string()))
    }

    /// The peer has given the file up: notes that, and says so.
    pub(super) async fn on_ended(&mut self, id: FileId, reason: FileReason) -> Result<(), Broken> {
        let was_over = self.shared.file(&id).is_none_or(|file| file.state.is_over());
        let saved = self.shared.save(|ledger| ledger.on_ended(&id, reason)).await;
        if let Some(file) = saved.map_err(|error| Broken::Disk(error.to_string()))?
            && !was_over
        {
            receiving::discard_part(&file).await;
            self.shared.tell_over(&file);
        }
        self.channel.send(FileRecord::Noted).await
    }
}

/// Opens the exchange that a duty asks for.
pub(super) async fn open(
    shared: &Arc<Shared>,
    connection: &Connection,
    active: Active,
    (id, duty): (FileId, Duty),
) -> Result<(), Broken> {
    let turnstile = shared.begin(id).await?;
    let Some(file) = shared.file(&id) else { return Ok(()) };
    turnstile.current.unanswered.store(duty == Duty::Offer, std::sync::atomic::Ordering::Relaxed);
    let stream = tokio::select! {
        stream = connection.open() => stream.map_err(|error| Broken::Disk(error.to_string()))?,
        () = shared.stopped() => return Err(Broken::Stopping),
    };
    let mut exchange = Exchange::new(shared, file.peer, active, stream);
    match duty {
        Duty::Offer => sending::offer(&mut exchange, &turnstile, file).await,
        Duty::Tell(reason) => {
            let record = FileRecord::Cancel { id: file.offer.id, reason };
            exchange.tell(id, record).await
        }
        Duty::Want => {
            exchange.channel.send(FileRecord::Want(file.offer.id)).await?;
            let answer = tokio::select! {
                answer = exchange.recv(PATIENCE) => answer?,
                replaced = replaced(&turnstile) => return Err(replaced),
            };
            match answer {
                FileRecord::Offer(offer) if offer.id == file.offer.id => {
                    take(&mut exchange, Some(turnstile), offer).await
                }
                FileRecord::Cancel { id: theirs, reason } if theirs == file.offer.id => {
                    exchange.on_ended(id, reason).await
                }
                _ => Err(Violation::Unexpected.into()),
            }
        }
    }
}

async fn replaced(turnstile: &Turnstile) -> Broken {
    loop {
        if let Err(broken) = turnstile.current.changed().await {
            return broken;
        }
    }
}

/// An exchange that the peer has opened.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    peer: NodeId,
    active: Active,
    stream: Stream,
) -> Result<(), Broken> {
    let mut exchange = Exchange::new(shared, peer, active, stream);
    let first = timeout(PATIENCE, exchange.channel.recv()).await.map_err(|_| Broken::Silent)??;
    match first {
        FileRecord::Offer(offer) => take(&mut exchange, None, offer).await,
        FileRecord::Want(id) => wanted(&mut exchange, id).await,
        FileRecord::Cancel { id, reason } => {
            let file = shared.ledger.lock().named_by(peer, &id).map(|file| file.id);
            match file {
                Some(id) => {
                    exchange.on_ended(id, reason).await?;
                    shared.signal(&id);
                    Ok(())
                }
                // There is nothing to be noted.
                None => exchange.channel.send(FileRecord::Noted).await,
            }
        }
        _ => Err(Violation::Unexpected.into()),
    }
}

/// The recipient asks for a file of ours.
async fn wanted(exchange: &mut Exchange, id: FileId) -> Result<(), Broken> {
    let shared = Arc::clone(&exchange.shared);
    let is_ours = |file: &Transfer| file.direction == Direction::Outgoing && file.peer == exchange.peer;
    let Some(file) = shared.file(&id).filter(is_ours) else {
        let record = FileRecord::Cancel { id, reason: FileReason::Unknown };
        exchange.channel.send(record).await?;
        return exchange.recv(PATIENCE).await.map(drop);
    };
    if let Some(reason) = file.reason.filter(|_| file.state.is_over() && file.state != FileState::Done) {
        return exchange.tell(id, FileRecord::Cancel { id, reason }).await;
    }
    if shared.is_offering(&id, CROSSING) {
        // The recipient finds that offer, and gives this question up.
        return Ok(());
    }
    let turnstile = shared.begin(id).await?;
    sending::offer(exchange, &turnstile, file).await
}

/// The peer offers a file; `turnstile` is there when it was asked to.
async fn take(exchange: &mut Exchange, turnstile: Option<Turnstile>, offer: Offer) -> Result<(), Broken> {
    let shared = Arc::clone(&exchange.shared);
    let answer = shared.ledger.lock().on_offer(exchange.peer, &offer, FileId(rand::random()));
    let id = match answer {
        Answer::New(id) => {
            let (peer, now) = (exchange.peer, shared.now().wall);
            let saved = shared.save(|ledger| {
                // Several streams may bring the same offer at once.
                let is_new = matches!(ledger.on_offer(peer, &offer, id), Answer::New(_));
                is_new.then(|| ledger.add_offer(peer, offer.clone(), id, now))
            });
            match saved.await {
                Ok(Some(file)) => shared.tell_offered(&file),
                Ok(None) => return Err(Broken::Replaced),
                Err(error) => {
                    shared.forget(&id);
                    return Err(Broken::Disk(error.to_string()));
                }
            }
            id
        }
        Answer::Noted(id) | Answer::Receive(id) => id,
        Answer::Finished(id) => return exchange.tell(id, FileRecord::Finished).await,
        Answer::Cancel(Some(id), reason) => {
            return exchange.tell(id, FileRecord::Cancel { id: offer.id, reason }).await;
        }
        Answer::Cancel(None, reason) => {
            exchange.channel.send(FileRecord::Cancel { id: offer.id, reason }).await?;
            return exchange.recv(PATIENCE).await.map(drop);
        }
    };
    let turnstile = match turnstile {
        Some(turnstile) => turnstile,
        None => shared.begin(id).await?,
    };
    if shared.file(&id).is_some_and(|file| file.state == FileState::Waiting) {
        exchange.channel.send(FileRecord::Noted).await?;
        decide(exchange, &turnstile, id).await?;
    }
    let Some(file) = shared.file(&id) else { return Ok(()) };
    match (file.state, file.reason) {
        (FileState::Accepted, _) => receiving::receive(exchange, &turnstile, file).await,
        (_, Some(reason)) if !file.told => {
            exchange.tell(id, FileRecord::Cancel { id: file.offer.id, reason }).await
        }
        _ => Ok(()),
    }
}

/// Waits until the person, or the sender, has decided about an offer.
async fn decide(exchange: &mut Exchange, turnstile: &Turnstile, id: FileId) -> Result<(), Broken> {
    let _idle = exchange.active.idle();
    while exchange.shared.file(&id).is_some_and(|file| file.state == FileState::Waiting) {
        tokio::select! {
            changed = turnstile.current.changed() => changed?,
            record = exchange.channel.recv() => match record? {
                FileRecord::Unknown(_) => {}
                FileRecord::Cancel { reason, .. } => exchange.on_ended(id, reason).await?,
                _ => return Err(Violation::Unexpected.into()),
            },
            () = exchange.shared.stopped() => return Err(Broken::Stopping),
        }
    }
    exchange.heard = exchange.shared.now().monotonic;
    Ok(())
}
