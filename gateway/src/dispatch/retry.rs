//! What comes after a failed attempt. Pure: a table of who was at fault and what is left to try.

use crate::config::written::AfterSent;

/// Who was at fault, as far as it decides what is tried next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The client's request was refused.
    Client,
    /// Whoever configured the expert: a wrong key, an unknown model or path, an account without credit.
    Operator,
    /// A field that the gateway had added was refused.
    AddedField,
    /// No connection: nothing was sent.
    Unreached,
    /// The server asked to be left alone.
    Busy,
    /// The server answered that it failed, or with something that is no answer.
    Broken,
    /// The request was sent, and no answer came: it may have been read and worked on.
    Lost,
    /// The same on a pooled connection that died at once: most likely the server had just closed it.
    Stale,
}

/// What is tried next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The same endpoint, without the field that it refused.
    WithoutField,
    /// The same endpoint, on a fresh connection.
    FreshConnection,
    /// Another endpoint of the same expert.
    OtherEndpoint,
    /// The next candidate.
    OtherCandidate,
    /// Nothing: the client is told.
    Stop,
}

/// What is left to try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    /// Another endpoint of this expert was not tried yet.
    pub(super) endpoints: bool,
    /// A candidate behind this expert.
    pub(super) candidates: bool,
    /// The client named this expert.
    pub(super) named: bool,
    /// What it says of the client's request is told: the client named it, or no fallback is behind it.
    pub(super) last_word: bool,
    /// A field that the gateway added may be left out.
    pub(super) may_omit: bool,
    /// What the configuration says of requests that may have been read.
    pub(super) after_sent: AfterSent,
    /// One of these was repeated already.
    pub(super) repeated: bool,
}

/// Decides what comes after a failure.
pub(super) fn next(fault: Fault, left: Left) -> Next {
    let elsewhere = if left.endpoints { Next::OtherEndpoint } else { Next::OtherCandidate };
    match fault {
        Fault::Client if left.last_word => Next::Stop,
        Fault::AddedField if left.may_omit => Next::WithoutField,
        Fault::Client | Fault::Operator | Fault::AddedField => Next::OtherCandidate,
        Fault::Lost | Fault::Stale if left.after_sent == AfterSent::Never || left.repeated => Next::Stop,
        Fault::Stale => Next::FreshConnection,
        // it may be the request that breaks a model: its one repeat goes to another, where the client did not name this
        Fault::Lost if left.candidates && !left.named => Next::OtherCandidate,
        Fault::Unreached | Fault::Busy | Fault::Broken | Fault::Lost => elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT: Left = Left {
        endpoints: true,
        candidates: true,
        named: false,
        last_word: false,
        may_omit: true,
        after_sent: AfterSent::Once,
        repeated: false,
    };

    #[test]
    fn who_is_at_fault_decides_what_is_tried_next() {
        let alone = Left { endpoints: false, may_omit: false, ..LEFT };
        let named = Left { named: true, last_word: true, ..LEFT };
        let last = Left { candidates: false, last_word: true, ..LEFT };
        for (fault, left, expected) in [
            (Fault::Client, LEFT, Next::OtherCandidate),
            (Fault::Client, named, Next::Stop),
            (Fault::Operator, named, Next::OtherCandidate),
            (Fault::AddedField, named, Next::WithoutField),
            (Fault::AddedField, alone, Next::OtherCandidate),
            (Fault::Unreached, LEFT, Next::OtherEndpoint),
            (Fault::Busy, LEFT, Next::OtherEndpoint),
            (Fault::Broken, alone, Next::OtherCandidate),
            (Fault::Lost, LEFT, Next::OtherCandidate),
            (Fault::Lost, named, Next::OtherEndpoint),
            (Fault::Lost, last, Next::OtherEndpoint),
            (Fault::Lost, alone, Next::OtherCandidate),
            (Fault::Stale, LEFT, Next::FreshConnection),
        ] {
            assert_eq!(next(fault, left), expected, "{fault:?} {left:?}");
        }
    }

    #[test]
    fn what_may_have_been_read_is_repeated_once_at_most() {
        let repeated = Left { repeated: true, ..LEFT };
        let never = Left { after_sent: AfterSent::Never, ..LEFT };
        for left in [repeated, never] {
            assert_eq!(next(Fault::Lost, left), Next::Stop);
            assert_eq!(next(Fault::Stale, left), Next::Stop);
            assert_eq!(
                next(Fault::Broken, left),
                Next::OtherEndpoint,
                "an answer, if a bad one, is another thing"
            );
        }
    }
}
