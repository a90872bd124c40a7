//! Who is at fault when an upstream refuses, read from the status and the words of OpenAI-compatible servers.
//!
//! It matters where the client named the model, and at the last candidate: a refusal that the client caused reaches it
//! as it came; for one that the operator must look into, another model answers. Servers agree on little: the words
//! stand in `error.message`, `message`, `detail`, `errors[].message` or a page of HTML, and a model that is not there
//! is a 404 of three shapes, a 400 or a 422. What cannot be told apart is the client's: its words help.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Who is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The client's request.
    Client,
    /// The gateway's key, or what it may do.
    Credentials,
    /// The account has nothing left.
    Credit,
    /// The model or deployment is not there.
    UnknownModel,
    /// The address is wrong, or the server lacks the endpoint.
    UnknownPath,
    /// A field that the gateway added by itself: `stream_options`.
    AddedField,
    /// The model failed behind a server that says so with a 4xx.
    Upstream,
}

/// Bytes of a body that are looked at where it is no JSON.
const MOST_TEXT: usize = 4 * 1024;
/// Largest JSON body that is read.
const MOST_JSON: usize = 64 * 1024;

impl Refusal {
    /// Reads a refusal. `added`: the gateway put `stream_options` into the request.
    pub fn read(status: u16, body: &[u8], added: bool) -> Self {
        let words = Words::read(body);
        if added && matches!(status, 400 | 422) && words.refuse_an_added_field() {
            return Self::AddedField;
        }
        match status {
            401 | 403 | 407 => Self::Credentials,
            402 => Self::Credit,
            424 => Self::Upstream,
            400 | 422 if words.name_a_field() => Self::Client,
            405 | 410 | 501 if !words.name_the_model() => Self::UnknownPath,
            404 if words.name_a_field() => Self::Client,
            404 if !words.name_the_model() => Self::UnknownPath,
            404 | 405 | 410 | 501 => Self::UnknownModel,
            _ if words.say_no_credit() => Self::Credit,
            _ if words.say_a_wrong_key() => Self::Credentials,
            _ if words.name_the_model() => Self::UnknownModel,
            _ => Self::Client,
        }
    }
}

/// Whether a 429 says that waiting does not help: the account is out of credit.
pub fn is_out_of_credit(body: &[u8]) -> bool {
    Words::read(body).say_no_credit()
}

/// The status that an error stands for which came with a 200, as some servers do once they have begun a stream: what its
/// `code` says, else what its type is called. `None`: no refusal, so far as it says.
pub fn refused_with(body: &[u8]) -> Option<StatusCode> {
    const CALLED: [(&str, u16); 12] = [
        ("invalid_request_error", 400),
        ("badrequesterror", 400),
        ("context_length_exceeded", 400),
        ("exceed_context_size_error", 400),
        ("authentication_error", 401),
        ("insufficient_quota", 402),
        ("permission_error", 403),
        ("not_found_error", 404),
        ("notfounderror", 404),
        ("model_not_found", 404),
        ("rate_limit_error", 429),
        ("rate_limit_exceeded", 429),
    ];
    let words = Words::read(body);
    let number = words.codes.iter().find_map(|code| code.parse::<u16>().ok());
    let called = |code: &String| CALLED.iter().find(|(name, _)| name == code).map(|(_, status)| *status);
    let status = number.or_else(|| words.codes.iter().find_map(called))?;
    StatusCode::from_u16(status).ok().filter(StatusCode::is_client_error)
}

/// What a body says, in lower case.
#[derive(Debug, Default)]
struct Words {
    /// Messages, joined by line ends.
    message: String,
    /// Codes, types and states.
    codes: Vec<String>,
    /// The fields that are complained of.
    fields: Vec<String>,
}

