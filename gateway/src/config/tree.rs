//! The file as a tree in which every value knows its place, and a serde deserializer over it that does not stop
//! at the first fault.
//!
//! How it goes on: a value that does not fit is reported, marked, and left out of the next try, so that what
//! stands around it is still read. Every try marks at least one value, so the tries end.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::env::Expanded;
use super::fault::{Faults, Place, suggestion};

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) place: Place,
    node: Node,
    bad: Cell<bool>,
}

#[derive(Debug)]
enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Spot>),
    Map(Vec<(Key, Spot)>),
}

#[derive(Debug)]
struct Key {
    name: String,
    place: Place,
}

impl Spot {
    /// Reads the YAML; a syntax fault is the only one then.
    pub(super) fn parse(expanded: &Expanded, faults: &mut Faults) -> Option<Self> {
        let options = serde_saphyr::options! { strict_booleans: true };
        match serde_saphyr::from_str_with_options::<Spanned<Raw>>(&expanded.text, options) {
            Ok(raw) => Some(Self::place_all(raw, expanded)),
            Err(error) => {
                let place =
                    error.location().map(|l| Place { line: l.line() as usize, column: l.column() as usize });
                let place = expanded.written(place.unwrap_or_default());
                faults.push(place, first_line(&error.without_snippet().to_string()), "");
                None
            }
        }
    }

    fn place_all(raw: Spanned<Raw>, expanded: &Expanded) -> Self {
        let place_of = |location: serde_saphyr::Location| {
            expanded.written(Place { line: location.line() as usize, column: location.column() as usize })
        };
        let node = match raw.value {
            Raw::Null => Node::Null,
            Raw::Bool(v) => Node::Bool(v),
            Raw::Int(v) => Node::Int(v),
            Raw::Float(v) => Node::Float(v),
            Raw::Text(v) => Node::Text(v),
            Raw::List(items) => Node::List(items.into_iter().map(|i| Self::place_all(i, expanded)).collect()),
            Raw::Map(entries) => Node::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let place = place_of(key.referenced);
                        (Key { name: key.value, place }, Self::place_all(value, expanded))
                    })
                    .collect(),
            ),
        };
        Self { place: place_of(raw.referenced), node, bad: Cell::new(false) }
    }

    /// The value under a key of a map.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Node::Map(entries) = &self.node else { return None };
        entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
    }

    /// The value under these keys, or the nearest part of it that is written; a number counts the good items of a list.
    pub(super) fn nearest(&self, keys: &[&str]) -> &Self {
        let item = |key: &str| self.good_items().get(key.parse::<usize>().ok()?).copied();
        let Some((key, rest)) = keys.split_first() else { return self };
        self.get(key).or_else(|| item(key)).map_or(self, |next| next.nearest(rest))
    }

    /// The place of the key itself.
    pub(super) fn key(&self, name: &str) -> Option<Place> {
        let Node::Map(entries) = &self.node else { return None };
        entries.iter().find(|(key, _)| key.name == name).map(|(key, _)| key.place)
    }

    /// The `index`th value of a list.
    pub(super) fn item(&self, index: usize) -> Option<&Self> {
        let Node::List(items) = &self.node else { return None };
        items.get(index)
    }

    /// The items of a list that were read without fault, so that they line up with the values serde made of them.
    pub(super) fn good_items(&self) -> Vec<&Self> {
        let Node::List(items) = &self.node else { return Vec::new() };
        items.iter().filter(|item| !item.bad.get()).collect()
    }

    /// Every item, faulty ones too.
    pub(super) fn items(&self) -> &[Self] {
        if let Node::List(items) = &self.node { items } else { &[] }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Node::Text(text) = &self.node { Some(text) } else { None }
    }

    fn kind(&self) -> String {
        match &self.node {
            Node::Null => "nothing".to_owned(),
            Node::Bool(v) => format!("`{v}`"),
            Node::Int(v) => format!("the number `{v}`"),
            Node::Float(v) => format!("the number `{v}`"),
            Node::Text(v) => format!("the text `{v}`"),
            Node::List(_) => "a list".to_owned(),
            Node::Map(_) => "a map".to_owned(),
        }
    }
}

/// Reads a `T`, pushing a fault for everything that does not fit. `None`: the top itself does not fit.
pub(super) fn read<T: DeserializeOwned>(tree: &Spot, faults: &mut Faults) -> Option<T> {
    loop {
        let found = Found::default();
        let reader = Reader { spot: tree, found: &found };
        let result = T::deserialize(reader);
        let marked = found.marked.get();
        for (place, message, help) in found.faults.take() {
            faults.push_unless_unset(place, message, help);
        }
        match result {
            Ok(value) => return Some(value),
            Err(Stop::Told) if marked => {}
            Err(Stop::Told) => return None,
            Err(Stop::Says(message)) => {
                if !reader.lacks_what_was_told(&message) {
                    faults.push(tree.place, message, "");
                }
                return None;
            }
        }
    }
}

/// What one try found, and whether it took a value out of the next one.
#[derive(Default)]
struct Found {
    faults: RefCell<Vec<(Place, String, String)>>,
    marked: Cell<bool>,
}

impl Found {
    fn report(&self, place: Place, message: String, help: String) {
        self.faults.borrow_mut().push((place, message, help));
    }

