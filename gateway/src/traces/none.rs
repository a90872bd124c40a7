//! Stands where the feature `otel` is not built: there are no spans, and nobody pays for them.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::api::Dialect;
use crate::expert::Expert;
use crate::expert::endpoint::Endpoint;
use crate::record::Finished;

/// There is none.
#[derive(Debug)]
pub enum Tracer {}

/// There is none.
#[derive(Debug)]
pub enum Trace {}

impl Tracer {
    /// Nothing; says so where the environment asks for traces.
    ///
    /// # Errors
    ///
    /// None.
    pub fn from_environment() -> Result<Option<Self>, String> {
        if let Some(variable) = super::wanted() {
            tracing::warn!(
                "{variable} is set, but this mixgate sends no traces: it was built without `otel`"
            );
        }
        Ok(None)
    }

    /// Never called.
    pub fn begin(&self, _dialect: Dialect, _headers: &HeaderMap) -> Option<Trace> {
        match *self {}
    }

    /// Never called.
    pub fn shut_down(&self, _limit: Duration) {
        match *self {}
    }
}

impl Trace {
    /// Never called.
    pub fn attempt(&self, _dialect: Dialect, _expert: &Expert, _endpoint: &Endpoint) -> HeaderMap {
        match *self {}
    }

    /// Never called.
    pub fn answered(&self, _status: StatusCode) {
        match *self {}
    }

    /// Never called.
    pub fn end(&self, _finished: &Finished) {
        match *self {}
    }
}