impl Words {
    fn read(body: &[u8]) -> Self {
        let mut words = Self::default();
        let mut reader = serde_json::Deserializer::from_slice(&body[..body.len().min(MOST_JSON)]);
        let collect = Collect { words: &mut words, key: "" };
        let read = collect.deserialize(&mut reader);
        // of JSON that is too long, what was read counts; as text it would be the request's echo, too
        let is_long_json = body.len() > MOST_JSON && matches!(body.trim_ascii_start(), [b'{' | b'[', ..]);
        if read.is_err() && !is_long_json {
            let text = &body[..body.len().min(MOST_TEXT)];
            words = Self { message: String::from_utf8_lossy(text).to_lowercase(), ..Self::default() };
        }
        words
    }

    fn note(&mut self, key: &str, text: String) {
        match key {
            "code" | "type" | "status" | "status_code" | "reason" | "error_code" | "error_type" => {
                self.codes.push(text);
            }
            "param" | "loc" => self.fields.push(text),
            "details" => {}
            _ => {
                self.message.push_str(&text);
                self.message.push('\n');
            }
        }
    }

    fn has_code(&self, codes: &[&str]) -> bool {
        self.codes.iter().any(|code| codes.contains(&code.as_str()))
    }

    /// `stream_options` by name; or some field that the server does not know, without saying which.
    fn refuse_an_added_field(&self) -> bool {
        const FIELDS: [&str; 2] = ["stream_options", "include_usage"];
        const UNKNOWN: [&str; 9] = [
            "extra inputs",
            "extra fields",
            "unknown field",
            "unrecognized field",
            "unrecognised field",
            "unexpected field",
            "unknown parameter",
            "additional properties",
            "unrecognized request argument",
        ];
        if FIELDS
            .iter()
            .any(|f| self.message.contains(f) || self.fields.iter().any(|field| field.contains(f)))
        {
            return true;
        }
        let names_another = self.fields.iter().any(|field| !matches!(field.as_str(), "body" | ""))
            || self.message.contains(['`', '\'', '"']);
        !names_another && UNKNOWN.iter().any(|words| self.message.contains(words))
    }

    /// A field of the request other than its model, or a thing that it refers to.
    fn name_a_field(&self) -> bool {
        let field = |name: &String| {
            let last = name.rsplit('.').next().unwrap_or_default();
            !matches!(last, "" | "model" | "model_id" | "model_name" | "body" | "path" | "query" | "null")
        };
        self.fields.iter().any(field) || self.message.contains("no such file object")
    }

    fn say_no_credit(&self) -> bool {
        const CODES: [&str; 9] = [
            "insufficient_quota",
            "budget_exceeded",
            "arrearage",
            "allocationquota.freetieronly",
            "billing_error",
            "billing_hard_limit_reached",
            "insufficient_credits",
            "insufficient_balance",
            "payment_required",
        ];
        const SAID: [&str; 10] = [
            "insufficient balance",
            "insufficient account balance",
            "balance is insufficient",
            "budget has been exceeded",
            "account is in good standing",
            "insufficient credit",
            "credit balance is too low",
            "exceeded your current quota",
            "out of credit",
            "billing hard limit",
        ];
        self.has_code(&CODES) || SAID.iter().any(|words| self.message.contains(words))
    }

    fn say_a_wrong_key(&self) -> bool {
        const CODES: [&str; 6] = [
            "invalid_api_key",
            "api_key_invalid",
            "unauthenticated",
            "authentication_error",
            "permission_denied",
            "permission_error",
        ];
        const SAID: [&str; 6] = [
            "api key not valid",
            "invalid api key",
            "incorrect api key",
            "invalid x-api-key",
            "api key expired",
            "api key has expired",
        ];
        self.has_code(&CODES) || SAID.iter().any(|words| self.message.contains(words))
    }

    /// The model itself is what is not there; not a parameter that «is not supported with this model».
    fn name_the_model(&self) -> bool {
        const CODES: [&str; 13] = [
            "model_not_found",
            "modelnotfound",
            "model_not_available",
            "model_not_supported",
            "model_decommissioned",
            "model_deprecated",
            "invalid_model",
            "unknown_model",
            "unsupported_model",
            "deploymentnotfound",
            "deployment_not_found",
            "operationnotsupported",
            "invalidendpointormodel.notfound",
        ];
        self.has_code(&CODES) || sentences(&self.message).any(says_the_model_is_absent)
    }
}

