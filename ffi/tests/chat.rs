//! The console chat in C: compiled by its own Makefile, used through pipes.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use common::{Bench, VALGRIND, include, run, source};

/// Longest wait for a line: much, for the chats run in valgrind.
const PATIENCE: Duration = Duration::from_secs(120);

const ADA: &str = "843b4728104ea71803bdc41e89f13a6c783fbef81382cd5161afa4a08111c5b8";
const BOB: &str = "4a145e138aae0b50ea7d36cd27e4021ead7e9caf4ad59d7ce4eefbf7f45a4a62";

/// Compiles the chat into the bench and gives its path.
fn build(bench: &Bench) -> String {
    let folder = bench.path().display();
    run(Command::new("make")
        .arg("-C")
        .arg(source().join("../examples/c"))
        .args([format!("PROGRAM={folder}/chat"), format!("MESHCHAT_CFLAGS={}", include())])
        .args([format!("MESHCHAT_LIBS=-L{folder} -lmeshchat"), "CFLAGS=-g -Werror".to_owned()])
        .arg(format!("{folder}/chat")));
    format!("{folder}/chat")
}

/// A running chat and the lines that it writes.
struct Chat {
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Chat {
    fn start(command: &mut Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("chat");
        let input = process.stdin.take().expect("input");
        let output = process.stdout.take().expect("output");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { process, input, lines, seen: Vec::new() }
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the chat reads");
    }

    /// Waits for this line; lines before it are passed over.
    fn wait_for(&mut self, wanted: &str) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(error) => panic!("no line '{wanted}' ({error}) after {:#?}", self.seen),
            }
            if self.seen.last().is_some_and(|line| line == wanted) {
                return;
            }
        }
    }

    /// Waits for these lines one right after the other.
    fn wait_for_all(&mut self, wanted: &[&str]) {
        self.wait_for(wanted[0]);
        for line in &wanted[1..] {
            let next = self.lines.recv_timeout(PATIENCE).expect("a line");
            assert_eq!(next, *line, "after {:#?}", self.seen);
            self.seen.push(next);
        }
    }

    fn expect_exit(mut self, code: i32) {
        drop(self.input);
        let status = self.process.wait().expect("status");
        assert_eq!(status.code(), Some(code), "after {:#?}", self.seen);
    }
}

#[test]
fn two_chats_talk() {
    let bench = Bench::new();
    let program = build(&bench);
    let homes = ["ada", "bob"].map(|name| bench.path().join(name).display().to_string());
    let words = |i: usize, name| {
        let mut words = VALGRIND.to_vec();
        words.extend([&program, "--link=udp", "--home", &homes[i], "--nickname", name]);
        words
    };
    let mut ada = Chat::start(&mut bench.isolated(&words(0, "ada")));
    ada.wait_for(&format!("NODE_ID: {ADA}"));
    let mut beside = Command::new("nsenter");
    beside.args(["-t", &ada.process.id().to_string(), "--user", "--net", "--preserve-credentials"]);
    let mut bob = Chat::start(beside.args(words(1, "bob")).env("LD_LIBRARY_PATH", bench.path()));
    bob.wait_for(&format!("NODE_ID: {BOB}"));

    ada.wait_for(&format!("* found bob {BOB}"));
    ada.type_line("@bob Grüß dich\u{1b}[31m");
    ada.wait_for_all(&[
        "================= NEW =================",
        "You: Grüß dich\u{fffd}[31m",
        "* [1] queued",
    ]);
    bob.wait_for_all(&["ada: Grüß dich\u{fffd}[31m", "* answer with @ada text"]);
    ada.wait_for("* [1] delivered");

    bob.type_line("nobody hears");
    bob.wait_for("! no conversation is open: start one with @<name or id> text");
    bob.type_line(&format!("@{}", &ADA[..8]));
    bob.wait_for("================= NEW =================");
    bob.type_line("from here on");
    bob.wait_for("* [1] delivered");
    ada.wait_for("bob: from here on");
    ada.type_line("/nodes");
    ada.wait_for(&format!("{BOB}  bob  here"));
    // What the chat refuses, for valgrind to see.
    ada.type_line("@");
    ada.wait_for("! name somebody: @<name or id> text");
    ada.type_line(&"x".repeat(2 << 20));
    ada.wait_for("! the line is longer than 1 MiB: nothing was sent");
    ada.input.write_all(b"caf\xe9\n").expect("the chat reads");
    ada.wait_for("! the line is not UTF-8: nothing was sent");
    ada.type_line("@nobody hello");
    ada.wait_for("! no known node is called 'nobody'; list the nodes, or give the full id of 64 digits");
    ada.type_line("/dance now");
    ada.wait_for("! unknown command /dance; /help lists them");
    ada.type_line("/bye");
    ada.wait_for("================= END =================");

    bob.type_line("/exit");
    bob.expect_exit(0);
    ada.wait_for(&format!("* lost bob {BOB}"));
    ada.expect_exit(0);
}

#[test]
fn a_home_in_use_gives_a_temporary_identity() {
    let bench = Bench::new();
    let program = build(&bench);
    let home = bench.path().join("ada").display().to_string();
    let mut first = Chat::start(&mut bench.isolated(&[&program, "--home", &home]));
    first.wait_for(&format!("NODE_ID: {ADA}"));
    let mut second = Chat::start(&mut bench.isolated(&[&program, "--home", &home]));
    second.wait_for_all(&[
        &format!("* the home {home} is in use by a running chat or node; going on with a temporary identity"),
        "* making a key; this takes some seconds",
    ]);
    let line = second.lines.recv_timeout(PATIENCE).expect("a line");
    assert!(line.starts_with("NODE_ID: ") && !line.contains(ADA), "{line}");
    second.expect_exit(0);
    first.expect_exit(0);
}

#[test]
fn invalid_use_exits_with_2() {
    let bench = Bench::new();
    let program = build(&bench);
    let home = bench.path().join("ada").display().to_string();
    let cases: [(&[&str], i32); 6] = [
        (&["--help"], 0),
        (&["--dance"], 2),
        (&["--home"], 2),
        (&["--nickname="], 2),
        (&["--home", &home, "--nickname", "@ada"], 2),
        (&["--home", &home, "--link", "carrier-pigeon"], 2),
    ];
    for (arguments, code) in cases {
        let mut command = bench.isolated(&[&program]);
        let output = command.args(arguments).stdin(Stdio::null()).output().expect("chat");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert_eq!(output.stderr.is_empty(), code == 0, "{arguments:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_told_and_spoils_no_file() {
    let bench = Bench::new();
    let program = build(&bench);
    let home = bench.path().join("ada");
    let run = |redirection: &str| {
        let mut command = bench.isolated(&["sh", "-c"]);
        command.arg(format!("exec {program} --home {} {redirection}", home.display()));
        command.stdin(Stdio::null()).output().expect("chat")
    };
    // Without the stream its number would go to the next file that is opened: one of the home.
    assert_eq!(run("<&- >&- 2>&-").status.code(), Some(0));
    for file in std::fs::read_dir(&home).expect("home") {
        let bytes = std::fs::read(file.expect("entry").path()).expect("file");
        assert!(!bytes.windows(9).any(|part| part == b"NODE_ID: "), "written into a file of the home");
    }
    let full = run(">/dev/full");
    assert_eq!(full.status.code(), Some(1));
    assert!(!full.stderr.is_empty(), "it says why it ends");
}
