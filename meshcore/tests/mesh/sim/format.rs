//! Scenarios as text.
//!
//! One statement a line; `#` starts a comment; nodes are declared before they are named. OPTIONS are `key=value`:
//! `loss=5%`, `duplicate=1%`, `delay=2ms`, `jitter=1ms`, and for a medium also `mtu=1500`, `bandwidth=1M` (bits a
//! second), `queue=64k` (bytes that wait at a sender) and `name=NAME`. Times have a unit: `us`, `ms`, `s` or `m`.
//!
//! ```text
//! seed 7                          what chance draws from; SIM_SEED=n overrides it
//! node a b c                      declares nodes; `nodes 20` declares n0 to n19
//! link a b OPTIONS                a cable of their own
//! oneway a b OPTIONS              one on which only b hears a
//! segment a b c OPTIONS           a wire: all hear each other
//! radio a-b b-c c>a OPTIONS       a channel: a and b hear each other, a hears c; statements with one name add up
//! at 30s cut a b                  nothing passes any more, and no interface notices; `cut a>b`: only that way
//! at 40s mend a b                 undoes it
//! at 40s set a b OPTIONS          new quality on all media that both have; what is not named gets its default
//! at 50s partition a b | c        cuts between the groups; who is not named forms another one
//! at 60s heal                     undoes all cuts
//! at 70s unplug a MEDIUM          the interface goes down, and its node is told; `plug a MEDIUM` undoes it
//! at 80s crash a                  stops without a word; `leave a`: with one
//! at 90s restart a with-disk      or without-disk: its identity number comes from its clock
//! at 95s clock a -3600s           the wall clock jumps
//! flow a b every 100ms from 10s to 20s    probe frames, answered by b
//! end 120s                        when everybody who has a path must be reached
//! ```

use std::fmt;
use std::time::Duration;

use super::scenario::{Change, Flow, Kind, Medium, Quality, Scenario};

/// What is wrong with a line, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FormatError {
    line: usize,
    what: String,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

type Result<T> = std::result::Result<T, String>;

const STATEMENTS: &str = "seed, node, nodes, link, oneway, segment, radio, at, flow or end";
const CHANGES: &str = "cut, mend, set, partition, heal, unplug, plug, crash, leave, restart or clock";

/// Reads a scenario.
pub(crate) fn parse(text: &str) -> std::result::Result<Scenario, FormatError> {
    let mut scenario = Scenario::of_nodes(0, 0);
    for (index, line) in text.lines().enumerate() {
        let statement = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = statement.split_whitespace().collect();
        let Some((verb, rest)) = words.split_first() else { continue };
        parse_statement(&mut scenario, verb, rest).map_err(|what| FormatError { line: index + 1, what })?;
    }
    if let Some((at, _)) = scenario.events.iter().find(|(at, _)| *at > scenario.end) {
        let what = format!(
            "an event at {at:?} comes after the end at {:?}: write `end` with a later time",
            scenario.end
        );
        return Err(FormatError { line: text.lines().count(), what });
    }
    Ok(scenario)
}

fn parse_statement(scenario: &mut Scenario, verb: &str, rest: &[&str]) -> Result<()> {
    match verb {
        "seed" => {
            scenario.seed = one(rest, "seed 7")?.parse().map_err(|_| "the seed must be a number: seed 7")?;
        }
        "node" => rest.iter().try_for_each(|name| declare(scenario, name))?,
        "nodes" => {
            let count: usize = one(rest, "nodes 20")?.parse().map_err(|_| "expected a number: nodes 20")?;
            (0..count).try_for_each(|index| declare(scenario, &format!("n{index}")))?;
        }
        "link" | "oneway" | "segment" | "radio" => parse_medium(scenario, verb, rest)?,
        "at" => {
            let [time, verb, rest @ ..] = rest else {
                return Err("expected a time and a change: at 30s cut a b".into());
            };
            let change = parse_change(scenario, verb, rest)?;
            scenario.events.push((parse_time(time)?, change));
        }
        "flow" => {
            let flow = parse_flow(scenario, rest)?;
            scenario.flows.push(flow);
        }
        "end" => scenario.end = parse_time(one(rest, "end 120s")?)?,
        other => return Err(format!("unknown statement `{other}`: write {STATEMENTS}")),
    }
    Ok(())
}

fn one<'a>(rest: &[&'a str], example: &str) -> Result<&'a str> {
    match rest {
        [word] => Ok(word),
        _ => Err(format!("expected one word: {example}")),
    }
}

