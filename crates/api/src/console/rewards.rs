//! Rewards by their states, and one reward's story with what people may decide about it.

use actix_web::{HttpResponse, web};
use askama::Template;
use matchpurse_domain::grants::{ContestKind, Grant, GrantState};
use matchpurse_domain::ids::PlayerId;
use matchpurse_operations::rewards as operations;
use matchpurse_store::grants::{self, GrantFilter, GrantLine};
use matchpurse_store::now;
use matchpurse_store::redemptions::{self, CallLine, CallState};
use serde::Deserialize;

use super::sendings::{Sending, outcome};
use super::{
    Act, Chip, Chrome, Money, Pager, Section, Select, Tone, Visitor, When, address, done, encoded, form_key,
    given, html, matches, players,
};
use crate::api::Api;
use crate::cursor::List;
use crate::failure::{Failure, Result};
use crate::refusal::{of_reward, unknown_reward};
use crate::request::{self, Query};
use crate::rewards::{self, Told, author, told_about};
use crate::wire::{cut, one_more};

/// Rewards of a page.
const ROWS: u32 = 50;
const HOME: &str = "/console/rewards";

#[derive(Deserialize)]
pub(super) struct ListQuery {
    state: Option<String>,
    source: Option<String>,
    player: Option<String>,
    contest: Option<String>,
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "rewards.html")]
struct RewardsPage {
    chrome: Chrome,
    selects: [Select; 2],
    player: String,
    contest: String,
    filtered: bool,
    /// What waits for a person, with the address of the list of it.
    attention: Vec<(String, Chip)>,
    rows: Vec<Row>,
    pager: Pager,
}

/// A reward in a list.
pub(super) struct Row {
    pub(super) path: String,
    pub(super) what: What,
    pub(super) state: Chip,
    pub(super) reason: String,
    pub(super) source: String,
    pub(super) player: String,
    pub(super) player_path: String,
    pub(super) contest: String,
    pub(super) created: When,
}

/// What a reward is.
pub(super) struct What {
    pub(super) kind: &'static str,
    pub(super) amount: Option<Money>,
    pub(super) value: Option<String>,
}

#[derive(Template)]
#[template(path = "reward.html")]
struct RewardPage {
    chrome: Chrome,
    row: Row,
    id: String,
    contest_kind: &'static str,
    contest_path: Option<String>,
    reward_ref: String,
    updated: When,
    detail: Option<String>,
    payload: Option<String>,
    operations: Vec<Operation>,
    notices: Vec<Notice>,
    call: Option<Call>,
    /// For a form that is sent twice.
    key: String,
    may_release: bool,
    may_reverse: bool,
    may_retry: bool,
}

struct Operation {
    at: When,
    what: String,
    actor: String,
    reason: String,
}

struct Notice {
    kind: String,
    written: When,
    sendings: Vec<Sending>,
}

/// What the provider is told.
struct Call {
    state: Chip,
    redeemed: When,
    next: Option<When>,
    last: Option<(When, Chip, String)>,
}

#[derive(Deserialize)]
pub(super) struct Decision {
    reason: String,
    key: Option<String>,
}

/// The address of a reward's page.
pub(super) fn path_of(id: impl std::fmt::Display) -> String {
    format!("{HOME}/{id}")
}

/// Where a reward is, in a word.
pub(super) fn state(state: GrantState) -> Chip {
    let tone = match state {
        GrantState::Fulfilled => Tone::Good,
        GrantState::Granted | GrantState::Delivering => Tone::Busy,
        GrantState::NeedsReview => Tone::Warn,
        GrantState::Failed => Tone::Bad,
        GrantState::Reserved | GrantState::Recorded | GrantState::Released | GrantState::Reversed => {
            Tone::Quiet
        }
    };
    Chip::new(tone, state.as_str().replace('_', " "))
}

impl Row {
    pub(super) fn of(api: &Api, line: &GrantLine) -> Self {
        let (source, player) = (line.contest.source.as_str(), line.slot.player_id.as_str());
        Self {
            path: path_of(line.id),
            what: What::of(api, &line.grant),
            state: state(line.grant.state),
            reason: line.grant.reason.map(|reason| reason.as_str().replace('_', " ")).unwrap_or_default(),
            source: source.to_owned(),
            player: player.to_owned(),
            player_path: players::path_of(source, player),
            contest: line.contest.contest_id.clone(),
            created: When::new(line.created_at),
        }
    }
}

