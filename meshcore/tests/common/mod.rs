//! Tests in network namespaces of their own.

use std::process::Command;

const INSIDE: &str = "MESHCHAT_TEST_NAMESPACE";

/// Runs `body` in a network namespace in which nothing but the loopback is up, inside a tokio runtime.
pub(crate) fn in_namespace<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    if std::env::var_os(INSIDE).is_some() {
        ip("link set lo up");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(body());
    }
    let unshare = |options: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(options);
        command
    };
    let works = |options: &[&str]| unshare(options).arg("true").output().is_ok_and(|o| o.status.success());
    let options: &[&str] = match works(&["--net"]) {
        true => &["--net"],
        false => &["--map-root-user", "--net"],
    };
    assert!(
        works(options),
        "no network namespace can be made here: run the test as root, or allow user namespaces"
    );
    let program = std::env::current_exe().unwrap();
    let output = unshare(options)
        .arg(program)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "in the namespace:\n{}", String::from_utf8_lossy(&text));
}

/// Runs ip(8).
pub(crate) fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("ip(8) is needed");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
