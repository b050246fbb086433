//! The identity of this node: its key, and the record that the key certifies.

use std::sync::Arc;
use std::time::Duration;

use super::keys::{IdentityKey, KeyError};
use super::record::{IdentityRecord, RecordFields};
use crate::types::UnixTime;

/// A key with the record that is in use.
#[derive(Debug)]
pub struct OwnIdentity {
    key: Arc<IdentityKey>,
    fields: RecordFields,
    record: Vec<u8>,
}

impl OwnIdentity {
    /// Signs a record of this content.
    pub fn new(key: IdentityKey, fields: RecordFields) -> Result<Self, KeyError> {
        let record = IdentityRecord::sign(&key, &fields)?;
        Ok(Self { key: Arc::new(key), fields, record })
    }

    /// Signs a record with another number, as long valid as the one before.
    pub fn renumber(&mut self, number: u64, now: UnixTime) -> Result<(), KeyError> {
        let validity = self.fields.valid_until.as_millis().saturating_sub(self.fields.issued.as_millis());
        let validity = Duration::from_millis(validity);
        let valid_until = now + validity;
        let fields = RecordFields { number, issued: now, valid_until, ..self.fields.clone() };
        self.record = IdentityRecord::sign(&self.key, &fields)?;
        self.fields = fields;
        Ok(())
    }

    /// The key.
    pub fn key(&self) -> &IdentityKey {
        &self.key
    }

    /// The key, for who uses it elsewhere.
    pub fn shared_key(&self) -> Arc<IdentityKey> {
        Arc::clone(&self.key)
    }

    /// What the record says.
    pub fn fields(&self) -> &RecordFields {
        &self.fields
    }

    /// The record as it travels.
    pub fn record(&self) -> &[u8] {
        &self.record
    }
}
