//! The layer of environment variables.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::{ConfigError, Origin, Problem, Reason};
use super::tree::{Content, Node, parse_value};

/// Which variables are settings.
#[derive(Debug, Clone, Copy)]
pub struct Environment<'a> {
    /// What their names begin with, its underscore included: `MATCHPURSE_`.
    pub prefix: &'a str,
    /// Names that begin with one of these are not settings, although they begin with the prefix.
    pub ignored: &'a [&'a str],
}

/// The variables of this process. Bytes that are no UTF-8 are replaced, so such a value is refused by what
/// reads it instead of being overlooked.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

pub(super) fn lay_over(
    root: &mut Node,
    rules: &Environment<'_>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    // In order of names, so that what happens does not depend on how the environment happens to be sorted. Of a
    // name that is given twice the last counts: who appends to an environment means to override it.
    let ours: BTreeMap<String, String> =
        variables.filter(|(name, value)| rules.is_setting(name, value)).collect();
    let mut problems = Vec::new();
    for (name, value) in ours {
        let path: Vec<String> = name
            .strip_prefix(rules.prefix)
            .unwrap_or_default()
            .split("__")
            .map(str::to_ascii_lowercase)
            .collect();
        let origin = Origin::Variable(Arc::from(name.as_str()));
        let node = Node { origin: origin.clone(), content: Content::Raw(value) };
        let placed = if path.iter().any(String::is_empty) {
            Err("a part of the name is empty; parts are joined by two underscores".to_owned())
        } else {
            place(root, &path, node)
        };
        if let Err(what) = placed {
            problems.push(Problem {
                key: path.join("."),
                origin: Some(origin),
                reason: Reason::Invalid(what),
            });
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(ConfigError::Problems(problems)) }
}

impl Environment<'_> {
    fn is_setting(&self, name: &str, value: &str) -> bool {
        name.strip_prefix(self.prefix).is_some_and(|rest| {
            !self.ignored.iter().any(|ignored| name.starts_with(ignored)) && !is_service_link(rest, value)
        })
    }
}

/// Kubernetes puts variables such as `NAME_SERVICE_HOST` and `NAME_PORT_80_TCP_ADDR` into every container
/// for each service of its namespace; a service named like the product would make them look like settings.
fn is_service_link(rest: &str, value: &str) -> bool {
    let link_value = value.starts_with("tcp://") || value.starts_with("udp://");
    let port_part = |protocol: &str| {
        rest.split_once("PORT_").is_some_and(|(_, after)| {
            after.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(protocol)
        })
    };
    !rest.contains("__")
        && (rest.ends_with("SERVICE_HOST")
            || rest.contains("SERVICE_PORT")
            || (rest.ends_with("PORT") && link_value)
            || port_part("_TCP")
            || port_part("_UDP"))
}

/// Puts `node` at `path` below `parent`.
fn place(parent: &mut Node, path: &[String], node: Node) -> Result<(), String> {
    let Some((name, rest)) = path.split_first() else {
        lay_on(parent, node);
        return Ok(());
    };
    if !matches!(parent.content, Content::Table(_)) {
        if let Origin::Variable(other) = &parent.origin {
            return Err(format!("contradicts the variable {other}; give one of the two"));
        }
        // For example `URL__FILE` over a file's `url = "..."`.
        *parent = Node { origin: node.origin.clone(), content: Content::Table(BTreeMap::new()) };
    }
    let Content::Table(table) = &mut parent.content else { return Ok(()) };
    let key = existing_key(table, name)?;
    let child = table
        .entry(key)
        .or_insert_with(|| Node { origin: node.origin.clone(), content: Content::Table(BTreeMap::new()) });
    place(child, rest, node)
}

/// Replaces `existing`; a table given as TOML is merged, as a table in a file would be.
fn lay_on(existing: &mut Node, node: Node) {
    if let (Content::Table(_), Content::Raw(text)) = (&existing.content, &node.content)
        && let Some(parsed) = parse_value(text, &node.origin)
        && matches!(parsed.content, Content::Table(_))
    {
        existing.merge(parsed);
    } else {
        *existing = node;
    }
}

/// The key that a part of a variable's name means: shells allow neither a `-` nor, by custom, small letters.
fn existing_key(table: &BTreeMap<String, Node>, name: &str) -> Result<String, String> {
    if table.contains_key(name) {
        return Ok(name.to_owned());
    }
    let same = |key: &&String| key.to_ascii_lowercase().replace('-', "_") == name;
    let mut matching = table.keys().filter(same);
    match (matching.next(), matching.next()) {
        (Some(key), None) => Ok(key.clone()),
        (Some(one), Some(other)) => Err(format!("may mean `{one}` or `{other}`; set it in the file")),
        (None, _) => Ok(name.to_owned()),
    }
}
