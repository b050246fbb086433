//! Any operations of both applications over a wire that loses, repeats, reorders and alters packets: no byte is wrong,
//! missing or there twice, events come when they are due and only then, what is kept stays within the windows, and once
//! the wire is good again everything arrives and everything is forgotten.

mod operation;
mod world;

use arbitrary::{Arbitrary, Unstructured};

use self::operation::Operation;
use self::world::World;

/// More operations add time and nothing new.
const MAX_OPERATIONS: usize = 400;

/// Runs the operations that `data` stands for.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(mut world) = World::new(&mut input) else { return };
    for _ in 0..MAX_OPERATIONS {
        if input.is_empty() {
            break;
        }
        let Ok((end, operation)) = <(bool, Operation)>::arbitrary(&mut input) else { break };
        world.apply(usize::from(end), operation);
    }
    world.wind_up();
}
