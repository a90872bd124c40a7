//! `mixgate serve`: the gateway until SIGTERM or SIGINT, then drained.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Exit, Stop, runtime};
use crate::gateway::Gateway;
use crate::lanes::Lanes;
use crate::logs::{self, Logs};
use crate::router_file;
use crate::state::State;
use crate::traces::Tracer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration.
    #[arg(long, default_value = "experts.yaml")]
    config: PathBuf,
    /// What is logged to standard error, such as `info` or `gateway=debug`.
    #[arg(long, default_value = "info")]
    log: String,
    /// Logs as JSON, one object a line; also where standard error is no terminal.
    #[arg(long)]
    log_json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let logs = start_logs(args)?;
    let served = serve(args);
    logs.finish();
    served
}

fn serve(args: &Args) -> Result<(), Exit> {
    let loaded = router_file::load(&args.config);
    let (checked, classifier) = loaded.map_err(|faults| Exit::Input(faults.to_string()))?;
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        // listened to before anything is told of this process: a signal that comes early is not lost
        let signals = || Ok::<_, std::io::Error>((Stop::listen()?, signal(SignalKind::hangup())?));
        let (mut stop, hangup) =
            signals().map_err(|error| Exit::Internal(format!("no signals: {error}")))?;
        let lanes = Lanes::per_core().map_err(|error| Exit::Internal(format!("no threads: {error}")))?;
        let tracer = Tracer::from_environment().map_err(Exit::Input)?;
        let gateway = Gateway::start(checked, Some(args.config.clone()), classifier, lanes, tracer).await;
        let gateway = gateway.map_err(|error| Exit::Input(error.to_string()))?;
        tracing::info!(data = %gateway.data, admin = %gateway.admin, config = %args.config.display(), "serving");
        gateway.state.tasks.spawn(reload_on(hangup, Arc::clone(&gateway.state)));
        stop.next().await;
        tokio::select! {
            ended = gateway.drain() => {
                if !ended {
                    tracing::warn!("the drain timeout passed; what still ran was cut");
                }
            }
            () = stop.next() => tracing::warn!("told to stop once more: what still ran was cut"),
        }
        tracing::info!("stopped");
        Ok(())
    });
    // what was cut is not waited for
    runtime.shutdown_background();
    served
}

async fn reload_on(mut hangup: Signal, state: Arc<State>) {
    loop {
        tokio::select! {
            () = state.draining.cancelled() => return,
            _ = hangup.recv() => {}
        }
        let worker = Arc::clone(&state);
        let both = move || {
            if let Err(error) = worker.ledger.reopen() {
                tracing::error!(%error, "the decision log could not be opened anew; it goes on in its old file");
            }
            // its result is in the log and the metric already
            let _ = worker.reload();
        };
        let _ = tokio::task::spawn_blocking(both).await;
    }
}

fn start_logs(args: &Args) -> Result<Logs, Exit> {
    let filter =
        EnvFilter::try_new(&args.log).map_err(|error| Exit::Usage(format!("--log {}: {error}", args.log)))?;
    let terminal = std::io::stderr().is_terminal();
    let started = logs::start(filter, args.log_json || !terminal, terminal);
    started.map_err(|error| Exit::Internal(format!("logs cannot be started: {error}")))
}
