//! Whole transfers without a network or a disk: connections break at any byte, either side begins anew at any point, offers
//! come again; every file arrives once, and whole.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};

use super::*;
use crate::types::{FileId, FileReason, FileState, Instant, NodeId, UnixTime};

const SENDER: usize = 0;
const RECIPIENT: usize = 1;
const NODES: [NodeId; 2] = [NodeId([1; 32]), NodeId([2; 32])];
const OFFERED: FileId = FileId([3; 16]);
const LOCAL: FileId = FileId([4; 16]);

/// Bytes that are read from the file at a time.
const READ: usize = 700;

/// What a crash leaves where nothing was synced.
const GARBAGE: u8 = 0xee;

/// One end of the exchange that goes on.
enum End {
    Offering(Offering),
    Wanting,
    Deciding,
    Taking(Taking),
    Telling,
    /// The peer's first record is waited for.
    Serving,
}

struct Side {
    ledger: Ledger,
    /// The ledger as it is on disk.
    saved: Vec<Transfer>,
    end: Option<End>,
    reader: Reader,
    retry: Retry,
}

struct World {
    sides: [Side; 2],
    /// Bytes on their way to each side, while there is a connection.
    wires: Option<[VecDeque<u8>; 2]>,
    content: Vec<u8>,
    part: Vec<u8>,
    /// The files that have got their final name.
    placed: Vec<Vec<u8>>,
    chunk_bytes: usize,
    now: Instant,
    random: StdRng,
    accepts: bool,
}

