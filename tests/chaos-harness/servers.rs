//! The servers that everything runs on.

use std::path::Path;

use anyhow::{Context as _, Result};
use matchpurse_local_servers::{Postgres, Rabbitmq, install_postgres, install_rabbitmq};

/// What names servers that are there already; see `tests/run`.
const GIVEN: [&str; 3] =
    ["MATCHPURSE_TEST_DATABASE_URL", "MATCHPURSE_TEST_AMQP_URL", "MATCHPURSE_TEST_AMQP_MANAGEMENT_URL"];

/// A PostgreSQL and a RabbitMQ.
pub(crate) struct Servers {
    /// The URL of a superuser.
    pub(crate) database: String,
    pub(crate) amqp: String,
    pub(crate) management: String,
    /// Those that are ours alone, and may be killed.
    own: Option<(Postgres, Rabbitmq)>,
}

impl Servers {
    /// Takes those that the environment names, or starts private ones, installing what is missing.
    pub(crate) async fn take() -> Result<Self> {
        if let [Ok(database), Ok(amqp), Ok(management)] = GIVEN.map(std::env::var) {
            return Ok(Self { database, amqp, management, own: None });
        }
        let say = |line: &str| eprintln!("tests/chaos: {line}");
        install_postgres(Path::new(".matchpurse"), &say).await?;
        install_rabbitmq(&say).await?;
        say("starting PostgreSQL and RabbitMQ");
        let (postgres, rabbitmq) =
            tokio::try_join!(Postgres::start_temporary(), Rabbitmq::start_temporary())?;
        Ok(Self {
            database: postgres.url(),
            amqp: rabbitmq.amqp_url(),
            management: rabbitmq.management_url(),
            own: Some((postgres, rabbitmq)),
        })
    }

    /// Whether the servers may be killed.
    pub(crate) fn are_ours(&self) -> bool {
        self.own.is_some()
    }

    pub(crate) fn postgres(&mut self) -> Result<&mut Postgres> {
        self.own.as_mut().map(|(postgres, _)| postgres).context("PostgreSQL is another's")
    }

    pub(crate) fn rabbitmq(&mut self) -> Result<&mut Rabbitmq> {
        self.own.as_mut().map(|(_, rabbitmq)| rabbitmq).context("RabbitMQ is another's")
    }

    pub(crate) async fn stop(self) -> Result<()> {
        if let Some((postgres, rabbitmq)) = self.own {
            tokio::try_join!(postgres.stop(), rabbitmq.stop())?;
        }
        Ok(())
    }
}
