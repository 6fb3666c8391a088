//! Configuration values with their origins, before anybody knows their schema.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Origin};

/// A value and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) content: Content,
}

#[derive(Clone)]
pub(super) enum Content {
    /// An environment variable's text; what it means depends on what the setting wants.
    Raw(String),
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

/// Shows the shape only: any text may be a secret.
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Raw(_) | Self::Text(_) => f.write_str("text"),
            Self::Integer(_) | Self::Float(_) => f.write_str("number"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Table(table) => f.debug_map().entries(table).finish(),
        }
    }
}

impl Node {
    /// Adds the files that values are read from.
    pub(super) fn files(&self, files: &mut BTreeSet<PathBuf>) {
        match &self.content {
            Content::Table(table) => {
                if let (Some(Self { content: Content::Text(path) | Content::Raw(path), .. }), 1) =
                    (table.get("file"), table.len())
                {
                    files.insert(PathBuf::from(path));
                }
                table.values().for_each(|child| child.files(files));
            }
            Content::List(items) => items.iter().for_each(|item| item.files(files)),
            // A variable's text may be a table or a list; a text by itself names no file.
            Content::Raw(text) => {
                let parsed = parse_value(text, &self.origin);
                if let Some(node @ Self { content: Content::Table(_) | Content::List(_), .. }) = parsed {
                    node.files(files);
                }
            }
            Content::Text(_) | Content::Integer(_) | Content::Float(_) | Content::Boolean(_) => {}
        }
    }

    /// Lays `upper` over this node.
    pub(super) fn merge(&mut self, upper: Self) {
        match (&mut self.content, upper.content) {
            (Content::Table(lower), Content::Table(upper_table)) => {
                self.origin = upper.origin;
                for (key, child) in upper_table {
                    match lower.get_mut(&key) {
                        Some(existing) => existing.merge(child),
                        None => {
                            lower.insert(key, child);
                        }
                    }
                }
            }
            (content, replacement) => {
                *content = replacement;
                self.origin = upper.origin;
            }
        }
    }
}

/// Parses a TOML document; `origin` makes the origin of a line, counted from 1.
pub(super) fn parse_document(text: &str, origin: &dyn Fn(usize) -> Origin) -> Result<Node, ConfigError> {
    let at = |offset: usize| origin(line_of(text, offset));
    // Only `message()`: the error's own text shows the offending line, which may hold a secret.
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        origin: at(error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    from_table(table.into_inner(), at(0), &at)
}

/// Reads a variable's text as a TOML value; `None` when it is none.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    from_value(value, &|_| origin.clone()).ok()
}

fn from_table(table: DeTable<'_>, origin: Origin, at: &dyn Fn(usize) -> Origin) -> Result<Node, ConfigError> {
    let mut children = BTreeMap::new();
    for (key, value) in table {
        // A table's own span is that of its header, so it is where its key stands.
        let key_at = at(key.span().start);
        let mut node = from_value(value, at)?;
        node.origin = key_at;
        children.insert(key.into_inner().into_owned(), node);
    }
    Ok(Node { origin, content: Content::Table(children) })
}

fn from_value(value: Spanned<DeValue<'_>>, at: &dyn Fn(usize) -> Origin) -> Result<Node, ConfigError> {
    let origin = at(value.span().start);
    let content = match value.into_inner() {
        DeValue::String(text) => Content::Text(text.into_owned()),
        DeValue::Boolean(value) => Content::Boolean(value),
        DeValue::Datetime(value) => Content::Text(value.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(value) => Content::Integer(value),
            Err(_) => return Err(number_error(origin)),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(value) => Content::Float(value),
            Err(_) => return Err(number_error(origin)),
        },
        DeValue::Array(items) => {
            Content::List(items.into_iter().map(|item| from_value(item, at)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => return from_table(table, origin, at),
    };
    Ok(Node { origin, content })
}

fn number_error(origin: Origin) -> ConfigError {
    ConfigError::Syntax { origin, message: "the number is out of range".to_owned() }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
