//! Requests as people write them, with what was said of each by a network that had read nothing of its writer: what can be
//! shown of a policy before it sees traffic.

use crate::answers::Graded;

/// Labelled requests and what was said of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    pub(crate) requests: Vec<Request>,
}

/// A labelled request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What was asked.
    pub text: String,
    /// Position of the labelled domain.
    pub label: usize,
    /// What a network said that had read nothing of the writer.
    pub seen: Graded,
}

impl Traffic {
    /// The requests.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// What it takes in memory, bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let texts: usize = self.requests.iter().map(|request| request.text.capacity()).sum();
        texts + size_of_val(&self.requests[..])
    }
}
