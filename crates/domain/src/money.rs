//! Money: integers in minor units, with their currency. Never a float.

use std::fmt;

/// The most that one amount may be, in minor units; ten thousand million dollars is no buy-in.
pub const MAX_MINOR_UNITS: i64 = 1_000_000_000_000;

/// The most decimal places a currency of ours may have.
pub const MAX_EXPONENT: u8 = 8;

/// A currency's code, an ISO 4217 one or a studio's own coin: 2 to 12 of A-Z, 0-9 and '_'.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CurrencyCode(String);

/// A currency with the number of its decimal places.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Currency {
    /// The code.
    pub code: CurrencyCode,
    /// How many decimal places a minor unit is: 2 for a cent, 0 for a coin that is never divided.
    pub exponent: u8,
}

/// Why something is no currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CurrencyError {
    /// The code has other characters or another length.
    #[error("{0:?} is no currency code: 2 to 12 of A-Z, 0-9 and '_', beginning with a letter")]
    Code(String),
    /// A currency that is not in the table must bring its exponent.
    #[error("{0} is not a currency we know; say how many decimal places it has, 0 to 8")]
    UnknownExponent(String),
    /// The exponent given is above [`MAX_EXPONENT`].
    #[error("{0} decimal places are more than the 8 we keep")]
    Exponent(u8),
    /// The exponent given contradicts the table.
    #[error("{code} has {known} decimal places, not {given}")]
    Contradiction {
        /// The code.
        code: String,
        /// What the table says.
        known: u8,
        /// What was given.
        given: u8,
    },
}

impl CurrencyCode {
    /// Takes a text as a currency's code.
    ///
    /// # Errors
    /// [`CurrencyError::Code`].
    pub fn parse(text: &str) -> Result<Self, CurrencyError> {
        let first = text.bytes().next().is_some_and(|c| c.is_ascii_uppercase());
        let rest = text.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_');
        if first && rest && (2..=12).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(CurrencyError::Code(text.to_owned()))
        }
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CurrencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CurrencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Currency {
    /// A currency by its code; `exponent` is needed for those that [`known_exponent`] does not have.
    ///
    /// # Errors
    /// [`CurrencyError`], also when `exponent` contradicts the table.
    pub fn new(code: &str, exponent: Option<u8>) -> Result<Self, CurrencyError> {
        let parsed = CurrencyCode::parse(code)?;
        let exponent = match (known_exponent(code), exponent) {
            (_, Some(given)) if given > MAX_EXPONENT => return Err(CurrencyError::Exponent(given)),
            (Some(known), Some(given)) if known != given => {
                return Err(CurrencyError::Contradiction { code: code.to_owned(), known, given });
            }
            (Some(known), _) => known,
            (None, Some(given)) => given,
            (None, None) => return Err(CurrencyError::UnknownExponent(code.to_owned())),
        };
        Ok(Self { code: parsed, exponent })
    }
}

/// The decimal places of the ISO 4217 currencies that providers of prize money use.
pub fn known_exponent(code: &str) -> Option<u8> {
    match code {
        "AUD" | "BRL" | "CAD" | "CHF" | "CNY" | "CZK" | "DKK" | "EUR" | "GBP" | "HKD" | "HUF" | "IDR"
        | "ILS" | "INR" | "MXN" | "MYR" | "NOK" | "NZD" | "PHP" | "PLN" | "RON" | "SAR" | "SEK" | "SGD"
        | "THB" | "TRY" | "TWD" | "UAH" | "USD" | "ZAR" | "AED" | "ARS" | "COP" | "PEN" | "EGP" => Some(2),
        "JPY" | "KRW" | "VND" | "CLP" | "ISK" | "PYG" | "UGX" => Some(0),
        "KWD" | "BHD" | "JOD" | "OMR" | "TND" => Some(3),
        _ => None,
    }
}

/// An amount in minor units of its currency.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units; never negative where it comes from a provider.
    pub minor_units: i64,
    /// The currency.
    pub currency: CurrencyCode,
}

impl Money {
    /// An amount of `minor_units`.
    pub const fn new(minor_units: i64, currency: CurrencyCode) -> Self {
        Self { minor_units, currency }
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.minor_units, self.currency)
    }
}

/// Why a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a decimal number: `NaN`, `12,50`, an empty text, a hundred digits.
    #[error("{0:?} is not a decimal number")]
    NotANumber(String),
    /// Below zero.
    #[error("{0:?} is negative")]
    Negative(String),
    /// It has more decimal places than its currency.
    #[error("{text:?} is finer than the {exponent} decimal places of its currency")]
    TooFine {
        /// The text.
        text: String,
        /// The currency's decimal places.
        exponent: u8,
    },
    /// Above [`MAX_MINOR_UNITS`].
    #[error("{0:?} is more than we take for one amount")]
    TooLarge(String),
}

