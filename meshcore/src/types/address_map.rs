//! Maps from addresses, for the tables that every frame is looked up in.

use std::collections::HashMap;
use std::hash::BuildHasher;

use siphasher::sip::SipHasher13;

use super::Address;

/// A hashed map: one look at memory where an ordered one takes a dozen. Peers choose their addresses, so the hash has a
/// secret key; it comes from the node's seed, so that a replay runs in the same order.
pub(crate) type AddressMap<V> = HashMap<Address, V, HashKey>;

/// The secret key of a map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HashKey([u8; 16]);

impl HashKey {
    /// `key` must be unknown to peers.
    pub(crate) const fn new(key: [u8; 16]) -> Self {
        Self(key)
    }

    pub(crate) fn map<V>(self) -> AddressMap<V> {
        HashMap::with_hasher(self)
    }
}

impl BuildHasher for HashKey {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_follows_from_the_key() {
        let order = |key| {
            let mut map = HashKey::new([key; 16]).map();
            map.extend((0..100).map(|number| (Address([number; 16]), ())));
            map.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }
}