impl World {
    fn new(size: usize, seed: u64) -> Self {
        let content: Vec<u8> =
            (0..size as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
        let offer = Offer {
            id: OFFERED,
            size: size as u64,
            sha256: Sha256::digest(&content).into(),
            name: "../x".into(),
        };
        let mut ledger = Ledger::default();
        let mut file = ledger.add_offer(NODES[RECIPIENT], offer, OFFERED, UnixTime::default());
        file.direction = Direction::Outgoing;
        let side = |saved: Vec<Transfer>| Side {
            ledger: Ledger::new(saved.clone()),
            saved,
            end: None,
            reader: Reader::default(),
            retry: Retry::default(),
        };
        Self {
            sides: [side(vec![file]), side(vec![])],
            wires: None,
            content,
            part: Vec::new(),
            placed: Vec::new(),
            chunk_bytes: 0,
            now: Instant::default(),
            random: StdRng::seed_from_u64(seed),
            accepts: false,
        }
    }

    fn file(&self, side: usize) -> Option<&Transfer> {
        self.sides[side].ledger.get(if side == SENDER { &OFFERED } else { &LOCAL })
    }

    fn state(&self, side: usize) -> Option<FileState> {
        self.file(side).map(|file| file.state)
    }

    /// What the driver does before it says anything.
    fn save(&mut self, side: usize, file: Option<Transfer>) {
        if let Some(file) = file {
            self.sides[side].saved = vec![file];
        }
    }

    fn change(&mut self, side: usize, change: impl FnOnce(&mut Transfer)) {
        let id = if side == SENDER { OFFERED } else { LOCAL };
        let file = self.sides[side].ledger.change(&id, change);
        self.save(side, file);
    }

    fn send(&mut self, from: usize, record: FileRecord) {
        if let Some(wires) = &mut self.wires {
            wires[1 - from].extend(record.emit());
        }
    }

    fn cut(&mut self) {
        self.wires = None;
        for side in &mut self.sides {
            side.end = None;
            side.reader = Reader::default();
            side.retry.on_failure(self.now, &mut self.random);
        }
    }

    /// A side dies, and starts again with what its disk has.
    fn crash(&mut self, side: usize) {
        self.cut();
        let saved = self.sides[side].saved.clone();
        self.sides[side].ledger = Ledger::new(saved);
        if side == RECIPIENT {
            let safe = self.file(RECIPIENT).map_or(0, |file| file.done as usize);
            self.part.iter_mut().skip(safe).for_each(|byte| *byte = GARBAGE);
            self.part.truncate(safe);
        }
        for side in 0..2 {
            self.sides[side].ledger.on_reach(NODES[1 - side]);
            self.sides[side].retry.on_progress();
        }
    }

    /// Begins an exchange, if this side has to.
    fn open(&mut self, side: usize) {
        let duties = self.sides[side].ledger.duties(NODES[1 - side]);
        let Some((_, duty)) = duties.first().copied().filter(|_| self.wires.is_none()) else { return };
        self.now = self.now.max(self.sides[side].retry.due());
        self.wires = Some(Default::default());
        self.sides[1 - side].end = Some(End::Serving);
        let (end, record) = match duty {
            Duty::Offer => self.offering(),
            Duty::Want => (End::Wanting, FileRecord::Want(OFFERED)),
            Duty::Tell(reason) => (End::Telling, FileRecord::Cancel { id: OFFERED, reason }),
        };
        self.sides[side].end = Some(end);
        self.send(side, record);
    }

    fn offering(&self) -> (End, FileRecord) {
        let offer = self.file(SENDER).unwrap().offer.clone();
        let (offering, record) = Offering::new(offer);
        (End::Offering(offering), record)
    }

    /// The person decides.
    fn decide(&mut self, accept: bool) {
        if self.state(RECIPIENT) != Some(FileState::Waiting) {
            return;
        }
        match accept {
            true => self.change(RECIPIENT, |file| file.state = FileState::Accepted),
            false => {
                let ended = self.sides[RECIPIENT].ledger.end(&LOCAL, FileReason::Refused).ok();
                self.save(RECIPIENT, ended);
            }
        }
        if matches!(self.sides[RECIPIENT].end, Some(End::Deciding)) {
            self.take_or_tell();
        }
    }

    fn take_or_tell(&mut self) {
        let file = self.file(RECIPIENT).unwrap().clone();
        let (end, record) = match file.reason {
            None => {
                let (taking, record) = Taking::new(file.offer.clone(), self.part.len() as u64);
                (End::Taking(taking), record)
            }
            Some(reason) => (End::Telling, FileRecord::Cancel { id: OFFERED, reason }),
        };
        self.sides[RECIPIENT].end = Some(end);
        self.send(RECIPIENT, record);
        self.finish_if_complete();
    }

    /// `len` bytes arrive at a side.
    fn deliver(&mut self, side: usize, len: usize) {
        let Some(wires) = &mut self.wires else { return };
        let len = len.min(wires[side].len());
        let bytes: Vec<u8> = wires[side].drain(..len).collect();
        self.sides[side].reader.push(&bytes);
        while let Some(record) = self.sides[side].reader.next_record().unwrap() {
            self.handle(side, record);
        }
        self.read_more();
    }

    /// The sender reads, as far as the stream takes it.
    fn read_more(&mut self) {
        while let (Some(End::Offering(offering)), Some(wires)) =
            (&mut self.sides[SENDER].end, &mut self.wires)
        {
            let Some((offset, len)) = offering.next_read().filter(|_| wires[RECIPIENT].len() < 3000) else {
                break;
            };
            let data = &self.content[offset as usize..][..len.min(READ)];
            let record = offering.on_read(data.to_vec().into()).unwrap();
            self.chunk_bytes += data.len();
            wires[RECIPIENT].extend(record.emit());
        }
    }

    fn handle(&mut self, side: usize, record: FileRecord) {
        let end = self.sides[side].end.take();
        match (side, end) {
            (SENDER, Some(End::Offering(mut offering))) => {
                let heard = offering.handle(record).unwrap();
                self.sides[SENDER].end = Some(End::Offering(offering));
                self.on_heard(heard);
            }
            (SENDER, Some(End::Serving)) => match record {
                FileRecord::Want(OFFERED) => {
                    let (end, record) = self.offering();
                    self.sides[SENDER].end = Some(end);
                    self.send(SENDER, record);
                }
                FileRecord::Cancel { reason, .. } => self.on_ended(SENDER, reason),
                other => panic!("{other:?}"),
            },
            (RECIPIENT, Some(End::Serving | End::Wanting)) => match record {
                FileRecord::Offer(offer) => self.on_offer(offer),
                other => panic!("{other:?}"),
            },
            (RECIPIENT, Some(End::Taking(mut taking))) => {
                let taken = taking.handle(record).unwrap();
                self.on_taken(taking, taken);
            }
            (_, Some(End::Telling)) => {
                if record == FileRecord::Noted {
                    self.change(side, |file| file.told = true);
                    self.hang_up();
                }
            }
            (side, _) => panic!("{side} is told {record:?}"),
        }
    }

    fn on_heard(&mut self, heard: Heard) {
        match heard {
            Heard::Nothing | Heard::Progress(_) => {}
            Heard::Noted => self.sides[SENDER].ledger.on_noted(OFFERED),
            Heard::Accepted => {
                self.sides[SENDER].ledger.on_noted(OFFERED);
                if self.state(SENDER) == Some(FileState::Waiting) {
                    self.change(SENDER, |file| file.state = FileState::Accepted);
                }
            }
            Heard::Finished => {
                assert_eq!(self.placed.len(), 1, "the sender believes only what is so");
                self.change(SENDER, |file| (file.state, file.told) = (FileState::Done, true));
                self.send(SENDER, FileRecord::Noted);
            }
            Heard::Ended(reason) => self.on_ended(SENDER, reason),
        }
    }

    fn on_ended(&mut self, side: usize, reason: FileReason) {
        let id = if side == SENDER { OFFERED } else { LOCAL };
        let ended = self.sides[side].ledger.on_ended(&id, reason);
        self.save(side, ended);
        self.send(side, FileRecord::Noted);
    }

    fn on_offer(&mut self, offer: Offer) {
        let answer = self.sides[RECIPIENT].ledger.on_offer(NODES[SENDER], &offer, LOCAL);
        match answer {
            Answer::New(id) => {
                assert_eq!(self.placed.len(), 0, "what has arrived is not offered again");
                let file =
                    self.sides[RECIPIENT].ledger.add_offer(NODES[SENDER], offer, id, UnixTime::default());
                self.save(RECIPIENT, Some(file));
                self.sides[RECIPIENT].end = Some(End::Deciding);
                self.send(RECIPIENT, FileRecord::Noted);
            }
            Answer::Noted(_) => {
                self.sides[RECIPIENT].end = Some(End::Deciding);
                self.send(RECIPIENT, FileRecord::Noted);
            }
            Answer::Receive(_) => self.take_or_tell(),
            Answer::Finished(_) => {
                self.sides[RECIPIENT].end = Some(End::Telling);
                self.send(RECIPIENT, FileRecord::Finished);
            }
            Answer::Cancel(_, reason) => {
                self.sides[RECIPIENT].end = Some(End::Telling);
                self.send(RECIPIENT, FileRecord::Cancel { id: OFFERED, reason });
            }
        }
    }

    fn on_taken(&mut self, mut taking: Taking, taken: Taken) {
        match taken {
            Taken::Nothing => {}
            Taken::Write { offset, data } => {
                assert_eq!(self.part.len() as u64, offset);
                self.part.extend_from_slice(&data);
                if let Some(progress) = taking.on_written(data.len()) {
                    self.send(RECIPIENT, progress);
                }
            }
            Taken::Noted => {
                self.change(RECIPIENT, |file| file.told = true);
                return self.hang_up();
            }
            Taken::Ended(reason) => return self.on_ended(RECIPIENT, reason),
        }
        self.sides[RECIPIENT].end = Some(End::Taking(taking));
        self.finish_if_complete();
    }

    fn finish_if_complete(&mut self) {
        let Some(End::Taking(taking)) = &mut self.sides[RECIPIENT].end else { return };
        if !taking.is_complete() || !self.placed.is_empty() {
            return;
        }
        let record = taking.finish();
        self.placed.push(self.part.clone());
        let size = self.part.len() as u64;
        self.change(RECIPIENT, |file| (file.state, file.done) = (FileState::Done, size));
        self.send(RECIPIENT, record);
    }

    fn hang_up(&mut self) {
        self.cut();
        self.sides.iter_mut().for_each(|side| side.retry.on_progress());
    }

    fn sync(&mut self) {
        let written = self.part.len() as u64;
        if self.state(RECIPIENT) == Some(FileState::Accepted) {
            self.change(RECIPIENT, |file| file.done = written);
        }
    }

    /// Without further trouble, until nobody has anything to do.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 100, "it does not come to an end");
            if self.wires.is_none() {
                self.open(round % 2);
            }
            for _ in 0..10_000 {
                self.deliver(SENDER, usize::MAX);
                self.deliver(RECIPIENT, usize::MAX);
                if self.accepts {
                    self.decide(true);
                }
                if self.wires.as_ref().is_none_or(|wires| wires.iter().all(VecDeque::is_empty)) {
                    break;
                }
            }
            if self.wires.is_some() {
                self.hang_up();
            }
            let idle = |side: usize| self.sides[side].ledger.duties(NODES[1 - side]).is_empty();
            if idle(SENDER) && idle(RECIPIENT) {
                return;
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Open(usize),
    Deliver(usize, usize),
    Cut,
    Crash(usize),
    Sync,
    Decide(bool),
    Forget,
}

fn any_step(refuses: bool) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2usize).prop_map(Step::Open),
        12 => (0..2usize, prop_oneof![1..60usize, Just(100_000)]).prop_map(|(side, len)| Step::Deliver(side, len)),
        1 => Just(Step::Cut),
        1 => (0..2usize).prop_map(Step::Crash),
        2 => Just(Step::Sync),
        2 => Just(Step::Decide(!refuses)),
        1 => Just(Step::Forget),
    ]
}