impl What {
    fn of(api: &Api, grant: &Grant) -> Self {
        let amount = grant.amount.as_ref();
        Self {
            kind: grant.kind.as_str(),
            amount: amount.map(|money| Money::new(api, money.minor_units, money.currency.as_str())),
            value: grant.value.clone(),
        }
    }
}

impl Call {
    fn of(line: CallLine) -> Self {
        let tone = match line.state {
            CallState::Told => Tone::Good,
            CallState::Waiting => Tone::Busy,
            CallState::Held => Tone::Warn,
            CallState::Refused | CallState::GivenUp => Tone::Bad,
            CallState::Withdrawn => Tone::Quiet,
        };
        Self {
            state: Chip::new(tone, line.state.as_str().replace('_', " ")),
            redeemed: When::new(line.redeemed_at),
            next: line.next_attempt_at.map(When::new),
            last: line
                .last
                .map(|(what, at)| (When::new(at), outcome(what, line.last_status), line.last_detail)),
        }
    }
}

/// `GET /console/rewards`
pub(super) async fn list(
    api: web::Data<Api>,
    visitor: Visitor,
    query: Query<ListQuery>,
) -> Result<HttpResponse> {
    let ListQuery { state: asked, source, player, contest, cursor } = query.0;
    let (asked, source) = (given(asked), given(source));
    let (player, contest) = (given(player), given(contest));
    let wanted = asked.as_deref().map(rewards::state_of_query).transpose()?;
    let of = request::source_of_query(source.as_deref())?;
    let whose = request::id_of_query("player", player.clone(), of.as_ref())?;
    let about = request::id_of_query("contest", contest.clone(), of.as_ref())?;
    let before = request::cursor(List::Rewards, cursor.as_deref(), rewards::place)?;
    let whose = of.map(|source| (source, whose.map(PlayerId::new)));
    let filter = GrantFilter { state: wanted, whose, contest: about, before };
    let store = api.store.clone();
    let (found, waiting) = api
        .run(async move {
            let client = store.client().await?;
            Ok((grants::list(&client, &filter, one_more(ROWS)).await?, grants::waiting(&client).await?))
        })
        .await?;
    let place = |last: &GrantLine| format!("{}.{}", last.created_at.micros(), last.id);
    let (found, next) = cut(List::Rewards, found, ROWS, place);
    let parts = [
        ("state", asked.as_deref()),
        ("source", source.as_deref()),
        ("player", player.as_deref()),
        ("contest", contest.as_deref()),
    ];
    let own = address(HOME, &parts);
    let states = GrantState::ALL.map(GrantState::as_str);
    html(&RewardsPage {
        chrome: visitor.chrome(Section::Rewards),
        selects: [
            Select::new("state", "State", "any", states, asked.as_deref()),
            Select::new("source", "Source", "any", api.sources(), source.as_deref()),
        ],
        filtered: parts.iter().any(|(_, part)| part.is_some()),
        attention: attention(&waiting),
        rows: found.iter().map(|line| Row::of(&api, line)).collect(),
        pager: Pager::new(&own, cursor.is_none(), next),
        player: player.unwrap_or_default(),
        contest: contest.unwrap_or_default(),
    })
}

/// What waits for a person, counted no further than there is need to.
fn attention(waiting: &[(GrantState, i64)]) -> Vec<(String, Chip)> {
    let line = |(state, count): &(GrantState, i64)| {
        let tone = if *state == GrantState::Failed { Tone::Bad } else { Tone::Warn };
        let more = if *count >= grants::COUNTED_MAX { " or more" } else { "" };
        let text = format!("{}{more} {}", super::count(*count), state.as_str().replace('_', " "));
        (address(HOME, &[("state", Some(state.as_str()))]), Chip::new(tone, text))
    };
    waiting.iter().filter(|(_, count)| *count > 0).map(line).collect()
}

