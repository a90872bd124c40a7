//! The decision log's line, put together by hand.
//!
//! It says what serde says of the same record, key for key: a test holds the two equal. But it is written for every
//! request, and most of it is short decimals and known keys, for which serde takes four times as
//! long (`cargo bench -p gateway --bench record`).

use router_model::Scores;

use super::{Call, Decision, Features, Finished, Names, Rfc3339, Stand};
use crate::price::MicroUsd;
use crate::usage::Usage;

/// What is the same in every line under one configuration: the keys of its experts and domains, as they are written.
#[derive(Debug)]
pub struct Fragments {
    /// `{"expert":"NAME","score":`, by expert; a comma before all but the first.
    experts: Vec<Vec<u8>>,
    /// `"NAME":`, by domain; the same.
    domains: Vec<Vec<u8>>,
}

impl Fragments {
    /// For experts and domains of these names.
    pub fn new<'n>(experts: impl Iterator<Item = &'n str>, domains: impl Iterator<Item = &'n str>) -> Self {
        let written = |at: usize, before: &str, name: &str, after: &str| {
            let mut bytes = Vec::new();
            Line(&mut bytes).raw(if at == 0 { "" } else { "," }).raw(before).text(name).raw(after);
            bytes
        };
        let expert = |(at, name): (usize, &'n str)| written(at, "{\"expert\":", name, ",\"score\":");
        let domain = |(at, name): (usize, &'n str)| written(at, "", name, ":");
        Self {
            experts: experts.enumerate().map(expert).collect(),
            domains: domains.enumerate().map(domain).collect(),
        }
    }
}

impl Finished {
    /// Appends the record and a line end.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        let mut line = Line(out);
        line.raw("{\"id\":\"").raw(self.id.as_str());
        line.raw("\",\"time\":\"").bytes(&Rfc3339(self.time).text());
        line.raw("\",\"request_id\":").text(self.request_id.to_str().unwrap_or("-"));
        line.raw(",\"endpoint\":").option(self.endpoint, Line::text);
        line.raw(",\"tenant\":").option(self.tenant.as_deref(), Line::text);
        line.raw(",\"requested_model\":").text(&self.requested_model);
        if let Some(decision) = &self.decision {
            line.decision(decision);
        }
        line.raw(",\"chosen\":").option(self.chosen.as_deref(), Line::text);
        line.raw(",\"reason\":").option(self.reason.map(super::Reason::as_str), Line::text);
        line.raw(",\"attempts\":").list(&self.attempts, Line::attempt);
        line.raw(",\"outcome\":").text(self.outcome.as_str());
        line.raw(",\"error\":").option(self.error, Line::text);
        line.raw(",\"usage\":").option(self.usage.as_ref(), Line::usage);
        line.raw(",\"usage_estimated\":").truth(self.usage_estimated);
        line.raw(",\"cost_usd\":").option(self.cost_usd, Line::usd);
        line.raw(",\"baseline_cost_usd\":").option(self.baseline_cost_usd, Line::usd);
        line.raw(",\"saved_usd\":").option(self.saved_usd, Line::usd);
        line.raw(",\"streaming\":").truth(self.streaming);
        line.raw(",\"first_token_millis\":").option(self.first_token_millis, Line::millis);
        line.raw(",\"total_millis\":").millis(self.total_millis);
        line.raw("}\n");
    }
}

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut at = 0;
    while at < 100 {
        pairs[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        at += 1;
    }
    pairs
};

/// A line on its way.
struct Line<'o>(&'o mut Vec<u8>);

