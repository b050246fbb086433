//! A room among nodes that come and go, are invited, join, leave and are removed: its members agree on who they are, and miss nothing that
//! was written to them.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rand::RngExt;
use rand::seq::IteratorRandom;

use super::node::id_of;
use super::world::{Happening, Plan, World};
use super::{HOUR, number};
use crate::message::identity::IdentityKey;
use crate::message::room::RoomCommand;
use crate::types::{NodeId, RoomId, RoomInfo, RoomStanding};

/// Seconds between two acts, on average.
const PACE: f64 = 1.5;

const NONCE: [u8; 16] = [7; 16];

/// The key of the first node, which owns the room.
pub(super) fn owner_key() -> IdentityKey {
    let pem = include_str!("../../../../../tests/keys/message/rsa2048.pem");
    IdentityKey::from_pem(pem, None).unwrap()
}

/// What a node has asked of the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super::sim) enum Act {
    Create,
    Invite(usize),
    Remove(usize),
    Join,
    Leave,
    Write,
}

/// What has happened to the room.
#[derive(Debug, Default)]
pub(in super::super::sim) struct RoomLog {
    acts_left: u32,
    /// Nodes that may have left, or may have been removed, at any time; and of these the removed ones.
    unsteady: BTreeSet<usize>,
    removed: BTreeSet<usize>,
    /// Those whom the owner has removed, and not invited again.
    out: BTreeSet<usize>,
}

impl World {
    fn open_room(&mut self, acts: u32) {
        self.room.acts_left = acts;
        let owner_key = owner_key().spki_der().to_vec();
        let name = "hikers".parse().unwrap();
        self.command(0, Act::Create, RoomCommand::Create { nonce: NONCE, owner_key, name });
        self.later(PACE, Happening::Room);
    }

    fn room_id(&self) -> RoomId {
        RoomCommand::room_id(self.nodes[0].id, &NONCE)
    }

    fn info(&self, node: usize) -> Option<RoomInfo> {
        let running = self.nodes[node].running.as_ref()?;
        running.messenger.rooms().find(|info| info.id == self.room_id())
    }

