//! Money: what headers, records and metrics say is what the price list and the upstream's own bill say.

use crate::harness::{
    ANSWER, FINISH, Json, Model, Rig, STREAM, Setup, USAGE, WORD, chat, error_code, streamed, with,
};
use gateway::mock::{Bill, Mock};
use std::net::SocketAddr;
use std::time::Duration;
use testkit::{Refusing, Reply, Step, Upstream, json as json_steps, post_json, sse};

const ASKS_USAGE: &str = r#","stream":true,"stream_options":{"include_usage":true}"#;

/// Millionths of a dollar: figures are compared as the whole numbers they were.
fn micros(usd: f64) -> i64 {
    let micros = usd * 1e6;
    assert!((micros - micros.round()).abs() < 1e-3, "{usd} USD are no whole micro-dollars");
    micros.round() as i64
}

/// The same of a figure in a record; `None`: null.
fn recorded(record: &Json, field: &str) -> Option<i64> {
    record.get(field).unwrap_or_else(|| panic!("no {field}: {record}")).as_f64().map(micros)
}

/// The same of a response header, which has six digits.
fn header(reply: &Reply, name: &str) -> Option<i64> {
    let value = reply.header(name)?;
    assert_eq!(value.split_once('.').unwrap().1.len(), 6, "{name}: {value}");
    Some(micros(value.parse().unwrap()))
}

/// Cost, baseline and what was saved, in micro-dollars, of a record.
fn money(record: &Json) -> [Option<i64>; 3] {
    ["cost_usd", "baseline_cost_usd", "saved_usd"].map(|field| recorded(record, field))
}

/// A metric of money.
async fn metered(rig: &Rig, family: &str, labels: &[(&str, &str)]) -> i64 {
    micros(rig.metric(family, labels).await)
}

/// `cost_usd_total` served and retried, baseline, saved: of all experts.
async fn all_metered(rig: &Rig) -> [i64; 4] {
    [
        metered(rig, "cost_usd_total", &[("kind", "served")]).await,
        metered(rig, "cost_usd_total", &[("kind", "retried")]).await,
        metered(rig, "baseline_cost_usd_total", &[]).await,
        metered(rig, "saved_usd", &[]).await,
    ]
}

/// Input, cached, output, reasoning: as in the record and as in `tokens_total`.
const KINDS: [&str; 4] = ["input", "cached_input", "output", "reasoning"];

async fn tokens(rig: &Rig, expert: &str) -> [u64; 4] {
    let mut all = [0; 4];
    for (kind, tokens) in KINDS.into_iter().zip(&mut all) {
        *tokens = rig.metric("tokens_total", &[("expert", expert), ("kind", kind)]).await as u64;
    }
    all
}

fn usage(record: &Json) -> [u64; 4] {
    KINDS.map(|kind| record["usage"][kind].as_u64().unwrap_or_else(|| panic!("no {kind}: {record}")))
}

/// Usage as OpenAI writes it.
fn told([input, cached, output, reasoning]: [u64; 4]) -> String {
    let total = input + output;
    format!(
        r#"{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":{cached}}},"completion_tokens_details":{{"reasoning_tokens":{reasoning}}}}}"#
    )
}

