//! The servers that everything runs on.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use matchpurse_local_servers::{Postgres, PostgresOptions, Rabbitmq, install_postgres, install_rabbitmq};

use crate::clock;
use crate::disk::SmallDisk;
use crate::faults::Fault;

/// What names servers that are there already; see `tests/run`.
const GIVEN: [&str; 3] =
    ["MATCHPURSE_TEST_DATABASE_URL", "MATCHPURSE_TEST_AMQP_URL", "MATCHPURSE_TEST_AMQP_MANAGEMENT_URL"];

/// A PostgreSQL and a RabbitMQ.
pub(crate) struct Servers {
    /// The URL of a superuser.
    pub(crate) database: String,
    pub(crate) amqp: String,
    pub(crate) management: String,
    /// Where the programs of another version are; none for the present ones.
    pub(crate) previous: Option<PathBuf>,
    // Dropped in this order: servers first, and what they stand on last.
    /// Those that are ours alone, and may be killed.
    own: Option<(Postgres, Rabbitmq)>,
    disk: Option<SmallDisk>,
    /// Why there is no small disk.
    no_disk: String,
}

impl Servers {
    /// Takes those that the environment names, or starts private ones, installing what is missing. Where the disk is to
    /// be filled, PostgreSQL gets one of its own, if that can be had.
    pub(crate) async fn take(faults: &[Fault], previous: Option<PathBuf>) -> Result<Self> {
        let no_disk = "the servers are given".to_owned();
        if let [Ok(database), Ok(amqp), Ok(management)] = GIVEN.map(std::env::var) {
            return Ok(Self { database, amqp, management, previous, own: None, disk: None, no_disk });
        }
        let say = |line: &str| eprintln!("tests/chaos: {line}");
        install_postgres(Path::new(".matchpurse"), &say).await?;
        install_rabbitmq(&say).await?;
        say("starting PostgreSQL and RabbitMQ");
        let mut no_disk = String::new();
        let disk = match faults.contains(&Fault::DatabaseDiskFull).then(SmallDisk::mount) {
            Some(Ok(disk)) => Some(disk),
            Some(Err(error)) => {
                no_disk = format!("{error:#}");
                None
            }
            None => None,
        };
        let postgres = async {
            match &disk {
                Some(disk) => {
                    let data_dir = disk.path().join("postgres");
                    Postgres::start(PostgresOptions { data_dir, ..PostgresOptions::default() }).await
                }
                None => Postgres::start_temporary().await,
            }
        };
        let (postgres, rabbitmq) = tokio::try_join!(postgres, Rabbitmq::start_temporary())?;
        Ok(Self {
            database: postgres.url(),
            amqp: rabbitmq.amqp_url(),
            management: rabbitmq.management_url(),
            previous,
            own: Some((postgres, rabbitmq)),
            disk,
            no_disk,
        })
    }

    /// Why this fault cannot be had here, if it cannot.
    pub(crate) fn lacks(&self, fault: Fault) -> Option<&str> {
        match fault {
            Fault::DatabaseDiskFull if self.disk.is_none() => Some(&self.no_disk),
            Fault::ClockMoved if clock::library().is_none() => Some("there is no libfaketime"),
            fault if fault.hits_a_server() && self.own.is_none() => Some("the servers are given"),
            _ => None,
        }
    }

    pub(crate) fn postgres(&mut self) -> Result<&mut Postgres> {
        self.own.as_mut().map(|(postgres, _)| postgres).context("PostgreSQL is another's")
    }

    pub(crate) fn rabbitmq(&mut self) -> Result<&mut Rabbitmq> {
        self.own.as_mut().map(|(_, rabbitmq)| rabbitmq).context("RabbitMQ is another's")
    }

    pub(crate) fn small_disk(&self) -> Result<&SmallDisk> {
        self.disk.as_ref().context("PostgreSQL has no small disk")
    }

    pub(crate) async fn stop(self) -> Result<()> {
        if let Some((postgres, rabbitmq)) = self.own {
            tokio::try_join!(postgres.stop(), rabbitmq.stop())?;
        }
        drop(self.disk);
        Ok(())
    }
}
