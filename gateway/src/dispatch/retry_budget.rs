//! Bounds the calls that follow failed ones, so that a sick upstream is not buried under repeats (Finagle's and
//! linkerd's retry budget, as tower has it).

use std::fmt;
use std::time::Duration;

use tower::retry::budget::{Budget, TpsBudget};

use crate::config::written::Retry;

/// How long a request counts.
const WINDOW: Duration = Duration::from_secs(10);

/// The budget of one gateway.
pub struct RetryBudget(TpsBudget);

impl RetryBudget {
    /// As the configuration says.
    pub fn new(written: Retry) -> Self {
        let share = (written.budget.0 / 100.0) as f32;
        Self(TpsBudget::new(WINDOW, written.min_per_second, share))
    }

    /// A request came.
    pub fn deposit(&self) {
        self.0.deposit();
    }

    /// Whether another call may follow a failed one.
    pub fn withdraw(&self) -> bool {
        self.0.withdraw()
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("RetryBudget")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Percent;
    use crate::config::written::AfterSent;

    #[tokio::test(start_paused = true)]
    async fn a_share_of_the_requests_and_so_many_a_second_may_be_repeated() {
        let retry = Retry { budget: Percent(20.0), min_per_second: 1, after_sent: AfterSent::Once };
        let budget = RetryBudget::new(retry);
        let most = || (0..10_000).take_while(|_| budget.withdraw()).count();
        assert_eq!(most(), 10, "one a second of the window");
        (0..100).for_each(|_| budget.deposit());
        assert_eq!(most(), 20);
        tokio::time::advance(WINDOW * 3).await;
        assert_eq!(most(), 10, "what is older than the window is forgotten");
    }
}
