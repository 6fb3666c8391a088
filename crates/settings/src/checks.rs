//! What the types of the fixed tables cannot say: values that would stop the work, and pairs that contradict
//! each other.

use std::collections::BTreeMap;
use std::fmt::Display;

use matchpurse_service_kit::config::join;

use crate::transport;
use crate::{
    ApiSettings, ApiToken, BrokerSettings, Document, OtlpSettings, ReconcilerSettings, WorkersSettings,
};

/// The longest batch: one transaction holds its row locks for as long as it takes.
const BATCH_MAX: u16 = 4096;

/// As many as there are slots of subjects, `matchpurse_contracts::topology::SLOTS`.
const SHARDS_MAX: u16 = 64;

/// What a delivery's lease must leave for reading and writing the database, in milliseconds: while it holds, nobody
/// else may send the same.
const LEASE_MARGIN_MS: u64 = 10_000;

/// Less than `matchpurse_contracts::group::GROUP_EVENTS_MAX`, and as many as the largest batch: more would gain nothing.
const GROUP_EVENTS_MAX: u16 = 256;

/// The shortest secret of a token, in bytes: 32 of hexadecimal are 128 bits.
const TOKEN_LENGTH_MIN: usize = 32;
/// As long as a JWT's `sub` may be, in characters: it stands in every record.
const PERSON_CHARS_MAX: usize = 200;

/// Clocks that are further apart than this, in seconds, are broken; a token that has ended would go on for as long.
const LEEWAY_MAX_S: u16 = 300;

/// What asks providers.
fn questions(reconciler: &ReconcilerSettings, add: &mut dyn FnMut(&str, String)) {
    for (key, value) in [
        ("reconciler.look_every_ms", reconciler.look_every_ms),
        ("reconciler.asks_max", reconciler.asks_max.into()),
        ("reconciler.offers_every_s", reconciler.offers_every_s.into()),
        ("reconciler.silent_s", reconciler.silent_s.into()),
        ("reconciler.pull_every_s", reconciler.pull_every_s.into()),
        ("reconciler.request_timeout_ms", reconciler.request_timeout_ms),
        ("reconciler.connect_timeout_ms", reconciler.connect_timeout_ms),
        ("reconciler.stall_after_ms", reconciler.stall_after_ms),
    ] {
        if value == 0 {
            add(key, "must be above 0".to_owned());
        }
    }
    let (connect, request) = (reconciler.connect_timeout_ms, reconciler.request_timeout_ms);
    if connect > request {
        let why = "the value of `reconciler.request_timeout_ms`";
        add("reconciler.connect_timeout_ms", format!("{connect} is above {request}, {why}"));
    }
    // A token, the question, the token once more and the question again.
    let needed = request.saturating_mul(4).saturating_add(LEASE_MARGIN_MS);
    if reconciler.lease_ms < needed {
        let why =
            "four times `reconciler.request_timeout_ms`, for tokens and answers, and 10 s to write it down";
        add("reconciler.lease_ms", format!("{} is below {needed}: {why}", reconciler.lease_ms));
    }
}

