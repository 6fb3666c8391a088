//! Players: looking for one, and all that is known of one.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use askama::Template;
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::money::format_major;
use matchpurse_operations::erasures::Author;
use matchpurse_store::boards::{RatingLine, ratings_of};
use matchpurse_store::escrow::{MatchFilter, MatchLine, PlayerMoney, list_matches, money_of};
use matchpurse_store::grants::{self, GrantFilter};
use matchpurse_store::links::{self, Identity};
use matchpurse_store::player_search::{self, PlayerLine};
use matchpurse_store::{Client, story};
use serde::Deserialize;

use super::{
    Act, Chip, Chrome, Money, Pager, Section, Select, Tone, Visitor, When, address, count, done, encoded,
    form_key, given, html, matches, rewards,
};
use crate::api::Api;
use crate::body::reason;
use crate::cursor::List;
use crate::erasures;
use crate::failure::{Failure, Result};
use crate::player_statistics::{CurrencyView, Profile, profile_of};
use crate::request::{self, Query, unknown_player};
use crate::wire::{cut, one_more};

const HOME: &str = "/console/players";
/// Players of a page.
const ROWS: u32 = 50;
/// Matches and rewards of one player's page; the lists have the others.
const LAST: u32 = 10;
/// Lines of a story.
const LINES: usize = 60;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    q: Option<String>,
    source: Option<String>,
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "players.html")]
struct PlayersPage {
    chrome: Chrome,
    select: Select,
    asked: String,
    /// Without a source only whole ids are looked for.
    whole_only: bool,
    searched: bool,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    path: String,
    source: String,
    player: String,
    first_seen: When,
}

#[derive(Template)]
#[template(path = "player.html")]
struct PlayerPage {
    chrome: Chrome,
    source: String,
    player: String,
    balances: Vec<Balance>,
    stakes: Vec<Stakes>,
    server: Server,
    identities: Vec<(String, String, String)>,
    ratings: Vec<Rating>,
    matches: Vec<Played>,
    matches_path: String,
    rewards: Vec<rewards::Row>,
    rewards_path: String,
    lines: Vec<(When, String, String, Option<Money>)>,
    path: String,
    /// Of the form that erases.
    key: String,
}

struct Balance {
    currency: String,
    available: Money,
    held: Money,
    account: i64,
}

/// What was won and lost in one currency.
struct Stakes {
    matches: String,
    stakes: Money,
    winnings: Money,
    refunds: Money,
    net: Money,
    last: When,
}

/// Matches on game servers.
struct Server {
    matches: i64,
    record: String,
    rounds: String,
    kicks: i64,
}

struct Rating {
    game: String,
    skill: String,
    uncertainty: String,
    matches: String,
    incomplete: bool,
}

struct Played {
    path: String,
    match_id: String,
    kind: &'static str,
    status: Chip,
    pot: Money,
    created: When,
}

/// The address of a player's page.
pub(super) fn path_of(source: &str, player: &str) -> String {
    format!("{HOME}/{}/{}", encoded(source), encoded(player))
}

impl Row {
    fn of(line: &PlayerLine) -> Self {
        let Identity { source, player_id } = &line.identity;
        Self {
            path: path_of(source.as_str(), player_id.as_str()),
            source: source.as_str().to_owned(),
            player: player_id.as_str().to_owned(),
            first_seen: When::new(line.first_seen_at),
        }
    }
}

