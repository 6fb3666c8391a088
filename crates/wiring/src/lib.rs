//! The bus and the store as the settings say.
//!
//! `bus` and `store` know no configuration, and `settings` knows neither of them; ingress and workers need all
//! three put together in the same way.

use std::time::Duration;

use matchpurse_bus::{BusOptions, Transport};
use matchpurse_settings::Settings;
use matchpurse_store::StoreOptions;

/// The database, for a service of this name that asks with varying parameters: the ingress, a command.
pub fn store_options(settings: &Settings, service: &str) -> StoreOptions {
    of_settings(settings, StoreOptions::new(settings.database.url.expose().into(), service))
}

/// The database, for a worker of this name; its statements take arrays and are planned once.
pub fn worker_store_options(settings: &Settings, service: &str) -> StoreOptions {
    of_settings(settings, StoreOptions::for_worker(settings.database.url.expose().into(), service))
}

fn of_settings(settings: &Settings, options: StoreOptions) -> StoreOptions {
    let database = &settings.database;
    StoreOptions {
        pool_size: usize::from(database.pool_size),
        wait_timeout: Duration::from_millis(database.pool_wait_ms),
        connect_timeout: Duration::from_millis(database.connect_timeout_ms),
        statement_timeout: Duration::from_millis(database.statement_timeout_ms.into()),
        answer_grace: Duration::from_millis(database.answer_grace_ms.into()),
        lock_timeout: Duration::from_millis(database.lock_timeout_ms.into()),
        idle_in_transaction_timeout: Duration::from_millis(database.idle_in_transaction_timeout_ms.into()),
        ..options
    }
}

/// The way of the events as a worker of this name takes from it: where it has batches of its own, in those.
pub fn worker_transport(settings: &Settings, worker: &str, transport: &Transport) -> Transport {
    match settings.workers.of(worker).map(|own| (own.batch_max, own.prefetch)) {
        None | Some((None, None)) => transport.clone(),
        Some((batch_max, prefetch)) => {
            let batch_max = batch_max.unwrap_or(settings.broker.batch_max);
            transport.with_batches(batch_max.into(), prefetch.unwrap_or(settings.broker.prefetch))
        }
    }
}

/// The bus, for a service of this name.
pub fn bus_options(settings: &Settings, service: &str) -> BusOptions {
    let broker = &settings.broker;
    BusOptions {
        tls_ca: broker.tls_ca.clone(),
        heartbeat: Duration::from_secs(broker.heartbeat_s.into()),
        connection_timeout: Duration::from_millis(broker.connect_timeout_ms),
        reconnect_min: Duration::from_millis(broker.reconnect_min_ms),
        reconnect_max: Duration::from_millis(broker.reconnect_max_ms),
        confirm_timeout: Duration::from_millis(broker.confirm_timeout_ms),
        waiting_max: usize::try_from(broker.unconfirmed_max).unwrap_or(usize::MAX),
        group_max_events: usize::from(broker.group_max_events),
        declare: broker.declare,
        shards: broker.shards,
        take_shards: broker.take_shards.clone(),
        prefetch: broker.prefetch,
        held_bytes_max: usize::try_from(broker.held_bytes_max).unwrap_or(usize::MAX),
        batch_max: usize::from(broker.batch_max),
        batch_bytes_max: usize::try_from(broker.batch_bytes_max).unwrap_or(usize::MAX),
        batch_wait: Duration::from_millis(broker.batch_wait_ms),
        ..BusOptions::for_service(service)
    }
}
