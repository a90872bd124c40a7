//! What must see a request both on its way in and on its way out. A check that looks once is a function instead.

pub mod catch_panic;
pub mod deadline;
pub mod in_flight;
pub mod recorded;
pub mod request_id;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use http::Response;

use crate::body::Body;

/// The future of every layer: a failure is already a response.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
