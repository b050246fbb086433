//! The post among mailboxes and recipients who do what they like.

use rand::SeedableRng;

use super::dispatch::{ANSWER, MAX_ACTIVE, MAX_UNREAD, REFRESH};
use super::opening::MAX_OPENING;
use super::pauses::PAUSE;
use super::*;
use crate::message::envelope::{self, OpenError};
use crate::message::store::{Deposit, Letter, OutgoingMessage};
use crate::types::{MessageId, Status, UnixTime};
use crate::wire::content::Content;

mod crowd;

const ME: NodeId = NodeId([1; 32]);
const AWAY: NodeId = NodeId([2; 32]);
const MAILBOX: NodeId = NodeId([3; 32]);
const SESSION: SessionId = SessionId(1);

struct Office {
    post: Post,
    rng: StdRng,
    now: Now,
    mailboxes: BTreeSet<NodeId>,
    reachable: BTreeSet<NodeId>,
}

impl Office {
    fn new(mailbox: Option<MailboxConfig>) -> Self {
        let now = Now { monotonic: Instant::from_micros(1), wall: UnixTime::from_millis(1_000_000) };
        let (mailboxes, reachable) = ([MAILBOX].into(), [MAILBOX].into());
        Self { post: Post::new(ME, mailbox), rng: StdRng::from_seed([7; 32]), now, mailboxes, reachable }
    }

    fn connect(&mut self, session: SessionId, peer: NodeId) {
        self.post.session_opened(session, peer);
        self.post.set_sending_session(peer, Some(session));
    }

    /// What is asked of the disk.
    fn settle(&mut self) -> Vec<StoreOp> {
        self.post.settle(self.now, &mut self.rng, &self.mailboxes, &self.reachable);
        std::iter::from_fn(|| self.post.poll_store()).collect()
    }

    fn wait(&mut self, duration: Duration) -> Vec<StoreOp> {
        self.now.monotonic += duration;
        self.now.wall = self.now.wall + duration;
        self.post.handle_timeout(self.now.monotonic, &mut self.rng);
        let ops = self.settle();
        assert!(self.post.poll_timeout() > self.now.monotonic, "the timer stands still");
        ops
    }

    /// Answers the question for a page with messages of these numbers, and seals them.
    fn page(&mut self, op: &StoreOp, numbers: std::ops::Range<u8>, len: usize) {
        let StoreOp::LoadDeposits { token, .. } = *op else { panic!("{op:?}") };
        let deposits = numbers.map(|n| {
            let content = Content::Text("x".into());
            let (id, created) = (MessageId([n; 16]), self.now.wall);
            let message = OutgoingMessage {
                seq: n.into(),
                id,
                created,
                expires: None,
                content,
                status: Status::Queued,
            };
            Deposit { message, after: None }
        });
        let page = Page::Deposits { token, deposits: deposits.collect(), complete: false };
        self.post.on_page(self.now, page);
        self.seal(Some(vec![0; len]));
    }

    fn seal(&mut self, envelope: Option<Vec<u8>>) {
        while let Some(Job::Seal { token, .. }) = self.post.poll_job() {
            self.post.handle_job(self.now, JobOutcome::Sealed { token, envelope: envelope.clone() });
        }
    }

    fn records(&mut self, deposits: bool) -> Vec<PostRecord> {
        let pending =
            if deposits { self.post.pending_letters(SESSION) } else { self.post.pending_answers(SESSION) };
        let (bytes, mut reader) = (pending.to_vec(), RecordReader::<PostRecord>::default());
        if deposits {
            self.post.on_letters_written(SESSION, bytes.len());
        } else {
            self.post.on_answers_written(SESSION, bytes.len());
        }
        let mut data = &bytes[..];
        std::iter::from_fn(|| reader.next(&mut data).unwrap()).collect()
    }

    /// Of the envelopes that are handed over.
    fn numbers(&mut self) -> Vec<u64> {
        let number = |record| match record {
            PostRecord::Deposit { number, .. } => number,
            other => panic!("{other:?}"),
        };
        self.records(true).into_iter().map(number).collect()
    }

