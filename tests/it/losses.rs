//! One webhook of twenty gets lost, and providers' APIs fail, are slow, end tokens early and are away for a while: in the end everything
//! is as the providers know it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use matchpurse_providers::OptionValue;
use matchpurse_simulator::{ApiTroubles, Apis, Plan, PlanOptions, PlayOptions, SimulatedSource, play};
use tokio::net::TcpListener;

use crate::system::provider::KEY;
use crate::system::service::program;
use crate::system::sources::Source;
use crate::system::{self, System, until};

/// A busy machine is no failure; and what was asked for in vain is asked for again after seconds.
const PATIENCE: Duration = Duration::from_secs(400);

/// Everything is asked for as often as may be.
const IMPATIENT: &str = "look_every_ms = 200\nsilent_s = 2\noffers_every_s = 3\npull_every_s = 3\nrequest_timeout_ms = 1000\n\
     connect_timeout_ms = 500";

/// A late answer is one that is not waited for. A list of offers has fewer pages than there are requests between two failures,
/// so that it is read whole the next time at the latest.
const TROUBLES: ApiTroubles = ApiTroubles { every: 20, slow_by: Duration::from_millis(1_500) };

/// The sources, each with the key that is shown to its API; the last one's matches are asked for instead of pushed.
fn sources(apis: &str) -> Result<Vec<(Source, String)>> {
    let mut sources = Vec::new();
    for (provider, name, key) in [
        ("dathost", "servers", format!("studio@example.com:{KEY}")),
        ("lucra", "games", KEY.to_owned()),
        ("adgem", "wall", KEY.to_owned()),
        ("okletsplay", "arena", KEY.to_owned()),
    ] {
        let mut source = Source::of(provider, name)?;
        let mut option = |name: &str, value: String| {
            source.settings.options.insert(name.to_owned(), OptionValue::Text(value));
        };
        option("api_url", format!("{apis}/{name}"));
        source.more = format!("keys.api = [{key:?}]");
        sources.push((source, key));
    }
    let (arena, _) = sources.last_mut().context("there are sources")?;
    let url = format!("{apis}/arena");
    arena.keys.clear();
    arena.settings.options = [
        ("pull_url", format!("{url}/matches")),
        ("token_url", format!("{url}/token")),
        ("client_id", "game".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), OptionValue::Text(value)))
    .into();
    Ok(sources)
}

fn simulated(source: &Source, api_key: &str) -> Result<SimulatedSource> {
    let api_key = api_key.as_bytes().to_vec();
    let Some(webhook) = source.keys.get("webhook") else {
        return Ok(SimulatedSource::asked_only(source.settings.clone(), api_key)?);
    };
    let simulated =
        SimulatedSource::new(source.settings.clone(), webhook.sign.clone())?.with_api_key(api_key);
    Ok(match source.keys.get("postback") {
        Some(postback) => simulated.with_postback_key(postback.sign.clone()),
        None => simulated,
    })
}

#[tokio::test]
async fn what_is_lost_is_asked_for_until_everything_is_as_the_providers_know_it() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let sources = sources(&format!("http://{}", listener.local_addr()?))?;
    let played = sources.iter().map(|(source, key)| simulated(source, key)).collect::<Result<_>>()?;
    let options = PlanOptions { lives: 500, lost_percent: 5, ..PlanOptions::new(7, played) };
    let plan = Arc::new(Plan::new(options)?);
    let losses = plan.losses();
    ensure!(losses.retold > 80, "too little is lost: {losses:?}");
    let apis = Apis::new(&plan, Some(TROUBLES));
    let serving = tokio::spawn(apis.clone().serve(listener));

    let sources = sources.into_iter().map(|(source, _)| source).collect();
    let system =
        System::start_with(system::Plan { sources, reconciler: IMPATIENT, ..system::Plan::default() })
            .await?;
    // All APIs are away for as long as anything is sent.
    apis.set_away(true);
    let target = PlayOptions::new(format!("http://{}", system.ingress()));
    let outcome = play(&plan, &PlayOptions { apis: Some(apis.clone()), ..target }, |_| {}).await?;
    ensure!(outcome.report.is_as_planned() && outcome.report.lost > 0, "{:?}", outcome.report);
    let expected = plan.expected_after(&outcome.accepted);
    let file = system.folder().join("expected.json");
    std::fs::write(&file, serde_json::to_string(&expected)?)?;
    let (config, file) = (system.config().to_str().context("no text")?, file.to_str().context("no text")?);
    let audited = || -> Result<Option<String>> {
        let audit = program("matchpurse")?.args(["audit", "--config", config, "--expect", file]).output()?;
        let told = String::from_utf8_lossy(&audit.stdout).into_owned();
        Ok((!audit.status.success()).then_some(told))
    };
    until("the APIs were asked in vain", PATIENCE, async || {
        let figures = apis.figures();
        Ok(figures.values().any(|came| came.failed == 0).then(|| format!("{figures:?}")))
    })
    .await?;
    ensure!(audited()?.is_some(), "nothing is missing, although the APIs are away");

    apis.set_away(false);
    until("everything is as the providers know it", PATIENCE, async || audited()).await?;
    until(
        "a token was refused and an answer came late, and nothing has changed by that",
        PATIENCE,
        async || {
            let figures = apis.figures();
            let seen = figures["wall"].refused > 0 && figures.values().any(|came| came.slow > 0);
            if seen { audited() } else { Ok(Some(format!("{figures:?}"))) }
        },
    )
    .await?;
    let figures = apis.figures();
    for (source, came) in &figures {
        ensure!(came.answered > 0 && came.beyond == 0, "{source}: {came:?}");
    }
    eprintln!("{losses:?}, {figures:?}");
    system.sound_and_silent().await?;
    serving.abort();
    system.stop().await
}
