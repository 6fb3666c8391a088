//! Which path and method is whose.

use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig, to};
use actix_web::{HttpResponse, ResponseError as _, Route, Scope, guard};

use self::Verb::{Delete, Get, Look, Patch, Post, Put};
use crate::failure::Failure;
use crate::{
    anomalies, auth, console, corrections, deliveries, endpoints, erasures, event_stream, events, funds,
    gaps, inquiries, leaderboards, ledger, links, match_links, match_list, match_statistics, match_tokens,
    matches, offers, openapi, parked, player_statistics, players, ratings, results, rewards,
};

/// Where the resources are that need a token.
const PREFIX: &str = "/v1";

/// What a resource takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    /// GET, and HEAD, which is the same without the body.
    Look,
    /// GET of what has no end.
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// Resources, and the list of them.
struct Table {
    scope: Scope,
    listed: Vec<(&'static str, Vec<Verb>)>,
}

/// Everything below `/v1`, for who has a token, but the document that says what there is; everything else is nothing.
pub(crate) fn all(config: &mut ServiceConfig) {
    let v1 = table().scope.wrap(from_fn(auth::authenticate)).default_service(to(astray));
    let document = web::resource(openapi::PATH).route(Look.guarded(to(openapi::serve)));
    config
        .service(document.default_service(not_allowed("GET, HEAD".to_owned())))
        .service(v1)
        .service(console::scope())
        .default_service(to(astray));
}

fn table() -> Table {
    Table { scope: web::scope(PREFIX), listed: Vec::new() }
        .at("/players/{source}/{player}", [(Look, to(players::balances))])
        .at("/players/{source}/{player}/deposits", [(Post, to(funds::deposit))])
        .at("/players/{source}/{player}/withdrawals", [(Post, to(funds::withdraw))])
        .at("/players/{source}/{player}/statistics", [(Look, to(player_statistics::statistics))])
        .at("/players/{source}/{player}/matches", [(Look, to(player_statistics::matches))])
        .at("/players/{source}/{player}/links", [(Look, to(links::list)), (Put, to(links::put))])
        .at("/players/{source}/{player}/links/{other_source}/{other_player}", [(Delete, to(links::remove))])
        .at("/players/{source}/{player}/erasure", [(Post, to(erasures::erase))])
        .at("/erasures/{id}", [(Look, to(erasures::one))])
        .at("/matches", [(Look, to(match_list::list))])
        .at("/matches/{source}/{match}/statistics", [(Look, to(match_statistics::one))])
        .at("/matches/{source}/{match}/statistics/corrections", [(Post, to(match_statistics::stand))])
        .at("/matches/{source}/{match}", [(Look, to(matches::one))])
        .at("/matches/{source}/{match}/timeline", [(Look, to(matches::timeline))])
        .at("/matches/{source}/{match}/corrections", [(Post, to(corrections::correct))])
        .at("/matches/{source}/{match}/links", [(Look, to(match_links::one)), (Put, to(match_links::put))])
        .at("/matches/{source}/{match}/result", [(Look, to(results::one)), (Post, to(results::tell))])
        .at("/match-tokens/check", [(Post, to(match_tokens::check))])
        .at("/corrections", [(Look, to(corrections::list))])
        .at("/corrections/{id}", [(Look, to(corrections::one))])
        .at("/corrections/{id}/approve", [(Post, to(corrections::agree))])
        .at("/corrections/{id}/reject", [(Post, to(corrections::refuse))])
        .at("/ledger/trial-balance", [(Look, to(ledger::trial_balance))])
        .at("/ledger/accounts/{id}", [(Look, to(ledger::account))])
        .at("/ledger/accounts/{id}/entries", [(Look, to(ledger::entries))])
        .at("/offers/{source}", [(Look, to(offers::list))])
        .at("/offers/{source}/eligible", [(Post, to(offers::eligible))])
        .at("/offers/{source}/stream", [(Get, to(offers::stream))])
        .at("/offers/{source}/{offer}", [(Look, to(offers::one))])
        .at(
            "/offers/{source}/{offer}/starts/{player}",
            [(Put, to(offers::start)), (Delete, to(offers::withdraw))],
        )
        .at("/rewards", [(Look, to(rewards::list))])
        .at("/rewards/{grant_id}", [(Look, to(rewards::one))])
        .at("/rewards/{grant_id}/release", [(Post, to(rewards::release))])
        .at("/rewards/{grant_id}/reverse", [(Post, to(rewards::reverse))])
        .at("/rewards/{grant_id}/retry", [(Post, to(rewards::retry))])
        .at("/endpoints", [(Look, to(endpoints::list)), (Post, to(endpoints::add))])
        .at(
            "/endpoints/{name}",
            [(Look, to(endpoints::one)), (Patch, to(endpoints::change)), (Delete, to(endpoints::remove))],
        )
        .at("/endpoints/{name}/secrets", [(Put, to(endpoints::set_secrets))])
        .at("/endpoints/{name}/enable", [(Post, to(endpoints::enable))])
        .at("/endpoints/{name}/disable", [(Post, to(endpoints::disable))])
        .at("/endpoints/{name}/test", [(Post, to(endpoints::test))])
        .at("/deliveries", [(Look, to(deliveries::list))])
        .at("/deliveries/{id}", [(Look, to(deliveries::one))])
        .at("/deliveries/{id}/retry", [(Post, to(deliveries::retry))])
        .at("/parked", [(Look, to(parked::list))])
        .at("/parked/{id}", [(Look, to(parked::one))])
        .at("/parked/{id}/replay", [(Post, to(parked::again))])
        .at("/parked/{id}/discard", [(Post, to(parked::unwanted))])
        .at("/anomalies", [(Look, to(anomalies::list))])
        .at("/anomalies/{id}", [(Look, to(anomalies::one))])
        .at("/anomalies/{id}/resolve", [(Post, to(anomalies::decide))])
        .at("/gaps", [(Look, to(gaps::show))])
        .at("/inquiries", [(Look, to(inquiries::show))])
        .at("/events", [(Look, to(events::list))])
        .at("/events/stream", [(Get, to(event_stream::stream))])
        .at("/events/{id}", [(Look, to(events::one))])
        .at("/players/{source}/{player}/ratings", [(Look, to(ratings::of_player))])
        .at("/leaderboards", [(Look, to(leaderboards::list))])
        .at("/leaderboards/{board}", [(Look, to(leaderboards::top))])
        .at("/leaderboards/{board}/around/{source}/{player}", [(Look, to(leaderboards::around))])
        .at("/leaderboards/{board}/players/{source}/{player}", [(Look, to(leaderboards::rank))])
        .at("/leaderboards/{board}/exclusions", [(Look, to(leaderboards::excluded))])
        .at(
            "/leaderboards/{board}/exclusions/{source}/{player}",
            [(Put, to(leaderboards::exclude)), (Delete, to(leaderboards::readmit))],
        )
}

impl Table {
    /// A resource with its handlers, and 405 for every other method.
    fn at<const N: usize>(mut self, path: &'static str, handlers: [(Verb, Route); N]) -> Self {
        let verbs: Vec<Verb> = handlers.iter().map(|(verb, _)| *verb).collect();
        let words: Vec<&str> = verbs.iter().flat_map(|verb| verb.methods()).copied().collect();
        let resource = web::resource(path).default_service(not_allowed(words.join(", ")));
        let resource = handlers
            .into_iter()
            .fold(resource, |resource, (verb, route)| resource.route(verb.guarded(route)));
        self.listed.push((path, verbs));
        Self { scope: self.scope.service(resource), listed: self.listed }
    }
}

impl Verb {
    const fn methods(self) -> &'static [&'static str] {
        match self {
            Look => &["GET", "HEAD"],
            Get => &["GET"],
            Post => &["POST"],
            Put => &["PUT"],
            Patch => &["PATCH"],
            Delete => &["DELETE"],
        }
    }

