//! Homes of nodes, with keys that need not be made first.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use tempfile::TempDir;

pub(crate) const KEYS: [&str; 2] =
    [include_str!("../keys/message/rsa2048.pem"), include_str!("../keys/message/rsa2048b.pem")];

/// A home with a key, for making one takes seconds.
pub(crate) fn home(key: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let mut options = std::fs::OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(home.path().join("identity.pem")).unwrap();
    file.write_all(key.as_bytes()).unwrap();
    home
}
