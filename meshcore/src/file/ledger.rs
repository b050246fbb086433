//! All files of a node, sent and received: who is to do what about each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::name::safe_name;
use crate::types::{FileId, FileReason, FileState, NodeId, UnixTime};
use crate::wire::file::Offer;

/// Files of one peer that are not over, in each direction. More offers of it are refused.
pub const MAX_WAITING: usize = 64;

/// The same for all peers together.
pub const MAX_WAITING_IN_ALL: usize = 1024;

/// Files that are over and still known, of one peer and of all. The oldest are forgotten.
const MAX_OVER: usize = 256;
const MAX_OVER_IN_ALL: usize = 4096;

/// Which way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// This node sends it.
    Outgoing,
    /// This node receives it.
    Incoming,
}

/// One file, as it is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The name for it on this node. Of an outgoing file it is the id in the offer.
    pub id: FileId,
    /// Which way it goes.
    pub direction: Direction,
    /// The node at the other end.
    pub peer: NodeId,
    /// What is offered; the name of an incoming file is a safe one.
    pub offer: Offer,
    /// How far it is.
    pub state: FileState,
    /// Why it will not arrive.
    pub reason: Option<FileReason>,
    /// Once it is over: the peer knows.
    pub told: bool,
    /// When it was offered.
    pub created: UnixTime,
    /// Where it lies. Of an incoming file: where it will, as soon as that is chosen.
    pub path: Option<PathBuf>,
    /// Outgoing: when it was changed last, in nanoseconds since 1970.
    pub modified: i64,
    /// Incoming: the partial file.
    pub part: Option<PathBuf>,
    /// Incoming: the folder that it goes to.
    pub folder: Option<PathBuf>,
    /// Incoming: so many bytes of the partial file are safe from a crash. Outgoing: the recipient had so many.
    pub done: u64,
}

/// What an exchange is to be begun for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// To offer the file.
    Offer,
    /// To ask for it, or to hear that the sender knows that it has arrived.
    Want,
    /// To tell that it is given up.
    Tell(FileReason),
}

/// What to say to an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is new: to be saved first, then it is noted and the application is asked.
    New(FileId),
    /// It is known and undecided.
    Noted(FileId),
    /// It is accepted: to be received.
    Receive(FileId),
    /// It is here already.
    Finished(FileId),
    /// It is not taken. With an id: the entry whose end the sender hears by this.
    Cancel(Option<FileId>, FileReason),
}

/// Why a decision about a file is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// No such file.
    #[error("no file with the id {0} is known here; list the files to find it")]
    Unknown(FileId),
    /// It is not one that this node is offered.
    #[error("the file '{0}' is sent by this node: only its recipient can decide; it can be cancelled")]
    Outgoing(String),
    /// It is decided.
    #[error("the file '{0}' was accepted before")]
    Accepted(String),
    /// Nothing follows.
    #[error("the file '{0}' is over already")]
    Over(String),
    /// Too many are under way.
    #[error(
        "{MAX_WAITING} files for this node wait already, or {MAX_WAITING_IN_ALL} in all; send it when some have arrived"
    )]
    TooMany,
}

/// The files. Every change gives back what is to be saved.
#[derive(Debug, Default)]
pub struct Ledger {
    files: BTreeMap<FileId, Transfer>,
    /// Incoming files by sender and the sender's id.
    offered: BTreeMap<(NodeId, FileId), FileId>,
    by_peer: BTreeSet<(NodeId, FileId)>,
    /// Offers that the recipient knows, or need not know for now.
    noted: BTreeSet<FileId>,
    /// Peers from whom nothing is taken.
    blocked: BTreeSet<NodeId>,
}

impl Ledger {
    /// The ledger of an earlier run.
    pub fn new(files: Vec<Transfer>) -> Self {
        let mut ledger = Self::default();
        files.into_iter().for_each(|file| ledger.put(file));
        ledger
    }

    /// A file.
    pub fn get(&self, id: &FileId) -> Option<&Transfer> {
        self.files.get(id)
    }

    /// All files, the oldest first.
    pub fn all(&self) -> Vec<Transfer> {
        let mut files: Vec<_> = self.files.values().cloned().collect();
        files.sort_by_key(|file| (file.created, file.id));
        files
    }

