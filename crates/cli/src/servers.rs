//! The database and the broker of `demo` and `dev`: given ones, or private ones as child processes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use matchpurse_local_servers::{
    Postgres, PostgresOptions, Rabbitmq, RabbitmqOptions, find_postgres, install_postgres, install_rabbitmq,
};

use matchpurse_store::ExposeSecret as _;

use crate::progress::waiting;
use crate::say;

/// Which servers to use.
#[derive(Debug, clap::Args)]
pub(crate) struct ServerArgs {
    /// Use this PostgreSQL instead of a private one: postgres://user:password@host:5432/name
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// Carry the events over this RabbitMQ: amqp://user:password@host:5672/%2f
    #[arg(long, value_name = "URL", conflicts_with = "rabbitmq")]
    amqp_url: Option<String>,
    /// Carry the events over a private RabbitMQ; without this the database carries them
    #[arg(long)]
    rabbitmq: bool,
    /// Install what is missing: PostgreSQL, and RabbitMQ with --rabbitmq
    #[arg(long)]
    install: bool,
    /// Where private servers keep their data
    #[arg(long, value_name = "DIR", default_value = ".matchpurse")]
    data_dir: PathBuf,
}

/// The servers in use; private ones end with this.
pub(crate) struct Servers {
    pub(crate) database_url: String,
    pub(crate) broker_url: Option<String>,
    postgres: Option<Postgres>,
    rabbitmq: Option<Rabbitmq>,
}

impl Servers {
    /// Finds or starts them, telling what is done.
    pub(crate) async fn start(args: &ServerArgs) -> Result<Self> {
        let (database_url, postgres) = match &args.database_url {
            Some(url) => (url.clone(), None),
            None => {
                let postgres = postgres(args).await?;
                (postgres.url(), Some(postgres))
            }
        };
        let (broker_url, rabbitmq) = match (&args.amqp_url, args.rabbitmq) {
            (Some(url), _) => (Some(url.clone()), None),
            (None, true) => {
                let rabbitmq = rabbitmq(args).await?;
                (Some(rabbitmq.amqp_url()), Some(rabbitmq))
            }
            (None, false) => (None, None),
        };
        Ok(Self { database_url, broker_url, postgres, rabbitmq })
    }

    /// Stops the private ones and waits until they are gone.
    pub(crate) async fn stop(self) -> Result<()> {
        if let Some(rabbitmq) = self.rabbitmq {
            say("stopping RabbitMQ");
            rabbitmq.stop().await?;
        }
        if let Some(postgres) = self.postgres {
            say("stopping PostgreSQL");
            postgres.stop().await?;
        }
        Ok(())
    }
}

async fn postgres(args: &ServerArgs) -> Result<Postgres> {
    let binaries = if args.install {
        Some(install_postgres(&args.data_dir, &say).await?)
    } else {
        find_postgres(&args.data_dir)
    };
    let data_dir = args.data_dir.join("postgres");
    let starting = Postgres::start(PostgresOptions { data_dir, binaries, port: None, tls: None });
    let postgres = waiting("starting PostgreSQL", starting).await?;
    say(&format!(
        "PostgreSQL on 127.0.0.1:{}, private, data in {}",
        postgres.port(),
        shown(postgres.folder())
    ));
    if let Some(asked) = postgres.instead_of() {
        say(&format!("(PostgreSQL does not run as root, and nobody else may enter {})", shown(asked)));
    }
    Ok(postgres)
}

async fn rabbitmq(args: &ServerArgs) -> Result<Rabbitmq> {
    if args.install {
        install_rabbitmq(&say).await?;
    }
    say("starting RabbitMQ, which takes some seconds");
    let data_dir = args.data_dir.join("rabbitmq");
    let starting = Rabbitmq::start(RabbitmqOptions { data_dir, ..Default::default() });
    let rabbitmq = waiting("starting RabbitMQ", starting).await?;
    say(&format!(
        "RabbitMQ on 127.0.0.1:{}, private; management at {}",
        rabbitmq.port(),
        rabbitmq.management_url()
    ));
    Ok(rabbitmq)
}

fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// A database of this name on the server of `url`, empty: what was in it is gone. Only for private servers.
pub(crate) async fn fresh_database(url: &str, name: &str) -> Result<String> {
    let made = matchpurse_store::recreate_database(&url.into(), name).await;
    Ok(made.context("failed to make an empty database")?.expose_secret().to_owned())
}
