use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use matchpurse_domain::ids::SourceName;
use matchpurse_store::events::Head;

/// The most sources of a place that a client names.
const SOURCES_MAX: usize = 1_000;
/// What stands for the place in an archive that has nothing in it.
const NOWHERE: &str = "0";

/// A place in the archive: how far each source's chain has been read. A source that is not in it has not been read at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Position(BTreeMap<String, Head>);

impl Position {
    pub(super) fn at(heads: &BTreeMap<String, Head>) -> Self {
        Self(heads.clone())
    }

    /// Without what is not there: a database that was set back has shorter chains than a client may have read.
    pub(super) fn within(mut self, heads: &BTreeMap<String, Head>) -> Self {
        self.0.retain(|source, _| heads.contains_key(source));
        for (source, own) in &mut self.0 {
            if let Some(head) = heads.get(source).filter(|head| head.seq < own.seq) {
                *own = head.clone();
            }
        }
        self
    }

    /// Of one source only, where one is wanted.
    pub(super) fn only(mut self, source: Option<&str>) -> Self {
        self.0.retain(|own, _| source.is_none_or(|source| source == own));
        self
    }

    pub(super) fn of(&self, source: &str) -> Head {
        self.0.get(source).cloned().unwrap_or(Head { seq: 0, day: None })
    }

    pub(super) fn set(&mut self, source: &str, head: Head) {
        self.0.insert(source.to_owned(), head);
    }
}

impl Display for Position {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(NOWHERE);
        }
        for (place, (source, head)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{source}:{}", head.seq)?;
        }
        Ok(())
    }
}

/// That a text is no place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        if text == NOWHERE {
            return Ok(Self::default());
        }
        let mut places = BTreeMap::new();
        for part in text.split(',') {
            let (source, seq) = part.split_once(':').ok_or(NoPosition)?;
            let source = SourceName::parse(source).map_err(|_| NoPosition)?;
            let seq = seq.parse().ok().filter(|seq: &i64| *seq >= 0).ok_or(NoPosition)?;
            places.insert(source.as_str().to_owned(), Head { seq, day: None });
            if places.len() > SOURCES_MAX {
                return Err(NoPosition);
            }
        }
        Ok(Self(places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written_and_nothing_else_is() {
        for text in ["0", "main-game:12", "a:0,b_2:9223372036854775807"] {
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
        for bad in ["", "a", "a:", "a:-1", "A:1", "a:1,", "a:1;b:2", "a:9223372036854775808", "a:x"] {
            assert_eq!(bad.parse::<Position>(), Err(NoPosition), "{bad}");
        }
    }

    #[test]
    fn a_place_behind_the_end_is_the_end() {
        let heads = BTreeMap::from([("a".to_owned(), Head { seq: 5, day: Some("2026-11-22".to_owned()) })]);
        let within = "a:7,gone:3".parse::<Position>().unwrap().within(&heads);
        assert_eq!(within, Position::at(&heads));
        assert_eq!("a:4".parse::<Position>().unwrap().within(&heads).to_string(), "a:4");
        assert_eq!("a:4,b:1".parse::<Position>().unwrap().only(Some("b")).to_string(), "b:1");
    }
}
