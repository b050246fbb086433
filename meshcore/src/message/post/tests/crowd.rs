//! Many at once, most of them hostile: the others get their letters all the same.

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
            office.wait(JUNK_PERIOD).into_iter().for_each(|op| panic!("{op:?}"));
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
