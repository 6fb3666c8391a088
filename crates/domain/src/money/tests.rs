use super::*;

#[test]
fn amounts_are_read_from_their_text() {
    // What stands in the JSON, the currency, and the minor units or why it is refused.
    #[rustfmt::skip]
    let table = [
        // the same ten dollars
        ("10", "USD", "1000"),
        ("10.0", "USD", "1000"),
        ("10.00", "USD", "1000"),
        ("1e1", "USD", "1000"),
        ("1E+1", "USD", "1000"),
        ("100e-1", "USD", "1000"),
        ("0.1e2", "USD", "1000"),
        ("010", "USD", "1000"),
        // as providers write them in texts
        ("20.00", "USD", "2000"),
        ("15", "USD", "1500"),
        ("0.1", "USD", "10"),
        ("0.07", "USD", "7"),
        // exponents 0, 2 and 3
        ("7", "JPY", "7"),
        ("7.0", "JPY", "7"),
        ("1e5", "JPY", "100000"),
        ("7.5", "JPY", "too fine"),
        ("7.5", "USD", "750"),
        ("7.5", "KWD", "7500"),
        ("0.125", "KWD", "125"),
        ("0.125", "USD", "too fine"),
        ("0.1255", "KWD", "too fine"),
        // three decimal places in a currency of two
        ("0.001", "USD", "too fine"),
        ("9.999", "USD", "too fine"),
        ("9.990", "USD", "999"),
        // a double upstream: within a millionth of a minor unit, no further
        ("28.499999999999996", "USD", "2850 rounded"),
        ("28.500000000000004", "USD", "2850 rounded"),
        ("9.9999999", "JPY", "10 rounded"),
        ("0.30000000000000004", "USD", "30 rounded"),
        ("1.1500000000000001", "KWD", "1150 rounded"),
        ("28.49999999", "USD", "2850 rounded"),
        ("28.4999999", "USD", "too fine"),
        ("28.5000001", "USD", "too fine"),
        ("1e-400", "USD", "0 rounded"),
        // zero
        ("0", "USD", "0"),
        ("0.00", "USD", "0"),
        ("-0", "USD", "0"),
        ("-0.0", "USD", "0"),
        // below zero
        ("-1", "USD", "negative"),
        ("-0.01", "USD", "negative"),
        ("-1e400", "USD", "negative"),
        ("-1e-9", "USD", "negative"),
        // nineteen digits: more than a double holds, and more than we take
        ("1234567890123456789", "JPY", "too large"),
        ("9223372036854775807", "JPY", "too large"),
        ("9223372036854775808", "JPY", "too large"),
        ("12345678901234567.89", "USD", "too large"),
        ("10.00000000000000000", "USD", "1000"),
        ("0.1234567890123456789", "USD", "too fine"),
        ("0000000000000000010", "USD", "1000"),
        // the largest
        ("1000000000000", "JPY", "1000000000000"),
        ("1000000000001", "JPY", "too large"),
        ("10000000000", "USD", "1000000000000"),
        ("10000000000.01", "USD", "too large"),
        ("1000000000", "KWD", "1000000000000"),
        ("1000000000.001", "KWD", "too large"),
        ("99999999999999999999999999", "USD", "too large"),
        ("1e400", "USD", "too large"),
        ("1e32767", "USD", "too large"),
        // no number
        ("1e99999", "USD", "no number"),
        ("0e99999", "USD", "no number"),
        ("NaN", "USD", "no number"),
        ("nan", "USD", "no number"),
        ("Infinity", "USD", "no number"),
        ("-inf", "USD", "no number"),
        ("null", "USD", "no number"),
        ("", "USD", "no number"),
        (" 10", "USD", "no number"),
        ("\"20.00\"", "USD", "no number"),
        ("1,5", "USD", "no number"),
        ("1_000", "USD", "no number"),
        (".5", "USD", "no number"),
        ("5.", "USD", "no number"),
        ("+1", "USD", "no number"),
        ("--1", "USD", "no number"),
        ("0x10", "USD", "no number"),
        ("1e", "USD", "no number"),
        ("1e1.5", "USD", "no number"),
        ("$10", "USD", "no number"),
        ("\u{0661}\u{0660}", "USD", "no number"),
    ];
    let wrong: Vec<String> = table
        .iter()
        .map(|(text, currency, expected)| {
            let exponent = known_exponent(currency).unwrap();
            let found = match parse_major(text, exponent) {
                Ok(ParsedAmount { minor_units, rounded: false }) => minor_units.to_string(),
                Ok(ParsedAmount { minor_units, rounded: true }) => format!("{minor_units} rounded"),
                Err(AmountError::NotANumber(_)) => "no number".to_owned(),
                Err(AmountError::Negative(_)) => "negative".to_owned(),
                Err(AmountError::TooFine { .. }) => "too fine".to_owned(),
                Err(AmountError::TooLarge(_)) => "too large".to_owned(),
            };
            (text, currency, expected, found)
        })
        .filter(|(_, _, expected, found)| *expected != found)
        .map(|(text, currency, expected, found)| {
            format!("{text:?} {currency}: {expected}, but it is {found}")
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_refused_amount_says_why_and_shows_no_more_than_forty_characters() {
    let why = |text: &str, exponent| parse_major(text, exponent).unwrap_err().to_string();
    assert_eq!(why("NaN", 2), r#""NaN" is not a decimal number"#);
    assert_eq!(why("-1", 2), r#""-1" is negative"#);
    assert_eq!(why("0.001", 2), r#""0.001" is finer than the 2 decimal places of its currency"#);
    assert_eq!(why("1e400", 2), r#""1e400" is more than we take for one amount"#);
    assert_eq!(why(&"x".repeat(100), 2), format!("{:?} is not a decimal number", "x".repeat(40)));
}

#[test]
fn amounts_are_written_in_major_units() {
    assert_eq!(format_major(1800, 2), "18.00");
    assert_eq!(format_major(5, 3), "0.005");
    assert_eq!(format_major(-5, 2), "-0.05");
    assert_eq!(format_major(7, 0), "7");
}

proptest::proptest! {
    #[test]
    fn what_is_written_is_read_back(minor in 0..=MAX_MINOR_UNITS, exponent in 0_u8..=8) {
        let text = format_major(minor, exponent);
        proptest::prop_assert_eq!(parse_major(&text, exponent), Ok(ParsedAmount { minor_units: minor, rounded: false }));
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,80}", exponent in 0_u8..=8) {
        drop(parse_major(&text, exponent));
    }

    #[test]
    fn no_number_like_text_makes_it_panic(text in "-?[0-9]{0,30}(\\.[0-9]{0,30})?([eE][+-]?[0-9]{1,6})?", exponent in 0_u8..=8) {
        drop(parse_major(&text, exponent));
    }
}