/// Reports every problem to `add` with its dotted key.
pub(crate) fn sections(document: &Document, add: &mut dyn FnMut(&str, String)) {
    let Document {
        database,
        broker,
        ingress,
        api,
        operations,
        workers,
        dispatcher,
        reconciler,
        telemetry,
        ..
    } = document;
    // Zero would mean "for ever" to PostgreSQL, "at once" to a timer, and "none at all" to a limit.
    for (key, value) in [
        ("database.pool_size", u64::from(database.pool_size)),
        ("database.pool_wait_ms", database.pool_wait_ms),
        ("database.connect_timeout_ms", database.connect_timeout_ms),
        ("database.statement_timeout_ms", database.statement_timeout_ms.into()),
        ("database.lock_timeout_ms", database.lock_timeout_ms.into()),
        ("database.idle_in_transaction_timeout_ms", database.idle_in_transaction_timeout_ms.into()),
        ("database.answer_grace_ms", database.answer_grace_ms.into()),
        ("broker.connect_timeout_ms", broker.connect_timeout_ms),
        ("broker.heartbeat_s", broker.heartbeat_s.into()),
        ("broker.reconnect_min_ms", broker.reconnect_min_ms),
        ("broker.confirm_timeout_ms", broker.confirm_timeout_ms),
        ("broker.unconfirmed_max", broker.unconfirmed_max.into()),
        ("broker.group_max_events", broker.group_max_events.into()),
        ("broker.shards", broker.shards.into()),
        ("broker.held_bytes_max", broker.held_bytes_max.into()),
        ("broker.batch_max", broker.batch_max.into()),
        ("broker.batch_bytes_max", broker.batch_bytes_max.into()),
        ("ingress.connections_max", ingress.connections_max.into()),
        ("ingress.connections_per_address_max", ingress.connections_per_address_max.into()),
        ("ingress.refusals_per_address_burst", ingress.refusals_per_address_burst.into()),
        ("ingress.refusals_per_source_burst", ingress.refusals_per_source_burst.into()),
        ("ingress.max_in_flight", ingress.max_in_flight.into()),
        ("ingress.body_memory_max_bytes", ingress.body_memory_max_bytes),
        ("ingress.request_timeout_ms", ingress.request_timeout_ms),
        ("ingress.retry_after_s", ingress.retry_after_s.into()),
        ("ingress.spool_events_max", ingress.spool_events_max),
        ("api.request_timeout_ms", api.request_timeout_ms),
        ("api.streams_max", api.streams_max.into()),
        ("api.streams_per_token_max", api.streams_per_token_max.into()),
        ("api.stream_heartbeat_ms", api.stream_heartbeat_ms),
        ("api.requests_burst", api.requests_burst.into()),
        ("workers.missed_poll_ms", workers.missed_poll_ms),
        ("workers.deadline_sweep_ms", workers.deadline_sweep_ms),
        ("workers.results_poll_ms", workers.results_poll_ms),
        ("workers.ranks_players_min", workers.ranks_players_min),
        ("workers.ranks_every_ms", workers.ranks_every_ms),
        ("workers.offer_changes_hours", workers.offer_changes_hours.into()),
        ("workers.attempts_max", workers.attempts_max.into()),
        ("workers.retry_min_ms", workers.retry_min_ms),
        ("workers.stall_after_ms", workers.stall_after_ms),
        ("dispatcher.sends_max", dispatcher.sends_max.into()),
        ("dispatcher.sends_per_endpoint_max", dispatcher.sends_per_endpoint_max.into()),
        ("dispatcher.request_timeout_ms", dispatcher.request_timeout_ms),
        ("dispatcher.connect_timeout_ms", dispatcher.connect_timeout_ms),
        ("dispatcher.poll_ms", dispatcher.poll_ms),
        ("dispatcher.breaker_failures", dispatcher.breaker_failures.into()),
        ("dispatcher.breaker_pause_min_ms", dispatcher.breaker_pause_min_ms),
        ("dispatcher.stall_after_ms", dispatcher.stall_after_ms),
        ("dispatcher.history_days", dispatcher.history_days.into()),
        ("telemetry.otlp.queue_spans_max", telemetry.otlp.queue_spans_max.into()),
        ("telemetry.otlp.export_timeout_ms", telemetry.otlp.export_timeout_ms),
    ] {
        if value == 0 {
            add(key, "must be above 0".to_owned());
        }
    }
    for (worker, own) in workers.each() {
        if own.batch_max == Some(0) {
            add(
                &join(&join("workers", &worker.replace('-', "_")), "batch_max"),
                "must be above 0".to_owned(),
            );
        }
    }
    let mut at_most = |key: &str, value: u64, limit: u64, why: &dyn Display| {
        if value > limit {
            add(key, format!("{value} is above {limit}, {why}"));
        }
    };
    at_most("broker.batch_max", broker.batch_max.into(), BATCH_MAX.into(), &"the most for one transaction");
    at_most(
        "broker.group_max_events",
        broker.group_max_events.into(),
        GROUP_EVENTS_MAX.into(),
        &"the most that workers take apart",
    );
    let prefetch = u64::from(broker.prefetch);
    at_most("broker.batch_max", broker.batch_max.into(), prefetch, &"the value of `broker.prefetch`");
    let held = u64::from(broker.held_bytes_max);
    let why = "the value of `broker.held_bytes_max`";
    at_most("broker.batch_bytes_max", broker.batch_bytes_max.into(), held, &why);
    batches(broker, workers, &mut at_most);
    at_most(
        "broker.shards",
        broker.shards.into(),
        SHARDS_MAX.into(),
        &"the number of slots that subjects fall into",
    );
    for shard in &broker.take_shards {
        let last = u64::from(broker.shards.saturating_sub(1));
        at_most("broker.take_shards", (*shard).into(), last, &"the last shard, which are counted from 0");
    }
    let longest = broker.reconnect_max_ms;
    at_most(
        "broker.reconnect_min_ms",
        broker.reconnect_min_ms,
        longest,
        &"the value of `broker.reconnect_max_ms`",
    );
    let longest = workers.retry_max_ms;
    at_most("workers.retry_min_ms", workers.retry_min_ms, longest, &"the value of `workers.retry_max_ms`");
    at_most(
        "dispatcher.breaker_pause_min_ms",
        dispatcher.breaker_pause_min_ms,
        dispatcher.breaker_pause_max_ms,
        &"the value of `dispatcher.breaker_pause_max_ms`",
    );
    at_most(
        "dispatcher.sends_per_endpoint_max",
        dispatcher.sends_per_endpoint_max.into(),
        dispatcher.sends_max.into(),
        &"the value of `dispatcher.sends_max`",
    );
    // Then a connection that takes too long is told apart from an answer that does.
    at_most(
        "dispatcher.connect_timeout_ms",
        dispatcher.connect_timeout_ms,
        dispatcher.request_timeout_ms,
        &"the value of `dispatcher.request_timeout_ms`",
    );
    let needed = dispatcher.request_timeout_ms.saturating_mul(2).saturating_add(LEASE_MARGIN_MS);
    if dispatcher.lease_ms < needed {
        let why =
            "twice `dispatcher.request_timeout_ms`, for a question and an answer, and 10 s to write it down";
        add("dispatcher.lease_ms", format!("{} is below {needed}: {why}", dispatcher.lease_ms));
    }
    questions(reconciler, add);
    for (key, listen) in [("ingress.listen", &ingress.listen), ("api.listen", &api.listen)] {
        if listen.is_empty() {
            add(key, "must be given as \"host:port\"".to_owned());
        }
    }
    if !(1..=2).contains(&operations.correction_approvals) {
        add("operations.correction_approvals", "must be 1 or 2".to_owned());
    }
    transport::check(database, broker, add);
    tokens(api, add);
    console(api, add);
    jwt(api, add);
    origins(api, add);
    ingresses(api, add);
    traces(&telemetry.otlp, add);
}

