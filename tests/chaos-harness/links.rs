//! The connections between the parts, each of which can be broken alone.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_testkit::{Database, Dice, FaultProxy, Vhost};

use crate::system::service::Service;

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Link {
    /// A service and RabbitMQ.
    Broker(Service),
    /// A service and PostgreSQL.
    Database(Service),
}

/// How it is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// Connections are closed, and new ones too.
    Cut,
    /// Nothing flows; what was sent arrives afterwards.
    Pause,
    /// The connections that there are never hear anything again; new ones work.
    Abandon,
    /// Everything takes 200 ms longer, in each direction.
    Slow,
}

/// The delay of a slow connection.
const DELAY: Duration = Duration::from_millis(200);

impl Link {
    /// Any one that is used for work. The dispatcher and the API have no broker; the API's database is only asked for.
    pub(crate) fn some(dice: &mut Dice) -> Self {
        let all: Vec<Self> = Service::ALL
            .into_iter()
            .flat_map(|service| [Self::Broker(service), Self::Database(service)])
            .filter(|link| !matches!(link, Self::Broker(Service::Dispatcher | Service::Api)))
            .collect();
        all[dice.below(all.len())]
    }
}

/// A proxy for each.
pub(crate) struct Links(BTreeMap<Link, FaultProxy>);

impl Links {
    /// One proxy each, and what the services must be told about them.
    pub(crate) async fn lay(
        database: &Database,
        vhost: &Vhost,
    ) -> Result<(Self, BTreeMap<Service, Vec<(String, String)>>)> {
        let url = database.service_url();
        let (head, rest) = url.split_once('@').context("a database URL without a user")?;
        let (server, name) = rest.split_once('/').context("a database URL without a name")?;
        let (mut links, mut variables) = (BTreeMap::new(), BTreeMap::new());
        for service in Service::ALL {
            let broker = FaultProxy::start(vhost.broker_address()).await?;
            let store = FaultProxy::start(server).await?;
            let broker_url = vhost.amqp_url_at(&broker.address().to_string());
            let database_url = format!("{head}@{}/{name}", store.address());
            let told = [("MATCHPURSE_BROKER__URL", broker_url), ("MATCHPURSE_DATABASE__URL", database_url)];
            variables.insert(service, told.map(|(name, url)| (name.to_owned(), url)).to_vec());
            links.insert(Link::Broker(service), broker);
            links.insert(Link::Database(service), store);
        }
        Ok((Self(links), variables))
    }

    /// Breaks one.
    pub(crate) fn break_one(&self, link: Link, how: Break) -> Result<()> {
        let proxy = self.0.get(&link).context("no such link")?;
        match how {
            Break::Cut => proxy.cut(),
            Break::Pause => proxy.pause(),
            Break::Abandon => proxy.abandon(),
            Break::Slow => proxy.slow(DELAY),
        }
        Ok(())
    }

    /// Mends it; what was abandoned stays so.
    pub(crate) fn mend(&self, link: Link) -> Result<()> {
        self.0.get(&link).context("no such link")?.restore();
        Ok(())
    }
}
