use core::net::Ipv6Addr;
use std::fmt;

/// The longest URL of an endpoint, in bytes.
const URL_BYTES_MAX: usize = 2_000;

/// Where webhooks are sent: an absolute `http` or `https` URL without user or fragment. It may carry a token in its
/// query, so neither `Debug` nor `Display` shows that.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetUrl(String);

/// Why a text is no [`TargetUrl`]. It is not shown, for what its query may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Another scheme, or none.
    #[error("must begin with `https://` or `http://`")]
    Scheme,
    /// No host that could be one, or a port that is none.
    #[error("has no host, or one that no URL can have")]
    Host,
    /// `user:password@`.
    #[error("must not have a user or password in it")]
    User,
    /// A character that must be written as `%xx`, or a fragment, which is never sent.
    #[error("has a character that a URL cannot have, or a `#`")]
    Character,
    /// Too long.
    #[error("is longer than 2000 characters")]
    Long,
}

impl TargetUrl {
    /// Takes a text as a URL to send to. What passes is one to every parser, and the same one: nothing is left that
    /// two of them could read differently.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text.len() > URL_BYTES_MAX {
            return Err(TargetError::Long);
        }
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let rest = rest.ok_or(TargetError::Scheme)?;
        let allowed =
            |c: u8| c.is_ascii_graphic() && !matches!(c, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'#');
        if !rest.bytes().all(allowed) {
            return Err(TargetError::Character);
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(TargetError::User);
        }
        if is_authority(authority) { Ok(Self(text.to_owned())) } else { Err(TargetError::Host) }
    }

    /// The whole URL, for whoever sends to it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL to show: without its query.
    pub fn shown(&self) -> &str {
        self.0.split('?').next().unwrap_or_default()
    }

    /// This URL with `from` replaced; none when the result is no URL to send to.
    pub fn with(&self, from: &str, to: &str) -> Option<Self> {
        Self::parse(&self.0.replace(from, to)).ok()
    }
}

/// `host`, `host:port` or `[address]:port`.
fn is_authority(text: &str) -> bool {
    let (host_ok, rest) = match text.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((address, rest)) => (address.parse::<Ipv6Addr>().is_ok(), rest),
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (host, rest) = text.split_at(end);
            let letter = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
            (!host.is_empty() && host.bytes().all(letter), rest)
        }
    };
    let port_ok = match rest.strip_prefix(':') {
        None => rest.is_empty(),
        Some(port) => port.bytes().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0),
    };
    host_ok && port_ok
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_query() {
        let url = TargetUrl::parse("https://game.example:8443/hooks?token=secret").unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            r#"https://game.example:8443/hooks "https://game.example:8443/hooks""#
        );
        assert_eq!(url.expose(), "https://game.example:8443/hooks?token=secret");
    }

    #[test]
    fn a_place_in_a_url_is_filled_in() {
        let url = TargetUrl::parse("https://game.example/status/{webhook_id}").unwrap();
        assert_eq!(url.with("{webhook_id}", "abc").unwrap().expose(), "https://game.example/status/abc");
    }

    #[test]
    fn what_parsers_could_disagree_about_is_refused() {
        let table = [
            ("ftp://a/", TargetError::Scheme),
            ("HTTPS://a/", TargetError::Scheme),
            ("", TargetError::Scheme),
            ("https://", TargetError::Host),
            ("https:///x", TargetError::Host),
            ("https://?x", TargetError::Host),
            ("https://a:0/", TargetError::Host),
            ("https://a:99999/", TargetError::Host),
            ("https://a:/", TargetError::Host),
            ("https://a:+8/", TargetError::Host),
            ("https://[::1/", TargetError::Host),
            ("https://[::1]x/", TargetError::Host),
            ("https://[fe80::1%25eth0]/", TargetError::Host),
            ("https://a%2eb/", TargetError::Host),
            ("https://a,b/", TargetError::Host),
            ("https://good.example@127.0.0.1/", TargetError::User),
            ("https://u:p@a/", TargetError::User),
            ("https://a\\@b/", TargetError::Character),
            ("https://a/ b", TargetError::Character),
            ("https://a/\n", TargetError::Character),
            ("https://ä/", TargetError::Character),
            ("https://a/#x", TargetError::Character),
        ];
        for (text, error) in table {
            assert_eq!(TargetUrl::parse(text).unwrap_err(), error, "{text}");
        }
        let long = format!("https://a/{}", "x".repeat(2_000));
        assert_eq!(TargetUrl::parse(&long).unwrap_err(), TargetError::Long);
        for good in
            ["http://a", "https://a?x", "http://127.0.0.1:8080/x", "http://[::1]:80", "https://a/{id}?b=|"]
        {
            assert!(TargetUrl::parse(good).is_ok(), "{good}");
        }
    }
}