    fn guarded(self, route: Route) -> Route {
        match self {
            Look => route.guard(guard::Any(guard::Get()).or(guard::Head())),
            Get => route.guard(guard::Get()),
            Post => route.guard(guard::Post()),
            Put => route.guard(guard::Put()),
            Patch => route.guard(guard::Patch()),
            Delete => route.guard(guard::Delete()),
        }
    }
}

fn not_allowed(methods: String) -> Route {
    to(move || {
        let methods = methods.clone();
        async move { Failure::method_not_allowed(&methods).error_response() }
    })
}

async fn astray() -> HttpResponse {
    Failure::no_such_path().error_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Whoever adds a route describes it, and nothing is described that is not there.
    #[test]
    fn the_document_has_every_route_and_no_other() {
        let mut routes: BTreeSet<(String, String)> = BTreeSet::new();
        for (path, verbs) in table().listed {
            // HEAD is GET without the body, and is not written down again.
            let methods = verbs.iter().filter_map(|verb| verb.methods().first());
            routes.extend(methods.map(|method| (format!("{PREFIX}{path}"), method.to_ascii_lowercase())));
        }
        routes.insert((openapi::PATH.to_owned(), "get".to_owned()));
        let document = openapi::document();
        let paths = document["paths"].as_object().unwrap();
        let described = paths.iter().flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(|method| (path.clone(), method.clone()))
        });
        assert_eq!(routes, described.collect());
    }
}
