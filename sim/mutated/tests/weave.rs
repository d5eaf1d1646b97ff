//! The weaver puts a bug exactly where it belongs, or says why it cannot.

#![allow(dead_code, reason = "the build uses the rest")]

#[path = "../build/source.rs"]
mod source;
#[path = "../build/story.rs"]
mod story;
#[path = "../build/weave.rs"]
mod weave;

use std::path::Path;

use story::{Mutant, StoryError, parse};
use weave::{Problem, strays, weave};

const HEADER: &str = "number: 7\nname: n\nstory: s\norigin: o\nlaw: R1\nmembership: no\n";

fn mutant(number: u8, places: &[(&str, &str, &str)]) -> Mutant {
    let mut text = HEADER.replace('7', &number.to_string());
    for (at, good, bad) in places {
        text.push_str(&format!("\nat {at}\n<<<<\n{good}\n====\n{bad}\n>>>>\n"));
    }
    parse(&text).expect("a story")
}

fn problems(text: &str, all: &[Mutant]) -> Vec<Problem> {
    weave("a.rs", text, all).expect_err("a problem").into_iter().map(|error| error.problem).collect()
}

#[test]
fn an_expression_is_switched_in_place() {
    let bug = mutant(9, &[("a.rs", "x > 1", "true")]);
    let woven = weave("a.rs", "let y = x > 1 && z;", &[bug]).unwrap();
    assert_eq!(woven, "let y = (if crate::mutant::is(9) { true } else { x > 1 }) && z;");
}

#[test]
fn a_statement_ends_with_a_semicolon_and_may_vanish() {
    let bug = mutant(9, &[("a.rs", "cut(x);", "")]);
    assert_eq!(
        weave("a.rs", "a(); cut(x); b();", &[bug]).unwrap(),
        "a(); if crate::mutant::is(9) {  } else { cut(x); } b();"
    );
}

#[test]
fn white_space_counts_as_one_blank() {
    let bug = mutant(9, &[("a.rs", "a &&\n  b", "c")]);
    assert_eq!(
        weave("a.rs", "if a   &&\n\n b {}", &[bug]).unwrap(),
        "if (if crate::mutant::is(9) { c } else { a   &&\n\n b }) {}"
    );
}

#[test]
fn bugs_may_share_a_place_and_lie_within_each_other() {
    let all = [
        mutant(1, &[("a.rs", "x > 1", "p")]),
        mutant(2, &[("a.rs", "f(x > 1)", "q")]),
        mutant(3, &[("a.rs", "x > 1", "r")]),
        mutant(4, &[("a.rs", "z", "s")]),
    ];
    assert_eq!(
        weave("a.rs", "f(x > 1) z", &all).unwrap(),
        "(if crate::mutant::is(2) { q } else { f((if crate::mutant::is(1) { p } else { \
         (if crate::mutant::is(3) { r } else { x > 1 }) })) }) (if crate::mutant::is(4) { s } else { z })"
    );
}

#[test]
fn places_that_overlap_in_part_are_refused() {
    let all = [mutant(1, &[("a.rs", "a + b", "p")]), mutant(2, &[("a.rs", "b + c", "q")])];
    assert_eq!(problems("a + b + c", &all), [Problem::Overlap("b + c".into(), 1)]);
}

#[test]
fn code_that_is_gone_or_stands_there_twice_is_refused() {
    let all = [mutant(1, &[("a.rs", "gone", "p")]), mutant(2, &[("a.rs", "twice", "q")])];
    let expected = [Problem::Code("gone".into(), 0), Problem::Code("twice".into(), 2)];
    assert_eq!(problems("twice twice", &all), expected);
    let text = weave("a.rs", "twice twice", &all).unwrap_err()[0].to_string();
    assert_eq!(
        text,
        "mutant m01: raft-core/src/a.rs: `gone` is not there any more. The place of the bug has moved: \
         update sim/mutated/mutants/m01-*.edit"
    );
}

#[test]
fn a_place_is_searched_in_its_function_only() {
    let text = "impl A {\n    fn one(x: u8) {\n        if x {\n        }\n        cut;\n    }\n\n    fn other() {\n        cut;\n    }\n}\n";
    let bug = mutant(9, &[("a.rs in other", "cut;", "keep;")]);
    let woven = weave("a.rs", text, &[bug]).unwrap();
    assert_eq!(
        woven,
        text.replace(
            "other() {\n        cut;",
            "other() {\n        if crate::mutant::is(9) { keep; } else { cut; }"
        )
    );
    let nowhere = mutant(9, &[("a.rs in oth", "cut;", "keep;")]);
    assert_eq!(problems(text, &[nowhere]), [Problem::Function("oth".into(), 0)]);
}

#[test]
fn a_place_in_no_file_is_refused() {
    let all = [mutant(1, &[("b.rs", "x", "y")])];
    let found: Vec<_> = strays(&["a.rs".to_string()], &all).map(|error| error.problem).collect();
    assert_eq!(found, [Problem::NoFile]);
}

#[test]
fn a_story_that_is_not_whole_says_what_it_lacks() {
    assert_eq!(parse(HEADER), Err(StoryError::Nowhere));
    assert_eq!(parse(&HEADER.replace("law: R1\n", "")), Err(StoryError::Missing("law")));
    assert_eq!(parse(&HEADER.replace("law: R1", "law:")), Err(StoryError::Header("law:".into())));
    assert_eq!(parse(&HEADER.replace('7', "300")), Err(StoryError::Number("300".into())));
    let perhaps = HEADER.replace("no\n", "perhaps\n");
    assert_eq!(parse(&perhaps), Err(StoryError::Membership("perhaps".into())));
    let at = |rest: &str| parse(&format!("{HEADER}\n{rest}"));
    assert_eq!(at("in a.rs\n"), Err(StoryError::At("in a.rs".into())));
    assert_eq!(at("at a.rs\n<<<<\nx\n"), Err(StoryError::Unfinished("====")));
    assert_eq!(at("at a.rs\n<<<<\n\n====\ny\n>>>>\n"), Err(StoryError::Blank));
}

#[test]
fn numbers_are_given_once() {
    let all = [mutant(1, &[("a.rs", "x", "y")]), mutant(1, &[("a.rs", "x", "z")])];
    assert_eq!(story::repeated(&all).collect::<Vec<_>>(), [StoryError::Repeated(1)]);
}

#[test]
fn a_copied_root_loses_what_only_stands_at_the_top_and_its_modules_have_paths() {
    let text = "//! Crate.\n#![no_std]\nextern crate alloc;\nmod log;\npub use log::Log;\n";
    assert_eq!(
        source::root(text, Path::new("/copy")),
        "extern crate alloc;\n#[path = \"/copy/log.rs\"]\nmod log;\npub use log::Log;\n"
    );
    let module = source::module("//! Module.\npub(crate) mod part;\n", Path::new("/copy/log.rs"));
    assert_eq!(module, "//! Module.\n#[path = \"/copy/log/part.rs\"]\npub(crate) mod part;\n");
}