    /// Adds a file, or replaces what was known of it.
    pub fn put(&mut self, file: Transfer) {
        if file.direction == Direction::Incoming {
            self.offered.insert((file.peer, file.offer.id), file.id);
        }
        self.by_peer.insert((file.peer, file.id));
        self.files.insert(file.id, file);
    }

    /// Forgets a file.
    pub fn remove(&mut self, id: &FileId) {
        if let Some(file) = self.files.remove(id) {
            self.by_peer.remove(&(file.peer, *id));
            self.noted.remove(id);
            if file.direction == Direction::Incoming {
                self.offered.remove(&(file.peer, file.offer.id));
            }
        }
    }

    fn of_peer(&self, peer: NodeId) -> impl Iterator<Item = &Transfer> {
        let all = (peer, FileId([0; 16]))..=(peer, FileId([0xff; 16]));
        self.by_peer.range(all).filter_map(|(_, id)| self.files.get(id))
    }

    /// Peers with whom something is to be done.
    pub fn peers(&self) -> BTreeSet<NodeId> {
        self.files.values().filter(|file| self.duty(file).is_some()).map(|file| file.peer).collect()
    }

    /// Files that a peer has accepted, and has not got yet.
    pub fn accepted_of(&self, peer: NodeId) -> Vec<FileId> {
        self.of_peer(peer).filter(|file| is_awaited(file)).map(|file| file.id).collect()
    }

    /// Peers that are to ask for files which they have accepted.
    pub fn awaiting(&self) -> BTreeSet<NodeId> {
        self.files.values().filter(|file| is_awaited(file)).map(|file| file.peer).collect()
    }

    /// Whether one more file fits.
    pub fn has_room(&self, peer: NodeId, direction: Direction) -> bool {
        let waits = |file: &&Transfer| file.direction == direction && !file.state.is_over();
        self.of_peer(peer).filter(waits).count() < MAX_WAITING
            && self.files.values().filter(waits).count() < MAX_WAITING_IN_ALL
    }

    /// Files that are over and more than are kept: the oldest of them, to be removed here and on disk.
    pub fn surplus(&self, peer: NodeId) -> Vec<FileId> {
        let over = |file: &&Transfer| file.state.is_over();
        let oldest = |mut files: Vec<(UnixTime, FileId)>, keep: usize| {
            files.sort();
            files.truncate(files.len().saturating_sub(keep));
            files
        };
        let key = |file: &Transfer| (file.created, file.id);
        let mut ids = oldest(self.of_peer(peer).filter(over).map(key).collect(), MAX_OVER);
        ids.extend(oldest(self.files.values().filter(over).map(key).collect(), MAX_OVER_IN_ALL));
        ids.into_iter().map(|(_, id)| id).collect::<BTreeSet<_>>().into_iter().collect()
    }

    // -- exchanges --------------------------------------------------------------------------------------------------

    /// The exchanges that this side has to begin with a peer.
    pub fn duties(&self, peer: NodeId) -> Vec<(FileId, Duty)> {
        self.of_peer(peer).filter_map(|file| Some((file.id, self.duty(file)?))).collect()
    }

    fn duty(&self, file: &Transfer) -> Option<Duty> {
        let told_reason = || file.reason.filter(|_| !file.told).map(Duty::Tell);
        match (file.direction, file.state) {
            (Direction::Outgoing, FileState::Waiting | FileState::Accepted) => {
                (!self.noted.contains(&file.id)).then_some(Duty::Offer)
            }
            (Direction::Incoming, FileState::Accepted) => Some(Duty::Want),
            (Direction::Incoming, FileState::Done) => (!file.told).then_some(Duty::Want),
            (Direction::Incoming, FileState::Waiting) | (Direction::Outgoing, FileState::Done) => None,
            (_, FileState::Refused | FileState::Cancelled | FileState::Failed) => told_reason(),
        }
    }

    /// The recipient has this offer on its disk, and will ask for the file.
    pub fn on_noted(&mut self, id: FileId) {
        self.noted.insert(id);
    }

    /// A peer has come into reach, or begun anew: it is offered again what it has not accepted. Whatever it has accepted it
    /// asks for itself.
    pub fn on_reach(&mut self, peer: NodeId) {
        let ids: Vec<_> = self.of_peer(peer).map(|file| (file.id, file.state)).collect();
        for (id, state) in ids {
            match state {
                FileState::Accepted => self.noted.insert(id),
                _ => self.noted.remove(&id),
            };
        }
    }

