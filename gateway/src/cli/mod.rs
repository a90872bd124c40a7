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
mod print;
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
    /// The result cannot be written to standard output: 1.
    Output(String),
    /// We are: 70.
    Internal(String),
}

impl Exit {
    /// The process's exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Input(_) | Self::Output(_) => 1,
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
            Self::Output(message) => write!(out, "mixgate: cannot write to stdout: {message}"),
            Self::Internal(message) => write!(out, "internal error: {message}"),
        }
    }
}

/// Runs the command that the arguments name, and tells what went wrong.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli.run().map_or_else(|exit| told(&exit), |()| ExitCode::SUCCESS),
        // help and the version come this way, too
        Err(said) => match said.print() {
            Err(error) if !said.use_stderr() => {
                print::lost(&error).map_or_else(|exit| told(&exit), |()| ExitCode::SUCCESS)
            }
            _ => ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(2)),
        },
    }
}

fn told(exit: &Exit) -> ExitCode {
    print::err!("{exit}");
    exit.code()
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> Result<(), Exit> {
        self.command.run().and_then(|()| print::ended())
    }
}

impl Command {
    fn run(self) -> Result<(), Exit> {
        match self {
            Self::Serve(args) => serve::run(&args),
            Self::Demo(args) => demo::run(&args),
            Self::Mock(args) => mock::run(args),
            Self::Init(args) => init::run(&args),
            Self::Check(args) => check::run(&args),
            Self::Schema(args) => schema::run(args),
            Self::Top(args) => top::run(args),
            Self::Route(args) => route::run(args),
            Self::Label(args) => label::run(args),
            Self::Calibrate(args) => calibrate::run(&args),
            Self::Catalogue(args) => catalogue::run(args),
            Self::Eval(args) => eval::run(args),
            Self::Compare(args) => compare::run(&args),
            #[cfg(feature = "train")]
            Self::Train(args) => train::run(args),
            Self::HashKey(args) => hash_key::run(args),
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

/// Writes a whole file or leaves the one that there is: what is half written never stands under this name.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Exit> {
    let fault = |error: std::io::Error| Exit::Input(format!("{}: {error}", path.display()));
    // a pipe or a device is written to
    if path.exists() && !path.is_file() {
        return std::fs::write(path, bytes).map_err(fault);
    }
    // where a name leads elsewhere, what it leads to is replaced
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut beside = target.clone().into_os_string();
    beside.push(format!(".{}.tmp", std::process::id()));
    let written = std::fs::File::create(&beside).and_then(|mut file| {
        std::io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, &target)
    });
    written.map_err(|error| {
        // it may not be there at all
        let _gone = std::fs::remove_file(&beside);
        fault(error)
    })
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
