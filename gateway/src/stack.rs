//! Every layer on one page, outermost first.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tower::{Service, ServiceBuilder, service_fn};

use crate::body::Body;
use crate::layer::catch_panic::CatchPanic;
use crate::layer::deadline::Deadline;
use crate::layer::in_flight::InFlight;
use crate::layer::recorded::Recorded;
use crate::layer::request_id::SetRequestId;
use crate::layer::{Answering, Entry};
use crate::route::route;
use crate::state::State;

/// The service of the data plane.
pub fn stack(
    state: &Arc<State>,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    let leaf = Arc::clone(state);
    ServiceBuilder::new()
        .layer(SetRequestId) // first, so that every answer carries the id, the record's too
        .layer(Recorded(Arc::clone(state))) // outside of everything that can end a request
        .layer(CatchPanic) // inside the record, so that a panic is an outcome
        .layer(InFlight(Arc::clone(state))) // before any work is done for the request
        .layer(Deadline) // innermost: it ends waiting, not bookkeeping
        .service(service_fn(move |entry: Entry| -> Answering { Box::pin(route(Arc::clone(&leaf), entry)) }))
}
