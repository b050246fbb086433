//! Texts that wait for those before them: what every store decides in the same way.

use std::collections::BTreeSet;

use super::{MAX_HELD, MAX_HELD_BYTES, MAX_HELD_TOTAL};
use crate::types::MessageId;

/// Texts that wait.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Size {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Size {
    pub(super) fn add(&mut self, len: usize) {
        (self.messages, self.bytes) = (self.messages + 1, self.bytes + len as u64);
    }

    pub(super) fn remove(&mut self, len: usize) {
        (self.messages, self.bytes) =
            (self.messages.saturating_sub(1), self.bytes.saturating_sub(len as u64));
    }
}

/// Whether one more text of this length may wait, beside those of its sender and of all.
pub(crate) fn has_room(of_sender: Size, of_all: Size, len: usize) -> bool {
    let len = len as u64;
    of_sender.messages < MAX_HELD.into()
        && of_sender.bytes.saturating_add(len) <= MAX_HELD_BYTES
        && of_all.bytes.saturating_add(len) <= MAX_HELD_TOTAL
}

/// The first of the texts that this one waits for, one through the other; itself when what it follows does not wait. `None` when it does
/// not wait either. `follows` looks up what a text that waits follows.
///
/// Those that follow one another in a circle, as only somebody makes them up who wants to see what happens, are gone through once:
/// who stores the first, and what follows it, has stored the whole circle.
pub(crate) fn first_of_chain<E>(
    id: MessageId,
    mut follows: impl FnMut(MessageId) -> Result<Option<MessageId>, E>,
) -> Result<Option<MessageId>, E> {
    let (mut first, mut next) = (None, id);
    let mut seen = BTreeSet::new();
    while seen.insert(next)
        && let Some(before) = follows(next)?
    {
        (first, next) = (Some(next), before);
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::*;

    fn id(n: u32) -> MessageId {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        MessageId(id)
    }

    /// Releases them one after the other, as the stores do; how often was looked for one.
    fn release(mut held: BTreeMap<MessageId, MessageId>) -> usize {
        let mut looked_up = 0;
        for waiting in held.keys().copied().collect::<Vec<_>>() {
            let Ok(first) = first_of_chain(waiting, |id| {
                looked_up += 1;
                Ok::<_, Infallible>(held.get(&id).copied())
            });
            let mut released: Vec<_> = first.into_iter().collect();
            while let Some(id) = released.pop() {
                held.remove(&id);
                released.extend(held.iter().filter(|(_, follows)| **follows == id).map(|(id, _)| *id));
            }
        }
        assert!(held.is_empty(), "all of them are released");
        looked_up
    }

    #[test]
    fn what_waits_is_limited_for_each_sender_and_for_all() {
        let size = |messages: u32, bytes| Size { messages: messages.into(), bytes };
        let (little, of_all) = (size(1, 10), size(5000, MAX_HELD_TOTAL - 10));
        assert!(has_room(little, of_all, 10) && !has_room(little, of_all, 11));
        let most = size(MAX_HELD - 1, MAX_HELD_BYTES - 10);
        assert!(has_room(most, little, 10) && !has_room(most, little, 11));
        assert!(!has_room(size(MAX_HELD, 10), little, 1));
    }

    #[test]
    fn what_waits_for_itself_costs_no_more_than_other_messages() {
        const COUNT: u32 = 200;
        let follow = |after: &dyn Fn(u32) -> u32| (1..=COUNT).map(|n| (id(n), id(after(n)))).collect();
        for (name, held) in [
            ("something else", follow(&|n| n + 1000)),
            ("themselves", follow(&|n| n)),
            ("in pairs", follow(&|n| ((n - 1) ^ 1) + 1)),
            ("in a circle", follow(&|n| n % COUNT + 1)),
            ("in a chain", follow(&|n| n + 1)),
            ("in a chain, the first of them first", follow(&|n| if n == 1 { 5000 } else { n - 1 })),
        ] {
            let looked_up = release(held);
            assert!(looked_up <= 3 * COUNT as usize, "{name}: {looked_up} times");
        }
    }
}
