//! Three real processes: what the bank promises when ATMs die, freeze and come back.

mod support;

use std::io::{BufRead, BufReader};
use std::time::Instant;

use support::{Atms, Ended, until};

/// Neither done nor refused by the bank: what an ATM may say that cannot reach a majority.
fn assert_says_that_it_does_not_know(ended: &Ended) {
    let refused = ended.code == 1 && ended.out.starts_with("no majority: nothing was done");
    let unknown = ended.code == 3 && ended.out.starts_with("unknown outcome: ");
    assert!(refused || unknown, "{ended:?}");
    assert!(refused || ended.err.starts_with("Hint: "), "an unknown outcome says what to do next: {ended:?}");
}

/// The other two.
fn others(id: usize) -> [usize; 2] {
    [id % 3 + 1, (id + 1) % 3 + 1]
}

#[test]
fn the_bank_goes_on_without_its_leading_atm_which_catches_up_when_it_is_back() {
    let mut atms = Atms::start();
    assert_eq!(atms.settle(1, "deposit alice 50.00"), ("done: alice has 50.00".to_owned(), 0));
    assert_eq!(atms.read(2, "balance alice"), "alice has 50.00");
    assert_eq!(atms.settle(2, "deposit bob 5"), ("done: bob has 5.00".to_owned(), 0));

    let dead = atms.leader();
    let [second, third] = others(dead);
    atms.kill(dead);
    let killed = Instant::now();
    let transferred = atms.settle(third, "transfer alice bob 20.00");
    println!("the next operation was done {:?} after the leading ATM was killed", killed.elapsed());
    assert_eq!(transferred, ("done: alice has 30.00, bob has 25.00".to_owned(), 0));

    let refused = atms.settle(second, "withdraw alice 80.00");
    assert_eq!(refused, ("refused: alice has 30.00, less than 80.00".to_owned(), 1));

    atms.spawn(dead);
    let history = atms.history(dead);
    assert_eq!(history, atms.history(second));
    assert_eq!(history, atms.history(third));
    let sentences: Vec<_> =
        history["operations"].as_array().unwrap().iter().map(|o| &o["sentence"]).collect();
    let expected = [
        "alice has 50.00",
        "bob has 5.00",
        "alice has 30.00, bob has 25.00",
        "alice has 30.00, less than 80.00",
    ];
    assert_eq!(sentences, expected);
    assert_eq!(atms.read(dead, "balance bob"), "bob has 25.00");
}

#[test]
fn an_atm_cut_from_the_others_never_shows_a_balance() {
    let atms = Atms::start();
    atms.settle(1, "deposit alice 50.00");
    let leader = atms.leader();
    for cut in [leader, others(leader)[0]] {
        let balance = atms.read(cut, "balance alice");
        others(cut).iter().for_each(|&other| atms.freeze(other));
        for line in ["balance alice", "history", "accounts"] {
            assert_says_that_it_does_not_know(&atms.exec_with(cut, line, &["--timeout", "1s"]));
        }
        others(cut).iter().for_each(|&other| atms.thaw(other));
        for id in 1..=3 {
            assert_eq!(atms.read(id, "balance alice"), balance);
        }
    }
}

#[test]
fn an_operation_at_a_cut_atm_is_done_once_or_not_at_all() {
    let atms = Atms::start();
    atms.settle(1, "deposit alice 50.00");
    let cut = atms.leader();
    others(cut).iter().for_each(|&other| atms.freeze(other));
    let ended = atms.exec_with(cut, "deposit alice 1.00", &["--timeout", "1s"]);
    assert_says_that_it_does_not_know(&ended);
    if ended.code == 3 {
        // A retry that fails as well does not turn the unknown into a refusal.
        assert_eq!(atms.exec_with(cut, "retry", &["--timeout", "1s"]).code, 3);
    }
    others(cut).iter().for_each(|&other| atms.thaw(other));
    let expected = if ended.code == 3 {
        atms.settle(cut, "retry");
        "alice has 51.00"
    } else {
        "alice has 50.00"
    };
    for id in 1..=3 {
        assert_eq!(atms.read(id, "balance alice"), expected);
    }
}

#[test]
fn a_deposed_leader_that_wakes_up_alone_does_not_show_the_balance_it_remembers() {
    let atms = Atms::start();
    atms.settle(1, "deposit alice 50.00");
    let old = atms.leader();
    let [second, third] = others(old);
    atms.freeze(old);
    assert_eq!(atms.settle(second, "withdraw alice 30.00"), ("done: alice has 20.00".to_owned(), 0));
    atms.freeze(second);
    atms.freeze(third);
    atms.thaw(old);
    let ended = atms.exec_with(old, "balance alice", &["--timeout", "1s"]);
    assert_says_that_it_does_not_know(&ended);
    assert!(!ended.out.contains("50.00"));
    atms.thaw(second);
    atms.thaw(third);
    assert_eq!(atms.read(old, "balance alice"), "alice has 20.00");
}

#[test]
fn what_was_done_is_there_after_all_were_killed_at_once() {
    let mut atms = Atms::start();
    atms.settle(2, "deposit alice 50.00");
    for id in 1..=3 {
        atms.kill(id);
    }
    for id in 1..=3 {
        atms.spawn(id);
    }
    for id in 1..=3 {
        assert_eq!(atms.read(id, "balance alice"), "alice has 50.00");
    }
}

#[test]
fn an_atm_executes_the_lines_of_a_pipe_and_stays_a_member_until_a_signal() {
    let mut atms = Atms::prepare();
    let lines = "deposit alice 50.00\n\nsteal alice 50.00\nwithdraw alice 80.00\nbalance alice\n";
    let replies = atms.spawn_typing(1, lines);
    atms.spawn(2);
    atms.spawn(3);
    let replies: Vec<String> = BufReader::new(replies).lines().take(3).map(Result::unwrap).collect();
    let expected = ["done: alice has 50.00", "refused: alice has 50.00, less than 80.00", "alice has 50.00"];
    assert_eq!(replies, expected);

    assert_eq!(atms.settle(1, "withdraw alice 1").1, 0);
    atms.kill(2);
    assert_eq!(atms.read(3, "balance alice"), "alice has 49.00", "ATM 1 is needed for a majority");
    assert_eq!(atms.terminate(1), Some(0));
    let alone = atms.exec_with(3, "balance alice", &["--timeout", "1s"]);
    assert_says_that_it_does_not_know(&alone);
}

#[test]
fn exec_says_when_no_atm_runs_there() {
    let mut atms = Atms::prepare();
    let ended = atms.exec(1, "deposit alice 50.00");
    assert_eq!(ended.code, 1);
    assert!(ended.out.starts_with("no ATM runs at 127.0.0.1:"), "{ended:?}");

    atms.spawn(1);
    until("the ATM takes commands", || atms.status(1));
    atms.kill(1);
    assert_eq!(atms.exec(1, "status").code, 1, "a socket left behind is no ATM");
}

#[test]
fn wrong_usage_is_told_on_standard_error_with_exit_code_2() {
    let atms = Atms::prepare();
    for line in ["", "deposit alice", "deposit alice -5", "deposit alice 1.234", "deposit al/ice 5", "steal"]
    {
        let ended = atms.exec(1, line);
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{line:?}");
        assert!(!ended.err.is_empty());
    }
}
