//! Blotting out the secrets that DatHost echoes.
//!
//! Every delivery carries the match's settings as they were sent to DatHost: with them the text that proves
//! its deliveries (`webhooks.authorization_header`) and the server's password (`settings.password`). Who
//! reads a stored body must not learn them.
//!
//! It works on the bytes: only the secret values change, everything else stays as it came, so that a stored
//! body can still be compared with another. Secrets are found by their key, at any depth, in any spelling
//! that JSON allows (`\u0070assword`), in every copy of a doubled key, and in strings that hold JSON
//! themselves. What is no JSON cannot be searched so, and goes whole when it might hold one.
//!
//! One pass, no recursion into the structure; into strings that hold JSON it goes only as deep as these are
//! nested, and each such level at least doubles the backslashes, so 512 KiB allow no twenty levels.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::de::IgnoredAny;

/// What stands in place of a secret.
const BLOT: &[u8] = b"\"[redacted]\"";

/// What stands in place of a body that cannot be searched.
const BLOTTED_BODY: &[u8] = b"[redacted: this is no JSON, and it may hold a secret]";

/// A key or text with one of these in it, in any case, is about a secret. The older product calls the first
/// one `webhook_authorization_header`, and game servers have several passwords.
const SECRET_WORDS: [&str; 3] = ["authorization_header", "password", "rcon"];

/// The body with every secret blotted out; the same bytes when there is none.
pub(super) fn redact(body: &Bytes) -> Bytes {
    match redacted(body) {
        Some(changed) => Bytes::from(changed),
        None => body.clone(),
    }
}

/// The text without its secrets; none when there are none in it.
fn redacted(text: &[u8]) -> Option<Vec<u8>> {
    if serde_json::from_slice::<IgnoredAny>(text).is_err() {
        let whole = text != BLOTTED_BODY && may_hold_a_secret(text);
        return whole.then(|| BLOTTED_BODY.to_vec());
    }
    let spans = secret_spans(text);
    if spans.is_empty() {
        return None;
    }
    let mut changed = Vec::with_capacity(text.len());
    let mut from = 0;
    for span in spans {
        changed.extend_from_slice(text.get(from..span.start).unwrap_or_default());
        changed.extend_from_slice(BLOT);
        from = span.end;
    }
    changed.extend_from_slice(text.get(from..).unwrap_or_default());
    Some(changed)
}

/// True when a text that is no JSON might name a secret, or could name it in a way that is not seen: in
/// another encoding, or behind escapes.
fn may_hold_a_secret(text: &[u8]) -> bool {
    match std::str::from_utf8(text) {
        Ok(text) => names_a_secret(text) || text.contains(['\\', '\0']),
        Err(_) => true,
    }
}

/// Every key of every body is asked, so it goes without a copy.
fn names_a_secret(text: &str) -> bool {
    SECRET_WORDS.iter().any(|word| {
        text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    })
}

/// Where the secrets stand in a JSON text, in order.
fn secret_spans(json: &[u8]) -> Vec<Range<usize>> {
    let mut scan = Scan { json, at: 0 };
    let mut spans = Vec::new();
    while let Some(byte) = scan.peek() {
        if byte != b'"' {
            scan.at = scan.at.saturating_add(1);
            continue;
        }
        let string = scan.string();
        let text = scan.unescaped(&string);
        scan.skip_space();
        if scan.peek() != Some(b':') {
            if text.is_none_or(|text| string_holds_a_secret(&text)) {
                spans.push(string);
            }
        } else if text.is_none_or(|key| names_a_secret(&key)) {
            // What cannot be unescaped (half a surrogate pair) cannot be cleared of being a secret's name.
            scan.at = scan.at.saturating_add(1);
            scan.skip_space();
            let value = scan.value();
            if !scan.is_harmless(&value) {
                spans.push(value);
            }
        }
    }
    spans
}

/// True for a string that holds JSON with a secret in it, or names a secret and goes on to tell it, as a
/// query does. A nickname like `password` is neither.
fn string_holds_a_secret(text: &str) -> bool {
    match text.trim_start().bytes().next() {
        Some(b'{' | b'[' | b'"') => redacted(text.as_bytes()).is_some(),
        _ => names_a_secret(text) && text.contains([':', '=']),
    }
}

/// A place in a text that is known to be JSON.
struct Scan<'j> {
    json: &'j [u8],
    at: usize,
}

