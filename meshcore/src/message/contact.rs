//! A contact as a line of text: who somebody is, to be passed on by hand, by mail or as a QR code.
//!
//! ```text
//! contact  = "meshchat:1:" NODE_ID ":" checksum ":" [nickname]
//! checksum = the first 8 hexadecimal digits of SHA-256 over DOMAIN, the id and the nickname
//! ```
//!
//! The checksum finds a slip of the pen and a line that was cut off. It proves nothing: whoever writes the line chooses it.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::types::{Nickname, NicknameError, NodeId};

const SCHEME: &str = "meshchat";
const VERSION: &str = "1";
const DOMAIN: &[u8] = b"MeshChat contact v1";
const CHECKSUM_LEN: usize = 4;

/// A node as somebody recommends it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Contact {
    /// NODE_ID.
    pub id: NodeId,
    /// The name it gave itself then.
    pub nickname: Option<Nickname>,
}

/// Why a text is no contact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContactError {
    /// It does not look like one.
    #[error("not a contact: a line that begins with '{SCHEME}:{VERSION}:' is expected")]
    Form,
    /// It is of a later version.
    #[error("a contact of version {version}; this program knows version {VERSION}: update MeshChat")]
    Version {
        /// Which one.
        version: u64,
    },
    /// It was changed on its way.
    #[error("the contact's checksum is wrong: a character was lost or changed; copy the line again")]
    Checksum,
    /// Its name is none.
    #[error("the contact's nickname is none: {0}")]
    Nickname(#[from] NicknameError),
}

impl Contact {
    /// Longest text in bytes.
    pub const MAX_LEN: usize =
        SCHEME.len() + VERSION.len() + 2 * NodeId::LEN + 2 * CHECKSUM_LEN + 4 + 4 * Nickname::MAX_CHARS;

    fn checksum(id: NodeId, nickname: &str) -> String {
        let digest = Sha256::new().chain_update(DOMAIN).chain_update(id.0).chain_update(nickname).finalize();
        hex::encode(&digest[..CHECKSUM_LEN])
    }
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nickname = self.nickname.as_ref().map_or("", Nickname::as_str);
        let checksum = Self::checksum(self.id, nickname);
        write!(f, "{SCHEME}:{VERSION}:{}:{checksum}:{nickname}", self.id)
    }
}

impl FromStr for Contact {
    type Err = ContactError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<_> = text.trim().splitn(5, ':').collect();
        let [scheme, version, rest @ ..] = &parts[..] else { return Err(ContactError::Form) };
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(ContactError::Form);
        }
        let version: u64 = version.parse().map_err(|_| ContactError::Form)?;
        if version.to_string() != VERSION {
            return Err(ContactError::Version { version });
        }
        let [id, checksum, nickname] = rest else { return Err(ContactError::Form) };
        let id = id.parse().map_err(|_| ContactError::Form)?;
        // First: a character that was lost makes many a name that is none.
        if !checksum.eq_ignore_ascii_case(&Self::checksum(id, nickname)) {
            return Err(ContactError::Checksum);
        }
        let nickname = if nickname.is_empty() { None } else { Some(nickname.parse()?) };
        Ok(Self { id, nickname })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contact(nickname: Option<&str>) -> Contact {
        let id = NodeId(std::array::from_fn(|i| i as u8));
        Contact { id, nickname: nickname.map(|name| name.parse().unwrap()) }
    }

    const ANNA: &str =
        "meshchat:1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f:CHECKSUM:anna";

    #[test]
    fn the_text_is_as_specified() {
        let text = ANNA.replace("CHECKSUM", "3a21f3e5");
        assert_eq!(contact(Some("anna")).to_string(), text);
        assert_eq!(text.parse(), Ok(contact(Some("anna"))));
    }

    #[test]
    fn what_people_do_to_a_line_does_no_harm() {
        let text = contact(Some("Žofie:👩")).to_string();
        assert!(text.len() <= Contact::MAX_LEN);
        assert_eq!(format!(" {text}\r\n").parse(), Ok(contact(Some("Žofie:👩"))));
        let nameless = contact(None).to_string();
        assert_eq!(nameless.to_uppercase().parse(), Ok(contact(None)));
    }

    #[test]
    fn the_longest_contact_fits() {
        let text = contact(Some(&"👩".repeat(Nickname::MAX_CHARS))).to_string();
        assert_eq!(text.len(), Contact::MAX_LEN);
    }

    #[test]
    fn what_is_no_contact_is_refused_with_its_reason() {
        let text = contact(Some("anna")).to_string();
        let parse = |text: &str| text.parse::<Contact>().unwrap_err();
        for none in ["", "anna", "meshchat", "meshchat:1", "meshchat:1:00:00:x", "meshchat:x:", "http://x/y"]
        {
            assert_eq!(parse(none), ContactError::Form, "{none}");
        }
        assert_eq!(parse("meshchat:2:whatever"), ContactError::Version { version: 2 });
        for wrong in [text.replace("anna", "anne"), text.replace(":00", ":10"), text.replace("anna", "ann")] {
            assert_eq!(parse(&wrong), ContactError::Checksum, "{wrong}");
        }
        let id = contact(None).id;
        let checksum = Contact::checksum(id, "two words");
        let bad_name = format!("meshchat:1:{id}:{checksum}:two words");
        assert_eq!(parse(&bad_name), ContactError::Nickname(NicknameError::Forbidden));
    }

    proptest! {
        #[test]
        fn any_text_is_a_contact_or_an_error(text in ".{0,300}") {
            let _ = text.parse::<Contact>();
        }

        #[test]
        fn a_contact_survives_its_text(id: [u8; 32], name in "[^\\s@/\\p{C}][^\\s\\p{C}]{0,31}") {
            let nickname = name.parse().ok();
            let contact = Contact { id: NodeId(id), nickname };
            prop_assert_eq!(contact.to_string().parse(), Ok(contact));
        }
    }
}
