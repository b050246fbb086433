//! The library as C sees it: header, symbols, soname, and the programs in `c/`, plain and under valgrind.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

fn source() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn include() -> String {
    format!("-I{}", source().join("../include").display())
}

/// The shared library lies beside this test's executable.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("path of the test");
    let library = test.with_file_name("libmeshchat.so");
    assert!(library.exists(), "{} is not built", library.display());
    library
}

/// Runs to success and gives what it wrote.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; is it installed?"));
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    stdout
}

/// Names of all functions in the header.
fn declared() -> BTreeSet<String> {
    let header = fs::read_to_string(source().join("../include/meshchat.h")).expect("header");
    let code = header.lines().filter(|line| !line.starts_with("//") && !line.starts_with(" *"));
    code.filter_map(|line| {
        let before = line.split_once('(')?.0;
        before.rsplit([' ', '*']).next().filter(|name| name.starts_with("meshchat_")).map(str::to_owned)
    })
    .collect()
}

/// A folder with a compiled program of `c/`, the library under its soname, and homes with keys.
struct Bench {
    folder: TempDir,
    program: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        symlink(library(), folder.path().join("libmeshchat.so.0")).expect("link to the library");
        let program = folder.path().join(name);
        run(Command::new("cc")
            .args(["-std=c99", "-D_POSIX_C_SOURCE=200809L", "-g"])
            .args(STRICT)
            .arg(include())
            .arg(source().join(format!("tests/c/{name}.c")))
            .arg("-o")
            .arg(&program)
            .arg(folder.path().join("libmeshchat.so.0")));
        for (home, key) in [("ada", Some("ada.pem")), ("bob", Some("bob.pem")), ("empty", None)] {
            let home = folder.path().join(home);
            fs::create_dir(&home).expect("home");
            fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("mode of the home");
            if let Some(key) = key {
                let pem = fs::read(source().join("tests/keys").join(key)).expect("key");
                let mut options = fs::File::options();
                let mut file =
                    options.write(true).create_new(true).mode(0o600).open(home.join("identity.pem"));
                std::io::Write::write_all(file.as_mut().expect("key file"), &pem).expect("key file");
            }
        }
        Self { folder, program }
    }

    /// Runs the program on a network of its own, where nothing but it is.
    fn run(&self, wrapper: &[&str]) {
        run(Command::new("unshare")
            .args([
                "--user",
                "--net",
                "--map-root-user",
                "sh",
                "-c",
                "ip link set lo up && exec \"$@\"",
                "sh",
            ])
            .args(wrapper)
            .arg(&self.program)
            .arg(self.folder.path())
            .env("LD_LIBRARY_PATH", self.folder.path()));
    }
}

const VALGRIND: [&str; 5] = [
    "valgrind",
    "--quiet",
    "--leak-check=full",
    "--errors-for-leak-kinds=definite,indirect,possible",
    "--error-exitcode=9",
];

#[test]
fn bad_arguments_are_refused() {
    Bench::new("arguments").run(&[]);
}

#[test]
fn bad_arguments_are_refused_under_valgrind() {
    Bench::new("arguments").run(&VALGRIND);
}

#[test]
fn two_nodes_talk() {
    Bench::new("talk").run(&[]);
}

#[test]
fn two_nodes_talk_under_valgrind() {
    Bench::new("talk").run(&VALGRIND);
}

#[test]
fn the_header_is_c99_and_cpp17() {
    let folder = tempfile::tempdir().expect("folder");
    for (compiler, standard, name) in [("cc", "c99", "h.c"), ("c++", "c++17", "h.cpp")] {
        let file = folder.path().join(name);
        // Twice: the include guard holds. Alone: it needs no other header.
        fs::write(&file, "#include <meshchat.h>\n#include <meshchat.h>\nint main(void) { return 0; }\n")
            .expect("file");
        run(Command::new(compiler)
            .arg(format!("-std={standard}"))
            .args(STRICT)
            .args([&include(), "-fsyntax-only"])
            .arg(file));
    }
}

#[test]
fn the_library_exports_what_the_header_declares() {
    let symbols = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library()));
    let exported: BTreeSet<String> =
        symbols.lines().filter_map(|line| line.split_whitespace().nth(2)).map(str::to_owned).collect();
    assert_eq!(exported, declared());
}

#[test]
fn the_soname_is_the_abi_version() {
    let dynamic = run(Command::new("readelf").arg("-d").arg(library()));
    let soname = format!("[libmeshchat.so.{}]", meshchat::MESHCHAT_ABI_VERSION);
    assert!(dynamic.contains(&soname), "no {soname} in:\n{dynamic}");
}

#[test]
fn every_function_is_tested_from_c() {
    let tests: String = ["arguments.c", "talk.c", "check.h"]
        .map(|name| fs::read_to_string(source().join("tests/c").join(name)).expect("C test"))
        .concat();
    for name in declared() {
        assert!(tests.contains(&format!("{name}(")), "no C test calls {name}");
    }
}

#[test]
fn every_export_is_guarded() {
    let mut exports = BTreeSet::new();
    for entry in fs::read_dir(source().join("src")).expect("sources") {
        let code = fs::read_to_string(entry.expect("source").path()).expect("source");
        for export in code.split("#[unsafe(no_mangle)]\n").skip(1) {
            let (signature, body) = export.split_once("{\n").expect("a body");
            let name = signature.split_once("extern \"C\" fn ").and_then(|(_, rest)| rest.split_once('('));
            let name = name.map(|(name, _)| name.to_owned()).expect("an extern function");
            assert!(body.trim_start().starts_with("guard!"), "{name} is not guarded");
            let body = body.split("\n}\n").next().expect("an end of the body");
            assert!(body.ends_with("\n    }") || body.ends_with("})"), "{name} does more than its guard");
            exports.insert(name);
        }
    }
    assert_eq!(exports, declared());
}
