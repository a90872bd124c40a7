//! One call to one endpoint, as the record keeps it.

use std::sync::Arc;

use serde::Serialize;

use crate::expert::endpoint::Endpoint;

/// One call to one endpoint, while its request runs.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Name of the expert.
    pub expert: Arc<str>,
    /// Where.
    pub endpoint: Arc<Endpoint>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The upstream's status, where it came to one.
    pub status: Option<u16>,
    /// How long it took, to the microsecond.
    pub millis: f64,
}

/// One call to one endpoint, as it is written down: records are kept for long, and must keep no connections.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// Name of the expert.
    pub expert: Arc<str>,
    /// Where.
    pub endpoint: Arc<str>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The upstream's status, where it came to one.
    pub status: Option<u16>,
    /// How long it took, to the microsecond.
    pub millis: f64,
}

impl From<Attempt> for Call {
    fn from(attempt: Attempt) -> Self {
        let Attempt { expert, endpoint, outcome, status, millis } = attempt;
        Self { expert, endpoint: Arc::clone(&endpoint.authority), outcome, status, millis }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// A whole answer.
    Ok,
    /// The client left.
    Cancelled,
    /// A refusal of the request itself.
    ClientError,
    /// The gateway's key was refused.
    AuthError,
    /// The account is out of credit or quota.
    OutOfCredit,
    /// The upstream does not know the model.
    UnknownModel,
    /// The upstream has no such path.
    NotFound,
    /// A field that the gateway had added was refused.
    RefusedField,
    /// Too many requests, by the upstream's word.
    RateLimited,
    /// The upstream said that it failed.
    ServerError,
    /// What came is no answer.
    Malformed,
    /// No connection.
    ConnectError,
    /// The connection broke before the commit.
    Reset,
    /// A pooled connection died at once.
    StaleConnection,
    /// Too late.
    Timeout,
    /// A committed answer broke off.
    Incomplete,
}

impl AttemptOutcome {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 16] = [
        Self::Ok,
        Self::Cancelled,
        Self::ClientError,
        Self::AuthError,
        Self::OutOfCredit,
        Self::UnknownModel,
        Self::NotFound,
        Self::RefusedField,
        Self::RateLimited,
        Self::ServerError,
        Self::Malformed,
        Self::ConnectError,
        Self::Reset,
        Self::StaleConnection,
        Self::Timeout,
        Self::Incomplete,
    ];

    /// As in records and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Cancelled => "cancelled",
            Self::ClientError => "client_error",
            Self::AuthError => "auth_error",
            Self::OutOfCredit => "out_of_credit",
            Self::UnknownModel => "unknown_model",
            Self::NotFound => "not_found",
            Self::RefusedField => "refused_field",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Malformed => "malformed",
            Self::ConnectError => "connect_error",
            Self::Reset => "reset",
            Self::StaleConnection => "stale_connection",
            Self::Timeout => "timeout",
            Self::Incomplete => "incomplete",
        }
    }
}
