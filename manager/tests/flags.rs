//! The flags and exit codes of the `manager` binary, which are a contract.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};

fn manager(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_manager"));
    command.args(arguments).output().expect("the binary of this package can be run")
}

fn serve(id: &str, managers: &str) -> Output {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let data = dir.path().join("data");
    let data = data.to_str().expect("temporary directories have plain names");
    let (listen, http) = ("127.0.0.1:0", "127.0.0.1:0");
    manager(&[
        "serve",
        "--id",
        id,
        "--listen",
        listen,
        "--http",
        http,
        "--managers",
        managers,
        "--data",
        data,
    ])
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_to_write() {
    let output = manager(&["serve"]);
    assert_eq!(output.status.code(), Some(2));
    for flag in ["--id", "--listen", "--http", "--managers", "--data"] {
        assert!(stderr(&output).contains(flag), "{}", stderr(&output));
    }
    for (list, hint) in [
        ("", "the list is empty"),
        ("127.0.0.1:7101", "has no '='"),
        ("101=127.0.0.1", "names no port"),
        ("101=a:1,101=b:1", "listed twice"),
    ] {
        let output = serve("101", list);
        assert_eq!(output.status.code(), Some(2), "{list}");
        assert!(stderr(&output).contains(hint), "{list}: {}", stderr(&output));
    }
    assert_eq!(serve("one", "1=a:1").status.code(), Some(2));
}

#[test]
fn a_manager_that_is_not_in_its_own_list_does_not_start() {
    let output = serve("104", "101=127.0.0.1:7101,102=127.0.0.1:7102");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("manager 104 is not in the list of managers"), "{}", stderr(&output));
}

#[test]
fn help_shows_an_example_on_standard_output() {
    let output = manager(&["serve", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(help.contains("manager serve --id 101 --listen 127.0.0.1:7101"), "{help}");
}

#[test]
fn a_manager_says_when_it_is_ready_and_stops_cleanly_on_sigterm() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let mut running = Command::new(env!("CARGO_BIN_EXE_manager"))
        .args(["serve", "--id", "101", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .args(["--managers", "101=127.0.0.1:7101", "--data"])
        .arg(dir.path().join("data"))
        .env("RUST_LOG", "off")
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary of this package can be run");
    let mut stderr = BufReader::new(running.stderr.take().expect("stderr is piped"));
    let mut ready = String::new();
    stderr.read_line(&mut ready).expect("a line comes or the process ends");
    let killed = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", running.id())).status();
    assert!(killed.is_ok_and(|status| status.success()));
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("the rest of the log is text");
    let status = running.wait().expect("the process can be waited for");
    assert!(ready.starts_with("manager 101 is ready: peers on 127.0.0.1:"), "{ready}{rest}");
    assert!(ready.contains("http://127.0.0.1:"), "{ready}");
    assert_eq!(status.code(), Some(0), "{rest}");
    assert!(rest.contains("manager 101 is stopping"), "{rest}");
}
