//! Passing a frame on allocates nothing: a relay under load leaves the heap alone.

#[path = "common/chain.rs"]
mod chain;
#[path = "common/counting.rs"]
mod counting;

use std::time::Duration;

use chain::{Chain, node, station};
use meshcore::mesh::Handled;
use meshcore::types::LinkId;
use meshcore::wire::frame::{FrameType, TrafficClass};

fn allocations(work: impl FnOnce()) -> usize {
    let before = counting::allocations();
    work();
    counting::allocations() - before
}

#[test]
fn forwarding_allocates_nothing() {
    let mut chain = Chain::new();
    chain.run(Duration::from_secs(3));
    let header = chain.meshes[0].unicast_header(node(3), FrameType::Stream, TrafficClass::Bulk, 1000);
    let frame = [&header[..], &[7; 1000]].concat();
    let mut buffer = frame.clone();
    let mut forwarded = 0;
    // The path becomes active with the first frame: its next hop is probed from then on.
    for round in 0..20 {
        let (now, relay) = (chain.now, &mut chain.meshes[1]);
        let count = allocations(|| {
            for _ in 0..500 {
                buffer.copy_from_slice(&frame);
                let handled = relay.handle_frame(now, LinkId(1), station(0), &mut buffer);
                forwarded += usize::from(matches!(handled, Ok(Handled::Forward { .. })));
            }
        });
        assert!(round == 0 || count == 0, "{count} allocations in round {round}");
        chain.run(Duration::from_millis(100));
    }
    assert_eq!(forwarded, 20 * 500);
    assert!(allocations(|| drop(vec![0u8; 10])) > 0, "the counter must work");
}
