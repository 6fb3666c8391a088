//! The API of studio engineers and operators: `/v1`, JSON, problem documents, a bearer token for everything.
//!
//! | | | scope |
//! | --- | --- | --- |
//! | `GET /v1/players/{source}/{player}?at=` | the player's balances by currency | read |
//! | `POST /v1/players/{source}/{player}/deposits`, `/withdrawals` | the player's money, where the studio holds the stakes | operate |
//! | `GET /v1/players/{source}/{player}/statistics?identity_only=` | sums, figures and streaks over all ids of the person, and over each | read |
//! | `GET /v1/players/{source}/{player}/matches?identity_only=&cursor=&limit=` | the person's lines in counted matches, the latest first | read |
//! | `GET`, `PUT /v1/players/{source}/{player}/links`, `DELETE …/links/{source}/{player}` | which ids are the same person's | read, operate |
//! | `POST /v1/players/{source}/{player}/erasure`, `GET /v1/erasures/{id}` | takes a player's personal data out of everything | operate, read |
//! | `GET /v1/matches/{source}/{match}/statistics` | both teams, every line with its figures, who was voted out, what happened | read |
//! | `POST /v1/matches/{source}/{match}/statistics/corrections` | which of two ends of a match stands | operate |
//! | `GET /v1/matches?source=&kind=&status=&player=&since=&until=&cursor=&limit=` | matches, the newest first | read |
//! | `GET /v1/matches/{source}/{match}?kind=` | a match with its participants and sums | read |
//! | `GET /v1/matches/{source}/{match}/timeline?cursor=&limit=` | its whole story | read |
//! | `POST /v1/matches/{source}/{match}/corrections?kind=` | sets its end, or shows what that would do | operate |
//! | `POST /v1/match-tokens/check` | whose a match token is, as its provider says | play, operate |
//! | `GET /v1/corrections?state=&cursor=&limit=`, `GET /v1/corrections/{id}` | corrections, the newest first | read |
//! | `POST /v1/corrections/{id}/approve`, `/reject` | the word of a second person | operate |
//! | `GET /v1/leaderboards` | the boards with their seasons | read |
//! | `GET /v1/leaderboards/{board}?season=&limit=&cursor=` | a board's players from the top | read |
//! | `GET /v1/leaderboards/{board}/around/{source}/{player}?season=&span=` | the players around one | read |
//! | `GET /v1/leaderboards/{board}/players/{source}/{player}?season=` | a player's exact rank | read |
//! | `GET /v1/leaderboards/{board}/exclusions` | who was taken off it, and why | read |
//! | `PUT`, `DELETE /v1/leaderboards/{board}/exclusions/{source}/{player}` | takes a player off, or lets one back | operate |
//! | `GET /v1/players/{source}/{player}/ratings` | the player's skill ratings by game, with the last matches | read |
//! | `GET /v1/ledger/trial-balance?at=` | what all accounts hold together, by source and currency | read |
//! | `GET /v1/ledger/accounts/{id}?at=`, `/entries?cursor=&limit=` | an account, and every movement on it | read |
//! | `GET /v1/offers/{source}?state=&cursor=&limit=`, `GET /v1/offers/{source}/{offer}` | which offers there are | read |
//! | `POST /v1/offers/{source}/eligible` | which of up to 500 offers a player may see, and why | read |
//! | `PUT /v1/offers/{source}/{offer}/starts/{player}` | the player has started the offer | play, operate |
//! | `DELETE /v1/offers/{source}/{offer}/starts/{player}` | no, they have not | operate |
//! | `GET /v1/offers/{source}/stream?after=` | what changes, as Server-Sent Events | read |
//! | `GET /v1/events/stream?source=&subject=&type=&after=` | what is archived from now on, as Server-Sent Events | read |
//! | `GET /v1/rewards?state=&source=&player=&contest=&cursor=&limit=`, `GET /v1/rewards/{grant_id}` | rewards, the newest first; all that is known of one | read |
//! | `POST /v1/rewards/{grant_id}/release`, `/reverse`, `/retry` | a person's decision about one | operate |
//! | `GET /v1/endpoints?state=&cursor=&limit=`, `GET /v1/endpoints/{name}` | where notices go, and how that fares | read |
//! | `POST /v1/endpoints`, `PATCH` and `DELETE /v1/endpoints/{name}`, `PUT /v1/endpoints/{name}/secrets` | those that do not stand in the configuration | operate |
//! | `POST /v1/endpoints/{name}/enable`, `/disable`, `/test` | any of them | operate |
//! | `GET /v1/deliveries?endpoint=&state=&kind=&source=&subject=&webhook_id=&cursor=&limit=`, `GET /v1/deliveries/{id}` | what was sent, and what came of it | read |
//! | `POST /v1/deliveries/{id}/retry` | one more attempt | operate |
//! | `GET /v1/gaps?source=`, `GET /v1/inquiries?source=` | what should have come and has not; what providers are asked for that | read |
//!
//! **Nothing is decided here.** What people do to the ledger is `matchpurse_operations`' business, what they see comes
//! from `matchpurse_store`; this crate knows HTTP, tokens and JSON.
//!
//! **Requests run where the pool lives.** The server's threads have runtimes of their own; a connection that was made
//! on one would stand still while that thread is busy. So each request's work is spawned on the runtime that the
//! application was built on, where it also ends when the client hangs up: a write is never cut off half-way.
//!
//! **Bounds.** A body of 64 KiB, a page of 200 rows, the time limits of the settings.

mod anomalies;
mod api;
mod application;
mod auth;
mod body;
mod books;
mod conditional;
mod console;
mod corrections;
mod cors;
mod cursor;
mod deliveries;
mod endpoints;
mod erasures;
mod event_stream;
mod events;
mod failure;
mod figures;
mod funds;
mod gaps;
mod ingresses;
mod inquiries;
mod leaderboards;
mod ledger;
mod limits;
mod links;
mod match_links;
mod match_list;
mod match_statistics;
mod match_tokens;
mod matches;
pub mod metrics;
mod moment;
mod observe;
mod offers;
mod openapi;
mod operation_failure;
mod parked;
mod player_statistics;
mod players;
mod problems;
mod process;
mod program;
mod ratings;
mod refusal;
mod reloading;
mod request;
mod results;
mod rewards;
mod routes;
mod sse;
mod standing;
mod token_checks;
mod trace;
mod wire;

pub use application::{Application, BuildError};
pub use auth::KeysError;
pub use process::{healthcheck, run};
pub use program::main;
