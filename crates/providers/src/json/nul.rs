//! JSON and texts without what PostgreSQL cannot store, and without what says nothing.

/// The text with U+0000, which PostgreSQL cannot store, replaced.
pub(super) fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// The same for JSON inside a text: whoever reads it later would find the character then.
pub(super) fn without_nul_escapes(json: &str) -> String {
    let mut kept = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, after)) = rest.split_once('\\') {
        kept.push_str(before);
        kept.push('\\');
        // What stands behind a backslash belongs to it: a second one is no beginning.
        let escape = after.chars().next().map_or(0, char::len_utf8);
        let (escape, behind) = after.split_at_checked(escape).unwrap_or((after, ""));
        match after.strip_prefix("u0000") {
            Some(behind) => {
                kept.push_str("ufffd");
                rest = behind;
            }
            None => {
                kept.push_str(escape);
                rest = behind;
            }
        }
    }
    kept.push_str(rest);
    kept
}

/// JSON without the white space between its tokens, and without escaped U+0000. It works on the text, so
/// numbers keep their digits and objects their order; it does not recurse, so depth does not matter.
pub(crate) fn compact(json: &str) -> String {
    let mut shorter = String::with_capacity(json.len());
    let mut rest = json;
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        let token = match c {
            // An escape is copied whole, so that an escaped quote does not end the string.
            '\\' if in_string => rest.get(..2).unwrap_or(rest),
            _ => rest.get(..c.len_utf8()).unwrap_or(rest),
        };
        match rest.strip_prefix("\\u0000") {
            Some(behind) if in_string => {
                shorter.push_str("\\ufffd");
                rest = behind;
                continue;
            }
            _ => rest = rest.get(token.len()..).unwrap_or_default(),
        }
        match c {
            ' ' | '\t' | '\n' | '\r' if !in_string => continue,
            '"' => in_string = !in_string,
            _ => {}
        }
        shorter.push_str(token);
    }
    shorter
}
