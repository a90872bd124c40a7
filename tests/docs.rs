//! What `docs/applications.md` shows is run: each of its blocks is a program, and prints what the page says it prints.
//!
//! Each program meets a gateway of its own with the README's small configuration, in front of mock models. What stands
//! behind a block's language, such as `fault=silence`, goes wrong at the expert `coder`. A block of `text`, `json` or
//! `http` shows the output of the program before it: its lines in this order, where `…` stands for anything. A block
//! of another language fails the test: nothing on the page is left out. Commands of the other pages are run by `pages`.

mod pages;
mod run;

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use run::Interpreters;

const PAGE: &str = include_str!("../docs/applications.md");

/// A fenced block.
#[derive(Debug, PartialEq)]
struct Block {
    /// The line of its fence, from 1.
    line: usize,
    language: String,
    /// What stands behind the language.
    remark: String,
    text: String,
}

/// The fenced blocks of a page.
fn blocks(markdown: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = markdown.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let text = line.trim_start();
        assert!(!text.starts_with("~~~"), "line {}: blocks are fenced by ``` here", at + 1);
        let Some(named) = text.strip_prefix("```") else { continue };
        let (language, remark) = named.split_once(' ').unwrap_or((named, ""));
        let inside = |(_, inner): (usize, &str)| {
            let indent = inner.len() - inner.trim_start().len();
            let inner = &inner[indent.min(line.len() - text.len())..];
            (inner != "```").then(|| format!("{inner}\n"))
        };
        let text = lines.by_ref().map_while(inside).collect();
        found.push(Block { line: at + 1, language: language.to_owned(), remark: remark.to_owned(), text });
    }
    found
}

/// A program of the page, and what it is said to print.
struct Program {
    block: Block,
    shown: Vec<Block>,
}

/// Every block of the page has its place here: as a program, or as the output of one.
fn programs(blocks: Vec<Block>) -> Vec<Program> {
    let mut programs: Vec<Program> = Vec::new();
    for block in blocks {
        match (block.language.as_str(), programs.last_mut()) {
            ("sh" | "python" | "js" | "javascript", _) => programs.push(Program { block, shown: Vec::new() }),
            ("text" | "json" | "http", Some(program)) => program.shown.push(block),
            (language, _) => panic!("line {}: nobody runs a block of `{language}` here", block.line),
        }
    }
    programs
}

/// The first line of what is shown that was not printed, in this order.
fn missing<'s>(shown: &'s str, printed: &str) -> Option<&'s str> {
    let mut printed = printed.lines().map(str::trim_end);
    shown.lines().find(|line| !printed.any(|printed| alike(line, printed)))
}

/// `…` stands for anything.
fn alike(shown: &str, printed: &str) -> bool {
    let Some((head, tail)) = shown.split_once('…') else { return shown == printed };
    let Some(rest) = printed.strip_prefix(head) else { return false };
    (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| alike(tail, rest)))
}

/// What is wrong with a program, if anything is.
fn fault(interpreters: &Interpreters, Program { block, shown }: &Program) -> Option<String> {
    let printed = match interpreters.run(block) {
        Ok(printed) => printed,
        Err(how) => return Some(format!("line {}: {how}", block.line)),
    };
    let (line, lacked) =
        shown.iter().find_map(|shown| Some((shown.line, missing(&shown.text, &printed)?)))?;
    Some(format!("line {line}: `{lacked}` was not printed, or not there; this was:\n{printed}"))
}

#[test]
fn every_program_that_is_shown_to_applications_runs_and_prints_what_is_shown() {
    let interpreters = Interpreters::installed();
    // taken from the end, where the slow ones are
    let waiting = Mutex::new(programs(blocks(PAGE)));
    let faults = Mutex::new(String::new());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || {
        while let Some(program) = next() {
            if let Some(fault) = fault(&interpreters, &program) {
                writeln!(faults.lock().unwrap(), "docs/applications.md, {fault}").unwrap();
            }
        }
    };
    std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        (0..workers).for_each(|_| drop(scope.spawn(work)));
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn blocks_are_found_where_a_reader_sees_them() {
    let found = blocks("a `b`\n\n- x\n\n  ```sh fault=html\n  one\n    two\n  ```\n\n```text\n\n```\n");
    let block = |line, language: &str, remark: &str, text: &str| {
        let [language, remark, text] = [language, remark, text].map(str::to_owned);
        Block { line, language, remark, text }
    };
    assert_eq!(found, [block(5, "sh", "fault=html", "one\n  two\n"), block(10, "text", "", "\n")]);
}

#[test]
#[should_panic(expected = "line 1: nobody runs a block of `ruby` here")]
fn a_block_that_nobody_runs_is_a_fault() {
    programs(blocks("```ruby\nputs 1\n```\n"));
}

#[test]
fn what_is_shown_was_printed_in_this_order() {
    let printed = "one\r\nid: 17, two\nthree\n";
    for shown in ["one\n…\nthree\n", "id: …, two\n", "one\nthree\n"] {
        assert_eq!(missing(shown, printed), None);
    }
    for (shown, lacked) in [("three\none\n", "one"), ("id: …, tw\n", "id: …, tw"), ("on\n", "on")] {
        assert_eq!(missing(shown, printed), Some(lacked));
    }
}
