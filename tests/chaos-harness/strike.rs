//! How a blow is struck.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tokio::sync::Mutex;
use tokio_postgres::error::SqlState;

use crate::broker::Lost;
use crate::faults::Blow;
use crate::rig::Rig;
use crate::servers::Servers;
use crate::system::START_PATIENCE;
use crate::system::service::Service;

/// RabbitMQ 3.10 does not survive a kill within about a second of the declaration of its queues, and no deletion either.
const AFTER_DECLARING: Duration = Duration::from_secs(3);

impl Rig {
    /// Strikes, and tells how long it took until everything was ready again: from the kill of a service, from the
    /// return of a server, from the end of a stop.
    pub(crate) async fn strike(&mut self, blow: &Blow, servers: &Mutex<Servers>) -> Result<Duration> {
        let since = match blow {
            Blow::Kill(services) => {
                for service in services {
                    self.system.kill9(*service)?;
                }
                let killed = Instant::now();
                for service in services {
                    self.system.start_again(*service)?;
                }
                for service in services {
                    self.system.service(*service)?.ready(START_PATIENCE).await?;
                }
                return Ok(killed.elapsed());
            }
            Blow::Stop(service, time) => {
                self.system.service(*service)?.signal(Signal::STOP)?;
                tokio::time::sleep(*time).await;
                self.system.service(*service)?.signal(Signal::CONT)?;
                Instant::now()
            }
            Blow::Break(link, how, time) => {
                self.links.break_one(*link, *how)?;
                tokio::time::sleep(*time).await;
                self.links.mend(*link)?;
                Instant::now()
            }
            Blow::LockTables(time) => {
                self.lock_tables(*time).await?;
                Instant::now()
            }
            Blow::TerminateBackends => {
                let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                            WHERE datname = current_database() AND pid <> pg_backend_pid()";
                self.system.count(sql).await?;
                Instant::now()
            }
            Blow::PostgresStop(down) => {
                servers.lock().await.postgres()?.stop_immediately().await?;
                self.return_postgres(*down, servers).await?
            }
            Blow::PostgresKill(down) => {
                servers.lock().await.postgres()?.kill9().await;
                self.return_postgres(*down, servers).await?
            }
            Blow::BrokerKill => {
                self.settled().await;
                servers.lock().await.rabbitmq()?.kill9().await;
                servers.lock().await.rabbitmq()?.restart().await?;
                Instant::now()
            }
            Blow::BrokerRestart => {
                servers.lock().await.rabbitmq()?.restart().await?;
                Instant::now()
            }
            Blow::Alarm(alarm, time) => self.raise_alarm(*alarm, *time, servers).await?,
            Blow::DeleteQueue(queue) => self.lose(Lost::Queue(*queue)).await?,
            Blow::Unbind(queue) => self.lose(Lost::Bindings(*queue)).await?,
            Blow::DeleteExchange => self.lose(Lost::Exchange).await?,
            Blow::FillDatabaseDisk(time) => self.fill_database_disk(*time, servers).await?,
            Blow::MoveClock(service, by, time) => self.move_clock(*service, *by, *time).await?,
            Blow::Roll => return self.roll(servers).await,
        };
        self.system.ready().await?;
        Ok(since.elapsed())
    }

    /// Waits until what was declared may be broken.
    pub(crate) async fn settled(&self) {
        tokio::time::sleep_until((self.declared + AFTER_DECLARING).into()).await;
    }

    /// Ends each service in order and starts it again: by the previous programs, then by the present ones. What is told is
    /// how long the slowest took to get ready.
    async fn roll(&mut self, servers: &Mutex<Servers>) -> Result<Duration> {
        let previous = servers.lock().await.previous.clone();
        let mut longest = Duration::ZERO;
        for programs in [previous, None] {
            self.system.use_programs(programs);
            for service in Service::ALL {
                let begun = Instant::now();
                self.system.roll(service).await?;
                longest = longest.max(begun.elapsed());
            }
        }
        Ok(longest)
    }

    /// Holds what everybody needs, for longer than they wait for a lock or a statement.
    async fn lock_tables(&self, time: Duration) -> Result<()> {
        let client = self.database.connection().await?;
        let tables = "match, reward_grant, archive_head, stats_match, offer, delivery";
        let sql = format!("BEGIN; LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE");
        // They are taken one by one, and whoever meets us in a circle may make us its victim.
        while let Err(error) = client.batch_execute(&sql).await {
            ensure!(
                error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED),
                "the tables are not locked: {error}"
            );
            client.batch_execute("ROLLBACK").await?;
        }
        tokio::time::sleep(time).await;
        Ok(client.batch_execute("ROLLBACK").await?)
    }

    async fn return_postgres(&mut self, down: Duration, servers: &Mutex<Servers>) -> Result<Instant> {
        tokio::time::sleep(down).await;
        servers.lock().await.postgres()?.restart().await?;
        let back = Instant::now();
        self.system.reconnect().await?;
        Ok(back)
    }
}
