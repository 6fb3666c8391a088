//! The operators' port: `/healthz`, `/readyz`, `/metrics`, and `/rejected`, the log of refused deliveries.

use std::sync::{Arc, OnceLock};

use actix_web::http::ConnectionType;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use matchpurse_bus::{Publisher, Status};
use matchpurse_service_kit::health::{Check, Health, Report};
use matchpurse_service_kit::metrics::Metrics;

use crate::rejected::RejectedLog;

/// The media type of Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the pages of the admin port read.
pub(crate) struct Admin {
    pub(crate) health: Arc<IngressHealth>,
    pub(crate) metrics: Metrics,
    pub(crate) rejected: Arc<RejectedLog>,
}

/// The checks of the ingress.
pub(crate) struct IngressHealth {
    health: Health,
    publisher: Arc<dyn Publisher>,
    publisher_check: Check,
    serving_check: Check,
    relay: OnceLock<(Status, Check)>,
}

impl IngressHealth {
    pub(crate) fn new(publisher: Arc<dyn Publisher>) -> Self {
        let health = Health::new("ingress");
        let (publisher_check, serving_check) = (health.check("publisher"), health.check("serving"));
        Self { health, publisher, publisher_check, serving_check, relay: OnceLock::new() }
    }

    /// Shows a relay from now on; the first one stays.
    pub(crate) fn show_relay(&self, status: Status) {
        self.relay.get_or_init(|| (status, self.health.note("spool relay")));
    }

    /// Shows whether the configuration in the files is the one in force.
    pub(crate) fn configuration(&self) -> Check {
        self.health.note("configuration")
    }

    /// Deliveries are taken.
    pub(crate) fn serving(&self) {
        self.serving_check.ready();
    }

    /// Deliveries are still taken, but no new ones should be sent here.
    pub(crate) fn draining(&self) {
        self.serving_check.not_ready("draining");
    }

    fn report(&self) -> Report {
        if self.publisher.is_ready() {
            self.publisher_check.ready();
        } else {
            self.publisher_check.not_ready("events cannot be put on durable storage now");
        }
        if let Some((status, check)) = self.relay.get() {
            let state = status.state();
            if state.connected { check.ready() } else { check.not_ready(state.problem) }
        }
        self.health.report()
    }
}

/// The routes of the admin port.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/metrics", web::get().to(metrics))
        .route("/rejected", web::get().to(rejected));
}

/// Whether the process is alive.
pub(crate) async fn healthz(health: web::Data<IngressHealth>) -> HttpResponse {
    let report = health.report();
    answer(report.alive, &report)
}

/// The same on the public port, for load balancers that can ask nothing else, where anybody may ask: the connection ends with the answer (see
/// [`crate::caller::Caller::hang_up_on_a_stranger`]).
pub(crate) async fn public_healthz(health: web::Data<IngressHealth>) -> HttpResponse {
    let mut answer = healthz(health).await;
    answer.head_mut().set_connection_type(ConnectionType::Close);
    answer
}

async fn readyz(health: web::Data<IngressHealth>) -> HttpResponse {
    let report = health.report();
    answer(report.ready, &report)
}

async fn metrics(admin: web::Data<Admin>) -> HttpResponse {
    HttpResponse::Ok().content_type(PROMETHEUS).body(admin.metrics.render())
}

async fn rejected(admin: web::Data<Admin>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(admin.rejected.to_json())
}

fn answer(good: bool, report: &Report) -> HttpResponse {
    let mut response = if good { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.insert_header((CACHE_CONTROL, "no-store")).json(report)
}