/// What a worker has for itself instead of what stands in `[broker]`.
fn batches(
    broker: &BrokerSettings,
    workers: &WorkersSettings,
    at_most: &mut dyn FnMut(&str, u64, u64, &dyn Display),
) {
    for (worker, own) in
        workers.each().into_iter().filter(|(_, own)| own.batch_max.or(own.prefetch).is_some())
    {
        let table = join("workers", &worker.replace('-', "_"));
        let (key, batch) = (join(&table, "batch_max"), u64::from(own.batch_max.unwrap_or(broker.batch_max)));
        at_most(&key, batch, BATCH_MAX.into(), &"the most for one transaction");
        let (whose, prefetch) = match own.prefetch {
            Some(prefetch) => (join(&table, "prefetch"), prefetch),
            None => ("broker.prefetch".to_owned(), broker.prefetch),
        };
        at_most(&key, batch, prefetch.into(), &format_args!("the value of `{whose}`"));
    }
}

/// A token can be guessed when it is short, and two that are equal make two actors of one.
fn tokens(api: &ApiSettings, add: &mut dyn FnMut(&str, String)) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (actor, token) in &api.tokens {
        let key = join("api.tokens", actor);
        if actor.trim().is_empty() {
            add("api.tokens", "a token must have a name: it is the actor in every record".to_owned());
        }
        let secret = token.secret.expose();
        if secret.len() < TOKEN_LENGTH_MIN {
            add(&join(&key, "secret"), format!("must have at least {TOKEN_LENGTH_MIN} characters"));
        }
        if let Some(other) = seen.insert(secret, actor) {
            add(&join(&key, "secret"), format!("is that of `{other}` too"));
        }
        if token.scopes.is_empty() {
            add(&join(&key, "scopes"), "must name at least one of read, play, operate".to_owned());
        }
        if token.requests_burst == Some(0) {
            add(&join(&key, "requests_burst"), "must be above 0".to_owned());
        }
        if let Some(person) = &token.person {
            if !is_person(person) {
                let why =
                    format!("must be the `sub` of the person's JWTs: {PERSON_CHARS_MAX} characters at most");
                add(&join(&key, "person"), format!("{why}, and no spaces around it"));
            }
            // Whoever is called like a token without a person is somebody else, and refused as a JWT.
            let named = |(name, other): (&String, &ApiToken)| {
                other.person.is_none() && name.to_lowercase() == person.to_lowercase()
            };
            if api.tokens.iter().any(named) {
                add(&join(&key, "person"), format!("{person:?} is the name of a token that names no person"));
            }
        }
    }
}