    fn answers(&mut self) -> Vec<(u64, Outcome)> {
        let outcome = |record| match record {
            PostRecord::Answer { number, outcome, .. } => (number, outcome),
            other => panic!("{other:?}"),
        };
        self.records(false).into_iter().map(outcome).collect()
    }

    fn answer(&mut self, number: u64, outcome: Outcome) {
        let mut data = Vec::new();
        PostRecord::Answer { number, outcome, keep: Duration::MAX }.emit(&mut data);
        self.post.handle_answers(self.now, &mut self.rng, SESSION, &data).unwrap();
    }

    fn deposit(&mut self, number: u64, recipient: NodeId, len: usize) {
        self.deposit_on(SESSION, number, recipient, &[&number.to_be_bytes(), &vec![7; len - 8][..]].concat());
    }

    fn deposit_on(&mut self, session: SessionId, number: u64, recipient: NodeId, envelope: &[u8]) {
        let (id, keep) = (MessageId([number as u8; 16]), Duration::MAX);
        let mut data = Vec::new();
        PostRecord::Deposit { number, recipient, id, keep, envelope: envelope.to_vec() }.emit(&mut data);
        self.post.handle_deposits(self.now, session, &data).unwrap();
    }

    /// Opens what may be opened; how many.
    fn open(&mut self, letter: impl Fn() -> Result<(NodeId, envelope::Letter), OpenError>) -> usize {
        let mut count = 0;
        while let Some(Job::Open { token, .. }) = self.post.poll_job() {
            count += 1;
            self.post.handle_job(self.now, JobOutcome::Opened { token, letter: letter() });
        }
        count
    }
}

fn office_with_absent_peer() -> (Office, StoreOp) {
    let mut office = Office::new(None);
    office.connect(SESSION, MAILBOX);
    office.post.set_absent(AWAY, true);
    office.post.on_mailboxes_changed();
    let ops = office.settle();
    let [op @ StoreOp::LoadDeposits { peer: AWAY, mailbox: MAILBOX, after: 0, .. }] = &ops[..] else {
        panic!("{ops:?}")
    };
    (office, op.clone())
}

fn is_load_from_the_first(ops: &[StoreOp]) -> bool {
    matches!(ops, [StoreOp::LoadDeposits { after: 0, .. }])
}