/// Where servers say what is wrong, each at any depth within the others. Anything else may be the request's own text,
/// which they echo: FastAPI's `input` and `ctx`.
const TELLING: [&str; 16] = [
    "message",
    "msg",
    "detail",
    "details",
    "error",
    "errors",
    "code",
    "type",
    "status",
    "status_code",
    "reason",
    "error_code",
    "error_type",
    "error_message",
    "param",
    "loc",
];

/// Collects the strings of a JSON text that tell something, by the nearest key.
struct Collect<'w> {
    words: &'w mut Words,
    key: &'w str,
}

impl<'de> DeserializeSeed<'de> for Collect<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Collect<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match TELLING.into_iter().find(|telling| key.eq_ignore_ascii_case(telling)) {
                Some(key) => map.next_value_seed(Collect { words: self.words, key })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Collect { words: self.words, key: self.key })?.is_some() {}
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.words.note(self.key, text.to_lowercase());
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        if matches!(self.key, "code" | "status" | "status_code" | "error_code") {
            self.words.codes.push(number.to_string());
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
}

/// Sentences of a text; the dot in «gpt-4.1» ends none.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', ';']).flat_map(|line| line.split(". "))
}

/// «model … not found» and «invalid model …», of the same sentence, with nothing between but a name.
fn says_the_model_is_absent(sentence: &str) -> bool {
    const NOUNS: [&str; 4] = ["model", "models", "deployment", "endpoint"];
    const BEFORE: [&str; 20] = [
        "invalid model",
        "unknown model",
        "unsupported model",
        "no such model",
        "not a valid model",
        "not found the model",
        "no models loaded",
        "no model loaded",
        "unable to access model",
        "no endpoints found",
        "not find model",
        "n't find model",
        "cannot find model",
        "not find the model",
        "no access to model",
        "no access to the model",
        "authorized to access model",
        "no available channel for model",
        "failed to load model",
        "no such deployment",
    ];
    const BEHIND: [&str; 17] = [
        "not exist",
        "n't exist",
        "not found",
        "not be found",
        "no longer",
        "decommissioned",
        "deprecated",
        "retired",
        "not available",
        "not loaded",
        "not deployed",
        "have access",
        "is invalid",
        "unavailable",
        "is not supported",
        "isn't supported",
        "isn’t supported",
    ];
    if BEFORE.iter().any(|words| sentence.contains(words)) || sentence.contains("模型不存在") {
        // «invalid model parameters», «invalid model output» are of the request
        return !["parameter", "input", "output", "setting"].iter().any(|noun| sentence.contains(noun));
    }
    let words = sentence.match_indices(|c: char| c.is_alphanumeric()).map(|(at, _)| at);
    let starts = words.filter(|at| *at == 0 || !sentence[..*at].ends_with(|c: char| c.is_alphanumeric()));
    starts.into_iter().any(|at| {
        let rest = &sentence[at..];
        // «the voice for model x is not available» is of the voice
        let is_subject =
            !sentence[..at].trim_end().trim_end_matches(" this").trim_end_matches(" the").ends_with("for");
        // «https://a/endpoint: 404 not found» is of what is there
        is_subject
            && !sentence[..at].ends_with('/')
            && NOUNS
                .iter()
                .any(|noun| rest.strip_prefix(noun).is_some_and(|behind| is_absent(behind, &BEHIND)))
    })
}

