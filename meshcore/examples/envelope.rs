//! Seals a text for somebody who is not there, and opens what was sealed.
//!
//! ```text
//! envelope seal KEY.pem RECIPIENT.pem <text >envelope     KEY is one's own; RECIPIENT as `meshchat id export` shows it
//! envelope open KEY.pem <envelope
//! ```

#![allow(clippy::disallowed_methods)] // below the driver nothing reads files or a clock; a program does

use std::error::Error;
use std::fs;
use std::io::{Read as _, Write as _, stdin, stdout};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use meshcore::message::envelope::{Content, Envelope, Letter, MAX_ENVELOPE_LEN, MAX_TEXT};
use meshcore::message::identity::{IdentityKey, PublicKey};
use meshcore::{MessageId, UnixTime};
use rand::Rng as _;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["seal", key, recipient] => seal(key, recipient),
        ["open", key] => open(key),
        _ => Err("usage: envelope seal KEY.pem RECIPIENT.pem, or envelope open KEY.pem".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("envelope: {error}");
            ExitCode::FAILURE
        }
    }
}

fn seal(key: &str, recipient: &str) -> Outcome<()> {
    let sender = private_key(key)?;
    let (_, spki) = pkcs8::Document::from_pem(&fs::read_to_string(recipient)?)?;
    let recipient = PublicKey::from_spki(spki.as_bytes())?;
    let mut rng = rand::rng();
    let mut id = [0; MessageId::LEN];
    rng.fill_bytes(&mut id);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let letter = Letter {
        id: MessageId(id),
        sent_at: UnixTime::from_millis(now.as_millis().try_into()?),
        content: Content::Text(String::from_utf8(input(MAX_TEXT)?)?),
    };
    stdout().write_all(&Envelope::seal(&sender, &recipient, &letter, &mut rng)?)?;
    Ok(())
}

fn open(key: &str) -> Outcome<()> {
    let Envelope { sender, letter } = Envelope::open(&private_key(key)?, &input(MAX_ENVELOPE_LEN)?)?;
    let mut out = stdout().lock();
    writeln!(out, "from: {}\nid: {}\nsent at: {}", sender.node_id(), letter.id, letter.sent_at.as_millis())?;
    match letter.content {
        Content::Text(text) => write!(out, "\n{text}")?,
        other => writeln!(out, "kind {}, no text", other.kind())?,
    }
    Ok(())
}

fn private_key(path: &str) -> Outcome<IdentityKey> {
    Ok(IdentityKey::from_pem(&fs::read_to_string(path)?, None)?)
}

/// Standard input, up to one byte more than makes sense.
fn input(longest: usize) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    stdin().take(longest as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
