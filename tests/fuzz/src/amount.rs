//! The reader of amounts, against a reckoning in whole numbers that shares no code with it.

use matchpurse_domain::money::{AmountError, MAX_EXPONENT, MAX_MINOR_UNITS, format_major, parse_major};

/// The first byte chooses the currency's decimal places, the rest is the text.
pub(crate) fn amount(data: &[u8]) {
    let Some((exponent, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let exponent = exponent % (MAX_EXPONENT + 1);
    let parsed = parse_major(text, exponent);
    let Some((digits, point)) = digits(text) else {
        assert!(matches!(parsed, Err(AmountError::NotANumber(_))), "{text:?} is no number: {parsed:?}");
        return;
    };
    let Ok(parsed) = parsed else {
        // What people write must be taken: four characters are never too much, whatever the currency.
        let plain = !text.contains(['e', 'E', '-']) && text.len() <= 4;
        assert!(!plain || point > i64::from(exponent), "{text:?} should be an amount");
        return;
    };
    assert!((0..=MAX_MINOR_UNITS).contains(&parsed.minor_units), "{text:?}: {parsed:?}");
    let written = format_major(parsed.minor_units, exponent);
    let again = parse_major(&written, exponent).unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!((again.minor_units, again.rounded), (parsed.minor_units, false), "{text:?} is {written:?}");
    near(text, &digits, point, exponent, parsed.minor_units, parsed.rounded);
}

/// Amounts of all kinds, in every currency.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "0",
        "10",
        "10.0",
        "1e1",
        "1E-2",
        "28.499999999999996",
        "18.00",
        "0.001",
        "-1",
        "-0",
        "NaN",
        "12,50",
        "1000000000000",
        "9999999999.99",
        "0.0000000001",
        "1e999",
        "00.5",
        "5.",
        ".5",
        "4.35000000000000053",
    ];
    let seed = |exponent: u8| texts.iter().map(move |text| [&[exponent], text.as_bytes()].concat());
    (0..=MAX_EXPONENT).flat_map(seed).collect()
}

/// The significant digits of a number of JSON, and how many of them stand behind the point.
fn digits(text: &str) -> Option<(String, i64)> {
    if text.len() > 64 {
        return None;
    }
    let (mantissa, power) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i16>().ok()?),
        None => (text, 0),
    };
    let mantissa = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    let numeric = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !numeric(whole) || fraction.is_some_and(|fraction| !numeric(fraction)) {
        return None;
    }
    let fraction = fraction.unwrap_or_default();
    let all = format!("{whole}{fraction}");
    let behind = i64::try_from(fraction.len()).unwrap() - i64::from(power);
    let trimmed = all.trim_end_matches('0');
    let behind = behind - i64::try_from(all.len() - trimmed.len()).unwrap();
    Some((trimmed.trim_start_matches('0').to_owned(), behind))
}

/// The number is the amount, or within a millionth of a minor unit of it where it was rounded.
fn near(text: &str, digits: &str, behind: i64, exponent: u8, minor_units: i64, rounded: bool) {
    if digits.is_empty() {
        assert_eq!((minor_units, rounded), (0, false), "{text:?}");
        return;
    }
    // In minor units the number is `digits` × 10^-behind; both sides are brought to the same power of ten.
    let behind = behind - i64::from(exponent);
    let shifted =
        |text: &str, zeros: i64| format!("{text}{}", "0".repeat(usize::try_from(zeros.max(0)).unwrap()));
    let number = shifted(digits, -behind);
    let amount = shifted(&minor_units.to_string(), behind);
    let difference = distance(number.trim_start_matches('0'), amount.trim_start_matches('0'));
    let exact = difference.is_empty();
    assert_eq!(rounded, !exact, "{text:?} is {minor_units} minor units, rounded: {rounded}");
    // A millionth of a minor unit, in the same power of ten, is 10^(behind - 6).
    let length = i64::try_from(difference.len()).unwrap();
    let one_millionth = format!("1{}", "0".repeat(usize::try_from((behind - 6).max(0)).unwrap()));
    let within = length <= behind - 6 || difference == one_millionth;
    assert!(exact || within, "{text:?} is not within a millionth of {minor_units} minor units");
}

/// The difference of two whole numbers, as digits without leading zeros.
fn distance(a: &str, b: &str) -> String {
    let (greater, less) = if (a.len(), a) >= (b.len(), b) { (a, b) } else { (b, a) };
    let mut borrow = 0;
    let mut digits: Vec<u8> = Vec::new();
    for at in 0..greater.len() {
        let digit = |text: &str| {
            text.len().checked_sub(at + 1).map_or(0, |place| i16::from(text.as_bytes()[place] - b'0'))
        };
        let mut difference = digit(greater) - digit(less) - borrow;
        borrow = i16::from(difference < 0);
        difference += 10 * borrow;
        digits.push(b'0' + u8::try_from(difference).unwrap());
    }
    digits.reverse();
    String::from_utf8(digits).unwrap().trim_start_matches('0').to_owned()
}
