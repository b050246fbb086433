//! What files need of the disk. All of it may take long, and runs on threads that may wait.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, renameat2};
use nix::sys::statvfs::statvfs;

use crate::driver::{Error, ErrorKind};
use crate::file::{MAX_SIZE, numbered, part};

/// Bytes that are hashed at a time; in between it is seen whether the node stops.
const PIECE: usize = 1 << 20;

/// Names that are tried before a folder counts as full of them.
const MAX_NUMBER: u32 = 10_000;

/// What tells one state of a file from another: its size, and when it was changed last, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) size: u64,
    pub(super) modified: i64,
}

impl Version {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let modified = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Ok(Self { size: metadata.len(), modified })
    }
}

/// Opens a file that is to be sent. Neither a folder nor a pipe is one.
pub(super) fn open_source(path: &Path) -> Result<File, Error> {
    let failed = |error: io::Error| {
        let kind = ErrorKind::InvalidArgument;
        match error.kind() {
            io::ErrorKind::NotFound => Error::new(kind, format!("{}: there is no such file", path.display())),
            io::ErrorKind::PermissionDenied => {
                Error::new(kind, format!("{}: this file cannot be read; chmod u+r helps", path.display()))
            }
            _ => Error::new(kind, format!("{}: {error}", path.display())),
        }
    };
    // Opening a named pipe would wait for a writer.
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let refused =
        |why: &str| Err(Error::new(ErrorKind::InvalidArgument, format!("{}: {why}", path.display())));
    match () {
        () if metadata.is_dir() => refused("this is a folder; pack it into one file first (tar, zip)"),
        () if !metadata.is_file() => refused("this is no regular file"),
        () if metadata.len() > MAX_SIZE => refused("this file is larger than 2^53 bytes"),
        () => Ok(file),
    }
}

