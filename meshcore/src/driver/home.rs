//! The directory that holds a node: its key, its database, its cursor.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::fcntl::OFlag;

use crate::message::identity::{IdentityKey, KeyError};

const KEY: &str = "identity.pem";
const NEW_KEY: &str = "identity.pem.new";
const LOCK: &str = "lock";
const DATABASE: &str = "messages.db";
const CURSOR: &str = "confirmed";
const DOWNLOADS: &str = "downloads";

/// Longest key file that is read, in bytes.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// Why a home or its key cannot be used. Each text names the path and what helps.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// No directory was named, and none can be derived.
    #[error("no home directory: set MESHCHAT_HOME to a directory of your own")]
    NoHome,
    /// Another node uses it.
    #[error("the home {} is in use by a running node; stop it, or choose another home (MESHCHAT_HOME)", path.display())]
    InUse {
        /// The home.
        path: PathBuf,
    },
    /// Others may read the key.
    #[error("{}: others can read this key (mode {mode:03o}); run `chmod 600 {}`", path.display(), path.display())]
    TooOpen {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is no key yet.
    #[error("{}: there is no key; start a node there, or make one with `meshchat id create`", path.display())]
    NoKey {
        /// The key file.
        path: PathBuf,
    },
    /// There is a key already; it is not overwritten.
    #[error("{}: an identity key exists; move it away first if you want to become somebody else", path.display())]
    KeyExists {
        /// The key file.
        path: PathBuf,
    },
    /// The key is encrypted and no passphrase was given.
    #[error("{}: {} (the commands read MESHCHAT_PASSPHRASE)", path.display(), KeyError::PassphraseNeeded)]
    PassphraseNeeded {
        /// The key file.
        path: PathBuf,
    },
    /// The passphrase does not open the key.
    #[error("{}: {}", path.display(), KeyError::WrongPassphrase)]
    WrongPassphrase {
        /// The key file.
        path: PathBuf,
    },
    /// The file does not hold a usable key, or a key of the wanted kind cannot be made.
    #[error("{}: {reason}", path.display())]
    BadKey {
        /// The key file.
        path: PathBuf,
        /// What is wrong.
        reason: KeyError,
    },
    /// Not to be written.
    #[error("{}: cannot be written; check the owner, the permissions (chmod u+rwx) and the mount, or set MESHCHAT_HOME", path.display())]
    ReadOnly {
        /// The file or directory.
        path: PathBuf,
    },
    /// Anything else.
    #[error("{}: {error}; check the path and the disk, or set MESHCHAT_HOME to another directory", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl HomeError {
    fn io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            _ => Self::Io { path, error },
        }
    }

    fn key(path: &Path, reason: KeyError) -> Self {
        let path = path.to_owned();
        match reason {
            KeyError::PassphraseNeeded => Self::PassphraseNeeded { path },
            KeyError::WrongPassphrase => Self::WrongPassphrase { path },
            reason => Self::BadKey { path, reason },
        }
    }
}

/// Where a home is: the given directory, else `$MESHCHAT_HOME`, else `$XDG_DATA_HOME/meshchat`, else
/// `~/.local/share/meshchat`.
pub fn locate(explicit: Option<&Path>) -> Result<PathBuf, HomeError> {
    resolve(explicit, |name| std::env::var_os(name)).ok_or(HomeError::NoHome)
}

/// Where the database of a home is.
pub fn database(directory: &Path) -> PathBuf {
    directory.join(DATABASE)
}

/// Whether there is a key file in the directory of a home.
pub fn has_key(directory: &Path) -> bool {
    fs::symlink_metadata(directory.join(KEY)).is_ok()
}

/// Reads the identity key from the directory of a home, which may be in use.
pub fn load_key(directory: &Path, passphrase: Option<&str>) -> Result<IdentityKey, HomeError> {
    let path = directory.join(KEY);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => HomeError::NoKey { path: path.clone() },
        _ => HomeError::io(&path, error),
    };
    // Opening a named pipe would wait for a writer.
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(HomeError::key(&path, KeyError::NotAKey("it is not a file")));
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(HomeError::TooOpen { path, mode });
    }
    if metadata.len() > MAX_KEY_FILE {
        return Err(HomeError::key(&path, KeyError::NotAKey("it is too long")));
    }
    let text = read_secret(file).map_err(failed)?;
    let text =
        std::str::from_utf8(&text).map_err(|_| HomeError::key(&path, KeyError::NotAKey("it is not PEM")))?;
    IdentityKey::from_pem(text, passphrase).map_err(|reason| HomeError::key(&path, reason))
}

