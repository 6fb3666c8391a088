//! What players did in all their matches: figures over all identities of a person, and over each.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_domain::stats::{Form, Totals};
use matchpurse_store::Client;
use matchpurse_store::links::{self, Identity};
use matchpurse_store::stats::{
    Place, PlayedMatch, Record, form_of, kicks_of, matches_of, record_form_of, records_of, totals_of,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::Api;
use crate::cursor::{self, List};
use crate::failure::{Failure, Result};
use crate::figures::{Counters, Figures, FormView};
use crate::links::IdentityView;
use crate::moment::Moment;
use crate::request::{self, Query, unknown_player};
use crate::wire::{Amount, Page, answer, answer_one, cut, one_more};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatisticsQuery {
    identity_only: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MatchesQuery {
    identity_only: Option<bool>,
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PlayerStatistics)]
pub(crate) struct Profile {
    pub(crate) source: String,
    pub(crate) player_id: String,
    /// Over all identities that are shown.
    #[serde(flatten)]
    pub(crate) all: Sums,
    /// The person's identities, each with its own.
    pub(crate) identities: Vec<OneIdentity>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = IdentityStatistics)]
pub(crate) struct OneIdentity {
    #[serde(flatten)]
    identity: IdentityView,
    #[serde(flatten)]
    own: Sums,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatisticsSums)]
pub(crate) struct Sums {
    pub(crate) statistics: Statistics,
    pub(crate) record: RecordView,
}

/// Matches on game servers.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerRecord)]
pub(crate) struct Statistics {
    pub(crate) matches: i64,
    pub(crate) wins: i64,
    pub(crate) losses: i64,
    pub(crate) draws: i64,
    pub(crate) rounds: i64,
    #[schema(value_type = crate::openapi::CountersView)]
    pub(crate) counters: Counters<i64>,
    pub(crate) figures: Figures,
    #[serde(flatten)]
    pub(crate) form: FormView,
    /// How often the player was voted out of a match.
    pub(crate) kicks: i64,
}

/// Settled matches for stakes.
#[derive(Serialize, ToSchema)]
#[schema(as = StakesRecord)]
pub(crate) struct RecordView {
    pub(crate) matches: i64,
    pub(crate) wins: i64,
    pub(crate) losses: i64,
    pub(crate) ties: i64,
    #[serde(flatten)]
    pub(crate) form: FormView,
    pub(crate) currencies: Vec<CurrencyView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CurrencyRecord)]
pub(crate) struct CurrencyView {
    pub(crate) matches: i64,
    pub(crate) stakes: Amount,
    pub(crate) winnings: Amount,
    pub(crate) refunds: Amount,
    pub(crate) net: Amount,
    pub(crate) last_match_at: Moment,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PlayedMatch)]
pub(crate) struct MatchLine {
    source: String,
    match_id: String,
    player_id: String,
    ended_at: Moment,
    map: Option<String>,
    rounds: u32,
    team1_score: Option<u32>,
    team2_score: Option<u32>,
    /// `team1`, `team2` or `draw`; none where a score is missing.
    result: Option<&'static str>,
    side: &'static str,
    outcome: Option<&'static str>,
    nickname: String,
    #[schema(value_type = crate::openapi::CountersView)]
    counters: Counters<i32>,
    figures: Figures,
}

/// Everything that the profile of some identities needs, read once.
struct Read {
    totals: BTreeMap<Uuid, Totals>,
    kicks: BTreeMap<Uuid, i64>,
    records: Vec<Record>,
}

impl Read {
    async fn of(client: &Client, keys: &[Uuid]) -> Result<Self> {
        Ok(Self {
            totals: totals_of(client, keys).await?,
            kicks: kicks_of(client, keys).await?,
            records: records_of(client, keys).await?,
        })
    }

    /// The sums over some of the identities that were read.
    async fn sums(&self, client: &Client, keys: &[Uuid]) -> Result<Sums> {
        let mut totals = Totals::default();
        keys.iter().filter_map(|key| self.totals.get(key)).for_each(|own| totals.add(own));
        let mut by_currency: BTreeMap<&str, Record> = BTreeMap::new();
        for record in self.records.iter().filter(|record| keys.contains(&record.player_key)) {
            let sum = by_currency.entry(&record.currency);
            sum.and_modify(|sum| sum.add(record)).or_insert_with(|| record.clone());
        }
        let kicks = keys.iter().filter_map(|key| self.kicks.get(key)).sum();
        let statistics = Statistics::of(totals, form_of(client, keys).await?, kicks);
        let record = RecordView::of(by_currency.into_values().collect(), record_form_of(client, keys).await?);
        Ok(Sums { statistics, record })
    }
}

impl Statistics {
    fn of(totals: Totals, form: Form, kicks: i64) -> Self {
        Self {
            matches: totals.matches,
            wins: totals.wins,
            losses: totals.losses,
            draws: totals.draws,
            rounds: totals.rounds,
            counters: Counters(totals.counters),
            figures: Figures::of(totals),
            form: form.into(),
            kicks,
        }
    }
}

