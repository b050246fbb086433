//! Mailboxes, receipts, and what waits for other messages: what every store has to do, operation by operation.

use std::time::Duration;

use super::{OTHER, OWN, PEER, TestStore, id};
use crate::message::SessionId;
use crate::message::store::*;
use crate::types::{MessageId, NodeId, Status, UnixTime};

const NONE: [u8; 0] = [];
const MAILBOX: NodeId = NodeId([5; 32]);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const LIMIT: PageLimit = PageLimit { messages: 10, bytes: 1000 };
const NOW: UnixTime = UnixTime::from_millis(1_700_000_000_000);

/// The behaviour of an empty store.
pub(crate) fn check_delivery(store: &mut dyn TestStore) {
    check_deposits(store);
    check_receipts(store);
    check_end_of_receipts(store);
    check_order(store);
    check_clock(store);
    check_reading(store);
    check_letters(store);
}

fn one(store: &mut dyn TestStore, op: StoreOp) -> StoreReply {
    <[_; 1]>::try_from(store.execute_batch(vec![op])).map(|[reply]| reply).unwrap()
}

fn none(store: &mut dyn TestStore, op: StoreOp) {
    assert_eq!(store.execute_batch(vec![op]), []);
}

fn enqueue(store: &mut dyn TestStore, n: u8, expires: Option<UnixTime>) -> u64 {
    let op = StoreOp::Enqueue { id: id(n), to: PEER, created: NOW, expires, text: "x".repeat(n.into()) };
    match one(store, op) {
        StoreReply::Enqueued { message, .. } => message.seq,
        other => panic!("{other:?}"),
    }
}

