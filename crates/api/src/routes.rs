//! Which path and method is whose.

use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, ResponseError as _, Route, guard};

use crate::failure::Failure;
use crate::{
    anomalies, auth, corrections, deliveries, endpoints, events, funds, leaderboards, ledger, links,
    match_statistics, matches, offers, parked, player_statistics, players, ratings, rewards,
};

/// Everything below `/v1`, for who has a token; everything else is nothing.
pub(crate) fn all(config: &mut ServiceConfig) {
    let v1 = web::scope("/v1")
        .wrap(from_fn(auth::authenticate))
        .service(read("/players/{source}/{player}", look().to(players::balances)))
        .service(write("/players/{source}/{player}/deposits", web::post().to(funds::deposit)))
        .service(write("/players/{source}/{player}/withdrawals", web::post().to(funds::withdraw)))
        .service(read("/players/{source}/{player}/statistics", look().to(player_statistics::statistics)))
        .service(read("/players/{source}/{player}/matches", look().to(player_statistics::matches)))
        .service(
            web::resource("/players/{source}/{player}/links")
                .route(look().to(links::list))
                .route(web::put().to(links::put))
                .default_service(not_allowed("GET, HEAD, PUT")),
        )
        .service(
            web::resource("/players/{source}/{player}/links/{other_source}/{other_player}")
                .route(web::delete().to(links::remove))
                .default_service(not_allowed("DELETE")),
        )
        .service(read("/matches/{source}/{match}/statistics", look().to(match_statistics::one)))
        .service(write(
            "/matches/{source}/{match}/statistics/corrections",
            web::post().to(match_statistics::stand),
        ))
        .service(read("/matches/{source}/{match}", look().to(matches::one)))
        .service(read("/matches/{source}/{match}/timeline", look().to(matches::timeline)))
        .service(write("/matches/{source}/{match}/corrections", web::post().to(corrections::correct)))
        .service(read("/corrections", look().to(corrections::list)))
        .service(read("/corrections/{id}", look().to(corrections::one)))
        .service(write("/corrections/{id}/approve", web::post().to(corrections::agree)))
        .service(write("/corrections/{id}/reject", web::post().to(corrections::refuse)))
        .service(read("/ledger/trial-balance", look().to(ledger::trial_balance)))
        .service(read("/ledger/accounts/{id}", look().to(ledger::account)))
        .service(read("/ledger/accounts/{id}/entries", look().to(ledger::entries)))
        .service(read("/offers/{source}", look().to(offers::list)))
        .service(write("/offers/{source}/eligible", web::post().to(offers::eligible)))
        .service(
            web::resource("/offers/{source}/stream")
                .route(web::get().to(offers::stream))
                .default_service(not_allowed("GET")),
        )
        .service(read("/offers/{source}/{offer}", look().to(offers::one)))
        .service(
            web::resource("/offers/{source}/{offer}/starts/{player}")
                .route(web::put().to(offers::start))
                .route(web::delete().to(offers::withdraw))
                .default_service(not_allowed("PUT, DELETE")),
        )
        .service(read("/rewards", look().to(rewards::list)))
        .service(read("/rewards/{grant_id}", look().to(rewards::one)))
        .service(write("/rewards/{grant_id}/release", web::post().to(rewards::release)))
        .service(write("/rewards/{grant_id}/reverse", web::post().to(rewards::reverse)))
        .service(write("/rewards/{grant_id}/retry", web::post().to(rewards::retry)))
        .service(
            web::resource("/endpoints")
                .route(look().to(endpoints::list))
                .route(web::post().to(endpoints::add))
                .default_service(not_allowed("GET, HEAD, POST")),
        )
        .service(
            web::resource("/endpoints/{name}")
                .route(look().to(endpoints::one))
                .route(web::patch().to(endpoints::change))
                .route(web::delete().to(endpoints::remove))
                .default_service(not_allowed("GET, HEAD, PATCH, DELETE")),
        )
        .service(
            web::resource("/endpoints/{name}/secrets")
                .route(web::put().to(endpoints::set_secrets))
                .default_service(not_allowed("PUT")),
        )
        .service(write("/endpoints/{name}/enable", web::post().to(endpoints::enable)))
        .service(write("/endpoints/{name}/disable", web::post().to(endpoints::disable)))
        .service(write("/endpoints/{name}/test", web::post().to(endpoints::test)))
        .service(read("/deliveries", look().to(deliveries::list)))
        .service(read("/deliveries/{id}", look().to(deliveries::one)))
        .service(write("/deliveries/{id}/retry", web::post().to(deliveries::retry)))
        .service(read("/parked", look().to(parked::list)))
        .service(read("/parked/{id}", look().to(parked::one)))
        .service(write("/parked/{id}/replay", web::post().to(parked::again)))
        .service(write("/parked/{id}/discard", web::post().to(parked::unwanted)))
        .service(read("/anomalies", look().to(anomalies::list)))
        .service(read("/anomalies/{id}", look().to(anomalies::one)))
        .service(write("/anomalies/{id}/resolve", web::post().to(anomalies::decide)))
        .service(read("/events", look().to(events::list)))
        .service(read("/events/{id}", look().to(events::one)))
        .service(read("/players/{source}/{player}/ratings", look().to(ratings::of_player)))
        .service(read("/leaderboards", look().to(leaderboards::list)))
        .service(read("/leaderboards/{board}", look().to(leaderboards::top)))
        .service(read("/leaderboards/{board}/around/{source}/{player}", look().to(leaderboards::around)))
        .service(read("/leaderboards/{board}/players/{source}/{player}", look().to(leaderboards::rank)))
        .service(read("/leaderboards/{board}/exclusions", look().to(leaderboards::excluded)))
        .service(
            web::resource("/leaderboards/{board}/exclusions/{source}/{player}")
                .route(web::put().to(leaderboards::exclude))
                .route(web::delete().to(leaderboards::readmit))
                .default_service(not_allowed("PUT, DELETE")),
        )
        .default_service(web::route().to(astray));
    config.service(v1).default_service(web::route().to(astray));
}

/// GET, and HEAD, which is the same without the body.
fn look() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

fn read(path: &str, route: Route) -> actix_web::Resource {
    web::resource(path).route(route).default_service(not_allowed("GET, HEAD"))
}

fn write(path: &str, route: Route) -> actix_web::Resource {
    web::resource(path).route(route).default_service(not_allowed("POST"))
}

fn not_allowed(methods: &'static str) -> Route {
    web::route().to(move || async move { Failure::method_not_allowed(methods).error_response() })
}

async fn astray() -> HttpResponse {
    Failure::no_such_path().error_response()
}
