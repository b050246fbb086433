//! A disk that survives crashes, and may refuse.

use std::path::PathBuf;

use meshcore::message::store::{MemoryStore, StoreError, StoreOp, StoreReply};

#[derive(Default)]
pub(crate) struct Disk {
    pub store: MemoryStore,
    pub fault: Fault,
}

/// What the disk refuses at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Whatever writes.
    Full,
    /// Everything.
    Broken,
}

impl Disk {
    /// The application's confirmation, which needs no commit.
    pub(crate) fn confirm(&mut self, arrival: u64) {
        self.store.execute(StoreOp::Confirmed { arrival });
    }

    pub(crate) fn execute(&mut self, operation: StoreOp) -> Option<StoreReply> {
        let file = PathBuf::from("simulated.db");
        match self.fault {
            Fault::Full if !operation.is_read() => Some(operation.failed(StoreError::Full { file })),
            Fault::Broken => {
                Some(operation.failed(StoreError::Failed { file, reason: "input/output error".into() }))
            }
            _ => self.store.execute(operation),
        }
    }
}
