//! The studio's endpoints: how they fare, what was sent, and trying them.

use actix_web::{HttpResponse, web};
use askama::Template;
use matchpurse_domain::webhook::{EndpointName, EventPattern};
use matchpurse_operations::{deliveries, endpoints as operations};
use matchpurse_store::dispatch::{
    self, DeliveryState, Disabled, EndpointFilter, EndpointLine, OperationLine, Origin, PageFilter,
};
use matchpurse_store::now;
use serde::Deserialize;

use super::rewards::key;
use super::sendings::Sending;
use super::{
    Act, Chip, Chrome, Pager, Section, Select, Tone, Visitor, When, address, count, done, encoded, form_key,
    given, html,
};
use crate::api::Api;
use crate::cursor::List;
use crate::deliveries::state_of_query;
use crate::endpoints::name;
use crate::failure::Result;
use crate::refusal::{of_delivery, of_endpoint, unknown_endpoint};
use crate::request::{self, Query};
use crate::rewards::author;

const HOME: &str = "/console/endpoints";
/// All that there are; a studio has a handful.
const ENDPOINTS: i64 = 200;
/// Deliveries of a page.
const ROWS: u32 = 30;
/// Records of what people did.
const OPERATIONS: i64 = 20;

#[derive(Deserialize)]
pub(super) struct ListQuery {}

