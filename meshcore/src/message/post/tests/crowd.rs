//! Many at once, most of them hostile: the others get their letters all the same.

use super::super::dispatch::{MAX_SILENT, PAGE, PATIENCE};
use super::*;
use crate::message::store::{MemoryStore, StoreReply};

#[test]
fn junk_in_a_mailbox_does_not_hold_up_letters() {
    const JUNK: u64 = 3000;
    const JUNK_PERIOD: Duration = Duration::from_millis(50);
    let (mut mailbox, mut recipient) = (Office::new(Some(MailboxConfig::default())), Office::new(None));
    let mut store = MemoryStore::default();
    for number in 0..=JUNK {
        let (sender, first) = if number < JUNK { (NodeId([66; 32]), 66) } else { (NodeId([1; 32]), 1) };
        let (id, expires) =
            (MessageId(u128::from(number).to_be_bytes()), UnixTime::from_millis(u64::MAX >> 1));
        let envelope = [&[first][..], &number.to_be_bytes(), &[7; 1536]].concat();
        let letter = Letter { sender, recipient: AWAY, id, expires, envelope };
        let quota = MailboxConfig::default().quota();
        store.execute(StoreOp::KeepLetter { session: SessionId(99), number, letter, quota });
    }
    recipient.post = Post::new(AWAY, None);
    mailbox.reachable.insert(AWAY);
    mailbox.connect(SESSION, AWAY);
    recipient.connect(SESSION, MAILBOX);
    mailbox.post.has_letters(AWAY);
    let begin = recipient.now.monotonic;
    while !carry(&mut mailbox, &mut recipient, &mut store) {
        for office in [&mut mailbox, &mut recipient] {
            assert_eq!(office.wait(JUNK_PERIOD), []);
        }
        let took = recipient.now.monotonic - begin;
        assert!(took <= JUNK as u32 * JUNK_PERIOD, "behind {JUNK} junk letters after {took:?}");
    }
}

/// Lets both do what they can at this moment; whether the envelope that begins with 1 has been opened.
fn carry(mailbox: &mut Office, recipient: &mut Office, store: &mut MemoryStore) -> bool {
    loop {
        for op in mailbox.settle() {
            if let Some(StoreReply::LetterPage { token, letters, complete }) = store.execute(op) {
                mailbox.post.on_page(mailbox.now, Page::Letters { token, letters, complete });
            }
        }
        if recipient.post.wants_deposits(SESSION) {
            let pending = mailbox.post.pending_letters(SESSION);
            let bytes = pending.get(..pending.len().min(4096)).unwrap_or_default().to_vec();
            mailbox.post.on_letters_written(SESSION, bytes.len());
            recipient.post.handle_deposits(recipient.now, SESSION, &bytes).unwrap();
        }
        while let Some(Job::Open { token, envelope }) = recipient.post.poll_job() {
            if envelope.starts_with(&[1]) {
                return true;
            }
            let letter = Err(OpenError::NotOpened);
            recipient.post.handle_job(recipient.now, JobOutcome::Opened { token, letter });
        }
        let answers = recipient.post.pending_answers(SESSION).to_vec();
        recipient.post.on_answers_written(SESSION, answers.len());
        mailbox.post.handle_answers(mailbox.now, &mut mailbox.rng, SESSION, &answers).unwrap();
        let has_more = !mailbox.post.pending_letters(SESSION).is_empty();
        if answers.is_empty() && !(has_more && recipient.post.wants_deposits(SESSION)) {
            return false;
        }
    }
}

/// Recipients that have letters in the mailbox and a session with it, and one more behind them in every order.
fn silent_recipients(office: &mut Office, count: u16) -> NodeId {
    let node = |first: u8, n: u16| {
        let mut id = [first; 32];
        id[1..3].copy_from_slice(&n.to_be_bytes());
        NodeId(id)
    };
    let honest = node(200, 0);
    for (session, recipient) in (1..).zip((0..count).map(|n| node(100, n)).chain([honest])) {
        office.reachable.insert(recipient);
        office.connect(SessionId(session), recipient);
        office.post.has_letters(recipient);
    }
    honest
}

/// Seconds until the store is asked for letters to a recipient, when all others leave theirs unanswered.
fn first_letter_of(office: &mut Office, honest: NodeId, do_read: bool, len: usize) -> u32 {
    let mut ops = office.settle();
    for second in 0..4000 {
        for op in std::mem::take(&mut ops) {
            let StoreOp::LoadLetters { recipient, token, .. } = op else { panic!("{op:?}") };
            if recipient == honest {
                return second;
            }
            let (id, expires, envelope) = (MessageId([9; 16]), office.now.wall, vec![0; len]);
            let letter = Letter { sender: MAILBOX, recipient, id, expires, envelope };
            let page = Page::Letters { token, letters: vec![(5, letter)], complete: true };
            office.post.on_page(office.now, page);
        }
        for session in office.post.sessions.keys().copied().collect::<Vec<_>>() {
            let len = if do_read { office.post.pending_letters(session).len() } else { 1 };
            office.post.on_letters_written(session, len);
        }
        ops = office.wait(Duration::from_secs(1));
    }
    panic!("it never got them");
}

#[test]
fn recipients_that_never_answer_hold_nobody_up() {
    for do_read in [true, false] {
        let mut office = Office::new(Some(MailboxConfig::default()));
        let honest = silent_recipients(&mut office, 320);
        let seconds = first_letter_of(&mut office, honest, do_read, 2000);
        assert!(seconds <= 30, "an honest recipient waits {seconds} s");
    }
}