    /// A peer that has accepted files has not asked for them for long: it is offered them again.
    pub fn on_silence(&mut self, peer: NodeId) {
        let ids: Vec<_> = self.of_peer(peer).map(|file| file.id).collect();
        for id in ids {
            self.noted.remove(&id);
        }
    }

    /// What to say to an offer. `new` is the id that it gets here, if it is new.
    pub fn on_offer(&self, peer: NodeId, offer: &Offer, new: FileId) -> Answer {
        let Some(file) = self.offered.get(&(peer, offer.id)).and_then(|id| self.files.get(id)) else {
            return match self.has_room(peer, Direction::Incoming) {
                _ if self.blocked.contains(&peer) => Answer::Cancel(None, FileReason::Refused),
                true => Answer::New(new),
                false => Answer::Cancel(None, FileReason::TooMany),
            };
        };
        if (file.offer.size, file.offer.sha256) != (offer.size, offer.sha256) {
            // Another file under an id that is taken.
            return Answer::Cancel(None, FileReason::Changed);
        }
        match (file.state, file.reason) {
            (FileState::Waiting, _) => Answer::Noted(file.id),
            (FileState::Accepted, _) => Answer::Receive(file.id),
            (FileState::Done, _) => Answer::Finished(file.id),
            (_, reason) => Answer::Cancel(Some(file.id), reason.unwrap_or(FileReason::Unknown)),
        }
    }

    /// Adds a new offer of a peer.
    pub fn add_offer(&mut self, peer: NodeId, mut offer: Offer, id: FileId, now: UnixTime) -> Transfer {
        offer.name = safe_name(&offer.name);
        let file = Transfer {
            id,
            direction: Direction::Incoming,
            peer,
            offer,
            state: FileState::Waiting,
            reason: None,
            told: false,
            created: now,
            path: None,
            modified: 0,
            part: None,
            folder: None,
            done: 0,
        };
        self.put(file.clone());
        file
    }

    /// The file that a peer means by an id of its own or of ours, and what this node is to it.
    pub fn named_by(&self, peer: NodeId, id: &FileId) -> Option<&Transfer> {
        let ours =
            self.files.get(id).filter(|file| file.direction == Direction::Outgoing && file.peer == peer);
        ours.or_else(|| self.files.get(self.offered.get(&(peer, *id))?))
    }

    // -- changes ----------------------------------------------------------------------------------------------------

    /// Changes a file; what is to be saved.
    pub fn change(&mut self, id: &FileId, change: impl FnOnce(&mut Transfer)) -> Option<Transfer> {
        let file = self.files.get_mut(id)?;
        change(file);
        Some(file.clone())
    }

    /// Whether the person has blocked a peer. Gives its offers that nobody has decided about: they are to be refused.
    pub fn set_blocked(&mut self, peer: NodeId, blocked: bool) -> Vec<FileId> {
        if !blocked {
            self.blocked.remove(&peer);
            return Vec::new();
        }
        self.blocked.insert(peer);
        let is_undecided =
            |file: &&Transfer| file.direction == Direction::Incoming && file.state == FileState::Waiting;
        self.of_peer(peer).filter(is_undecided).map(|file| file.id).collect()
    }

    /// Whether the application may accept or refuse a file.
    pub fn check_undecided(&self, id: &FileId) -> Result<&Transfer, DecideError> {
        let file = self.files.get(id).ok_or(DecideError::Unknown(*id))?;
        let name = || file.offer.name.clone();
        match (file.direction, file.state) {
            (_, state) if state.is_over() => Err(DecideError::Over(name())),
            (Direction::Outgoing, _) => Err(DecideError::Outgoing(name())),
            (_, FileState::Accepted) => Err(DecideError::Accepted(name())),
            _ => Ok(file),
        }
    }

    /// This side gives a file up; what is to be saved.
    pub fn end(&mut self, id: &FileId, reason: FileReason) -> Result<Transfer, DecideError> {
        let file = self.files.get_mut(id).ok_or(DecideError::Unknown(*id))?;
        if file.state.is_over() {
            return Err(DecideError::Over(file.offer.name.clone()));
        }
        (file.state, file.reason, file.told) = (reason.state(), Some(reason), false);
        Ok(file.clone())
    }

