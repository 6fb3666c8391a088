//! As locked up as it can be: servers that show certificates of an authority of our own, and each service with its own role
//! in the database and its own user at the broker, where it may declare nothing. Everything goes through all the same.

use anyhow::{Context as _, Result, ensure};
use matchpurse_bus::{BusOptions, declare_topology, permissions};
use matchpurse_local_servers::{Postgres, PostgresOptions, Rabbitmq, RabbitmqOptions, ServerTls};
use matchpurse_testkit::{Authority, Database, Vhost};
use serde_json::json;

use crate::system::service::Service;
use crate::system::sources::{Source, fixture};
use crate::system::{Plan, System};

/// The users that the services need, with a password that is their name; returns what to tell each service.
fn users(vhost: &Vhost, tls_port: u16) -> Result<Vec<(&'static str, String)>> {
    let mut urls = Vec::new();
    for one in permissions() {
        let user = one.user;
        let made = vhost.request(
            "PUT",
            &format!("/api/users/{user}"),
            &json!({ "password": user, "tags": "" }).to_string(),
        )?;
        ensure!(made.status < 300, "{made:?}");
        let rights = json!({ "configure": one.configure, "write": one.write, "read": one.read });
        vhost.on("PUT", "permissions", user, &rights.to_string())?;
        urls.push((user, format!("amqps://{user}:{user}@localhost:{tls_port}/{}", vhost.name())));
    }
    Ok(urls)
}

#[tokio::test]
async fn deliveries_reach_their_effects_over_tls_with_the_least_of_rights() -> Result<()> {
    let authority = Authority::new()?;
    let identity = authority.vouch_for(&["localhost"])?;
    let tls = Some(ServerTls { certificate: identity.certificate, key: identity.key });
    let data_dir = authority.folder().join("postgres");
    let postgres = PostgresOptions { data_dir, tls: tls.clone(), ..PostgresOptions::default() };
    let data_dir = authority.folder().join("rabbitmq");
    let rabbitmq = RabbitmqOptions { data_dir, tls, ..RabbitmqOptions::default() };
    let (postgres, rabbitmq) = tokio::try_join!(Postgres::start(postgres), Rabbitmq::start(rabbitmq))?;

    let database = Database::create_on(&postgres.url()).await?;
    let vhost = Vhost::create_on(&rabbitmq.amqp_url(), &rabbitmq.management_url())?;
    let ca = authority.certificate();
    declare_topology(&vhost.amqp_url(), &BusOptions::for_service("test")).await?;
    let users = users(&vhost, rabbitmq.tls_port())?;
    let over_tls = |role: &str| {
        let url = database.url_as(role).replace("127.0.0.1", "localhost");
        format!("{url}&sslmode=verify-full&sslrootcert={}", ca.display())
    };
    let variables = Service::ALL.map(|service| {
        let role = format!("matchpurse_{}", service.name().replace('-', "_"));
        let mut told = vec![
            ("DATABASE__URL", over_tls(&role)),
            ("BROKER__TLS_CA", ca.display().to_string()),
            ("BROKER__DECLARE", "false".to_owned()),
        ];
        // The dispatcher and the API have nothing to do with the broker, and have no user there.
        let own = users.iter().find(|(user, _)| *user == service.name());
        told.extend(own.map(|(_, url)| ("BROKER__URL", url.clone())));
        (service, told.into_iter().map(|(name, value)| (format!("MATCHPURSE_{name}"), value)).collect())
    });
    let plan = Plan {
        sources: vec![
            Source::of("lucra", "games")?,
            Source::of("adgem", "wall")?,
            Source::of("dathost", "servers")?,
        ],
        broker_url: Some(format!(
            "amqps://nobody:nothing@localhost:{}/{}",
            rabbitmq.tls_port(),
            vhost.name()
        )),
        database_url: Some(database.url()),
        service_url: Some(over_tls("matchpurse_app")),
        variables: variables.into(),
        ..Plan::default()
    };
    let mut system = System::start_with(plan).await?;
    for (source, provider, name) in [
        ("games", "lucra", "RecreationalGameJoined"),
        ("games", "lucra", "RecreationalGameCompleted"),
        ("wall", "adgem", "offer_removed"),
        ("wall", "adgem", "player_banned"),
        ("servers", "dathost", "match_end"),
    ] {
        let answer = system.deliver(source, &fixture(provider, name)?).await?;
        ensure!(answer.status == 200, "{name}: {answer:?}");
    }
    system.settle().await?;
    assert_eq!(system.lines("SELECT status || ' ' || paid FROM match").await?, ["CLOSED 1800"]);
    assert_eq!(system.lines("SELECT state FROM offer").await?, ["removed"]);
    assert_eq!(system.lines("SELECT standing FROM player_standing").await?, ["banned"]);
    assert_eq!(system.count("SELECT count(*) FROM stats_match").await?, 1);

    // The test's own connections are the only ones in plain text.
    let plain = "SELECT DISTINCT application_name FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
                  WHERE datname = current_database() AND NOT ssl AND application_name <> ''";
    assert_eq!(system.lines(plain).await?, Vec::<String>::new());
    let shown = vhost.request("GET", "/api/connections", "")?;
    let shown: serde_json::Value = serde_json::from_str(&shown.body)?;
    let shown = shown.as_array().context("no connections")?;
    ensure!(shown.iter().all(|connection| connection["ssl"] == true), "{shown:?}");
    system.stop().await?;
    drop((vhost, database));
    tokio::try_join!(postgres.stop(), rabbitmq.stop())?;
    Ok(())
}
