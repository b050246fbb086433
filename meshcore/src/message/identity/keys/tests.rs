use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

macro_rules! key_file {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/keys/message/", $name))
    };
}

const PLAIN: &str = key_file!("rsa2048.pem");

fn rng() -> StdRng {
    StdRng::from_seed([7; 32])
}

#[test]
fn a_new_key_is_written_and_read_back() {
    let key = IdentityKey::generate(&mut rng(), 2048).unwrap();
    let pem = key.to_pem(None, &mut rng()).unwrap();
    assert_eq!(IdentityKey::from_pem(&pem, None).unwrap().node_id(), key.node_id());
    assert_eq!(key.node_id(), NodeId::of_public_key(key.spki_der()));
    for bits in [1024, 2047, 2049, 4097, 8192] {
        assert_eq!(IdentityKey::generate(&mut rng(), bits).unwrap_err(), KeyError::UnsupportedSize { bits });
    }
}

#[test]
fn a_passphrase_protects_the_file() {
    let key = IdentityKey::from_pem(PLAIN, None).unwrap();
    let pem = key.to_pem(Some("correct"), &mut rng()).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    assert_eq!(IdentityKey::from_pem(&pem, Some("correct")).unwrap().node_id(), key.node_id());
    assert_eq!(IdentityKey::from_pem(&pem, None).unwrap_err(), KeyError::PassphraseNeeded);
    assert_eq!(IdentityKey::from_pem(&pem, Some("wrong")).unwrap_err(), KeyError::WrongPassphrase);
    let (_, document) = SecretDocument::from_pem(&pem).unwrap();
    let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).unwrap();
    let parameters = info.encryption_algorithm.pbes2().unwrap();
    assert!(matches!(parameters.encryption, pbes2::EncryptionScheme::Aes256Gcm { .. }));
    assert_eq!(parameters.kdf.scrypt().unwrap().cost_parameter, 1 << SCRYPT_LOG_N);
}

#[test]
fn files_of_openssl_are_read() {
    let id = IdentityKey::from_pem(PLAIN, None).unwrap().node_id();
    for pem in [key_file!("rsa2048.scrypt-cbc.pem"), key_file!("rsa2048.pbkdf2-cbc.pem")] {
        assert_eq!(IdentityKey::from_pem(pem, Some("correct")).unwrap().node_id(), id);
        assert_eq!(IdentityKey::from_pem(pem, Some("wrong")).unwrap_err(), KeyError::WrongPassphrase);
    }
    assert_eq!(IdentityKey::from_pem(PLAIN, Some("not needed")).unwrap().node_id(), id);
}

#[test]
fn other_files_are_explained() {
    let read = |pem: &str| IdentityKey::from_pem(pem, Some("correct")).unwrap_err();
    assert_eq!(read(key_file!("rsa2048.pkcs1.pem")), KeyError::Pkcs1);
    assert_eq!(read(key_file!("rsa1024.pem")), KeyError::UnsupportedSize { bits: 1024 });
    assert_eq!(read(key_file!("ed25519.pem")), KeyError::NotRsa);
    let public = IdentityKey::from_pem(PLAIN, None).unwrap().public_pem().unwrap();
    assert!(public.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    for rubbish in ["", "hello", &PLAIN[..500], &public, &PLAIN.replace("MII", "MIJ"), &"x".repeat(1 << 20)] {
        assert!(matches!(read(rubbish), KeyError::NotAKey(_)), "{rubbish:.50}");
    }
}

#[test]
fn damaged_numbers_are_noticed() {
    let (_, document) = SecretDocument::from_pem(PLAIN).unwrap();
    let mut damaged = 0;
    for at in (0..document.as_bytes().len()).step_by(41) {
        let mut der = document.as_bytes().to_vec();
        der[at] ^= 0x11;
        match IdentityKey::from_pkcs8_der(&der) {
            // The numbers for the Chinese remainder theorem are computed anew.
            Ok(key) => assert_eq!(key.node_id(), IdentityKey::from_pem(PLAIN, None).unwrap().node_id()),
            Err(_) => damaged += 1,
        }
    }
    assert!(damaged > 15, "{damaged}");
}

#[test]
fn a_hostile_cost_is_refused_before_it_is_paid() {
    let plain = IdentityKey::from_pem(PLAIN, None).unwrap();
    let (_, document) = SecretDocument::from_pem(&plain.to_pem(Some("x"), &mut rng()).unwrap()).unwrap();
    // The cost in the file: INTEGER 32768, then INTEGER 8 and INTEGER 3.
    let old = [2, 3, 0, 0x80, 0, 2, 1, 8, 2, 1, 3];
    let at = document.as_bytes().windows(old.len()).position(|bytes| bytes == old).unwrap();
    let with_cost = |new: [u8; 11]| {
        let mut der = document.as_bytes().to_vec();
        der[at..at + old.len()].copy_from_slice(&new);
        decrypt(&der, "x").map(drop)
    };
    assert_eq!(with_cost(old), Ok(()));
    for hostile in [
        [2, 3, 0x7f, 0xff, 0xff, 2, 1, 8, 2, 1, 3], // not a power of two
        [2, 3, 0x40, 0, 0, 2, 1, 8, 2, 1, 3],       // 4 GiB
        [2, 3, 0, 0x80, 0, 2, 1, 0x7f, 2, 1, 3],    // a large block
        [2, 3, 0, 0x80, 0, 2, 1, 8, 2, 1, 0x7f],    // 127 passes
        [2, 1, 0, 2, 1, 8, 2, 1, 3, 2, 1],          // nothing, and another structure
        [2, 3, 0, 0x80, 0, 2, 1, 0, 2, 1, 3],       // no block
    ] {
        assert_eq!(with_cost(hostile), Err(KeyError::UnsupportedEncryption), "{hostile:?}");
    }
}

#[test]
fn signatures_verify() {
    use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    let key = IdentityKey::from_pem(PLAIN, None).unwrap();
    let signature = key.sign(b"text").unwrap();
    let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.spki_der());
    public.verify(b"text", &signature).unwrap();
    public.verify(b"other", &signature).unwrap_err();
    assert_ne!(key.sign(b"text").unwrap(), signature, "PSS is salted");
}

#[test]
fn secrets_do_not_reach_logs() {
    let key = IdentityKey::from_pem(PLAIN, None).unwrap();
    assert_eq!(format!("{key:?}"), format!("IdentityKey({})", key.node_id()));
}
