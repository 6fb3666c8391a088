//! Reads a tree of nodes as a caller's type, and keeps path and origin of whatever fails.
//!
//! A deserializer of our own rather than `toml::Value`'s, for three things: a variable's text is read by what
//! the setting wants, an error knows its origin, and no error shows the value (serde's words for a wrong type
//! quote the text that was found, and that may be a secret).

use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{self, DeserializeSeed, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::error::{Origin, Problem, Reason, join, nearest};
use super::tree::{Content, Node, parse_value};

/// A problem on its way out of the tree; it collects its path, innermost first.
#[derive(Debug)]
pub(super) struct Failure {
    path: Vec<Step>,
    origin: Option<Origin>,
    reason: Reason,
}

#[derive(Debug)]
enum Step {
    Key(String),
    Index(usize),
}

impl Failure {
    fn new(reason: Reason) -> Self {
        Self { path: Vec::new(), origin: None, reason }
    }

    fn invalid(what: String) -> Self {
        Self::new(Reason::Invalid(what))
    }

    fn under(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }

    /// The innermost origin is the most exact one.
    fn from(mut self, origin: &Origin) -> Self {
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }

    /// The finished problem; `prefix` is that of variables, to suggest a name the way the key was given.
    pub(super) fn into_problem(self, prefix: Option<&str>) -> Problem {
        let mut key = String::new();
        let mut parent = String::new();
        for step in self.path.iter().rev() {
            parent.clone_from(&key);
            match step {
                Step::Key(name) => key = join(&key, name),
                Step::Index(index) => key.push_str(&format!("[{index}]")),
            }
        }
        let mut problem = Problem { key, origin: self.origin, reason: self.reason };
        let step = self.path.first();
        if let (Reason::Unknown { suggestion, known }, Some(Step::Key(name))) = (&mut problem.reason, step) {
            let given_as = match &problem.origin {
                Some(Origin::Variable(_)) => prefix,
                _ => None,
            };
            *suggestion = match given_as {
                Some(_) if parent.is_empty() => missing_underscore(name, known),
                _ => None,
            }
            .or_else(|| nearest(name, known.iter().map(String::as_str)).map(|near| join(&parent, near)))
            .map(|key| given_as.map_or(key.clone(), |prefix| variable(prefix, &key)));
        }
        problem
    }
}

/// `database_url`, where `database` is known, is a variable with one underscore where two are wanted.
fn missing_underscore(name: &str, known: &[String]) -> Option<String> {
    known.iter().find_map(|table| {
        let rest = name.strip_prefix(table.as_str())?.strip_prefix('_')?;
        Some(format!("{table}.{rest}"))
    })
}

fn variable(prefix: &str, key: &str) -> String {
    format!("{prefix}{}", key.replace('.', "__").replace('-', "_").to_ascii_uppercase())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.reason)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::invalid(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let wanted = wanted(expected);
        let found = kind(&found, wanted.starts_with("a whole number"));
        Self::invalid(format!("expected {wanted}, found {found}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::invalid(format!("expected {}, found {length} of them", wanted(expected)))
    }

    /// Names of variants come from us and what was given stands for one, so it is shown.
    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let near = nearest(variant, expected.iter().copied());
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Self::invalid(format!("{variant:?} is not one of {}{hint}", expected.join(", ")))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        unknown(field, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Reason::Missing).under(Step::Key(field.to_owned()))
    }
}

fn unknown(field: &str, expected: &[&str]) -> Failure {
    let known = expected.iter().map(|name| (*name).to_owned()).collect();
    Failure::new(Reason::Unknown { suggestion: None, known }).under(Step::Key(field.to_owned()))
}

/// What serde calls the Rust type that was wanted, in an operator's words.
fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" => "a whole number from 0 to 4294967295".to_owned(),
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "a string" => "text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        other if other.starts_with("struct ") => "a table".to_owned(),
        _ => text,
    }
}

/// The kind of what was found. A number is shown where one was wanted, because it is out of its range; a
/// text never, and no number where a text was wanted: it may be a secret without its quotes.
fn kind(found: &Unexpected<'_>, number_wanted: bool) -> String {
    match found {
        Unexpected::Unsigned(value) if number_wanted => value.to_string(),
        Unexpected::Signed(value) if number_wanted => value.to_string(),
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number".to_owned(),
        Unexpected::Float(_) => "a number with a point".to_owned(),
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        _ => "text".to_owned(),
    }
}

impl Node {
    /// A variable's text as the TOML value that it is, or as text.
    fn resolved(self) -> Self {
        match self.content {
            Content::Raw(text) => parse_value(&text, &self.origin)
                .unwrap_or(Self { content: Content::Text(text), origin: self.origin }),
            _ => self,
        }
    }

    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let origin = self.origin;
        match self.content {
            Content::Raw(text) | Content::Text(text) => visitor.visit_string(text),
            Content::Integer(value) => visitor.visit_i64(value),
            Content::Float(value) => visitor.visit_f64(value),
            Content::Boolean(value) => visitor.visit_bool(value),
            Content::List(items) => visitor.visit_seq(Items(items.into_iter().enumerate())),
            Content::Table(table) => visitor.visit_map(Entries { rest: table.into_iter(), value: None }),
        }
        .map_err(|failure| failure.from(&origin))
    }
}

impl<'de> de::Deserializer<'de> for Node {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.resolved().visit(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.content {
            Content::Raw(text) | Content::Text(text) if text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let origin = self.origin.clone();
        match self.content {
            Content::Raw(text) | Content::Text(text) => {
                let name: StringDeserializer<Failure> = text.into_deserializer();
                visitor.visit_enum(name).map_err(|failure| failure.from(&origin))
            }
            _ => self.visit(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let node = self.resolved();
        if let Content::Table(table) = &node.content
            && let Some((key, child)) = table.iter().find(|(key, _)| !fields.contains(&key.as_str()))
        {
            return Err(unknown(key, fields).from(&child.origin));
        }
        node.visit(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Items(std::iter::Enumerate<std::vec::IntoIter<Node>>);

impl<'de> de::SeqAccess<'de> for Items {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let Some((index, node)) = self.0.next() else { return Ok(None) };
        let origin = node.origin.clone();
        seed.deserialize(node).map(Some).map_err(|failure| failure.from(&origin).under(Step::Index(index)))
    }
}

struct Entries {
    rest: std::collections::btree_map::IntoIter<String, Node>,
    value: Option<(String, Node)>,
}

impl<'de> de::MapAccess<'de> for Entries {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        let Some((key, node)) = self.rest.next() else { return Ok(None) };
        let name: StringDeserializer<Failure> = key.clone().into_deserializer();
        let read = seed.deserialize(name).map(Some).map_err(|failure| {
            let failure = failure.from(&node.origin);
            // An unknown field already carries its own name.
            if failure.path.is_empty() { failure.under(Step::Key(key.clone())) } else { failure }
        });
        self.value = Some((key, node));
        read
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some((key, node)) = self.value.take() else {
            return Err(Failure::invalid("a value was asked for before its key".to_owned()));
        };
        let origin = node.origin.clone();
        seed.deserialize(node).map_err(|failure| failure.from(&origin).under(Step::Key(key)))
    }
}