fn declare(scenario: &mut Scenario, name: &str) -> Result<()> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("`{name}` is no name of a node: use letters, digits and _"));
    }
    if scenario.names.iter().any(|known| known == name) {
        return Err(format!("node `{name}` is declared twice: take one declaration away"));
    }
    scenario.names.push(name.to_owned());
    Ok(())
}

fn node(scenario: &Scenario, name: &str) -> Result<usize> {
    let found = scenario.names.iter().position(|known| known == name);
    found.ok_or_else(|| format!("unknown node `{name}`: declare it above with `node {name}`"))
}

fn medium(scenario: &Scenario, name: &str) -> Result<usize> {
    let found = scenario.media.iter().position(|medium| medium.name == name);
    found.ok_or_else(|| format!("unknown medium `{name}`: give one the option name={name}"))
}

/// Two nodes as `a b`, or in one word as `a-b`; `a>b` is one way only.
fn pair(scenario: &Scenario, words: &[&str]) -> Result<(usize, usize, bool)> {
    let (from, to, both_ways) = match words {
        [from, to] => (*from, *to, true),
        [word] => match (word.split_once('>'), word.split_once('-')) {
            (Some((from, to)), _) => (from, to, false),
            (None, Some((from, to))) => (from, to, true),
            _ => return Err(format!("`{word}` is no pair: write a-b, or a>b for one way")),
        },
        _ => return Err("expected two nodes: a b, or a>b for one way".into()),
    };
    let (from, to) = (node(scenario, from)?, node(scenario, to)?);
    if from == to {
        return Err("a node cannot be paired with itself: name two different ones".into());
    }
    Ok((from, to, both_ways))
}

fn split_options<'a>(words: &[&'a str]) -> (Vec<&'a str>, Vec<(&'a str, &'a str)>) {
    let plain = words.iter().filter(|word| !word.contains('=')).copied().collect();
    (plain, words.iter().filter_map(|word| word.split_once('=')).collect())
}

fn parse_medium(scenario: &mut Scenario, verb: &str, rest: &[&str]) -> Result<()> {
    let (words, options) = split_options(rest);
    let kind = match verb {
        "segment" => Kind::Segment,
        "radio" => Kind::Radio,
        _ => Kind::Link,
    };
    let name = options.iter().find(|(key, _)| *key == "name").map(|(_, name)| *name);
    let number = match name.and_then(|name| scenario.media.iter().position(|medium| medium.name == name)) {
        Some(number) if kind == Kind::Radio && scenario.media[number].kind == kind => number,
        Some(_) => return Err("the name is taken: choose another one".to_string()),
        None => scenario.add(kind),
    };
    if let Some(name) = name {
        scenario.media[number].name = name.to_owned();
    }
    let mut quality = Quality::default();
    for (key, value) in options {
        let known = parse_quality(&mut quality, key, value)?
            || parse_limit(&mut scenario.media[number], key, value)?
            || key == "name";
        if !known {
            return Err(format!(
                "unknown option `{key}`: write loss, duplicate, delay, jitter, mtu, bandwidth, queue or name"
            ));
        }
    }
    match kind {
        Kind::Link => {
            let (from, to, both_ways) = pair(scenario, &words)?;
            scenario.media[number].hear(from, to, both_ways && verb == "link", quality);
        }
        Kind::Segment => {
            for word in words {
                let node = node(scenario, word)?;
                scenario.media[number].join(node);
            }
            scenario.media[number].quality = quality;
        }
        Kind::Radio => {
            for word in words {
                let (from, to, both_ways) = pair(scenario, &[word])?;
                scenario.media[number].hear(from, to, both_ways, quality);
            }
        }
    }
    Ok(())
}

