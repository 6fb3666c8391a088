use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::config::Host;

use crate::migrate::Session;
use crate::{Error, Result, tls};

/// Makes an empty database of this name on the server of `url`, whatever was in one of that name before, and
/// returns its URL. Only for servers that somebody started for this.
///
/// # Errors
/// When the name has other characters than a-z, 0-9 and '_', the server is away or refuses, or the URL is one
/// without a host.
pub async fn recreate_database(url: &SecretString, name: &str) -> Result<SecretString> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Error::Url);
    }
    let session = Session::open(url).await?;
    session.client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
    session.client.batch_execute(&format!("CREATE DATABASE {name}")).await?;
    with_database(url, name)
}

/// The same server's URL with another database.
fn with_database(url: &SecretString, name: &str) -> Result<SecretString> {
    let (config, _) = tls::reach(url)?;
    let (Some(Host::Tcp(host)), Some(port)) = (config.get_hosts().first(), config.get_ports().first()) else {
        return Err(Error::Url);
    };
    let server = url.expose_secret().split_once("://").ok_or(Error::Url)?.1;
    let credentials =
        server.rsplit_once('@').map(|(credentials, _)| format!("{credentials}@")).unwrap_or_default();
    Ok(format!("postgres://{credentials}{host}:{port}/{name}").into())
}
