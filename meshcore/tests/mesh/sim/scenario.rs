//! What is simulated: nodes, the media between them, and what happens to both over time.

use std::time::Duration;

/// What happens to frames on the way from one station to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quality {
    /// Frames lost, per million.
    pub loss: u32,
    /// Frames that come twice, per million.
    pub duplicate: u32,
    /// Time on the way.
    pub delay: Duration,
    /// Added to the delay at random, which reorders frames.
    pub jitter: Duration,
}

impl Default for Quality {
    fn default() -> Self {
        Self { loss: 0, duplicate: 0, delay: Duration::from_micros(500), jitter: Duration::ZERO }
    }
}

/// How stations share a medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Two stations and a cable of their own.
    Link,
    /// A wire on which all stations hear each other.
    Segment,
    /// A channel on which a station is heard by some of the others.
    Radio,
}

/// Who is heard by whom on a link or a radio channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hearing {
    pub from: usize,
    pub to: usize,
    pub both_ways: bool,
    pub quality: Quality,
}

/// Something that stations send on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Medium {
    pub name: String,
    pub kind: Kind,
    /// Largest whole frame in bytes, mesh header included.
    pub mtu: usize,
    /// Bits a second at which a station sends; `None`: at once.
    pub bandwidth: Option<u64>,
    /// Bytes that wait at a station that sends faster; what does not fit is lost.
    pub queue: usize,
    /// Stations in ascending order, each once.
    pub members: Vec<usize>,
    /// Of a segment, between all of its stations.
    pub quality: Quality,
    /// Of a link or a radio channel.
    pub hearings: Vec<Hearing>,
}

impl Medium {
    pub(crate) fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            mtu: 1500,
            bandwidth: None,
            queue: 64 * 1024,
            members: Vec::new(),
            quality: Quality::default(),
            hearings: Vec::new(),
        }
    }

    pub(crate) fn join(&mut self, node: usize) {
        if let Err(place) = self.members.binary_search(&node) {
            self.members.insert(place, node);
        }
    }

    /// Lets two stations hear each other, or only `to` hear `from`.
    pub(crate) fn hear(&mut self, from: usize, to: usize, both_ways: bool, quality: Quality) {
        self.join(from);
        self.join(to);
        self.hearings.push(Hearing { from, to, both_ways, quality });
    }
}

/// A change of the world. Nodes are numbers into [`Scenario::names`], media into [`Scenario::media`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing passes between the two, on any medium; interfaces do not notice.
    Cut { from: usize, to: usize, both_ways: bool },
    /// Undoes cuts between the two, partitions included.
    Mend { from: usize, to: usize, both_ways: bool },
    /// The quality between the two on all media that they share.
    Set { from: usize, to: usize, both_ways: bool, quality: Quality },
    /// Cuts everything between nodes of different groups; who is in no group is a group together.
    Partition(Vec<Vec<usize>>),
    /// Undoes all cuts and partitions.
    Heal,
    /// The interface goes down, and its node is told.
    Unplug { node: usize, medium: usize },
    /// The interface comes back.
    Plug { node: usize, medium: usize },
    /// The node stops without a word.
    Crash(usize),
    /// The node stops and says so.
    Leave(usize),
    /// A stopped node starts; a running one crashes first.
    Restart { node: usize, with_disk: bool },
    /// The wall clock of the node jumps by so many seconds.
    Clock { node: usize, seconds: i64 },
}

/// Probe frames of one node to another, each answered by its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flow {
    pub from: usize,
    pub to: usize,
    pub every: Duration,
    pub start: Duration,
    pub end: Duration,
}

/// A whole simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub seed: u64,
    pub names: Vec<String>,
    pub media: Vec<Medium>,
    pub events: Vec<(Duration, Change)>,
    pub flows: Vec<Flow>,
    /// When the last event has to have its effect.
    pub end: Duration,
}

impl Scenario {
    /// `count` nodes called n0, n1, ... without a medium between them.
    pub(crate) fn of_nodes(seed: u64, count: usize) -> Self {
        Self {
            seed,
            names: (0..count).map(|index| format!("n{index}")).collect(),
            media: Vec::new(),
            events: Vec::new(),
            flows: Vec::new(),
            end: Duration::from_secs(60),
        }
    }

    /// Adds a medium with a name of its own, and tells its number.
    pub(crate) fn add(&mut self, kind: Kind) -> usize {
        let word = match kind {
            Kind::Link => "link",
            Kind::Segment => "segment",
            Kind::Radio => "radio",
        };
        let number = self.media.len();
        self.media.push(Medium::new(format!("{word}{number}"), kind));
        number
    }

    /// Adds a link between two nodes.
    pub(crate) fn link(&mut self, a: usize, b: usize, quality: Quality) -> usize {
        let number = self.add(Kind::Link);
        self.media[number].hear(a, b, true, quality);
        number
    }

    /// Adds an event; events may be added in any order.
    pub(crate) fn at(&mut self, time: Duration, change: Change) {
        self.events.push((time, change));
    }

    /// When the last event happens.
    pub(crate) fn last_event(&self) -> Duration {
        self.events.iter().map(|(at, _)| *at).max().unwrap_or_default()
    }
}