/// `GET /console/players`
pub(super) async fn list(
    api: web::Data<Api>,
    visitor: Visitor,
    query: Query<ListQuery>,
) -> Result<HttpResponse> {
    let ListQuery { q, source, cursor } = query.0;
    let (asked, source) = (given(q), given(source));
    let of = request::source_of_query(source.as_deref())?;
    let asked = asked.map(|text| request::id_text("q", text)).transpose()?;
    let read = |place: &str| request::is_id(place).then(|| place.to_owned());
    let after = request::cursor(List::Players, cursor.as_deref(), read)?;
    // One source is as good as chosen.
    let mut all = api.sources().filter_map(|name| SourceName::parse(name).ok());
    let only = if api.sources().count() == 1 { all.next() } else { None };
    let of = of.or(only);
    let whole_only = of.is_none();
    let everywhere: Vec<Identity> = asked
        .iter()
        .flat_map(|id| api.sources().map(move |source| (source, id)))
        .filter_map(|(source, id)| {
            Some(Identity { source: SourceName::parse(source).ok()?, player_id: PlayerId::new(id.clone()) })
        })
        .collect();
    let (store, beginning) = (api.store.clone(), asked.clone().unwrap_or_default());
    let found = api
        .run(async move {
            let client = store.client().await?;
            match of {
                Some(of) => {
                    let limit = one_more(ROWS);
                    let after = after.as_deref();
                    Ok(player_search::beginning_with(&client, &of, &beginning, after, limit).await?)
                }
                None => Ok(player_search::known_of(&client, &everywhere).await?),
            }
        })
        .await?;
    let place = |last: &PlayerLine| last.identity.player_id.as_str().to_owned();
    let (found, next) = cut(List::Players, found, ROWS, place);
    let own = address(HOME, &[("q", asked.as_deref()), ("source", source.as_deref())]);
    html(&PlayersPage {
        chrome: visitor.chrome(Section::Players),
        select: Select::new("source", "Source", "every source", api.sources(), source.as_deref()),
        whole_only,
        searched: asked.is_some(),
        rows: found.iter().map(Row::of).collect(),
        pager: Pager::new(&own, cursor.is_none(), next),
        asked: asked.unwrap_or_default(),
    })
}

/// What a page of one player is made of.
struct Known {
    profile: Profile,
    person: BTreeSet<Identity>,
    money: Vec<PlayerMoney>,
    ratings: Vec<RatingLine>,
    matches: Vec<MatchLine>,
    grants: Vec<grants::GrantLine>,
    lines: Vec<story::Line>,
}

impl Known {
    async fn of(client: &Client, own: &Identity) -> Result<Self> {
        let whose = Some((own.source.clone(), Some(own.player_id.clone())));
        let filter = MatchFilter { whose: whose.clone(), ..MatchFilter::default() };
        let rewards = GrantFilter { whose, ..GrantFilter::default() };
        let story = story::of_player(client, &own.source, &own.player_id).await?;
        let mut lines = story.map(|story| story.lines).unwrap_or_default();
        lines.reverse();
        lines.truncate(LINES);
        Ok(Self {
            profile: profile_of(client, own, false, unknown_player()).await?,
            person: links::person_of(client, own).await?,
            money: money_of(client, &own.source, &own.player_id).await?.unwrap_or_default(),
            ratings: ratings_of(client, own.key(), 0).await?,
            matches: list_matches(client, &filter, None, LAST).await?.lines,
            grants: grants::list(client, &rewards, LAST).await?,
            lines,
        })
    }
}

