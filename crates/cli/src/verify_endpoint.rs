//! `matchpurse verify-endpoint`: what a studio's endpoint does wrong with our webhooks.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_domain::webhook::{EventPattern, TargetUrl};
use matchpurse_receiver_kit::{Case, EndpointSecret, Options, verify};

use crate::exit::{Ending, usage};
use crate::out::Out;
use crate::progress::Progress;

/// Try a studio's endpoint and say what it does wrong with our webhooks
///
/// It sends correct, repeated, reordered, forged, old and slow deliveries. They are about a source "endpoint-check" and
/// about players that do not exist, but a correct endpoint acts on them: let it be a test system. The exit code is 1 when
/// something is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyEndpointArgs {
    /// Where the endpoint takes webhooks; it may be on this machine or in a private network
    url: String,
    /// The endpoint's secret (whsec_…). Others on this machine see it in the list of processes: better set the
    /// variable, or give a file
    #[arg(long, env = "MATCHPURSE_ENDPOINT_SECRET", hide_env_values = true, conflicts_with = "secret_file")]
    secret: Option<String>,
    /// A file with the endpoint's secret
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Where the endpoint tells how often it acted on each webhook-id: GET, {"received": {"ID": COUNT}}. It may have
    /// {webhook_id} in it, and is then asked for one at a time
    #[arg(long, value_name = "URL")]
    state_url: Option<String>,
    /// The endpoint's status URL with {webhook_id} in it, if it has one: what the dispatcher asks before it sends again
    #[arg(long, value_name = "URL")]
    status_url: Option<String>,
    /// The event type of the deliveries
    #[arg(long = "type", value_name = "TYPE", default_value = "reward.granted", value_parser = kind)]
    kind: String,
    /// How long an answer may take before it counts as none; the dispatcher's default
    #[arg(long, value_name = "MS", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    time_limit_ms: u64,
    /// From when on an answer is called slow
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    warn_after_ms: u64,
    /// How long to wait between two deliveries, for an endpoint that limits how much it takes
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pause_ms: u64,
}

fn kind(text: &str) -> Result<String, String> {
    match EventPattern::parse(text) {
        Ok(pattern) if !text.contains('*') => Ok(pattern.as_str().to_owned()),
        _ => Err("must be one event type, as reward.granted".to_owned()),
    }
}

/// Tries the endpoint and prints what was found.
pub(crate) async fn run(args: VerifyEndpointArgs, out: Out) -> Result<Ending> {
    let options = args.options()?;
    let progress = Progress::begin("trying", u64::try_from(Case::ALL.len()).ok());
    let quiet = progress.is_log();
    let report = verify(&options, |case| {
        if !quiet {
            progress.now(case.title());
            progress.step();
        }
    })
    .await?;
    drop(progress);
    if out.json() {
        out.value(&serde_json::to_value(&report)?);
    } else {
        out.line(report.to_string().trim_end());
    }
    Ok(Ending::of_check(report.good))
}

impl VerifyEndpointArgs {
    fn options(&self) -> Result<Options> {
        let url = TargetUrl::parse(&self.url).context("the endpoint's URL cannot be used")?;
        let state_url = self.state_url.as_deref().map(TargetUrl::parse).transpose();
        let status_url = self.status_url.as_deref().map(TargetUrl::parse).transpose();
        let status_url = status_url.context("the status URL cannot be used")?;
        if status_url.as_ref().is_some_and(|url| !url.expose().contains("{webhook_id}")) {
            return Err(usage("the status URL must have {webhook_id} in it, for which one is asked about"));
        }
        Ok(Options {
            state_url: state_url.context("the state URL cannot be used")?,
            status_url,
            kind: self.kind.clone(),
            time_limit: Duration::from_millis(self.time_limit_ms),
            warn_after: Duration::from_millis(self.warn_after_ms),
            pause: Duration::from_millis(self.pause_ms),
            ..Options::new(url, self.secret()?)
        })
    }

    /// The secret, which no error shows.
    fn secret(&self) -> Result<EndpointSecret> {
        let text = match (&self.secret, &self.secret_file) {
            (_, Some(file)) => {
                fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?
            }
            (Some(text), None) => text.clone(),
            (None, None) => {
                return Err(usage(
                    "the endpoint's secret is needed to sign: set MATCHPURSE_ENDPOINT_SECRET, or give --secret-file FILE",
                ));
            }
        };
        EndpointSecret::parse(text.trim()).context("the endpoint's secret cannot be used")
    }
}
