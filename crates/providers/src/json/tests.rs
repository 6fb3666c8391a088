use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
struct Outer {
    id: Id,
    #[serde(default)]
    inner: Vec<Inner>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Inner {
    amount: Option<DecimalText>,
    metadata: Option<JsonText>,
    app: Option<LooseId>,
    name: Option<Text>,
}

/// The error, without the line and column that serde adds.
fn error(body: &[u8]) -> String {
    let shown = read::<Outer>(body).unwrap_err().to_string();
    shown.split(" at line ").next().unwrap().to_owned()
}

#[test]
fn every_form_of_a_field_is_read() {
    let outer: Outer = read(
        br#"{"id": "a", "unknown": {"x": [1e999]}, "inner": [
            {"amount": 28.499999999999996, "metadata": {"a" : "b c\" d", "n": 1.50}, "app": 2, "name": "x\u0000y"},
            {"amount": "10.00", "metadata": "{\"a\": 1}", "app": "2", "name": null},
            {"amount": null, "metadata": null}]}"#,
    )
    .unwrap();
    let inner = |amount: Option<&str>, metadata: Option<&str>, app: Option<&str>, name: Option<&str>| Inner {
        amount: amount.map(|t| DecimalText(t.to_owned())),
        metadata: metadata.map(|t| JsonText(t.to_owned())),
        app: app.map(|t| LooseId(t.to_owned())),
        name: name.map(|t| Text(t.to_owned())),
    };
    assert_eq!(
        outer.inner,
        [
            inner(
                Some("28.499999999999996"),
                Some(r#"{"a":"b c\" d","n":1.50}"#),
                Some("2"),
                Some("x\u{fffd}y")
            ),
            inner(Some("10.00"), Some(r#"{"a": 1}"#), Some("2"), None),
            inner(None, None, None, None),
        ]
    );
}

#[test]
fn errors_name_the_field() {
    assert_eq!(error(b"\xff"), "body: no UTF-8 from byte 0 on");
    assert_eq!(error(b""), "body: EOF while parsing a value");
    assert_eq!(error(b"\xef\xbb\xbf{}"), "body: expected value");
    assert_eq!(error(br#"{"id":"a"} x"#), "body: trailing characters");
    assert_eq!(error(br#"{"id":""}"#), "id: the id is empty");
    assert_eq!(error(br#"{"id":"a", x}"#), "body: key must be a string");
    assert_eq!(error(br#"{"inner":[{...}]}"#), "inner[0]: key must be a string");
    assert_eq!(error(br#"{"id":"a\nb"}"#), "id: the id has a control character in it");
    assert_eq!(error(br#"{"id":"a","id":"b"}"#), "id: duplicate field `id`");
    assert_eq!(error(br#"{}"#), "id: missing field `id`");
    assert_eq!(
        error(br#"{"id":"a","inner":[{},{"amount":true}]}"#),
        "inner[1].amount: expected a number or a string that holds one"
    );
    assert_eq!(error(br#"{"id":"a","inner":[{"app":2,"app":2}]}"#), "inner[0].app: duplicate field `app`");
    assert_eq!(
        error(br#"{"id":"a","inner":[{"app":1.5}]}"#),
        "inner[0].app: expected a string or a whole number"
    );
    assert_eq!(error(br#"{"id":"a","inner":[{"amount":NaN}]}"#), "inner[0].amount: expected value");
    assert!(error(format!(r#"{{"id":"{}"}}"#, "x".repeat(201)).as_bytes()).contains("longer than 200"));
}

#[test]
fn errors_show_nothing_of_what_was_sent() {
    let long = format!(r#"{{"id":"a","inner":"{}"}}"#, "secret ".repeat(100));
    assert_eq!(error(long.as_bytes()), "inner: invalid type: string, expected a sequence");
    assert_eq!(error(br#"{"id":4711}"#), "id: invalid type: integer, expected a string");
    let nested = br#"{"id":"a","inner":[{"name":{"secret":1}}]}"#;
    assert_eq!(error(nested), "inner[0].name: invalid type: map, expected a string");
}

#[test]
fn depth_does_no_harm() {
    let deep = format!(r#"{{"id":"a","unknown":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert!(read::<Outer>(deep.as_bytes()).is_ok());
    let deep =
        format!(r#"{{"id":"a","inner":[{{"metadata":{}{}}}]}}"#, "[ ".repeat(10_000), "]".repeat(10_000));
    let outer: Outer = read(deep.as_bytes()).unwrap();
    assert_eq!(outer.inner[0].metadata.as_ref().unwrap().0.len(), 20_000);
}

#[test]
fn half_a_surrogate_pair_is_kept_as_its_json() {
    let outer: Outer = read(br#"{"id":"a","inner":[{"metadata":"\ud800"}]}"#).unwrap();
    assert_eq!(outer.inner[0].metadata.as_ref().unwrap().0, r#""\ud800""#);
}

#[test]
fn no_nul_is_left_for_whoever_reads_the_json_later() {
    assert_eq!(compact(r#"{"a": "\u0000\\u0000\\\u0000"}"#), r#"{"a":"\ufffd\\u0000\\\ufffd"}"#);
    assert_eq!(without_nul_escapes("ends with \\"), "ends with \\");
    let outer: Outer = read(br#"{"id":"a","inner":[{"metadata":"{\"a\":\"\\u0000\u0000\"}"}]}"#).unwrap();
    assert_eq!(outer.inner[0].metadata.as_ref().unwrap().0, "{\"a\":\"\\ufffd\u{fffd}\"}");
}

#[test]
fn amounts_become_minor_units() {
    let currency = Currency::new("USD", None).unwrap();
    let mut rounded = false;
    let read = |text: &str, rounded: &mut bool| {
        DecimalText(text.to_owned()).money(&currency, rounded, || "a.b[0]".to_owned())
    };
    assert_eq!(read("10", &mut rounded).unwrap().minor_units, 1000);
    assert!(!rounded);
    assert_eq!(read("28.499999999999996", &mut rounded).unwrap().minor_units, 2850);
    assert!(rounded);
    assert_eq!(
        read("12,50", &mut rounded).unwrap_err().to_string(),
        r#"a.b[0]: "12,50" is not a decimal number"#
    );
}

#[test]
fn compact_json_has_no_nul_in_any_spelling() {
    assert_eq!(
        compact(r#"{ "a\u0000" : "\\u0000 \\\u0000\"\u0000" }"#),
        r#"{"a\ufffd":"\\u0000 \\\ufffd\"\ufffd"}"#
    );
}

proptest::proptest! {
    #[test]
    fn compact_json_means_the_same(text in proptest::collection::vec("[^\0]{0,10}", 0..5)) {
        let pretty = serde_json::to_string_pretty(&text).unwrap();
        proptest::prop_assert_eq!(compact(&pretty), serde_json::to_string(&text).unwrap());
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        drop(read::<Outer>(&body));
        if let Ok(text) = std::str::from_utf8(&body) {
            drop(compact(text));
            drop(without_nul_escapes(text));
        }
    }
}
