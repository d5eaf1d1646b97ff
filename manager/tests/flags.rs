//! The flags and exit codes of the `manager` binary, which are a contract.

use std::process::{Command, Output};

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