/// `GET /console/players/{source}/{player}`
pub(super) async fn one(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse> {
    let own = request::identity(path.into_inner())?;
    let unknown = api.not_found(&own.source, unknown_player());
    let (store, identity) = (api.store.clone(), own.clone());
    let known = api
        .run(async move {
            let client = store.client().await?;
            if !links::is_known(&client, &identity).await? {
                return Err(unknown);
            }
            Known::of(&client, &identity).await
        })
        .await?;
    let (source, player) = (own.source.as_str(), own.player_id.as_str());
    let others = known.person.iter().filter(|other| **other != own);
    let statistics = &known.profile.all.statistics;
    html(&PlayerPage {
        chrome: visitor.chrome(Section::Players),
        balances: known.money.iter().map(|money| Balance::of(&api, money)).collect(),
        stakes: known.profile.all.record.currencies.iter().map(|record| Stakes::of(&api, record)).collect(),
        server: Server {
            matches: statistics.matches,
            record: format!("{} – {} – {}", statistics.wins, statistics.losses, statistics.draws),
            rounds: count(statistics.rounds),
            kicks: statistics.kicks,
        },
        identities: others
            .map(|other| {
                let (source, player) = (other.source.as_str(), other.player_id.as_str());
                (path_of(source, player), source.to_owned(), player.to_owned())
            })
            .collect(),
        ratings: known.ratings.iter().map(Rating::of).collect(),
        matches: known.matches.iter().map(|line| Played::of(&api, line)).collect(),
        matches_path: address("/console/matches", &[("source", Some(source)), ("player", Some(player))]),
        rewards: known.grants.iter().map(|line| rewards::Row::of(&api, line)).collect(),
        rewards_path: rewards::of_player(source, player),
        lines: known
            .lines
            .into_iter()
            .map(|line| {
                let amount = line.amount.map(|(minor, currency)| Money::new(&api, minor, &currency));
                (When::new(line.at), line.what.replace('_', " "), line.detail, amount)
            })
            .collect(),
        path: path_of(source, player),
        key: form_key(),
        source: source.to_owned(),
        player: player.to_owned(),
    })
}

#[derive(Deserialize)]
pub(super) struct Erasing {
    reason: String,
    /// The player's id, written by hand.
    confirm: String,
    key: String,
}

/// `POST /console/players/{source}/{player}/erase`
pub(super) async fn erase(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<(String, String)>,
    form: Act<Erasing>,
) -> Result<HttpResponse> {
    let own = request::identity(path.into_inner())?;
    api.policy(&own.source)?;
    let Erasing { reason: why, confirm, key } = form.0;
    if confirm.trim() != own.player_id.as_str() {
        let detail = "write the player's id as it stands on the page; nothing was changed";
        return Err(Failure::invalid_body("confirm", detail));
    }
    let actor = visitor.actor.as_str().to_owned();
    let author = Author { actor, reason: reason(&why)?, idempotency_key: key };
    let (_, erasure) = erasures::ask(&api, own, author, false).await?;
    Ok(done(HOME, &format!("The player is erased, and is {} from now on.", erasure.pseudonym)))
}

impl Balance {
    fn of(api: &Api, money: &PlayerMoney) -> Self {
        Self {
            currency: money.currency.clone(),
            available: Money::new(api, money.available, &money.currency),
            held: Money::new(api, money.held, &money.currency),
            account: money.account,
        }
    }
}

impl Stakes {
    fn of(api: &Api, record: &CurrencyView) -> Self {
        let money = |amount: &crate::wire::Amount| Money::new(api, amount.minor_units, &amount.currency);
        Self {
            matches: count(record.matches),
            stakes: money(&record.stakes),
            winnings: money(&record.winnings),
            refunds: money(&record.refunds),
            net: money(&record.net),
            last: When::new(record.last_match_at.0),
        }
    }
}

impl Rating {
    fn of(line: &RatingLine) -> Self {
        // Millionths; nobody reads more than one of their places.
        let text = |millionths: i64| format_major(millionths.saturating_add(50_000).div_euclid(100_000), 1);
        let skill = line.rated.mean.saturating_sub(line.rated.uncertainty.saturating_mul(3));
        Self {
            game: line.game.clone(),
            skill: text(skill),
            uncertainty: text(line.rated.uncertainty),
            matches: count(line.rated.matches),
            incomplete: line.recomputing_since.is_some(),
        }
    }

    fn chip(&self) -> Chip {
        if self.incomplete {
            Chip::new(Tone::Busy, "being made anew")
        } else {
            Chip::new(Tone::Good, "complete")
        }
    }
}

impl Played {
    fn of(api: &Api, line: &MatchLine) -> Self {
        Self {
            path: matches::path_of(line.source.as_str(), &line.match_id),
            match_id: line.match_id.clone(),
            kind: line.kind.as_str(),
            status: matches::status(line.status, line.settlement.as_deref()),
            pot: Money::new(api, line.pot, &line.currency),
            created: When::new(line.created_at),
        }
    }
}
