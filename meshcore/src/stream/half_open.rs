//! Incoming handshakes that go on, and who may begin another.
//!
//! Anybody can send first packets in other nodes' names. So those who have proved nothing get a quarter of the places; when
//! these are taken, a client must come again with a token (RFC 9000 §8.1.2), which only who receives at its address can
//! have. Tokens cost no state, and a flood of forged packets leaves three quarters of the places to honest clients.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};

use super::Config;
use super::error::PacketError;
use crate::types::{Address, Instant};
use crate::wire::packet::{TOKEN_LEN, Token};

/// Of the places, this share is for clients that have not proved their address.
const UNPROVED_SHARE: usize = 4;

/// Bytes of a token that tell when it was made; the rest authenticates them.
const TIME_LEN: usize = 8;

/// What becomes of a first packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// The handshake may begin. `proved`: the client receives at its address.
    Begin { proved: bool },
    /// The client must come again with this token.
    Retry(Token),
}

/// Handshakes by whether the client has proved its address.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    unproved: usize,
    proved: usize,
}

impl Counts {
    fn of(&mut self, proved: bool) -> &mut usize {
        if proved { &mut self.proved } else { &mut self.unproved }
    }
}

/// The handshakes of unproved clients, counted.
pub(super) struct HalfOpen {
    by_source: BTreeMap<Address, Counts>,
    total: Counts,
    key: hmac::Key,
    lifetime: Duration,
    limit: usize,
    limit_per_address: usize,
}

impl HalfOpen {
    /// `secret` makes the tokens.
    pub(super) fn new(config: &Config, secret: [u8; 32]) -> Self {
        Self {
            by_source: BTreeMap::new(),
            total: Counts::default(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            lifetime: config.handshake_timeout,
            limit: config.max_half_open,
            limit_per_address: config.max_half_open_per_address,
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_source.is_empty() && self.total == Counts::default()
    }

    /// A first packet came from `source`, for the connection id `original`.
    pub(super) fn admit(
        &self,
        now: Instant,
        source: Address,
        original: u64,
        token: Option<Token>,
    ) -> Result<Admission, PacketError> {
        let here = self.by_source.get(&source).copied().unwrap_or_default();
        if token.is_some_and(|token| self.is_valid(now, source, original, &token)) {
            let is_free = self.total.proved < self.limit && here.proved < self.limit_per_address;
            return if is_free {
                Ok(Admission::Begin { proved: true })
            } else {
                Err(PacketError::TooManyHandshakes)
            };
        }
        let [all, each] = [self.limit, self.limit_per_address].map(|limit| limit.div_ceil(UNPROVED_SHARE));
        if self.total.unproved < all && here.unproved < each {
            Ok(Admission::Begin { proved: false })
        } else {
            Ok(Admission::Retry(self.token(now, source, original)))
        }
    }

    pub(super) fn add(&mut self, source: Address, proved: bool) {
        *self.total.of(proved) += 1;
        *self.by_source.entry(source).or_default().of(proved) += 1;
    }

    pub(super) fn remove(&mut self, source: Address, proved: bool) {
        *self.total.of(proved) -= 1;
        if let Some(counts) = self.by_source.get_mut(&source) {
            *counts.of(proved) -= 1;
            if *counts == Counts::default() {
                self.by_source.remove(&source);
            }
        }
    }

    fn token(&self, made: Instant, source: Address, original: u64) -> Token {
        let time = made.as_micros().to_be_bytes();
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&time);
        context.update(source.as_bytes());
        context.update(&original.to_be_bytes());
        let tag = context.sign();
        let mut token = [0; TOKEN_LEN];
        let (head, tail) = token.split_at_mut(TIME_LEN);
        head.copy_from_slice(&time);
        tail.copy_from_slice(&tag.as_ref()[..TOKEN_LEN - TIME_LEN]);
        token
    }

    fn is_valid(&self, now: Instant, source: Address, original: u64, token: &Token) -> bool {
        let Some((time, _)) = token.split_first_chunk::<TIME_LEN>() else { return false };
        let made = Instant::from_micros(u64::from_be_bytes(*time));
        let is_fresh = made <= now && now - made <= self.lifetime;
        let right = self.token(made, source, original);
        is_fresh && constant_time::verify_slices_are_equal(token, &right).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half_open() -> HalfOpen {
        HalfOpen::new(
            &Config { max_half_open: 8, max_half_open_per_address: 4, ..Config::default() },
            [3; 32],
        )
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_token_is_good_for_one_address_one_connection_and_ten_seconds() {
        let (half_open, alice, bob) = (half_open(), Address([1; 16]), Address([2; 16]));
        let token = half_open.token(at(100), alice, 7);
        let proved = |now, source, original, token| {
            half_open.admit(now, source, original, Some(token)) == Ok(Admission::Begin { proved: true })
        };
        assert!(proved(at(100), alice, 7, token) && proved(at(110), alice, 7, token));
        assert!(!proved(at(111), alice, 7, token) && !proved(at(99), alice, 7, token));
        assert!(!proved(at(100), bob, 7, token) && !proved(at(100), alice, 8, token));
        for byte in 0..TOKEN_LEN {
            let mut forged = token;
            forged[byte] ^= 1;
            assert!(!proved(at(100), alice, 7, forged));
        }
        let other = HalfOpen::new(&Config::default(), [4; 32]);
        assert!(!other.is_valid(at(100), alice, 7, &token));
    }

    #[test]
    fn forgers_cannot_take_the_places_of_the_proved() {
        let mut half_open = half_open();
        let alice = Address([1; 16]);
        assert_eq!(half_open.admit(at(1), alice, 1, None), Ok(Admission::Begin { proved: false }));
        half_open.add(alice, false);
        // Forged in Alice's name, then in other names.
        assert!(matches!(half_open.admit(at(1), alice, 2, None), Ok(Admission::Retry(_))));
        half_open.add(Address([2; 16]), false);
        let Ok(Admission::Retry(token)) = half_open.admit(at(1), alice, 3, None) else { panic!() };
        for _ in 0..4 {
            assert_eq!(half_open.admit(at(1), alice, 3, Some(token)), Ok(Admission::Begin { proved: true }));
            half_open.add(alice, true);
        }
        assert_eq!(half_open.admit(at(1), alice, 3, Some(token)), Err(PacketError::TooManyHandshakes));
        for _ in 0..4 {
            half_open.remove(alice, true);
        }
        half_open.remove(alice, false);
        half_open.remove(Address([2; 16]), false);
        assert!(half_open.is_empty());
    }
}
