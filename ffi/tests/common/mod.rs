//! What the tests of the C side share.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Warnings that a C compiler is to take for errors.
pub(crate) const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// The folder of this package.
pub(crate) fn source() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The option that finds the header.
pub(crate) fn include() -> String {
    format!("-I{}", source().join("../include").display())
}

/// The shared library lies beside this test's executable.
pub(crate) fn library() -> PathBuf {
    let test = std::env::current_exe().expect("path of the test");
    let library = test.with_file_name("libmeshchat.so");
    assert!(library.exists(), "{} is not built", library.display());
    library
}

/// Runs to success and gives what it wrote.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; is it installed?"));
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    stdout
}

/// A memory checker in front of a program: it ends with 9 when it found something.
pub(crate) const VALGRIND: [&str; 5] = [
    "valgrind",
    "--quiet",
    "--leak-check=full",
    "--errors-for-leak-kinds=definite,indirect,possible",
    "--error-exitcode=9",
];

/// A folder with the library under its soname, and homes: `ada` and `bob` with keys, `empty` without.
pub(crate) struct Bench {
    folder: TempDir,
}

impl Bench {
    /// A new folder.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        // The name for the loader, and the one for the linker.
        for name in ["libmeshchat.so.0", "libmeshchat.so"] {
            symlink(library(), folder.path().join(name)).expect("link to the library");
        }
        let bench = Self { folder };
        bench.add_home("ada", Some("ada.pem"));
        bench.add_home("bob", Some("bob.pem"));
        bench.add_home("empty", None);
        bench
    }

    fn add_home(&self, home: &str, key: Option<&str>) {
        let home = self.path().join(home);
        fs::create_dir(&home).expect("home");
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("mode of the home");
        if let Some(key) = key {
            let pem = fs::read(source().join("tests/keys").join(key)).expect("key");
            let mut options = fs::File::options();
            let options = options.write(true).create_new(true).mode(0o600);
            options
                .open(home.join("identity.pem"))
                .and_then(|mut file| file.write_all(&pem))
                .expect("key file");
        }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A command that runs `words` on a network of its own, where nothing else is.
    pub(crate) fn isolated(&self, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command
            .args([
                "--user",
                "--net",
                "--map-root-user",
                "sh",
                "-c",
                "ip link set lo up && exec \"$@\"",
                "sh",
            ])
            .args(words)
            .env("LD_LIBRARY_PATH", self.path());
        command
    }
}
