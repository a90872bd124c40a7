use super::*;

const EXPERT: &str = "
fallback: a
experts:
  - name: a
    model: m
    base_url: http://127.0.0.1:1/v1
    price: { input_per_1m: 1, output_per_1m: 2 }
";

fn with(extra: &str) -> String {
    format!("{EXPERT}{extra}")
}

fn read(text: &str) -> Result<Checked, Faults> {
    parse("t.yaml", text, &|name| (name == "SET").then(|| "value".to_owned()))
}

/// Line, column and message of every fault.
fn faults(text: &str) -> Vec<(usize, usize, String)> {
    let faults = read(text).expect_err("there are faults");
    faults.list().iter().map(|f| (f.place.line, f.place.column, f.message.clone())).collect()
}

#[test]
fn the_reference_configuration_is_valid_and_has_every_key() {
    let text = include_str!("../../../experts.yaml");
    let checked = parse("experts.yaml", text, &|_| None).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(checked.config.experts.len(), 10);
    let schema = schema();
    let keys = schema.lines().filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\": {"));
    let structural = ["properties", "$defs", "additionalProperties", "items"];
    let names = |key: &&str| key.chars().next().is_some_and(char::is_lowercase) && !structural.contains(key);
    for key in keys.filter(names).filter(|key| *key != "max_under_route") {
        assert!(text.contains(&format!("{key}:")), "experts.yaml never shows `{key}`");
    }
}

#[test]
fn the_committed_schema_is_the_one_of_this_build() {
    let committed = include_str!("../../../experts.schema.json");
    assert_eq!(committed.trim(), schema().trim(), "run `mixgate schema > experts.schema.json`");
}

