//! Random operations: two stores that get the same ones give the same answers.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use super::TestStore;
use crate::message::SessionId;
use crate::message::room::RoomCommand;
use crate::message::room::testing::{OWN, room, versions};
use crate::message::store::*;
use crate::types::{MessageId, NodeId, Status, UnixTime};
use crate::wire::content::RoomRequest;

fn node() -> impl Strategy<Value = NodeId> {
    (1u8..4).prop_map(|n| NodeId([n; 32]))
}

fn id() -> impl Strategy<Value = MessageId> {
    (1u8..14).prop_map(|n| MessageId([n; 16]))
}

fn ids() -> impl Strategy<Value = Vec<MessageId>> {
    prop::collection::vec(id(), 1..4)
}

/// Within some hours; now and then a year before or after.
fn time() -> impl Strategy<Value = UnixTime> {
    let year = 365 * 24 * 60;
    (0u64..400, prop_oneof![8 => Just(year), 1 => Just(0), 1 => Just(2 * year)]).prop_map(
        |(minutes, years)| {
            UnixTime::from_millis(1_700_000_000_000) + Duration::from_secs(60 * (minutes + years))
        },
    )
}

fn limit() -> impl Strategy<Value = PageLimit> {
    (1usize..5, 1usize..60).prop_map(|(messages, bytes)| PageLimit { messages, bytes })
}

fn content() -> impl Strategy<Value = Content> {
    let status = select(vec![Status::Delivered, Status::Read]);
    prop_oneof![
        3 => "[a-z]{1,20}".prop_map(Content::Text),
        4 => (id(), prop::option::of(stamp()), "[a-z]{1,20}")
            .prop_map(|(after, stamp, text)| Content::Following { after, stamp, text }),
        3 => (stamp(), "[a-z]{1,20}").prop_map(|(stamp, text)| Content::RoomText { stamp, text }),
        2 => select(versions()).prop_map(Content::Room),
        1 => (stamp(), select(vec![RoomRequest::Join, RoomRequest::Leave]))
            .prop_map(|(stamp, request)| Content::RoomRequest { stamp, request }),
        2 => (status, ids()).prop_map(|(status, ids)| Content::Receipts { status, ids }),
        1 => Just(Content::Unknown(77)),
    ]
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (0u64..9).prop_map(|version| Stamp { room: room(), version })
}

fn room_command() -> impl Strategy<Value = RoomCommand> {
    prop_oneof![
        3 => Just(RoomCommand::Join(room())),
        1 => Just(RoomCommand::Leave(room())),
        1 => node().prop_map(|node| RoomCommand::Invite(room(), node)),
        4 => ("[a-z]{1,20}", prop::option::of(time()))
            .prop_map(|(text, expires)| RoomCommand::Send { room: room(), text, expires }),
    ]
}

fn received() -> impl Strategy<Value = ReceivedMessage> {
    (id(), content(), time(), time()).prop_map(|(id, content, sent_at, received_at)| ReceivedMessage {
        id,
        content,
        sent_at,
        received_at,
    })
}

fn letter() -> impl Strategy<Value = Letter> {
    (node(), node(), id(), time(), 1usize..40).prop_map(|(sender, recipient, id, expires, len)| Letter {
        sender,
        recipient,
        id,
        expires,
        envelope: vec![7; len],
    })
}

/// An operation; the ids of receipts are filled in later, for they are unique.
fn operation() -> impl Strategy<Value = StoreOp> {
    let after = || prop_oneof![Just(0u64), 0u64..30];
    let receipt = MessageId([0; 16]);
    let origin = || Origin::Session(SessionId(1));
    let statuses = vec![Status::Sent, Status::Stored, Status::Expired, Status::Delivered, Status::Read];
    prop_oneof![
        4 => (id(), node(), time(), prop::option::of(time()), "[a-z]{1,20}").prop_map(
            |(id, to, created, expires, text)| StoreOp::Enqueue { id, to, created, expires, text }
        ),
        3 => (id(), time(), room_command())
            .prop_map(|(id, now, command)| StoreOp::Room { own: OWN, id, now, command }),
        2 => (node(), ids(), select(statuses))
            .prop_map(|(to, ids, status)| StoreOp::SetStatus { to, ids, status }),
        2 => (node(), after(), limit())
            .prop_map(|(peer, after, limit)| StoreOp::LoadOutbox { peer, after, limit, token: 1 }),
        3 => (node(), node(), after(), time(), limit()).prop_map(|(peer, mailbox, after, now, limit)| {
            StoreOp::LoadDeposits { peer, mailbox, after, now, limit, token: 2 }
        }),
        2 => (node(), ids(), node(), time())
            .prop_map(|(to, ids, mailbox, until)| StoreOp::Deposited { to, ids, mailbox, until }),
        6 => (node(), prop::collection::vec(received(), 1..5), any::<bool>()).prop_map(
            move |(from, messages, told)| StoreOp::StoreIncoming {
                origin: origin(),
                from,
                to: OWN,
                messages,
                receipt: told.then_some(receipt),
            }
        ),
        1 => (after(), limit()).prop_map(|(after, limit)| StoreOp::LoadIncoming { after, limit }),
        1 => after().prop_map(|arrival| StoreOp::Confirmed { arrival }),
        2 => (node(), after(), time())
            .prop_map(move |(from, arrival, now)| StoreOp::MarkRead { from, arrival, receipt, now }),
        3 => (letter(), 40u64..120, 20u64..60).prop_map(|(letter, total, sender)| StoreOp::KeepLetter {
            session: SessionId(1),
            number: 1,
            letter,
            quota: Quota { total, sender },
        }),
        2 => (node(), after(), limit())
            .prop_map(|(recipient, after, limit)| StoreOp::LoadLetters { recipient, after, limit, token: 3 }),
        1 => (node(), prop::collection::vec(1u64..20, 1..4))
            .prop_map(|(recipient, numbers)| StoreOp::RemoveLetters { recipient, numbers }),
        1 => time().prop_map(|now| StoreOp::Sweep { now }),
    ]
}

/// Batches of operations.
pub(crate) fn batches() -> impl Strategy<Value = Vec<Vec<StoreOp>>> {
    prop::collection::vec(prop::collection::vec(operation(), 1..8), 1..30).prop_map(|mut batches| {
        for (number, op) in (0u32..).zip(batches.iter_mut().flatten()) {
            if let StoreOp::StoreIncoming { receipt: Some(receipt), .. } | StoreOp::MarkRead { receipt, .. } =
                op
            {
                receipt.0[..4].copy_from_slice(&number.to_be_bytes());
                receipt.0[15] = 0xff;
            }
        }
        batches
    })
}

/// Runs batches on both, and compares every answer and what is found when they are opened.
pub(crate) fn check_same(
    one: &mut dyn TestStore,
    other: &mut dyn TestStore,
    batches: Vec<Vec<StoreOp>>,
) -> Result<(), TestCaseError> {
    for batch in batches {
        let answers = one.execute_batch(batch.clone());
        prop_assert_eq!(answers, other.execute_batch(batch));
    }
    prop_assert_eq!(one.reopen(), other.reopen());
    Ok(())
}