fn is_person(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && text.chars().count() <= PERSON_CHARS_MAX
        && !text.chars().any(char::is_control)
}

/// A JWT is only as good as its key, and one that anybody's issuer could have made is none.
fn console(api: &ApiSettings, add: &mut dyn FnMut(&str, String)) {
    if api.console_secret.as_ref().is_some_and(|secret| secret.expose().len() < TOKEN_LENGTH_MIN) {
        add("api.console_secret", format!("must have at least {TOKEN_LENGTH_MIN} characters"));
    }
}

fn jwt(api: &ApiSettings, add: &mut dyn FnMut(&str, String)) {
    let Some(jwt) = &api.jwt else { return };
    for (key, text) in [("api.jwt.issuer", &jwt.issuer), ("api.jwt.audience", &jwt.audience)] {
        if text.trim().is_empty() {
            add(
                key,
                "must be given: a token of another issuer or for somebody else would be taken".to_owned(),
            );
        }
    }
    let given = [jwt.key_file.is_some(), jwt.jwks_file.is_some(), jwt.hs256_secret.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        add("api.jwt", "needs one of key_file, jwks_file and, for development, hs256_secret".to_owned());
    }
    if let Some(secret) = &jwt.hs256_secret {
        if !jwt.hs256_for_development {
            let why = "whoever can verify by it can sign by it: only with `hs256_for_development = true`";
            add("api.jwt.hs256_secret", why.to_owned());
        }
        if secret.expose().len() < TOKEN_LENGTH_MIN {
            add("api.jwt.hs256_secret", format!("must have at least {TOKEN_LENGTH_MIN} characters"));
        }
        if secret.expose().contains("-----BEGIN") {
            add(
                "api.jwt.hs256_secret",
                "is a key as PEM, and no secret: it belongs into key_file".to_owned(),
            );
        }
    }
    if jwt.leeway_s > LEEWAY_MAX_S {
        add("api.jwt.leeway_s", format!("{} is above {LEEWAY_MAX_S}, the most", jwt.leeway_s));
    }
}

/// A share is none above all or below nothing, and a header that cannot be sent would show at the first span only.
fn traces(otlp: &OtlpSettings, add: &mut dyn FnMut(&str, String)) {
    if !(0.0..=1.0).contains(&otlp.sample_ratio) {
        add("telemetry.otlp.sample_ratio", "must be from 0 to 1".to_owned());
    }
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    for name in otlp.headers.keys().filter(|name| name.is_empty() || !name.chars().all(of_a_name)) {
        add(&join("telemetry.otlp.headers", name), "is not the name of a header".to_owned());
    }
}

/// Where the console asks ingresses: a name and a port, no URL.
fn ingresses(api: &ApiSettings, add: &mut dyn FnMut(&str, String)) {
    for address in &api.ingress_addresses {
        let parts = address.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains('/'));
        if parts.and_then(|(_, port)| port.parse::<u16>().ok()).is_none_or(|port| port == 0) {
            let what = format!(
                "{address:?} is no address: expected \"host:port\", as of the ingress's admin_listen"
            );
            add("api.ingress_addresses", what);
        }
    }
}

/// An origin is compared as the browser writes it.
fn origins(api: &ApiSettings, add: &mut dyn FnMut(&str, String)) {
    for origin in &api.cors_origins {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let plain = |byte: u8| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
        };
        if !host.is_some_and(|host| !host.is_empty() && host.bytes().all(plain)) {
            let what = format!(
                "{origin:?} is no origin: expected \"https://host\" or \"https://host:port\", in small letters"
            );
            add("api.cors_origins", what);
        }
    }
}
