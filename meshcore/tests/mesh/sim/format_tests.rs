//! The file format in both directions, and what it says about mistakes.

use super::*;
use crate::sim::topology;

const EVERYTHING: &str = "
seed 7
node a b c      # three
nodes 2
link a b loss=5% delay=2ms bandwidth=1M mtu=1280 name=cable
oneway c a jitter=300us
segment a b c duplicate=0.25% queue=9k name=lan1
radio a-b b>c name=air loss=20%
radio c-n0 n0-n1 name=air
at 30s cut a b
at 31s cut a>b
at 32s mend b>a
at 33s set a c loss=30% delay=1s
at 34s partition a b | c
at 35s heal
at 36s unplug a lan1
at 37s plug a lan1
at 40s crash c
at 41s leave b
at 60s restart c with-disk
at 1m restart b without-disk
at 61s clock a -3600s
flow a b every 100ms from 10s to 20s
end 120s
";

#[test]
fn what_is_read_is_what_was_written() {
    let scenario = parse(EVERYTHING).unwrap();
    assert_eq!((scenario.names.len(), scenario.media.len(), scenario.events.len()), (5, 4, 13));
    let air = &scenario.media[3];
    assert_eq!(air.members, [0, 1, 2, 3, 4]);
    assert_eq!((air.hearings[0].quality.loss, air.hearings[2].quality.loss), (200_000, 0));
    assert_eq!(scenario.media[0].bandwidth, Some(1_000_000));
    assert_eq!(scenario.media[2].quality.duplicate, 2_500);
    assert_eq!(scenario.last_event(), Duration::from_secs(61));
    assert_eq!(parse(&scenario.to_string()).unwrap(), scenario, "{scenario}");
}

#[test]
fn made_up_shapes_survive_the_format() {
    let quality = Quality { loss: 12_345, ..Quality::default() };
    for scenario in [
        topology::line(1, 5, quality),
        topology::grid(2, 3, 4, quality),
        topology::segments(3, &[3, 4], quality),
        topology::geometric(4, 30, 5.0, quality),
    ] {
        assert_eq!(parse(&scenario.to_string()).unwrap(), scenario, "{scenario}");
    }
}

#[test]
fn mistakes_are_told_with_their_line_and_a_remedy() {
    for (line, remedy) in [
        ("lnik a b", "unknown statement `lnik`: write seed, node"),
        ("seed x", "must be a number: seed 7"),
        ("node a", "declared twice"),
        ("node é", "use letters, digits and _"),
        ("link a x", "unknown node `x`: declare it above with `node x`"),
        ("link a a", "name two different ones"),
        ("link a b c", "expected two nodes"),
        ("link a b loss=5", "`5` is no share: write 0% to 100%"),
        ("link a b loss=101%", "is no share"),
        ("link a b delay=2", "`2` is no time: write a whole number with us, ms, s or m"),
        ("link a b delay=99999999999999999999s", "is no time"),
        ("link a b mtu=big", "is no size"),
        ("link a b colour=red", "unknown option `colour`: write loss"),
        ("radio a,b", "`a,b` is no pair: write a-b, or a>b for one way"),
        ("segment a b name=cable", "the name is taken"),
        ("at 30s", "expected a time and a change: at 30s cut a b"),
        ("at 30s explode a", "unknown change `explode`: write cut, mend"),
        ("at 30s restart a", "with-disk, or without-disk"),
        ("at 30s unplug a lan9", "unknown medium `lan9`: give one the option name=lan9"),
        ("at 30s set a b mtu=9", "`mtu` cannot be set"),
        ("at 30s clock a 5", "`5` is no jump: write -3600s"),
        ("at 30s heal a", "`heal` stands alone"),
        ("flow a b every 0s from 1s to 2s", "cannot send every 0s"),
        ("flow a b", "expected: flow a b every 100ms"),
        ("at 99s crash a", "comes after the end"),
    ] {
        let text = format!("node a b c\nlink a b name=cable\n{line}");
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.starts_with("line 3: ") && error.contains(remedy), "`{line}` gives: {error}");
    }
}