impl<'j> Scan<'j> {
    fn peek(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at = self.at.saturating_add(1);
        Some(byte)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at = self.at.saturating_add(1);
        }
    }

    /// Goes behind the string that begins here, and gives its span, quotes included.
    fn string(&mut self) -> Range<usize> {
        let start = self.at;
        self.next();
        while let Some(byte) = self.next() {
            match byte {
                b'\\' => drop(self.next()),
                b'"' => break,
                _ => {}
            }
        }
        start..self.at
    }

    /// Goes behind the value that begins here, and gives its span.
    fn value(&mut self) -> Range<usize> {
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => drop(self.string()),
                b'{' | b'[' => {
                    depth = depth.saturating_add(1);
                    self.next();
                }
                b'}' | b']' if depth > 0 => {
                    depth = depth.saturating_sub(1);
                    self.next();
                }
                // The end of the object or list that the value stands in.
                b'}' | b']' | b',' if depth == 0 => break,
                b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => break,
                _ => drop(self.next()),
            }
        }
        start..self.at
    }

    fn unescaped(&self, string: &Range<usize>) -> Option<Cow<'j, str>> {
        let token = self.json.get(string.clone())?;
        // Most strings have no escape, and need no copy.
        match token.strip_prefix(b"\"")?.strip_suffix(b"\"")? {
            plain if !plain.contains(&b'\\') => std::str::from_utf8(plain).ok().map(Cow::Borrowed),
            _ => serde_json::from_slice::<String>(token).ok().map(Cow::Owned),
        }
    }

    /// True when nothing can be learned from the value: it is unset, or blotted out already.
    fn is_harmless(&self, value: &Range<usize>) -> bool {
        let Some(value) = self.json.get(value.clone()) else { return false };
        matches!(value, b"null" | b"\"\"" | b"true" | b"false" | b"{}" | b"[]") || value == BLOT
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(body: &str) -> String {
        String::from_utf8(redact(&Bytes::copy_from_slice(body.as_bytes())).to_vec()).unwrap()
    }

    #[track_caller]
    fn stays(body: &str) {
        assert_eq!(shown(body), body);
    }

    #[test]
    fn only_the_secrets_change() {
        assert_eq!(
            shown("{ \"webhooks\" : {\n\t\"authorization_header\" : \"s3\\\"cr\\\\et\" ,\"url\":\"http:\\/\\/x\"},\n \"n\": 1.50,\"settings\":{\"password\":\"pw\"}}\n"),
            "{ \"webhooks\" : {\n\t\"authorization_header\" : \"[redacted]\" ,\"url\":\"http:\\/\\/x\"},\n \"n\": 1.50,\"settings\":{\"password\":\"[redacted]\"}}\n",
        );
    }

    #[test]
    fn where_there_is_no_secret_nothing_changes() {
        for body in [
            r#"{"settings":{"password":null},"webhooks":{"authorization_header":""}}"#,
            r#"{"password":"[redacted]","password":true,"rcon":{},"x":[]}"#,
            r#"{"nickname":"password","team":"[x] { y","note":"a: b","q":"a=b","s":"\"quoted\""}"#,
            r#"{"metadata":"{\"a\":[1,2]}"}"#,
            "",
            "null",
            "hello: world",
        ] {
            stays(body);
        }
        let body = Bytes::from_static(b"{\"a\":1}");
        assert_eq!(redact(&body).as_ptr(), body.as_ptr(), "no copy is made");
    }

    #[test]
    fn secrets_are_found_however_they_are_written() {
        for (body, expected) in [
            (r#"{"\u0070assword":"pw"}"#, r#"{"\u0070assword":"[redacted]"}"#),
            (r#"{"authorization\u005Fheader":"pw"}"#, r#"{"authorization\u005Fheader":"[redacted]"}"#),
            (r#"{"password":"pw","password":"pw"}"#, r#"{"password":"[redacted]","password":"[redacted]"}"#),
            (r#"[[{"a":[{"Password":"pw"}]}]]"#, r#"[[{"a":[{"Password":"[redacted]"}]}]]"#),
            (r#"{"webhook_authorization_header":"pw"}"#, r#"{"webhook_authorization_header":"[redacted]"}"#),
            (r#"{"password":7707}"#, r#"{"password":"[redacted]"}"#),
            (r#"{"password":["pw",{"x":"]}"}],"b":1}"#, r#"{"password":"[redacted]","b":1}"#),
            (r#"{"password":"pw\\","b":"\"password\":\"pw\""}"#, r#"{"password":"[redacted]","b":"[redacted]"}"#),
            (r#"{"raw":"{\"settings\":{\"password\":\"pw\"}}"}"#, r#"{"raw":"[redacted]"}"#),
            (r#"{"raw":"{\"p\\u0061ssword\":\"pw\"}"}"#, r#"{"raw":"[redacted]"}"#),
            (r#"{"raw":"[\"{\\\"password\\\":\\\"pw\\\"}\"]"}"#, r#"{"raw":"[redacted]"}"#),
            (r#"{"url":"https://x/?password=pw"}"#, r#"{"url":"[redacted]"}"#),
            (r#""{\"password\":\"pw\"}""#, r#""[redacted]""#),
            // Half a surrogate pair: the key is no text, so it might have been any.
            (r#"{"\ud800":"pw"}"#, r#"{"\ud800":"[redacted]"}"#),
        ] {
            assert_eq!(shown(body), expected, "{body}");
            stays(expected);
        }
    }

    #[test]
    fn what_cannot_be_searched_goes_whole() {
        let blotted = std::str::from_utf8(BLOTTED_BODY).unwrap();
        for body in [
            r#"{"settings":{"password":"pw""#,
            r#"{"a":1}{"password":"pw"}"#,
            "\u{feff}{\"password\":\"pw\"}",
            "password=pw",
            r#"{"pass\u0077ord":"pw""#,
        ] {
            assert_eq!(shown(body), blotted, "{body}");
        }
        let utf16: Vec<u8> = "{\"password\":\"pw\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for body in [utf16, b"\xff{\"password\":\"pw\"}".to_vec()] {
            assert_eq!(redact(&Bytes::from(body)), BLOTTED_BODY);
        }
        stays(blotted);
    }

    #[test]
    fn depth_does_no_harm() {
        let deep = format!("{}{{\"password\":\"pw\"}}{}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(!shown(&deep).contains("pw"));
    }

    const SECRET: &str = "S3cret-0815";

    /// JSON text around a secret: any nesting, any white space, keys written with and without escapes.
    fn json_with_secret() -> impl Strategy<Value = String> {
        let space = "[ \t\r\n]{0,2}";
        let plain = prop_oneof![
            "[1-9][0-9]{0,4}",
            Just("null".to_owned()),
            r#""[a-z ,:{}\[\]]{0,6}""#,
            Just(r#""a\\\"b""#.to_owned()),
        ];
        let key = (proptest::sample::select(&["password", "authorization_header"]), any::<u32>()).prop_map(
            |(key, escaped)| {
                let write = |(at, c): (usize, char)| match escaped.rotate_right(at as u32) & 1 {
                    1 => format!("\\u{:04x}", u32::from(c)),
                    _ => c.to_string(),
                };
                key.chars().enumerate().map(write).collect::<String>()
            },
        );
        let secret = (key, space, space).prop_map(|(key, before, after)| {
            format!("{{\"{key}\"{before}:{after}\"{SECRET}\"{before}}}")
        });
        secret.prop_recursive(6, 64, 3, move |inner| {
            prop_oneof![
                (inner.clone(), plain.clone(), space)
                    .prop_map(|(inner, plain, space)| format!("[{plain}{space},{inner}{space},{plain}]")),
                (inner.clone(), plain.clone(), space).prop_map(|(inner, plain, space)| format!(
                    "{{\"k\":{plain},\"in\"{space}:{space}{inner},\"k\\\\\":{plain}}}"
                )),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a},{b}]")),
                inner.prop_map(|inner| format!("{{\"s\":{}}}", serde_json::to_string(&inner).unwrap())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_secret_survives(body in json_with_secret(), cut in any::<proptest::sample::Index>()) {
            let redacted = shown(&body);
            prop_assert!(!redacted.contains(SECRET), "{}", redacted);
            prop_assert!(serde_json::from_str::<IgnoredAny>(&redacted).is_ok(), "{}", redacted);
            prop_assert_eq!(shown(&redacted), redacted);
            let part = body.get(..cut.index(body.len())).unwrap();
            prop_assert!(!shown(part).contains(SECRET));
        }

        #[test]
        fn any_bytes_are_taken(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let redacted = redact(&Bytes::from(body));
            prop_assert_eq!(redact(&redacted), redacted);
        }
    }
}
