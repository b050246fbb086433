//! Writes scenarios in the format that [`super::format`] reads: what failed can be kept in a file and replayed.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::scenario::{Change, Kind, Medium, Quality, Scenario};

impl Display for Scenario {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        for names in self.names.chunks(20) {
            writeln!(f, "node {}", names.join(" "))?;
        }
        for medium in &self.media {
            self.write_medium(f, medium)?;
        }
        for (at, change) in &self.events {
            write!(f, "at {} ", Time(*at))?;
            self.write_change(f, change)?;
            writeln!(f)?;
        }
        for flow in &self.flows {
            let (from, to) = (&self.names[flow.from], &self.names[flow.to]);
            let (every, start, end) = (Time(flow.every), Time(flow.start), Time(flow.end));
            writeln!(f, "flow {from} {to} every {every} from {start} to {end}")?;
        }
        writeln!(f, "end {}", Time(self.end))
    }
}

impl Scenario {
    fn write_medium(&self, f: &mut Formatter<'_>, medium: &Medium) -> fmt::Result {
        match medium.kind {
            Kind::Segment => {
                write!(f, "segment")?;
                medium.members.iter().try_for_each(|node| write!(f, " {}", self.names[*node]))?;
                write_options(f, medium, &medium.quality)
            }
            Kind::Link => medium.hearings.iter().try_for_each(|hearing| {
                let verb = if hearing.both_ways { "link" } else { "oneway" };
                write!(f, "{verb} {} {}", self.names[hearing.from], self.names[hearing.to])?;
                write_options(f, medium, &hearing.quality)
            }),
            Kind::Radio => {
                let alike =
                    |a: &super::scenario::Hearing, b: &super::scenario::Hearing| a.quality == b.quality;
                for run in medium.hearings.chunk_by(alike) {
                    write!(f, "radio")?;
                    for hearing in run {
                        let (from, to) = (&self.names[hearing.from], &self.names[hearing.to]);
                        write!(f, " {}", Pair(from, to, hearing.both_ways, '-'))?;
                    }
                    write_options(f, medium, &run[0].quality)?;
                }
                Ok(())
            }
        }
    }

    fn pair(&self, from: usize, to: usize, both_ways: bool) -> Pair<'_> {
        Pair(&self.names[from], &self.names[to], both_ways, ' ')
    }

    fn write_change(&self, f: &mut Formatter<'_>, change: &Change) -> fmt::Result {
        let name = |node: &usize| &self.names[*node];
        match change {
            Change::Cut { from, to, both_ways } => write!(f, "cut {}", self.pair(*from, *to, *both_ways)),
            Change::Mend { from, to, both_ways } => write!(f, "mend {}", self.pair(*from, *to, *both_ways)),
            Change::Set { from, to, both_ways, quality } => {
                write!(f, "set {}", self.pair(*from, *to, *both_ways))?;
                write_quality(f, quality)
            }
            Change::Partition(groups) => {
                let group =
                    |nodes: &Vec<usize>| nodes.iter().map(|n| name(n).as_str()).collect::<Vec<_>>().join(" ");
                write!(f, "partition {}", groups.iter().map(group).collect::<Vec<_>>().join(" | "))
            }
            Change::Heal => write!(f, "heal"),
            Change::Unplug { node, medium } => {
                write!(f, "unplug {} {}", name(node), self.media[*medium].name)
            }
            Change::Plug { node, medium } => write!(f, "plug {} {}", name(node), self.media[*medium].name),
            Change::Crash(node) => write!(f, "crash {}", name(node)),
            Change::Leave(node) => write!(f, "leave {}", name(node)),
            Change::Restart { node, with_disk } => {
                write!(f, "restart {} {}", name(node), if *with_disk { "with-disk" } else { "without-disk" })
            }
            Change::Clock { node, seconds } => write!(f, "clock {} {seconds}s", name(node)),
        }
    }
}

struct Pair<'a>(&'a str, &'a str, bool, char);

impl Display for Pair<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(from, to, both_ways, between) = self;
        write!(f, "{from}{}{to}", if *both_ways { *between } else { '>' })
    }
}

struct Time(Duration);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.as_micros() {
            micros if micros % 1_000_000 == 0 => write!(f, "{}s", micros / 1_000_000),
            micros if micros % 1_000 == 0 => write!(f, "{}ms", micros / 1_000),
            micros => write!(f, "{micros}us"),
        }
    }
}

/// Only what is not the default.
fn write_quality(f: &mut Formatter<'_>, quality: &Quality) -> fmt::Result {
    let default = Quality::default();
    if quality.loss != default.loss {
        write!(f, " loss={}%", f64::from(quality.loss) / 1e4)?;
    }
    if quality.duplicate != default.duplicate {
        write!(f, " duplicate={}%", f64::from(quality.duplicate) / 1e4)?;
    }
    if quality.delay != default.delay {
        write!(f, " delay={}", Time(quality.delay))?;
    }
    if quality.jitter != default.jitter {
        write!(f, " jitter={}", Time(quality.jitter))?;
    }
    Ok(())
}

fn write_options(f: &mut Formatter<'_>, medium: &Medium, quality: &Quality) -> fmt::Result {
    let default = Medium::new("", medium.kind);
    write_quality(f, quality)?;
    if medium.mtu != default.mtu {
        write!(f, " mtu={}", medium.mtu)?;
    }
    if let Some(bandwidth) = medium.bandwidth {
        write!(f, " bandwidth={bandwidth}")?;
    }
    if medium.queue != default.queue {
        write!(f, " queue={}", medium.queue)?;
    }
    writeln!(f, " name={}", medium.name)
}