/// A node's directory, locked for this process as long as the value lives.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    /// Held, not read: closing the file ends the lock, and so does the death of the process.
    _lock: File,
    temporary: bool,
}

impl Home {
    /// Opens or creates a home where [`locate`] finds it.
    pub fn open(explicit: Option<&Path>) -> Result<Self, HomeError> {
        let path = locate(explicit)?;
        let failed = |error| HomeError::io(&path, error);
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        Self::lock(path, false)
    }

    /// A private home that vanishes with the value: nothing of it is remembered.
    pub fn temporary() -> Result<Self, HomeError> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("meshchat-{}-{number}", std::process::id()));
            // Creating fails for anything that exists: nobody can have prepared this directory.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Self::lock(path, true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(HomeError::io(&path, error)),
            }
        }
    }

    fn lock(path: PathBuf, temporary: bool) -> Result<Self, HomeError> {
        let file = path.join(LOCK);
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).mode(0o600).open(&file);
        let lock = lock.map_err(|error| HomeError::io(&file, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock, temporary }),
            Err(TryLockError::WouldBlock) => Err(HomeError::InUse { path }),
            Err(TryLockError::Error(error)) => Err(HomeError::io(&file, error)),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the database belongs.
    pub fn database(&self) -> PathBuf {
        database(&self.path)
    }

    /// Where the confirmation cursor belongs.
    pub fn cursor(&self) -> PathBuf {
        self.path.join(CURSOR)
    }

    /// Where accepted files go.
    pub fn downloads(&self) -> PathBuf {
        self.path.join(DOWNLOADS)
    }

    /// Where the key is.
    pub fn key(&self) -> PathBuf {
        self.path.join(KEY)
    }

    /// Reads the identity key.
    pub fn load_key(&self, passphrase: Option<&str>) -> Result<IdentityKey, HomeError> {
        load_key(&self.path, passphrase)
    }

    /// Makes the identity key. A key that exists is not touched; after a crash there is the whole key or none.
    pub fn create_key(&self, bits: usize, passphrase: Option<&str>) -> Result<IdentityKey, HomeError> {
        let path = self.key();
        if has_key(&self.path) {
            return Err(HomeError::KeyExists { path });
        }
        let bad = |reason| HomeError::key(&path, reason);
        let mut rng = rand::rng();
        let key = IdentityKey::generate(&mut rng, bits).map_err(bad)?;
        let pem = key.to_pem(passphrase, &mut rng).map_err(bad)?;
        self.write_key(pem.as_bytes()).map_err(|error| HomeError::io(&path, error))?;
        Ok(key)
    }

    /// The lock keeps other processes out between the check for an existing key and the renaming.
    fn write_key(&self, pem: &[u8]) -> io::Result<()> {
        let new = self.path.join(NEW_KEY);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(pem)?;
            file.sync_all()?;
            fs::rename(&new, self.key())
        })();
        if written.is_err() {
            // On a full disk half a key would stay behind; the error that matters is the first one.
            let _ = fs::remove_file(&new);
        }
        written?;
        File::open(&self.path)?.sync_all()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.temporary {
            // Nobody is left to tell.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Reads at most [`MAX_KEY_FILE`] bytes into memory that is wiped and that was not copied around while it grew.
fn read_secret(file: File) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
    use std::io::Read;
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE as usize));
    file.take(MAX_KEY_FILE).read_to_end(&mut text)?;
    Ok(text)
}