    /// The other side has given a file up; what is to be saved, if this is news.
    pub fn on_ended(&mut self, id: &FileId, reason: FileReason) -> Option<Transfer> {
        let file = self.files.get_mut(id)?;
        if !file.state.is_over() {
            (file.state, file.reason) = (reason.state(), Some(reason));
        } else if file.told {
            return None;
        }
        file.told = true;
        Some(file.clone())
    }

    /// The reason with which this node's application cancels a file.
    pub fn cancel_reason(&self, id: &FileId) -> FileReason {
        match self.files.get(id).map(|file| (file.direction, file.state)) {
            Some((Direction::Incoming, FileState::Waiting)) => FileReason::Refused,
            Some((Direction::Incoming, _)) => FileReason::RecipientCancelled,
            _ => FileReason::SenderCancelled,
        }
    }
}

/// Whether the recipient is to ask for it.
fn is_awaited(file: &Transfer) -> bool {
    file.direction == Direction::Outgoing && file.state == FileState::Accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId([7; 32]);
    const NOW: UnixTime = UnixTime::from_millis(1);

    fn offer(number: u64) -> Offer {
        Offer { id: id(number), size: 10, sha256: [1; 32], name: format!("../{number}") }
    }

    fn id(number: u64) -> FileId {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        FileId(bytes)
    }

    /// The local id is another one than the peer's: two peers may choose the same.
    fn local(number: u64) -> FileId {
        id(number + (1 << 40))
    }

    #[test]
    fn the_recipient_takes_over_the_duty() {
        let mut ledger = Ledger::default();
        let file = ledger.add_offer(PEER, offer(1), local(1), NOW);
        assert_eq!((file.offer.name.as_str(), ledger.duties(PEER)), ("1", vec![]));
        assert_eq!(ledger.on_offer(PEER, &offer(1), local(9)), Answer::Noted(local(1)));
        assert_eq!(ledger.on_offer(NodeId([8; 32]), &offer(1), local(9)), Answer::New(local(9)));
        ledger.change(&local(1), |file| file.state = FileState::Accepted);
        assert_eq!(ledger.duties(PEER), [(local(1), Duty::Want)]);
        assert_eq!(ledger.on_offer(PEER, &offer(1), local(9)), Answer::Receive(local(1)));
        ledger.change(&local(1), |file| file.state = FileState::Done);
        assert_eq!(ledger.duties(PEER), [(local(1), Duty::Want)]);
        assert_eq!(ledger.on_offer(PEER, &offer(1), local(9)), Answer::Finished(local(1)));
        ledger.change(&local(1), |file| file.told = true);
        assert_eq!(ledger.duties(PEER), []);
        let other = Offer { size: 11, ..offer(1) };
        assert_eq!(
            ledger.on_offer(PEER, &other, local(9)),
            Answer::Cancel(None, FileReason::Changed),
            "an id means one file for ever"
        );
    }

    #[test]
    fn an_offer_is_made_until_it_is_noted_and_again_when_the_peer_returns() {
        let mut ledger = Ledger::default();
        let mut file = ledger.add_offer(PEER, offer(1), id(1), NOW);
        file.direction = Direction::Outgoing;
        ledger = Ledger::new(vec![file]);
        assert_eq!(ledger.duties(PEER), [(id(1), Duty::Offer)]);
        ledger.on_noted(id(1));
        assert_eq!((ledger.duties(PEER), ledger.peers().len()), (vec![], 0));
        ledger.on_reach(PEER);
        assert_eq!(ledger.duties(PEER), [(id(1), Duty::Offer)]);
        ledger.change(&id(1), |file| file.state = FileState::Accepted);
        ledger.on_reach(PEER);
        assert_eq!(ledger.duties(PEER), []);
        ledger.on_silence(PEER);
        assert_eq!(ledger.duties(PEER), [(id(1), Duty::Offer)]);
        ledger.end(&id(1), FileReason::Changed).unwrap();
        assert_eq!(ledger.duties(PEER), [(id(1), Duty::Tell(FileReason::Changed))]);
        assert!(ledger.end(&id(1), FileReason::Changed).is_err());
        ledger.on_ended(&id(1), FileReason::Refused);
        assert_eq!(
            (ledger.duties(PEER), ledger.get(&id(1)).unwrap().reason),
            (vec![], Some(FileReason::Changed))
        );
    }

    #[test]
    fn waiting_offers_and_finished_files_are_bounded() {
        let mut ledger = Ledger::default();
        for number in 0..MAX_WAITING as u64 {
            assert_eq!(ledger.on_offer(PEER, &offer(number), local(number)), Answer::New(local(number)));
            ledger.add_offer(PEER, offer(number), local(number), UnixTime::from_millis(number));
        }
        let refused = Answer::Cancel(None, FileReason::TooMany);
        assert_eq!(ledger.on_offer(PEER, &offer(999), local(999)), refused);
        let other = NodeId([1; 32]);
        assert_eq!(ledger.on_offer(other, &offer(999), local(999)), Answer::New(local(999)));
        for peer in 0..MAX_WAITING_IN_ALL as u64 {
            let mut bytes = [2; 32];
            bytes[..8].copy_from_slice(&peer.to_be_bytes());
            ledger.add_offer(NodeId(bytes), offer(peer), local(10_000 + peer), NOW);
        }
        assert_eq!(ledger.on_offer(other, &offer(999), local(999)), refused);
        // A peer that offers and cancels for ever is forgotten, the oldest first.
        let mut ledger = Ledger::default();
        for number in 0..MAX_OVER as u64 + 3 {
            ledger.add_offer(PEER, offer(number), local(number), UnixTime::from_millis(number));
            ledger.on_ended(&local(number), FileReason::SenderCancelled);
        }
        assert_eq!(ledger.surplus(PEER), [local(0), local(1), local(2)]);
        ledger.surplus(PEER).iter().for_each(|id| ledger.remove(id));
        assert_eq!((ledger.surplus(PEER), ledger.all().len()), (vec![], MAX_OVER));
    }

    #[test]
    fn nothing_is_taken_from_a_blocked_peer() {
        let mut ledger = Ledger::default();
        ledger.add_offer(PEER, offer(1), local(1), NOW);
        ledger.add_offer(PEER, offer(2), local(2), NOW);
        ledger.add_offer(NodeId([1; 32]), offer(3), local(3), NOW);
        ledger.change(&local(2), |file| file.state = FileState::Accepted);
        assert_eq!(ledger.set_blocked(PEER, true), [local(1)], "what was accepted waits");
        let refused = Answer::Cancel(None, FileReason::Refused);
        assert_eq!(ledger.on_offer(PEER, &offer(4), local(4)), refused);
        assert_eq!(ledger.set_blocked(PEER, false), []);
        assert_eq!(ledger.on_offer(PEER, &offer(4), local(4)), Answer::New(local(4)));
    }

    #[test]
    fn decisions_are_made_once_and_by_the_recipient() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.check_undecided(&local(1)), Err(DecideError::Unknown(local(1))));
        let mut own = ledger.add_offer(PEER, offer(2), id(2), NOW);
        own.direction = Direction::Outgoing;
        ledger.put(own);
        ledger.add_offer(PEER, offer(1), local(1), NOW);
        assert_eq!(ledger.check_undecided(&id(2)), Err(DecideError::Outgoing("2".into())));
        assert!(ledger.check_undecided(&local(1)).is_ok());
        assert_eq!(ledger.cancel_reason(&local(1)), FileReason::Refused);
        ledger.change(&local(1), |file| file.state = FileState::Accepted);
        assert_eq!(ledger.check_undecided(&local(1)), Err(DecideError::Accepted("1".into())));
        assert_eq!(ledger.cancel_reason(&local(1)), FileReason::RecipientCancelled);
        assert_eq!(ledger.cancel_reason(&id(2)), FileReason::SenderCancelled);
        ledger.end(&local(1), FileReason::RecipientCancelled).unwrap();
        assert_eq!(ledger.check_undecided(&local(1)), Err(DecideError::Over("1".into())));
        assert_eq!(ledger.named_by(PEER, &id(1)).map(|file| file.id), Some(local(1)));
        assert_eq!(ledger.named_by(PEER, &id(2)).map(|file| file.id), Some(id(2)));
        assert_eq!(ledger.named_by(NodeId([1; 32]), &id(2)), None);
    }
}
