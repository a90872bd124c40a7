//! Closes the books of a request: prices its tokens, counts it, hands the record to the ledger. Called exactly
//! once, by the guard in the response's body, however the request ends.

use std::sync::Arc;
use std::time::Duration;

use crate::meter::{ExpertMeter, Meter};
use crate::price::MicroUsd;
use crate::record::{Facts, Finished, Outcome, Record, millis};
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::usage::Usage;

/// What an answer cost, and what it would have cost at the fallback. `None`: unpriced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bill {
    /// Cost of the answer and of the attempts that were thrown away.
    pub cost: Option<MicroUsd>,
    /// Of that, the attempts that were thrown away.
    pub retried: MicroUsd,
    /// The answer's tokens at the fallback's price.
    pub baseline: Option<MicroUsd>,
}

impl Bill {
    /// Baseline less cost.
    pub fn saved(&self) -> Option<MicroUsd> {
        Some(self.baseline? - self.cost?)
    }
}

/// Prices what `served` answered.
pub fn bill(snapshot: &Snapshot, served: usize, usage: &Usage, retried: &[(usize, Usage)]) -> Bill {
    let price = |expert: usize, usage: &Usage| snapshot.experts[expert].cost(usage);
    let retried: MicroUsd = retried.iter().filter_map(|(expert, usage)| price(*expert, usage)).sum();
    // what one upstream says it cost is no price of another
    let comparable = served == snapshot.fallback || !snapshot.experts[snapshot.fallback].reports_cost;
    let baseline = price(snapshot.fallback, usage).filter(|_| comparable);
    Bill { cost: price(served, usage).map(|cost| cost + retried), retried, baseline }
}

/// Attempts that were paid for, and no answer in the end; taken off the savings of whoever made them.
fn paid_for_nothing(snapshot: &Snapshot, retried: &[(usize, Usage)]) -> Bill {
    let mut bill = Bill::default();
    for (index, usage) in retried {
        let Some(cost) = snapshot.experts[*index].cost(usage) else { continue };
        snapshot.meters[*index].saved.sub(cost.usd());
        bill.retried += cost;
        bill.cost = Some(bill.retried);
        bill.baseline = Some(MicroUsd(0));
    }
    bill
}

/// Ends a request.
pub fn close(state: &State, record: &Record, outcome: Outcome) {
    let facts = std::mem::take(&mut *record.facts());
    let total = record.started.elapsed();
    let snapshot = &record.snapshot;
    let meter = &state.meter;
    let served = facts.served.map(|index| (index, &snapshot.meters[index]));
    if let Some(dialect) = facts.dialect {
        let expert = served.map_or(&snapshot.nobody, |(_, m)| m);
        meter.ended(expert, dialect, outcome);
        meter.overhead.observe(facts.overhead.as_secs_f64());
        count_decision(meter, snapshot, &facts);
    }
    facts.attempts.iter().for_each(|attempt| meter.attempted(attempt));
    let bill = match served.zip(facts.usage) {
        Some(((index, expert), (usage, estimated))) => {
            let bill = bill(snapshot, index, &usage, &facts.retried);
            count_money(expert, &usage, estimated, &bill);
            bill
        }
        None => paid_for_nothing(snapshot, &facts.retried),
    };
    count_retried(snapshot, &facts.retried);
    if let Some((_, expert)) = served {
        let tokens = facts.usage.map_or(0, |(usage, _)| usage.output);
        let first = facts.first_token.filter(|_| outcome == Outcome::Ok);
        meter.timed(expert, facts.streaming, total, first, per_token(total, first, tokens, facts.streaming));
    }
    let finished = Arc::new(finished(record, facts, outcome, total, bill));
    if let Some(trace) = &record.trace {
        trace.end(&finished);
    }
    if finished.decision.is_some() || !finished.attempts.is_empty() || finished.endpoint.is_some() {
        state.announcer.decided(&finished);
        state.ledger.write(&finished);
        state.recent.push(finished);
    }
}

fn count_decision(meter: &Meter, snapshot: &Snapshot, facts: &Facts) {
    let (Some(decision), Some(reason)) = (&facts.decision, facts.reason) else { return };
    let chosen = facts.served.or(decision.order.first().copied());
    let expert = chosen.map_or(&snapshot.nobody, |index| &snapshot.meters[index]);
    meter.decided(expert, decision, reason);
}

fn count_money(expert: &ExpertMeter, usage: &Usage, estimated: bool, bill: &Bill) {
    for (counter, tokens) in
        expert.tokens.iter().zip([usage.input, usage.cached_input, usage.output, usage.reasoning])
    {
        counter.inc_by(tokens);
    }
    if usage.implausible {
        expert.usage_implausible.inc();
    } else if estimated {
        expert.usage_missing.inc();
    }
    let Some(cost) = bill.cost else {
        expert.saved.sub(bill.retried.usd());
        return expert.unpriced.inc();
    };
    expert.served.inc_by((cost - bill.retried).usd());
    if let (Some(baseline), Some(saved)) = (bill.baseline, bill.saved()) {
        expert.baseline.inc_by(baseline.usd());
        expert.saved.add(saved.usd());
    }
}

fn count_retried(snapshot: &Snapshot, retried: &[(usize, Usage)]) {
    for (index, usage) in retried {
        if let Some(cost) = snapshot.experts[*index].cost(usage) {
            snapshot.meters[*index].retried.inc_by(cost.usd());
        }
    }
}

/// Mean seconds between the tokens of a stream.
fn per_token(total: Duration, first: Option<Duration>, tokens: u64, streaming: bool) -> Option<f64> {
    let first = first.filter(|_| streaming && tokens > 1)?;
    Some(total.saturating_sub(first).as_secs_f64() / (tokens - 1) as f64)
}

fn finished(record: &Record, facts: Facts, outcome: Outcome, total: Duration, bill: Bill) -> Finished {
    let snapshot = &record.snapshot;
    let chosen = facts.served.or(facts.decision.as_ref().and_then(|d| d.order.first().copied()));
    Finished {
        id: record.id,
        time: record.time,
        request_id: record.request_id_header(),
        endpoint: facts.endpoint,
        tenant: facts.tenant,
        requested_model: facts.requested_model,
        chosen: chosen.map(|index| Arc::clone(&snapshot.experts[index].name)),
        reason: facts.reason,
        attempts: facts.attempts.into_iter().map(Into::into).collect(),
        outcome,
        error: facts.error,
        usage: facts.usage.map(|(usage, _)| usage),
        usage_estimated: facts.usage.is_some_and(|(_, estimated)| estimated),
        cost_usd: bill.cost,
        baseline_cost_usd: bill.baseline,
        saved_usd: bill.saved(),
        streaming: facts.streaming,
        first_token_millis: facts.first_token.map(millis),
        total_millis: millis(total),
        decision: facts.decision,
    }
}