/// An amount read from a decimal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedAmount {
    /// Minor units.
    pub minor_units: i64,
    /// True when the text was within a millionth of a minor unit but not exact: somebody upstream kept it
    /// in a double (`28.499999999999996`).
    pub rounded: bool,
}

/// Reads an amount in major units (`"10"`, `10.0`, `1e1`, `28.499999999999996`) as minor units.
///
/// The text must be the number as it stood in the JSON: once a library has made a double of it, cents are
/// gone. A value that is no whole number of minor units is taken when it is within 10^-6 of one, and
/// marked; anything else is refused rather than guessed.
///
/// # Errors
/// [`AmountError`].
pub fn parse_major(text: &str, exponent: u8) -> Result<ParsedAmount, AmountError> {
    let number = Decimal::parse(text).ok_or_else(|| AmountError::NotANumber(clip(text)))?;
    if number.negative && !number.is_zero() {
        return Err(AmountError::Negative(clip(text)));
    }
    number.to_minor(exponent).map_err(|problem| match problem {
        Problem::TooFine => AmountError::TooFine { text: clip(text), exponent },
        Problem::TooLarge => AmountError::TooLarge(clip(text)),
    })
}

/// Error texts show at most this much of what a provider sent.
fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The longest number text that is looked at; a double prints with at most 25 characters.
const MAX_NUMBER_LEN: usize = 64;

/// A decimal number as its digits: 0.d1d2d3… × 10^point.
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    point: i32,
}

enum Problem {
    TooFine,
    TooLarge,
}

impl Decimal {
    /// Reads JSON's number grammar, a leading `+`, leading zeros and a bare point excepted as JSON does.
    fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_NUMBER_LEN {
            return None;
        }
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let all_digits = |t: &str| t.bytes().all(|c| c.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let digits = whole.bytes().chain(fraction.bytes()).map(|c| c.wrapping_sub(b'0')).collect();
        let point = i32::try_from(whole.len()).ok()?.checked_add(i32::from(exponent))?;
        Some(Self { negative, digits, point })
    }

    fn is_zero(&self) -> bool {
        self.digits.iter().all(|d| *d == 0)
    }

    /// The digit at 10^-(position+1), zero outside of what was written.
    fn digit(&self, position: i32) -> u8 {
        usize::try_from(position).ok().and_then(|at| self.digits.get(at)).copied().unwrap_or(0)
    }

    fn to_minor(&self, exponent: u8) -> Result<ParsedAmount, Problem> {
        if self.is_zero() {
            return Ok(ParsedAmount { minor_units: 0, rounded: false });
        }
        // Digits up to `end` make the whole minor units, those from `end` on are its fraction.
        let end = self.point.saturating_add(i32::from(exponent));
        if end > i32::try_from(MAX_NUMBER_LEN).unwrap_or(i32::MAX).saturating_add(32) {
            return Err(Problem::TooLarge);
        }
        let mut minor: i64 = 0;
        for position in 0..end.max(0) {
            minor = minor
                .checked_mul(10)
                .and_then(|m| m.checked_add(i64::from(self.digit(position))))
                .filter(|m| *m <= MAX_MINOR_UNITS)
                .ok_or(Problem::TooLarge)?;
        }
        let written = i32::try_from(self.digits.len()).unwrap_or(i32::MAX);
        let fraction: Vec<u8> = (end..written.max(end)).map(|position| self.digit(position)).collect();
        // Six zeros or six nines after the minor unit: within a millionth of a whole one.
        let near = |digit: u8| fraction.len() >= 6 && fraction.iter().take(6).all(|d| *d == digit);
        if fraction.iter().all(|d| *d == 0) {
            Ok(ParsedAmount { minor_units: minor, rounded: false })
        } else if near(0) {
            Ok(ParsedAmount { minor_units: minor, rounded: true })
        } else if near(9) && minor < MAX_MINOR_UNITS {
            Ok(ParsedAmount { minor_units: minor.saturating_add(1), rounded: true })
        } else {
            Err(Problem::TooFine)
        }
    }
}

/// An amount as people write it, in major units: `18.00`, `7`, `0.500`.
pub fn format_major(minor_units: i64, exponent: u8) -> String {
    let digits = minor_units.unsigned_abs().to_string();
    let sign = if minor_units < 0 { "-" } else { "" };
    let exponent = usize::from(exponent);
    if exponent == 0 {
        return format!("{sign}{digits}");
    }
    let padded = format!("{digits:0>width$}", width = exponent.saturating_add(1));
    let (whole, fraction) = padded.split_at(padded.len().saturating_sub(exponent));
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests;
