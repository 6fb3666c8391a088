//! Providers' APIs that our programs ask and tell: what is configured for them, and which secrets of it must stay where they
//! are.

use anyhow::{Context as _, Result, ensure};
use matchpurse_testkit::ProviderApi;

use super::service::program;
use super::sources::{Source, now};
use super::{PATIENCE, System, until};

/// What our programs call providers with: must never be seen again.
pub(crate) const KEY: &str = "planted-key-of-a-provider";
/// The beginning of every token that a provider gives: the same.
pub(crate) const TOKEN: &str = "planted-token-of-a-provider";
/// What a player's game shows to the studio.
pub(crate) const MATCH_TOKEN: &str = "planted-match-token-of-a-player";
const SECRETS: [&str; 3] = [KEY, TOKEN, MATCH_TOKEN];

/// An API with a limit of its own for every value of this header, as providers have one for every key.
pub(crate) async fn provider(key_header: &'static str) -> Result<ProviderApi> {
    ProviderApi::start(key_header, 60, 60, now).await
}

/// A source whose provider's API is this one.
pub(crate) fn with_api(provider: &str, name: &str, api: &ProviderApi, more: &str) -> Result<Source> {
    let mut source = Source::of(provider, name)?;
    source.more = format!("keys.api = [\"{KEY}\"]\noptions.api_url = \"{}\"\n{more}", api.url());
    Ok(source)
}

impl System {
    /// Waits until these rows of one text are there.
    pub(crate) async fn comes_true(&self, what: &str, sql: &str, expected: &[&str]) -> Result<()> {
        until(what, PATIENCE, async || {
            let lines = self.lines(sql).await?;
            Ok((lines != expected).then(|| format!("{lines:?}")))
        })
        .await
    }

    /// Nothing is wrong with the books, and no secret is in logs, archive or what is known of calls.
    pub(crate) async fn sound_and_silent(&self) -> Result<()> {
        let config = self.config().to_str().context("the folder's name is no text")?;
        let audit = program("matchpurse")?.args(["audit", "--config", config]).output()?;
        ensure!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
        for entry in std::fs::read_dir(self.folder())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let log = std::fs::read_to_string(&path)?;
                let secret = SECRETS.iter().find(|secret| log.contains(**secret));
                ensure!(secret.is_none(), "a secret is in {}", path.display());
            }
        }
        let told = "SELECT encode(event || raw, 'escape') FROM archive
                    UNION ALL SELECT coalesce(detail, '') FROM inquiry
                    UNION ALL SELECT detail::text FROM anomaly
                    UNION ALL SELECT concat(reason, detail) FROM operation
                    UNION ALL SELECT last_detail FROM result_report
                    UNION ALL SELECT payload::text FROM outbox";
        for line in self.lines(told).await? {
            let secret = SECRETS.iter().find(|secret| line.contains(**secret));
            ensure!(secret.is_none(), "a secret is in the database: {line}");
        }
        Ok(())
    }
}