#[test]
fn a_mailbox_that_never_answers_is_left_alone_for_a_while() {
    let (mut office, op) = office_with_absent_peer();
    office.page(&op, 1..3, 2000);
    let numbers: Vec<_> = office
        .records(true)
        .iter()
        .map(|record| match record {
            PostRecord::Deposit { number, .. } => *number,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(office.wait(ANSWER / 2), []);
    office.answer(numbers[0], Outcome::Taken);
    assert!(matches!(&office.settle()[..], [StoreOp::Deposited { .. }]));
    assert_eq!(office.wait(ANSWER.mul_f64(0.9)), [], "an answer has come since");
    assert_eq!(office.wait(ANSWER / 5), []);
    assert_eq!(office.post.poll_refusal(), Some((MAILBOX, Outcome::Later)));
    assert_eq!(office.post.poll_refusal(), None);
    assert_eq!(office.post.in_memory(), (0, 0));
    office.answer(numbers[1], Outcome::Taken);
    assert_eq!(office.settle(), [], "too late");
    assert!(is_load_from_the_first(&office.wait(2 * PAUSE.0)));
}

#[test]
fn a_recipient_that_never_answers_gets_its_letters_again() {
    let mut office = Office::new(Some(MailboxConfig::default()));
    office.reachable.insert(AWAY);
    office.connect(SESSION, AWAY);
    office.post.has_letters(AWAY);
    let page = |office: &mut Office, ops: Vec<StoreOp>| {
        let [StoreOp::LoadLetters { recipient: AWAY, after: 0, token, .. }] = ops[..] else {
            panic!("{ops:?}")
        };
        let (id, expires, envelope) = (MessageId([9; 16]), office.now.wall, vec![0; 2000]);
        let letter = Letter { sender: MAILBOX, recipient: AWAY, id, expires, envelope };
        let page = Page::Letters { token, letters: vec![(5, letter)], complete: true };
        office.post.on_page(office.now, page);
        office.records(true)
    };
    let ops = office.settle();
    assert_eq!(page(&mut office, ops).len(), 1);
    assert_eq!(office.wait(ANSWER), []);
    let ops = office.wait(2 * PAUSE.0);
    let records = page(&mut office, ops);
    let [PostRecord::Deposit { number, .. }] = records[..] else { panic!("{records:?}") };
    office.answer(number, Outcome::Taken);
    let ops = office.settle();
    assert!(matches!(&ops[..], [StoreOp::RemoveLetters { recipient: AWAY, numbers }] if *numbers == [5]));
    assert_eq!(office.post.wanted_sessions().count(), 0);
}

#[test]
fn answers_to_nothing_do_nothing() {
    let (mut office, op) = office_with_absent_peer();
    for outcome in [Outcome::Taken, Outcome::Unreadable, Outcome::Full, Outcome::Later] {
        office.answer(77, outcome);
    }
    office.page(&op, 1..2, 2000);
    let records = office.records(true);
    let [PostRecord::Deposit { number, .. }] = records[..] else { panic!("{records:?}") };
    office.answer(number, Outcome::Taken);
    office.answer(number, Outcome::Taken);
    office.answer(number, Outcome::Full);
    let ops = office.settle();
    assert!(
        matches!(&ops[..], [StoreOp::Deposited { ids, .. }, StoreOp::LoadDeposits { after: 1, .. }] if ids.len() == 1),
        "{ops:?}"
    );
    assert_eq!(office.post.poll_refusal(), None);
}

#[test]
fn a_peer_that_reads_nothing_fills_no_memory() {
    let (mut office, mut op) = office_with_absent_peer();
    let mut loads = 0;
    for _ in 0..100 {
        office.page(&op, 1..3, 1 << 20);
        // It can be heard, but takes nothing.
        let ops = [office.wait(ANSWER), office.wait(2 * PAUSE.1)].concat();
        let Some(next) = ops.into_iter().find(|op| matches!(op, StoreOp::LoadDeposits { .. })) else { break };
        (op, loads) = (next, loads + 1);
    }
    assert!((1..10).contains(&loads), "{loads}");
    assert!(office.post.pending_letters(SESSION).len() < MAX_UNREAD + (3 << 20));
    office.records(true);
    assert!(is_load_from_the_first(&office.settle()), "it reads again");
}

#[test]
fn a_clock_that_jumps_over_a_pause_ends_it() {
    let (mut office, op) = office_with_absent_peer();
    office.page(&op, 1..2, 2000);
    let records = office.records(true);
    let [PostRecord::Deposit { number, .. }] = records[..] else { panic!("{records:?}") };
    office.answer(number, Outcome::Full);
    assert_eq!(office.settle(), []);
    assert!(is_load_from_the_first(&office.wait(10 * PAUSE.1)));
}

#[test]
fn a_letter_that_cannot_be_sealed_waits_for_the_key() {
    let (mut office, op) = office_with_absent_peer();
    let StoreOp::LoadDeposits { token, .. } = op else { panic!() };
    let content = Content::Text("x".into());
    let message = OutgoingMessage {
        seq: 1,
        id: MessageId([1; 16]),
        created: office.now.wall,
        expires: None,
        content,
        status: Status::Queued,
    };
    let deposits = vec![Deposit { message, after: None }];
    office.post.on_page(office.now, Page::Deposits { token, deposits, complete: false });
    office.seal(None);
    assert_eq!(office.settle(), []);
    office.post.set_sending_session(MAILBOX, None);
    assert_eq!(office.settle(), []);
    let from = office.post.wanted_sessions().map(|(_, from)| from).min().unwrap();
    assert!(from > office.now.monotonic, "no session is wanted before there is something to do with it");
    assert_eq!(office.wait(REFRESH / 2), []);
    office.connect(SESSION, MAILBOX);
    assert_eq!(office.settle(), []);
    assert!(matches!(&office.wait(REFRESH)[..], [StoreOp::LoadDeposits { .. }]));
}

#[test]
fn a_new_message_is_not_searched_among_all() {
    let (mut office, op) = office_with_absent_peer();
    let StoreOp::LoadDeposits { token, .. } = op else { panic!() };
    office.post.on_page(office.now, Page::Deposits { token, deposits: vec![], complete: true });
    assert_eq!(office.settle(), []);
    office.post.on_enqueued(AWAY, 1000);
    assert!(matches!(&office.settle()[..], [StoreOp::LoadDeposits { after: 999, .. }]));
}

#[test]
fn every_lane_gets_its_turn() {
    let mut office = Office::new(None);
    office.connect(SESSION, MAILBOX);
    let peers = 2 * MAX_ACTIVE + 5;
    for n in 0..peers {
        office.post.set_absent(NodeId([100 + n as u8; 32]), true);
    }
    let mut served = BTreeSet::new();
    for round in 1..=3 {
        let ops = office.settle();
        assert!(ops.len() <= MAX_ACTIVE);
        for op in ops {
            let StoreOp::LoadDeposits { peer, .. } = op else { panic!("{op:?}") };
            served.insert(peer);
            office.page(&op, 1..2, 2000);
        }
        assert!(
            served.len() == (round * MAX_ACTIVE).min(peers),
            "those that always have more leave room for others"
        );
        for record in office.records(true) {
            let PostRecord::Deposit { number, .. } = record else { panic!("{record:?}") };
            office.answer(number, Outcome::Taken);
        }
        // The answers are noted; what may be loaded by them comes with the next round.
        while office.post.poll_store().is_some() {}
    }
}

#[test]
fn a_number_that_comes_twice_makes_no_more_work() {
    let mut office = Office::new(Some(MailboxConfig::default()));
    office.connect(SESSION, MAILBOX);
    (0..10).for_each(|_| office.deposit(5, AWAY, 2000));
    let ops = office.settle();
    assert!(matches!(&ops[..], [StoreOp::KeepLetter { number: 5, .. }]), "{ops:?}");
    assert_eq!(office.answers(), [(5, Outcome::Later); 9]);
    office.post.on_kept(SESSION, 5, Outcome::Taken);
    office.post.on_kept(SESSION, 5, Outcome::Taken);
    assert_eq!(office.answers(), [(5, Outcome::Taken)]);
}

#[test]
fn junk_is_not_opened_without_end() {
    let mut office = Office::new(None);
    office.connect(SESSION, MAILBOX);
    (0..200).for_each(|number| office.deposit(number, ME, 2000));
    (200..210).for_each(|number| office.deposit(number, ME, 1000));
    (210..220).for_each(|number| office.deposit(number, AWAY, 2000));
    assert!(!office.post.wants_deposits(SESSION));
    let junk = || Err(OpenError::NotOpened);
    assert_eq!((office.open(junk), office.settle()), (64, vec![]));
    let answers = office.answers();
    let count = |outcome| answers.iter().filter(|(_, said)| *said == outcome).count();
    assert_eq!(count(Outcome::Unreadable), 64 + 10, "what is too short is no envelope");
    assert_eq!(count(Outcome::NoMailbox), 10);
    assert_eq!(answers.len(), 84, "the others wait");
    assert!(!office.post.wants_deposits(SESSION));
    for left in (0..136).rev() {
        let due = office.post.poll_timeout();
        assert_eq!(office.wait(due - office.now.monotonic), []);
        assert_eq!((office.open(junk), office.post.in_memory()), (1, (0, left)));
    }
    assert!(office.now.monotonic >= Instant::default() + 136 * Duration::from_millis(50));
    assert!(office.post.wants_deposits(SESSION));
}

#[test]
fn replays_of_one_letter_are_not_opened_without_end() {
    let mut office = Office::new(None);
    office.connect(SESSION, MAILBOX);
    let letter = || {
        let (id, sent_at) = (MessageId([9; 16]), UnixTime::from_millis(1));
        Ok((AWAY, envelope::Letter { id, sent_at, content: Content::Text("always the same".into()) }))
    };
    let (mut opened, mut answered) = (0, 0);
    // No time passes.
    for round in 0..100 {
        for number in 0..32 {
            office.deposit_on(SESSION, 32 * round + number, ME, &[7; 2000]);
        }
        opened += office.open(letter);
        for op in office.settle() {
            let StoreOp::StoreIncoming { origin, .. } = op else { panic!("{op:?}") };
            office.post.on_stored(&origin, Outcome::Taken);
        }
        let answers = office.answers();
        assert!(answers.iter().all(|(_, outcome)| *outcome == Outcome::Taken));
        answered += answers.len();
    }
    assert_eq!((opened, answered), (32, 3200), "those that came before one was on disk");
}

#[test]
fn letters_of_all_nodes_together_are_opened_at_a_bounded_rate_and_each_gets_its_turn() {
    let mut office = Office::new(None);
    let letter = || {
        let (id, sent_at) = (MessageId([9; 16]), UnixTime::from_millis(1));
        Ok((AWAY, envelope::Letter { id, sent_at, content: Content::Text("x".into()) }))
    };
    let deposit = |office: &mut Office, node: u8, number: u64| {
        let envelope = [&[node][..], &number.to_be_bytes(), &[7; 2000]].concat();
        office.deposit_on(SessionId(node.into()), number, ME, &envelope);
    };
    for node in 0..30 {
        office.connect(SessionId(node), NodeId([100 + node as u8; 32]));
        (0..32).for_each(|number| deposit(&mut office, node as u8, number));
    }
    assert_eq!(office.open(letter), 512);
    let late = 30;
    office.connect(SessionId(late), NodeId([200; 32]));
    deposit(&mut office, late as u8, 0);
    let mut ops = Vec::new();
    for _ in 0..31 {
        let due = office.post.poll_timeout();
        ops.extend(office.wait(due - office.now.monotonic));
        assert_eq!(office.open(letter), 1);
    }
    ops.extend(office.settle());
    let is_served = |op: StoreOp| matches!(op, StoreOp::StoreIncoming { origin: Origin::Envelopes { session, .. }, .. } if session == SessionId(late));
    assert!(ops.into_iter().any(is_served));
}

#[test]
fn sessions_that_come_and_go_queue_no_work_without_end() {
    let mut office = Office::new(None);
    for session in (0..1000).map(SessionId) {
        office.connect(session, MAILBOX);
        (0..32).for_each(|number| office.deposit_on(session, number, ME, &[7; 1600]));
        office.post.session_closed(session);
    }
    assert_eq!(std::iter::from_fn(|| office.post.poll_job()).count(), MAX_OPENING);
    assert_eq!(office.post.in_memory(), (0, MAX_OPENING));
}

#[test]
fn what_is_to_be_sealed_does_not_wait_for_what_is_to_be_opened() {
    let (mut office, op) = office_with_absent_peer();
    (0..20).for_each(|number| office.deposit(number, ME, 2000));
    let StoreOp::LoadDeposits { token, .. } = op else { panic!("{op:?}") };
    let message = OutgoingMessage {
        seq: 1,
        id: MessageId([1; 16]),
        created: office.now.wall,
        expires: None,
        content: Content::Text("x".into()),
        status: Status::Queued,
    };
    let deposits = vec![Deposit { message, after: None }];
    office.post.on_page(office.now, Page::Deposits { token, deposits, complete: true });
    assert!(matches!(office.post.poll_job(), Some(Job::Seal { .. })));
    assert!(matches!(office.post.poll_job(), Some(Job::Open { .. })));
}

#[test]
fn a_mailbox_that_does_not_serve_a_recipient_goes_on_serving_others() {
    let (mut office, op) = office_with_absent_peer();
    office.page(&op, 1..2, 2000);
    let numbers: Vec<_> = office.records(true);
    let [PostRecord::Deposit { number, .. }] = numbers[..] else { panic!("{numbers:?}") };
    office.answer(number, Outcome::Unreadable);
    assert_eq!((office.settle(), office.post.poll_refusal()), (vec![], None));
    let other = NodeId([9; 32]);
    office.post.set_absent(other, true);
    let ops = office.settle();
    assert!(
        matches!(&ops[..], [StoreOp::LoadDeposits { peer, mailbox: MAILBOX, .. }] if *peer == other),
        "{ops:?}"
    );
    assert_eq!(office.wait(2 * PAUSE.1), vec![]);
    let is_first = |op: &StoreOp| matches!(op, StoreOp::LoadDeposits { peer: AWAY, after: 0, .. });
    assert!(office.wait(REFRESH).iter().any(is_first), "it is asked again later");
}

#[test]
fn what_a_blocked_node_wrote_is_taken_and_not_stored() {
    let mut office = Office::new(Some(MailboxConfig::default()));
    office.connect(SESSION, MAILBOX);
    let (friend, pest) = (NodeId([8; 32]), NodeId([9; 32]));
    office.post.set_blocked(pest, true);
    for number in 0..70 {
        office.deposit(number, ME, 2000);
        let Some(Job::Open { token, .. }) = office.post.poll_job() else { break };
        let letter = envelope::Letter {
            id: MessageId([number as u8; 16]),
            sent_at: office.now.wall,
            content: Content::Text("x".into()),
        };
        let sender = if number == 0 { friend } else { pest };
        office.post.handle_job(office.now, JobOutcome::Opened { token, letter: Ok((sender, letter)) });
    }
    office.deposit(100, pest, 2000);
    let ops = office.settle();
    assert!(matches!(&ops[..], [StoreOp::StoreIncoming { from, .. }] if *from == friend), "{ops:?}");
    let answers = office.answers();
    let count = |outcome| answers.iter().filter(|(_, said)| *said == outcome).count();
    assert_eq!(count(Outcome::Taken), 64, "each costs as much as junk");
    assert_eq!(count(Outcome::Unreadable), 1, "no letter is kept for it");
    office.post.set_blocked(pest, false);
    office.deposit(101, pest, 2000);
    assert!(matches!(office.settle()[..], [StoreOp::KeepLetter { number: 101, .. }]));
}

#[test]
fn what_was_written_is_not_kept() {
    let (mut office, mut op) = office_with_absent_peer();
    let mut number = 0;
    for _ in 0..50 {
        office.page(&op, 1..3, 1 << 20);
        // Numbers are counted up: whoever answers need not have read them.
        for _ in 0..2 {
            number += 1;
            office.answer(number, Outcome::Taken);
        }
        let pending = office.post.pending_letters(SESSION).len();
        office.post.on_letters_written(SESSION, pending - 1);
        assert_eq!(office.post.pending_letters(SESSION).len(), 1);
        let ops = office.settle();
        op = ops.into_iter().find(|op| matches!(op, StoreOp::LoadDeposits { .. })).expect("goes on");
    }
    assert!(office.post.sessions[&SESSION].letters.in_memory() < 2 * MAX_UNREAD);
}

#[test]
fn a_mailbox_that_refuses_and_takes_by_turns_is_left_alone() {
    let (mut office, mut op) = office_with_absent_peer();
    let (mut numbers, mut rounds) = (VecDeque::new(), 0);
    let answer = |office: &mut Office, answers: &[(u64, Outcome)]| {
        answers.iter().for_each(|(number, outcome)| office.answer(*number, *outcome));
        office.settle()
    };
    // No time passes.
    loop {
        assert!(is_load_from_the_first(std::slice::from_ref(&op)));
        office.page(&op, 1..17, 2000);
        rounds += 1;
        numbers.extend(office.numbers());
        let [a, b, c, d] = std::array::from_fn(|_| numbers.pop_front().unwrap());
        assert_eq!(answer(&mut office, &[(a, Outcome::Full)]), []);
        let turns = [(b, Outcome::Taken), (c, Outcome::Full), (d, Outcome::Taken)];
        let ops = answer(&mut office, &turns);
        let Some(next) = ops.into_iter().find(|op| matches!(op, StoreOp::LoadDeposits { .. })) else { break };
        op = next;
    }
    assert_eq!((rounds, office.post.in_memory()), (1, (0, 0)));
    assert_eq!(std::iter::from_fn(|| office.post.poll_refusal()).count(), 1);
    // What it refuses for good stays refused when it goes and comes back.
    let op = office.wait(2 * PAUSE.0).remove(0);
    office.page(&op, 1..2, 2000);
    let number = office.numbers()[0];
    assert_eq!(answer(&mut office, &[(number, Outcome::Unreadable)]), []);
    for mailboxes in [BTreeSet::new(), [MAILBOX].into()] {
        office.mailboxes = mailboxes;
        office.post.on_mailboxes_changed();
        assert_eq!(office.settle(), []);
    }
    assert!(is_load_from_the_first(&office.wait(2 * REFRESH)));
}
