//! Makes a scenario that fails smaller, so that a person can read it.

use crate::sim::scenario::{Change, Scenario};

/// Takes away whatever is not needed for `fails` to hold, until nothing more can be.
pub(crate) fn shrink(mut scenario: Scenario, fails: impl Fn(&Scenario) -> bool) -> Scenario {
    loop {
        let smaller = candidates(&scenario).find(|candidate| fails(candidate));
        let Some(smaller) = smaller else { return scenario };
        scenario = smaller;
    }
}

fn without<T: Clone>(items: &[T], index: usize) -> Vec<T> {
    let mut rest = items.to_vec();
    rest.remove(index);
    rest
}

/// Scenarios that lack one thing.
fn candidates(scenario: &Scenario) -> impl Iterator<Item = Scenario> + '_ {
    let events = (0..scenario.events.len())
        .map(|index| Scenario { events: without(&scenario.events, index), ..scenario.clone() });
    let flows = (0..scenario.flows.len())
        .map(|index| Scenario { flows: without(&scenario.flows, index), ..scenario.clone() });
    let media = (0..scenario.media.len()).rev().filter_map(|index| without_medium(scenario, index));
    let hearings = scenario.media.iter().enumerate().flat_map(|(medium, of)| {
        (0..of.hearings.len()).filter(|_| of.hearings.len() > 1).map(move |index| (medium, index))
    });
    let hearings = hearings.map(|(medium, index)| {
        let mut smaller = scenario.clone();
        let medium = &mut smaller.media[medium];
        medium.hearings.remove(index);
        medium.members.retain(|node| medium.hearings.iter().any(|h| h.from == *node || h.to == *node));
        smaller
    });
    let members = scenario.media.iter().enumerate().flat_map(|(medium, of)| {
        (0..of.members.len())
            .filter(|_| of.hearings.is_empty() && of.members.len() > 2)
            .map(move |index| (medium, index))
    });
    let members = members.map(|(medium, index)| {
        let mut smaller = scenario.clone();
        smaller.media[medium].members.remove(index);
        smaller
    });
    events.chain(flows).chain(media).chain(hearings).chain(members)
}

fn without_medium(scenario: &Scenario, index: usize) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    smaller.media.remove(index);
    for (_, change) in &mut smaller.events {
        if let Change::Plug { medium, .. } | Change::Unplug { medium, .. } = change {
            match (*medium).cmp(&index) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return None,
                std::cmp::Ordering::Greater => *medium -= 1,
            }
        }
    }
    Some(smaller)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::format::parse;

    #[test]
    fn only_what_is_needed_is_left() {
        let text = "node a b c\nlink a b\nlink b c\nsegment a b c name=lan\nat 1s heal\nat 2s crash b\nat 3s unplug a lan";
        let fails = |scenario: &Scenario| {
            scenario.events.iter().any(|(_, change)| *change == Change::Crash(1))
                && scenario.media.iter().any(|medium| medium.members == [0, 1])
        };
        let small = shrink(parse(text).unwrap(), fails);
        assert_eq!((small.events.len(), small.media.len()), (1, 1), "{small}");
    }
}
