//! Members of JSON objects that are put together piece by piece.

use serde_json::Value;

/// Sets a member of an object; anything else is left as it is.
pub(crate) fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value.into());
    }
}
