//! The private servers that everything is measured on.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use matchpurse_local_servers::{Postgres, Rabbitmq, install_postgres, install_rabbitmq};
use matchpurse_testkit::{Database, Vhost};
use tokio_postgres::Client;

use crate::programs::on_path;
use crate::say;
use crate::usage::cpu_seconds_of_tree;

/// A PostgreSQL and a RabbitMQ of our own.
pub(crate) struct Servers {
    postgres: Postgres,
    rabbitmq: Rabbitmq,
}

impl Servers {
    pub(crate) async fn start() -> Result<Self> {
        let told = |line: &str| say(line);
        install_postgres(Path::new(".matchpurse"), &told).await?;
        install_rabbitmq(&told).await?;
        say("starting PostgreSQL and RabbitMQ");
        let (postgres, rabbitmq) =
            tokio::try_join!(Postgres::start_temporary(), Rabbitmq::start_temporary())?;
        Ok(Self { postgres, rabbitmq })
    }

    /// A migrated database of its own; dropped with the value.
    pub(crate) async fn database(&self) -> Result<Database> {
        Database::create_on(&self.postgres.url()).await
    }

    /// A virtual host of its own; deleted with the value.
    pub(crate) fn vhost(&self) -> Result<Vhost> {
        Vhost::create_on(&self.rabbitmq.amqp_url(), &self.rabbitmq.management_url())
    }

    /// The URL of the superuser's own database.
    pub(crate) fn database_url(&self) -> String {
        self.postgres.url()
    }

    /// A program of PostgreSQL's installation: beside the server, or where the path leads.
    pub(crate) fn postgres_program(&self, name: &str) -> Result<PathBuf> {
        let server = self.postgres.binaries().postgres.canonicalize()?;
        let beside = server.parent().context("PostgreSQL has no folder")?.join(name);
        if beside.is_file() { Ok(beside) } else { on_path(name) }
    }

    /// CPU seconds so far: of RabbitMQ, and of PostgreSQL.
    pub(crate) fn cpu_seconds(&self) -> (f64, f64) {
        (cpu_seconds_of_tree(self.rabbitmq.pid()), cpu_seconds_of_tree(self.postgres.pid()))
    }

    /// The deadlocks that PostgreSQL has told of in its log so far.
    pub(crate) fn deadlocks(&self) -> Result<usize> {
        let log = std::fs::read(self.postgres.log_file())?;
        Ok(String::from_utf8_lossy(&log).matches("deadlock detected").count())
    }

    /// Has PostgreSQL write down what it owes the disk, so that no run pays for the one before it.
    pub(crate) async fn checkpoint(&self) -> Result<()> {
        Ok(connect(&self.postgres.url()).await?.batch_execute("CHECKPOINT").await?)
    }

    /// Versions, in words.
    pub(crate) async fn versions(&self) -> Result<String> {
        let client = connect(&self.postgres.url()).await?;
        let postgres: String = client.query_one("SHOW server_version", &[]).await?.try_get(0)?;
        let postgres = postgres.split(' ').next().unwrap_or_default().to_owned();
        let overview = self.vhost()?.request("GET", "/api/overview", "")?.body;
        let overview: serde_json::Value = serde_json::from_str(&overview)?;
        let text = |key: &str| overview.get(key).and_then(|value| value.as_str()).unwrap_or("?").to_owned();
        Ok(format!(
            "PostgreSQL {postgres}, RabbitMQ {} on Erlang {}",
            text("rabbitmq_version"),
            text("erlang_version")
        ))
    }

    pub(crate) async fn stop(self) -> Result<()> {
        let (one, other) = tokio::join!(self.postgres.stop(), self.rabbitmq.stop());
        one?;
        Ok(other?)
    }
}

/// A plain connection.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    // It ends with the client, whose calls report what went wrong.
    tokio::spawn(connection);
    Ok(client)
}

/// One number.
pub(crate) async fn number(client: &Client, sql: &str) -> Result<i64> {
    Ok(client.query_one(sql, &[]).await.with_context(|| sql.to_owned())?.try_get(0)?)
}
