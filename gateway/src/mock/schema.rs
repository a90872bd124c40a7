//! JSON that satisfies a schema: for tool arguments and `response_format`. It covers what schemas of
//! tools are made of (types, `properties`, `items`, `enum`, `const`, `anyOf`, `$ref`, bounds); the rest is ignored.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Schemas may refer to themselves: from this depth on, what can be left out is left out.
const DEEP: usize = 4;
/// Behind this one everything is `null`, fitting or not.
const DEPTH: usize = 24;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Schema {
    #[serde(rename = "type")]
    kind: Option<OneOrMany>,
    properties: BTreeMap<String, Schema>,
    items: Option<Box<Schema>>,
    #[serde(rename = "enum")]
    choices: Vec<Box<RawValue>>,
    #[serde(rename = "const")]
    constant: Option<Box<RawValue>>,
    #[serde(rename = "anyOf", alias = "oneOf", alias = "allOf")]
    any_of: Vec<Schema>,
    #[serde(rename = "$ref")]
    reference: Option<String>,
    required: Vec<String>,
    #[serde(rename = "$defs", alias = "definitions")]
    definitions: BTreeMap<String, Schema>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    #[serde(rename = "minItems")]
    min_items: Option<usize>,
    #[serde(rename = "minLength")]
    min_length: Option<usize>,
    #[serde(rename = "maxLength")]
    max_length: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// JSON that fits `schema`, its strings built from `word`. A schema that is none is fitted by `{}`.
pub(super) fn fitting(schema: Option<&RawValue>, word: &str) -> String {
    let root: Schema = schema.and_then(|schema| serde_json::from_str(schema.get()).ok()).unwrap_or_default();
    let mut json = String::new();
    let mut writer = Writer { root: &root, word, json: &mut json };
    writer.value(&root, 0);
    json
}

struct Writer<'a> {
    root: &'a Schema,
    word: &'a str,
    json: &'a mut String,
}

impl<'a> Writer<'a> {
    fn value(&mut self, schema: &Schema, depth: usize) {
        if depth > DEPTH {
            self.json.push_str("null");
        } else if let Some(target) = schema.reference.as_deref().and_then(|name| self.defined(name)) {
            self.value(target, depth + 1);
        } else if let Some(fixed) = schema.constant.as_ref().or_else(|| schema.choices.first()) {
            self.json.push_str(fixed.get());
        } else if let Some(variant) = schema.variant(depth) {
            self.value(variant, depth + 1);
        } else {
            self.typed(schema, depth);
        }
    }

    fn defined(&self, reference: &str) -> Option<&'a Schema> {
        match reference {
            "#" => Some(self.root),
            _ => self.root.definitions.get(reference.rsplit('/').next()?),
        }
    }

    fn typed(&mut self, schema: &Schema, depth: usize) {
        match schema.kind() {
            "string" => self.string(schema),
            "integer" => self.number(schema, 1.0),
            "number" => self.number(schema, 0.5),
            "boolean" => self.json.push_str("true"),
            "null" => self.json.push_str("null"),
            "array" => self.array(schema, depth),
            _ => self.object(schema, depth),
        }
    }

    fn string(&mut self, schema: &Schema) {
        let length = self.word.chars().count().max(schema.min_length.unwrap_or(0));
        let length = length.min(schema.max_length.unwrap_or(usize::MAX));
        let string: String = self.word.chars().chain(std::iter::repeat('x')).take(length).collect();
        self.key(&string);
    }

    fn number(&mut self, schema: &Schema, usual: f64) {
        let lowest = schema.minimum.unwrap_or(f64::MIN);
        let highest = schema.maximum.unwrap_or(f64::MAX);
        // writing to a string does not fail
        let _ = write!(self.json, "{}", usual.max(lowest).min(highest));
    }

    fn array(&mut self, schema: &Schema, depth: usize) {
        self.json.push('[');
        let usual = usize::from(depth < DEEP);
        for at in 0..schema.min_items.unwrap_or(usual).min(64) {
            if at > 0 {
                self.json.push(',');
            }
            match &schema.items {
                Some(item) => self.value(item, depth + 1),
                None => self.key(self.word),
            }
        }
        self.json.push(']');
    }

    /// All that is required; where nothing is, all there is, near the root.
    fn object(&mut self, schema: &Schema, depth: usize) {
        let wanted = |name: &String| match schema.required.is_empty() {
            true => depth < DEEP,
            false => schema.required.contains(name),
        };
        self.json.push('{');
        for (at, (name, property)) in schema.properties.iter().filter(|(name, _)| wanted(name)).enumerate() {
            if at > 0 {
                self.json.push(',');
            }
            self.key(name);
            self.json.push(':');
            self.value(property, depth + 1);
        }
        self.json.push('}');
    }

    fn key(&mut self, string: &str) {
        self.json.push_str(&serde_json::to_string(string).unwrap_or_default());
    }
}

impl Schema {
    /// The first variant; deep down the one that ends, if there is one.
    fn variant(&self, depth: usize) -> Option<&Schema> {
        let ends = self.any_of.iter().find(|variant| variant.kind() == "null");
        ends.filter(|_| depth >= DEEP).or_else(|| self.any_of.first())
    }

    fn kind(&self) -> &str {
        match &self.kind {
            Some(OneOrMany::One(kind)) => kind,
            Some(OneOrMany::Many(kinds)) => kinds.first().map_or("object", String::as_str),
            None => "object",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(schema: &str) -> String {
        fitting(Some(&RawValue::from_string(schema.to_owned()).unwrap()), "word")
    }

    #[test]
    fn what_a_schema_requires_is_there() {
        let schema = r#"{"type":"object","required":["city","days","unit","tags","exact"],"properties":{
            "city":{"type":"string","minLength":6},"days":{"type":"integer","minimum":2},"more":{"type":"null"},
            "unit":{"enum":["celsius","kelvin"]},"tags":{"type":"array","items":{"type":"string"}},
            "exact":{"type":["boolean","null"]}}}"#;
        let expected = r#"{"city":"wordxx","days":2,"exact":true,"tags":["word"],"unit":"celsius"}"#;
        assert_eq!(fits(schema), expected);
    }

    #[test]
    fn references_are_followed_and_loops_end() {
        let schema = r##"{"properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"const":7}}}"##;
        assert_eq!(fits(schema), r#"{"a":7}"#);
        let linked =
            r##"{"required":["next"],"properties":{"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}}}"##;
        assert_eq!(fits(linked), r#"{"next":{"next":null}}"#);
        let endless = fits(r##"{"required":["next"],"properties":{"next":{"$ref":"#"}}}"##);
        assert!(endless.starts_with(r#"{"next":{"next":"#) && endless.contains("null"));
    }

    #[test]
    fn no_schema_is_fitted_by_an_empty_object() {
        assert_eq!((fitting(None, "word"), fits("true")), ("{}".to_owned(), "{}".to_owned()));
    }
}
