//! Texts that wait for those before them: what every store decides in the same way.

use std::collections::BTreeSet;

use crate::types::MessageId;

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