/// What stands behind «model» up to «not found» is a name and small words, and nothing else that could be missing.
fn is_absent(behind: &str, phrases: &[&str]) -> bool {
    const MOST_WORDS: usize = 7;
    const OTHERS: [&str; 14] = [
        "image",
        "file",
        "url",
        "tool",
        "function",
        "parameter",
        "param",
        "field",
        "message",
        "role",
        "content",
        "template",
        "support",
        "argument",
    ];
    // another word, or what the model has: «the model's logprobs»
    if behind.starts_with(|c: char| c.is_alphanumeric())
        || ["'s ", "’s "].iter().any(|of| behind.starts_with(of))
    {
        return false;
    }
    let found = phrases.iter().filter_map(|phrase| behind.find(phrase)).min();
    found.is_some_and(|end| {
        let between = &behind[..end];
        between.split_whitespace().count() <= MOST_WORDS
            && !between.split_whitespace().any(|word| OTHERS.iter().any(|other| word.starts_with(other)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Refusal {
        Refusal::read(status, body.as_bytes(), false)
    }

    #[test]
    fn a_model_that_is_not_there_is_known_in_every_servers_words() {
        let cases = [
            (
                404,
                r#"{"error":{"message":"The model `x` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
            ),
            (
                404,
                r#"{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":"model","code":404}"#,
            ),
            (404, r#"{"error":"model \"x\" not found, try pulling it first"}"#),
            (
                404,
                r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist. If you created it within the last 5 minutes, please wait."}}"#,
            ),
            (
                404,
                r#"[{"error":{"code":404,"message":"models/x is not found for API version v1main, or is not supported for generateContent.","status":"NOT_FOUND"}}]"#,
            ),
            (
                404,
                r#"{"error":{"type":"resource_not_found_error","message":"Not found the model x or Permission denied"}}"#,
            ),
            (
                404,
                r#"{"code":"InvalidEndpointOrModel.NotFound","message":"The model or endpoint x does not exist or you do not have access to it."}"#,
            ),
            (
                400,
                r#"{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}"#,
            ),
            (
                400,
                r#"{"error":{"message":"Model Not Exist","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
            ),
            (
                400,
                r#"{"error":{"message":"The model `x` has been decommissioned and is no longer supported.","type":"invalid_request_error"}}"#,
            ),
            (400, r#"{"error":{"message":"x is not a valid model ID","code":400}}"#),
            (
                400,
                r#"{"error":{"message":"/chat/completions: Invalid model name passed in model=x. Call `/v1/models` to view available models for your key."}}"#,
            ),
            (400, r#"{"error":{"code":"1211","message":"模型不存在，请检查模型代码。"}}"#),
            (400, r#"{"message":"The provided model identifier is invalid."}"#),
            (
                400,
                r#"{"error":{"message":"No models loaded. Please load a model in the developer page.","param":null}}"#,
            ),
            (422, r#"{"detail":"Model x is not available"}"#),
            (400, r#"{"error":{"message":"The model `gpt-4.1-nano` does not exist","code":null}}"#),
            (
                400,
                r#"{"error":{"message":"The model `llama-3.1-70b` has been decommissioned and is no longer supported. See the docs."}}"#,
            ),
            (404, r#"{"error":{"message":"model \"llama3.1:8b\" not found, try pulling it first"}}"#),
            (400, r#"{"error":{"message":"Could not find model 'a-1.5'"}}"#),
            (400, r#"{"error":{"message":"Model a-1.5 is not supported"}}"#),
            (400, r#"{"error":{"message":"Requested model x is unavailable"}}"#),
            (400, r#"{"error":{"message":"You are not authorized to access model x"}}"#),
            (
                400,
                r#"{"message":"Invocation of model ID x with on-demand throughput isn’t supported. Retry with an ARN."}"#,
            ),
            (422, r#"{"detail":[{"loc":["body","model"],"msg":"unknown model x","type":"value_error"}]}"#),
        ];
        for (status, body) in cases {
            assert_eq!(read(status, body), Refusal::UnknownModel, "{body}");
        }
    }

    #[test]
    fn what_a_model_does_not_support_is_the_clients() {
        for message in [
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "This model does not support image input: image_url content is not supported by this model",
            "Unsupported value: 'temperature' does not support 0.2 with this model.",
            "This model's maximum context length is 8192 tokens. However, you requested 9411 tokens.",
            "The model could not read the image: url not found",
            "Unexpected message role.",
            "Tool choice `f` not found in tools",
            "The model produced invalid output; the tool get_x was not found",
            "invalid model parameters: top_p must be below 1",
            "Conversation roles must alternate user/assistant",
            "max_tokens is too large",
            "Invalid model input: messages must alternate user/assistant",
            "The model's logprobs are not available when stream is true",
            "The model’s logprobs are not available when stream is true",
            "The requested voice for model gpt-4o-audio is not available",
            "The requested voice for this model is not available",
            "This model's `seed` is deprecated, use `random_seed`",
            "'temperature' is deprecated for this model.",
            "Failed to fetch image from https://a/endpoint: 404 not found",
            "Model x does not support tools. Tool choice is not available",
            "The system role is not supported by this model.",
            "version 1.5 of the tool was not found. The model stopped",
        ] {
            let body = format!(
                r#"{{"error":{{"message":{},"type":"invalid_request_error","param":null,"code":null}}}}"#,
                serde_json::to_string(message).unwrap()
            );
            for status in [400, 409, 413, 422, 451] {
                assert_eq!(read(status, &body), Refusal::Client, "{status} {message}");
            }
        }
        assert_eq!(read(413, "<html><h1>413 Request Entity Too Large</h1></html>"), Refusal::Client);
        assert_eq!(read(400, ""), Refusal::Client);
    }

    #[test]
    fn words_of_the_request_and_of_its_fields_are_the_clients() {
        for body in [
            r#"{"detail":[{"type":"float_parsing","loc":["body","temperature"],"msg":"Input should be a valid number","input":"invalid api key"}]}"#,
            r#"{"detail":[{"type":"string_type","msg":"Input should be a valid string","input":{"message":"my model does not exist"}}]}"#,
            r#"{"detail":[{"type":"value_error","msg":"Value error","ctx":{"error":"the model x does not exist"}}]}"#,
            r#"{"error":{"message":"bad request","request":{"message":"the model x does not exist","code":"invalid_api_key"}}}"#,
            r#"{"error":{"message":"The model x is not found in the list of voices","param":"audio.voice"}}"#,
            r#"{"error":{"message":"Image could not be fetched: endpoint https://x/a not found","param":"messages"}}"#,
            r#"{"error":{"message":"The model x is deprecated with it","param":"messages[0].content"}}"#,
        ] {
            for status in [400, 422] {
                assert_eq!(read(status, body), Refusal::Client, "{status} {body}");
            }
        }
        let absent = r#"{"error":{"message":"The model x does not exist","param":"body.model"}}"#;
        assert_eq!(read(400, absent), Refusal::UnknownModel);
        // an echo that is longer than what is read
        for length in [1, MOST_JSON - 200, MOST_JSON, 2 * MOST_JSON] {
            let echo = format!("invalid api key {}", "x".repeat(length));
            for loc in [r#""loc":["body"],"#, ""] {
                let body = format!(r#"{{"detail":[{{{loc}"msg":"Value error","input":"{echo}"}}]}}"#);
                assert_eq!(read(422, &body), Refusal::Client, "{length}");
            }
        }
        let long = format!("<html>The model x does not exist{}</html>", " ".repeat(MOST_JSON));
        assert_eq!(read(400, &long), Refusal::UnknownModel);
    }

    #[test]
    fn a_404_without_a_word_of_the_model_is_a_wrong_path() {
        for body in [
            r#"{"detail":"Not Found"}"#,
            "404 page not found",
            "<html>no such page</html>",
            "",
            r#"{"error":"not found"}"#,
            r#"{"message":"no Route matched with those values"}"#,
            r#"{"timestamp":"2026","status":404,"error":"Not Found","path":"/v1/models/chat"}"#,
            r#"{"error":{"message":"Invalid URL (POST /v1/v1/chat/completions)","type":"invalid_request_error","param":null,"code":null}}"#,
            r#"{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}"#,
        ] {
            assert_eq!(read(404, body), Refusal::UnknownPath, "{body}");
        }
        assert_eq!(read(405, r#"{"detail":"Method Not Allowed"}"#), Refusal::UnknownPath);
        let file = r#"{"error":{"message":"No such File object: file-1","param":"file_id"}}"#;
        assert_eq!(read(404, file), Refusal::Client);
    }

    #[test]
    fn keys_and_credit_are_the_operators() {
        for (status, body, expected) in [
            (401, "", Refusal::Credentials),
            (403, "<html>", Refusal::Credentials),
            (402, r#"{"error":{"message":"Insufficient Balance"}}"#, Refusal::Credit),
            (424, r#"{"error":"x","error_type":"generation"}"#, Refusal::Upstream),
            (
                400,
                r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","details":[{"reason":"API_KEY_INVALID"}]}}]"#,
                Refusal::Credentials,
            ),
            (
                400,
                r#"{"error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}"#,
                Refusal::Credit,
            ),
            (
                400,
                r#"{"error":{"code":"Arrearage","message":"Access denied, please make sure your account is in good standing."}}"#,
                Refusal::Credit,
            ),
            (
                400,
                r#"{"error":{"message":"Budget has been exceeded! Current cost: 1.2","type":"budget_exceeded"}}"#,
                Refusal::Credit,
            ),
            (
                400,
                r#"{"error":{"message":"API key expired. Please renew the API key."}}"#,
                Refusal::Credentials,
            ),
        ] {
            assert_eq!(read(status, body), expected, "{status} {body}");
        }
        assert!(is_out_of_credit(
            br#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#
        ));
        assert!(!is_out_of_credit(
            br#"{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}"#
        ));
    }

    #[test]
    fn an_error_that_came_with_a_200_says_what_it_stands_for() {
        for (body, status) in [
            (r#"{"error":{"message":"x","type":"BadRequestError","param":null,"code":400}}"#, Some(400)),
            (r#"{"object":"error","message":"x","type":"BadRequestError","code":400}"#, Some(400)),
            (r#"{"error":{"message":"x","type":"invalid_request_error","code":null}}"#, Some(400)),
            (r#"{"error":{"message":"x","code":"429"}}"#, Some(429)),
            (r#"{"error":{"message":"x","type":"rate_limit_error"}}"#, Some(429)),
            (r#"{"error":{"message":"x","type":"invalid_request_error","code":502}}"#, None),
            (r#"{"error":{"message":"x","type":"server_error","code":500}}"#, None),
            (r#"{"error":"boom"}"#, None),
            ("boom", None),
        ] {
            assert_eq!(refused_with(body.as_bytes()).map(|s| s.as_u16()), status, "{body}");
        }
    }

    #[test]
    fn a_field_that_the_gateway_added_is_its_own_fault() {
        for body in [
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}}"#,
            r#"{"error":{"message":"Unrecognized request argument supplied: stream_options","type":"invalid_request_error","param":null}}"#,
            r#"{"error":{"message":"json: unknown field \"stream_options\""}}"#,
            r#"{"error":"unknown field in request body"}"#,
        ] {
            assert_eq!(Refusal::read(400, body.as_bytes(), true), Refusal::AddedField, "{body}");
            assert_eq!(read(400, body), Refusal::Client, "the client sent it itself: {body}");
        }
        for body in [
            r#"{"detail":[{"type":"extra_forbidden","loc":["body","foo"],"msg":"Extra inputs are not permitted"}]}"#,
            r#"{"error":{"message":"json: unknown field \"foo\""}}"#,
            r#"{"error":{"message":"temperature must be below 2"}}"#,
        ] {
            assert_eq!(Refusal::read(422, body.as_bytes(), true), Refusal::Client, "{body}");
        }
    }
}
