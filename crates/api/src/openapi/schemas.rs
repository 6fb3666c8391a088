//! The shapes of bodies: derived from the types that are read and written, then made plain for generators of clients.

use std::borrow::Cow;
use std::collections::BTreeMap;

use matchpurse_domain::event::COUNTER_NAMES;
use matchpurse_domain::stats::Figure;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::figures::Figures;
use crate::moment::Moment;

/// Named schemas.
#[derive(Default)]
pub(crate) struct Schemas(BTreeMap<String, Value>);

pub(super) fn reference(section: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{section}/{name}") })
}

impl Schemas {
    /// Adds a type with all that it is made of, and returns the reference to it.
    pub(super) fn add<T: ToSchema>(&mut self) -> Value {
        let mut schemas = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut schemas);
        for (name, schema) in schemas {
            // A schema always serializes; an empty one would be seen by the validator of the document's test.
            self.insert(name, serde_json::to_value(schema).unwrap_or_default());
        }
        reference("schemas", &T::name())
    }

    /// Adds a page of these.
    pub(super) fn add_page_of<T: ToSchema>(&mut self) -> Value {
        let items = self.add::<T>();
        let name = format!("{}Page", T::name());
        let page = json!({
            "type": "object",
            "description": "A page of a list.",
            "required": ["items", "next"],
            "properties": {
                "items": { "type": "array", "items": items },
                "next": {
                    "type": ["string", "null"],
                    "description": "The `cursor` of the page that follows; null at the end. Opaque: what is in it may change.",
                },
            },
        });
        self.insert(name.clone(), page);
        reference("schemas", &name)
    }

    /// Two shapes of one name would be one in every client.
    fn insert(&mut self, name: String, schema: Value) {
        let before = self.0.insert(name, schema.clone());
        debug_assert!(before.is_none_or(|before| before == schema), "two schemas of one name: {schema}");
    }

    /// Takes in all of another's.
    pub(super) fn extend(&mut self, other: Self) {
        other.0.into_iter().for_each(|(name, schema)| self.insert(name, schema));
    }

    /// Makes one object of every object that is composed of several, and lets nothing be composed any more.
    pub(super) fn plain(self) -> BTreeMap<String, Value> {
        let all = self.0;
        all.iter().map(|(name, schema)| (name.clone(), merged(schema, &all))).collect()
    }
}

fn merged(schema: &Value, all: &BTreeMap<String, Value>) -> Value {
    let Some(parts) = schema.get("allOf").and_then(Value::as_array) else { return schema.clone() };
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for part in parts {
        // A part that may be missing is one of nothing and something; what is in it is not required then.
        let optional = part.get("oneOf").and_then(Value::as_array);
        let something = optional.and_then(|either| either.iter().find(|one| one.get("$ref").is_some()));
        let part = something.unwrap_or(part);
        let named = part.get("$ref").and_then(Value::as_str).and_then(|at| at.rsplit('/').next());
        let part =
            named.and_then(|name| all.get(name)).map_or_else(|| part.clone(), |part| merged(part, all));
        if let Some(Value::Object(own)) = part.get("properties") {
            properties.extend(own.clone());
        }
        if let (None, Some(Value::Array(own))) = (something, part.get("required")) {
            required.extend(own.clone());
        }
    }
    let mut whole = json!({ "type": "object", "properties": properties });
    if let Value::Object(whole) = &mut whole {
        if !required.is_empty() {
            whole.insert("required".to_owned(), required.into());
        }
        if let Some(description) = schema.get("description") {
            whole.insert("description".to_owned(), description.clone());
        }
    }
    whole
}

/// How a match ends, in a request.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it stands for a type of another crate, in the document only")]
pub(crate) struct MatchEnd {
    /// `refund`: every stake goes back. `tie`: the tie policy decides. `winners`: these groups. `payouts`: these amounts.
    /// `event`: as this archived event of the provider says.
    #[schema(pattern = "^(refund|tie|winners|payouts|event)$", example = "refund")]
    r#as: String,
    /// Of `winners`: the provider's ids of the groups.
    #[schema(value_type = Vec<String>, required = false)]
    groups: Vec<String>,
    /// Of `payouts`: who gets what; what is left of the pot is the fee.
    #[schema(value_type = Vec<Payout>, required = false)]
    payouts: Vec<Payout>,
    /// Of `event`: its id.
    #[schema(format = Uuid, required = false)]
    event_id: String,
}

/// What one player gets.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it stands for a type of another crate, in the document only")]
pub(crate) struct Payout {
    /// The provider's id of the player.
    player_id: String,
    /// Minor units of the match's currency.
    minor_units: i64,
}

/// Which of two ends stands.
#[derive(ToSchema)]
#[expect(dead_code, reason = "in the document one object is easier to make a client of than a choice of two")]
pub(crate) struct StatisticsStand {
    /// `first`: the numbers that count now. `event`: those of this archived event.
    #[schema(pattern = "^(first|event)$", example = "first")]
    r#as: String,
    /// Of `event`: its id.
    #[schema(format = Uuid, required = false)]
    event_id: String,
}

fn schema_of(value: Value) -> RefOr<Schema> {
    // What stands below is a schema; anything else would show as an empty one in the document's test.
    serde_json::from_value(value).unwrap_or_else(|_| utoipa::openapi::schema::empty().into())
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        schema_of(
            json!({ "type": "string", "format": "date-time", "example": "2026-11-22T10:00:00.123456Z" }),
        )
    }
}

impl ToSchema for Moment {
    fn name() -> Cow<'static, str> {
        "Moment".into()
    }
}

fn object_of<'a>(names: impl Iterator<Item = &'a str>, each: &Value, description: &str) -> RefOr<Schema> {
    let properties: Map<String, Value> = names.map(|name| (name.to_owned(), each.clone())).collect();
    schema_of(json!({ "type": "object", "description": description, "properties": properties }))
}

/// The counters by name, whatever they count up to.
pub(crate) struct CountersView;

impl PartialSchema for CountersView {
    fn schema() -> RefOr<Schema> {
        let each = json!({ "type": "integer", "format": "int64" });
        object_of(COUNTER_NAMES.iter().copied(), &each, "The counters of a game server, by name.")
    }
}

impl ToSchema for CountersView {
    fn name() -> Cow<'static, str> {
        "Counters".into()
    }
}

impl PartialSchema for Figures {
    fn schema() -> RefOr<Schema> {
        let each = json!({ "type": ["number", "null"] });
        let description = "Figures with three decimal places; null where there is nothing to divide by.";
        object_of(Figure::ALL.iter().map(|figure| figure.as_str()), &each, description)
    }
}

impl ToSchema for Figures {
    fn name() -> Cow<'static, str> {
        "Figures".into()
    }
}
