//! What the length of an envelope tells: one of 21 steps.
//!
//! Plaintexts have 1.5 · 2^k or 2^k bytes, from 1536 bytes, which a short text fits with any key, to 1 MiB, or the
//! longest length. So a length tells at most 4.4 bits of what is inside, for at most half as much again to carry. Padmé
//! (<https://arxiv.org/abs/1806.03160>) would cost a sixteenth, and tell short texts apart by every 64 bytes.

use super::BEFORE_PAYLOAD;
use crate::wire::cbor::head_len;

/// Longest plaintext: the longest content with the largest key has more than 1 MiB, and less than this.
pub(super) const MAX_PLAINTEXT: usize = (1 << 20) + 2048;

/// Most bytes that lengths in front of longer padding, and around it, may take more.
const GROWTH: usize = 8;

fn steps() -> impl Iterator<Item = usize> {
    (10..20).flat_map(|power| [3 << (power - 1), 2 << power]).chain([MAX_PLAINTEXT])
}

/// How many bytes of padding give the plaintext the length of a step. `unpadded` is the length of the payload with no
/// byte of padding. Some lengths have no encoding: when a longer padding begins with a longer head, and the next step
/// serves.
pub(super) fn len(unpadded: usize, signature: usize) -> Option<usize> {
    let string = |len: usize| head_len(len as u64) + len;
    let plaintext = |padding| {
        let payload = unpadded - string(0) + string(padding);
        BEFORE_PAYLOAD.len() + string(payload) + string(signature)
    };
    steps().find_map(|step| {
        let room = step.checked_sub(plaintext(0))?;
        (room.saturating_sub(GROWTH)..=room).find(|padding| plaintext(*padding) == step)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Length of the plaintext without and with the padding that was chosen.
    fn lengths(unpadded: usize, signature: usize) -> (usize, usize) {
        let around = |payload: usize| 8 + head_len(payload as u64) + payload + 3 + signature;
        let padding = len(unpadded, signature).unwrap();
        let string = head_len(padding as u64) + padding;
        (around(unpadded), around(unpadded - 1 + string))
    }

    fn check(unpadded: usize, signature: usize) {
        let (before, after) = lengths(unpadded, signature);
        assert!(steps().any(|step| step == after), "{unpadded}");
        let fits = steps().find(|step| *step >= before).unwrap();
        // A length without an encoding takes the next step.
        let next = steps().find(|step| *step > fits);
        assert!(after == fits || fits - before <= 260 && Some(after) == next, "{before} becomes {after}");
    }

    #[test]
    fn there_are_21_steps_half_as_much_again_at_most() {
        let steps: Vec<_> = steps().collect();
        assert_eq!((steps.len(), steps[0], steps[20]), (21, 1536, MAX_PLAINTEXT));
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1] && 2 * pair[1] <= 3 * pair[0]));
    }

    #[test]
    fn every_length_of_a_short_text_is_padded() {
        for unpadded in 300..9000 {
            for signature in [256, 384, 512] {
                check(unpadded, signature);
            }
        }
    }

    #[test]
    fn nothing_longer_than_the_longest_is_padded() {
        assert_eq!(len(MAX_PLAINTEXT, 256), None);
        assert_eq!(lengths(MAX_PLAINTEXT - 8 - 5 - 3 - 256, 256), (MAX_PLAINTEXT, MAX_PLAINTEXT));
    }

    proptest! {
        #[test]
        fn every_length_is_padded(unpadded in 300..(1usize << 20) + 1000, signature in (32usize..=64).prop_map(|n| 8 * n)) {
            check(unpadded, signature);
        }

        #[test]
        fn every_length_around_longer_heads_is_padded(unpadded in (1usize << 16) - 1500..(1 << 16) + 1500) {
            check(unpadded, 384);
        }
    }
}
