use std::fmt;

/// The longest name of an endpoint and of an event, in characters: both stand in metrics and in indexes.
const NAME_MAX: usize = 40;
const PATTERN_MAX: usize = 64;

/// The name of an endpoint: `[a-z0-9][a-z0-9_-]{0,39}`, as a source's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointName(String);

/// Why a text is no [`EndpointName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no endpoint name: 1 to 40 of a-z, 0-9, '-' and '_', beginning with a letter or digit")]
pub struct EndpointNameError(pub String);

/// Which notices are wanted: one by its kind (`reward.granted`), all of an area (`match.*`), or all (`*`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPattern(String);

/// Why a text is no [`EventPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no pattern of events: a kind as \"reward.granted\", an area as \"match.*\", or \"*\" for everything"
)]
pub struct EventPatternError(pub String);

impl EndpointName {
    /// Takes a text as an endpoint's name.
    ///
    /// # Errors
    /// When it is empty, too long, or has other characters than the rule allows.
    pub fn parse(text: &str) -> Result<Self, EndpointNameError> {
        let word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let first = text.bytes().next().is_some_and(word);
        let rest = text.bytes().all(|c| word(c) || c == b'-' || c == b'_');
        if first && rest && text.len() <= NAME_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(EndpointNameError(text.to_owned()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl EventPattern {
    /// Takes a text as a pattern. The star stands alone or for everything behind a point.
    ///
    /// # Errors
    /// When it could match nothing that there is.
    pub fn parse(text: &str) -> Result<Self, EventPatternError> {
        let word = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
        };
        let whole = text.strip_suffix(".*").unwrap_or(text);
        let known = text == "*" || whole.split('.').all(word);
        if known && text.len() <= PATTERN_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(EventPatternError(text.to_owned()))
        }
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether notices of this kind are wanted.
    pub fn matches(&self, kind: &str) -> bool {
        match self.0.strip_suffix('*') {
            // `match.*` leaves `match.` here, and `*` nothing.
            Some(area) => kind.starts_with(area),
            None => kind == self.0,
        }
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_wants_a_kind_an_area_or_everything() {
        for (pattern, kind, wanted) in [
            ("reward.granted", "reward.granted", true),
            ("reward.granted", "reward.granted_again", false),
            ("match.*", "match.settled", true),
            ("match.*", "match", false),
            ("match.*", "matches.settled", false),
            ("*", "player.kicked", true),
            ("match", "match.settled", false),
        ] {
            assert_eq!(EventPattern::parse(pattern).unwrap().matches(kind), wanted, "{pattern} {kind}");
        }
    }

    #[test]
    fn what_could_match_nothing_is_no_pattern() {
        for text in ["", "**", "match*", ".*", "match.", "*.settled", "Match.*", "a b", &"x".repeat(65)] {
            assert_eq!(EventPattern::parse(text), Err(EventPatternError(text.to_owned())));
        }
    }

    #[test]
    fn a_name_can_stand_in_a_metric() {
        for text in ["game", "9-lives", "a_b"] {
            assert_eq!(EndpointName::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "-a", "A", "ä", "a b", &"x".repeat(41)] {
            assert!(EndpointName::parse(text).is_err(), "{text}");
        }
    }
}
