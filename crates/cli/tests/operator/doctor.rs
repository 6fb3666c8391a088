//! `matchpurse doctor`: well where all is well, and the right advice where something is not.

use anyhow::{Context as _, Result};
use matchpurse_bus::{BusOptions, declare_topology};
use matchpurse_testkit::Vhost;
use serde_json::Value;

use crate::ground::Played;

/// Nobody has an admin port here: the services are not what is looked at.
const QUIET: &str = r#"
[ingress]
admin_listen = ""
[api]
admin_listen = ""
[dispatcher]
admin_listen = ""
[workers.match_escrow]
admin_listen = ""
[workers.reward_fulfillment]
admin_listen = ""
[workers.player_stats]
admin_listen = ""
[workers.offer_removal]
admin_listen = ""
[workers.event_archive]
admin_listen = ""
"#;

fn config(broker: &str) -> String {
    format!("[broker]\nurl = {broker:?}\n{QUIET}{}", include_str!("../../demo/sources.toml"))
}

/// What it found, of which it must end with this code.
fn looked(played: &Played, args: &[&str], code: i32) -> Result<Vec<Value>> {
    let text = played.printed(&[&["doctor", "--json"], args].concat(), code)?;
    let report: Value = serde_json::from_str(&text)?;
    Ok(report["findings"].as_array().context("there are findings")?.clone())
}

/// Those in a state: what they are about, what they say, what to do.
fn those<'f>(findings: &'f [Value], state: &str) -> Vec<(&'f str, &'f str, &'f str)> {
    let text = |one: &'f Value, name: &str| one[name].as_str().unwrap_or_default();
    let those = findings.iter().filter(|one| one["state"] == state);
    those.map(|one| (text(one, "what"), text(one, "detail"), text(one, "advice"))).collect()
}

/// A virtual host with everything that has to be there, and where its management API is.
async fn broker() -> Result<(Vhost, String)> {
    let vhost = Vhost::create()?;
    declare_topology(&vhost.amqp_url(), &BusOptions::default()).await?;
    Ok((vhost, std::env::var("MATCHPURSE_TEST_AMQP_MANAGEMENT_URL")?))
}

#[tokio::test]
async fn a_healthy_system_has_no_failure() -> Result<()> {
    let (vhost, management) = broker().await?;
    let played = Played::nothing("doctor", &config(&vhost.amqp_url())).await?;
    let findings = looked(&played, &["--management-url", &management], 0)?;
    assert!(those(&findings, "failed").is_empty(), "{findings:#?}");
    let good: Vec<&str> = those(&findings, "ok").into_iter().map(|(what, ..)| what).collect();
    for what in [
        "configuration",
        "connection",
        "version",
        "clock",
        "durability",
        "rights",
        "migrations",
        "spool",
        "parked deliveries",
        "anomalies",
        "quick audit",
        "topology",
        "bindings",
        "confirms",
        "alarms",
        "source games",
        "source arena",
    ] {
        assert!(good.contains(&what), "{what} is not among {good:?}");
    }
    // Nobody consumes, and nothing has come: warnings, which are failures only for who wants that.
    assert!(those(&findings, "warning").iter().any(|(_, _, advice)| advice.contains("matchpurse send")));
    looked(&played, &["--management-url", &management, "--strict"], 1)?;
    let text = played.printed(&["doctor", "--management-url", &management], 0)?;
    assert!(text.contains("  ok       migrations: the schema is up to date\n"), "{text}");
    assert!(text.lines().last().context("a verdict")?.ends_with(" 0 failed"), "{text}");
    // As the services' own role, which is not the owner.
    let service =
        format!("[database]\nurl = {:?}\n{}", played.database.service_url(), config(&vhost.amqp_url()));
    std::fs::write(played.folder.join("matchpurse.toml"), service)?;
    let findings = looked(&played, &["--management-url", &management], 0)?;
    let rights = those(&findings, "ok").into_iter().find(|(what, ..)| *what == "rights");
    assert_eq!(rights.context("the rights are well")?.1, "role matchpurse_app has what services need");
    Ok(())
}

#[tokio::test]
async fn a_broker_that_is_away_is_named_with_what_to_do() -> Result<()> {
    let played = Played::nothing("doctor-away", &config("amqp://guest:hidden@127.0.0.1:1/%2f")).await?;
    let findings = looked(&played, &[], 3)?;
    let failed = those(&findings, "failed");
    let [(what, detail, advice)] = failed[..] else { panic!("{failed:?}") };
    assert_eq!(what, "connection");
    assert!(detail.contains("127.0.0.1:1") && !detail.contains("hidden"), "{detail}");
    assert!(advice.contains("is RabbitMQ running"), "{advice}");
    Ok(())
}

#[tokio::test]
async fn missing_migrations_queues_and_bindings_are_named_with_what_to_do() -> Result<()> {
    let (vhost, management) = broker().await?;
    let played = Played::nothing("doctor-missing", &config(&vhost.amqp_url())).await?;
    // One that hands on nothing itself: deleting another so soon is what this broker cannot bear.
    vhost.delete_queue("matchpurse.dead-letter")?;
    let binding = "e/matchpurse.events/q/matchpurse.player-stats/player_kicked.%23";
    vhost.on("DELETE", "bindings", binding, "")?;
    let owner = played.database.connection().await?;
    owner.batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await?;
    let findings = looked(&played, &["--management-url", &management], 1)?;
    let failed = those(&findings, "failed");
    let of =
        |what: &str| failed.iter().find(|(known, ..)| *known == what).context(format!("{what}: {failed:?}"));
    assert!(of("migrations")?.2.contains("matchpurse migrate"), "{failed:?}");
    assert_eq!(of("queues")?.1, "not there: matchpurse.dead-letter");
    assert!(of("queues")?.2.contains("restart any service"), "{failed:?}");
    assert_eq!(of("bindings")?.1, "not there: matchpurse.player-stats by player_kicked.#");
    Ok(())
}

#[tokio::test]
async fn a_wrong_secret_file_and_a_source_without_one_are_named() -> Result<()> {
    let played = Played::nothing("doctor-secret", QUIET).await?;
    let sources = include_str!("../../demo/sources.toml");
    let line = sources.lines().find(|line| line.starts_with("secrets = [\"")).context("a secret")?;
    let source = |secrets: &str| {
        let (url, sources) = (played.database.url(), sources.replace(line, secrets));
        std::fs::write(
            played.folder.join("matchpurse.toml"),
            format!("[database]\nurl = {url:?}\n{QUIET}{sources}"),
        )
    };
    source("secrets = [{ file = \"/nowhere/secret\" }]")?;
    let findings = looked(&played, &[], 2)?;
    let failed = those(&findings, "failed");
    assert!(failed[0].1.contains("/nowhere/secret"), "{failed:?}");
    source("")?;
    let findings = looked(&played, &[], 1)?;
    let failed = those(&findings, "failed");
    assert!(
        failed[0].1.contains("no secret is configured") && failed[0].2.contains("webhooks are set up"),
        "{failed:?}"
    );
    Ok(())
}
