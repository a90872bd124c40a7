//! Every layer on one page, outermost first.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tower::{Service, ServiceBuilder, service_fn};

use crate::body::Body;
use crate::layer::Answering;
use crate::layer::catch_panic::CatchPanic;
use crate::layer::deadline::Deadline;
use crate::layer::in_flight::InFlight;
use crate::layer::recorded::Recorded;
use crate::layer::request_id::SetRequestId;
use crate::record::Record;
use crate::route::route;
use crate::state::State;

/// The service of the data plane.
pub fn stack(
    state: &Arc<State>,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = Answering>
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
        .service(service_fn(move |request: Request<Incoming>| {
            let state = Arc::clone(&leaf);
            let record = request.extensions().get::<Arc<Record>>().cloned();
            let record = record.unwrap_or_else(|| Arc::new(Record::new(String::new(), state.snapshot())));
            route(state, record, request)
        }))
}
