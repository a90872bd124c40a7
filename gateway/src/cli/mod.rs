//! The command line: one file per command. Results go to standard output, everything else to standard error.

mod calibrate;
mod catalogue;
mod check;
mod compare;
mod demo;
mod eval;
mod hash_key;
mod init;
mod label;
mod mock;
mod route;
mod schema;
mod serve;
mod svg;
mod top;
#[cfg(feature = "train")]
mod train;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use router_model::RouterModel;
use sha2::{Digest, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// One endpoint in front of many models: each request goes to the expert that suits it.
#[derive(Debug, Parser)]
#[command(
    name = "mixgate",
    version,
    propagate_version = true,
    after_help = "Start with `mixgate demo`: it needs no key, no network, no configuration."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT, then drain; SIGHUP reloads.
    Serve(serve::Args),
    /// Show it at work on this machine, with simulated models.
    Demo(demo::Args),
    /// Run an OpenAI-compatible model server for tests, with injected faults.
    Mock(mock::Args),
    /// Write a first configuration: asks for models, calls them, and takes known figures over.
    Init(init::Args),
    /// Validate a configuration and print what it resolves to.
    Check(check::Args),
    /// Print the JSON Schema of the configuration.
    Schema(schema::Args),
    /// A running gateway, live in the terminal.
    Top(top::Args),
    /// Dry run: the decision for a prompt, and what decided it.
    Route(route::Args),
    /// Label prompts of one's own traffic by hand, the most uncertain first.
    Label(label::Args),
    /// Teach the router model one's own experts from graded answers, and see what it may promise.
    Calibrate(calibrate::Args),
    /// List the models that the router model knows from graded answers.
    Catalogue(catalogue::Args),
    /// Judge the router model on labelled prompts or graded answers.
    Eval(eval::Args),
    /// Can several small models stand in for a large one? Answer it from graded answers.
    Compare(compare::Args),
    /// Make a router model from labelled prompts.
    #[cfg(feature = "train")]
    Train(train::Args),
    /// Read a key on standard input, print its hash for the configuration.
    HashKey(hash_key::Args),
}

/// Why a command failed.
#[derive(Debug)]
pub enum Exit {
    /// The input is at fault: exit code 1.
    Input(String),
    /// The command line is: 2.
    Usage(String),
    /// We are: 70.
    Internal(String),
}

impl Exit {
    /// The process's exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Input(_) => 1,
            Self::Usage(_) => 2,
            Self::Internal(_) => 70,
        })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(message) | Self::Usage(message) if message.starts_with("error") => {
                out.write_str(message)
            }
            Self::Input(message) | Self::Usage(message) => write!(out, "error: {message}"),
            Self::Internal(message) => write!(out, "internal error: {message}"),
        }
    }
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> Result<(), Exit> {
        match self.command {
            Command::Serve(args) => serve::run(&args),
            Command::Demo(args) => demo::run(&args),
            Command::Mock(args) => mock::run(args),
            Command::Init(args) => init::run(&args),
            Command::Check(args) => check::run(&args),
            Command::Schema(args) => schema::run(args),
            Command::Top(args) => top::run(args),
            Command::Route(args) => route::run(args),
            Command::Label(args) => label::run(args),
            Command::Calibrate(args) => calibrate::run(&args),
            Command::Catalogue(args) => catalogue::run(args),
            Command::Eval(args) => eval::run(args),
            Command::Compare(args) => compare::run(&args),
            #[cfg(feature = "train")]
            Command::Train(args) => train::run(args),
            Command::HashKey(args) => hash_key::run(args),
        }
    }
}

/// The router model of a command: `builtin`, or a file.
fn load_router_model(model: &str) -> Result<RouterModel, Exit> {
    if model == "builtin" {
        return RouterModel::builtin().map_err(|error| Exit::Internal(error.to_string()));
    }
    let bytes = std::fs::read(model).map_err(|error| Exit::Input(format!("{model}: {error}")))?;
    RouterModel::from_bytes(&bytes).map_err(|error| Exit::Input(format!("{model}: {error}")))
}

/// The SHA-256 of a file, in hexadecimal digits.
fn sha256(path: &Path) -> Result<String, Exit> {
    let bytes = std::fs::read(path).map_err(|error| Exit::Input(format!("{}: {error}", path.display())))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The asynchronous runtime of a command.
fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Exit::Internal(format!("no runtime: {error}")))
}

/// The signals that end a command, listened to from the start on.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Self> {
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: signal(terminate)?, interrupt: signal(interrupt)? })
    }

    /// Resolves on the next SIGTERM or SIGINT.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Resolves on SIGTERM or SIGINT; they are listened to from the call on.
fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let mut stop = Stop::listen()?;
    Ok(async move { stop.next().await })
}
