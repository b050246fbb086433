use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::types::Status;
use crate::wire::content::{KIND_TEXT, MAX_CONTENT};

const ALICE: &str = include_str!("../../../tests/keys/message/rsa2048.pem");
const BOB: &str = include_str!("../../../tests/keys/message/rsa2048b.pem");
const CAROL: &str = include_str!("../../../tests/keys/message/rsa2048c.pem");
const LARGE: &str = include_str!("../../../tests/keys/message/rsa4096.pem");

fn key(pem: &str) -> IdentityKey {
    IdentityKey::from_pem(pem, None).unwrap()
}

fn public(key: &IdentityKey) -> PublicKey {
    PublicKey::from_spki(key.spki_der()).unwrap()
}

fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn letter(text: impl Into<String>) -> Letter {
    Letter {
        id: MessageId([7; 16]),
        sent_at: UnixTime::from_millis(1_700_000_000_000),
        content: Content::Text(text.into()),
    }
}

fn seal(sender: &IdentityKey, recipient: &IdentityKey, text: &str) -> Vec<u8> {
    Envelope::seal(sender, &public(recipient), &letter(text), &mut rng(1)).unwrap()
}

fn plaintext_of(recipient: &IdentityKey, envelope: &[u8]) -> Vec<u8> {
    decrypt(recipient, &Sealed::parse(envelope).unwrap()).unwrap()
}

fn reseal(recipient: &IdentityKey, plaintext: &[u8]) -> Vec<u8> {
    encrypt(&public(recipient), plaintext, &mut rng(2)).unwrap()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn an_envelope_tells_its_recipient_what_was_written_by_whom() {
    let keys = [key(ALICE), key(BOB), key(LARGE)];
    for (sender, recipient) in keys.iter().flat_map(|sender| keys.iter().map(move |key| (sender, key))) {
        for text in ["a", "Ahoj, světe 🦀\n\0"] {
            let opened = Envelope::open(recipient, &seal(sender, recipient, text)).unwrap();
            assert_eq!(opened, Envelope { sender: public(sender), letter: letter(text) });
        }
    }
}

#[test]
fn the_longest_text_fits_the_longest_envelope() {
    let large = key(LARGE);
    let mut longest = letter("x".repeat(MAX_TEXT));
    longest.sent_at = UnixTime::from_millis(u64::MAX);
    let bytes = Envelope::seal(&large, &public(&large), &longest, &mut rng(1)).unwrap();
    assert_eq!(bytes.len(), MAX_ENVELOPE_LEN);
    assert_eq!(Envelope::open(&large, &bytes).unwrap().letter, longest);
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Envelope::open(&large, &longer), Err(OpenError::TooLong(MAX_ENVELOPE_LEN + 1)));
}

#[test]
fn what_cannot_be_sealed() {
    let alice = key(ALICE);
    let seal = |letter: &Letter| Envelope::seal(&alice, &public(&alice), letter, &mut rng(1)).unwrap_err();
    assert_eq!(seal(&letter("")), SealError::TextLength(0));
    assert_eq!(seal(&letter("x".repeat(MAX_TEXT + 1))), SealError::TextLength(MAX_TEXT + 1));
    let unknown = Letter { content: Content::Unknown(9), ..letter("") };
    assert_eq!(seal(&unknown), SealError::Content(9));
    let nothing =
        Letter { content: Content::Receipts { status: Status::Delivered, ids: vec![] }, ..letter("") };
    assert_eq!(seal(&nothing), SealError::Content(3));
}

#[test]
fn only_the_recipient_opens_it() {
    let bytes = seal(&key(ALICE), &key(BOB), "secret");
    for other in [ALICE, CAROL, LARGE] {
        assert_eq!(Envelope::open(&key(other), &bytes), Err(OpenError::NotOpened));
    }
}

#[test]
fn an_envelope_names_nobody() {
    let (alice, bob) = (key(ALICE), key(BOB));
    let bytes = seal(&alice, &bob, "a text that does not show");
    assert!(!contains(&bytes, b"does not show"));
    for node in [&alice, &bob] {
        assert!(!contains(&bytes, &node.node_id().address().0));
        assert!(!contains(&bytes, &node.spki_der()[100..116]));
    }
}

#[test]
fn a_letter_cannot_be_passed_on_as_if_it_had_been_written_to_another() {
    let (alice, bob, carol) = (key(ALICE), key(BOB), key(CAROL));
    let signed = plaintext_of(&bob, &seal(&alice, &bob, "you are dismissed"));
    assert!(Envelope::open(&bob, &reseal(&bob, &signed)).is_ok(), "what was written to bob stays genuine");
    assert_eq!(Envelope::open(&carol, &reseal(&carol, &signed)), Err(OpenError::OtherRecipient));
    // Nor does it help to write another recipient into it.
    let mut changed = signed.clone();
    let at = signed.windows(32).position(|part| part == bob.node_id().0).unwrap();
    changed[at..at + 32].copy_from_slice(&carol.node_id().0);
    assert_eq!(Envelope::open(&carol, &reseal(&carol, &changed)), Err(OpenError::BadSignature));
}

#[test]
fn nobody_writes_in_anothers_name() {
    let (alice, bob, carol) = (key(ALICE), key(BOB), key(CAROL));
    let content = payload(bob.node_id(), &alice, &letter(""), KIND_TEXT, b"text", 0);
    let by = |signer| Envelope::open(&bob, &reseal(&bob, &sign(signer, content.clone()).unwrap()));
    assert_eq!(by(&alice).unwrap().sender, public(&alice));
    assert_eq!(by(&carol), Err(OpenError::BadSignature));
}

