//! End-to-end tests: real sockets, scripted upstreams, one file per capability.
#![expect(clippy::disallowed_types, reason = "tests look into answers, any place of them")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod answers;
mod attempts;
mod cancel;
mod check;
mod circuits;
mod clients;
mod clocks;
mod commands;
mod connections;
mod console;
mod console_browser;
mod conversations;
mod dashboards;
mod deploy;
mod docs;
mod eval_rules;
mod fallbacks;
mod fuzz_seeds;
mod governance;
mod harness;
mod init;
mod label;
mod log;
mod money;
mod newcomer;
mod operators;
mod output;
mod own_domains;
mod process;
mod reference;
mod refusals;
mod reload;
mod requests;
mod router;
mod routing;
mod rules;
mod streams;
mod tools;
mod traces;
mod world;
