//! The library as C sees it: header, symbols, soname, and the programs in `c/`, plain and under valgrind.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use common::{Bench, STRICT, VALGRIND, include, library, run, source};

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

/// Compiles the program `c/<name>.c` and runs it behind `wrapper` on a network of its own.
fn run_program(name: &str, wrapper: &[&str]) {
    let bench = Bench::new();
    let folder = bench.path().to_str().expect("folder");
    let program = format!("{folder}/{name}");
    run(Command::new("cc")
        .args(["-std=c99", "-D_POSIX_C_SOURCE=200809L", "-g"])
        .args(STRICT)
        .arg(include())
        .arg(source().join(format!("tests/c/{name}.c")))
        .args(["-o", &program, "-L", folder, "-lmeshchat", "-lpthread"]));
    run(&mut bench.isolated(&[wrapper, &[&program, folder]].concat()));
}

#[test]
fn bad_arguments_are_refused() {
    run_program("arguments", &[]);
}

#[test]
fn bad_arguments_are_refused_under_valgrind() {
    run_program("arguments", &VALGRIND);
}

#[test]
fn two_nodes_talk() {
    run_program("talk", &[]);
}

#[test]
fn two_nodes_talk_under_valgrind() {
    run_program("talk", &VALGRIND);
}

#[test]
fn nodes_know_people() {
    run_program("people", &[]);
}

#[test]
fn nodes_know_people_under_valgrind() {
    run_program("people", &VALGRIND);
}

#[test]
fn nodes_share_a_room() {
    run_program("rooms", &[]);
}

#[test]
fn nodes_share_a_room_under_valgrind() {
    run_program("rooms", &VALGRIND);
}

#[test]
fn threads_share_a_node() {
    run_program("threads", &[]);
}

#[test]
fn threads_share_a_node_under_valgrind() {
    run_program("threads", &VALGRIND);
}

#[test]
fn two_nodes_connect() {
    run_program("connection", &[]);
}

#[test]
fn two_nodes_connect_under_valgrind() {
    run_program("connection", &VALGRIND);
}

#[test]
fn a_node_sends_files() {
    run_program("files", &[]);
}

#[test]
fn a_node_sends_files_under_valgrind() {
    run_program("files", &VALGRIND);
}

/// A cable between two interfaces, before a program.
const CABLE: [&str; 4] = [
    "sh",
    "-c",
    "ip link add a0 type veth peer name b0 && ip link set a0 up && ip link set b0 up && exec \"$@\"",
    "sh",
];

#[test]
fn two_nodes_speak_v1() {
    run_program("insecure", &CABLE);
}

#[test]
fn two_nodes_speak_v1_under_valgrind() {
    run_program("insecure", &[&CABLE[..], &VALGRIND].concat());
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
fn the_netcat_is_c99_and_cpp17() {
    for (compiler, language, standard) in [("cc", "c", "c99"), ("c++", "c++", "c++17")] {
        run(Command::new(compiler)
            .args(["-O2", "-x", language, &format!("-std={standard}")])
            .args(STRICT)
            .args([&include(), "-c", "-o", "/dev/null"])
            .arg(source().join("../examples/c/netcat.c")));
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
    let tests: String =
        ["arguments.c", "talk.c", "people.c", "rooms.c", "insecure.c", "connection.c", "files.c", "check.h"]
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
