//! The file that holds the key of a private mesh: one line of 64 hexadecimal digits, readable by its owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use super::{Error, ErrorKind};
use crate::mesh::private::{NetworkKey, NetworkKeyError};

/// Longest key file that is read, in bytes: the digits, and some white space.
const MAX_FILE: usize = 128;

/// Why a network key cannot be used. Each text names the path and what helps.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{}: there is no network key; copy the file of another node of this mesh there, or make a new key", .0.display())]
    Missing(PathBuf),
    #[error("{}: a network key exists; it is not overwritten, move it away first", .0.display())]
    Exists(PathBuf),
    #[error("{}: others can read this key (mode {mode:03o}); run `chmod 600 {}`", path.display(), path.display())]
    TooOpen { path: PathBuf, mode: u32 },
    #[error("{}: not a network key: it is not a file", .0.display())]
    NotAFile(PathBuf),
    #[error("{}: {reason}", path.display())]
    Bad { path: PathBuf, reason: NetworkKeyError },
    #[error("{}: {error}; check the path, the owner and the permissions", path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        let kind = match trouble {
            Trouble::Missing(_) => ErrorKind::NoKey,
            Trouble::Exists(_) => ErrorKind::KeyExists,
            Trouble::TooOpen { .. } => ErrorKind::KeyTooOpen,
            Trouble::NotAFile(_) | Trouble::Bad { .. } => ErrorKind::KeyCorrupt,
            Trouble::Io { .. } => ErrorKind::Storage,
        };
        Self::new(kind, trouble)
    }
}

/// Reads a network key. A file that others can read is refused.
pub(super) fn load(path: &Path) -> Result<NetworkKey, Error> {
    Ok(read(path)?)
}

/// Makes a new network key in a new file of mode 0600, and returns it.
pub(super) fn create(path: &Path) -> Result<NetworkKey, Error> {
    let key = NetworkKey::generate(&mut rand::rng());
    write(path, key.to_text().as_bytes())?;
    Ok(key)
}

fn read(path: &Path) -> Result<NetworkKey, Trouble> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Trouble::Missing(path.to_owned()),
        _ => Trouble::Io { path: path.to_owned(), error },
    };
    // Opening a named pipe would wait for a writer.
    let mut options = OpenOptions::new();
    let mut file = options.read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Trouble::NotAFile(path.to_owned()));
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Trouble::TooOpen { path: path.to_owned(), mode });
    }
    // One byte more than may be there: a longer file is told apart, and nothing is left behind by a growing buffer.
    let mut buffer = Zeroizing::new([0; MAX_FILE + 1]);
    let len = read_up_to(&mut file, &mut buffer[..]).map_err(failed)?;
    let text = std::str::from_utf8(&buffer[..len]).ok().filter(|_| len <= MAX_FILE);
    let key = text.ok_or(NetworkKeyError::Malformed).and_then(NetworkKey::parse);
    key.map_err(|reason| Trouble::Bad { path: path.to_owned(), reason })
}

/// Fills the buffer as far as the file reaches.
fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match file.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

fn write(path: &Path, text: &[u8]) -> Result<(), Trouble> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => Trouble::Exists(path.to_owned()),
        _ => Trouble::Io { path: path.to_owned(), error },
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    if let Err(error) = file.write_all(text).and_then(|()| file.sync_all()) {
        // On a full disk half a key would stay behind; the error that matters is the first one.
        let _ = fs::remove_file(path);
        return Err(failed(error));
    }
    // The name survives a loss of power when its directory is on disk as well.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn kind(path: &Path) -> (ErrorKind, String) {
        let error = load(path).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
        (error.kind(), text)
    }

    fn put(path: &Path, text: &[u8], mode: u32) {
        let _ = fs::remove_file(path);
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("network.key");
        assert_eq!(kind(&path).0, ErrorKind::NoKey);
        let key = create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(load(&path).unwrap().to_text(), key.to_text());
        assert_eq!(create(&path).unwrap_err().kind(), ErrorKind::KeyExists);
        assert_eq!(load(&path).unwrap().to_text(), key.to_text());
        let other = create(&directory.path().join("other.key")).unwrap();
        assert_ne!(other.to_text(), key.to_text());
        assert_eq!(create(&directory.path().join("none/key")).unwrap_err().kind(), ErrorKind::Storage);
        assert_eq!(create(directory.path()).unwrap_err().kind(), ErrorKind::KeyExists);
    }

    #[test]
    fn unusable_keys_are_explained() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("network.key");
        let good = "0123456789abcdef".repeat(4);
        for mode in [0o640, 0o604, 0o666, 0o620] {
            put(&path, good.as_bytes(), mode);
            let (kind, text) = kind(&path);
            assert_eq!(kind, ErrorKind::KeyTooOpen);
            assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
        }
        for text in
            [good.clone(), format!("{good}\n"), format!("{good}\r\n"), format!("{good}{}", " ".repeat(64))]
        {
            put(&path, text.as_bytes(), 0o400);
            assert_eq!(load(&path).unwrap().to_text().trim(), good);
        }
        let long = format!("{good}{}", " ".repeat(65));
        for text in
            [b"".as_slice(), b"hunter2", &[0xff; 64], &good.as_bytes()[1..], long.as_bytes(), &[b'0'; 64]]
        {
            put(&path, text, 0o600);
            let (kind, told) = kind(&path);
            assert_eq!(kind, ErrorKind::KeyCorrupt, "{told}");
            assert!(told.contains("openssl rand -hex 32") && !told.contains("hunter2"), "{told}");
        }
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(kind(&path).0, ErrorKind::KeyCorrupt);
        assert_eq!(kind(directory.path()).0, ErrorKind::KeyCorrupt);
    }
}
