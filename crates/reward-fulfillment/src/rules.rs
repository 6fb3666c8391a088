//! What the studio demands of rewards before they are given: the schemas and limits of its sources.

use std::collections::BTreeMap;

use jsonschema::{PatternOptions, ValidationError, Validator};
use matchpurse_domain::grants::{Grant, GrantKind, Limits, Objection, ReviewReason};
use matchpurse_domain::ids::SourceName;
use matchpurse_service_kit::config::{ConfigError, Problem, Reason, join};
use matchpurse_settings::{SchemaText, Settings};
use serde_json::Value;

/// How many of a validator's objections are told, and in how many characters each.
const OBJECTIONS_MAX: usize = 4;
const OBJECTION_CHARS_MAX: usize = 200;

/// The demands, by source; a source without any has none.
#[derive(Debug, Default)]
pub(crate) struct Rules(BTreeMap<SourceName, SourceRules>);

#[derive(Debug)]
struct SourceRules {
    limits: Option<Limits>,
    schemas: BTreeMap<GrantKind, Validator>,
}

impl Rules {
    /// Reads every source's demands.
    ///
    /// # Errors
    /// [`ConfigError::Problems`], with every schema that is none.
    pub(crate) fn read(settings: &Settings) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut rules = BTreeMap::new();
        for (name, source) in &settings.sources {
            let wanted = source.rewards();
            let mut schemas = BTreeMap::new();
            for (kind, schema) in &wanted.schemas {
                match compile(schema) {
                    Ok(validator) => drop(schemas.insert(*kind, validator)),
                    Err(what) => {
                        let key =
                            format!("{}.rewards.schemas.{}", join("sources", name.as_str()), kind.as_str());
                        problems.push(Problem { key, origin: None, reason: Reason::Invalid(what) });
                    }
                }
            }
            let limits = wanted.limits.clone();
            if limits.is_some() || !schemas.is_empty() {
                rules.insert(name.clone(), SourceRules { limits, schemas });
            }
        }
        if problems.is_empty() { Ok(Self(rules)) } else { Err(ConfigError::Problems(problems)) }
    }

    /// How much the source may give in a time.
    pub(crate) fn limits(&self, source: &SourceName) -> Option<&Limits> {
        self.0.get(source)?.limits.as_ref()
    }

    /// What the source's schema objects to in what came along with a grant; nothing that came along is null.
    pub(crate) fn objection(&self, source: &SourceName, grant: &Grant) -> Option<Objection> {
        let validator = self.0.get(source)?.schemas.get(&grant.kind)?;
        // It was parsed when it was judged; whatever cannot be parsed has never become a payload.
        let payload: Value = match &grant.payload {
            Some(text) => serde_json::from_str(text).unwrap_or_default(),
            None => Value::Null,
        };
        let detail = words(validator, &payload)?;
        Some(Objection { reason: ReviewReason::PayloadRefused, detail: Some(detail) })
    }
}

/// A schema, ready to be used. Nothing outside of it is fetched, and its patterns are matched in a time that grows with
/// the text and no faster: the schema is the studio's, but the text is a player's.
fn compile(schema: &SchemaText) -> Result<Validator, String> {
    let file = schema.file.as_ref().map_or_else(String::new, |file| format!("{file}: "));
    let value: Value =
        serde_json::from_str(&schema.text).map_err(|error| format!("{file}this is no JSON: {error}"))?;
    let options = jsonschema::options().offline().with_pattern_options(PatternOptions::regex());
    options.build(&value).map_err(|error| {
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { String::new() } else { format!(" at {place}") };
        format!("{file}this is no JSON Schema{place}: {}", clip(&error.to_string()))
    })
}

/// The validator's objections in its own words, as many as are worth reading; none when there are none.
fn words(validator: &Validator, payload: &Value) -> Option<String> {
    let mut objections = validator.iter_errors(payload);
    let told: Vec<String> = objections.by_ref().take(OBJECTIONS_MAX).map(|error| told(&error)).collect();
    let more = if objections.next().is_some() { "; and more" } else { "" };
    (!told.is_empty()).then(|| format!("{}{more}", told.join("; ")))
}

fn told(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    if place.is_empty() { clip(&error.to_string()) } else { clip(&format!("{place}: {error}")) }
}