    fn index_of(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id)
    }

    fn command(&mut self, node: usize, act: Act, command: RoomCommand) {
        let number = self.nodes[node].last_number + 1;
        let id = id_of(node, number);
        if self.with(node, |messenger, now| messenger.room_command(now.wall, id, command)) == Some(Ok(())) {
            self.nodes[node].last_number = number;
            self.nodes[node].acts.insert(id, act);
        }
    }

    pub(in super::super::sim) fn act_in_room(&mut self) {
        if self.room.acts_left == 0 {
            return;
        }
        self.later(PACE, Happening::Room);
        self.room.acts_left -= 1;
        let room = self.room_id();
        let act = self.rng.random_range(0..100);
        let node = self.rng.random_range(1..self.nodes.len());
        let standing = |world: &Self, node| world.info(node).map(|info| info.standing);
        let writes = |text: &str| RoomCommand::Send { room, text: text.to_owned(), expires: None };
        match act {
            // Now and then somebody without a right to.
            0..25 => self.command(0, Act::Invite(node), RoomCommand::Invite(room, self.nodes[node].id)),
            25..28 => {
                self.room.unsteady.insert(node);
                self.room.removed.insert(node);
                self.command(0, Act::Remove(node), RoomCommand::Remove(room, self.nodes[node].id));
            }
            28..31 => {
                self.room.unsteady.insert(node);
                self.command(node, Act::Leave, RoomCommand::Leave(room));
            }
            31..60 => {
                let is_invited = |node: &usize| standing(self, *node) == Some(RoomStanding::Invited);
                let invited: Vec<_> = (1..self.nodes.len()).filter(is_invited).collect();
                let invited = invited.into_iter().choose(&mut self.rng);
                invited.into_iter().for_each(|node| self.command(node, Act::Join, RoomCommand::Join(room)));
            }
            60..70 => self.command(0, Act::Write, writes("the owner says")),
            _ => self.command(node, Act::Write, writes("a member says")),
        }
    }

    /// Takes up what a node has carried out.
    pub(in super::super::sim) fn note_acts(&mut self, node: usize) {
        for act in std::mem::take(&mut self.nodes[node].done) {
            match act {
                Act::Invite(other) => drop(self.room.out.remove(&other)),
                Act::Remove(other) => drop(self.room.out.insert(other)),
                Act::Write if node == 0 => {
                    let owner = &self.nodes[0];
                    let latest = owner.readers.last_key_value().map(|(_, readers)| readers);
                    let out = self.room.out.iter().map(|out| self.nodes[*out].id);
                    let read = out.filter(|out| latest.is_some_and(|readers| readers.contains(out)));
                    assert_eq!(read.count(), 0, "the owner writes to somebody whom it has removed");
                }
                Act::Create | Act::Join | Act::Leave | Act::Write => {}
            }
        }
    }

    /// All members know the same, and nobody else takes part.
    fn check_agreement(&self) {
        let owners = self.info(0).expect("the owner knows its room");
        let members: BTreeSet<_> = owners.members.iter().filter_map(|id| self.index_of(*id)).collect();
        for node in 1..self.nodes.len() {
            let info = self.info(node);
            let takes_part = info.as_ref().is_some_and(|info| info.standing == RoomStanding::Member);
            assert_eq!(takes_part, members.contains(&node), "{node}: {info:?}, the owner: {owners:?}");
            if let Some(info) = info.filter(|_| takes_part) {
                assert_eq!((info.version, &info.members), (owners.version, &owners.members), "{node}");
            }
        }
    }

    /// Who gets what: nothing but what was written to it, and all of it as long as both have stayed.
    fn check_texts(&self) -> usize {
        let mut due = 0;
        let mut written = BTreeMap::new();
        for (author, node) in self.nodes.iter().enumerate() {
            for (id, readers) in &node.readers {
                for reader in readers.iter().filter_map(|id| self.index_of(*id)) {
                    written.insert((reader, node.id, *id), ());
                    if self.room.removed.contains(&author) || self.room.unsteady.contains(&reader) {
                        continue;
                    }
                    due += 1;
                    let shown = self.nodes[reader].shown_in_room.contains(&(node.id, *id));
                    assert!(shown, "{reader} misses {id:?} of {author}");
                }
            }
        }
        for (reader, node) in self.nodes.iter().enumerate() {
            for (author, id) in &node.shown_in_room {
                assert!(written.contains_key(&(reader, *author, *id)), "{reader} was shown {id:?}");
            }
        }
        due
    }
}

fn run(plan: Plan, acts: u32) -> (usize, usize) {
    let mut world = World::new(plan);
    world.nodes[0].id = owner_key().node_id();
    world.restart_all();
    world.open_room(acts);
    assert!(world.run_until(24 * HOUR, |world| world.room.acts_left == 0), "the room is not used up");
    world.calm_down();
    assert!(world.run_until(3 * HOUR, World::is_quiet), "messages are stuck:\n{}", world.describe());
    world.restart_all();
    assert!(world.run_until(HOUR, World::is_quiet), "messages are stuck:\n{}", world.describe());
    world.run_until(Duration::from_secs(60), |_| false);
    world.check_agreement();
    let members = world.info(0).map_or(0, |info| info.members.len());
    (members, world.check_texts())
}

#[test]
fn members_of_a_room_agree_and_miss_nothing() {
    let nodes = number("ROOM_NODES").map_or(50, |nodes| nodes as usize);
    let seeds = number("SIM_SEED").map_or(0..3, |seed| seed..seed + 1);
    let (mut members, mut due) = (0, 0);
    for seed in seeds.clone() {
        let plan = Plan { nodes, mailboxes: 6, messages: 0, trouble: 24.0 / nodes as f64, pace: 10.0, seed };
        let result = catch_unwind(AssertUnwindSafe(|| run(plan, 400)));
        let result = result.unwrap_or_else(|_| panic!("{plan:?}: replay with SIM_SEED={seed}"));
        members += result.0;
        due += result.1;
        eprintln!("seed {seed}: {} members at the end, {} texts were due", result.0, result.1);
    }
    let runs = (seeds.end - seeds.start) as usize;
    // One room may happen to be small.
    let is_enough = members > runs * nodes / 3 && due > runs * 150;
    assert!(is_enough || runs == 1, "the simulation exercises something");
}