impl Line<'_> {
    fn decision(&mut self, decision: &Decision) {
        let (names, scores) = (&decision.names, decision.scores.as_ref());
        let fragments = &names.fragments;
        self.raw(",\"policy\":").text(&names.policies[decision.policy]);
        self.raw(",\"domain\":").option(decision.domain(), Line::text);
        self.raw(",\"domain_scores\":{");
        let of_domains = scores.map(Scores::domains).unwrap_or_default();
        for (name, score) in fragments.domains.iter().zip(of_domains) {
            self.bytes(name).score(*score);
        }
        self.raw("},\"confidence\":").score(decision.confidence());
        self.raw(",\"ood_score\":").score(scores.map_or(0.0, Scores::ood));
        self.raw(",\"candidates\":[");
        for (name, stand) in fragments.experts.iter().zip(&decision.candidates) {
            self.bytes(name).stand(stand, names);
        }
        self.raw("],\"features\":").features(&decision.features);
        if !decision.attribution.is_empty() {
            self.raw(",\"attribution\":").other(&decision.attribution);
        }
        if let Some(text) = &decision.text {
            self.raw(",\"text\":").text(text);
        }
        self.raw(",\"router_version\":").text(&names.router_version);
        self.raw(",\"route_micros\":").whole(decision.route_micros);
    }

    fn stand(&mut self, stand: &Stand, names: &Names) -> &mut Self {
        self.score(stand.score).raw(",\"expected_cost_usd\":").option(stand.cost, Line::usd);
        match &stand.why_not {
            None => return self.raw(",\"eligible\":true,\"why_not\":null}"),
            Some(why) => self.raw(",\"eligible\":false,\"why_not\":").text(&why.to_string()),
        };
        if let Some(rule) = stand.rule(names) {
            self.raw(",\"rule\":").text(rule);
        }
        self.raw("}")
    }

    fn features(&mut self, features: &Features) -> &mut Self {
        self.raw("{\"chars\":").whole(features.chars as u64);
        self.raw(",\"tokens_estimated\":").whole(features.tokens_estimated);
        self.raw(",\"turns\":").whole(features.turns.into());
        self.raw(",\"has_tools\":").truth(features.has_tools);
        self.raw(",\"has_images\":").truth(features.has_images);
        self.raw(",\"language\":").text(features.language);
        self.raw("}")
    }

    fn attempt(&mut self, attempt: &Call) -> &mut Self {
        self.raw("{\"expert\":").text(&attempt.expert);
        self.raw(",\"endpoint\":").text(&attempt.endpoint);
        self.raw(",\"outcome\":").text(attempt.outcome.as_str());
        self.raw(",\"status\":").option(attempt.status, |line, status| line.whole(status.into()));
        self.raw(",\"millis\":").millis(attempt.millis);
        self.raw("}")
    }

    fn usage(&mut self, usage: &Usage) -> &mut Self {
        self.raw("{\"input\":").whole(usage.input);
        self.raw(",\"cached_input\":").whole(usage.cached_input);
        if usage.cache_write > 0 {
            self.raw(",\"cache_write\":").whole(usage.cache_write);
        }
        self.raw(",\"output\":").whole(usage.output);
        self.raw(",\"reasoning\":").whole(usage.reasoning);
        self.raw("}")
    }

    fn raw(&mut self, json: &str) -> &mut Self {
        self.bytes(json.as_bytes())
    }

    fn bytes(&mut self, json: &[u8]) -> &mut Self {
        self.0.extend_from_slice(json);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        // every byte, without a branch: most texts are short and none of theirs wants it
        let wants = |b: u8| b < b' ' || b == b'"' || b == b'\\';
        if text.bytes().fold(false, |found, b| found | wants(b)) {
            return self.other(text);
        }
        self.raw("\"").raw(text).raw("\"")
    }

    /// What is rare enough for serde.
    fn other<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> &mut Self {
        if serde_json::to_writer(&mut *self.0, value).is_err() {
            self.raw("null");
        }
        self
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T) -> &mut Self) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => self.raw("null"),
        }
    }

    fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        write: impl Fn(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        self.raw("[");
        for (at, item) in items.into_iter().enumerate() {
            write(self.raw(if at == 0 { "" } else { "," }), item);
        }
        self.raw("]")
    }

    fn truth(&mut self, value: bool) -> &mut Self {
        self.raw(if value { "true" } else { "false" })
    }

    fn whole(&mut self, value: u64) -> &mut Self {
        self.bytes(itoa::Buffer::new().format(value).as_bytes())
    }

    /// To four digits: what stands behind them is noise and bytes.
    fn score(&mut self, value: f32) -> &mut Self {
        self.decimal::<4>((f64::from(value.clamp(0.0, 1.0)) * 1e4 + 0.5) as i64)
    }

    fn usd(&mut self, value: MicroUsd) -> &mut Self {
        self.decimal::<6>(value.0)
    }

    /// To the microsecond.
    fn millis(&mut self, value: f64) -> &mut Self {
        self.decimal::<3>((value * 1e3).round() as i64)
    }

    /// `units` of 10^-`DIGITS`, without zeros at its end.
    fn decimal<const DIGITS: u32>(&mut self, units: i64) -> &mut Self {
        match u32::try_from(units) {
            Ok(units) if units < const { 10_u32.pow(DIGITS) } => {
                self.fraction(units * const { 10_u32.pow(6 - DIGITS) })
            }
            _ => self.long_decimal(units, DIGITS as usize),
        }
    }

    /// Millionths, less than one: most of a line's numbers.
    fn fraction(&mut self, millionths: u32) -> &mut Self {
        let mut text = *b"0.000000";
        for (pair, at) in [(millionths / 10_000, 2), (millionths / 100 % 100, 4), (millionths % 100, 6)] {
            text[at..at + 2].copy_from_slice(&PAIRS[pair as usize]);
        }
        // what is no zero differs from eight of them; the point ends the search
        let zeros = (u64::from_be_bytes(text) ^ u64::from_be_bytes([b'0'; 8])).trailing_zeros() / 8;
        let end = self.0.len() + (8 - zeros as usize).max(3);
        // all of it and then less: a copy of known length costs a third
        self.bytes(&text).0.truncate(end);
        self
    }

    #[cold]
    fn long_decimal(&mut self, units: i64, digits: usize) -> &mut Self {
        let (mut rest, mut digits) = (units.unsigned_abs(), digits);
        while digits > 1 && rest.is_multiple_of(10) {
            rest /= 10;
            digits -= 1;
        }
        // from the right: 20 digits, a point and a sign have room
        let mut places = [b'0'; 24];
        let mut at = places.len();
        let mut put = |byte: u8| {
            at -= 1;
            places[at] = byte;
        };
        for _ in 0..digits {
            put(b'0' + (rest % 10) as u8);
            rest /= 10;
        }
        put(b'.');
        loop {
            put(b'0' + (rest % 10) as u8);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if units < 0 {
            put(b'-');
        }
        self.bytes(&places[at..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Line<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Line(&mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_are_those_of_serde() {
        for micros in [0, 1, -1, 10, 999_999, 1_000_000, -3_250, 385_185_177, i64::from(u32::MAX)] {
            let serde = serde_json::to_string(&MicroUsd(micros)).unwrap();
            let number = |text: &str| text.parse::<f64>().unwrap();
            assert_eq!(number(&written(|l| _ = l.usd(MicroUsd(micros)))), number(&serde));
        }
        let scores = [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (0.95531, "0.9553"),
            (0.955_351, "0.9554"),
            (0.99996, "1.0"),
            (0.000_04, "0.0"),
            (0.000_051, "0.0001"),
            (0.05, "0.05"),
            (0.1, "0.1"),
        ];
        for (score, text) in scores {
            assert_eq!(written(|l| _ = l.score(score)), text);
        }
        assert_eq!(written(|l| _ = l.millis(812.3456)), "812.346");
    }

    #[test]
    fn texts_are_escaped_where_they_must_be() {
        for text in ["plain", "", "hé 你", "a \"b\"", "back\\slash", "line\nbreak", "\u{1}"] {
            assert_eq!(written(|l| _ = l.text(text)), serde_json::to_string(text).unwrap());
        }
    }
}