/// An empty variable counts as not set; so does a relative XDG directory (XDG base directory specification).
fn resolve(explicit: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let xdg = || set("XDG_DATA_HOME").filter(|path| path.is_absolute()).map(|path| path.join("meshchat"));
    let home = || set("HOME").map(|path| path.join(".local/share/meshchat"));
    explicit.map(Path::to_owned).or_else(|| set("MESHCHAT_HOME")).or_else(xdg).or_else(home)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const PEM: &str = include_str!("../../tests/keys/message/rsa2048.pem");
    const ENCRYPTED: &str = include_str!("../../tests/keys/message/rsa2048.scrypt-cbc.pem");

    fn put_key(home: &Home, text: &str, mode: u32) {
        // Only root could write over a key that is read-only.
        let _ = fs::remove_file(home.key());
        fs::write(home.key(), text).unwrap();
        fs::set_permissions(home.key(), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn make_folder(path: &Path) {
        fs::create_dir(path).unwrap();
    }

    fn make_pipe(path: &Path) {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRUSR).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn the_directory_is_found() {
        let found = |explicit: Option<&str>, variables: &[(&str, &str)]| {
            resolve(explicit.map(Path::new), |name| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            })
        };
        let all = [("MESHCHAT_HOME", "/m"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(found(Some("e"), &all), Some("e".into()));
        assert_eq!(found(None, &all), Some("/m".into()));
        assert_eq!(found(None, &all[1..]), Some("/x/meshchat".into()));
        assert_eq!(found(None, &all[2..]), Some("/h/.local/share/meshchat".into()));
        assert_eq!(
            found(None, &[("MESHCHAT_HOME", ""), ("XDG_DATA_HOME", "x"), ("HOME", "/h")]),
            found(None, &all[2..])
        );
        assert_eq!(found(None, &[]), None);
    }

    #[test]
    fn a_home_is_private_and_belongs_to_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        let home = Home::open(Some(&path)).unwrap();
        assert_eq!((mode(&path), mode(&path.join(LOCK))), (0o700, 0o600));
        assert!(matches!(Home::open(Some(&path)), Err(HomeError::InUse { path: used }) if used == path));
        drop(home);
        Home::open(Some(&path)).unwrap();
        fs::write(directory.path().join("file"), "").unwrap();
        assert!(matches!(Home::open(Some(&directory.path().join("file/x"))), Err(HomeError::Io { .. })));
    }

    #[test]
    fn a_temporary_home_vanishes() {
        let (a, b) = (Home::temporary().unwrap(), Home::temporary().unwrap());
        assert_ne!(a.path(), b.path());
        let path = a.path().to_owned();
        assert_eq!(mode(&path), 0o700);
        fs::write(a.database(), "x").unwrap();
        drop(a);
        assert!(!path.exists());
    }

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let home = Home::temporary().unwrap();
        assert!(matches!(home.load_key(None), Err(HomeError::NoKey { .. })));
        assert!(matches!(home.create_key(1024, None), Err(HomeError::BadKey { .. })));
        fs::write(home.path().join(NEW_KEY), "left by a crash").unwrap();
        let key = home.create_key(2048, Some("correct")).unwrap();
        assert_eq!(mode(&home.key()), 0o600);
        assert!(!home.path().join(NEW_KEY).exists());
        assert!(matches!(home.create_key(2048, None), Err(HomeError::KeyExists { .. })));
        assert_eq!(home.load_key(Some("correct")).unwrap().node_id(), key.node_id());
        assert!(matches!(home.load_key(None), Err(HomeError::PassphraseNeeded { .. })));
        assert!(matches!(home.load_key(Some("wrong")), Err(HomeError::WrongPassphrase { .. })));
    }

    #[test]
    fn unusable_keys_are_explained() {
        let home = Home::temporary().unwrap();
        put_key(&home, PEM, 0o640);
        let error = home.load_key(None).unwrap_err();
        assert!(matches!(error, HomeError::TooOpen { mode: 0o640, .. }));
        assert!(error.to_string().contains(&format!("chmod 600 {}", home.key().display())), "{error}");
        put_key(&home, PEM, 0o400);
        assert!(home.load_key(None).is_ok());
        put_key(&home, ENCRYPTED, 0o600);
        assert!(home.load_key(Some("correct")).is_ok());
        for text in ["", &PEM[..PEM.len() / 2], &"x".repeat(100_000)] {
            put_key(&home, text, 0o600);
            assert!(matches!(
                home.load_key(None),
                Err(HomeError::BadKey { reason: KeyError::NotAKey(_), .. })
            ));
        }
        fs::write(home.key(), [0xff; 10]).unwrap();
        assert!(matches!(home.load_key(None), Err(HomeError::BadKey { reason: KeyError::NotAKey(_), .. })));
        fs::remove_file(home.key()).unwrap();
        for make in [make_folder, make_pipe] {
            make(&home.key());
            let error = home.load_key(None).unwrap_err();
            assert!(error.to_string().contains("not a file"), "{error}");
            fs::remove_dir(home.key()).or_else(|_| fs::remove_file(home.key())).unwrap();
        }
    }
}