/// SHA-256 and length of a file from its beginning.
pub(super) fn digest(file: &File, stop: &AtomicBool) -> io::Result<([u8; 32], u64)> {
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the node stops"));
        }
        match file.read_at(&mut piece, offset) {
            Ok(0) => break,
            Ok(len) => {
                context.update(piece.get(..len).unwrap_or_default());
                offset += len as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(context.finish().as_ref());
    Ok((sha256, offset))
}

/// Exactly these bytes of a file.
pub(super) fn read(file: &File, offset: u64, len: usize) -> io::Result<Bytes> {
    let mut data = vec![0; len];
    file.read_exact_at(&mut data, offset)?;
    Ok(data.into())
}

/// Makes the folder, if it is not there, and checks that `needed` bytes fit.
pub(super) fn prepare_folder(folder: &Path, needed: u64) -> Result<(), Error> {
    let failed = |error: io::Error| {
        let text = format!("{}: {error}; choose a folder that you may write to", folder.display());
        Error::new(ErrorKind::Storage, text)
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let room = statvfs(folder).map_err(|error| failed(error.into()))?;
    let free = room.blocks_available().saturating_mul(room.fragment_size());
    if free < needed {
        let text = format!(
            "{}: {needed} bytes are needed and {free} are free; make room, or choose another folder",
            folder.display()
        );
        return Err(Error::new(ErrorKind::Storage, text));
    }
    Ok(())
}

/// Makes the partial file of `name`, private, under a name that was free.
pub(super) fn create_part(folder: &Path, name: &str) -> io::Result<(PathBuf, File)> {
    for number in 1..MAX_NUMBER {
        let path = folder.join(part(name, number));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
        match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => {
                let file = opened?;
                sync_folder(folder)?;
                return Ok((path, file));
            }
        }
    }
    Err(no_name(name))
}

/// Opens a partial file of before; `None` when it is gone, or is not one that this node has made.
pub(super) fn open_part(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    match options.read(true).write(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => {
            let metadata = file.metadata()?;
            Ok((metadata.is_file() && metadata.nlink() == 1).then_some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // A symbolic link stands there now.
        Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Drops what is not known to be safe behind the first `len` bytes; how many are there.
pub(super) fn keep(file: &File, len: u64) -> io::Result<u64> {
    let len = len.min(file.metadata()?.len());
    file.set_len(len)?;
    Ok(len)
}

/// Gives a finished partial file its final name, if that is free.
pub(super) fn place(part: &Path, path: &Path) -> io::Result<bool> {
    let renamed = renameat2(AT_FDCWD, part, AT_FDCWD, path, RenameFlags::RENAME_NOREPLACE);
    match renamed {
        Ok(()) => {}
        Err(Errno::EEXIST) => return Ok(false),
        // Not every file system can do that.
        Err(Errno::EINVAL | Errno::ENOSYS) => match fs::hard_link(part, path) {
            Ok(()) => fs::remove_file(part)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(error),
        },
        Err(error) => return Err(error.into()),
    }
    path.parent().map_or(Ok(()), sync_folder)?;
    Ok(true)
}

/// The final names of a file in their order.
pub(super) fn names(folder: &Path, name: &str) -> impl Iterator<Item = PathBuf> {
    (1..MAX_NUMBER).map(move |number| folder.join(numbered(name, number)))
}

pub(super) fn no_name(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("the folder has too many files called '{name}'"))
}

/// Whether a file of this size and digest lies there.
pub(super) fn is_there(path: &Path, size: u64, sha256: &[u8; 32], stop: &AtomicBool) -> io::Result<bool> {
    let Some(file) = open_part(path)? else { return Ok(false) };
    Ok(file.metadata()?.len() == size && digest(&file, stop)? == (*sha256, size))
}

/// Removes a partial file; one that is gone needs nothing.
pub(super) fn discard(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a partial file stays behind");
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn go() -> AtomicBool {
        AtomicBool::new(false)
    }

    #[test]
    fn what_is_no_file_is_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for (path, why) in [
            (folder.path().to_owned(), "folder"),
            (pipe, "no regular file"),
            (folder.path().join("nothing"), "no such file"),
            ("/dev/null".into(), "no regular file"),
        ] {
            let error = open_source(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn a_partial_file_is_private_and_touches_nothing_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, folder.path().join("a.txt.part")).unwrap();
        symlink(folder.path().join("dangling"), folder.path().join("a (2).txt.part")).unwrap();
        let (path, _) = create_part(folder.path(), "a.txt").unwrap();
        assert_eq!(path, folder.path().join("a (3).txt.part"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(open_part(&path).unwrap().is_some());
        assert!(open_part(&folder.path().join("a.txt.part")).unwrap().is_none(), "a link is not followed");
        fs::hard_link(&victim, folder.path().join("b.part")).unwrap();
        assert!(open_part(&folder.path().join("b.part")).unwrap().is_none(), "nor is another name of a file");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(!folder.path().join("dangling").exists());
    }

    #[test]
    fn a_final_name_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.txt"), "old").unwrap();
        symlink("nowhere", at("a (2).txt")).unwrap();
        fs::write(at("new.part"), "new").unwrap();
        let placed: Vec<_> =
            names(folder.path(), "a.txt").take_while(|path| !place(&at("new.part"), path).unwrap()).collect();
        assert_eq!(placed, [at("a.txt"), at("a (2).txt")]);
        assert_eq!(fs::read_to_string(at("a.txt")).unwrap(), "old");
        assert_eq!(fs::read_to_string(at("a (3).txt")).unwrap(), "new");
        assert!(!at("new.part").exists());
    }

    #[test]
    fn digests_and_offsets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, vec![7; 3 << 20]).unwrap();
        let file = open_part(&path).unwrap().unwrap();
        let (sha256, size) = digest(&file, &go()).unwrap();
        assert_eq!(size, 3 << 20);
        assert!(is_there(&path, size, &sha256, &go()).unwrap());
        assert!(!is_there(&path, size + 1, &sha256, &go()).unwrap());
        assert!(digest(&file, &AtomicBool::new(true)).is_err());
        assert_eq!(keep(&file, 100).unwrap(), 100);
        assert_eq!(keep(&file, 200).unwrap(), 100, "what is not there is not made up");
        assert!(!is_there(&path, size, &sha256, &go()).unwrap());
        assert_eq!(read(&file, 90, 10).unwrap(), vec![7; 10]);
        assert!(read(&file, 91, 10).is_err());
    }

    #[test]
    fn a_folder_is_made_and_must_have_room() {
        let folder = tempfile::tempdir().unwrap();
        let downloads = folder.path().join("a/b");
        prepare_folder(&downloads, 1000).unwrap();
        assert_eq!(fs::metadata(&downloads).unwrap().permissions().mode() & 0o777, 0o700);
        let error = prepare_folder(&downloads, 1 << 53).unwrap_err();
        assert!(error.kind() == ErrorKind::Storage && error.to_string().contains("are free"), "{error}");
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(prepare_folder(&folder.path().join("file/x"), 0).is_err());
    }
}
