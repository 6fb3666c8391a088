//! What serde says about a value, without the value.
//!
//! serde quotes what it did not expect. An error is logged, kept with the parked event and answered to the
//! sender, and the value may be a password; so only its kind may be told.

/// Words by which serde begins a sentence that quotes the value, as it stands there.
const QUOTING: [&str; 5] =
    ["invalid type", "invalid value", "invalid length", "unknown variant", "unknown field"];

/// The words before what would have been right.
const EXPECTED: &str = ", expected ";

/// The problem in serde's words, with every value taken out of it: what was found only by its kind, then
/// what was expected. Sentences that quote no value stay as they are.
pub(super) fn without_values(said: &str) -> String {
    let Some((what, rest)) = QUOTING.iter().find_map(|what| Some((*what, said.strip_prefix(what)?))) else {
        return said.to_owned();
    };
    // What was expected stands last and comes from our own types, so a value that holds the same words
    // cannot pass as it. Behind it is only the place, which the path tells better.
    let expected = rest
        .rsplit_once(EXPECTED)
        .map(|(_, expected)| expected.rsplit_once(" at line ").map_or(expected, |(expected, _)| expected));
    let found = rest.strip_prefix(": ").map(kind).unwrap_or_default();
    let mut told = what.to_owned();
    if !found.is_empty() {
        told.push_str(": ");
        told.push_str(found);
    }
    if let Some(expected) = expected {
        told.push_str(EXPECTED);
        told.push_str(expected);
    }
    told
}

/// The kind of what was found; serde tells it first, as in `string "…"` and `` integer `…` ``. Empty for
/// anything that is none of its words.
fn kind(found: &str) -> &'static str {
    const KINDS: [&str; 17] = [
        "string",
        "integer",
        "floating point",
        "number",
        "boolean",
        "null",
        "sequence",
        "map",
        "character",
        "byte array",
        "unit value",
        "Option value",
        "newtype struct",
        "enum",
        "unit variant",
        "newtype variant",
        "struct variant",
    ];
    let follows = |rest: &str| rest.is_empty() || rest.starts_with([' ', ',']);
    KINDS.into_iter().find(|kind| found.strip_prefix(kind).is_some_and(follows)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_told_by_its_kind_only() {
        for (said, told) in [
            (
                r#"invalid type: string "{\"password\":\"pw\"}", expected struct Settings at line 1 column 9"#,
                "invalid type: string, expected struct Settings",
            ),
            (
                r#"invalid type: string "a, expected b at line 5 column 5", expected a boolean at line 1 column 9"#,
                "invalid type: string, expected a boolean",
            ),
            (r#"invalid value: string "pw", expected x"#, "invalid value: string, expected x"),
            ("invalid type: integer `12345`, expected a string", "invalid type: integer, expected a string"),
            (
                "invalid type: floating point `1.5`, expected u32",
                "invalid type: floating point, expected u32",
            ),
            ("invalid type: boolean `true`, expected u32", "invalid type: boolean, expected u32"),
            ("invalid type: null, expected u32 at line 1 column 4", "invalid type: null, expected u32"),
            ("invalid type: map, expected a sequence", "invalid type: map, expected a sequence"),
            ("invalid type: pw, expected u32", "invalid type, expected u32"),
            ("invalid length 7, expected 2 elements", "invalid length, expected 2 elements"),
            ("unknown variant `pw`, expected `a` or `b`", "unknown variant, expected `a` or `b`"),
            ("unknown field `pw`, there are no fields", "unknown field"),
            ("missing field `id` at line 1 column 2", "missing field `id` at line 1 column 2"),
            ("expected value at line 1 column 2", "expected value at line 1 column 2"),
        ] {
            assert_eq!(without_values(said), told);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_of_a_body_is_told(secret in "[\\PC]{0,40}") {
            let secret = format!("pw{secret}pw");
            let body = serde_json::to_string(&secret).unwrap();
            let said = serde_json::from_str::<Vec<u8>>(&body).unwrap_err().to_string();
            proptest::prop_assert_eq!(without_values(&said), "invalid type: string, expected a sequence");
        }
    }
}
