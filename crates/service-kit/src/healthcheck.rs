//! The question of an orchestrator, as a command: is the service on this machine alive?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};

use crate::http_client::{HttpClient, HttpClientOptions, HttpError};

/// A service on the same machine that takes longer is not well.
const TIME_LIMIT: Duration = Duration::from_secs(3);

/// Why a service is not known to be alive.
#[derive(Debug, thiserror::Error)]
pub enum HealthcheckError {
    /// It has no admin port.
    #[error("`{0}` is empty, so there is nobody to ask")]
    NoPort(String),
    /// The setting is no address.
    #[error("{0} is no URL")]
    Address(String, #[source] http::Error),
    /// There is no answer.
    #[error("{0} does not answer")]
    Silent(String, #[source] HttpError),
    /// It says that it is not.
    #[error("{url} answers {status}: {body}")]
    NotAlive {
        /// What was asked.
        url: String,
        /// The status of the answer.
        status: StatusCode,
        /// Its body.
        body: String,
    },
}

/// Asks the service that listens on the admin port `listen` whether it is alive; `setting` is the key that gives the
/// port, for the error.
///
/// # Errors
/// [`HealthcheckError`], also when it is not alive.
pub async fn healthcheck(listen: Option<&str>, setting: &str) -> Result<(), HealthcheckError> {
    let listen = listen.ok_or_else(|| HealthcheckError::NoPort(setting.to_owned()))?;
    let url = format!("http://{}/healthz", reachable(listen));
    let options = HttpClientOptions { proxy_from_environment: false, ..HttpClientOptions::default() };
    let silent = |error| HealthcheckError::Silent(url.clone(), error);
    let request = Request::get(&url)
        .body(Bytes::new())
        .map_err(|error| HealthcheckError::Address(url.clone(), error))?;
    let client = HttpClient::new(&options).map_err(silent)?;
    let response = client.send_within(TIME_LIMIT, request).await.map_err(silent)?;
    let status = response.status();
    if !status.is_success() {
        let body = String::from_utf8_lossy(response.body()).into_owned();
        return Err(HealthcheckError::NotAlive { url, status, body });
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

    #[tokio::test]
    async fn without_a_port_it_says_which_setting_is_empty() {
        let error = healthcheck(None, "api.admin_listen").await.unwrap_err();
        assert_eq!(error.to_string(), "`api.admin_listen` is empty, so there is nobody to ask");
    }
}