#[test]
fn all_faults_are_told_at_once_each_with_its_place() {
    let text = "server: { lisen: x, max_body: 12XB }
fallback: b
experts:
  - { name: a, model: m, base_url: \"ftp://h\", context_window: many }
  - name: c
    model: ${NOT_SET}
    base_url: http://h/v1
    price: { input_per_1m: 1, output_per_1m: -1 }
";
    let found = faults(text);
    let expected = [
        (1, 11, "unknown key `lisen`"),
        (1, 31, "invalid size `12XB`"),
        (2, 11, "there is no expert `b`"),
        (4, 5, "the expert `a` has no price"),
        (4, 36, "this is no http or https address"),
        (4, 63, "expected a whole number, found the text `many`"),
        (6, 12, "the environment variable `NOT_SET` is not set"),
    ];
    for (line, column, message) in expected {
        let told = found.iter().any(|f| f.0 == line && f.1 == column && f.2.starts_with(message));
        assert!(told, "{message} at {line}:{column} is not among {found:#?}");
    }
}

#[test]
fn a_fault_is_shown_with_its_line_and_a_mark() {
    let shown = read(&with("polices: {}\n")).expect_err("a fault").to_string();
    let expected = "error: unknown key `polices`
 --> t.yaml:8:1
  |
8 | polices: {}
  | ^
  = help: did you mean `policies`?

1 fault in t.yaml";
    assert!(shown.contains(expected), "{shown}");
}

#[test]
fn places_behind_a_variable_are_those_of_the_file() {
    let text = with("aliases: { \"${SET:-x}-long-name\": nobody }\n");
    let (line, column, _) = faults(&text)[0].clone();
    assert_eq!(&text.lines().nth(line - 1).unwrap()[column - 1..column + 5], "nobody");
}

#[test]
fn a_variable_cannot_change_the_structure_of_the_file() {
    let injected = |name: &str| (name == "X").then(|| "a\nserver: { anonymous: true }".to_owned());
    let text = EXPERT.replace("model: m", "model: ${X}");
    let faults = parse("t.yaml", &text, &injected).expect_err("a fault");
    assert!(faults.to_string().contains("would read as structure"), "{faults}");
    let quoted = EXPERT.replace("model: m", "model: \"${X}\"");
    let checked = parse("t.yaml", &quoted, &injected).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(checked.config.experts[0].model, "a\nserver: { anonymous: true }");
}

#[test]
fn comments_may_speak_of_variables() {
    assert!(read(&with("# ${NOT_SET} and ${\n")).is_ok());
}

#[test]
fn a_listener_beyond_loopback_wants_keys() {
    let open = with("server: { listen: \"0.0.0.0:8080\" }\n");
    assert!(faults(&open)[0].2.contains("could spend your money"));
    assert!(read(&with("server: { listen: \"0.0.0.0:8080\", anonymous: true }\n")).is_ok());
    let keyed = format!("{open}tenants: [{{ name: t, keys: [\"{}\"] }}]\n", crate::auth::KeyHash::of("k"));
    assert!(read(&keyed).is_ok());
    assert!(faults(&with("server: { admin_listen: \"0.0.0.0:9090\" }\n"))[0].2.contains("without a key"));
}

#[test]
fn a_policy_has_one_dial() {
    assert!(read(&with("policies: { balanced: { max_under_route: 0.05 } }\n")).is_ok());
    let text = with("policies: { balanced: { tolerance: 0.1, max_under_route: 0.05 } }\n");
    assert!(faults(&text)[0].2.contains("two dials"));
}

#[test]
fn a_price_is_a_list_or_what_the_upstream_reports() {
    let with = |price: &str| EXPERT.replace("{ input_per_1m: 1, output_per_1m: 2 }", price);
    let price = |text: &str| read(&with(text)).unwrap().config.experts[0].price.unwrap();
    assert!(matches!(price("reported"), written::Pricing::Reported(_)));
    let list = price(
        "{ input_per_1m: 3e-1, cached_input_per_1m: .3, cache_write_per_1m: +2.5E-01, output_per_1m: 0 }",
    );
    let list = list.listed().unwrap();
    assert_eq!((list.input_per_1m, list.output_per_1m), (0.3, 0.0));
    assert_eq!((list.cached_input_per_1m, list.cache_write_per_1m), (Some(0.3), Some(0.25)));
    for wrong in [
        "free",
        "3",
        "[]",
        "{ input_per_1m: 1 }",
        "{ input_per_1m: 1, output_per_1m: 2, ouput_per_1m: 2 }",
        "{ input_per_1m: 1, output_per_1m: 2, cache_write_per_1m: -1 }",
        "{ input_per_1m: '0,3', output_per_1m: 2 }",
        "{ input_per_1m: .inf, output_per_1m: 2 }",
        "{ input_per_1m: 1e400, output_per_1m: 2 }",
    ] {
        let found = faults(&with(wrong));
        assert_eq!(found.len(), 1, "{wrong}: {found:?}");
        assert_eq!(found[0].0, 7, "{wrong}: {found:?}");
    }
}

#[test]
fn an_expert_that_is_hosted_needs_no_token_price() {
    let text = EXPERT.replace("price: { input_per_1m: 1, output_per_1m: 2 }", "hosting: { usd_per_hour: 1 }");
    assert!(read(&text).is_ok());
}

#[test]
fn broken_yaml_and_two_of_a_key_have_a_place() {
    assert_eq!(faults("fallback: [a\n").len(), 1);
    let twice = faults(&with("fallback: b\n"));
    assert_eq!(twice[0].0, 8, "{twice:?}");
}

#[test]
fn a_secret_never_prints() {
    let text = EXPERT.replace("model: m", "model: m\n    api_key: sk-canary");
    let checked = read(&text).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(!format!("{:?}", checked.config).contains("canary"));
}

/// The message for one value of a key of the expert, or of `server`.
fn refused(key: &str, value: &str) -> Option<String> {
    let text = match key.split_once('.') {
        Some(("server", key)) => with(&format!("server: {{ {key}: {value} }}\n")),
        Some((section, key)) if section != "expert" => with(&format!("{section}: {{ {key}: {value} }}\n")),
        Some((_, key)) => EXPERT.replace("model: m", &format!("model: m\n    {key}: {value}")),
        None => unreachable!("{key}"),
    };
    // the default policy is not among those that are written
    let told =
        |faults: Faults| faults.list().iter().map(|f| f.message.clone()).find(|m| !m.contains("no policy"));
    read(&text).err().and_then(told)
}

#[test]
fn figures_that_cannot_work_are_refused_and_their_neighbours_are_not() {
    for (key, good, bad) in [
        (
            "expert.hosting",
            &["{ usd_per_hour: 0 }", "{ usd_per_hour: 1e6 }"][..],
            &["{ usd_per_hour: -5 }", "{ usd_per_hour: .nan }", "{ usd_per_hour: .inf }"][..],
        ),
        (
            "expert.timeouts",
            &["{ total: 1ms }", "{ total: 24h }", "{ headers: 5m }"],
            &[
                "{ total: 0s }",
                "{ total: 25h }",
                "{ headers: 0s }",
                "{ total: 5000000000000000h }",
                "{ idle: 0us }",
            ],
        ),
        ("expert.context_window", &["16", "1000000000"], &["0", "15", "1000000001"]),
        ("expert.max_output_tokens", &["1"], &["0"]),
        ("expert.max_concurrency", &["1", "1048576"], &["0", "4294967295"]),
        ("server.keep_alive", &["10ms", "1h"], &["0s", "1us", "9ms", "2h"]),
        ("server.body_timeout", &["1ms"], &["0s", "2h"]),
        ("server.drain_timeout", &["0s", "24h"], &["25h"]),
        ("server.max_buffered", &["32MiB", "1024GiB"], &["0", "31MiB", "9000000000GiB", "1025GiB"]),
        ("server.max_body", &["1KiB"], &["0", "1023", "100GiB"]),
        ("server.max_connections", &["1", "1048576"], &["0", "4294967295"]),
        ("server.max_in_flight", &["1"], &["0", "4294967295"]),
        ("router.deadline", &["1us", "60s"], &["0s", "61s"]),
        ("sessions.idle", &["1s"], &["0s", "9000h"]),
        ("sessions.max", &["1"], &["0"]),
        ("retry.budget", &["0%", "100%", "12.5 %"], &["101%", "-1%", "20", "x%"]),
        ("retry.min_per_second", &["0"], &["4294967295"]),
        (
            "policies.p",
            &["{ max_under_route: 0.001 }", "{ tolerance: 0 }"],
            &["{ max_under_route: 0 }", "{ tolerance: 1.1 }"],
        ),
    ] {
        for value in good {
            assert_eq!(refused(key, value), None, "{key}: {value}");
        }
        for value in bad {
            assert!(refused(key, value).is_some(), "{key}: {value} passes");
        }
    }
}

#[test]
fn keys_and_headers_are_trimmed_and_what_no_header_may_hold_is_refused() {
    let with_key = |value: &str| {
        let text = EXPERT
            .replace("model: m", "model: m\n    api_key: \"${KEY}\"\n    headers: { x-key: \"${KEY}\" }");
        parse("t.yaml", &text, &|name| (name == "KEY").then(|| value.to_owned()))
    };
    for value in ["sk-abc", "sk-abc\n", " sk-abc\r\n", "\tsk-abc "] {
        let checked = with_key(value).unwrap_or_else(|faults| panic!("{value:?}: {faults}"));
        let expert = &checked.config.experts[0];
        let key = expert.api_key.as_ref().and_then(|key| key.header("Bearer ")).unwrap();
        assert_eq!((key.as_bytes(), key.is_sensitive()), (&b"Bearer sk-abc"[..], true), "{value:?}");
    }
    for value in ["sk\nabc", "sk\r\n abc"] {
        let faults = with_key(value).expect_err(value).to_string();
        assert!(
            faults.contains("holds a character that no header may") && faults.contains("${KEY}"),
            "{faults}"
        );
        assert!(!faults.contains("sk\nabc"), "{faults}");
    }
    for (name, what) in [("content-length", "is the gateway's own"), ("\"a b\"", "is no name for a header")] {
        let text = EXPERT.replace("model: m", &format!("model: m\n    headers: {{ {name}: x }}"));
        assert!(faults(&text)[0].2.contains(what), "{name}");
    }
}

#[test]
fn a_list_of_fallbacks_names_each_expert_once() {
    let list = |names: &str| EXPERT.replace("fallback: a", &format!("fallback: {names}"));
    assert_eq!(read(&list("[a]")).unwrap_or_else(|f| panic!("{f}")).config.fallback.primary(), "a");
    for (names, what) in
        [("[]", "is empty"), ("[a, a]", "named twice"), ("[a, b]", "no expert `b`"), ("{ a: 1 }", "")]
    {
        assert!(
            faults(&list(names)).iter().any(|f| f.2.contains(what)),
            "{names}: {:?}",
            faults(&list(names))
        );
    }
}

#[test]
fn an_alias_is_a_name_and_tells_what_it_hides() {
    for (alias, what) in
        [("''", "is no name for a model"), ("' x'", "is no name for a model"), ("a", "hides what")]
    {
        let found = faults(&with(&format!("aliases: {{ {alias}: auto }}\n")));
        assert!(found.iter().any(|f| f.2.contains(what)), "{alias}: {found:?}");
    }
    let warnings = |text: &str| read(&with(text)).unwrap().warnings;
    let hides = "takes the place of the model id of";
    let model = "aliases: { m: auto }\n";
    assert!(warnings(model).iter().any(|w| w.contains(hides)), "{:?}", warnings(model));
    assert!(!warnings("aliases: { gpt-4: auto }\n").iter().any(|w| w.contains(hides)));
}

#[test]
fn a_message_names_the_variable_and_not_its_value() {
    let text = EXPERT.replace("input_per_1m: 1", "input_per_1m: ${X}");
    let told = parse("t.yaml", &text, &|_| Some("canary-12345".to_owned())).unwrap_err().to_string();
    assert!(told.contains("${X}") && !told.contains("canary"), "{told}");
}

#[test]
fn a_place_is_the_same_whatever_ends_the_lines() {
    let text = EXPERT.replace("input_per_1m: 1", "input_per_1m: x");
    let place = |text: &str| faults(text).iter().map(|f| (f.0, f.1)).collect::<Vec<_>>();
    for end in ["\r\n", "\r"] {
        assert_eq!(place(&text.replace('\n', end)), place(&text), "{end:?}");
        assert!(read(&EXPERT.replace('\n', end)).is_ok(), "{end:?}");
    }
}

#[test]
fn what_is_missing_at_the_end_is_missing_on_the_last_line() {
    let found = faults("%:a%:b x\n");
    assert_eq!((found.len(), found[0].0, found[0].1), (1, 1, 9), "{found:?}");
    assert!(faults("").iter().all(|f| f.0 <= 1), "{:?}", faults(""));
}

#[test]
fn names_of_hosts_and_origins_are_no_patterns() {
    for text in ["server: { hosts: ['*'] }\n", "server: { hosts: ['*.internal'] }\n"] {
        assert!(faults(&with(text)).iter().any(|f| f.2.contains("no name of a machine")), "{text}");
    }
    let origin = "server: { cors: { origins: ['https://*.example.org'] } }\n";
    assert!(faults(&with(origin)).iter().any(|f| f.2.contains("no origin of a page")));
}

#[test]
fn a_forbidden_tag_that_nobody_has_is_told() {
    let warnings = read(&with("rules: [ { forbid: [traned_on:web] } ]\n")).unwrap().warnings;
    assert!(warnings.iter().any(|w| w.contains("`traned_on:web` that a rule forbids")), "{warnings:?}");
}

#[test]
fn a_key_says_who_asks_so_nobody_shares_one() {
    let hash = |key: &str| crate::auth::KeyHash::of(key).to_string();
    let (one, other) = (hash("one"), hash("other"));
    let upper = format!("sha256:{}", one["sha256:".len()..].to_uppercase());
    let tenants = |a: &[&str], b: &[&str]| {
        format!("tenants:\n  - {{ name: a, keys: {a:?} }}\n  - {{ name: b, keys: {b:?} }}\n")
    };
    let admin = |keys: &[&str]| format!("server: {{ admin_keys: {keys:?} }}\n");
    assert!(read(&with(&tenants(&[&one], &[&other]))).is_ok());
    assert!(read(&with(&(admin(&[&hash("admin")]) + &tenants(&[&one], &[&other])))).is_ok());
    for (text, line, column, what) in [
        (tenants(&[&one], &[&one]), 10, 23, "`a` and `b` have the same key"),
        (tenants(&[&one], &[&other, &upper]), 10, 98, "`a` and `b` have the same key"),
        (tenants(&[&one, &upper], &[&other]), 9, 98, "`a` has this key twice"),
        (admin(&[&one, &one]), 8, 99, "`admin_keys` has this key twice"),
    ] {
        let found = faults(&with(&text));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!((found[0].0, found[0].1), (line, column), "{text}: {found:?}");
        assert!(found[0].2.contains(what), "{text}: {found:?}");
    }
    for (text, tenant) in [
        (admin(&[&one]) + &tenants(&[&upper], &[&other]), "a"),
        (tenants(&[&other], &[&one]) + &admin(&[&one]), "b"),
    ] {
        let warnings = read(&with(&text)).unwrap().warnings;
        let what = format!("the tenant `{tenant}` and the admin listener have the same key");
        assert!(warnings.iter().any(|w| w.starts_with(&what)), "{text}: {warnings:?}");
    }
}

#[test]
fn a_variable_that_is_empty_is_told_from_one_that_is_not_set() {
    let text = EXPERT.replace("model: m", "model: ${X}");
    let told = |environment: Environment<'_>| parse("t.yaml", &text, environment).unwrap_err().to_string();
    assert!(told(&|_| None).contains("the environment variable `X` is not set"));
    assert!(told(&|_| Some(String::new())).contains("the environment variable `X` is empty"));
}

#[test]
fn a_fallback_whose_price_is_reported_is_warned_of() {
    let warnings = |text: &str| read(text).unwrap().warnings;
    assert!(warnings(EXPERT).is_empty());
    let text = EXPERT.replace("{ input_per_1m: 1, output_per_1m: 2 }", "reported");
    assert!(warnings(&text)[0].contains("no savings are told"), "{:?}", warnings(&text));
}

#[test]
fn an_address_that_can_only_fail_is_refused_where_it_stands() {
    let at = |url: &str| EXPERT.replace("http://127.0.0.1:1/v1", &format!("\"{url}\""));
    for url in [
        "http://127.0.0.1:8081/v1",
        "http://10.0.0.1:8080/v1",
        "https://h/v1?a=b",
        "https://h/embeddings/v1",
        "https://h/completions-api",
    ] {
        assert!(read(&at(url)).is_ok(), "{url}");
    }
    for (url, what) in [
        ("http://127.0.0.1:0/v1", "port 0"),
        ("http://127.0.0.1:99999/v1", "from 1 to 65535"),
        ("http://[::1]:65536/v1", "from 1 to 65535"),
        ("http://h/v1#x", "has no `#`"),
        ("http://127.0.0.1:8080/v1", "own `server.listen`"),
        ("https://h/v1/chat/completions", "`/chat/completions` is not part"),
        ("https://h/v1/completions/", "`/completions` is not part"),
        ("https://h/v1/embeddings?a=b", "`/embeddings` is not part"),
    ] {
        let found = faults(&at(url));
        assert_eq!((found.len(), found[0].0, found[0].1), (1, 6, 15), "{url}: {found:?}");
        assert!(found[0].2.contains(what), "{url}: {found:?}");
    }
    let two = |one: &str, other: &str| {
        let list = format!("endpoints: [{{ base_url: \"{one}\" }}, {{ base_url: \"{other}\" }}]");
        EXPERT.replace("base_url: http://127.0.0.1:1/v1", &list)
    };
    assert!(read(&two("http://a/v1", "http://b/v1")).is_ok());
    let found = faults(&two("http://a/v1", "http://a/v1/"));
    assert_eq!((found.len(), found[0].0, found[0].1), (1, 6, 58), "{found:?}");
    assert!(found[0].2.contains("same endpoint twice"), "{found:?}");
}

#[test]
fn both_listeners_have_a_port_of_their_own() {
    let both = |one: &str, other: &str| {
        with(&format!("server: {{ anonymous: true, listen: \"{one}\", admin_listen: \"{other}\" }}\n"))
    };
    for (one, other) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("127.0.0.1:8080", "127.0.0.1:8081"),
        ("127.0.0.1:8080", "127.0.0.2:8080"),
    ] {
        assert!(read(&both(one, other)).is_ok(), "{one} {other}");
    }
    for one in ["127.0.0.1:9000", "0.0.0.0:9000"] {
        let found = faults(&both(one, "127.0.0.1:9000"));
        assert_eq!((found.len(), found[0].0), (1, 8), "{found:?}");
        assert!(found[0].1 > 50 && found[0].2.contains("the same port"), "{found:?}");
    }
}
