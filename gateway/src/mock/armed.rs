//! Which fault hits next. Faults are used up in the order in which they were written, and can be exchanged
//! while the server runs.

use super::fault::{Fault, Kind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The faults of a running mock.
pub(super) struct Armed {
    faults: Mutex<Vec<Counted>>,
    /// Rings when the faults were exchanged: the port may have to close.
    pub(super) changed: Notify,
}

struct Counted {
    fault: Fault,
    hits: u64,
}

/// When a fault can hit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Listening,
    Accepted,
    /// A request, and how many its connection had before.
    Asked {
        before: u64,
    },
}

impl Armed {
    pub(super) fn new(faults: &[Fault]) -> Armed {
        Armed { faults: Mutex::new(counted(faults)), changed: Notify::new() }
    }

    pub(super) fn exchange(&self, faults: &[Fault]) {
        *self.lock() = counted(faults);
        self.changed.notify_one();
    }

    /// The first fault that is for this moment and not used up.
    pub(super) fn next(&self, moment: Moment) -> Option<Kind> {
        let mut faults = self.lock();
        let next =
            faults.iter_mut().find(|counted| moment.suits(&counted.fault.kind) && counted.is_left(moment))?;
        next.hits += 1;
        Some(next.fault.kind.clone())
    }

    /// The faults as written, and how often each has hit.
    pub(super) fn hits(&self) -> Vec<(String, u64)> {
        self.lock().iter().map(|counted| (counted.fault.to_string(), counted.hits)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Counted>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn is_left(&self, moment: Moment) -> bool {
        match moment {
            // the fault has a time of its own; behind it the port stays open
            Moment::Listening => self.hits == 0,
            _ => self.fault.times.is_none_or(|times| self.hits < times),
        }
    }
}

impl Moment {
    fn suits(self, kind: &Kind) -> bool {
        match kind {
            Kind::Refuse(_) | Kind::ConnectHang(_) => self == Moment::Listening,
            Kind::SlowConnect(_) => self == Moment::Accepted,
            Kind::CloseOnReuse => matches!(self, Moment::Asked { before: 1.. }),
            _ => matches!(self, Moment::Asked { .. }),
        }
    }
}

fn counted(faults: &[Fault]) -> Vec<Counted> {
    faults.iter().map(|fault| Counted { fault: fault.clone(), hits: 0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armed(faults: &[&str]) -> Armed {
        Armed::new(&faults.iter().map(|fault| fault.parse().unwrap()).collect::<Vec<Fault>>())
    }

    #[test]
    fn faults_are_used_up_in_order() {
        let armed = armed(&["html@1", "empty@2"]);
        let hits: Vec<_> = (0..4).map(|_| armed.next(Moment::Asked { before: 0 })).collect();
        assert_eq!(hits, [Some(Kind::Html), Some(Kind::Empty), Some(Kind::Empty), None]);
        assert_eq!(armed.hits(), [("html@1".to_owned(), 1), ("empty@2".to_owned(), 2)]);
    }

    #[test]
    fn a_fault_waits_for_its_moment() {
        let armed = armed(&["refuse", "slow-connect:1s@1", "close-on-reuse"]);
        assert_eq!(armed.next(Moment::Asked { before: 0 }), None);
        assert_eq!(armed.next(Moment::Asked { before: 1 }), Some(Kind::CloseOnReuse));
        assert!(armed.next(Moment::Accepted).is_some() && armed.next(Moment::Accepted).is_none());
        assert_eq!(armed.next(Moment::Listening), Some(Kind::Refuse(None)));
        assert_eq!(armed.next(Moment::Listening), None);
    }
}
