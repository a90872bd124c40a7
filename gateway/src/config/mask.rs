//! Takes secrets out of the lines and messages that faults show: what stands behind a key that may hold one, below it,
//! in a list, or in an address before its `@` or in its query.

use super::units::REDACTED;

/// Parts of keys behind which nothing is shown, misspelt ones included.
const TELLING: [&str; 9] =
    ["key", "token", "secret", "password", "passwd", "authoriz", "credential", "cookie", "headers"];

/// Settings whose names only sound like it.
const SETTINGS: [&str; 2] = ["first_token", "max_output_tokens"];

/// A line as it may be shown, and what was taken out of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Masked {
    pub(super) text: String,
    taken: Vec<String>,
}

impl Masked {
    /// A message without what was taken out of its line.
    pub(super) fn message(&self, message: &str) -> String {
        let without =
            self.taken.iter().fold(message.to_owned(), |text, secret| text.replace(secret, REDACTED));
        addresses(&without)
    }
}

/// Line `index` of a file.
pub(super) fn line(lines: &[String], index: usize) -> Masked {
    let Some(line) = lines.get(index) else { return Masked::default() };
    let mut masked = Masked::default();
    if stands_below_a_secret(lines, index) {
        let start = line.len() - line.trim_start().trim_start_matches("- ").len();
        let value = key_at(line, start).map_or(start, |(_, behind)| behind);
        masked.take(line, value, line.len());
        return masked;
    }
    let mut from = 0;
    let mut at = 0;
    while let Some((key, behind)) = next_key(line, at) {
        at = behind;
        if is_telling(key) && !is_setting(lines, index, key, behind) {
            let end = end_of_value(line, behind);
            let start = behind + (line[behind..].len() - line[behind..].trim_start().len());
            masked.text.push_str(&line[from..start.min(end)]);
            masked.note(&line[start.min(end)..end]);
            (from, at) = (end, end);
        } else if key.ends_with("url") {
            let end = end_of_value(line, behind);
            let value = &line[behind..end];
            if !value.contains("//") {
                masked.text.push_str(&line[from..behind]);
                push_address(&mut masked.text, value);
                (from, at) = (end, end);
            }
        }
    }
    masked.text.push_str(&line[from..]);
    masked.text = addresses(&masked.text);
    masked
}

impl Masked {
    fn take(&mut self, line: &str, start: usize, end: usize) {
        self.text.push_str(&line[..start]);
        if start > 0 && line.as_bytes()[start - 1] == b':' {
            self.text.push(' ');
        }
        self.note(line[start..end].trim());
    }

    /// Shows a mark instead of a value; references to the environment are no secret.
    fn note(&mut self, value: &str) {
        let plain = value.trim().trim_matches(['"', '\'', '[', ']']);
        if plain.is_empty() || (plain.starts_with("${") && plain.ends_with('}') && !plain.contains(":-")) {
            self.text.push_str(value);
            return;
        }
        self.text.push_str(REDACTED);
        let words = plain.split([',', '"', '\'']).map(str::trim).filter(|word| word.len() > 2);
        self.taken.extend(words.map(str::to_owned));
        self.taken.sort_by_key(|word| std::cmp::Reverse(word.len()));
    }
}

fn is_telling(key: &str) -> bool {
    let key = key.to_lowercase();
    TELLING.iter().any(|part| key.contains(part))
}

/// Whether the key on this line is a setting with one plain value: `headers` is, under `timeouts`.
fn is_setting(lines: &[String], index: usize, key: &str, behind: usize) -> bool {
    let line = &lines[index];
    let value = line[behind..].trim_start();
    if value.is_empty() || value.starts_with(['{', '[', '|', '>', '#', '&', '*', '!']) {
        return false;
    }
    let parent = || parent_on_line(&line[..behind]).or_else(|| parent_above(lines, index));
    SETTINGS.contains(&key) || (key == "headers" && parent() == Some("timeouts"))
}

/// The key whose `{` is still open at the end of `before`.
fn parent_on_line(before: &str) -> Option<&str> {
    let mut closed = 0;
    let open = before.char_indices().rev().find(|(_, c)| match c {
        '}' => {
            closed += 1;
            false
        }
        '{' if closed > 0 => {
            closed -= 1;
            false
        }
        other => *other == '{',
    });
    let outer = before[..open?.0].trim_end().strip_suffix(':')?;
    Some(last_word(outer))
}

