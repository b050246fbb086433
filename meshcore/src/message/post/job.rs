//! Sealing and opening: operations with private keys, which take milliseconds and are done elsewhere.

use rand::CryptoRng;

use crate::message::envelope::{Envelope, Letter, OpenError};
use crate::message::identity::{IdentityKey, IdentityRecord, PublicKey};
use crate::types::NodeId;

/// Something to be sealed or opened. Any thread may do it; those of one node are to be done in order.
#[derive(Debug)]
pub enum Job {
    /// Seals a letter.
    Seal {
        /// Comes back in the outcome.
        token: u64,
        /// Recipient.
        to: NodeId,
        /// What is written.
        letter: Letter,
    },
    /// Opens an envelope.
    Open {
        /// Comes back in the outcome.
        token: u64,
        /// The envelope.
        envelope: Vec<u8>,
    },
}

/// What came of a [`Job`].
#[derive(Debug)]
pub enum JobOutcome {
    /// The envelope; `None` when the letter cannot be sealed, because nobody knows the recipient's key for instance.
    Sealed {
        /// From the job.
        token: u64,
        /// The envelope.
        envelope: Option<Vec<u8>>,
    },
    /// The letter and who wrote it, or why there is none.
    Opened {
        /// From the job.
        token: u64,
        /// The letter.
        letter: Result<(NodeId, Letter), OpenError>,
    },
}

impl Job {
    /// Does it. `record`: the identity record of the recipient of a letter, as far as it is known.
    pub fn run<R: CryptoRng + ?Sized>(
        self,
        own: &IdentityKey,
        record: Option<&[u8]>,
        rng: &mut R,
    ) -> JobOutcome {
        match self {
            Self::Seal { token, to, letter } => {
                let key = record.and_then(|record| key_of(record, to));
                let envelope = key.and_then(|key| Envelope::seal(own, &key, &letter, rng).ok());
                JobOutcome::Sealed { token, envelope }
            }
            Self::Open { token, envelope } => {
                let opened = Envelope::open(own, &envelope);
                let letter = opened.map(|Envelope { sender, letter }| (sender.node_id(), letter));
                JobOutcome::Opened { token, letter }
            }
        }
    }
}

fn key_of(record: &[u8], node: NodeId) -> Option<PublicKey> {
    let record = IdentityRecord::verify(record, node.address()).ok()?;
    PublicKey::from_spki(&record.public_key).ok().filter(|key| key.node_id() == node)
}
