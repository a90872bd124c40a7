//! `mixgate mock`: the fault-injecting model server as a process of its own.

use super::Exit;
use crate::cli::print;
use crate::mock::{self, Fault, Mock};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// An OpenAI-compatible model server for tests: normal answers, streams, and injected faults.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8001")]
    listen: String,
    /// Name of the model.
    #[arg(long, default_value = "mock-model")]
    model: String,
    /// What goes wrong, as `name[:argument][@times]`; repeatable, used up in order, one per request.
    #[arg(long = "fault", value_name = "FAULT", long_help = fault_help())]
    faults: Vec<Fault>,
    /// Time to the first token, such as 20ms.
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = mock::parse_duration)]
    latency: Duration,
    /// Time between tokens.
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = mock::parse_duration)]
    token_interval: Duration,
    /// Tokens of an answer.
    #[arg(long, default_value_t = 24)]
    tokens: usize,
    /// Answer 404 to every other model name.
    #[arg(long)]
    strict_model: bool,
    /// How much of each prompt is said to come from the cache.
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    cached_percent: usize,
    /// Reasoning tokens per answer: billed, never shown.
    #[arg(long, value_name = "TOKENS", default_value_t = 0)]
    reasoning_tokens: usize,
}

/// Serves until SIGINT or SIGTERM.
pub(crate) fn run(args: Args) -> Result<(), Exit> {
    // one thread: two that wake each other cost more per request, and a load test on the same machine
    // then knows what it shares its cores with
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Exit::Internal(format!("no runtime: {error}")))?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> Result<(), Exit> {
    let cannot_listen = |error| Exit::Input(format!("cannot listen on {}: {error}", args.listen));
    let listener = TcpListener::bind(&args.listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let stop = CancellationToken::new();
    let interrupted = interrupted()?;
    print::err!("mock {} listening on http://{address}/v1", args.model);
    let mock = Arc::new(mock_of(args));
    let mut serving = std::pin::pin!(mock::serve(listener, mock, stop.clone()));
    let served = tokio::select! {
        served = &mut serving => served,
        () = interrupted => {
            stop.cancel();
            serving.await
        }
    };
    served.map_err(|error| Exit::Internal(format!("the port is lost: {error}")))
}

fn mock_of(args: Args) -> Mock {
    Mock {
        model: args.model,
        strict_model: args.strict_model,
        faults: args.faults,
        latency: args.latency,
        token_interval: args.token_interval,
        tokens: args.tokens,
        cached_percent: args.cached_percent,
        reasoning_tokens: args.reasoning_tokens,
        ..Mock::default()
    }
}

/// Listens from now on; comes back with the first signal.
fn interrupted() -> Result<impl Future<Output = ()>, Exit> {
    let listen = |kind| signal(kind).map_err(|error| Exit::Internal(format!("no signals: {error}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn fault_help() -> String {
    let names: Vec<&str> = Fault::names().collect();
    format!(
        "What goes wrong, as `name[:argument][@times]`, such as `stall-after:5` or `status-429:retry-after=2@1`. \
         Repeatable: used up in order, one per request. There are {}.",
        names.join(", ")
    )
}