fn deposits(store: &mut dyn TestStore, after: u64, now: UnixTime) -> Vec<(MessageId, Option<MessageId>)> {
    let op = StoreOp::LoadDeposits { peer: PEER, mailbox: MAILBOX, after, now, limit: LIMIT, token: 1 };
    match one(store, op) {
        StoreReply::DepositPage { token: 1, deposits, complete: true } => {
            deposits.into_iter().map(|deposit| (deposit.message.id, deposit.after)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn incoming(store: &mut dyn TestStore, messages: Vec<(u8, Content)>, receipt: Option<u8>) -> StoreReply {
    let message = |(n, content)| ReceivedMessage { id: id(n), content, sent_at: NOW, received_at: NOW };
    let origin = Origin::Envelopes { session: SessionId(1), numbers: vec![] };
    let messages = messages.into_iter().map(message).collect();
    one(store, StoreOp::StoreIncoming { origin, from: PEER, to: OWN, messages, receipt: receipt.map(id) })
}

fn new_and_told(reply: StoreReply) -> (Vec<u8>, Option<Vec<u8>>) {
    let StoreReply::Stored { new, receipt, .. } = reply else { panic!("{reply:?}") };
    let bytes = |ids: Vec<MessageId>| ids.into_iter().map(|id| id.0[0]).collect();
    let told = receipt.map(|message| match message.content {
        Content::Receipts { status: Status::Delivered, ids } => bytes(ids),
        other => panic!("{other:?}"),
    });
    (bytes(new.into_iter().map(|message| message.id).collect()), told)
}

fn text(n: u8) -> (u8, Content) {
    (n, Content::Text(format!("{n}")))
}

fn following(n: u8, after: u8) -> (u8, Content) {
    (n, Content::Following { after: id(after), stamp: None, text: format!("{n}") })
}

fn set(store: &mut dyn TestStore, n: u8, status: Status) -> Vec<MessageId> {
    match one(store, StoreOp::SetStatus { to: PEER, ids: vec![id(n)], status }) {
        StoreReply::StatusSaved { ids, .. } => ids,
        other => panic!("{other:?}"),
    }
}

fn check_deposits(store: &mut dyn TestStore) {
    let first = enqueue(store, 1, None);
    enqueue(store, 2, None);
    enqueue(store, 3, Some(NOW + Duration::from_secs(60)));
    let all = [(id(1), None), (id(2), Some(id(1))), (id(3), Some(id(2)))];
    assert_eq!(deposits(store, 0, NOW), all);
    assert_eq!(deposits(store, first, NOW), all[1..]);
    let until = NOW + Duration::from_secs(100);
    let kept = |ids: &[u8], mailbox| {
        let ids = ids.iter().map(|n| id(*n)).collect();
        StoreOp::Deposited { to: PEER, ids, mailbox, until }
    };
    let stored = |ids| StoreReply::StatusSaved { to: PEER, ids, status: Status::Stored };
    assert_eq!(one(store, kept(&[2, 9], MAILBOX)), stored(vec![id(2)]));
    assert_eq!(one(store, kept(&[2], MAILBOX)), stored(vec![]), "no news");
    assert_eq!(deposits(store, 0, NOW), [all[0], all[2]], "it follows what is still pending");
    assert_eq!(deposits(store, 0, until), all, "the copy has ended");
    assert_eq!(one(store, kept(&[1], OTHER)), stored(vec![id(1)]));
    assert_eq!(deposits(store, 0, NOW), [all[0], all[2]], "that was another mailbox");
    assert_eq!(set(store, 1, Status::Sent), [], "no status falls");
    let swept = |expired| StoreReply::Swept { expired, idle: vec![], released: vec![] };
    assert_eq!(one(store, StoreOp::Sweep { now: NOW }), swept(vec![]));
    let later = NOW + Duration::from_secs(60);
    assert_eq!(one(store, StoreOp::Sweep { now: later }), swept(vec![(PEER, id(3))]));
    assert_eq!(one(store, StoreOp::Sweep { now: later }), swept(vec![]));
    assert_eq!(one(store, kept(&[3], MAILBOX)), stored(vec![]), "it was given up");
    assert_eq!(set(store, 3, Status::Delivered), [id(3)], "and has arrived all the same");
    assert_eq!(set(store, 1, Status::Delivered), [id(1)]);
    assert_eq!(deposits(store, 0, until), [(id(2), None)]);
    assert_eq!(set(store, 2, Status::Read), [id(2)]);
    enqueue(store, 150, Some(until));
    enqueue(store, 151, None);
    assert_eq!(
        deposits(store, 0, NOW),
        [(id(150), None), (id(151), None)],
        "nothing follows what may never come"
    );
    assert_eq!([150, 151].map(|n| set(store, n, Status::Read)), [[id(150)], [id(151)]]);
    assert_eq!(store.reopen(), OpenedOutboxes::default());
}

fn check_receipts(store: &mut dyn TestStore) {
    assert_eq!(new_and_told(incoming(store, vec![text(10)], None)), (vec![10], None));
    let reply = incoming(store, vec![text(10), text(11), text(11)], Some(100));
    assert_eq!(new_and_told(reply), (vec![11], Some(vec![10, 11])), "known ones are told of too");
    let reply = incoming(store, vec![text(11), text(12)], Some(101));
    assert_eq!(new_and_told(reply), (vec![12], Some(vec![12])), "a receipt tells of the other one already");
    assert_eq!(new_and_told(incoming(store, vec![text(10)], Some(102))), (vec![], None));
    assert_eq!(new_and_told(incoming(store, vec![(13, Content::Unknown(77))], Some(102))), (vec![], None));
    assert_eq!(deposits(store, 0, NOW), [(id(100), None), (id(101), None)], "receipts follow nothing");
    assert_eq!(set(store, 100, Status::Sent), [], "nobody is told how far receipts come");
    assert_eq!(set(store, 100, Status::Delivered), []);
    assert_eq!(deposits(store, 0, NOW), [(id(101), None)], "a receipt that arrived is forgotten");
    let reply = incoming(store, vec![text(11), text(12)], Some(103));
    assert_eq!(new_and_told(reply), (vec![], Some(vec![11])), "its sender asks again");
    assert_eq!(set(store, 101, Status::Delivered), []);
    assert_eq!(set(store, 103, Status::Delivered), []);
    assert_eq!(store.reopen().backlog, []);

    // Receipts raise what this node sent to their sender, and nothing else.
    enqueue(store, 20, None);
    let receipts = |status, n| (30, Content::Receipts { status, ids: vec![id(n), id(99)] });
    let raised = |reply| match reply {
        StoreReply::Stored { raised, receipt: None, .. } => raised,
        other => panic!("{other:?}"),
    };
    let reply = incoming(store, vec![receipts(Status::Read, 20), receipts(Status::Delivered, 20)], Some(104));
    assert_eq!(raised(reply), [(id(20), Status::Read)]);
}

/// Receipts that go by mailbox are not acknowledged: they end by themselves.
fn check_end_of_receipts(store: &mut dyn TestStore) {
    one(store, StoreOp::SetStatus { to: PEER, ids: vec![id(20)], status: Status::Read });
    let reply = incoming(store, vec![text(24)], Some(124));
    let StoreReply::Stored { new, .. } = &reply else { panic!("{reply:?}") };
    let arrival = new[0].arrival;
    assert_eq!(new_and_told(reply), (vec![24], Some(vec![24])));
    let reply = one(store, StoreOp::MarkRead { from: PEER, arrival, receipt: id(125), now: NOW });
    assert!(matches!(reply, StoreReply::MarkedRead { receipt: Some(_), .. }));
    let opened = store.reopen();
    assert_eq!((opened.backlog, opened.texts_for), (vec![PEER], vec![]));
    let swept = |idle| StoreReply::Swept { expired: vec![], idle, released: vec![] };
    let sweep = |after: Duration| StoreOp::Sweep { now: NOW + after };
    assert_eq!(one(store, sweep(ANSWER_LIFE - Duration::from_secs(1))), swept(vec![]));
    assert_eq!(deposits(store, 0, NOW), [(id(124), None), (id(125), None)]);
    assert_eq!(one(store, sweep(ANSWER_LIFE)), swept(vec![]));
    assert_eq!(deposits(store, 0, NOW), [(id(125), None)]);
    assert_eq!(one(store, sweep(READ_LIFE)), swept(vec![PEER]));
    assert_eq!(store.reopen().backlog, []);
    // Its sender has not heard of it.
    assert_eq!(new_and_told(incoming(store, vec![text(24)], Some(126))), (vec![], Some(vec![24])));
    assert_eq!(set(store, 126, Status::Delivered), []);
}

fn check_order(store: &mut dyn TestStore) {
    // Two wait for one, and one for one of them.
    for message in [following(43, 42), following(42, 41), following(44, 41)] {
        assert_eq!(new_and_told(incoming(store, vec![message.clone()], None)).0, NONE);
        assert_eq!(new_and_told(incoming(store, vec![message], None)).0, NONE, "again");
    }
    assert_eq!(new_and_told(incoming(store, vec![text(41)], None)).0, [41, 42, 43, 44]);
    assert_eq!(new_and_told(incoming(store, vec![following(43, 99)], None)).0, NONE, "it is there");
    assert_eq!(new_and_told(incoming(store, vec![following(45, 44)], None)).0, [45]);

    // What waits too long comes without, but not before what it follows and is there.
    assert_eq!(new_and_told(incoming(store, vec![following(52, 51)], None)).0, NONE);
    let late = NOW + PATIENCE.saturating_sub(Duration::from_secs(1));
    let released = |reply| match reply {
        StoreReply::Swept { released, .. } => released.into_iter().map(|message| message.id.0[0]).collect(),
        other => panic!("{other:?}"),
    };
    let mut sweep = |now| -> Vec<u8> { released(one(store, StoreOp::Sweep { now })) };
    assert_eq!(sweep(late), NONE);
    assert_eq!(sweep(NOW + PATIENCE), [52]);
    for clock in [NOW + YEAR, UnixTime::from_millis(NOW.as_millis() - YEAR.as_millis() as u64)] {
        let n = if clock > NOW { 60 } else { 70 };
        assert_eq!(
            new_and_told(incoming(store, vec![following(n + 2, n + 1), following(n + 1, n)], None)).0,
            NONE
        );
        let reply = one(store, StoreOp::Sweep { now: clock });
        let StoreReply::Swept { released, .. } = reply else { panic!("{reply:?}") };
        let released: Vec<_> = released.into_iter().map(|message| message.id.0[0]).collect();
        assert_eq!(released, [n + 1, n + 2], "a clock that was set holds nothing back");
    }

    // What comes by a session shows that nothing before it is still to come.
    let later = NOW + Duration::from_secs(1);
    assert_eq!(new_and_told(incoming(store, vec![following(91, 90)], None)).0, NONE);
    let (n, content) = text(92);
    let by_session = |sent_at| StoreOp::StoreIncoming {
        origin: Origin::Session(SessionId(1)),
        from: PEER,
        to: OWN,
        messages: vec![ReceivedMessage { id: id(n), content: content.clone(), sent_at, received_at: later }],
        receipt: None,
    };
    assert_eq!(new_and_told(one(store, by_session(NOW))).0, [92], "it may have been written before");
    assert_eq!(new_and_told(one(store, by_session(later))).0, [91]);

    assert_eq!(
        new_and_told(incoming(store, vec![following(96, 96)], None)).0,
        [96],
        "nothing waits for itself"
    );
    // Those that wait for one another, as only somebody makes them up who wants to see what happens.
    assert_eq!(new_and_told(incoming(store, vec![following(80, 81), following(81, 80)], None)).0, NONE);
    let StoreReply::Swept { released, .. } = one(store, StoreOp::Sweep { now: NOW + PATIENCE }) else {
        panic!()
    };
    assert_eq!(released.len(), 2);

    // No more wait than may.
    let number = |n: u32| {
        let mut id = [200; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        MessageId(id)
    };
    let messages = (1..=MAX_HELD + 1).map(|n| ReceivedMessage {
        id: number(n),
        content: Content::Following { after: number(0), stamp: None, text: "x".into() },
        sent_at: NOW,
        received_at: NOW,
    });
    let origin = Origin::Session(SessionId(1));
    let op =
        StoreOp::StoreIncoming { origin, from: PEER, to: OWN, messages: messages.collect(), receipt: None };
    let StoreReply::Stored { new, .. } = one(store, op) else { panic!() };
    assert_eq!(new.iter().map(|message| message.id).collect::<Vec<_>>(), [number(MAX_HELD + 1)]);
    let StoreReply::Swept { released, .. } = one(store, StoreOp::Sweep { now: NOW + PATIENCE }) else {
        panic!()
    };
    assert!(released.iter().map(|message| message.id).eq((1..=MAX_HELD).map(number)));
    check_bytes_that_wait(store);
}

/// No more bytes of one sender wait than may.
fn check_bytes_that_wait(store: &mut dyn TestStore) {
    let long = |n: u8| (n, Content::Following { after: id(240), stamp: None, text: "x".repeat(1 << 20) });
    for n in (160..).take((MAX_HELD_BYTES >> 20) as usize) {
        assert_eq!(new_and_told(incoming(store, vec![long(n)], None)).0, NONE);
    }
    assert_eq!(new_and_told(incoming(store, vec![following(230, 240)], None)).0, [230], "no byte is left");
    let StoreReply::Swept { released, .. } = one(store, StoreOp::Sweep { now: NOW + PATIENCE }) else {
        panic!()
    };
    assert_eq!(released.len() as u64, MAX_HELD_BYTES >> 20);
    assert_eq!(new_and_told(incoming(store, vec![following(231, 240)], None)).0, NONE, "there is room again");
    one(store, StoreOp::Sweep { now: NOW + PATIENCE });
}

/// A clock that is set back disturbs no order.
fn check_clock(store: &mut dyn TestStore) {
    let clock = [(141, 1000), (142, 100), (143, 101)];
    for (n, created) in clock.map(|(n, millis)| (n, UnixTime::from_millis(millis))) {
        one(store, StoreOp::Enqueue { id: id(n), to: PEER, created, expires: None, text: format!("{n}") });
    }
    let op =
        StoreOp::LoadDeposits { peer: PEER, mailbox: MAILBOX, after: 0, now: NOW, limit: LIMIT, token: 1 };
    let StoreReply::DepositPage { deposits, .. } = one(store, op) else { panic!() };
    let sent = |at: usize| deposits[at].message.clone();
    let mut shown = Vec::new();
    let mut receive = |origin, messages: Vec<(OutgoingMessage, Option<MessageId>)>| {
        let messages = messages.into_iter().map(|(message, after)| ReceivedMessage {
            id: message.id,
            content: after.map_or(message.content.clone(), |after| message.content.following(after)),
            sent_at: message.created,
            received_at: NOW,
        });
        let (messages, from) = (messages.collect(), NodeId([7; 32]));
        let op = StoreOp::StoreIncoming { origin, from, to: OWN, messages, receipt: None };
        shown.extend(new_and_told(one(store, op)).0);
    };
    // The third comes by a mailbox, and is acknowledged; then a session brings the others.
    let mailbox = Origin::Envelopes { session: SessionId(1), numbers: vec![] };
    receive(mailbox, vec![(sent(2), deposits[2].after)]);
    receive(Origin::Session(SessionId(2)), vec![(sent(0), None), (sent(1), None)]);
    assert_eq!(shown, [141, 142, 143]);
    for n in [141, 142, 143] {
        assert_eq!(set(store, n, Status::Read), [id(n)]);
    }
}

fn check_reading(store: &mut dyn TestStore) {
    let messages = (0..MAX_RECEIPT_IDS as u32 + 5).map(|n| {
        let mut id = [220; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let content = Content::Text("x".into());
        ReceivedMessage { id: MessageId(id), content, sent_at: NOW, received_at: NOW }
    });
    let origin = Origin::Session(SessionId(1));
    let op =
        StoreOp::StoreIncoming { origin, from: OTHER, to: OWN, messages: messages.collect(), receipt: None };
    let StoreReply::Stored { new, .. } = one(store, op) else { panic!() };
    let last = new.last().unwrap().arrival;
    let mut read = |arrival, receipt| {
        let op = StoreOp::MarkRead { from: OTHER, arrival, receipt: id(receipt), now: NOW };
        match one(store, op) {
            StoreReply::MarkedRead { from: OTHER, arrival: same, receipt } if same == arrival => {
                receipt.map(|message| match message.content {
                    Content::Receipts { status: Status::Read, ids } => ids,
                    other => panic!("{other:?}"),
                })
            }
            other => panic!("{other:?}"),
        }
    };
    let ids: Vec<_> = new.iter().map(|message| message.id).collect();
    assert_eq!(read(new[0].arrival - 1, 110), None);
    assert_eq!(read(new[1].arrival, 111).unwrap(), ids[..2]);
    assert_eq!(read(last, 112).unwrap(), ids[2..MAX_RECEIPT_IDS + 2]);
    assert_eq!(read(u64::MAX, 113).unwrap(), ids[MAX_RECEIPT_IDS + 2..]);
    assert_eq!(read(last, 114), None);
    let receipts = [111, 112, 113].map(id).to_vec();
    one(store, StoreOp::SetStatus { to: OTHER, ids: receipts, status: Status::Delivered });
}

fn check_letters(store: &mut dyn TestStore) {
    let quota = Quota { total: 250, sender: 150 };
    let letter = |n: u8, sender, recipient, seconds| Letter {
        sender,
        recipient,
        id: id(n),
        expires: NOW + Duration::from_secs(seconds),
        envelope: vec![n; 50],
    };
    let mut keep = |letter: Letter| {
        let recipient = letter.recipient;
        match one(store, StoreOp::KeepLetter { session: SessionId(3), number: 8, letter, quota }) {
            StoreReply::LetterKept { session: SessionId(3), number: 8, recipient: same, keeping }
                if same == recipient =>
            {
                keeping
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(keep(letter(1, OTHER, PEER, 10)), Keeping::Kept);
    assert_eq!(keep(letter(1, OTHER, PEER, 20)), Keeping::Kept, "the same, for longer");
    assert_eq!(keep(letter(2, OTHER, PEER, 30)), Keeping::Kept);
    assert_eq!(keep(letter(2, OTHER, PEER, 5)), Keeping::Kept, "the same, for as long as before");
    assert_eq!(keep(letter(1, OTHER, OTHER, 30)), Keeping::Kept, "for somebody else");
    assert_eq!(keep(letter(3, OTHER, PEER, 30)), Keeping::SenderFull);
    assert_eq!(keep(letter(1, PEER, PEER, 30)), Keeping::Kept);
    assert_eq!(keep(letter(2, PEER, PEER, 30)), Keeping::Kept);
    assert_eq!(keep(letter(3, PEER, PEER, 30)), Keeping::Full);
    assert_eq!(keep(letter(1, PEER, PEER, 30)), Keeping::Kept, "it is there already");
    assert_eq!(store.reopen().letters_for, [PEER, OTHER]);

    let load = |after, messages, bytes| {
        let limit = PageLimit { messages, bytes };
        StoreOp::LoadLetters { recipient: PEER, after, limit, token: 4 }
    };
    let page = |reply| match reply {
        StoreReply::LetterPage { token: 4, letters, complete } => (letters, complete),
        other => panic!("{other:?}"),
    };
    let (all, complete) = page(one(store, load(0, 10, 1000)));
    let kept: Vec<_> = all.iter().map(|(_, letter)| (letter.sender, letter.id.0[0])).collect();
    assert_eq!((kept, complete), (vec![(OTHER, 1), (OTHER, 2), (PEER, 1), (PEER, 2)], true));
    assert_eq!(all[0].1, letter(1, OTHER, PEER, 20));
    assert_eq!(all[1].1, letter(2, OTHER, PEER, 30));
    assert_eq!(page(one(store, load(all[0].0, 10, 1))), (all[1..2].to_vec(), false));
    assert_eq!(page(one(store, load(all[1].0, 2, 1000))), (all[2..].to_vec(), true));
    assert_eq!(page(one(store, load(all[3].0, 2, 1000))), (vec![], true));

    let remove = |recipient, numbers| StoreOp::RemoveLetters { recipient, numbers };
    none(store, remove(OTHER, vec![all[1].0, 999]));
    none(store, remove(PEER, vec![all[1].0]));
    none(store, remove(PEER, vec![all[1].0]));
    assert_eq!(page(one(store, load(0, 10, 1000))).0.len(), 3, "of the named recipient only");
    one(store, StoreOp::Sweep { now: NOW + Duration::from_secs(20) });
    assert_eq!(page(one(store, load(0, 10, 1000))).0, all[2..], "its time has passed");
    let op =
        StoreOp::KeepLetter { session: SessionId(3), number: 9, letter: letter(3, OTHER, PEER, 40), quota };
    assert!(
        matches!(one(store, op), StoreReply::LetterKept { keeping: Keeping::Kept, .. }),
        "there is room again"
    );
    one(store, StoreOp::Sweep { now: NOW + YEAR });
    assert_eq!(store.reopen().letters_for, []);
}
