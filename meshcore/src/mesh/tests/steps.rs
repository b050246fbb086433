//! Arbitrary sequences of calls.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::sim::{MTU, address, frame, station};
use crate::mesh::{Config, Mesh, MeshEvent};
use crate::types::{Address, Instant, LinkId};
use crate::wire::frame::{FrameHeader, FrameType};
use crate::wire::hello::Hello;

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
        total: u8,
        lists: bool,
        group: bool,
        station: u8,
        link: u8,
    },
    Bytes(Vec<u8>),
    Wait(u32),
    Known(u8, u8),
    Refused(u8),
    AddLink(u8),
    RemoveLink(u8),
    Leave,
}

fn step() -> impl Strategy<Value = Step> {
    let small = 0..4u8;
    prop_oneof![
        4 => (0..6u8, small.clone(), any::<bool>(), small.clone(), small.clone(), prop::collection::vec(any::<u8>(), 0..80))
            .prop_map(|(kind, source, to_us, station, link, payload)| Step::Frame { kind, source, to_us, station, link, payload }),
        12 => (small.clone(), small.clone(), prop_oneof![Just(0), Just(300), any::<u16>()], small.clone(), any::<bool>(), any::<bool>(), small.clone(), small.clone())
            .prop_map(|(source, instance, interval, total, lists, group, station, link)| Step::Hello { source, instance, interval, total, lists, group, station, link }),
        2 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Step::Bytes),
        8 => (0..5_000_000u32).prop_map(Step::Wait),
        2 => (small.clone(), small.clone()).prop_map(|(node, number)| Step::Known(node, number)),
        1 => small.clone().prop_map(Step::Refused),
        1 => small.clone().prop_map(Step::AddLink),
        1 => small.prop_map(Step::RemoveLink),
    ]
}

fn apply(mesh: &mut Mesh, now: &mut Instant, step: Step) {
    let (link_of, station_of) = (|n: u8| LinkId(n.into()), |n: u8| station(n.into()));
    match step {
        Step::Frame { kind, source, to_us, station, link, payload } => {
            let to = if to_us { address(0) } else { Address::EVERYONE };
            let mut bytes = frame(kind.into(), address(source.into()), to, &payload);
            let _ = mesh.handle_frame(*now, link_of(link), station_of(station), &mut bytes);
        }
        Step::Hello { source, instance, interval, total, lists, group, station, link } => {
            let seqno = mesh.links.get(&link_of(link)).map_or(0, |link| link.seqno);
            let hello = Hello {
                seqno: now.as_micros() as u16,
                interval,
                instance: instance.into(),
                record_number: 1,
                total: u16::from(total) + 1,
            };
            let mut payload = Vec::new();
            hello.emit(lists.then_some((address(0), seqno)), &mut payload);
            let to = if group { Address::EVERYONE } else { address(0) };
            let mut bytes = frame(FrameType::Hello, address(source.into()), to, &payload);
            let _ = mesh.handle_frame(*now, link_of(link), station_of(station), &mut bytes);
        }
        Step::Bytes(mut bytes) => {
            let _ = mesh.handle_frame(*now, LinkId(0), station(1), &mut bytes);
        }
        Step::Wait(micros) => {
            *now += Duration::from_micros(micros.into());
            mesh.handle_timeout(*now);
        }
        Step::Known(node, number) => mesh.identity_known(*now, address(node.into()), number.into()),
        Step::Refused(node) => mesh.identity_refused(*now, address(node.into())),
        Step::AddLink(link) => mesh.add_link(*now, link_of(link), MTU),
        Step::RemoveLink(link) => mesh.remove_link(*now, link_of(link)),
        Step::Leave => mesh.leave(*now),
    }
}

proptest! {
    /// Whatever comes in: no panic, events alternate and tell the truth, timers move on.
    #[test]
    fn any_sequence_of_calls_keeps_the_books(steps in prop::collection::vec(step(), 1..120), leave: bool) {
        let mut mesh = Mesh::new(Config::default(), address(0), 1, [7; 32]);
        mesh.set_own_record(vec![5; 10], 1);
        let mut now = Instant::from_micros(77);
        mesh.add_link(now, LinkId(0), MTU);
        let mut reachable = BTreeSet::new();
        let last = leave.then_some(Step::Leave);
        for step in steps.into_iter().chain(last).chain([Step::Wait(1)]) {
            apply(&mut mesh, &mut now, step);
            while let Some(event) = mesh.poll_event() {
                match event {
                    MeshEvent::Reachable { node, .. } => prop_assert!(reachable.insert(node)),
                    MeshEvent::Unreachable { node } => prop_assert!(reachable.remove(&node)),
                    _ => {}
                }
            }
            for node in 0..4 {
                prop_assert_eq!(mesh.is_reachable(address(node)), reachable.contains(&address(node)));
            }
            let mut out = vec![0xa5; 3];
            while let Some((link, _)) = mesh.poll_transmit(now, &mut out) {
                prop_assert!(mesh.links.contains_key(&link));
                prop_assert_eq!(&out[..3], &[0xa5; 3]);
                prop_assert!(FrameHeader::parse(&out[3..]).is_ok());
                out.truncate(3);
            }
        }
        // After a due time-out has been handled, nothing is due any more.
        mesh.handle_timeout(now);
        prop_assert!(mesh.poll_timeout().is_none_or(|due| due > now));
        let links: usize = mesh.links.values().map(|link| link.table.len()).sum();
        prop_assert_eq!(mesh.peers.values().map(|peer| peer.links).sum::<usize>(), links);
    }
}
