//! Arbitrary sequences of calls.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::forge::{Keys, address, advert, frame, identity, seqno, station, subkey, update_frame};
use super::sim::MTU;
use crate::mesh::{Config, LinkInfo, Mesh, MeshEvent};
use crate::types::{Address, Instant, LinkId};
use crate::wire::frame::{FrameHeader, FrameType};
use crate::wire::hello::{Heard, Hello};
use crate::wire::update::{INFINITE, Update};

/// Something that happens to a mesh; addresses, stations and links are few so that things meet.
#[derive(Debug, Clone)]
enum Step {
    Frame {
        kind: u8,
        source: u8,
        to_us: bool,
        station: u8,
        link: u8,
        payload: Vec<u8>,
    },
    Hello {
        source: u8,
        instance: u8,
        interval: u16,
        lists: bool,
        group: bool,
        version: u64,
        station: u8,
        link: u8,
    },
    Update {
        source: u8,
        instance: u8,
        range: (u64, u64),
        entries: Vec<(u8, u8, u8, u16)>,
        link: u8,
    },
    Bytes(Vec<u8>),
    Wait(u32),
    Known(u8, u8),
    Refused(u8),
    Send(u8),
    Echo(u8, u8),
    AddLink(u8),
    RemoveLink(u8),
    Leave,
}

fn step() -> impl Strategy<Value = Step> {
    let few = || 0..4u8;
    let entry = (few(), few(), few(), prop_oneof![Just(0), Just(96), Just(INFINITE), any::<u16>()]);
    let interval = prop_oneof![Just(0), Just(400), any::<u16>()];
    prop_oneof![
        4 => (0..11u8, few(), any::<bool>(), few(), few(), prop::collection::vec(any::<u8>(), 0..80))
            .prop_map(|(kind, source, to_us, station, link, payload)| {
                Step::Frame { kind, source, to_us, station, link, payload }
            }),
        12 => (few(), few(), interval, any::<bool>(), any::<bool>(), 0..4u64, few(), few()).prop_map(
            |(source, instance, interval, lists, group, version, station, link)| {
                Step::Hello { source, instance, interval, lists, group, version, station, link }
            }
        ),
        8 => (few(), few(), (0..4u64, 0..4u64), prop::collection::vec(entry, 0..5), few()).prop_map(
            |(source, instance, range, entries, link)| Step::Update { source, instance, range, entries, link }
        ),
        2 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Step::Bytes),
        8 => (0..5_000_000u32).prop_map(Step::Wait),
        4 => (few(), few()).prop_map(|(node, number)| Step::Known(node, number)),
        1 => few().prop_map(Step::Refused),
        2 => few().prop_map(Step::Send),
        1 => (few(), few()).prop_map(|(node, hops)| Step::Echo(node, hops)),
        1 => few().prop_map(Step::AddLink),
        1 => few().prop_map(Step::RemoveLink),
    ]
}

fn hear(mesh: &mut Mesh, now: Instant, link: u8, at: u8, mut bytes: Vec<u8>) {
    let _ = mesh.handle_frame(now, LinkId(link.into()), station(at.into()), &mut bytes);
}

fn apply(mesh: &mut Mesh, now: &mut Instant, step: Step) {
    let node = |number: u8| address(number.into());
    match step {
        Step::Frame { kind, source, to_us, station, link, payload } => {
            let to = if to_us { address(0) } else { Address::EVERYONE };
            hear(mesh, *now, link, station, frame(kind.into(), node(source), to, &payload));
        }
        Step::Hello { source, instance, interval, lists, group, version, station, link } => {
            let seqno = mesh.links.get(&LinkId(link.into())).map_or(0, |link| link.seqno);
            let about = Heard { node: address(0), seqno, rxcost: 300, instance: 1 };
            let seqno = (now.as_micros() / 1000) as u16;
            let hello = Hello { seqno, interval, instance: instance.into(), version, total: 1 };
            let mut payload = Vec::new();
            hello.emit(lists.then_some(about), &mut payload);
            let to = if group { Address::EVERYONE } else { address(0) };
            hear(mesh, *now, link, station, frame(FrameType::Hello, node(source), to, &payload));
        }
        Step::Update { source, instance, range, entries, link } => {
            let adverts: Vec<_> = entries
                .into_iter()
                .map(|(node, record, count, metric)| {
                    advert(node.into(), seqno(record.into(), count.into()), metric)
                })
                .collect();
            let update = Update { instance: instance.into(), floor: range.0 / 2, from: range.0, to: range.1 };
            hear(mesh, *now, link, source, update_frame(node(source), update, &adverts));
        }
        Step::Bytes(bytes) => hear(mesh, *now, 0, 1, bytes),
        Step::Wait(micros) => {
            *now += Duration::from_micros(micros.into());
            mesh.handle_timeout(*now);
        }
        Step::Known(number, record) => {
            mesh.identity_known(*now, node(number), identity(node(number), record.into()));
        }
        Step::Refused(number) => mesh.identity_refused(*now, node(number)),
        Step::Send(number) => drop(mesh.next_hop(*now, node(number))),
        Step::Echo(number, hops) => drop(mesh.echo(*now, node(number), hops)),
        Step::AddLink(link) => {
            mesh.add_link(*now, LinkId(link.into()), LinkInfo::new(MTU, link.is_multiple_of(2)));
        }
        Step::RemoveLink(link) => mesh.remove_link(*now, LinkId(link.into())),
        Step::Leave => mesh.leave(*now),
    }
}