/// The word that a text ends with, which may be none.
fn last_word(text: &str) -> &str {
    let before = text.trim_end_matches(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    &text[before.len()..]
}

/// The key of the nearest line above that stands further left, where this line has no `{` of its own.
fn parent_above(lines: &[String], index: usize) -> Option<&str> {
    if lines[index].contains('{') {
        return None;
    }
    let below = indent(&lines[index]);
    let above = lines[..index].iter().rev().find(|line| !line.trim().is_empty() && indent(line) < below)?;
    next_key(above, 0).map(|(key, _)| key)
}

/// The next word with a colon behind it, from `at` on, and where its value begins.
fn next_key(line: &str, at: usize) -> Option<(&str, usize)> {
    let mut from = at;
    while let Some(found) = line[from..].find(':') {
        let colon = from + found;
        let ends = line[colon + 1..]
            .chars()
            .next()
            .is_none_or(|c| c.is_whitespace() || matches!(c, '[' | '{' | '"' | '\''));
        let word = line[at..colon].trim_end().trim_end_matches(['"', '\'']);
        let key = last_word(word);
        if ends && !key.is_empty() {
            return Some((key, colon + 1));
        }
        from = colon + 1;
    }
    None
}

/// The key that begins at `start`, and where its value begins.
fn key_at(line: &str, start: usize) -> Option<(&str, usize)> {
    next_key(line, start).filter(|(key, behind)| start + key.len() + 1 >= behind.saturating_sub(3))
}

/// Where a value ends: at its quote or bracket; else, inside of a flow mapping, at the next comma or brace.
fn end_of_value(line: &str, behind: usize) -> usize {
    let value = line[behind..].trim_start();
    let start = line.len() - value.len();
    let close = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => value[1..].find(quote).map(|at| at + 2),
        Some('[') => value.find(']').map(|at| at + 1),
        Some('{') => value.find('}').map(|at| at + 1),
        _ if line[..behind].contains('{') => value.find([',', '}']),
        _ => value.find(" #"),
    };
    close.map_or(line.len(), |length| start + length)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether a line belongs to a key above it that may hold a secret and has no value of its own on its line.
fn stands_below_a_secret(lines: &[String], index: usize) -> bool {
    let mut below = indent(&lines[index]);
    for above in lines[..index].iter().rev().filter(|line| !line.trim().is_empty()) {
        let list_item = above.trim_start().starts_with('-');
        if indent(above) > below
            || (indent(above) == below && (list_item || !lines[index].trim_start().starts_with('-')))
        {
            continue;
        }
        below = indent(above);
        if let Some((key, behind)) = next_key(above, 0) {
            let value = above[behind..].trim();
            if is_telling(key) && (value.is_empty() || value.starts_with(['|', '>', '#'])) {
                return true;
            }
        }
        if below == 0 {
            return false;
        }
    }
    false
}

/// Addresses without what may be a secret in them: what stands before an `@`, and the values of a query.
pub(crate) fn addresses(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("//") {
        let (before, behind) = rest.split_at(at + 2);
        out.push_str(before);
        let (address, others) =
            behind.split_at(behind.find([' ', '"', '\'', '`', ',', '}']).unwrap_or(behind.len()));
        push_address(&mut out, address);
        rest = others;
    }
    out.push_str(rest);
    out
}

/// One address, from its host on.
fn push_address(out: &mut String, address: &str) {
    let host = address.find(['/', '?', '#']).unwrap_or(address.len());
    let shown = address[..host].rfind('@').map_or(address, |end| {
        out.push_str(REDACTED);
        &address[end..]
    });
    let (path, query) = shown.split_at(shown.find(['?', '#']).unwrap_or(shown.len()));
    out.push_str(path);
    for (position, field) in query.split_inclusive('&').enumerate() {
        let value = field.find('=').map_or(usize::from(position == 0), |at| at + 1);
        out.push_str(&field[..value]);
        let end = field.strip_suffix('&').unwrap_or(field);
        out.push_str(if value < end.len() { REDACTED } else { "" });
        out.push_str(&field[end.len().max(value)..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, index: usize) -> String {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        line(&lines, index).text
    }

    #[test]
    fn a_secret_is_not_shown_wherever_it_stands() {
        for text in [
            "    api_key: sk-canary",
            "    api_key: \"sk-canary, and more\" # why",
            "  - { name: a, api_key: sk-canary, model: m }",
            "  - { name: a, api_key: 'sk-canary', model: m }",
            "    apikey: sk-canary",
            "    API-KEY: sk-canary",
            "    headers: { x-a: sk-canary, b: sk-canary }",
            "  keys: [sk-canary, \"sk-canary\"]",
            "    token:    sk-canary",
            "    base_url: http://user:sk-canary@host/v1",
            "    base_url: http://host/v1?key=sk-canary",
            "    base_url: \"http://host/v1?a=&key=sk-canary#x\" # why",
            "    base_url: http://host?sk-canary",
            "    base_url: http://host/v1#sk-canary",
            "    base_url: host:9/v1?key=sk-canary",
            "  - { base_url: 'user:sk-canary@host/v1', model: m }",
            "    base_url: //user:sk-canary@host/v1?api-key=sk-canary",
            "    api_key: ${KEY:-sk-canary}",
            "  - { name: é, “api_key: sk-canary”, é: x }",
            "  é: { headers: { é、x: sk-canary } }",
        ] {
            let shown = shown(text, 0);
            assert!(!shown.contains("canary") && shown.contains(REDACTED), "{shown}");
        }
        for (text, index) in [
            ("headers:\n  authorization: Basic canary", 1),
            ("headers:\n  x-a: canary\n  x-b: canary", 2),
            ("api_key:\n  sk-canary", 1),
            ("api_key: |\n  sk-canary", 1),
            ("keys:\n  - canary\n  - canary", 2),
            ("keys:\n- canary", 1),
        ] {
            let shown = shown(text, index);
            assert!(!shown.contains("canary") && shown.contains(REDACTED), "{text}: {shown}");
        }
    }

    #[test]
    fn the_rest_of_the_line_is_shown_as_it_is() {
        assert_eq!(
            shown("  - { name: a, api_key: sk-1234, model: m }", 0),
            "  - { name: a, api_key: [REDACTED], model: m }"
        );
        for text in [
            "polices: {}",
            "    base_url: http://127.0.0.1:1/v1",
            "    api_key: ${KEY}",
            "    api_key: \"${KEY}\"",
            "  listen: a:1",
            "  - { name: ä, “öl: 1, 日本、語: 2, \u{fffd}x: 3 }",
        ] {
            assert_eq!(shown(text, 0), text);
        }
        assert_eq!(shown("    api_key: x\n    model: m", 1), "    model: m");
        assert_eq!(shown("headers:\n  a: b\nmodel: m", 2), "model: m");
    }

    #[test]
    fn a_time_limit_is_no_secret_and_a_header_is_one() {
        for (text, index) in [
            ("    timeouts:\n      headers: 1.5x", 1),
            ("    timeouts:\n      total: 1s\n      headers: 1.5x", 2),
            ("    timeouts: { headers: 1.5x, first_token: 2y }", 0),
            ("    timeouts:\n      first_token: 1.5x", 1),
            ("    max_output_tokens: many", 0),
        ] {
            assert_eq!(shown(text, index), text.lines().nth(index).unwrap());
        }
        for (text, index) in [
            ("    headers:\n      x-a: canary", 1),
            ("    headers: { x-a: canary }", 0),
            ("    headers: canary", 0),
            ("    timeouts: { total: 1s }\n    headers: canary", 1),
            ("  - { timeouts: { total: 1s }, headers: canary }", 0),
            ("    timeouts:\n      headers: { x-a: canary }", 1),
            ("    timeouts:\n      headers:\n        x-a: canary", 2),
            ("    headers:\n      timeouts:\n        headers: canary", 2),
            ("    headers: { timeouts: { headers: canary } }", 0),
        ] {
            let shown = shown(text, index);
            assert!(!shown.contains("canary") && shown.contains(REDACTED), "{text}: {shown}");
        }
    }

    #[test]
    fn a_message_loses_what_its_line_lost() {
        let masked = line(&["    api_key: [sk-canary]".to_owned()], 0);
        assert_eq!(
            masked.message("expected a text, found `sk-canary`"),
            "expected a text, found `[REDACTED]`"
        );
        assert_eq!(Masked::default().message("`ftp://a:b@h` is no"), "`ftp://[REDACTED]@h` is no");
        assert_eq!(
            addresses("`http://h:1/v1?a=b&c&d=`, x?y=z"),
            "`http://h:1/v1?a=[REDACTED]&[REDACTED]&d=`, x?y=z"
        );
        assert_eq!(addresses("http://h/v1?"), "http://h/v1?");
    }
}
