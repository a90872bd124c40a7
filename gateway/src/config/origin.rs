//! Where each value of the running configuration came from, for those who must answer for it.

#![expect(clippy::disallowed_types, reason = "a configuration is small, and walked once when it is loaded")]

use serde::Serialize;
use serde_json::Value;

use super::Config;
use super::env::Expanded;
use super::tree::Spot;
use super::units::REDACTED;

/// One value, as it is used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// As `server.listen` or `experts[0].price.input_per_1m`.
    pub path: String,
    /// The value; secrets are told as such.
    pub value: Value,
    /// The line of the file, counted from 1; `None`: it is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The variables of the environment that are named there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
}

/// Every value of `config` that says something, in the order of its sections.
pub(super) fn settings(config: &Config, tree: &Spot, expanded: &Expanded) -> Vec<Setting> {
    let mut settings = Vec::new();
    if let Ok(value) = serde_json::to_value(config) {
        Walk { expanded, settings: &mut settings }.visit(String::new(), &value, Some(tree));
    }
    settings
}

struct Walk<'a> {
    expanded: &'a Expanded,
    settings: &'a mut Vec<Setting>,
}

impl Walk<'_> {
    fn visit(&mut self, path: String, value: &Value, written: Option<&Spot>) {
        match value {
            Value::Null => {}
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.visit(path, value, written.and_then(|written| written.get(name)));
                }
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for (index, item) in items.iter().enumerate() {
                    self.visit(format!("{path}[{index}]"), item, written.and_then(|w| w.item(index)));
                }
            }
            _ => {
                let line = written.map(|written| written.place.line);
                let variables = line.into_iter().flat_map(|line| self.expanded.variables(line));
                let variables = variables.map(str::to_owned).collect();
                let secret = path.ends_with("keys") && value.as_array().is_some_and(|keys| !keys.is_empty());
                let value = if secret { REDACTED.into() } else { value.clone() };
                self.settings.push(Setting { path, value, line, variables });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config;

    #[test]
    fn each_value_tells_its_line_its_variables_or_that_it_is_the_default() {
        let yaml = "fallback: big
experts:
  - name: big
    model: big
    base_url: http://h/v1
    api_key: ${BIG_KEY:-none}
    price: { input_per_1m: 1, output_per_1m: 2 }
tenants:
  - { name: acme, keys: [\"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"] }
";
        let key = |name: &str| (name == "BIG_KEY").then(|| "sk-secret".to_owned());
        let settings = config::parse("t.yaml", yaml, &key).unwrap().settings;
        let of = |path: &str| settings.iter().find(|setting| setting.path == path).unwrap();
        assert_eq!(
            (of("experts[0].model").line, of("experts[0].price.output_per_1m").line),
            (Some(4), Some(7))
        );
        let key = of("experts[0].api_key");
        assert_eq!(
            (key.value.as_str(), &key.variables[..]),
            (Some("[REDACTED]"), &["BIG_KEY".to_owned()][..])
        );
        assert_eq!((of("server.max_body").value.as_str(), of("server.max_body").line), (Some("32MiB"), None));
        assert_eq!(of("tenants[0].keys").value, "[REDACTED]");
        let all = serde_json::to_string(&settings).unwrap();
        assert!(!all.contains("sk-secret") && !all.contains("aaaa"), "{all}");
    }
}
