//! `matchpurse doctor`: what is well, what is not, and what to do about it.

mod broker;
mod database;
mod report;
mod services;
mod sources;

use std::path::PathBuf;

use anyhow::Result;
use matchpurse_dispatcher::check_callbacks;
use matchpurse_reconciler::check_inquiries;
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_settings::{Settings, process_environment};
use serde_json::json;

use self::report::{Area, Report};
use crate::config::WHERE;
use crate::exit::Ending;
use crate::out::Out;
use crate::progress::Progress;

/// Check configuration, database, broker, topology, clock, sources and services, and say what to do
///
/// It changes nothing. The exit code is 0 when nothing failed (warnings are no failures, unless --strict says so), 2 when
/// the configuration is wrong, 3 when the database or the broker cannot be reached, 1 for anything else that failed.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// The configuration of the services
    #[arg(long, value_name = "FILE", env = "MATCHPURSE_CONFIG", help_heading = WHERE)]
    config: Option<PathBuf>,
    /// The broker's management API, which knows bindings and alarms; by default port 15672 of the broker
    #[arg(long, value_name = "URL", help_heading = WHERE)]
    management_url: Option<String>,
    /// End with 1 also when there are only warnings
    #[arg(long)]
    strict: bool,
}

/// Looks at everything and tells.
pub(crate) async fn run(args: DoctorArgs, out: Out) -> Result<Ending> {
    let progress = Progress::begin("looking", None);
    let mut report = Report::default();
    let settings = configuration(&args, &mut report);
    if let Some(settings) = &settings {
        progress.during(look(settings, &args, &mut report)).await;
    }
    drop(progress);
    if out.json() {
        out.value(&json!({ "worst": report.worst().as_str(), "findings": report.json() }));
    } else {
        report.print(out);
    }
    Ok(report.ending(args.strict))
}

async fn look(settings: &Settings, args: &DoctorArgs, report: &mut Report) {
    for warning in settings.in_plain_text() {
        let advice =
            "fine in a private network that nobody else is in; see docs/security/transport-and-roles.md";
        report.warning(Area::Configuration, "plain text", warning, advice);
    }
    let store = database::look(settings, report).await;
    match &settings.broker.url {
        Some(url) => broker::look(settings, url.expose(), args.management_url.as_deref(), report).await,
        None => report.ok(Area::Broker, "broker", "none is configured: the database carries the events"),
    }
    sources::look(settings, store.as_ref(), report).await;
    services::look(settings, report).await;
}

/// Loads and checks the configuration as the services do when they start.
fn configuration(args: &DoctorArgs, report: &mut Report) -> Option<Settings> {
    let settings = match Settings::load(args.config.as_deref(), process_environment()) {
        Ok(settings) => settings,
        Err(error) => {
            let advice = if args.config.is_none() {
                "give the services' configuration by --config FILE or MATCHPURSE_CONFIG"
            } else {
                "mend what is named; every key is described in crates/settings/src/default.toml"
            };
            report.failed(Area::Configuration, "configuration", matchpurse_store::chain(&error), advice);
            return None;
        }
    };
    let checks = [
        check_callbacks(&settings).map_err(|error| format!("{error:#}")),
        check_inquiries(&settings).map_err(|error| format!("{error:#}")),
        RewardFulfillment::new(&settings).map(drop).map_err(|error| format!("{error:#}")),
    ];
    let problems: Vec<String> = checks.into_iter().filter_map(Result::err).collect();
    if problems.is_empty() {
        let count = settings.sources.len();
        report.ok(Area::Configuration, "configuration", format!("can be read; {count} sources"));
    } else {
        let advice = "mend it; `matchpurse check-config` says the same";
        report.failed(Area::Configuration, "configuration", problems.join("; "), advice);
    }
    Some(settings)
}