impl RecordView {
    fn of(records: Vec<Record>, form: Form) -> Self {
        let sum = |count: fn(&Record) -> i64| records.iter().map(count).fold(0, i64::saturating_add);
        Self {
            matches: sum(|record| record.matches),
            wins: sum(|record| record.wins),
            losses: sum(|record| record.losses),
            ties: sum(|record| record.ties),
            form: form.into(),
            currencies: records.iter().map(CurrencyView::of).collect(),
        }
    }
}

impl CurrencyView {
    fn of(record: &Record) -> Self {
        let amount = |minor_units| Amount::new(minor_units, &record.currency);
        Self {
            matches: record.matches,
            stakes: amount(record.stakes),
            winnings: amount(record.winnings),
            refunds: amount(record.refunds),
            net: amount(record.net()),
            last_match_at: record.last_at.into(),
        }
    }
}

impl MatchLine {
    fn of(played: PlayedMatch) -> Self {
        let PlayedMatch { key, map, scores: [team1_score, team2_score], rounds, winner, place, line } =
            played;
        Self {
            source: key.source.as_str().to_owned(),
            match_id: key.match_id,
            player_id: line.player_id.as_str().to_owned(),
            ended_at: place.ended_at.into(),
            map,
            rounds,
            team1_score,
            team2_score,
            result: winner.map(|winner| winner.as_str()),
            side: line.side.as_str(),
            outcome: line.outcome.map(|outcome| outcome.as_str()),
            figures: Figures::of_one_match(line.totals(rounds)),
            counters: Counters(line.counters.0),
            nickname: line.nickname,
        }
    }
}

/// The identities to look at: the person's, or only this one.
async fn identities(
    client: &Client,
    identity: &Identity,
    only: bool,
    unknown: Failure,
) -> Result<Vec<Identity>> {
    if !links::is_known(client, identity).await? {
        return Err(unknown);
    }
    if only {
        return Ok(vec![identity.clone()]);
    }
    Ok(links::person_of(client, identity).await?.into_iter().collect())
}

/// `GET /players/{source}/{player}/statistics`
pub(crate) async fn statistics(
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    query: Query<StatisticsQuery>,
) -> Result<HttpResponse> {
    let identity = request::identity(path.into_inner())?;
    let unknown = api.not_found(&identity.source, unknown_player());
    let only = query.0.identity_only.unwrap_or_default();
    let store = api.store.clone();
    let shown =
        api.run(async move { profile_of(&store.client().await?, &identity, only, unknown).await }).await?;
    Ok(answer_one(&shown))
}

/// The figures of a person, or of one identity only.
pub(crate) async fn profile_of(
    client: &Client,
    identity: &Identity,
    only: bool,
    unknown: Failure,
) -> Result<Profile> {
    let person = identities(client, identity, only, unknown).await?;
    let keys: Vec<Uuid> = person.iter().map(Identity::key).collect();
    let read = Read::of(client, &keys).await?;
    let all = read.sums(client, &keys).await?;
    let mut identities = Vec::with_capacity(person.len());
    for (one, key) in person.iter().zip(keys) {
        identities.push(OneIdentity { identity: one.into(), own: read.sums(client, &[key]).await? });
    }
    let IdentityView { source, player_id } = identity.into();
    Ok(Profile { source, player_id, all, identities })
}

/// `GET /players/{source}/{player}/matches`
pub(crate) async fn matches(
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    query: Query<MatchesQuery>,
) -> Result<HttpResponse> {
    let identity = request::identity(path.into_inner())?;
    let unknown = api.not_found(&identity.source, unknown_player());
    let MatchesQuery { identity_only, cursor, limit } = query.0;
    let before = request::cursor(List::PlayedMatches, cursor.as_deref(), place)?;
    let (limit, only) = (request::limit(limit.as_deref())?, identity_only.unwrap_or_default());
    let store = api.store.clone();
    let found = api
        .run(async move {
            let client = store.client().await?;
            let person = identities(&client, &identity, only, unknown).await?;
            let keys: Vec<Uuid> = person.iter().map(Identity::key).collect();
            Ok(matches_of(&client, &keys, before, one_more(limit)).await?)
        })
        .await?;
    let (found, next) = cut(List::PlayedMatches, found, limit, |last| {
        let Place { ended_at, stats_key, player_key } = last.place;
        format!("{}.{stats_key}.{player_key}", ended_at.micros())
    });
    let items: Vec<MatchLine> = found.into_iter().map(MatchLine::of).collect();
    Ok(answer(StatusCode::OK, &Page { items, next }))
}

/// The place of a cursor.
fn place(text: &str) -> Option<Place> {
    let mut parts = text.split('.');
    let place = Place {
        ended_at: cursor::time(parts.next()?)?,
        stats_key: Uuid::parse_str(parts.next()?).ok()?,
        player_key: Uuid::parse_str(parts.next()?).ok()?,
    };
    parts.next().is_none().then_some(place)
}