    fn mark(&self, spot: &Spot) {
        spot.bad.set(true);
        self.marked.set(true);
    }
}

/// Why reading stopped: already told with its place, or a message that still needs one.
#[derive(Debug)]
enum Stop {
    Told,
    Says(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told => out.write_str("told"),
            Self::Says(message) => out.write_str(message),
        }
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Says(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Says(format!("`{field}` is missing"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::Says(format!("unknown key `{field}`: {}", suggestion(field, expected.iter().copied())))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::Says(format!(
            "`{variant}` is not known here: {}",
            suggestion(variant, expected.iter().copied())
        ))
    }
}

#[derive(Clone, Copy)]
struct Reader<'t> {
    spot: &'t Spot,
    found: &'t Found,
}

impl Reader<'_> {
    fn wants<T>(&self, what: &str) -> Result<T, Stop> {
        Err(Stop::Says(format!("expected {what}, found {}", self.spot.kind())))
    }

    /// Gives a message its place and takes the value out of the next try.
    fn settle<T>(&self, result: Result<T, Stop>) -> Result<T, Stop> {
        result.map_err(|stop| {
            if let Stop::Says(message) = stop {
                self.found.mark(self.spot);
                if !self.lacks_what_was_told(&message) {
                    self.found.report(self.spot.place, message, String::new());
                }
            }
            Stop::Told
        })
    }

    /// A key that is missing only because its faulty value was left out.
    fn lacks_what_was_told(&self, message: &str) -> bool {
        let Node::Map(entries) = &self.spot.node else { return false };
        entries.iter().any(|(key, value)| value.bad.get() && *message == format!("`{}` is missing", key.name))
    }

    fn report_unknown_keys(&self, fields: &'static [&'static str]) {
        let Node::Map(entries) = &self.spot.node else { return };
        for (key, value) in
            entries.iter().filter(|(key, value)| !value.bad.get() && !fields.contains(&key.name.as_str()))
        {
            self.found.mark(value);
            let help = suggestion(&key.name, fields.iter().copied());
            self.found.report(key.place, format!("unknown key `{}`", key.name), help);
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            match self.spot.node {
                Node::Int(value) if value >= 0 => visitor.visit_u64(value as u64),
                Node::Int(value) => visitor.visit_i64(value),
                _ => self.wants("a whole number"),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Reader<'_> {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match &self.spot.node {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Int(value) if *value >= 0 => visitor.visit_u64(*value as u64),
            Node::Int(value) => visitor.visit_i64(*value),
            Node::Float(value) => visitor.visit_f64(*value),
            Node::Text(value) => visitor.visit_str(value),
            Node::List(items) => visitor.visit_seq(Items { items: items.iter(), found: self.found }),
            Node::Map(entries) => {
                visitor.visit_map(Entries { entries: entries.iter(), value: None, found: self.found })
            }
        }
    }

    integers! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if let Node::Bool(value) = self.spot.node {
            visitor.visit_bool(value)
        } else {
            self.wants("true or false")
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.spot.node {
            Node::Int(value) => visitor.visit_f64(value as f64),
            Node::Float(value) => visitor.visit_f64(value),
            _ => self.wants("a number"),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match &self.spot.node {
            Node::Text(value) => visitor.visit_str(value),
            Node::Int(_) | Node::Float(_) | Node::Bool(_) => self.wants("a text (put it in quotes)"),
            _ => self.wants("a text"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if matches!(self.spot.node, Node::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if matches!(self.spot.node, Node::List(_)) {
            self.deserialize_any(visitor)
        } else {
            self.wants("a list")
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.spot.node {
            Node::Map(_) => self.deserialize_any(visitor),
            Node::Null => visitor.visit_map(Entries { entries: [].iter(), value: None, found: self.found }),
            _ => self.wants("a map of keys and values"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.report_unknown_keys(fields);
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match &self.spot.node {
            Node::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => self.wants(&format!("one of {}", variants.join(", "))),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_str(visitor)
    }

    serde::forward_to_deserialize_any! { i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct ignored_any }
}

struct Items<'t> {
    items: std::slice::Iter<'t, Spot>,
    found: &'t Found,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Stop> {
        let Some(spot) = self.items.by_ref().find(|spot| !spot.bad.get()) else { return Ok(None) };
        let reader = Reader { spot, found: self.found };
        reader.settle(seed.deserialize(reader)).map(Some)
    }
}

struct Entries<'t> {
    entries: std::slice::Iter<'t, (Key, Spot)>,
    value: Option<&'t Spot>,
    found: &'t Found,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stop> {
        let Some((key, value)) = self.entries.by_ref().find(|(_, value)| !value.bad.get()) else {
            return Ok(None);
        };
        self.value = Some(value);
        let result = seed.deserialize(key.name.as_str().into_deserializer());
        Reader { spot: value, found: self.found }.settle(result).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        let Some(spot) = self.value.take() else {
            return Err(Stop::Says("a value before its key".to_owned()));
        };
        let reader = Reader { spot, found: self.found };
        reader.settle(seed.deserialize(reader))
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// What serde-saphyr gives us, before places are mapped back.
#[derive(Debug)]
enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> de::Deserialize<'de> for Raw {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        i64::try_from(value).map(Raw::Int).map_err(|_| E::custom(format!("the number {value} is too large")))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}