#[test]
fn what_many_leave_unread_is_bounded() {
    let mut office = Office::new(Some(MailboxConfig::default()));
    let honest = silent_recipients(&mut office, 320);
    first_letter_of(&mut office, honest, false, 1 << 20);
    let ops = office.wait(PATIENCE);
    let is_small =
        |op: &StoreOp| matches!(op, StoreOp::LoadLetters { limit, .. } if limit.bytes < PAGE.bytes);
    assert!(ops.iter().all(is_small), "{ops:?}");
    let unread = office.post.sessions.values().map(|session| session.letters.pending().len()).max();
    assert!(unread < Some(2 << 20), "nobody gets more before having read what is there: {unread:?}");
}

#[test]
fn what_too_many_leave_unanswered_is_given_up() {
    let mut office = Office::new(Some(MailboxConfig::default()));
    let honest = silent_recipients(&mut office, MAX_SILENT as u16 + 500);
    let seconds = first_letter_of(&mut office, honest, true, 2000);
    assert!(seconds <= 200, "an honest recipient waits {seconds} s");
    assert!(office.post.in_memory().0 <= MAX_SILENT + MAX_ACTIVE);
}

#[test]
fn own_letters_do_not_wait_for_recipients_of_the_mailbox() {
    let mut office = Office::new(Some(MailboxConfig::default()));
    silent_recipients(&mut office, 320);
    assert_eq!(office.settle().len(), MAX_ACTIVE);
    office.connect(SessionId(1000), MAILBOX);
    office.post.set_absent(AWAY, true);
    office.post.on_mailboxes_changed();
    assert!(is_load_from_the_first(&office.settle()));
}

#[test]
fn the_pauses_of_a_recipient_that_stays_silent_become_longer() {
    let mut office = Office::new(Some(MailboxConfig::default()));
    office.reachable.insert(AWAY);
    office.connect(SESSION, AWAY);
    office.post.has_letters(AWAY);
    let mut loads = Vec::new();
    let mut ops = office.settle();
    for second in 0..4 * 3600 {
        for op in std::mem::take(&mut ops) {
            let StoreOp::LoadLetters { token, .. } = op else { panic!("{op:?}") };
            loads.push(second);
            let (id, expires, envelope) = (MessageId([9; 16]), office.now.wall, vec![0; 2000]);
            let letter = Letter { sender: MAILBOX, recipient: AWAY, id, expires, envelope };
            let page = Page::Letters { token, letters: vec![(5, letter)], complete: true };
            office.post.on_page(office.now, page);
            office.records(true);
        }
        ops = office.wait(Duration::from_secs(1));
    }
    let pauses: Vec<_> = loads.windows(2).map(|pair| pair[1] - pair[0] - ANSWER.as_secs()).collect();
    assert!(pauses[0] <= 38 && pauses[1] >= 45 && *pauses.last().unwrap() >= 450, "{pauses:?}");
}

#[test]
fn recipients_whose_letters_have_expired_are_forgotten() {
    let mut office = Office::new(Some(MailboxConfig::default()));
    (0..100).for_each(|n| office.post.has_letters(NodeId([100 + n; 32])));
    assert_eq!(office.settle(), []);
    let mut ops = office.wait(2 * REFRESH);
    for asked in 0..100 {
        let [StoreOp::LoadLetters { recipient, after: 0, token, .. }] = ops[..] else { panic!("{ops:?}") };
        assert_eq!(recipient, NodeId([100 + asked; 32]), "one after the other");
        let (id, expires, envelope) = (MessageId([9; 16]), office.now.wall, vec![0; 2000]);
        let letter = Letter { sender: MAILBOX, recipient, id, expires, envelope };
        match asked % 3 {
            0 => office.post.on_page(office.now, Page::Letters { token, letters: vec![], complete: true }),
            1 => {
                let letters = vec![(5, letter)];
                office.post.on_page(office.now, Page::Letters { token, letters, complete: true });
            }
            _ => office.post.on_page_failed(office.now, token),
        }
        ops = office.settle();
    }
    assert_eq!((ops, office.post.recipients()), (vec![], 66));
    assert_eq!(office.post.in_memory(), (0, 0), "nothing of it is handed over");
    // Who comes has a lane, and is asked for by it.
    office.reachable.insert(NodeId([101; 32]));
    office.connect(SESSION, NodeId([101; 32]));
    office.post.on_reach_changed(NodeId([101; 32]));
    let ops = office.settle();
    assert!(matches!(&ops[..], [StoreOp::LoadLetters { limit, .. }] if *limit == PAGE), "{ops:?}");
}

#[test]
fn expired_letters_leave_nothing_in_memory() {
    let config = MailboxConfig { keep: Duration::ZERO, ..MailboxConfig::default() };
    let mut office = Office::new(Some(config));
    office.connect(SESSION, MAILBOX);
    let mut store = MemoryStore::default();
    for number in 0..1000u64 {
        let mut recipient = [77; 32];
        recipient[..8].copy_from_slice(&number.to_be_bytes());
        office.deposit(number, NodeId(recipient), 2000);
        for op in office.settle() {
            let Some(StoreReply::LetterKept { session, number, recipient, .. }) = store.execute(op) else {
                panic!("not kept")
            };
            office.post.on_kept(session, number, Outcome::Taken);
            office.post.has_letters(recipient);
        }
        office.records(false);
    }
    assert_eq!((store.letters(), office.post.recipients()), (1000, 1000));
    store.execute(StoreOp::Sweep { now: office.now.wall });
    assert_eq!(store.letters(), 0);
    let mut ops = office.wait(2 * REFRESH);
    while let Some(op) = ops.pop() {
        let Some(StoreReply::LetterPage { token, letters, complete }) = store.execute(op) else {
            panic!("no page")
        };
        office.post.on_page(office.now, Page::Letters { token, letters, complete });
        ops.extend(office.settle());
    }
    assert_eq!(office.post.recipients(), 0);
}
