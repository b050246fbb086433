//! Identities that cost nothing: a keyed mix of 64 bits in place of RSA and Ed25519. Whoever does not hold the secret
//! of this file cannot forge them, and no attacker of these tests does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use meshcore::types::Address;

const SECRET: u64 = 0x6a09_e667_f3bc_c908;

/// As long as a record with an RSA key of 3072 bits.
const RECORD_LEN: usize = 1000;

pub(crate) type Subkey = [u8; 32];

/// A keyed hash: good enough against accidents and the attackers of these tests.
pub(crate) fn mix(key: u64, bytes: &[u8]) -> u64 {
    let mut state = key ^ (bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let product = u128::from(state ^ u64::from_le_bytes(word)) * 0xd6e8_feb8_6659_fd93_u128;
        state = (product as u64) ^ ((product >> 64) as u64) ^ key.rotate_left(17);
    }
    state ^ (state >> 32)
}

fn signature(subkey: &Subkey, message: &[u8]) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..8].copy_from_slice(&mix(mix(SECRET, subkey), message).to_be_bytes());
    signature
}

/// How often nodes signed and checked: what real signatures would cost.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub signed: AtomicU64,
    pub checked: AtomicU64,
}

/// Signs as the holder of a subkey.
#[derive(Debug)]
pub(crate) struct Signer {
    pub subkey: Subkey,
    pub work: Arc<Work>,
}

impl Signer {
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.work.signed.fetch_add(1, Ordering::Relaxed);
        signature(&self.subkey, message)
    }

    pub(crate) fn verify(&self, subkey: &Subkey, message: &[u8], given: &[u8; 64]) -> bool {
        self.work.checked.fetch_add(1, Ordering::Relaxed);
        signature(subkey, message) == *given
    }
}

/// What a node shows of itself.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub address: Address,
    pub number: u64,
    pub subkey: Subkey,
    pub record: Arc<[u8]>,
}

impl Certificate {
    /// The identity of the owner of an address with this number.
    pub(crate) fn issue(address: Address, number: u64) -> Self {
        let mut subkey = [0; 32];
        subkey[..8].copy_from_slice(&mix(SECRET, address.as_bytes()).to_be_bytes());
        let mut record = vec![0; RECORD_LEN];
        record[..16].copy_from_slice(address.as_bytes());
        record[16..24].copy_from_slice(&number.to_be_bytes());
        record[24..56].copy_from_slice(&subkey);
        let seal = mix(SECRET, &record[..56]).to_be_bytes();
        record[56..64].copy_from_slice(&seal);
        Self { address, number, subkey, record: record.into() }
    }

    /// The identity in a record that somebody showed, if it is genuine.
    pub(crate) fn read(record: &[u8]) -> Option<Self> {
        let (body, seal) = (record.get(..56)?, record.get(56..64)?);
        if mix(SECRET, body).to_be_bytes() != seal {
            return None;
        }
        let address = Address::try_from(&body[..16]).ok()?;
        let number = u64::from_be_bytes(body[16..24].try_into().ok()?);
        let subkey = body[24..56].try_into().ok()?;
        Some(Self { address, number, subkey, record: record.into() })
    }
}

/// All certificates of a world, each in memory once.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    issued: BTreeMap<(Address, u64), Certificate>,
}

impl Registry {
    /// The identity of the owner of an address with this number.
    pub(crate) fn issue(&mut self, address: Address, number: u64) -> Certificate {
        let issued = self.issued.entry((address, number));
        issued.or_insert_with(|| Certificate::issue(address, number)).clone()
    }

    /// The identity in a record that somebody showed, if it is genuine.
    pub(crate) fn read(&mut self, record: &[u8]) -> Option<Certificate> {
        let read = Certificate::read(record)?;
        Some(self.issue(read.address, read.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_issued_is_read() {
        let genuine = Certificate::issue(Address([7; 16]), 3);
        let read = Certificate::read(&genuine.record).unwrap();
        assert_eq!((read.address, read.number, read.subkey), (genuine.address, 3, genuine.subkey));
        for index in 0..64 {
            let mut forged = genuine.record.to_vec();
            forged[index] ^= 1;
            assert!(Certificate::read(&forged).is_none(), "byte {index}");
        }
        assert!(Certificate::read(&genuine.record[..63]).is_none());
    }

    #[test]
    fn signatures_hold_for_their_key_and_message_alone() {
        let of = |byte| Certificate::issue(Address([byte; 16]), 1).subkey;
        let signer = Signer { subkey: of(1), work: Arc::default() };
        let signature = signer.sign(b"message");
        assert!(signer.verify(&of(1), b"message", &signature));
        assert!(!signer.verify(&of(2), b"message", &signature));
        assert!(!signer.verify(&of(1), b"massage", &signature));
        assert_eq!(signer.work.checked.load(Ordering::Relaxed), 3);
    }
}
