//! The console: the pages at `/console`, for people.
//!
//! Pages are made here by askama and are whole without a script. htmx, a pinned file of ours, keeps parts of them up to
//! date; nothing comes from anywhere else, and the policy in [`door`] forbids it: **no inline script, no `style`
//! attribute, no `on…` attribute**, in any template.
//!
//! # How a page is made
//!
//! 1. *What it reads* is a function of `matchpurse_store`, and *what it does* one of `matchpurse_operations`: the same
//!    that the handler of `/v1` calls. Nothing is decided here, and no SQL stands here.
//! 2. *The handler* stands in a file of the page's name, and is `look`ed at or `act`ed by in [`scope`]:
//!
//!    ```ignore
//!    pub(super) async fn show(api: Data<Api>, visitor: Visitor, query: Query<ListQuery>) -> Result<HttpResponse> {
//!        let store = api.store.clone();
//!        let found = api.run(async move { Ok(read(&store.client().await?).await?) }).await?;
//!        html(&OffersPage { chrome: visitor.chrome(Section::Offers), rows: found.into_iter().map(Row::of).collect() })
//!    }
//!    ```
//!
//!    [`Visitor`] says who looks; it is only there where [`door::guard`] let somebody in. A [`Failure`] becomes the
//!    problem page by itself, with its status: a handler returns the same failures as the API's.
//! 3. *The view* is a struct with `chrome` and what the template shows, all of it ready: [`Money`], [`When`], [`Chip`],
//!    [`Pager`] and [`Chart`] of [`components`] write their own markup, and every other text is escaped by askama. There
//!    is no `|safe` in any template; a test looks.
//! 4. *The template*, `templates/NAME.html`, extends `layout.html` and fills `content`. Pieces that take words are
//!    macros of `ui.html`: `head`, `panel`, `empty`. The list of a page stands in an element with an id, so that htmx can
//!    take it out of the whole page by `hx-select`: one address, with and without a script. Addresses are put together
//!    with `|urlencode_strict` around every part that is data.
//! 5. *What changes something* is a form of `method="post"`, shown only `{% if chrome.operates %}`, with
//!    `{% call ui::csrf(chrome) %}{% endcall %}`. Its handler takes [`Act`], which looks at that field, and answers by
//!    [`done`]: back to the page, with a sentence. Where the operation needs an idempotency key, the form carries one in
//!    a hidden field, made by [`form_key`], so that a form sent twice is done once.
//! 6. *The menu* gets the page in [`Section::MENU`].
//! 7. *The test* in `tests/it/console/` asks for the page over HTTP: with data, with hostile data, with an empty database
//!    (where it must say what to do next), and by a token that may only read.

mod anomalies;
mod assets;
mod components;
mod door;
mod endpoints;
mod events;
mod flow;
mod form;
mod leaderboards;
mod link;
mod login;
mod matches;
mod offers;
mod overview;
mod parked;
mod players;
mod problem;
mod rewards;
mod sendings;
mod session;
mod sources;
mod visitor;

use actix_web::dev::HttpServiceFactory;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::middleware::from_fn;
use actix_web::web::{self, to};
use actix_web::{HttpResponse, Route, Scope, guard};
use askama::Template;

pub(crate) use self::components::{Chart, Chip, Money, Pager, Select, Tone, When, count};
pub(crate) use self::door::done;
pub(crate) use self::form::{Act, form_key};
pub(crate) use self::link::{address, encoded, given};
pub(crate) use self::login::Failures;
pub(crate) use self::session::Sealer;
pub(crate) use self::visitor::{Chrome, Section, Visitor};
use crate::failure::{Failure, Result};

const PREFIX: &str = "/console";
const LOGOUT: &str = "/console/logout";
const HTML: &str = "text/html; charset=utf-8";

/// Everything below `/console`.
pub(crate) fn scope() -> impl HttpServiceFactory {
    let pages = Pages(web::scope(PREFIX))
        .look("", to(overview::show))
        .look("/", to(overview::show))
        .look("/flow", to(flow::show))
        .look("/live", to(flow::live))
        .look("/matches", to(matches::list))
        .look("/matches/{source}/{match}", to(matches::one))
        .look("/events/{id}", to(events::one))
        .look("/rewards", to(rewards::list))
        .look("/rewards/{grant_id}", to(rewards::one))
        .act("/rewards/{grant_id}/release", to(rewards::release))
        .act("/rewards/{grant_id}/reverse", to(rewards::reverse))
        .act("/rewards/{grant_id}/retry", to(rewards::retry))
        .look("/players", to(players::list))
        .look("/players/{source}/{player}", to(players::one))
        .act("/players/{source}/{player}/erase", to(players::erase))
        .look("/leaderboards", to(leaderboards::list))
        .look("/leaderboards/{board}", to(leaderboards::one))
        .act("/leaderboards/{board}/exclude", to(leaderboards::exclude))
        .act("/leaderboards/{board}/readmit", to(leaderboards::readmit))
        .look("/offers", to(offers::list))
        .look("/offers/{source}/{offer}", to(offers::one))
        .look("/endpoints", to(endpoints::list))
        .look("/endpoints/{name}", to(endpoints::one))
        .act("/endpoints/{name}/test", to(endpoints::test))
        .act("/endpoints/{name}/enable", to(endpoints::enable))
        .act("/endpoints/{name}/disable", to(endpoints::disable))
        .act("/deliveries/{id}/retry", to(endpoints::retry))
        .look("/sources", to(sources::list))
        .look("/sources/{source}", to(sources::one))
        .look("/parked", to(parked::list))
        .look("/parked/bulk", to(parked::bulk))
        .act("/parked/bulk/step", to(parked::step))
        .look("/parked/{id}", to(parked::one))
        .act("/parked/{id}/replay", to(parked::again))
        .act("/parked/{id}/discard", to(parked::unwanted))
        .look("/anomalies", to(anomalies::list))
        .look("/anomalies/{id}", to(anomalies::one))
        .act("/anomalies/{id}/resolve", to(anomalies::decide))
        .act("/logout", to(login::log_out));
    let login = web::resource("/login")
        .route(looks(to(login::show)))
        .route(to(login::log_in).guard(guard::Post()))
        .default_service(to(not_allowed));
    pages
        .0
        .service(login)
        .service(web::resource("/assets/{digest}/{name}").route(looks(to(assets::serve))))
        .default_service(to(astray))
        .wrap(from_fn(door::guard))
}

struct Pages(Scope);

impl Pages {
    /// A page, or a part of one.
    fn look(self, path: &str, route: Route) -> Self {
        let resource = web::resource(path).route(looks(route)).default_service(to(not_allowed));
        Self(self.0.service(resource))
    }

    /// What a form is sent to. Its path is no page's.
    fn act(self, path: &str, route: Route) -> Self {
        let resource = web::resource(path).route(route.guard(guard::Post())).default_service(to(not_allowed));
        Self(self.0.service(resource))
    }
}

fn looks(route: Route) -> Route {
    route.guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn astray() -> Result<HttpResponse> {
    Err(Failure::no_such_page())
}

async fn not_allowed() -> Result<HttpResponse> {
    Err(Failure::no_such_page())
}

/// A page, or a part of one.
pub(crate) fn html(view: &impl Template) -> Result<HttpResponse> {
    let body = view.render().map_err(|error| Failure::internal(error.to_string()))?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, HTML)).body(body))
}
