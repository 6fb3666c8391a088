//! The sources of `demo`, `dev`, and of `simulate` without a configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use matchpurse_settings::Settings;

const SOURCES: &str = include_str!("../demo/sources.toml");

/// The source that is signed with a private key, and that key. It protects nothing; see `demo/README.md`.
const SIGNED_BY_KEY: (&str, &str) = ("arena", include_str!("../demo/platform_private.pem"));

/// The secret of the API's one token. It is published with the program and protects nothing.
pub(crate) const API_TOKEN: &str = "development-token-that-protects-nothing";

/// A configuration of these sources, on this database and broker, with deliveries at `listen` and the API at
/// `api_listen`.
pub(crate) fn settings(
    database_url: &str,
    broker_url: Option<&str>,
    listen: &str,
    api_listen: &str,
) -> Result<Settings> {
    let mut text = String::new();
    writeln!(text, "[database]\nurl = {database_url:?}")?;
    writeln!(text, "[broker]\nurl = {:?}", broker_url.unwrap_or_default())?;
    // A process that stays on one machine for some minutes need not tell load balancers that it goes.
    writeln!(text, "[ingress]\nlisten = {listen:?}\nadmin_listen = \"127.0.0.1:0\"\ndrain_delay_ms = 0")?;
    writeln!(text, "[api]\nlisten = {api_listen:?}\nadmin_listen = \"127.0.0.1:0\"")?;
    writeln!(text, "[api.tokens.developer]\nsecret = {API_TOKEN:?}\nscopes = [\"read\", \"operate\"]")?;
    writeln!(text, "[telemetry]\nlog_filter = \"error\"\n{SOURCES}")?;
    Ok(Settings::parse_str(&text)?)
}

/// The private keys that the simulator signs with, by the source's name.
pub(crate) fn signing_keys() -> BTreeMap<String, Vec<u8>> {
    let (source, key) = SIGNED_BY_KEY;
    BTreeMap::from([(source.to_owned(), key.as_bytes().to_vec())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_a_good_configuration() {
        let settings = settings("postgres://me@127.0.0.1/db", None, "127.0.0.1:0", "127.0.0.1:0").unwrap();
        matchpurse_ingress::check_sources(&settings).unwrap();
        assert_eq!(settings.sources.len(), 4);
    }
}