#[derive(Deserialize)]
pub(super) struct OneQuery {
    state: Option<String>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Decision {
    reason: String,
    key: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Retry {
    reason: String,
    key: Option<String>,
    /// Whose page it was sent from.
    endpoint: String,
}

#[derive(Template)]
#[template(path = "endpoints.html")]
struct EndpointsPage {
    chrome: Chrome,
    rows: Vec<Row>,
}

struct Row {
    path: String,
    name: String,
    /// Without its query, which may hold a token.
    url: String,
    state: Chip,
    waiting: String,
    oldest: Option<When>,
    given_up: String,
    any_given_up: bool,
    wants: String,
}

#[derive(Template)]
#[template(path = "endpoint.html")]
struct EndpointPage {
    chrome: Chrome,
    row: Row,
    origin: &'static str,
    status_url: Option<String>,
    sources: String,
    ordered: bool,
    made: When,
    failures: u32,
    paused_until: Option<When>,
    sends_max: Option<u32>,
    enabled: bool,
    removed: bool,
    state: Select,
    filtered: bool,
    sendings: Vec<Sending>,
    pager: Pager,
    operations: Vec<Operation>,
    /// For a form that is sent twice.
    key: String,
}

struct Operation {
    at: When,
    what: String,
    actor: String,
    reason: String,
}

/// The address of an endpoint's page.
fn path_of(name: &str) -> String {
    format!("{HOME}/{}", encoded(name))
}

/// A count that goes no further than ten thousand.
fn counted(number: i64) -> String {
    if number >= 10_000 { format!("{} or more", count(number)) } else { count(number) }
}

impl Row {
    fn of(line: &EndpointLine) -> Self {
        let spec = &line.endpoint.spec;
        let patterns: Vec<String> = spec.events.iter().map(EventPattern::to_string).collect();
        Self {
            path: path_of(spec.name.as_str()),
            name: spec.name.to_string(),
            url: spec.url.shown().to_owned(),
            state: state(line),
            waiting: counted(line.waiting),
            oldest: line.oldest_at.map(When::new),
            given_up: counted(line.given_up),
            any_given_up: line.given_up > 0,
            wants: if patterns.is_empty() { "everything".to_owned() } else { patterns.join(", ") },
        }
    }
}

/// How an endpoint fares, in a word.
fn state(line: &EndpointLine) -> Chip {
    let health = &line.endpoint.health;
    match line.endpoint.disabled {
        Some((Disabled::Removed, _)) => Chip::new(Tone::Quiet, "removed"),
        Some((Disabled::Gone, _)) => Chip::new(Tone::Bad, "disabled: it answered 410"),
        Some((Disabled::Operator, _)) => Chip::new(Tone::Quiet, "disabled by an operator"),
        None if health.paused_until.is_some_and(|until| until > now()) => {
            Chip::new(Tone::Bad, "paused, it fails")
        }
        None if health.failures > 0 => {
            let times = if health.failures == 1 { "time" } else { "times" };
            Chip::new(Tone::Warn, format!("failed {} {times} in a row", health.failures))
        }
        None => Chip::new(Tone::Good, "well"),
    }
}

impl Operation {
    fn of(line: OperationLine) -> Self {
        let of_delivery = line.delivery_id.map(|id| format!(" (number {id})")).unwrap_or_default();
        Self {
            at: When::new(line.at),
            what: format!("{}{of_delivery}", line.kind.replace('_', " ")),
            actor: line.actor,
            reason: line.reason,
        }
    }
}

/// `GET /console/endpoints`
pub(super) async fn list(api: web::Data<Api>, visitor: Visitor, _: Query<ListQuery>) -> Result<HttpResponse> {
    let store = api.store.clone();
    let found = api
        .run(async move {
            let filter = EndpointFilter::default();
            Ok(dispatch::page_of_endpoints(&store.client().await?, &filter, ENDPOINTS).await?)
        })
        .await?;
    html(&EndpointsPage {
        chrome: visitor.chrome(Section::Endpoints),
        rows: found.iter().map(Row::of).collect(),
    })
}

/// `GET /console/endpoints/{name}`
pub(super) async fn one(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
    query: Query<OneQuery>,
) -> Result<HttpResponse> {
    let name = name(&path)?;
    let OneQuery { state: asked, cursor } = query.0;
    let asked = given(asked);
    let wanted = asked.as_deref().map(state_of_query).transpose()?;
    let before = request::cursor(List::Deliveries, cursor.as_deref(), |place| place.parse().ok())?;
    let store = api.store.clone();
    let (line, page, mut attempts, recorded) = api
        .run(async move {
            let client = store.client().await?;
            let line = dispatch::endpoint_line(&client, &name).await?.ok_or_else(unknown_endpoint)?;
            let endpoint = Some(name.as_str());
            let filter = PageFilter { endpoint, state: wanted, before, ..PageFilter::default() };
            let page = dispatch::page_of_deliveries(&client, &filter, ROWS).await?;
            let ids: Vec<i64> = page.lines.iter().map(|line| line.delivery_id).collect();
            let attempts = dispatch::attempts_of(&client, &ids).await?;
            let recorded = dispatch::operations_on_endpoint(&client, line.endpoint.id, OPERATIONS).await?;
            Ok((line, page, attempts, recorded))
        })
        .await?;
    let row = Row::of(&line);
    let own = address(&row.path, &[("state", asked.as_deref())]);
    let spec = &line.endpoint.spec;
    let sources: Vec<&str> = spec.sources.iter().map(|source| source.as_str()).collect();
    let states = DeliveryState::ALL.map(DeliveryState::as_str);
    let health = &line.endpoint.health;
    html(&EndpointPage {
        chrome: visitor.chrome(Section::Endpoints),
        origin: match line.endpoint.origin {
            Origin::Configuration => "the configuration",
            Origin::Api => "the API",
        },
        status_url: spec.status_url.as_ref().map(|url| url.shown().to_owned()),
        sources: if sources.is_empty() { "every source".to_owned() } else { sources.join(", ") },
        ordered: spec.ordered,
        made: When::new(line.created_at),
        failures: health.failures,
        paused_until: health.paused_until.filter(|until| *until > now()).map(When::new),
        sends_max: health.width,
        enabled: line.endpoint.disabled.is_none(),
        removed: matches!(line.endpoint.disabled, Some((Disabled::Removed, _))),
        state: Select::new("state", "Deliveries", "all", states, asked.as_deref()),
        filtered: asked.is_some(),
        pager: Pager::new(
            &own,
            cursor.is_none(),
            page.next.map(|place| List::Deliveries.cursor(&place.to_string())),
        ),
        sendings: page
            .lines
            .into_iter()
            .map(|line| {
                let own = attempts.remove(&line.delivery_id).unwrap_or_default();
                Sending::of(line, own)
            })
            .collect(),
        operations: recorded.into_iter().map(Operation::of).collect(),
        key: form_key(),
        row,
    })
}

/// `POST /console/endpoints/{name}/test`
pub(super) async fn test(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
    form: Act<Decision>,
) -> Result<HttpResponse> {
    let (name, author) = (name(&path)?, author(&visitor.actor, &form.0.reason)?);
    let key = key(form.0.key)?;
    let (store, to) = (api.store.clone(), path_of(name.as_str()));
    api.run(async move { operations::test(&store, &name, &author, &key, now()).await.map_err(of_endpoint) })
        .await?;
    Ok(done(&to, "A test is on its way: what came of it shows among the deliveries below."))
}

/// `POST /console/endpoints/{name}/enable`
pub(super) async fn enable(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
    form: Act<Decision>,
) -> Result<HttpResponse> {
    let (name, author) = (name(&path)?, author(&visitor.actor, &form.0.reason)?);
    let (store, to) = (api.store.clone(), path_of(name.as_str()));
    let shown = name.clone();
    let did =
        api.run(async move { operations::enable(&store, &name, &author).await.map_err(of_endpoint) }).await?;
    Ok(told(&to, &shown, &visitor, did.changed, "enabled"))
}

/// `POST /console/endpoints/{name}/disable`
pub(super) async fn disable(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
    form: Act<Decision>,
) -> Result<HttpResponse> {
    let (name, author) = (name(&path)?, author(&visitor.actor, &form.0.reason)?);
    let (store, to) = (api.store.clone(), path_of(name.as_str()));
    let shown = name.clone();
    let work = async move { operations::disable(&store, &name, &author, now()).await.map_err(of_endpoint) };
    let did = api.run(work).await?;
    Ok(told(&to, &shown, &visitor, did.changed, "disabled"))
}

fn told(to: &str, name: &EndpointName, visitor: &Visitor, changed: bool, what: &'static str) -> HttpResponse {
    if changed {
        tracing::info!(endpoint = %name, actor = visitor.actor.as_str(), what, "endpoint");
        return done(to, &format!("The endpoint is {what}."));
    }
    done(to, &format!("The endpoint was {what} before."))
}

/// `POST /console/deliveries/{id}/retry`
pub(super) async fn retry(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
    form: Act<Retry>,
) -> Result<HttpResponse> {
    let id = crate::deliveries::number(&path)?;
    let author = author(&visitor.actor, &form.0.reason)?;
    let (key, to) = (key(form.0.key)?, path_of(name(&form.0.endpoint)?.as_str()));
    let store = api.store.clone();
    let work = async move { deliveries::retry(&store, id, &author, &key, now()).await.map_err(of_delivery) };
    let did = api.run(work).await?;
    if !did.repeated {
        let (endpoint, actor) = (did.delivery.endpoint.as_str(), visitor.actor.as_str());
        tracing::info!(delivery = id, endpoint, actor, "delivery sent again");
    }
    Ok(done(&to, &format!("Delivery {id} is sent again.")))
}
