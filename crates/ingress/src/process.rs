use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Request;
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions};
use matchpurse_service_kit::{shutdown, telemetry};
use matchpurse_settings::Settings;

use crate::{Application, Egress};

/// An ingress on the same machine that takes longer is not well.
const HEALTHCHECK_TIME_LIMIT: Duration = Duration::from_secs(3);

/// Runs the ingress as a process of its own until a signal stops it.
///
/// # Errors
/// When it cannot start, or a server ends by itself.
pub async fn run(settings: &Settings) -> anyhow::Result<()> {
    telemetry::init("ingress", settings.telemetry.log_format, &settings.telemetry.log_filter)?;
    let stop = shutdown::on_signals().context("cannot listen for signals")?;
    let egress = Egress::start(settings).await?;
    let mut application = Application::build(settings, egress.publisher()).await?;
    if let Some(relay) = egress.relay_status() {
        application = application.with_relay(relay);
    }
    let ended = application.run_until_stopped(stop).await.context("the ingress ended");
    egress.stop().await;
    ended
}

/// Asks the ingress on this machine, by its admin port, whether it is alive.
///
/// # Errors
/// When it is not, or the settings give it no admin port.
pub async fn healthcheck(settings: &Settings) -> anyhow::Result<()> {
    let listen = settings.ingress.admin_listen.as_deref();
    let listen = listen.context("`ingress.admin_listen` is empty, so there is nobody to ask")?;
    let url = format!("http://{}/healthz", reachable(listen));
    let options = HttpClientOptions { proxy_from_environment: false, ..HttpClientOptions::default() };
    let request = Request::get(&url).body(Bytes::new())?;
    let client = HttpClient::new(&options)?;
    let response = client
        .send_within(HEALTHCHECK_TIME_LIMIT, request)
        .await
        .with_context(|| format!("{url} does not answer"))?;
    if !response.status().is_success() {
        bail!("{url} answers {}: {}", response.status(), String::from_utf8_lossy(response.body()));
    }
    Ok(())
}

/// The address under which something that listens on `listen` can be reached from the same machine.
fn reachable(listen: &str) -> String {
    let loopback = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
        _ => address,
    };
    listen.parse().map_or_else(|_| listen.to_owned(), |address| loopback(address).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_everybody_is_reached_by_loopback() {
        for (listen, reached) in [
            ("0.0.0.0:9100", "127.0.0.1:9100"),
            ("[::]:9100", "[::1]:9100"),
            ("127.0.0.2:9100", "127.0.0.2:9100"),
            ("ingress:9100", "ingress:9100"),
        ] {
            assert_eq!(reachable(listen), reached);
        }
    }
}