/// A validator quotes what it found, and that may be long.
fn clip(text: &str) -> String {
    match text.char_indices().nth(OBJECTION_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(schemas: &str) -> Result<Rules, ConfigError> {
        let text = format!(
            "database.url = \"postgres://db/app\"\n[sources.lounge]\nprovider = \"p\"\ncurrency = \"USD\"\n\
             custody = \"provider\"\n[sources.lounge.rewards.schemas]\n{schemas}"
        );
        Rules::read(&Settings::parse_str(&text).unwrap())
    }

    fn objection(rules: &Rules, kind: GrantKind, payload: Option<&str>) -> String {
        let grant = Grant {
            kind,
            state: matchpurse_domain::grants::GrantState::Granted,
            reason: None,
            detail: None,
            amount: None,
            value: None,
            payload: payload.map(str::to_owned),
        };
        let source = SourceName::parse("lounge").unwrap();
        rules.objection(&source, &grant).map_or("none".to_owned(), |objection| objection.detail.unwrap())
    }

    const DRINK: &str = r#"studio = '''{
      "type": "object", "required": ["sku"], "additionalProperties": false,
      "properties": { "sku": { "type": "string", "pattern": "^[a-z-]{1,20}$" },
                      "qty": { "type": "integer", "minimum": 1, "maximum": 3 } } }'''"#;

    #[test]
    fn the_validator_says_what_it_does_not_like_and_where() {
        let rules = rules(DRINK).unwrap();
        let told = |payload| objection(&rules, GrantKind::Studio, payload);
        assert_eq!(told(Some(r#"{"sku":"free-drink","qty":3}"#)), "none");
        insta::assert_snapshot!(told(None), @r#"null is not of type "object""#);
        insta::assert_snapshot!(told(Some(r#"{"qty":1e3}"#)), @r#"/qty: 1000.0 is greater than the maximum of 3; "sku" is a required property"#);
        insta::assert_snapshot!(told(Some(r#"{"sku":"Bar!","tip":1}"#)), @r#"/sku: "Bar!" does not match "^[a-z-]{1,20}$"; Additional properties are not allowed ('tip' was unexpected)"#);
        let long = format!(r#"{{"sku":"{}"}}"#, "é".repeat(4000));
        let words = told(Some(&long));
        assert_eq!((words.chars().count(), words.ends_with('…')), (OBJECTION_CHARS_MAX + 1, true), "{words}");
        let many = format!(
            r#"{{"sku":"a",{}}}"#,
            (0..20).map(|n| format!("\"x{n}\":1")).collect::<Vec<_>>().join(",")
        );
        assert!(told(Some(&many)).chars().count() <= OBJECTION_CHARS_MAX + 1);
        // Another kind has another schema, or none.
        assert_eq!(objection(&rules, GrantKind::Credit, None), "none");
    }

    #[test]
    fn many_objections_are_cut_short() {
        let rules = rules(r#"credit = '{ "items": { "type": "integer" } }'"#).unwrap();
        let told = objection(&rules, GrantKind::Credit, Some(r#"["a","b","c","d","e","f"]"#));
        insta::assert_snapshot!(told, @r#"/0: "a" is not of type "integer"; /1: "b" is not of type "integer"; /2: "c" is not of type "integer"; /3: "d" is not of type "integer"; and more"#);
    }

    #[test]
    fn what_is_no_schema_stops_the_start_and_says_where() {
        let refused = |schemas: &str| rules(schemas).unwrap_err().to_string();
        insta::assert_snapshot!(refused("studio = '{'"), @"`sources.lounge.rewards.schemas.studio`: this is no JSON: EOF while parsing an object at line 1 column 1");
        insta::assert_snapshot!(refused(r#"studio = '{ "properties": { "sku": { "type": "txt" } } }'"#), @r#"`sources.lounge.rewards.schemas.studio`: this is no JSON Schema at /properties/sku/type: "txt" is not valid under any of the schemas listed in the 'anyOf' keyword"#);
        insta::assert_snapshot!(refused(r#"studio = '{ "$ref": "https://example.com/schema.json" }'"#), @"`sources.lounge.rewards.schemas.studio`: this is no JSON Schema: Resource 'https://example.com/schema.json' is not present in a registry and retrieving it failed: Retrieval is disabled, cannot fetch https://example.com/schema.json");
        insta::assert_snapshot!(refused(r#"studio = '{ "$ref": "file:///etc/passwd" }'"#), @"`sources.lounge.rewards.schemas.studio`: this is no JSON Schema: Resource 'file:///etc/passwd' is not present in a registry and retrieving it failed: Retrieval is disabled, cannot fetch file:///etc/passwd");
        insta::assert_snapshot!(refused(r#"studio = '{ "pattern": "(a+)+\\1$" }'"#), @r#"`sources.lounge.rewards.schemas.studio`: this is no JSON Schema at /pattern: "(a+)+\\1$" is not a "regex""#);
        // All of them at once.
        insta::assert_snapshot!(refused("studio = '1'\npoints = '[]'"), @r#"
        `sources.lounge.rewards.schemas.studio`: this is no JSON Schema: 1 is not of types "boolean", "object"
        `sources.lounge.rewards.schemas.points`: this is no JSON Schema: [] is not of types "boolean", "object"
        "#);
    }

    #[test]
    fn a_pattern_takes_no_longer_than_the_text() {
        let rules = rules(r#"studio = '{ "pattern": "^(a+)+$" }'"#).unwrap();
        let hostile = format!("\"{}!\"", "a".repeat(8000));
        assert_ne!(objection(&rules, GrantKind::Studio, Some(&hostile)), "none");
    }
}
