//! Safety words: two people read them to each other to find out whether somebody sits between them.

use bip39::Language;
use sha2::{Digest, Sha256};

use crate::types::NodeId;

/// How many words two people compare.
pub const COUNT: usize = 8;

const DOMAIN: &[u8] = b"MeshChat safety words v1";
const BITS_PER_WORD: usize = 11;

/// The words for a pair of nodes, the same on both sides: the first 88 bits of SHA-256 over `DOMAIN`, the smaller
/// id and the larger id, as eight numbers of 11 bits, big-endian, into the English word list of BIP-39.
///
/// Whoever wants to stand between two people needs keys that collide in 88 bits, for this pair alone.
pub fn safety_words(a: NodeId, b: NodeId) -> [&'static str; COUNT] {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    let digest = Sha256::new().chain_update(DOMAIN).chain_update(low.0).chain_update(high.0).finalize();
    let list = Language::English.word_list();
    std::array::from_fn(|word| {
        let bits = word * BITS_PER_WORD..(word + 1) * BITS_PER_WORD;
        list[bits.fold(0, |index, bit| index << 1 | usize::from(digest[bit / 8] >> (7 - bit % 8) & 1))]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_symmetrical_and_depend_on_both() {
        let id = |byte| NodeId([byte; 32]);
        assert_eq!(safety_words(id(1), id(2)), safety_words(id(2), id(1)));
        assert_ne!(safety_words(id(1), id(2)), safety_words(id(1), id(3)));
        assert_ne!(safety_words(id(1), id(2)), safety_words(id(3), id(2)));
    }
}
