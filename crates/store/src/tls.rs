//! Connections to PostgreSQL over TLS, and what the URL's `sslmode` means here.
//!
//! As libpq has it, but without its weak spots: `require` believes no server that an authority of ours has not vouched for,
//! and there is no `prefer` or `allow`, which somebody in between could turn into plain text.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use matchpurse_tls::{ClientStream, Connector, Names};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

use crate::{Error, Result};

/// Reads a database URL, its `sslmode` and its `sslrootcert`, of which the driver knows nothing or other values. An error
/// does not repeat the URL, for the password.
pub(crate) fn reach(url: &SecretString) -> Result<(Config, Tls)> {
    let (url, mode) = without(url.expose_secret(), "sslmode");
    let (url, file) = without(&url, "sslrootcert");
    let mut config: Config = url.parse().map_err(|_| Error::Url)?;
    let file = file.filter(|file| !file.is_empty()).map(|file| PathBuf::from(decoded(&file)));
    let authorities = file.as_deref();
    let trusting = |names| Connector::new(authorities, names).map_err(Error::Tls);
    let connector = match (mode.as_deref(), authorities) {
        (None, None) | (Some("disable"), _) => None,
        (None, Some(_)) | (Some("verify-full"), _) => Some(trusting(Names::Checked)?),
        // The name is not looked at, so the authority must be one that vouches for nobody else.
        (Some("require" | "verify-ca"), Some(_)) => Some(trusting(Names::Unchecked)?),
        (Some("require" | "verify-ca"), None) => {
            return Err(Error::SslMode(
                "`require` and `verify-ca` need an authority's file; `verify-full` does not",
            ));
        }
        (Some("prefer" | "allow"), _) => {
            return Err(Error::SslMode(
                "`prefer` and `allow` protect from nobody: say `disable` or `verify-full`",
            ));
        }
        (Some(_), _) => {
            return Err(Error::SslMode("expected one of disable, require, verify-ca, verify-full"));
        }
    };
    config.ssl_mode(if connector.is_some() { SslMode::Require } else { SslMode::Disable });
    Ok((config, Tls { connector }))
}

/// The URL without this parameter, and its value.
fn without(url: &str, name: &str) -> (String, Option<String>) {
    let Some((address, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let is_it = |pair: &&str| pair.split('=').next() == Some(name);
    let (given, rest): (Vec<&str>, Vec<&str>) = query.split('&').partition(is_it);
    let Some(last) = given.last() else { return (url.to_owned(), None) };
    let value = last.split_once('=').map_or("", |(_, value)| value);
    let url = if rest.is_empty() { address.to_owned() } else { format!("{address}?{}", rest.join("&")) };
    (url, Some(value.to_owned()))
}

/// A value without its percent signs; what is no escape stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digits: String = rest.clone().take(2).map(char::from).collect();
        match u8::from_str_radix(&digits, 16) {
            Ok(escaped) if byte == b'%' && digits.len() == 2 => {
                bytes.push(escaped);
                rest.nth(1);
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How the driver makes a connection. Without a connector it is asked too, but never to shake hands.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    connector: Option<Connector>,
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Secured<S>;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Handshake> {
        Ok(Handshake { connector: self.connector.clone(), host: domain.to_owned() })
    }
}

/// With one server.
pub(crate) struct Handshake {
    connector: Option<Connector>,
    host: String,
}

impl<S> TlsConnect<S> for Handshake
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Secured<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let connector = self.connector.ok_or(io::ErrorKind::Unsupported)?;
            Ok(Secured(connector.connect(&self.host, stream).await?))
        })
    }
}

/// A connection over TLS, as the driver wants it.
pub(crate) struct Secured<S>(ClientStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Secured<S> {
    /// None: SCRAM then binds the password to no connection. The certificate is checked in its place, always.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_taken_out_of_the_url() {
        for (url, rest, mode) in [
            ("postgres://u:p@h/n", "postgres://u:p@h/n", None),
            ("postgres://u:p@h/n?sslmode=verify-full", "postgres://u:p@h/n", Some("verify-full")),
            ("postgres://h/n?a=1&sslmode=require&b=2", "postgres://h/n?a=1&b=2", Some("require")),
            ("postgres://h/n?options=-c%20role%3Dx", "postgres://h/n?options=-c%20role%3Dx", None),
        ] {
            assert_eq!(without(url, "sslmode"), (rest.to_owned(), mode.map(str::to_owned)), "{url}");
        }
        assert_eq!(decoded("/etc/my%20ca%2fa.pem%"), "/etc/my ca/a.pem%");
    }

    #[test]
    fn a_mode_that_protects_from_nobody_is_refused() {
        for (mode, why) in [
            ("prefer", "protect from nobody"),
            ("allow", "protect from nobody"),
            ("require", "need an authority's file"),
            ("verify-ca", "need an authority's file"),
            ("verify_full", "expected one of"),
        ] {
            let url = format!("postgres://u:geheim@h/n?sslmode={mode}");
            let error = reach(&url.into()).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("geheim"), "{mode}: {error}");
        }
        let (config, _) = reach(&"postgres://h/n?sslmode=disable".into()).unwrap();
        assert_eq!(config.get_ssl_mode(), SslMode::Disable);
        // Nothing said: over TLS if somebody has said whom to believe. The file is looked at at once.
        let missing = reach(&"postgres://h/n?sslrootcert=/nonexistent".into());
        assert!(matches!(missing, Err(Error::Tls(_))));
    }
}
