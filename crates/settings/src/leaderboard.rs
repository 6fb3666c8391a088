//! `[leaderboards.NAME]`: what is ranked, over which time, and who may stand there.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::boards::{Board, BoardName, Direction, Metric, SeasonKind};
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::money::CurrencyCode;
use matchpurse_service_kit::config::{join, nearest};
use serde::{Deserialize, Serialize};

/// A board as it is written.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct LeaderboardTable {
    metric: String,
    #[serde(default = "direction_default")]
    direction: String,
    #[serde(default = "season_default")]
    season: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    game: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sources: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    #[serde(default)]
    min_matches: u32,
    #[serde(default)]
    exclude_banned: bool,
}

/// Checks every board; each problem goes to `add` with its dotted key. `games` has the sources of each game.
pub(crate) fn boards(
    tables: &BTreeMap<String, LeaderboardTable>,
    games: &BTreeMap<String, BTreeSet<SourceName>>,
    add: &mut dyn FnMut(&str, String),
) -> BTreeMap<BoardName, Board> {
    let mut boards = BTreeMap::new();
    for (name, table) in tables {
        let key = join("leaderboards", name);
        let name = BoardName::parse(name).map_err(|error| add(&key, error.to_string())).ok();
        let board = table.board(name, games, &mut |inner, what| add(&join(&key, inner), what));
        boards.extend(board.map(|board| (board.name.clone(), board)));
    }
    boards
}

impl LeaderboardTable {
    /// A board as it would be written.
    pub(crate) fn of(board: &Board) -> Self {
        // The game has its sources.
        let sources = board.sources.iter().flatten().filter(|_| board.game.is_none());
        Self {
            metric: board.metric.as_str().to_owned(),
            direction: board.direction.as_str().to_owned(),
            season: board.season.as_str().to_owned(),
            game: board.game.clone(),
            sources: sources.map(|source| source.as_str().to_owned()).collect(),
            currency: board.currency.as_ref().map(|currency| currency.as_str().to_owned()),
            min_matches: board.min_matches,
            exclude_banned: board.exclude_banned,
        }
    }

    fn board(
        &self,
        name: Option<BoardName>,
        games: &BTreeMap<String, BTreeSet<SourceName>>,
        add: &mut dyn FnMut(&str, String),
    ) -> Option<Board> {
        let metric = one_of(&self.metric, Metric::all().map(Metric::as_str), Metric::parse, "metric", add);
        let directions = [Direction::Descending, Direction::Ascending].map(Direction::as_str);
        let direction = one_of(&self.direction, directions, Direction::parse, "direction", add);
        let seasons = SeasonKind::ALL.map(SeasonKind::as_str);
        let season = one_of(&self.season, seasons, SeasonKind::parse, "season", add);
        let sources = self.sources(games, add);
        let currency = metric.and_then(|metric| self.currency(metric, add));
        if metric == Some(Metric::Skill) && self.game.is_none() {
            add("game", "must be given: a player has another skill in every game".to_owned());
            return None;
        }
        Some(Board {
            name: name?,
            metric: metric?,
            direction: direction?,
            season: season?,
            game: self.game.clone(),
            sources: sources?,
            currency: currency?,
            min_matches: self.min_matches,
            exclude_banned: self.exclude_banned,
        })
    }

    /// The sources whose matches count: those of the game, those that are listed, or all.
    #[expect(clippy::option_option, reason = "none stands for a problem, some none for all sources")]
    fn sources(
        &self,
        games: &BTreeMap<String, BTreeSet<SourceName>>,
        add: &mut dyn FnMut(&str, String),
    ) -> Option<Option<BTreeSet<SourceName>>> {
        if let Some(game) = &self.game {
            if !self.sources.is_empty() {
                add("sources", "stands beside `game`, which has its sources; give one of the two".to_owned());
                return None;
            }
            let known = games.keys().map(String::as_str);
            let sources = games.get(game);
            if sources.is_none() {
                add("game", format!("no source has the game {game:?}{}", hint(game, known)));
            }
            return Some(Some(sources?.clone()));
        }
        if self.sources.is_empty() {
            return Some(None);
        }
        let all: BTreeSet<&SourceName> = games.values().flatten().collect();
        let (mut chosen, mut sound) = (BTreeSet::new(), true);
        for (place, text) in (1_usize..).zip(&self.sources) {
            let found = all.iter().find(|source| source.as_str() == text);
            let problem = match found {
                None => {
                    Some(format!("there is no source {text:?}{}", hint(text, all.iter().map(|s| s.as_str()))))
                }
                Some(source) if chosen.insert((*source).clone()) => None,
                Some(_) => Some(format!("{text:?} stands there twice")),
            };
            if let Some(problem) = problem {
                sound = false;
                add("sources", format!("number {place}: {problem}"));
            }
        }
        sound.then_some(Some(chosen))
    }

    /// Amounts have one, and nothing else has.
    #[expect(clippy::option_option, reason = "none stands for a problem, some none for no currency")]
    fn currency(&self, metric: Metric, add: &mut dyn FnMut(&str, String)) -> Option<Option<CurrencyCode>> {
        match (&self.currency, metric.is_money()) {
            (None, false) => Some(None),
            (None, true) => {
                let what = "must be given: amounts of two currencies are not compared";
                add("currency", what.to_owned());
                None
            }
            (Some(_), false) => {
                add("currency", format!("`{}` is no amount, so leave it out", metric.as_str()));
                None
            }
            (Some(text), true) => {
                CurrencyCode::parse(text).map(Some).map_err(|error| add("currency", error.to_string())).ok()
            }
        }
    }
}

/// What `text` says, one of `words`.
fn one_of<T>(
    text: &str,
    words: impl IntoIterator<Item = &'static str>,
    parse: impl Fn(&str) -> Option<T>,
    key: &str,
    add: &mut dyn FnMut(&str, String),
) -> Option<T> {
    let parsed = parse(text);
    if parsed.is_none() {
        let words: Vec<&str> = words.into_iter().collect();
        let hint = hint(text, words.iter().copied());
        add(key, format!("{text:?} is not one of {}{hint}", words.join(", ")));
    }
    parsed
}

fn hint<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    nearest(text, candidates).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

fn direction_default() -> String {
    Direction::default().as_str().to_owned()
}

fn season_default() -> String {
    SeasonKind::All.as_str().to_owned()
}
