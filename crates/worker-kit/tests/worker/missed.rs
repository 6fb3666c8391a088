use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use matchpurse_bus::{
    BusOptions, Destination, FailureLog as _, ParkedDelivery, Publisher as _, RabbitTransport, Status,
    Transport,
};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::{Message, decode};
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::time::Timestamp;
use matchpurse_service_kit::health::Health;
use matchpurse_settings::Settings;
use matchpurse_store::archive::append_in_tx;
use matchpurse_store::{Store, spool};
use matchpurse_testkit::{Database, Vhost};
use matchpurse_worker_kit::{Context, Plan, Search, spawn};
use tokio_util::sync::CancellationToken;

use crate::replays::until;
use crate::samples::{FINE, Noticing, applied, batch, delivery, subjects};

/// Somebody has taken the queue away for a time: the archive has events that the broker will never bring.
#[tokio::test]
async fn what_the_archive_has_and_no_queue_brings_is_brought_back_once() -> Result<()> {
    let (database, vhost) = (Database::create().await?, Vhost::create()?);
    let store = database.store().await?;
    let settings = Settings::parse_str(&format!(
        "[database]\nurl = {:?}\n[broker]\nurl = {:?}\n[workers]\nmissed_poll_ms = 100",
        database.service_url(),
        vhost.amqp_url()
    ))?;
    let transport = RabbitTransport::start(&vhost.amqp_url(), &BusOptions::for_service("test"))?;
    let publisher = transport.publisher().clone();
    let shutdown = CancellationToken::new();
    let context = Context {
        store: store.clone(),
        transport: Transport::Rabbit(transport),
        settings: Arc::new(settings),
        health: Health::new("test"),
        shutdown: shutdown.clone(),
    };

    // Ten are archived. One of them is parked, and one is being tried still; four are on the broker.
    let deliveries = batch(10, &[]);
    let events = deliveries.iter().map(|one| decode(&one.body)).collect::<Result<Vec<_>, _>>()?;
    let now = now()?;
    // Another one longer ago than the inbox need remember: whether it was applied then, nobody knows.
    archived(&store, &[decode(&delivery(11, FINE).body)?], now.plus_seconds(-10 * 86_400)).await?;
    archived(&store, &events, now).await?;
    let queue = Queue::PlayerStats;
    let parked =
        ParkedDelivery { queue: queue.name(), delivery: &deliveries[4], reason: "no", by_broker: false };
    store.park(&[parked]).await?;
    store.record_failure(queue.worker(), events[5].id, "busy").await?;
    until("the publisher is ready", || async { Ok(publisher.status().can_publish()) }).await?;
    let live: Vec<_> = events[..4].iter().map(|event| Message::new(event.clone(), None)).collect();
    publisher.publish(live).await?;

    let running = spawn(Plan::new(Noticing::default()), context);
    until("the four that nobody brings are applied", || async { Ok(applied(&database).await?.len() == 8) })
        .await?;
    // Another one is found by a second search, which finds nothing else.
    archived(&store, &[decode(&delivery(10, FINE).body)?], now).await?;
    until("the next one is applied", || async { Ok(applied(&database).await?.len() == 9) }).await?;
    shutdown.cancel();
    running.await??;
    assert_eq!(applied(&database).await?, subjects(11, &[4, 5]));
    let replays = "SELECT format('%s, %s: %s', actor, reason, events) FROM replay";
    let expected = [1, 4].map(|events| format!("matchpurse, player-stats never got them: {events}"));
    assert_eq!(database.texts(replays).await?, expected);
    Ok(())
}

fn now() -> Result<Timestamp> {
    Ok(Timestamp::from_seconds(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?))
}

async fn archived(store: &Store, events: &[Event], at: Timestamp) -> Result<()> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    append_in_tx(&tx, events, at).await?;
    Ok(tx.commit().await?)
}

/// A search that is done turn by turn, without a broker.
struct Rig {
    database: Database,
    store: Store,
    search: Search,
    status: Status,
}

const QUEUE: Queue = Queue::PlayerStats;

