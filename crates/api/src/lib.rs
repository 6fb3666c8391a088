//! The API of studio engineers and operators: `/v1`, JSON, problem documents, a bearer token for everything.
//!
//! | | | scope |
//! | --- | --- | --- |
//! | `GET /v1/players/{source}/{player}?at=` | the player's balances by currency | read |
//! | `POST /v1/players/{source}/{player}/deposits`, `/withdrawals` | the player's money, where the studio holds the stakes | operate |
//! | `GET /v1/matches/{source}/{match}?kind=` | a match with its participants and sums | read |
//! | `GET /v1/matches/{source}/{match}/timeline` | its whole story | read |
//! | `POST /v1/matches/{source}/{match}/corrections?kind=` | sets its end, or shows what that would do | operate |
//! | `GET /v1/corrections?state=&cursor=&limit=`, `GET /v1/corrections/{id}` | corrections, the newest first | read |
//! | `POST /v1/corrections/{id}/approve`, `/reject` | the word of a second person | operate |
//! | `GET /v1/ledger/trial-balance?at=` | what all accounts hold together, by source and currency | read |
//! | `GET /v1/ledger/accounts/{id}?at=`, `/entries?cursor=&limit=` | an account, and every movement on it | read |
//! | `GET /v1/offers/{source}?state=&cursor=&limit=`, `GET /v1/offers/{source}/{offer}` | which offers there are | read |
//! | `POST /v1/offers/{source}/eligible` | which of up to 500 offers a player may see, and why | read |
//! | `PUT /v1/offers/{source}/{offer}/starts/{player}` | the player has started the offer | play, operate |
//! | `DELETE /v1/offers/{source}/{offer}/starts/{player}` | no, they have not | operate |
//! | `GET /v1/offers/{source}/stream?after=` | what changes, as Server-Sent Events | read |
//!
//! **Nothing is decided here.** What people do to the ledger is `matchpurse_operations`' business, what they see comes
//! from `matchpurse_store`; this crate knows HTTP, tokens and JSON.
//!
//! **Requests run where the pool lives.** The server's threads have runtimes of their own; a connection that was made
//! on one would stand still while that thread is busy. So each request's work is spawned on the runtime that the
//! application was built on, where it also ends when the client hangs up: a write is never cut off half-way.
//!
//! **Bounds.** A body of 64 KiB, a page of 200 rows, the time limits of the settings.

mod api;
mod application;
mod auth;
mod body;
mod corrections;
mod cursor;
mod failure;
mod funds;
mod ledger;
mod matches;
pub mod metrics;
mod moment;
mod observe;
mod offers;
mod operation_failure;
mod players;
mod process;
mod request;
mod routes;
mod wire;

pub use application::{Application, BuildError};
pub use process::{healthcheck, run};
