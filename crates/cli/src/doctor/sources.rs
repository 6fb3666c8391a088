//! The sources: whether each could verify what comes, and when something came.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use matchpurse_domain::ids::SourceName;
use matchpurse_ingress::{adapter_settings, check_sources};
use matchpurse_providers::{Provider, by_id};
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions};
use matchpurse_settings::{Settings, SourceSettings};
use matchpurse_store::events::{EventFilter, heads, piece_of_chain};
use matchpurse_store::{Store, chain};

use super::report::{Area, Report};
use crate::moment::clock;

/// Looks at every source.
pub(super) async fn look(settings: &Settings, store: Option<&Store>, report: &mut Report) {
    if let Err(error) = check_sources(settings) {
        let advice = "mend what is named: the ingress refuses to start. Secrets are what the provider shows where its \
                      webhooks are set up";
        report.failed(Area::Sources, "sources", chain(&error), advice);
    }
    for (name, source) in &settings.sources {
        let Some(provider) = by_id(source.provider()) else { continue };
        keys(name, source, provider, report).await;
    }
    let Some(store) = store else { return };
    for name in settings.sources.keys() {
        let url = format!("http://{}/hooks/{name}", settings.ingress.listen);
        match last(store, name).await {
            Ok(Some((at, what))) => {
                report.ok(
                    Area::Sources,
                    format!("last of {name}"),
                    format!("{what} at {at}; taken at {url}"),
                );
            }
            Ok(None) => {
                let advice = format!(
                    "give the provider the public address of {url}; `matchpurse send --list --source {name}` has \
                     deliveries to try it with, and `matchpurse listen --rejected` shows what is refused"
                );
                report.warning(Area::Sources, format!("last of {name}"), "nothing has come yet", advice);
            }
            Err(error) => {
                report.failed(
                    Area::Sources,
                    format!("last of {name}"),
                    chain(&error),
                    "run `matchpurse migrate`",
                );
            }
        }
    }
}

/// What it verifies with: secrets of the configuration, or public keys that are fetched.
async fn keys(
    name: &SourceName,
    source: &SourceSettings,
    provider: &'static dyn Provider,
    report: &mut Report,
) {
    let area = Area::Sources;
    let count = source.secrets().len();
    let what = format!("source {name}");
    let Some(remote) = provider.remote_keys(&adapter_settings(source)) else {
        if count > 0 {
            report.ok(area, what, format!("{}, {count} active secrets", provider.id()));
        }
        return;
    };
    match fetch(&remote.url, provider).await {
        Ok(keys) => {
            report.ok(area, what, format!("{}, {keys} public keys from {}", provider.id(), remote.url))
        }
        Err(why) => {
            let advice = "until keys are known all deliveries are answered 503: is the URL right, and may this machine \
                          reach it? A key can stand in `secrets` meanwhile";
            let detail = format!("no public key from {}: {why}", remote.url);
            if count > 0 {
                return report.warning(area, what, detail, advice);
            }
            report.failed(area, what, detail, advice);
        }
    }
}

async fn fetch(url: &str, provider: &dyn Provider) -> Result<usize, String> {
    let options = HttpClientOptions {
        time_limit: Duration::from_secs(5),
        user_agent: "matchpurse-doctor",
        ..HttpClientOptions::default()
    };
    let client = HttpClient::new(&options).map_err(|error| chain(&error))?;
    let request = Request::get(url).body(Bytes::new()).map_err(|error| error.to_string())?;
    let answer = client.send(request).await.map_err(|error| chain(&error))?;
    if !answer.status().is_success() {
        return Err(format!("it answers {}", answer.status()));
    }
    provider.read_remote_keys(answer.body()).map(|keys| keys.len()).map_err(|error| error.to_string())
}

/// When the last event of a source came, and what it was.
async fn last(store: &Store, name: &SourceName) -> matchpurse_store::Result<Option<(String, String)>> {
    let client = store.client().await?;
    let Some(head) = heads(&client).await?.remove(name.as_str()).filter(|head| head.seq > 0) else {
        return Ok(None);
    };
    let piece = (head.seq - 1, head.seq);
    let lines = piece_of_chain(&client, &EventFilter::default(), name.as_str(), piece, None).await?;
    Ok(lines.last().map(|line| {
        let what = format!("event {}, {}", head.seq, line.event.payload.name().as_str());
        (clock(line.event.received_at), what)
    }))
}