/// `GET /console/rewards/{grant_id}`
pub(super) async fn one(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
) -> Result<HttpResponse> {
    let id = rewards::grant(&path)?;
    let store = api.store.clone();
    let (line, recorded, told, call) = api
        .run(async move {
            let client = store.client().await?;
            let line = grants::find(&client, id).await?.ok_or_else(unknown_reward)?;
            let recorded = grants::operations(&client, id).await?;
            let told = told_about(&client, &line.contest.source, &id.to_string()).await?;
            Ok((line, recorded, told, redemptions::of_grant(&client, id).await?))
        })
        .await?;
    let now_in = line.grant.state;
    let given = matches!(
        now_in,
        GrantState::Granted | GrantState::Delivering | GrantState::Fulfilled | GrantState::Failed
    );
    let source = line.contest.source.as_str();
    let contest_path = match line.contest.kind {
        ContestKind::Contest | ContestKind::Match => Some(matches::path_of(source, &line.contest.contest_id)),
        ContestKind::Postback | ContestKind::Conversion => None,
    };
    html(&RewardPage {
        chrome: visitor.chrome(Section::Rewards),
        row: Row::of(&api, &line),
        id: line.id.to_string(),
        contest_kind: line.contest.kind.as_str(),
        contest_path,
        reward_ref: line.slot.reward_ref.clone(),
        updated: When::new(line.updated_at),
        detail: line.grant.detail.clone(),
        payload: line.grant.payload.as_deref().map(pretty),
        operations: recorded
            .into_iter()
            .map(|own| Operation {
                at: When::new(own.at),
                what: own.kind.trim_start_matches("reward_").to_owned(),
                actor: own.actor,
                reason: own.reason,
            })
            .collect(),
        notices: told.into_iter().map(notice).collect(),
        call: call.map(Call::of),
        key: form_key(),
        may_release: now_in == GrantState::NeedsReview,
        may_reverse: given || now_in == GrantState::NeedsReview,
        may_retry: given,
    })
}

fn notice(told: Told) -> Notice {
    Notice {
        kind: told.notice.kind,
        written: When::new(told.notice.created_at),
        sendings: told.deliveries.into_iter().map(|(line, attempts)| Sending::of(line, attempts)).collect(),
    }
}

/// JSON over several lines; where that would change a digit (an amount of 1.10 is no 1.1), as it was kept.
pub(super) fn pretty(text: &str) -> String {
    let read: serde_json::Result<serde_json::Value> = serde_json::from_str(text);
    let same = read.ok().and_then(|value| {
        // A number that is not kept to the digit would show another one than the studio gets.
        let again = serde_json::to_string(&value).ok()?;
        let tight = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
        (tight(&again) == tight(text)).then(|| serde_json::to_string_pretty(&value).ok()).flatten()
    });
    same.unwrap_or_else(|| text.to_owned())
}

/// `POST /console/rewards/{grant_id}/release`
pub(super) async fn release(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
    form: Act<Decision>,
) -> Result<HttpResponse> {
    let (id, author) = (rewards::grant(&path)?, author(&visitor.actor, &form.0.reason)?);
    let store = api.store.clone();
    api.run(async move { operations::release(&store, id, &author, now()).await.map_err(of_reward) }).await?;
    tracing::info!(grant = %id, actor = visitor.actor.as_str(), kind = "reward_release", "reward");
    Ok(done(&path_of(id), "The reward is given: the studio is being told."))
}

/// `POST /console/rewards/{grant_id}/reverse`
pub(super) async fn reverse(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
    form: Act<Decision>,
) -> Result<HttpResponse> {
    let (id, author) = (rewards::grant(&path)?, author(&visitor.actor, &form.0.reason)?);
    let store = api.store.clone();
    api.run(async move { operations::reverse(&store, id, &author, now()).await.map_err(of_reward) }).await?;
    tracing::info!(grant = %id, actor = visitor.actor.as_str(), kind = "reward_reversal", "reward");
    Ok(done(&path_of(id), "The reward is taken back."))
}

/// `POST /console/rewards/{grant_id}/retry`
pub(super) async fn retry(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
    form: Act<Decision>,
) -> Result<HttpResponse> {
    let (id, author) = (rewards::grant(&path)?, author(&visitor.actor, &form.0.reason)?);
    let key = key(form.0.key)?;
    let store = api.store.clone();
    api.run(async move { operations::retry(&store, id, &author, &key, now()).await.map_err(of_reward) })
        .await?;
    tracing::info!(grant = %id, actor = visitor.actor.as_str(), kind = "reward_retry", "reward");
    Ok(done(&path_of(id), "What had not arrived is sent again."))
}

/// The key of a form that must be done once.
pub(super) fn key(sent: Option<String>) -> Result<String> {
    let fit =
        |key: &String| (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    sent.filter(fit).ok_or_else(|| Failure::invalid_body("key", "open the page again, and send its form"))
}

/// The addresses of a player's rewards.
pub(super) fn of_player(source: &str, player: &str) -> String {
    format!("{HOME}?source={}&player={}", encoded(source), encoded(player))
}