impl Rig {
    /// With so many archived events of the source `main`, none of which the worker has got.
    async fn with(count: u32) -> Result<(Self, Vec<Event>)> {
        let database = Database::create().await?;
        let store = database.store().await?;
        let search = Search::new(store.clone(), QUEUE);
        let rig = Self { database, store, search, status: Status::new() };
        let events = (0..count).map(|n| Ok(decode(&delivery(n, FINE).body)?)).collect::<Result<Vec<_>>>()?;
        archived(&rig.store, &events, now()?).await?;
        Ok((rig, events))
    }

    /// A search as after a restart.
    fn restart(&mut self) {
        self.search = Search::new(self.store.clone(), QUEUE);
    }

    /// The turns before the one that looks: the queue is empty, and nobody has had anything in hand for long enough.
    async fn wait(&mut self) -> Result<()> {
        self.search.turn(&self.status).await?;
        self.status.emptied();
        for _ in 0..6 {
            self.search.turn(&self.status).await?;
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<()> {
        self.wait().await?;
        Ok(self.search.turn(&self.status).await?)
    }

    /// The subjects of what was brought to the worker.
    async fn brought(&self) -> Result<Vec<String>> {
        let sql = "SELECT a.source || '/' || a.subject FROM spool_destination d JOIN spool s USING (position)
                     JOIN archive a USING (event_id)
                    WHERE d.destination = 'matchpurse.player-stats'";
        self.database.texts(sql).await
    }

    async fn through(&self) -> Result<Vec<String>> {
        let sql = "SELECT concat_ws(' ', worker, source, through) FROM missed_search";
        self.database.texts(sql).await
    }

    async fn tamper(&self, sql: &str) -> Result<()> {
        Ok(self.database.connection().await?.batch_execute(sql).await?)
    }

    async fn spooled(&self, event: &Event, to: Destination) -> Result<()> {
        let mut client = self.store.client().await?;
        let tx = client.begin().await?;
        spool::append_in_tx(&tx, &[(Message::new(event.clone(), None), vec![to])]).await?;
        Ok(tx.commit().await?)
    }
}

fn main_source(places: impl IntoIterator<Item = u32>) -> Vec<String> {
    places.into_iter().map(|n| format!("main/{n:03}")).collect()
}

#[tokio::test]
async fn what_waits_in_the_spool_for_another_worker_has_not_reached_this_one() -> Result<()> {
    let (mut rig, events) = Rig::with(3).await?;
    rig.spooled(&events[0], Destination::Worker(Queue::MatchEscrow)).await?;
    rig.spooled(&events[1], Destination::Worker(QUEUE)).await?;
    rig.look().await?;
    assert_eq!(rig.brought().await?, main_source([0, 1, 2]), "the second one once");
    assert_eq!(rig.through().await?, ["player-stats main 3"]);
    Ok(())
}

/// It will be published; and its worker's queue may be missing then.
#[tokio::test]
async fn what_waits_for_the_broker_is_looked_at_again() -> Result<()> {
    let (mut rig, events) = Rig::with(3).await?;
    rig.spooled(&events[1], Destination::Broker).await?;
    rig.look().await?;
    assert_eq!(rig.brought().await?, main_source([0, 2]));
    assert_eq!(rig.through().await?, ["player-stats main 1"]);
    rig.tamper("DELETE FROM spool s USING spool_destination d WHERE d.position = s.position AND destination = 'broker'")
        .await?;
    rig.look().await?;
    assert_eq!(rig.brought().await?, main_source([0, 1, 2]));
    assert_eq!(rig.through().await?, ["player-stats main 3"]);
    Ok(())
}

/// An event is in the spool, then in the inbox, and never in neither: so nor may it be for who looks at both.
#[tokio::test]
async fn what_is_applied_while_it_is_looked_for_is_not_brought_once_more() -> Result<()> {
    let (mut rig, events) = Rig::with(1).await?;
    rig.spooled(&events[0], Destination::Worker(QUEUE)).await?;
    rig.wait().await?;
    let mut owner = rig.database.connection().await?;
    let applying = owner.transaction().await?;
    applying.batch_execute("LOCK TABLE spool IN ACCESS EXCLUSIVE MODE").await?;
    let (search, status, database) = (&mut rig.search, &rig.status, &rig.database);
    let looking = async { Ok(search.turn(status).await?) };
    let applied = async {
        let blocked = "SELECT pid::text FROM pg_locks WHERE relation = 'spool'::regclass AND NOT granted";
        until("the search waits for the spool", || async { Ok(!database.texts(blocked).await?.is_empty()) })
            .await?;
        let apply = "INSERT INTO inbox (worker, event_id) SELECT 'player-stats', event_id FROM spool;
                     DELETE FROM spool_destination; DELETE FROM spool";
        applying.batch_execute(apply).await?;
        anyhow::Ok(applying.commit().await?)
    };
    tokio::try_join!(looking, applied)?;
    assert_eq!(rig.brought().await?, main_source([]));
    assert_eq!(rig.through().await?, ["player-stats main 1"]);
    Ok(())
}

#[tokio::test]
async fn one_search_brings_back_all_that_is_missing() -> Result<()> {
    let (mut rig, _) = Rig::with(1_201).await?;
    rig.look().await?;
    let count = "SELECT count(*)::text FROM spool_destination WHERE destination = 'matchpurse.player-stats'";
    assert_eq!(rig.database.texts(count).await?, ["1201"]);
    let replays = "SELECT concat_ws(' ', events, scope->>'from_seq', scope->>'to_seq') FROM replay";
    assert_eq!(rig.database.texts(replays).await?, ["201 1001 1201", "500 1 500", "500 501 1000"]);
    Ok(())
}

/// The spool has a limit, for whoever needs it while the broker is away.
#[tokio::test]
async fn a_worker_that_has_enough_to_do_is_not_given_more() -> Result<()> {
    let (mut rig, _) = Rig::with(2).await?;
    let fill = "INSERT INTO spool_destination (position, destination)
                SELECT -n, 'matchpurse.player-stats' FROM generate_series(1, 10000) n";
    rig.tamper(fill).await?;
    rig.look().await?;
    assert_eq!(rig.brought().await?, main_source([]));
    rig.tamper("DELETE FROM spool_destination WHERE position = -1").await?;
    rig.search.turn(&rig.status).await?;
    assert_eq!(rig.brought().await?, main_source([0, 1]), "at the very next turn");
    Ok(())
}

#[tokio::test]
async fn the_first_search_begins_with_the_last_days_and_the_next_where_that_ended() -> Result<()> {
    let (mut rig, _) = Rig::with(0).await?;
    let named = |n| anyhow::Ok(decode(&delivery(n, FINE).body)?);
    archived(&rig.store, &[named(0)?], now()?.plus_seconds(-10 * 86_400)).await?;
    archived(&rig.store, &[named(1)?, named(2)?], now()?).await?;
    // As if a great many had come since, none of them for this worker.
    rig.tamper("UPDATE archive_head SET seq = 150000").await?;
    rig.look().await?;
    assert_eq!(rig.brought().await?, main_source([1, 2]));
    assert_eq!(rig.through().await?, ["player-stats main 150000"]);

    // What lies before that place is not looked at again by any process; and without it everything is.
    rig.tamper("DELETE FROM spool; DELETE FROM spool_destination; UPDATE missed_search SET through = 2")
        .await?;
    rig.restart();
    rig.look().await?;
    assert_eq!(rig.brought().await?, main_source([2]));
    Ok(())
}

/// What it did not want then it may have missed.
#[tokio::test]
async fn a_worker_that_wants_other_events_than_before_looks_anew() -> Result<()> {
    let (mut rig, _) = Rig::with(2).await?;
    let before = "INSERT INTO missed_search (worker, source, payloads, through)
                  VALUES ('player-stats', 'main', '{match_stats_snapshot}', 2)";
    rig.tamper(before).await?;
    rig.look().await?;
    assert_eq!(rig.brought().await?, main_source([0, 1]));
    Ok(())
}

#[tokio::test]
async fn what_may_be_in_somebodys_hands_is_not_brought_back() -> Result<()> {
    let (mut rig, _) = Rig::with(1).await?;
    rig.search.turn(&rig.status).await?;
    for _ in 0..20 {
        rig.search.turn(&rig.status).await?;
    }
    assert_eq!(rig.brought().await?, main_source([]), "the queue was not seen empty");
    rig.status.emptied();
    for turn in 0..6 {
        rig.search.turn(&rig.status).await?;
        assert_eq!(rig.brought().await?, main_source([]), "turn {turn}");
    }
    rig.search.turn(&rig.status).await?;
    assert_eq!(rig.brought().await?, main_source([0]));
    Ok(())
}

#[tokio::test]
async fn the_spool_is_asked_by_event_however_long_it_is() -> Result<()> {
    let (rig, _) = Rig::with(0).await?;
    let fill = "INSERT INTO spool (position, event_id, payload, routing_key, headers, body)
                SELECT n, gen_random_uuid(), 'player_kicked', 'k', '[]', '' FROM generate_series(1, 20000) n;
                ANALYZE spool";
    rig.tamper(fill).await?;
    let sql = "EXPLAIN SELECT FROM spool WHERE event_id = '00000000-0000-0000-0000-000000000001'";
    let plan = rig.database.texts(sql).await?.join("\n");
    assert!(plan.contains("spool_event"), "{plan}");
    Ok(())
}

fn of_source(name: &str, n: u32) -> Result<Event> {
    let source = SourceName::parse(name)?;
    let id = EventId::of_delivery(&source, "POST", n.to_string().as_bytes(), 0);
    Ok(Event { id, delivery_id: id, source, ..decode(&delivery(n, FINE).body)? })
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_held_and_keeps_no_other_waiting() -> Result<()> {
    let (mut rig, _) = Rig::with(2).await?;
    archived(&rig.store, &[of_source("aaa", 0)?, of_source("aaa", 1)?, of_source("aaa", 2)?], now()?).await?;
    rig.tamper("UPDATE archive SET event = '\\xff' WHERE source = 'aaa' AND seq = 2").await?;
    rig.wait().await?;
    let error = rig.search.turn(&rig.status).await.unwrap_err();
    assert_eq!(error.to_string(), "the stored event of the archive cannot be read");
    assert_eq!(rig.brought().await?, ["aaa/000", "aaa/002", "main/000", "main/001"]);
    assert_eq!(rig.through().await?, ["player-stats aaa 1", "player-stats main 2"]);
    Ok(())
}

#[tokio::test]
async fn a_source_that_fails_keeps_no_other_waiting() -> Result<()> {
    let (mut rig, _) = Rig::with(1).await?;
    archived(&rig.store, &[of_source("aaa", 0)?], now()?).await?;
    let fail = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
                  BEGIN RAISE EXCEPTION 'no'; END $$;
                CREATE TRIGGER fail BEFORE INSERT ON missed_search FOR EACH ROW
                  WHEN (NEW.source = 'aaa') EXECUTE FUNCTION fail()";
    rig.tamper(fail).await?;
    rig.wait().await?;
    assert!(rig.search.turn(&rig.status).await.is_err());
    assert_eq!(rig.brought().await?, main_source([0]));
    rig.tamper("DROP TRIGGER fail ON missed_search").await?;
    rig.look().await?;
    assert_eq!(rig.brought().await?, ["aaa/000", "main/000"]);
    Ok(())
}

#[tokio::test]
async fn what_is_being_tried_takes_no_room_from_what_is_missing() -> Result<()> {
    let (mut rig, _) = Rig::with(603).await?;
    let tried = "INSERT INTO attempts (worker, event_id, attempts, last_error)
                 SELECT 'player-stats', event_id, 1, 'busy' FROM archive WHERE seq BETWEEN 2 AND 601";
    rig.tamper(tried).await?;
    rig.look().await?;
    assert_eq!(rig.brought().await?, main_source([0, 601, 602]));
    assert_eq!(rig.through().await?, ["player-stats main 1"]);
    // Nobody has tried them for longer than a retry is put off.
    rig.tamper("UPDATE attempts SET last_at = last_at - interval '11 minutes'").await?;
    rig.look().await?;
    assert_eq!(rig.brought().await?.len(), 603);
    Ok(())
}

/// A service may say how far it has looked, and cannot make it forgotten.
#[tokio::test]
async fn a_service_may_write_down_how_far_it_looked_and_no_more() -> Result<()> {
    let (mut rig, _) = Rig::with(1).await?;
    rig.look().await?;
    for sql in
        ["DELETE FROM missed_search", "UPDATE missed_search SET worker = 'x'", "TRUNCATE missed_search"]
    {
        let as_service = format!("SET ROLE matchpurse_app; {sql}");
        let error = rig.database.connection().await?.batch_execute(&as_service).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{sql}");
    }
    Ok(())
}
