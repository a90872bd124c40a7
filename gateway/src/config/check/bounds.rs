//! Figures that cannot work: a time of nothing, a window without room, a negative rent. Each is refused where it
//! stands; what is only unusual passes.

use std::time::Duration;

use super::{Check, Place, Spot};
use crate::config::units::{DurationText, Size};
use crate::config::written::Expert;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MONTH: Duration = Duration::from_secs(31 * 24 * 3600);

/// Largest number of anything that is counted one by one.
const MANY: u64 = 1 << 20;
/// More than any machine has memory.
const TERA: u64 = 1 << 40;
/// Shortest window: a prompt of a word and an answer of a word.
const SMALLEST_WINDOW: u64 = 16;
const LARGEST_WINDOW: u64 = 1_000_000_000;

impl Check<'_> {
    /// Everything of `server`, `router`, `sessions` and `retry` that is a number.
    pub(super) fn bounds(&mut self) {
        let config = self.config;
        let server = &config.server;
        self.time(&["server", "body_timeout"], server.body_timeout, MILLI, HOUR);
        self.time(&["server", "drain_timeout"], server.drain_timeout, Duration::ZERO, DAY);
        self.time(&["server", "keep_alive"], server.keep_alive, 10 * MILLI, HOUR);
        self.time(&["router", "deadline"], config.router.deadline, Duration::from_micros(1), MINUTE);
        self.time(&["sessions", "idle"], config.sessions.idle, SECOND, MONTH);
        self.size(&["server", "max_body"], server.max_body, 1 << 10, 1 << 32);
        self.size(&["server", "max_buffered"], server.max_buffered, server.max_body.0, TERA);
        self.count(&["server", "max_connections"], server.max_connections.into(), 1, MANY);
        self.count(&["server", "max_in_flight"], server.max_in_flight.into(), 1, MANY);
        self.count(&["sessions", "max"], config.sessions.max.into(), 1, 10 * MANY);
        self.count(&["retry", "min_per_second"], config.retry.min_per_second.into(), 0, MANY);
    }

    /// Everything of an expert that is a number but no price.
    pub(super) fn expert_bounds(&mut self, expert: &Expert, spot: &Spot) {
        let place =
            |keys: &[&str]| keys.iter().try_fold(spot, |s, key| s.get(key)).map_or(spot.place, |s| s.place);
        let limits = &expert.timeouts;
        for (key, limit) in [
            ("connect", limits.connect),
            ("headers", limits.headers),
            ("first_token", limits.first_token),
            ("idle", limits.idle),
            ("total", limits.total),
        ] {
            self.time_at(place(&["timeouts", key]), key, limit, MILLI, DAY);
        }
        for (key, value, least, most) in [
            ("context_window", Some(expert.context_window), SMALLEST_WINDOW, LARGEST_WINDOW),
            ("max_output_tokens", expert.max_output_tokens, 1, LARGEST_WINDOW),
            ("max_concurrency", Some(expert.max_concurrency.into()), 1, MANY),
        ] {
            if let Some(value) = value {
                self.count_at(place(&[key]), key, value, least, most);
            }
        }
        if let Some(hosting) = expert.hosting
            && !(0.0..=1e6).contains(&hosting.usd_per_hour)
        {
            let what = "`usd_per_hour` must be between 0 and 1,000,000";
            self.faults.push(place(&["hosting", "usd_per_hour"]), what, "0 for a machine that costs nothing");
        }
    }

    fn time(&mut self, path: &[&str], value: DurationText, least: Duration, most: Duration) {
        let place = self.place(path);
        self.time_at(place, path[path.len() - 1], value, least, most);
    }

    fn time_at(&mut self, place: Place, key: &str, value: DurationText, least: Duration, most: Duration) {
        if !(least..=most).contains(&value.0) {
            let (least, most) = (DurationText(least), DurationText(most));
            self.out_of_bounds(place, key, &value, &least, &most);
        }
    }

    fn size(&mut self, path: &[&str], value: Size, least: u64, most: u64) {
        if !(least..=most).contains(&value.0) {
            let place = self.place(path);
            self.out_of_bounds(place, path[path.len() - 1], &value, &Size(least), &Size(most));
        }
    }

    fn count(&mut self, path: &[&str], value: u64, least: u64, most: u64) {
        let place = self.place(path);
        self.count_at(place, path[path.len() - 1], value, least, most);
    }

    fn count_at(&mut self, place: Place, key: &str, value: u64, least: u64, most: u64) {
        if !(least..=most).contains(&value) {
            self.out_of_bounds(place, key, &value, &least, &most);
        }
    }

    fn out_of_bounds<T: std::fmt::Display>(
        &mut self,
        place: Place,
        key: &str,
        value: &T,
        least: &T,
        most: &T,
    ) {
        let what = format!("`{key}: {value}` is out of bounds: it must be between {least} and {most}");
        self.faults.push(place, what, "");
    }
}
