//! Amounts as people write them, and as programs read them.

use matchpurse_domain::money::{Money, format_major, known_exponent};
use matchpurse_settings::Settings;
use serde_json::{Value, json};

/// Knows how many decimal places a currency has: the world's, and those of a studio's own coins where there is a
/// configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coins<'s>(pub(crate) Option<&'s Settings>);

impl Coins<'_> {
    /// The decimal places.
    pub(crate) fn exponent(self, currency: &str) -> Option<u8> {
        let configured = || {
            let mut known = self.0?.sources.values().map(|source| &source.policy().currency);
            Some(known.find(|known| known.code.as_str() == currency)?.exponent)
        };
        known_exponent(currency).or_else(configured)
    }

    /// `1.50 USD`; of a coin whose places are not known, its minor units.
    pub(crate) fn shown(self, minor_units: i64, currency: &str) -> String {
        match self.exponent(currency) {
            Some(exponent) => format!("{} {currency}", format_major(minor_units, exponent)),
            None => format!("{minor_units} minor units of {currency}"),
        }
    }

    /// The same of an amount.
    pub(crate) fn money(self, money: &Money) -> String {
        self.shown(money.minor_units, money.currency.as_str())
    }
}

/// An amount for programs, as the API has it.
pub(crate) fn amount(minor_units: i64, currency: &str) -> Value {
    json!({ "minor_units": minor_units, "currency": currency })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coin_is_shown_by_its_places_or_in_minor_units() {
        let settings = "database.url = \"postgres://db/app\"\n[sources.wall]\nprovider = \"p\"\ncurrency = \"GEM\"\n\
                        currency_exponent = 1\ncustody = \"provider\"";
        let settings = Settings::parse_str(settings).unwrap();
        assert_eq!(Coins(None).shown(150, "USD"), "1.50 USD");
        assert_eq!(Coins(None).shown(150, "GEM"), "150 minor units of GEM");
        assert_eq!(Coins(Some(&settings)).shown(150, "GEM"), "15.0 GEM");
    }
}
