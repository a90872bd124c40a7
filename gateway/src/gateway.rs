//! A running gateway: both listeners, its tasks, and its end. A process may run several.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::classify::Classifier;
use crate::config::Checked;
use crate::lanes::Lanes;
use crate::reload::Listening;
use crate::server::Plane;
use crate::state::State;
use crate::traces::Tracer;
use crate::{admin, reload, server, stack};

/// Between two looks at idle connections.
const SWEEP: Duration = Duration::from_secs(10);
/// What was cut at the end may take this long to write its record.
const LAST_MOMENTS: Duration = Duration::from_secs(1);
/// A collector may take this long for the last spans.
const LAST_TRACES: Duration = Duration::from_secs(5);
/// Connections the admin listener keeps.
const ADMIN_CONNECTIONS: u32 = 256;

/// A gateway that serves.
#[derive(Debug)]
pub struct Gateway {
    /// Address of the data plane.
    pub data: SocketAddr,
    /// Address of the admin plane.
    pub admin: SocketAddr,
    /// Everything it knows.
    pub state: Arc<State>,
    _lanes: Arc<Lanes>,
}

impl Gateway {
    /// Binds both listeners and serves, clients on these lanes. `path`: the file to reload from; `tracer`: makes
    /// their spans.
    pub async fn start(
        checked: Checked,
        path: Option<PathBuf>,
        classifier: Arc<dyn Classifier>,
        lanes: Lanes,
        tracer: Option<Tracer>,
    ) -> io::Result<Self> {
        let (data_listener, data) = server::bind(&checked.config.server.listen).await?;
        let (admin_listener, admin) = server::bind(&checked.config.server.admin_listen).await?;
        let max_connections = checked.config.server.max_connections;
        for warning in &checked.warnings {
            tracing::warn!("{warning}");
        }
        let state = Arc::new(State::new(checked, path, classifier, tracer)?);
        state.listen(Listening { data, admin });
        let lanes = Arc::new(lanes);
        state.attendants.spawn(server::serve(
            Plane::Data,
            data_listener,
            Arc::clone(&lanes),
            Arc::clone(&state),
            max_connections,
            stack::stack(&state),
        ));
        state.attendants.spawn(server::serve(
            Plane::Admin,
            admin_listener,
            Arc::new(Lanes::ambient()),
            Arc::clone(&state),
            ADMIN_CONNECTIONS,
            admin::service(&state),
        ));
        state.tasks.spawn(sweep(Arc::clone(&state)));
        state.tasks.spawn(admin::figures::remember(Arc::clone(&state)));
        if state.path.is_some() {
            state.tasks.spawn(reload::watch(Arc::clone(&state)));
        }
        Ok(Self { data, admin, state, _lanes: lanes })
    }

    /// Lets running answers end, for at most the configured time, and writes what is left to write. Returns whether
    /// everything ended by itself.
    pub async fn drain(&self) -> bool {
        let limit = self.state.snapshot().config.server.drain_timeout.0;
        let State { draining, halt, in_flight, tasks, attendants, .. } = &*self.state;
        draining.cancel();
        in_flight.close();
        tasks.close();
        tracing::info!("draining: running answers may end, new requests are refused");
        let ended = timeout(limit, tasks.wait()).await.is_ok();
        halt.cancel();
        attendants.close();
        let _ = timeout(LAST_MOMENTS, async { tokio::join!(tasks.wait(), attendants.wait()) }).await;
        let last = Arc::clone(&self.state);
        // both wait, and the traces need this runtime meanwhile
        let _ = tokio::task::spawn_blocking(move || {
            if let Some(tracer) = &last.tracer {
                tracer.shut_down(LAST_TRACES);
            }
            last.ledger.drain();
        })
        .await;
        ended
    }
}

/// Closes idle connections to upstreams that nobody else would look at.
async fn sweep(state: Arc<State>) {
    loop {
        tokio::select! {
            () = state.draining.cancelled() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
        state.sweep_upstreams();
    }
}
