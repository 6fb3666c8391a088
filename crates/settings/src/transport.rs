//! Who can read what goes to the database and to the broker.

use std::net::IpAddr;

use crate::{BrokerSettings, DatabaseSettings, SecretUrl, Settings};

impl Settings {
    /// What goes over a network in plain text, passwords among it, a sentence each: worth a warning where nobody has said
    /// that the network is a private one.
    pub fn in_plain_text(&self) -> Vec<String> {
        let database = &self.database;
        let url = database.url.expose();
        let mode = sslmode(url);
        let plain = mode.map_or(parameter(url, "sslrootcert").is_none(), |mode| mode == "disable");
        let mut found = Vec::new();
        if plain && !is_local(url) {
            found.push(
                "what goes to the database is in plain text: `sslmode=verify-full` in `database.url` is TLS"
                    .to_owned(),
            );
        }
        if let Some(url) = self.broker.url.as_ref().map(|url| url.expose())
            && url.starts_with("amqp://")
            && !is_local(url)
        {
            found.push(
                "what goes to the broker is in plain text: `amqps://` in `broker.url` is TLS".to_owned(),
            );
        }
        found
    }
}

/// Reports what contradicts itself, or protects from nobody.
pub(crate) fn check(database: &DatabaseSettings, broker: &BrokerSettings, add: &mut dyn FnMut(&str, String)) {
    let url = database.url.expose();
    let file = parameter(url, "sslrootcert");
    if file.is_some() && database.tls_ca.is_some() {
        add("database.tls_ca", "`sslrootcert` in `database.url` says it too".to_owned());
    }
    let file = database.tls_ca.as_ref().map(drop).or(file.map(drop));
    match (sslmode(url), file) {
        (None | Some("verify-full"), _)
        | (Some("disable"), None)
        | (Some("require" | "verify-ca"), Some(_)) => {}
        (Some("disable"), Some(_)) => {
            add(
                "database.tls_ca",
                "is for TLS, and `sslmode=disable` in `database.url` is plain text".to_owned(),
            );
        }
        (Some(mode @ ("require" | "verify-ca")), None) => add(
            "database.url",
            format!(
                "`sslmode={mode}` needs `database.tls_ca`: it does not look at the host's name; `verify-full` does"
            ),
        ),
        (Some(mode @ ("prefer" | "allow")), _) => {
            add(
                "database.url",
                format!("`sslmode={mode}` protects from nobody: say `disable` or `verify-full`"),
            );
        }
        (Some(mode), _) => add(
            "database.url",
            format!("`sslmode={mode}` is none of `disable`, `require`, `verify-ca`, `verify-full`"),
        ),
    }
    let over_tls = broker.url.as_ref().is_none_or(|url| url.expose().starts_with("amqps://"));
    if broker.tls_ca.is_some() && !over_tls {
        add(
            "broker.tls_ca",
            "is for TLS, and `broker.url` is plain text: it begins with `amqp://`".to_owned(),
        );
    }
}

/// The URL then says everything about the database, wherever it is handed to: the authorities' file stands in it as
/// PostgreSQL's own clients have it.
pub(crate) fn put_authorities_into_url(database: &mut DatabaseSettings) {
    let Some(path) = database.tls_ca.as_ref().map(|path| path.to_string_lossy()) else { return };
    let url = database.url.expose();
    let separator = if url.contains('?') { '&' } else { '?' };
    let path = path.replace('%', "%25").replace('&', "%26");
    if let Some(url) = SecretUrl::new(format!("{url}{separator}sslrootcert={path}")) {
        database.url = url;
    }
}

fn sslmode(url: &str) -> Option<&str> {
    parameter(url, "sslmode")
}

fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = url.split_once('?')?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .next_back()
}

/// Whether all hosts of the URL are this machine: a loopback address, or a socket in the file system.
fn is_local(url: &str) -> bool {
    let address = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = address.split(['/', '?']).next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    hosts
        .split(',')
        .chain(parameter(url, "host").into_iter().flat_map(|hosts| hosts.split(',')))
        .all(is_local_host)
}

fn is_local_host(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let socket = name.is_empty() || name.starts_with('/') || name.to_ascii_lowercase().starts_with("%2f");
    socket || name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_from_others() {
        for local in [
            "amqp://guest:guest@127.0.0.1:5672/%2f",
            "amqp://guest:gu%40est@localhost/app?heartbeat=10",
            "postgres://u@[::1]:5432/n",
            "postgres:///n?host=/var/run/postgresql",
            "postgres://%2Fvar%2Frun/n",
        ] {
            assert!(is_local(local), "{local}");
        }
        for other in [
            "amqp://guest:guest@mq:5672/%2f",
            "postgres://u:p@10.0.0.7/n",
            "postgres://u:p@localhost,db2:5432/n",
            "postgres://u:p@[2001:db8::1]/n",
            "postgres:///n?host=db",
            "postgres://localhost@db/n",
        ] {
            assert!(!is_local(other), "{other}");
        }
    }
}
