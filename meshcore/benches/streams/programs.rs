//! Programs that run beside this one: applications that use the other APIs, in C and in Python.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::kernel::{TRIPS, percentiles};
use crate::namespaces::{Side, World};
use crate::nodes;

/// A program that is ended with this.
pub(crate) struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    command: String,
}

impl Running {
    /// Starts it in this thread's namespace.
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{name}: {error}; `make bench` builds it"));
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output, command: name }
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        if self.output.read_line(&mut line).unwrap() == 0 {
            panic!("{}: {}", self.command, self.child.wait().unwrap());
        }
        line.trim_end().to_owned()
    }

    pub(crate) fn json(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap_or_else(|error| panic!("{}: {error}", self.command))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an application is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Python,
}

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::C, Self::Python];

    pub(crate) fn row(self) -> String {
        format!("stream over `ethernet:IFACE`, in {self:?}")
    }

    fn command(self) -> Command {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = |variable, usual| {
            std::env::var_os(variable).map_or_else(|| source.join("..").join(usual), Into::into)
        };
        match self {
            Self::C => Command::new(program("STREAMS_C", "target/release/streams/application")),
            Self::Python => {
                let mut command = Command::new(program("STREAMS_PYTHON", ".venv/bin/python"));
                command.arg(source.join("benches/streams/application.py"));
                command
            }
        }
    }
}

/// Runs both ends; what the listening or the connecting one prints in the end.
fn run(world: &World, language: Language, part: &str, amount: u64, teller: Side) -> Value {
    let [near_home, far_home] = [Side::Left, Side::Right].map(nodes::home);
    let start = |role: &str, side: Side, home: &Path, more: Option<&str>| {
        world.enter(side);
        let link = format!("ethernet:{}", side.interface());
        let mut command = language.command();
        Running::start(command.args([role, part]).arg(home).args([&link, &amount.to_string()]).args(more))
    };
    let mut far = start("listen", Side::Right, far_home.path(), None);
    let id = far.line();
    let mut near = start("connect", Side::Left, near_home.path(), Some(&id));
    if teller == Side::Left { near.json() } else { far.json() }
}

/// How many a second the listening end has counted.
fn rate(world: &World, language: Language, part: &str, time: Duration) -> f64 {
    let result = run(world, language, part, time.as_secs(), Side::Right);
    let number = |name: &str| result[name].as_f64().expect("a number of the application");
    number("count") / number("seconds")
}

/// Gigabits a second.
pub(crate) fn bulk(world: &World, language: Language, time: Duration) -> Vec<f64> {
    vec![rate(world, language, "bulk", time) * 8e-9]
}

/// Millions a second.
pub(crate) fn messages(world: &World, language: Language, time: Duration) -> Vec<f64> {
    vec![rate(world, language, "messages", time) * 1e-6]
}

/// Median and 99th percentile of the round-trip time in microseconds.
pub(crate) fn trips(world: &World, language: Language) -> Vec<f64> {
    let result = run(world, language, "trips", TRIPS as u64, Side::Left);
    let times = result.as_array().expect("the times of the application");
    let time = |time: &Value| Duration::from_secs_f64(time.as_f64().expect("a time of the application"));
    percentiles(times.iter().map(time).collect())
}
