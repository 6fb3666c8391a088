//! The services, as their admin ports tell.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions};
use matchpurse_settings::Settings;
use serde_json::Value;

use super::report::{Area, Report};

/// Asks every service that has an admin port in the configuration.
pub(super) async fn look(settings: &Settings, report: &mut Report) {
    let workers = &settings.workers;
    let ports = [
        ("ingress", &settings.ingress.admin_listen),
        ("match-escrow", &workers.match_escrow.admin_listen),
        ("reward-fulfillment", &workers.reward_fulfillment.admin_listen),
        ("player-stats", &workers.player_stats.admin_listen),
        ("offer-removal", &workers.offer_removal.admin_listen),
        ("event-archive", &workers.event_archive.admin_listen),
        ("dispatcher", &settings.dispatcher.admin_listen),
        ("reconciler", &settings.reconciler.admin_listen),
        ("api", &settings.api.admin_listen),
    ];
    for (name, address) in ports {
        // Where there is none nobody can be asked, and one with port 0 is known to nobody.
        if let Some(address) = address.as_deref().filter(|address| !address.ends_with(":0")) {
            service(name, address, report).await;
        }
    }
}

async fn service(name: &str, address: &str, report: &mut Report) {
    // What listens everywhere answers here.
    let address = address.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]");
    match ready(&address).await {
        Ok((true, _)) => report.ok(Area::Services, name, format!("ready, says {address}")),
        Ok((false, why)) => {
            let advice = "its log says more; the reasons here are those of `/readyz`";
            report.failed(Area::Services, name, format!("not ready: {why}"), advice);
        }
        Err(why) => {
            let advice = "start it; or it runs on another machine, where this can be asked";
            report.warning(Area::Services, name, format!("nobody answers at {address}: {why}"), advice);
        }
    }
}

/// Whether it is ready, and else why not.
async fn ready(address: &str) -> Result<(bool, String), String> {
    let options = HttpClientOptions {
        time_limit: Duration::from_secs(3),
        connect_time_limit: Duration::from_secs(2),
        proxy_from_environment: false,
        user_agent: "matchpurse-doctor",
        ..HttpClientOptions::default()
    };
    let client = HttpClient::new(&options).map_err(|error| error.to_string())?;
    let request = Request::get(format!("http://{address}/readyz")).body(Bytes::new());
    let request = request.map_err(|error| error.to_string())?;
    let answer = client.send(request).await.map_err(|error| error.to_string())?;
    let report: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let checks = report.get("checks").and_then(Value::as_array).into_iter().flatten();
    let reasons = checks.filter_map(|check| {
        let text = |name: &str| check.get(name).and_then(Value::as_str);
        Some(format!("{}: {}", text("name")?, text("reason")?))
    });
    Ok((answer.status().is_success(), reasons.collect::<Vec<_>>().join("; ")))
}