fn check_frames(mesh: &mut Mesh, now: Instant) -> Result<(), TestCaseError> {
    let mut out = vec![0xa5; 3];
    while let Some((link, _)) = mesh.poll_transmit(now, &mut out) {
        prop_assert!(mesh.links.contains_key(&link));
        prop_assert_eq!(&out[..3], &[0xa5; 3]);
        prop_assert!(FrameHeader::parse(&out[3..]).is_ok());
        out.truncate(3);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever comes in: no panic, events alternate and tell the truth, timers move on.
    #[test]
    fn any_sequence_of_calls_keeps_the_books(steps in prop::collection::vec(step(), 1..150), leave: bool) {
        let keys = Box::new(Keys(subkey(address(0))));
        let mut mesh = Mesh::new(Config::default(), address(0), 1, keys, [7; 32]);
        let mut now = Instant::from_micros(77);
        mesh.set_own_identity(now, identity(address(0), 1));
        mesh.add_link(now, LinkId(0), LinkInfo::new(MTU, true));
        let mut reachable = BTreeSet::new();
        let last = leave.then_some(Step::Leave);
        for step in steps.into_iter().chain(last).chain([Step::Wait(1)]) {
            apply(&mut mesh, &mut now, step);
            while let Some(event) = mesh.poll_event() {
                match event {
                    MeshEvent::Reachable { node } => prop_assert!(reachable.insert(node)),
                    MeshEvent::Unreachable { node } => prop_assert!(reachable.remove(&node)),
                    MeshEvent::RouteChanged { node } | MeshEvent::Restarted { node } => {
                        prop_assert!(reachable.contains(&node));
                    }
                    _ => {}
                }
            }
            for node in (0..4).map(address) {
                prop_assert!(!mesh.is_reachable(node) || reachable.contains(&node));
                prop_assert_eq!(mesh.route(node).is_some(), mesh.is_reachable(node));
            }
            check_frames(&mut mesh, now)?;
        }
        // What is due is done in few rounds.
        (0..3).for_each(|_| mesh.handle_timeout(now));
        prop_assert!(mesh.poll_timeout().is_none_or(|due| due > now));
        // A second later everything is told; without links nobody is left after a few minutes.
        now += Duration::from_secs(1);
        mesh.handle_timeout(now);
        while let Some(event) = mesh.poll_event() {
            if let MeshEvent::Unreachable { node } = event {
                reachable.remove(&node);
            }
        }
        prop_assert!(reachable.iter().all(|node| mesh.is_reachable(*node)));
        (0..4).for_each(|link| mesh.remove_link(now, LinkId(link)));
        for _ in 0..30 {
            now += Duration::from_secs(30);
            mesh.handle_timeout(now);
            check_frames(&mut mesh, now)?;
        }
        let sizes = mesh.sizes();
        prop_assert_eq!((sizes.neighbours, sizes.destinations, sizes.routes), (0, 0, 0), "{:?}", sizes);
        prop_assert_eq!((sizes.identities, sizes.pending, sizes.feasibility), (0, 0, 0), "{:?}", sizes);
        prop_assert_eq!((sizes.requests, mesh.told.len()), (0, 0), "{:?}", sizes);
    }
}
