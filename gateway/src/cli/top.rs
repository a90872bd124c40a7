//! `mixgate top`: a running gateway in the terminal, from its admin address.

mod client;
mod show;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use super::{Exit, runtime, stopped};
use crate::cli::print;
use client::Admin;
use show::{Figures, Recent, show};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The gateway's admin address.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    admin: String,
    /// An admin key, where the gateway asks for one; better kept in the environment variable MIXGATE_ADMIN_KEY.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Show it once and end, as for a pipe. Rates are those of one interval.
    #[arg(long)]
    once: bool,
    /// How often to look, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    every: f64,
}

/// To another screen and back, so that the terminal is left as it was.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_REST: &str = "\x1b[J";

pub(super) fn run(args: Args) -> Result<(), Exit> {
    if !(0.2..=3600.0).contains(&args.every) {
        return Err(Exit::Usage(format!("--every {}: 0.2 to 3600 seconds", args.every)));
    }
    let every = Duration::from_secs_f64(args.every);
    let admin = Admin::new(&args.admin, args.key)?;
    let once = args.once || !std::io::stdout().is_terminal();
    runtime()?
        .block_on(async { if once { look_once(&admin, every).await } else { watch(&admin, every).await } })
}

async fn look(admin: &Admin) -> Result<(Figures, Recent), Exit> {
    Ok((admin.get("/api/figures").await?, admin.get("/api/decisions?limit=10").await?))
}

async fn look_once(admin: &Admin, every: Duration) -> Result<(), Exit> {
    let (before, _) = look(admin).await?;
    tokio::time::sleep(every).await;
    let (now, recent) = look(admin).await?;
    print::out!("{}", show(&now, &before, &recent, admin.address()));
    Ok(())
}

/// Shows it again and again until it is interrupted.
async fn watch(admin: &Admin, every: Duration) -> Result<(), Exit> {
    let stopped = stopped().map_err(|error| Exit::Internal(error.to_string()))?;
    let (mut before, recent) = look(admin).await?;
    let _screen = Screen::enter();
    draw(&show(&before, &before, &recent, admin.address()));
    let watching = async {
        let mut tick = tokio::time::interval(every);
        tick.tick().await;
        loop {
            tick.tick().await;
            match look(admin).await {
                Ok((now, recent)) => {
                    draw(&show(&now, &before, &recent, admin.address()));
                    before = now;
                }
                Err(error) => draw(&format!("{error}\nIt is tried again; Ctrl-C ends.")),
            }
        }
    };
    tokio::select! {
        () = stopped => {}
        () = watching => {}
    }
    Ok(())
}

/// The other screen, left when it is dropped.
struct Screen;

impl Screen {
    fn enter() -> Self {
        put(ENTER);
        Self
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        put(LEAVE);
    }
}

/// Writes over what stands there, so that nothing flickers.
fn draw(text: &str) {
    let lines: String = text.lines().map(|line| format!("{line}{CLEAR_LINE}\n")).collect();
    put(&format!("{HOME}{lines}{CLEAR_REST}"));
}

fn put(text: &str) {
    let mut out = anstream::stdout();
    let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
