//! What the tokens of a model cost: a price list, or the upstream's word.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// What the tokens of a model cost.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Pricing {
    /// By a price list.
    Listed(Price),
    /// By its upstream's word.
    Reported(Reported),
}

impl Pricing {
    /// The price list, where there is one.
    pub fn listed(&self) -> Option<&Price> {
        if let Self::Listed(price) = self { Some(price) } else { None }
    }
}

/// The word for a price that the upstream tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reported {
    /// Each answer's `usage.cost`, USD. Until an answer is there its cost is unknown: where policies compare costs, such
    /// an expert counts as the dearest, and as the fallback it gives no baseline.
    Reported,
}

/// USD per million tokens.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Prompt tokens.
    #[schemars(range(min = 0.0))]
    pub input_per_1m: f64,
    /// Prompt tokens the upstream had in its cache; default: as input.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub cached_input_per_1m: Option<f64>,
    /// Prompt tokens written to the upstream's cache; default: as input.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub cache_write_per_1m: Option<f64>,
    /// Answer tokens, reasoning included.
    #[schemars(range(min = 0.0))]
    pub output_per_1m: f64,
}

impl<'de> Deserialize<'de> for Pricing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Pricing;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a price list or `reported`")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Pricing, E> {
                Reported::deserialize(word.into_deserializer()).map(Pricing::Reported)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Pricing, A::Error> {
                Price::deserialize(MapAccessDeserializer::new(map)).map(Pricing::Listed)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
