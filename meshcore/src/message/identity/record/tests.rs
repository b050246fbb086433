use proptest::prelude::*;

use super::*;

const KEY_2048: &str = include_str!("../../../../tests/keys/message/rsa2048.pem");
const KEY_2048_B: &str = include_str!("../../../../tests/keys/message/rsa2048b.pem");
const KEY_4096: &str = include_str!("../../../../tests/keys/message/rsa4096.pem");

fn key(pem: &str) -> IdentityKey {
    IdentityKey::from_pem(pem, None).unwrap()
}

fn fields(nickname: Option<&str>) -> RecordFields {
    RecordFields {
        nickname: nickname.map(|name| name.parse().unwrap()),
        subkey: Subkey::from_seed(&[1; 32]).unwrap().public_key().unwrap(),
        capabilities: 0,
        number: 1_700_000_000_000,
        issued: UnixTime::from_millis(1_700_000_000_000),
        valid_until: UnixTime::from_millis(1_800_000_000_000),
    }
}

/// Signs any payload and headers, as a hostile node could with its own key.
fn signed(key: &IdentityKey, aad: &[u8], payload: Vec<u8>) -> Vec<u8> {
    CoseSign1Builder::new()
        .protected(HeaderBuilder::new().algorithm(iana::Algorithm::PS256).build())
        .payload(payload)
        .create_signature(aad, |message| key.sign(message).unwrap())
        .build()
        .to_tagged_vec()
        .unwrap()
}

#[test]
fn a_record_proves_what_it_says() {
    let key = key(KEY_2048);
    for fields in [fields(None), fields(Some("Žofie"))] {
        let bytes = IdentityRecord::sign(&key, &fields).unwrap();
        let record = IdentityRecord::verify(&bytes, key.node_id().address()).unwrap();
        assert_eq!(record, IdentityRecord { id: key.node_id(), public_key: key.spki_der().to_vec(), fields });
        assert!(record.is_valid_at(UnixTime::from_millis(1_799_999_999_999)));
        assert!(!record.is_valid_at(UnixTime::from_millis(1_800_000_000_000)));
    }
}

#[test]
fn the_longest_record_fits_one_frame() {
    let key = key(KEY_4096);
    let nickname = "\u{1f980}".repeat(Nickname::MAX_CHARS);
    let mut fields = fields(Some(&nickname));
    (fields.capabilities, fields.number) = (u64::MAX, u64::MAX);
    (fields.issued, fields.valid_until) =
        (UnixTime::from_millis(u64::MAX - 1), UnixTime::from_millis(u64::MAX));
    let bytes = IdentityRecord::sign(&key, &fields).unwrap();
    assert!(bytes.len() <= MAX_RECORD_LEN, "{}", bytes.len());
    assert_eq!(IdentityRecord::verify(&bytes, key.node_id().address()).unwrap().fields, fields);
}

#[test]
fn any_changed_byte_is_refused() {
    let key = key(KEY_2048);
    let bytes = IdentityRecord::sign(&key, &fields(Some("name"))).unwrap();
    let address = key.node_id().address();
    for at in 0..bytes.len() {
        for flip in [1, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            assert!(IdentityRecord::verify(&changed, address).is_err(), "byte {at}");
        }
    }
    for len in 0..bytes.len() {
        assert!(IdentityRecord::verify(&bytes[..len], address).is_err());
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(IdentityRecord::verify(&longer, address), Err(RecordError::Malformed(_))));
    assert_eq!(IdentityRecord::verify(&[0; 1401], address), Err(RecordError::TooLong(1401)));
}

#[test]
fn another_nodes_record_is_refused() {
    let (mine, other) = (key(KEY_2048), key(KEY_2048_B));
    let bytes = IdentityRecord::sign(&other, &fields(None)).unwrap();
    assert_eq!(IdentityRecord::verify(&bytes, mine.node_id().address()), Err(RecordError::WrongNode));
    // The right key in the payload, and somebody else's signature.
    let forged = signed(&other, AAD, payload(mine.spki_der(), &fields(None)));
    assert_eq!(IdentityRecord::verify(&forged, mine.node_id().address()), Err(RecordError::BadSignature));
    // The right signature, made for another purpose.
    let reused = signed(&mine, b"MeshChat something else", payload(mine.spki_der(), &fields(None)));
    assert_eq!(IdentityRecord::verify(&reused, mine.node_id().address()), Err(RecordError::BadSignature));
}

#[test]
fn signed_rubbish_is_refused() {
    let key = key(KEY_2048);
    let good = payload(key.spki_der(), &fields(None));
    let verify =
        |content: Vec<u8>| IdentityRecord::verify(&signed(&key, AAD, content), key.node_id().address());
    assert!(verify(good.clone()).is_ok());
    let mut with_version = good.clone();
    with_version[1] = 2;
    assert_eq!(verify(with_version), Err(RecordError::Malformed("version")));
    let mut backwards = fields(None);
    backwards.valid_until = backwards.issued;
    assert_eq!(verify(payload(key.spki_der(), &backwards)), Err(RecordError::Malformed("valid until")));
    let trailing = [&good[..], &[0]].concat();
    assert!(matches!(verify(trailing), Err(RecordError::Malformed(_))));
    // The same values, one of them encoded longer than needed.
    let mut longer = good.clone();
    longer.splice(1..2, [0x18, 1]);
    assert_eq!(verify(longer), Err(RecordError::Malformed("encoding")));
    for content in [vec![], vec![0x80], vec![0x81; 1000], vec![0xf6]] {
        assert!(matches!(verify(content), Err(RecordError::Malformed(_))));
    }
}

#[test]
fn other_headers_are_refused() {
    let key = key(KEY_2048);
    let content = payload(key.spki_der(), &fields(None));
    let build = |protected: HeaderBuilder, unprotected: HeaderBuilder| {
        CoseSign1Builder::new()
            .protected(protected.build())
            .unprotected(unprotected.build())
            .payload(content.clone())
            .create_signature(AAD, |message| key.sign(message).unwrap())
            .build()
    };
    let ps256 = || HeaderBuilder::new().algorithm(iana::Algorithm::PS256);
    let verify = |bytes: Vec<u8>| IdentityRecord::verify(&bytes, key.node_id().address());
    assert!(verify(build(ps256(), HeaderBuilder::new()).to_tagged_vec().unwrap()).is_ok());
    assert!(verify(build(ps256(), HeaderBuilder::new()).to_vec().unwrap()).is_err(), "the tag is missing");
    for sign1 in [
        build(ps256().key_id(vec![1]), HeaderBuilder::new()),
        build(ps256(), HeaderBuilder::new().key_id(vec![1])),
        build(HeaderBuilder::new().algorithm(iana::Algorithm::RS256), HeaderBuilder::new()),
        build(HeaderBuilder::new(), HeaderBuilder::new()),
    ] {
        assert_eq!(verify(sign1.to_tagged_vec().unwrap()), Err(RecordError::Malformed("headers")));
    }
}

#[test]
fn the_subkey_signs() {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    let subkey = Subkey::from_seed(&[9; 32]).unwrap();
    let public = UnparsedPublicKey::new(&ED25519, subkey.public_key().unwrap());
    public.verify(b"text", &subkey.sign(b"text")).unwrap();
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), prefixed in any::<bool>()) {
        let mut bytes = bytes;
        if prefixed {
            bytes.splice(0..0, [0xd2, 0x84, 0x44, 0xa1, 0x01, 0x38, 0x24, 0xa0]);
        }
        prop_assert!(IdentityRecord::verify(&bytes, Address([0; 16])).is_err());
        let _ = parse_payload(&bytes);
    }
}