/// An answer with this usage, whole or streamed.
fn answer(usage: &str, stream: bool) -> Vec<Step> {
    if stream {
        let last = format!(r#"{{"id":"c1","choices":[],"usage":{usage}}}"#);
        return sse(&[WORD, FINISH, &last, "[DONE]"]);
    }
    let (before, _) = ANSWER.split_once(r#""usage":"#).unwrap();
    json_steps(200, &format!(r#"{before}"usage":{usage}}}"#))
}

/// `coder` at 3, 0.75 cached and 15 USD per million tokens, before `large` at 5, 2.5 and 25.
async fn priced(coder: SocketAddr, large: SocketAddr) -> Rig {
    let price = |input, cached, output| {
        format!("price: {{ input_per_1m: {input}, cached_input_per_1m: {cached}, output_per_1m: {output} }}")
    };
    let setup = Setup::new().expert("coder", coder, &price(3.0, 0.75, 15.0));
    // `large` as a plain expert, for a price of its own
    setup.large(large, &price(5.0, 2.5, 25.0)).start().await
}

#[tokio::test]
async fn an_answer_costs_what_the_price_list_says_to_the_micro_dollar() {
    // tokens; cost at coder; at large
    let cases = [
        // 600 × 3 + 400 × 0.75 + 300 × 15; 600 × 5 + 400 × 2.5 + 300 × 25: reasoning is in the output already
        ([1_000, 400, 300, 120], 6_600, 11_500),
        // 1 × 3 + 1 × 0.75 + 0 = 3.75; 1 × 5 + 1 × 2.5 = 7.5: rounded once, half up
        ([2, 1, 0, 0], 4, 8),
        // 1 × 0.75 = 0.75; 1 × 2.5 = 2.5
        ([1, 1, 0, 0], 1, 3),
        // 123,456,789 × 3 + 987,654 × 15
        ([123_456_789, 0, 987_654, 0], 385_185_177, 641_975_295),
    ];
    for (used, cost, baseline) in cases {
        for stream in [false, true] {
            let coder = Upstream::script(answer(&told(used), stream)).await;
            let rig = priced(coder.addr(), coder.addr()).await;
            let fields = if stream { r#","stream":true"# } else { "" };
            let reply = rig.chat(&with("coder", "hello", fields)).await;
            let saved = baseline - cost;
            let in_headers = ["x-mixgate-cost-usd", "x-mixgate-saved-usd"].map(|name| header(&reply, name));
            assert_eq!(in_headers, if stream { [None, None] } else { [Some(cost), Some(saved)] });
            let record = rig.record_of(&reply).await;
            assert_eq!(money(&record), [Some(cost), Some(baseline), Some(saved)], "{record}");
            assert_eq!((usage(&record), &record["usage_estimated"]), (used, &false.into()));
            assert_eq!(all_metered(&rig).await, [cost, 0, baseline, saved]);
            let labels = [("expert", "coder"), ("kind", "served")];
            assert_eq!(metered(&rig, "cost_usd_total", &labels).await, cost);
            assert_eq!(tokens(&rig, "coder").await, used);
            assert_eq!(rig.metric("usage_missing_total", &[]).await, 0.0);
        }
    }
}

#[tokio::test]
async fn an_answer_of_the_fallback_saves_nothing_and_a_dearer_one_less_than_that() {
    let upstream = Upstream::script(answer(&told([100, 0, 10, 0]), false)).await;
    let dear = "price: { input_per_1m: 30, output_per_1m: 60 }";
    let rig = Setup::new().expert("dear", upstream.addr(), dear).large(upstream.addr(), "").start().await;
    // large: 100 × 2.5 + 10 × 10; dear: 100 × 30 + 10 × 60
    for (name, cost, saved, text) in [("large", 350, 0, "0.000000"), ("dear", 3_600, -3_250, "-0.003250")] {
        let reply = rig.chat(&chat(name, "hello")).await;
        assert_eq!(reply.header("x-mixgate-saved-usd"), Some(text));
        assert_eq!(money(&rig.record_of(&reply).await), [Some(cost), Some(350), Some(saved)]);
        assert_eq!(metered(&rig, "saved_usd", &[("expert", name)]).await, saved);
    }
}

#[tokio::test]
async fn only_who_asks_for_usage_sees_it_and_both_are_billed_alike() {
    let upstream = Upstream::script(sse(&STREAM)).await;
    let rig = priced(upstream.addr(), upstream.addr()).await;
    let silent = [r#","stream":true"#, r#","stream":true,"stream_options":{"include_usage":false}"#];
    for fields in silent {
        let reply = rig.chat(&with("coder", "hello", fields)).await;
        assert_eq!(reply.events(), [WORD, FINISH, "[DONE]"]);
        assert_eq!(money(&rig.record_of(&reply).await), [Some(105), Some(175), Some(70)]);
    }
    let reply = rig.chat(&with("coder", "hello", ASKS_USAGE)).await;
    assert_eq!(reply.events(), [WORD, FINISH, USAGE, "[DONE]"]);
    assert_eq!(money(&rig.record_of(&reply).await), [Some(105), Some(175), Some(70)]);
    assert_eq!(all_metered(&rig).await, [315, 0, 525, 210]);
}

#[tokio::test]
async fn without_a_price_the_cost_is_unknown_and_never_nothing() {
    let upstream = Upstream::scripts(vec![json_steps(200, ANSWER), sse(&STREAM)]).await;
    let rig = Setup::new()
        .expert("own", upstream.addr(), "hosting: { usd_per_hour: 1.5 }")
        .large(upstream.addr(), "")
        .start()
        .await;
    for (round, fields) in [(1, ""), (2, r#","stream":true"#)] {
        let reply = rig.chat(&with("own", "hello", fields)).await;
        assert_eq!(["x-mixgate-cost-usd", "x-mixgate-saved-usd"].map(|name| reply.header(name)), [None; 2]);
        let record = rig.record_of(&reply).await;
        assert_eq!([&record["cost_usd"], &record["saved_usd"]], [&Json::Null; 2], "{record}");
        assert_eq!(usage(&record), [10, 0, 5, 0], "its tokens are known");
        assert_eq!(rig.metric("unpriced_requests_total", &[("expert", "own")]).await, f64::from(round));
    }
    assert_eq!(tokens(&rig, "own").await, [20, 0, 10, 0]);
    assert_eq!(all_metered(&rig).await, [0; 4], "what is not known is in no sum");
    assert_eq!(rig.metric("hosting_usd_per_hour", &[("expert", "own")]).await, 1.5);
    assert_eq!(rig.metric("usage_missing_total", &[]).await, 0.0);
}

#[tokio::test]
async fn without_usage_tokens_are_estimated_counted_as_such_and_priced() {
    let (plain, _) = ANSWER.split_once(r#","usage":"#).unwrap();
    let whole = json_steps(200, &format!("{plain}}}"));
    let upstream = Upstream::scripts(vec![whole, sse(&[WORD, FINISH, "[DONE]"])]).await;
    let rig = priced(upstream.addr(), upstream.addr()).await;
    for (round, fields) in [(1, ""), (2, r#","stream":true"#)] {
        let reply = rig.chat(&with("coder", &"word ".repeat(400), fields)).await;
        let record = rig.record_of(&reply).await;
        // 2,000 letters and what a turn takes; five letters of answer
        let input = 500 + 4;
        assert_eq!((usage(&record), &record["usage_estimated"]), ([input, 0, 2, 0], &true.into()));
        assert_eq!(money(&record), [Some(1_542), Some(2_570), Some(1_028)], "{record}");
        assert_eq!(rig.metric("usage_missing_total", &[("expert", "coder")]).await, f64::from(round));
    }
    assert_eq!(all_metered(&rig).await, [3_084, 0, 5_140, 2_056]);
}

#[tokio::test]
async fn usage_that_comes_twice_is_counted_once() {
    let model = Model::with(&["usage-twice"]).await;
    let large = Model::honest().await;
    let rig = priced(model.addr, large.addr).await;
    for fields in [r#","stream":true"#, ""] {
        let reply = rig.chat(&with("coder", "hello", fields)).await;
        assert_eq!(reply.header("x-mixgate-expert"), Some("coder"), "{fields}");
        let record = rig.record_of(&reply).await;
        assert_eq!(usage(&record), [2, 0, 24, 0], "{fields}: {record}");
    }
}

#[tokio::test]
async fn usage_that_cannot_be_read_spoils_no_good_answer() {
    for usage in [r#"{"prompt_tokens":null,"completion_tokens":5}"#, r#"{"prompt_tokens":10.0}"#, r#""none""#]
    {
        for stream in [false, true] {
            let coder = Upstream::script(answer(usage, stream)).await;
            let rig = priced(coder.addr(), Refusing::new().addr()).await;
            let fields = if stream { ASKS_USAGE } else { "" };
            let reply = rig.chat(&with("coder", "hello", fields)).await;
            assert_eq!(
                (reply.status, reply.header("x-mixgate-expert")),
                (200, Some("coder")),
                "{usage} {fields}"
            );
            let record = rig.record_of(&reply).await;
            assert_eq!(record["outcome"], "ok", "{usage} {fields}: {record}");
            assert!(recorded(&record, "cost_usd") > Some(0), "{usage} {fields}: {record}");
        }
    }
}

#[tokio::test]
async fn an_answer_too_large_to_hold_is_billed_too() {
    let word = "x".repeat(2_000_000);
    let body = ANSWER.replace("hello", &word);
    let coder = Upstream::script(json_steps(200, &body)).await;
    let rig = priced(coder.addr(), coder.addr()).await;
    let reply = rig.chat(&chat("coder", "hello")).await;
    assert_eq!((reply.status, reply.body.len()), (200, body.len()));
    let record = rig.record_of(&reply).await;
    assert_eq!(money(&record), [Some(105), Some(175), Some(70)], "{record}");
    assert_eq!(all_metered(&rig).await, [105, 0, 175, 70]);
}

/// A prompt of 1,004 tokens, as the gateway estimates.
fn long() -> String {
    "word".repeat(1_000)
}

#[tokio::test]
async fn what_a_thrown_away_200_cost_is_taken_off_the_savings() {
    for (fault, retried) in [("html", 3_012), ("choices-empty", 3_012), ("status-500", 0)] {
        for fields in ["", r#","stream":true"#] {
            let coder = Model::with(&[fault]).await;
            let large = Upstream::script(answer(&told([1_000, 0, 100, 0]), !fields.is_empty())).await;
            let rig = priced(coder.addr, large.addr()).await;
            let reply = rig.chat(&with("coder", &long(), fields)).await;
            assert_eq!(reply.header("x-mixgate-expert"), Some("large"), "{fault} {fields}");
            // 1,000 × 5 + 100 × 25; before it 1,004 × 3
            let served = 7_500;
            if fields.is_empty() {
                assert_eq!(header(&reply, "x-mixgate-cost-usd"), Some(served + retried));
                assert_eq!(header(&reply, "x-mixgate-saved-usd"), Some(-retried));
            }
            let record = rig.record_of(&reply).await;
            assert_eq!(money(&record), [Some(served + retried), Some(served), Some(-retried)], "{record}");
            assert_eq!(all_metered(&rig).await, [served, retried, served, -retried], "{fault} {fields}");
            let labels = [("expert", "coder"), ("kind", "retried")];
            assert_eq!(metered(&rig, "cost_usd_total", &labels).await, retried);
            assert_eq!(usage(&record), [1_000, 0, 100, 0], "tokens are those of the answer");
        }
    }
}

#[tokio::test]
async fn what_was_paid_for_no_answer_at_all_is_in_the_record_and_off_the_savings() {
    let broken = Model::with(&["html"]).await;
    let rig = priced(broken.addr, broken.addr).await;
    let reply = rig.chat(&chat("coder", &long())).await;
    assert_eq!((reply.status, error_code(&reply).as_str()), (502, "upstream_error"));
    let paid = 1_004 * (3 + 5);
    let record = rig.record_of(&reply).await;
    assert_eq!(recorded(&record, "cost_usd"), Some(paid), "{record}");
    assert_eq!(all_metered(&rig).await, [0, paid, 0, -paid]);
}

#[tokio::test]
async fn an_embedding_costs_its_input_only() {
    let model = Model::honest().await;
    let price = "price: { input_per_1m: 0.02, output_per_1m: 1000 }";
    let rig = Setup::new().expert("embedder", model.addr, price).large(model.addr, "").start().await;
    let body = format!(r#"{{"model":"embedder","input":["{}","{}"]}}"#, "a".repeat(4_000), "b".repeat(400));
    let reply = post_json(rig.addr(), "/v1/embeddings", &[], &body).await;
    let record = rig.record_of(&reply).await;
    // 1,000 + 100 tokens at 0.02
    assert_eq!((usage(&record), recorded(&record, "cost_usd")), ([1_100, 0, 0, 0], Some(22)), "{record}");
    assert_eq!(header(&reply, "x-mixgate-cost-usd"), Some(22));
    assert_eq!(tokens(&rig, "embedder").await, [1_100, 0, 0, 0]);
    assert_eq!(model.mock.seen.bill(), Bill { prompt_tokens: 1_100, ..Bill::default() });
}

fn billed(model: &Model) -> [u64; 4] {
    let Bill { prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens } = model.mock.seen.bill();
    [prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens]
}

fn sum_of(usages: impl Iterator<Item = [u64; 4]>) -> [u64; 4] {
    usages.fold([0; 4], |sum, more| [0, 1, 2, 3].map(|kind| sum[kind] + more[kind]))
}

/// The sum of a field over records; null counts nothing.
fn total(records: &[Json], field: &str) -> i64 {
    records.iter().filter_map(|record| recorded(record, field)).sum()
}

/// Models of a mixed load: `coder` and `large` are honest, `flaky` bills for answers that come to nothing, `slow` is
/// left in mid-stream.
struct Mix {
    coder: Model,
    large: Model,
    flaky: Model,
    slow: Model,
    rig: Rig,
}

impl Mix {
    async fn start() -> Mix {
        let thinking = |tokens| Mock { tokens, cached_percent: 40, reasoning_tokens: 7, ..Mock::default() };
        let (coder, large) = (Model::start(thinking(31)).await, Model::start(thinking(53)).await);
        // only the second of these is on its bill
        let flaky =
            Model::with(&["html@2", "choices-empty@4", "status-500@2", "error-event-first@1", "status-429"]);
        let slow = Mock { token_interval: Duration::from_millis(10), tokens: 10_000, ..Mock::default() };
        let (flaky, slow) = (flaky.await, Model::start(slow).await);
        let price = "price: { input_per_1m: 0.7, cached_input_per_1m: 0.3, output_per_1m: 1.1 }";
        let rig = Setup::new()
            .expert("coder", coder.addr, price)
            .expert("flaky", flaky.addr, price)
            .expert("slow", slow.addr, price)
            .large(large.addr, "price: { input_per_1m: 5, cached_input_per_1m: 1.3, output_per_1m: 17 }")
            .start()
            .await;
        Mix { coder, large, flaky, slow, rig }
    }

    /// Leaves a stream behind its second event; gives the id.
    async fn leave(&self, prompt: &str) -> String {
        let mut client = self.rig.asking(&[], &streamed("slow", prompt)).await;
        let id = client.head().await.header("x-request-id").unwrap().to_owned();
        client.event().await.unwrap();
        client.event().await.unwrap();
        id
    }

    /// Sixty requests; their records.
    async fn run(&self) -> Vec<Json> {
        let mut records = Vec::new();
        for number in 0..60 {
            let prompt = format!("{number} {}", "word ".repeat(number * 7));
            let name = ["coder", "flaky", "large", "coder", "slow"][number % 5];
            let fields = ["", r#","stream":true"#, ASKS_USAGE][number % 3];
            let id = if name == "slow" {
                self.leave(&prompt).await
            } else {
                let reply = self.rig.chat(&with(name, &prompt, fields)).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
                reply.header("x-request-id").unwrap().to_owned()
            };
            records.push(self.rig.record(&id).await);
        }
        records
    }
}

#[tokio::test]
async fn over_a_mixed_load_ledger_metrics_and_the_models_own_bills_agree() {
    let mix = Mix::start().await;
    let records = mix.run().await;
    for (model, name) in [(&mix.coder, "coder"), (&mix.large, "large")] {
        let served = records.iter().filter(|r| r["chosen"] == name && r["outcome"] == "ok");
        let sum = sum_of(served.map(usage));
        assert_eq!(sum, billed(model), "{name}: the ledger, and the model's own bill");
        assert_eq!(sum, tokens(&mix.rig, name).await, "{name}: the ledger, and the metrics");
        assert_eq!(model.requests(), 24, "{name}");
    }
    let left: Vec<&Json> = records.iter().filter(|r| r["outcome"] == "cancelled").collect();
    assert_eq!(left.len(), 12);
    assert!(left.iter().all(|r| r["usage_estimated"] == true && recorded(r, "cost_usd") > Some(0)));
    // estimates: four tokens of frame for each prompt, and what the client was sent, not what was on its way
    let [prompts, _, answers, _] = sum_of(left.iter().map(|record| usage(record)));
    let owed = billed(&mix.slow);
    assert_eq!(prompts, owed[0] + 12 * 4, "{owed:?}");
    assert!((12..=owed[2] + 12).contains(&answers), "{answers} {owed:?}");
    let [served, retried, baseline, saved] = all_metered(&mix.rig).await;
    // what came to nothing was paid for: no less than is on the bill
    let thrown_away = metered(&mix.rig, "cost_usd_total", &[("expert", "flaky"), ("kind", "retried")]).await;
    let owed = billed(&mix.flaky);
    assert!(owed[0] > 0 && thrown_away >= (owed[0] * 7 / 10) as i64, "{thrown_away} {owed:?}");
    assert_eq!(thrown_away, retried);
    assert_eq!(served + retried, total(&records, "cost_usd"));
    assert_eq!(baseline, total(&records, "baseline_cost_usd"));
    assert_eq!((saved, saved), (total(&records, "saved_usd"), baseline - served - retried));
    assert_eq!(mix.rig.metric("usage_missing_total", &[]).await, 12.0, "those who left");
    assert_eq!(mix.rig.metric("requests_total", &[]).await, 60.0);
}

/// `large` alone, at this price, whose upstream tells this usage.
async fn alone_at(price: &str, used: &str, stream: bool) -> (Rig, Reply) {
    let upstream = Upstream::script(answer(used, stream)).await;
    let rig = Setup::new().large(upstream.addr(), price).start().await;
    let fields = if stream { r#","stream":true"# } else { "" };
    let reply = rig.chat(&with("large", "hello", fields)).await;
    (rig, reply)
}

#[tokio::test]
async fn cached_written_and_thought_tokens_are_paid_in_whatever_words_they_are_told() {
    let price =
        "price: { input_per_1m: 10, cached_input_per_1m: 1, cache_write_per_1m: 20, output_per_1m: 100 }";
    for (used, cost) in [
        (r#"{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":6}"#, 40 + 6 + 500),
        (
            r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":6,"prompt_cache_miss_tokens":4}"#,
            40 + 6 + 500,
        ),
        (
            r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":6,"cache_write_tokens":3}}"#,
            10 + 6 + 60 + 500,
        ),
        (r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":25}"#, 100 + 1_500),
        (
            r#"{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":7}}"#,
            100 + 1_200,
        ),
    ] {
        for stream in [false, true] {
            let (rig, reply) = alone_at(price, used, stream).await;
            let record = rig.record_of(&reply).await;
            assert_eq!(recorded(&record, "cost_usd"), Some(cost), "{used} {record}");
            assert_eq!(metered(&rig, "cost_usd_total", &[("kind", "served")]).await, cost, "{used}");
            let [_, cached, output, reasoning] = usage(&record);
            assert!(cached <= 10 && reasoning <= output, "{record}");
        }
    }
}

#[tokio::test]
async fn usage_that_cannot_be_true_is_counted_and_not_billed() {
    for figure in ["1e30", "-5", "18446744073709551615", "1000000001"] {
        let used =
            format!(r#"{{"prompt_tokens":{figure},"completion_tokens":{figure},"total_tokens":{figure}}}"#);
        for stream in [false, true] {
            let (rig, reply) = alone_at("", &used, stream).await;
            let record = rig.record_of(&reply).await;
            assert_eq!(record["usage_estimated"], true, "{record}");
            assert!(usage(&record).iter().sum::<u64>() < 50, "{record}");
            assert!(recorded(&record, "cost_usd").unwrap() < 1_000, "{record}");
            assert_eq!(rig.metric("usage_implausible_total", &[("expert", "large")]).await, 1.0);
            assert_eq!(rig.metric("usage_missing_total", &[]).await, 0.0);
            assert!(tokens(&rig, "large").await.iter().sum::<u64>() < 50);
        }
    }
}

#[tokio::test]
async fn more_tokens_than_any_window_holds_are_counted_and_not_billed() {
    for (total, implausible) in
        [(20_000, false), (1 << 27, false), ((1 << 27) + 1, true), (900_000_000, true)]
    {
        let used = format!(r#"{{"prompt_tokens":10,"completion_tokens":5,"total_tokens":{total}}}"#);
        for stream in [false, true] {
            let (rig, reply) = alone_at("context_window: 32768", &used, stream).await;
            let record = rig.record_of(&reply).await;
            assert_eq!(record["usage_estimated"], implausible, "{record}");
            let [.., output, _] = usage(&record);
            assert!(if implausible { (1..50).contains(&output) } else { output == total - 10 }, "{record}");
            let counted = rig.metric("usage_implausible_total", &[("expert", "large")]).await;
            assert_eq!(counted, f64::from(u8::from(implausible)));
        }
    }
}

#[tokio::test]
async fn a_reported_price_is_what_the_upstream_says_and_nothing_else() {
    for stream in [false, true] {
        let (rig, reply) = alone_at(
            "price: reported",
            r#"{"prompt_tokens":10,"completion_tokens":5,"cost":0.00123,"is_byok":false}"#,
            stream,
        )
        .await;
        let record = rig.record_of(&reply).await;
        assert_eq!(recorded(&record, "cost_usd"), Some(1_230), "{record}");
        assert_eq!(metered(&rig, "cost_usd_total", &[("kind", "served")]).await, 1_230);
        // the fallback is its own baseline
        assert_eq!(money(&record), [Some(1_230), Some(1_230), Some(0)]);
    }
    for silent in [
        r#"{"prompt_tokens":10,"completion_tokens":5}"#,
        r#"{"prompt_tokens":10,"completion_tokens":5,"cost":-1}"#,
    ] {
        let (rig, reply) = alone_at("price: reported", silent, false).await;
        let record = rig.record_of(&reply).await;
        assert_eq!((&record["cost_usd"], &record["usage"]["output"]), (&Json::Null, &5.into()), "{record}");
        assert_eq!(rig.metric("unpriced_requests_total", &[("expert", "large")]).await, 1.0);
    }
    // what another upstream says is no price of the fallback
    let told = r#"{"prompt_tokens":10,"completion_tokens":5,"cost":1}"#;
    let coder = Upstream::script(answer(told, false)).await;
    let setup = Setup::new().expert("coder", coder.addr(), "price: { input_per_1m: 1, output_per_1m: 2 }");
    let rig = setup.large(coder.addr(), "price: reported").start().await;
    let reply = rig.chat(&chat("coder", "hello")).await;
    assert_eq!(money(&rig.record_of(&reply).await), [Some(20), None, None]);
    // where there is a price list, it counts
    let (rig, reply) = alone_at("price: { input_per_1m: 1, output_per_1m: 2 }", told, false).await;
    assert_eq!(recorded(&rig.record_of(&reply).await, "cost_usd"), Some(20));
}
