//! Without a broker deliveries are kept in the database, and brought to the broker once it is back.

use anyhow::{Context as _, Result, ensure};
use matchpurse_testkit::{FaultProxy, Vhost};
use serde_json::Value;

use crate::system::service::Service;
use crate::system::sources::{Source, fixture};
use crate::system::{PATIENCE, Plan, System, until};

const SPOOLED: &str = "SELECT count(*) FROM spool";

#[tokio::test]
async fn what_comes_while_the_broker_is_away_reaches_its_effects() -> Result<()> {
    let vhost = Vhost::create()?;
    let proxy = FaultProxy::start(vhost.broker_address()).await?;
    let sources = vec![Source::of("lucra", "games")?, Source::of("adgem", "wall")?];
    let broker_url = Some(vhost.amqp_url_at(&proxy.address().to_string()));
    // A confirm that does not come is waited for, but not for as long as usual.
    let plan = Plan { sources, broker_url, broker: "confirm_timeout_ms = 1000", ..Plan::default() };
    let mut system = System::start_with(plan).await?;

    proxy.cut();
    for name in ["RecreationalGameJoined", "RecreationalGameCompleted", "not_json"] {
        let game = fixture("lucra", name)?;
        let answer = system.deliver("games", &game).await?;
        let expected = if name == "not_json" { 422 } else { 200 };
        ensure!(answer.status == expected, "{name}: {answer:?}");
    }
    assert_eq!(system.count(SPOOLED).await?, 3);
    assert_eq!(system.count("SELECT count(*) FROM archive").await?, 0);
    assert_eq!(system.count("SELECT count(*) FROM match").await?, 0);
    // Who asks providers could not hand on what is found, and says so.
    until("the reconciler shows that the broker is away", PATIENCE, async || {
        let report: Value =
            serde_json::from_str(&system.service(Service::Reconciler)?.admin("/readyz").await?)?;
        let checks = report["checks"].as_array().context("no checks")?;
        let unready = checks.iter().filter(|check| check["ready"] == false).map(|check| &check["name"]);
        Ok((!unready.eq(["broker"])).then(|| report.to_string()))
    })
    .await?;
    proxy.restore();
    system.ready().await?;
    system.settle().await?;
    assert_eq!(system.count(SPOOLED).await?, 0);
    assert_eq!(system.lines("SELECT status || ' ' || paid FROM match").await?, ["CLOSED 1800"]);
    assert_eq!(system.count("SELECT count(*) FROM parked").await?, 1);

    // A broker that is silent, not gone: the confirm does not come in time.
    proxy.pause();
    let offer = fixture("adgem", "offer_removed")?;
    let answer = system.deliver("wall", &offer).await?;
    ensure!(answer.status == 200, "{answer:?}");
    assert_eq!(system.count(SPOOLED).await?, 1);
    proxy.restore();
    system.settle().await?;
    assert_eq!(system.lines("SELECT state FROM offer").await?, ["removed"]);

    // Neither broker nor database: nobody could keep it, and the sender is told so.
    proxy.cut();
    system.database()?.cut_off().await?;
    let banned = fixture("adgem", "player_banned")?;
    let answer = system.deliver("wall", &banned).await?;
    ensure!(answer.status == 503 && answer.header("retry-after") == Some("5"), "{answer:?}");
    system.database()?.restore().await?;
    system.reconnect().await?;
    assert_eq!(system.count(SPOOLED).await?, 0);
    proxy.restore();
    let answer = system.deliver("wall", &banned).await?;
    ensure!(answer.status == 200, "{answer:?}");
    system.settle().await?;
    assert_eq!(system.lines("SELECT standing FROM player_standing").await?, ["banned"]);
    system.stop().await
}