#[test]
fn the_content_key_comes_from_the_caller() {
    let (alice, bob) = (key(ALICE), key(BOB));
    let seal = |seed| Envelope::seal(&alice, &public(&bob), &letter("text"), &mut rng(seed)).unwrap();
    let drawn = |bytes: &[u8]| {
        let sealed = Sealed::parse(bytes).unwrap();
        (bob.decrypt(sealed.wrapped_key).unwrap().to_vec(), sealed.iv)
    };
    assert_eq!(drawn(&seal(1)), drawn(&seal(1)));
    assert_ne!(drawn(&seal(1)).0, drawn(&seal(2)).0);
    let (mut key, mut iv) = ([0; KEY_LEN], [0; NONCE_LEN]);
    let mut rng = rng(3);
    rng.fill_bytes(&mut key);
    rng.fill_bytes(&mut iv);
    assert_eq!(drawn(&seal(3)), (key.to_vec(), iv));
}

#[test]
fn any_changed_byte_is_refused() {
    let (alice, bob) = (key(ALICE), key(BOB));
    let bytes = seal(&alice, &bob, "text");
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let refused = Envelope::open(&bob, &changed).unwrap_err();
        assert!(matches!(refused, OpenError::Malformed(_) | OpenError::NotOpened), "byte {at}: {refused}");
    }
    for len in 0..bytes.len() {
        assert!(matches!(Envelope::open(&bob, &bytes[..len]), Err(OpenError::Malformed(_))), "{len} bytes");
    }
    // Below the encryption, as whoever seals could do it.
    let signed = plaintext_of(&bob, &bytes);
    for at in 0..signed.len() {
        let mut changed = signed.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(Envelope::open(&bob, &reseal(&bob, &changed)).is_err(), "byte {at} of the plaintext");
    }
}

/// Mutations of a genuine envelope, and of what is in it: a failure prints the seed that replays it.
#[test]
fn mutated_envelopes_never_panic_nor_open() {
    let (alice, bob) = (key(ALICE), key(BOB));
    let genuine = seal(&alice, &bob, "text");
    let signed = plaintext_of(&bob, &genuine);
    for seed in 0..1500 {
        let mut rng = rng(seed);
        let mutated = mutate(&genuine, &mut rng);
        assert!(mutated == genuine || Envelope::open(&bob, &mutated).is_err(), "seed {seed}");
        let mutated = mutate(&signed, &mut rng);
        assert!(mutated == signed || Envelope::open(&bob, &reseal(&bob, &mutated)).is_err(), "seed {seed}");
    }
}

/// Does one to four things to bytes, rather to their beginning: there are the heads.
fn mutate(bytes: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        let within = if rng.random() { bytes.len().min(420) } else { bytes.len() };
        let at = rng.random_range(0..=within);
        let end = rng.random_range(at..=bytes.len().min(at + 40));
        match rng.random_range(0..6) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.truncate(at),
            2 => bytes[at..end].fill(rng.random()),
            3 => drop(bytes.splice(at..at, [rng.random(), rng.random()])),
            4 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => bytes[at..end].iter_mut().take(1).for_each(|byte| *byte ^= 1 << rng.random_range(0..8)),
        }
    }
    bytes
}

#[test]
fn declared_lengths_cost_nothing() {
    let bob = key(BOB);
    let mut declared = BEFORE_IV.to_vec();
    declared.extend([0x4c; 13]);
    declared.extend([0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(Envelope::open(&bob, &declared), Err(OpenError::Malformed("ciphertext")));
    let mut nested = BEFORE_PAYLOAD.to_vec();
    nested.resize(MAX_PLAINTEXT, 0x81);
    assert_eq!(Envelope::open(&bob, &reseal(&bob, &nested)), Err(OpenError::MalformedLetter("payload")));
}

#[test]
fn content_is_bounded_whatever_its_kind() {
    let bob = key(BOB);
    let open = |kind: u8, content: &[u8]| {
        let content = payload(bob.node_id(), &bob, &letter(""), kind, content, 0);
        Envelope::open(&bob, &reseal(&bob, &sign(&bob, content).unwrap())).map(|opened| opened.letter.content)
    };
    assert_eq!(open(2, b""), Ok(Content::Unknown(2)));
    assert_eq!(open(255, &[0xff; MAX_TEXT]), Ok(Content::Unknown(255)));
    for kind in [KIND_TEXT, 2] {
        let refused = open(kind, &[b'x'; MAX_CONTENT + 1]);
        assert_eq!(refused, Err(OpenError::MalformedLetter("content")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn letters_round_trip(id: [u8; 16], at: u64, text in "\\PC{1,600}") {
        let (alice, bob) = (key(ALICE), key(BOB));
        let sent_at = UnixTime::from_millis(at);
        let letter = Letter { id: MessageId(id), sent_at, content: Content::Text(text) };
        let bytes = Envelope::seal(&alice, &public(&bob), &letter, &mut rng(at)).unwrap();
        prop_assert_eq!(Envelope::open(&bob, &bytes), Ok(Envelope { sender: public(&alice), letter }));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), prefixed: bool) {
        let with = |prefix: &[u8]| if prefixed { [prefix, &bytes].concat() } else { bytes.clone() };
        prop_assert!(Sealed::parse(&with(BEFORE_IV)).is_err());
        prop_assert!(Signed::parse(&with(BEFORE_PAYLOAD)).is_err());
    }
}
