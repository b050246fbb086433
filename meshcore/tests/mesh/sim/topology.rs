//! Shapes of meshes. Every function adds media to a scenario that already has its nodes.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::scenario::{Kind, Quality, Scenario};

/// n0 - n1 - n2 - ...
pub(crate) fn line(seed: u64, count: usize, quality: Quality) -> Scenario {
    let mut scenario = Scenario::of_nodes(seed, count);
    for index in 1..count {
        scenario.link(index - 1, index, quality);
    }
    scenario
}

/// A line whose ends are linked.
pub(crate) fn ring(seed: u64, count: usize, quality: Quality) -> Scenario {
    let mut scenario = line(seed, count, quality);
    if count > 2 {
        scenario.link(count - 1, 0, quality);
    }
    scenario
}

/// Rows of nodes, each linked to those beside, above and below.
pub(crate) fn grid(seed: u64, columns: usize, rows: usize, quality: Quality) -> Scenario {
    let mut scenario = Scenario::of_nodes(seed, columns * rows);
    for index in 0..columns * rows {
        if index % columns + 1 < columns {
            scenario.link(index, index + 1, quality);
        }
        if index + columns < columns * rows {
            scenario.link(index, index + columns, quality);
        }
    }
    scenario
}

/// n0 linked to everybody else.
pub(crate) fn star(seed: u64, count: usize, quality: Quality) -> Scenario {
    let mut scenario = Scenario::of_nodes(seed, count);
    for index in 1..count {
        scenario.link(0, index, quality);
    }
    scenario
}

/// One wire for everybody.
pub(crate) fn segment(seed: u64, count: usize, quality: Quality) -> Scenario {
    segments(seed, &[count], quality)
}

/// Wires with so many stations each; the last station of a wire is also the first one of the next.
pub(crate) fn segments(seed: u64, sizes: &[usize], quality: Quality) -> Scenario {
    let shared = sizes.len().saturating_sub(1);
    let count = sizes.iter().sum::<usize>() - shared;
    let mut scenario = Scenario::of_nodes(seed, count);
    let mut first = 0;
    for size in sizes {
        let medium = scenario.add(Kind::Segment);
        scenario.media[medium].members = (first..first + size).collect();
        scenario.media[medium].quality = quality;
        first += size - 1;
    }
    scenario
}

/// Radio stations at random places of a square, in reach of `degree` others on average. Groups that would stay apart
/// are joined where they are closest, so that everybody has a path to everybody.
pub(crate) fn geometric(seed: u64, count: usize, degree: f64, quality: Quality) -> Scenario {
    let mut rng = StdRng::seed_from_u64(seed);
    let places: Vec<(f64, f64)> = (0..count).map(|_| (rng.random(), rng.random())).collect();
    let reach = (degree / (std::f64::consts::PI * count as f64)).sqrt();
    let mut scenario = Scenario::of_nodes(seed, count);
    let medium = scenario.add(Kind::Radio);
    let radio = &mut scenario.media[medium];
    (0..count).for_each(|index| radio.join(index));
    let mut groups: Vec<usize> = (0..count).collect();
    for a in 0..count {
        for b in a + 1..count {
            if distance(places[a], places[b]) <= reach {
                radio.hear(a, b, true, quality);
                unite(&mut groups, a, b);
            }
        }
    }
    while let Some((a, b)) = closest_of_two_groups(&places, &groups) {
        radio.hear(a, b, true, quality);
        unite(&mut groups, a, b);
    }
    scenario
}

fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

fn unite(groups: &mut [usize], a: usize, b: usize) {
    let (kept, gone) = (groups[a], groups[b]);
    groups.iter_mut().filter(|group| **group == gone).for_each(|group| *group = kept);
}

/// The pair with the shortest distance between the group of n0 and the others.
fn closest_of_two_groups(places: &[(f64, f64)], groups: &[usize]) -> Option<(usize, usize)> {
    let inside = (0..groups.len()).filter(|index| groups[*index] == groups[0]);
    let outside = |index: &usize| groups[*index] != groups[0];
    inside
        .flat_map(|a| (0..groups.len()).filter(outside).map(move |b| (a, b)))
        .min_by(|x, y| distance(places[x.0], places[x.1]).total_cmp(&distance(places[y.0], places[y.1])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn degrees(scenario: &Scenario) -> Vec<usize> {
        let mut degrees = vec![0; scenario.names.len()];
        for hearing in scenario.media.iter().flat_map(|medium| &medium.hearings) {
            degrees[hearing.from] += 1;
            degrees[hearing.to] += 1;
        }
        degrees
    }

    fn is_connected(scenario: &Scenario) -> bool {
        let mut groups: Vec<usize> = (0..scenario.names.len()).collect();
        for hearing in scenario.media.iter().flat_map(|medium| &medium.hearings) {
            unite(&mut groups, hearing.from, hearing.to);
        }
        groups.iter().all(|group| *group == groups[0])
    }

    #[test]
    fn shapes_have_their_degrees() {
        let quality = Quality::default();
        assert_eq!(degrees(&line(1, 4, quality)), [1, 2, 2, 1]);
        assert_eq!(degrees(&ring(1, 4, quality)), [2, 2, 2, 2]);
        assert_eq!(degrees(&star(1, 4, quality)), [3, 1, 1, 1]);
        assert_eq!(degrees(&grid(1, 3, 3, quality)), [2, 3, 2, 3, 4, 3, 2, 3, 2]);
    }

    #[test]
    fn segments_share_a_station() {
        let scenario = segments(1, &[3, 4, 2], Quality::default());
        let members: Vec<_> = scenario.media.iter().map(|medium| medium.members.clone()).collect();
        assert_eq!(members, [vec![0, 1, 2], vec![2, 3, 4, 5], vec![5, 6]]);
        assert_eq!(scenario.names.len(), 7);
        assert_eq!(segment(1, 5, Quality::default()).media[0].members.len(), 5);
    }

    #[test]
    fn random_places_are_connected_and_have_the_degree_that_was_asked_for() {
        for seed in 0..20 {
            let scenario = geometric(seed, 200, 8.0, Quality::default());
            assert!(is_connected(&scenario), "seed {seed}");
            let mean = degrees(&scenario).iter().sum::<usize>() as f64 / 200.0;
            assert!((5.0..9.0).contains(&mean), "seed {seed}: mean degree {mean}");
        }
        assert!(is_connected(&geometric(1, 40, 0.5, Quality::default())), "sparse");
        assert_eq!(geometric(7, 50, 6.0, Quality::default()), geometric(7, 50, 6.0, Quality::default()));
    }
}
