//! Money: integer micro-dollars, rounded once per request, half up.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use serde::{Serialize, Serializer};

use crate::config::written;
use crate::usage::Usage;

/// Millionths of a US dollar; negative where something cost more than its baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct MicroUsd(pub i64);

impl MicroUsd {
    /// In dollars, for metrics and JSON.
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl fmt::Display for MicroUsd {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(out, "{sign}{}.{:06}", self.0.unsigned_abs() / 1_000_000, self.0.unsigned_abs() % 1_000_000)
    }
}

impl Serialize for MicroUsd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.usd())
    }
}

impl Add for MicroUsd {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for MicroUsd {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for MicroUsd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for MicroUsd {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// Price of a token of each kind, in millionths of a micro-dollar (USD per million tokens, times 10⁶).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    input: u64,
    cached_input: u64,
    cache_write: u64,
    output: u64,
}

impl Price {
    /// From the configuration's USD per million tokens.
    pub fn new(written: &written::Price) -> Self {
        let unit = |usd_per_1m: f64| (usd_per_1m * 1e6).round() as u64;
        let input = unit(written.input_per_1m);
        let cached_input = written.cached_input_per_1m.map_or(input, unit);
        let cache_write = written.cache_write_per_1m.map_or(input, unit);
        Self { input, cached_input, cache_write, output: unit(written.output_per_1m) }
    }

    /// What these tokens cost. Reasoning tokens are output tokens and already counted there.
    pub fn cost(&self, usage: &Usage) -> MicroUsd {
        let cached = usage.cached_input.min(usage.input);
        let written = usage.cache_write.min(usage.input - cached);
        let fresh = usage.input - cached - written;
        let parts = [
            (fresh, self.input),
            (cached, self.cached_input),
            (written, self.cache_write),
            (usage.output, self.output),
        ];
        let total: u128 = parts.iter().map(|(tokens, price)| u128::from(*tokens) * u128::from(*price)).sum();
        MicroUsd(i64::try_from((total + 500_000) / 1_000_000).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(input: f64, cached: Option<f64>, output: f64) -> Price {
        Price::new(&written::Price {
            input_per_1m: input,
            cached_input_per_1m: cached,
            cache_write_per_1m: None,
            output_per_1m: output,
        })
    }

    #[test]
    fn tokens_cost_what_the_price_list_says() {
        let usage = Usage { input: 1_000, cached_input: 400, output: 200, reasoning: 50, ..Usage::default() };
        assert_eq!(price(2.5, Some(1.25), 10.0).cost(&usage), MicroUsd(600 * 5 / 2 + 400 * 5 / 4 + 200 * 10));
    }

    #[test]
    fn without_a_cached_price_cached_tokens_cost_as_the_others() {
        let usage = Usage { input: 100, cached_input: 100, ..Usage::default() };
        assert_eq!(price(1.0, None, 1.0).cost(&usage), MicroUsd(100));
    }

    #[test]
    fn tokens_written_to_a_cache_have_their_price_or_that_of_the_input() {
        let usage = Usage { input: 1_000, cached_input: 400, cache_write: 100, ..Usage::default() };
        let listed = written::Price {
            input_per_1m: 2.0,
            cached_input_per_1m: Some(0.5),
            cache_write_per_1m: Some(2.5),
            output_per_1m: 0.0,
        };
        assert_eq!(Price::new(&listed).cost(&usage), MicroUsd(500 * 2 + 400 / 2 + 250));
        assert_eq!(price(2.0, Some(0.5), 0.0).cost(&usage), MicroUsd(600 * 2 + 400 / 2));
        let more = Usage { input: 10, cached_input: 6, cache_write: 1_000, ..Usage::default() };
        assert_eq!(Price::new(&listed).cost(&more), MicroUsd(3 + 10), "no more is written than there was");
    }

    #[test]
    fn a_request_is_rounded_once_and_half_up() {
        let usage = Usage { input: 5, output: 5, ..Usage::default() };
        assert_eq!(price(0.05, None, 0.05).cost(&usage), MicroUsd(1), "0.25 + 0.25 micro-dollars");
    }

    #[test]
    fn more_cached_than_there_was_is_no_discount() {
        let usage = Usage { input: 10, cached_input: 1_000, ..Usage::default() };
        assert_eq!(price(1.0, Some(0.0), 1.0).cost(&usage), MicroUsd(0));
    }

    #[test]
    fn money_prints_with_its_six_digits() {
        assert_eq!(MicroUsd(1_234_567).to_string(), "1.234567");
        assert_eq!(MicroUsd(-5).to_string(), "-0.000005");
    }
}