impl World {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Open(side) => self.open(side),
            Step::Deliver(side, len) => self.deliver(side, len),
            Step::Cut => self.cut(),
            Step::Crash(side) => self.crash(side),
            Step::Sync => self.sync(),
            Step::Decide(accept) => self.decide(accept),
            // The sender offers again what it need not offer.
            Step::Forget => self.sides[SENDER].ledger.on_silence(NODES[RECIPIENT]),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_file_arrives_once_and_whole(
        size in prop_oneof![Just(0usize), 1..5000usize],
        steps in prop::collection::vec(any_step(false), 0..120),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(size, seed);
        steps.iter().for_each(|step| world.step(step));
        world.accepts = true;
        world.settle();
        prop_assert_eq!(&world.placed, &[world.content.clone()]);
        for side in [SENDER, RECIPIENT] {
            prop_assert_eq!(world.state(side), Some(FileState::Done));
        }
    }

    #[test]
    fn a_refusal_is_heard_whatever_breaks(
        steps in prop::collection::vec(any_step(true), 0..80),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(1000, seed);
        steps.iter().for_each(|step| world.step(step));
        world.settle();
        world.decide(false);
        world.settle();
        for side in [SENDER, RECIPIENT] {
            prop_assert_eq!(world.state(side), Some(FileState::Refused));
        }
        prop_assert!(world.placed.is_empty());
    }

    /// Where nobody dies, only what was on its way is sent again.
    #[test]
    fn a_lost_connection_costs_what_was_on_its_way(cuts in prop::collection::vec(1..200usize, 0..20)) {
        let mut world = World::new(100_000, 7);
        world.accepts = true;
        world.open(SENDER);
        for deliveries in &cuts {
            for _ in 0..*deliveries {
                world.deliver(RECIPIENT, 500);
                world.deliver(SENDER, 500);
                world.decide(true);
            }
            world.cut();
            world.open(RECIPIENT);
            world.open(SENDER);
        }
        world.settle();
        prop_assert_eq!(world.placed.len(), 1);
        prop_assert!(world.chunk_bytes <= 100_000 + (cuts.len() + 1) * (3000 + 3 * READ));
        prop_assert!(world.now <= Instant::default() + Duration::from_secs(30 * 21));
    }
}
