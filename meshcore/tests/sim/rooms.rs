//! A room among whole nodes, on a wire that loses, doubles, changes and reorders frames, while some of them crash.

use meshcore::message::room::RoomCommand;
use meshcore::node::Event;
use meshcore::types::{RoomId, RoomInfo, RoomStanding, Status};
use meshcore::{IncomingMessage, MailboxConfig};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::net::{Faults, World};
use crate::{ALICE, BOB, CAROL, SECOND, for_seeds, is_present};

const DAVE: &str = include_str!("../keys/message/rsa4096.pem");

const OWNER: usize = 0;
const MEMBERS: [usize; 3] = [OWNER, 1, 2];
const MAILBOX: usize = 3;

/// Texts of each member.
const TEXTS: usize = 12;

struct Run {
    world: World,
    random: StdRng,
    room: RoomId,
    /// What each member was shown, over all its lives.
    shown: [Vec<(usize, String)>; 3],
    /// How many texts each has written.
    written: [usize; 3],
    /// How many copies of each author's a mailbox has taken.
    stored: [usize; 3],
}

impl Run {
    /// All have met, and the owner has made the room.
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, &[ALICE, BOB, CAROL, DAVE], Faults::HARSH);
        world.stations[MAILBOX].mailbox = Some(MailboxConfig::default());
        (0..4).for_each(|at| world.start(at));
        let ids: Vec<_> = world.stations.iter().map(|station| station.id).collect();
        let met = world.run_until(120 * SECOND, |world| {
            (0..4).all(|at| ids.iter().all(|id| *id == ids[at] || is_present(world, at, *id)))
        });
        assert!(met, "the nodes have not found each other");
        let name = "hikers".parse().unwrap();
        let (_, room) = world.with(OWNER, |stack, now| stack.create_room(now, name)).unwrap();
        let random = StdRng::seed_from_u64(seed);
        Self { world, random, room, shown: Default::default(), written: [0; 3], stored: [0; 3] }
    }

    fn info(&self, at: usize) -> Option<RoomInfo> {
        let rooms = self.world.stations[at].stack.as_ref()?.rooms();
        rooms.into_iter().find(|room| room.id == self.room)
    }

    fn command(&mut self, at: usize, command: RoomCommand) {
        self.world.with(at, |stack, now| stack.room_command(now, command)).unwrap();
    }

    fn write(&mut self, at: usize) {
        let text = format!("{at} {:03}", self.written[at]);
        self.written[at] += 1;
        self.command(at, RoomCommand::Send { room: self.room, text, expires: None });
    }

    fn take(&mut self) {
        for at in MEMBERS {
            let events: Vec<_> = self.world.stations[at].seen.drain(..).collect();
            for event in events {
                if matches!(event, Event::Status { status: Status::Stored, .. }) {
                    self.stored[at] += 1;
                }
                let Event::Message(IncomingMessage { arrival, from, room, text, .. }) = event else {
                    continue;
                };
                assert_eq!(room, Some(self.room));
                let author = MEMBERS.into_iter().find(|at| self.world.stations[*at].id == from).unwrap();
                self.shown[at].push((author, text));
                self.world.stations[at].disk.confirm(arrival);
                if self.world.stations[at].stack.is_some() {
                    self.world.with(at, |stack, now| stack.handle_confirmed(now, arrival));
                }
            }
        }
    }

    fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..3000 {
            if done(self) {
                return;
            }
            self.world.run_until(SECOND / 10, |_| false);
            self.take();
        }
        panic!("{what}: {:?}", MEMBERS.map(|at| self.info(at)));
    }

    /// A member crashes and starts again, most of the time.
    fn trouble(&mut self) {
        let at = MEMBERS[self.random.random_range(0..3)];
        self.take();
        self.world.crash(at);
        self.world.run_until(SECOND * self.random.random_range(0..6), |_| false);
        self.world.start(at);
    }

    fn has_all(&self, at: usize) -> bool {
        let others: usize =
            MEMBERS.into_iter().filter(|other| *other != at).map(|other| self.written[other]).sum();
        self.shown[at].len() >= others
    }
}

#[test]
fn a_room_survives_a_bad_wire_and_crashes() {
    for_seeds(10, |seed| {
        let mut run = Run::new(seed);
        run.wait("the room is signed", |run| run.info(OWNER).is_some_and(|room| room.version == 1));
        for guest in [1, 2] {
            let node = run.world.stations[guest].id;
            run.command(OWNER, RoomCommand::Invite(run.room, node));
        }
        run.wait("both are invited", |run| run.info(OWNER).is_some_and(|room| room.invited.len() == 2));
        run.trouble();
        let standing = |run: &Run, at| run.info(at).map(|room| room.standing);
        for guest in [1, 2] {
            run.wait("invited", |run| standing(run, guest) == Some(RoomStanding::Invited));
            run.command(guest, RoomCommand::Join(run.room));
            run.wait("asked", |run| standing(run, guest) != Some(RoomStanding::Invited));
        }
        run.trouble();
        run.wait("all are members of the same room", |run| {
            let lists = MEMBERS.map(|at| run.info(at).map(|room| (room.version, room.members)));
            lists.iter().all(|list| *list == lists[0] && list.as_ref().is_some_and(|(_, all)| all.len() == 3))
                && MEMBERS.iter().all(|at| standing(run, *at) == Some(RoomStanding::Member))
        });

        for round in 0..TEXTS {
            MEMBERS.into_iter().for_each(|at| run.write(at));
            // What was accepted: the rest may be lost with a crash.
            run.wait("accepted", |run| {
                MEMBERS.iter().all(|at| run.world.stations[*at].answers.len() > round)
            });
            if round % 4 == 3 {
                run.trouble();
            }
        }
        run.wait("all have everything", |run| MEMBERS.iter().all(|at| run.has_all(*at)));

        // One is away, and the others are gone when it returns.
        run.world.crash(1);
        let away = run.world.stations[1].id;
        run.wait("missed", |run| !is_present(&run.world, OWNER, away) && !is_present(&run.world, 2, away));
        let stored = run.stored;
        [OWNER, 2].into_iter().for_each(|at| run.write(at));
        run.wait("kept", |run| [OWNER, 2].iter().all(|at| run.stored[*at] > stored[*at]));
        run.wait("read by those who are there", |run| run.has_all(OWNER) && run.has_all(2));
        run.world.crash(OWNER);
        run.world.crash(2);
        run.world.start(1);
        run.wait("read later", |run| run.has_all(1));

        run.world.run_until(30 * SECOND, |_| false);
        run.take();
        for at in MEMBERS {
            for author in MEMBERS.into_iter().filter(|author| *author != at) {
                let texts: Vec<_> =
                    run.shown[at].iter().filter(|(by, _)| *by == author).map(|(_, text)| text).collect();
                let expected: Vec<_> = (0..run.written[author]).map(|n| format!("{author} {n:03}")).collect();
                assert_eq!(texts, expected.iter().collect::<Vec<_>>(), "{at} reads {author}");
            }
        }
    });
}
