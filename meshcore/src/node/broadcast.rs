//! Broadcasts: a few words for every node of the mesh.

use super::stack::Stack;
use super::{BroadcastError, Event};
use crate::types::{Address, Now};
use crate::wire::broadcast::MAX_CONTENT;

impl Stack {
    /// Says something to every node in reach: 1 to 1000 bytes, signed and *not* encrypted. Nobody acknowledges it.
    pub fn broadcast(&mut self, now: Now, text: &str) -> Result<(), BroadcastError> {
        match text.len() {
            0 => Err(BroadcastError::Empty),
            len if len > MAX_CONTENT => Err(BroadcastError::TooLong(len)),
            _ => self.mesh.broadcast(now.monotonic, text.as_bytes()).map_err(|_| BroadcastError::TooMany),
        }
    }

    pub(super) fn on_broadcast(&mut self, source: Address, content: &[u8]) {
        let Some(from) = self.directory.by_address(&source).map(|entry| entry.id) else { return };
        let text = String::from_utf8_lossy(content).into_owned();
        self.events.push_back(Event::Broadcast { from, text });
    }
}