fn parse_quality(quality: &mut Quality, key: &str, value: &str) -> Result<bool> {
    match key {
        "loss" => quality.loss = parse_share(value)?,
        "duplicate" => quality.duplicate = parse_share(value)?,
        "delay" => quality.delay = parse_time(value)?,
        "jitter" => quality.jitter = parse_time(value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn parse_limit(medium: &mut Medium, key: &str, value: &str) -> Result<bool> {
    match key {
        "mtu" => medium.mtu = parse_size(value)? as usize,
        "bandwidth" => medium.bandwidth = Some(parse_size(value)?.max(1)),
        "queue" => medium.queue = parse_size(value)? as usize,
        _ => return Ok(false),
    }
    Ok(true)
}

fn parse_change(scenario: &Scenario, verb: &str, rest: &[&str]) -> Result<Change> {
    Ok(match (verb, rest) {
        ("cut", words) => {
            let (from, to, both_ways) = pair(scenario, words)?;
            Change::Cut { from, to, both_ways }
        }
        ("mend", words) => {
            let (from, to, both_ways) = pair(scenario, words)?;
            Change::Mend { from, to, both_ways }
        }
        ("set", words) => {
            let (words, options) = split_options(words);
            let (from, to, both_ways) = pair(scenario, &words)?;
            let mut quality = Quality::default();
            for (key, value) in options {
                if !parse_quality(&mut quality, key, value)? {
                    return Err(format!("`{key}` cannot be set: write loss, duplicate, delay or jitter"));
                }
            }
            Change::Set { from, to, both_ways, quality }
        }
        ("partition", words) => {
            let groups = words.split(|word| *word == "|");
            let of = |words: &[&str]| words.iter().map(|name| node(scenario, name)).collect();
            Change::Partition(groups.map(of).collect::<Result<_>>()?)
        }
        ("heal", []) => Change::Heal,
        ("unplug", [name, at]) => {
            Change::Unplug { node: node(scenario, name)?, medium: medium(scenario, at)? }
        }
        ("plug", [name, at]) => Change::Plug { node: node(scenario, name)?, medium: medium(scenario, at)? },
        ("crash", [name]) => Change::Crash(node(scenario, name)?),
        ("leave", [name]) => Change::Leave(node(scenario, name)?),
        ("restart", [name, disk @ ("with-disk" | "without-disk")]) => {
            Change::Restart { node: node(scenario, name)?, with_disk: *disk == "with-disk" }
        }
        ("clock", [name, jump]) => {
            let seconds = jump.strip_suffix('s').and_then(|seconds| seconds.parse().ok());
            let seconds = seconds.ok_or_else(|| format!("`{jump}` is no jump: write -3600s"))?;
            Change::Clock { node: node(scenario, name)?, seconds }
        }
        ("heal", _) => return Err("`heal` stands alone: at 60s heal".into()),
        ("unplug" | "plug", _) => return Err(format!("expected a node and a medium: at 70s {verb} a lan1")),
        ("crash" | "leave", _) => return Err(format!("expected one node: at 80s {verb} a")),
        ("restart", _) => return Err("expected: at 90s restart a with-disk, or without-disk".into()),
        ("clock", _) => return Err("expected: at 95s clock a -3600s".into()),
        _ => return Err(format!("unknown change `{verb}`: write {CHANGES}")),
    })
}

fn parse_flow(scenario: &Scenario, rest: &[&str]) -> Result<Flow> {
    let [a, b, "every", every, "from", start, "to", end] = rest else {
        return Err("expected: flow a b every 100ms from 10s to 20s".into());
    };
    let (from, to, _) = pair(scenario, &[a, b])?;
    let (every, start, end) = (parse_time(every)?, parse_time(start)?, parse_time(end)?);
    if every.is_zero() {
        return Err("a flow cannot send every 0s: write a longer interval".into());
    }
    Ok(Flow { from, to, every, start, end })
}

/// `5%`, with up to four digits behind the point.
fn parse_share(text: &str) -> Result<u32> {
    let percent: Option<f64> = text.strip_suffix('%').and_then(|number| number.parse().ok());
    match percent {
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok((percent * 1e4).round() as u32),
        _ => Err(format!("`{text}` is no share: write 0% to 100%")),
    }
}

fn parse_time(text: &str) -> Result<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let micros = match &text[digits..] {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        _ => return Err(format!("`{text}` is no time: write a whole number with us, ms, s or m")),
    };
    let number: Option<u64> = text[..digits].parse().ok();
    let total = number.and_then(|number| number.checked_mul(micros));
    total.map(Duration::from_micros).ok_or_else(|| format!("`{text}` is no time: write 30s"))
}

fn parse_size(text: &str) -> Result<u64> {
    let factor = match text.chars().last() {
        Some('k') => 1_000,
        Some('M') => 1_000_000,
        Some('G') => 1_000_000_000,
        _ => 1,
    };
    let number: Option<u64> = text.trim_end_matches(['k', 'M', 'G']).parse().ok();
    let total = number.and_then(|number| number.checked_mul(factor));
    total.ok_or_else(|| format!("`{text}` is no size: write a whole number, with k, M or G if you like"))
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
