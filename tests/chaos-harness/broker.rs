//! What is done to RabbitMQ while it lives: alarms, and things that somebody deletes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use matchpurse_contracts::topology::{EVENTS_EXCHANGE, Queue};
use tokio::sync::Mutex;

use crate::faults::Alarm;
use crate::rig::Rig;
use crate::servers::Servers;
use crate::system::{START_PATIENCE, until};

/// What somebody deletes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lost {
    Queue(Queue),
    Bindings(Queue),
    Exchange,
}

impl Alarm {
    /// What raises it, and what ends it.
    fn commands(self) -> [[&'static str; 2]; 2] {
        match self {
            Self::Memory => {
                [["set_vm_memory_high_watermark", "0.00001"], ["set_vm_memory_high_watermark", "0.4"]]
            }
            Self::Disk => [["set_disk_free_limit", "100000GB"], ["set_disk_free_limit", "100MB"]],
        }
    }

    /// Where the node says of itself that it is raised.
    fn field(self) -> &'static str {
        match self {
            Self::Memory => "\"mem_alarm\":true",
            Self::Disk => "\"disk_free_alarm\":true",
        }
    }
}

impl Rig {
    /// Raises an alarm for a time; returns when it ended.
    pub(crate) async fn raise_alarm(
        &mut self,
        alarm: Alarm,
        time: Duration,
        servers: &Mutex<Servers>,
    ) -> Result<Instant> {
        let [raise, end] = alarm.commands();
        servers.lock().await.rabbitmq()?.control(&raise).await?;
        // A fault that did not happen proves nothing.
        until(
            "the alarm is raised",
            START_PATIENCE,
            async || Ok((!self.is_raised(alarm)?).then(String::new)),
        )
        .await?;
        tokio::time::sleep(time).await;
        servers.lock().await.rabbitmq()?.control(&end).await?;
        until("the alarm has ended", START_PATIENCE, async || Ok(self.is_raised(alarm)?.then(String::new)))
            .await?;
        Ok(Instant::now())
    }

    fn is_raised(&self, alarm: Alarm) -> Result<bool> {
        let answer = self.vhost.request("GET", "/api/nodes", "")?;
        ensure!(answer.status == 200, "the nodes were not listed: {answer:?}");
        Ok(answer.body.contains(alarm.field()))
    }

    /// Deletes something, and waits until somebody has declared it again; returns when it was deleted.
    pub(crate) async fn lose(&mut self, lost: Lost) -> Result<Instant> {
        self.settled().await;
        let before = self.bindings(lost)?;
        ensure!(before > 0, "there is nothing to delete: {lost:?}");
        match lost {
            Lost::Queue(queue) => self.vhost.delete_queue(queue.name())?,
            Lost::Exchange => drop(self.vhost.on("DELETE", "exchanges", EVENTS_EXCHANGE, "")?),
            Lost::Bindings(queue) => {
                for key in queue.binding_keys() {
                    // A binding's properties key is its routing key where it has no arguments.
                    let key = key.replace('#', "%23");
                    let path = format!("e/{EVENTS_EXCHANGE}/q/{}/{key}", queue.name());
                    self.vhost.on("DELETE", "bindings", &path, "")?;
                }
            }
        }
        let deleted = Instant::now();
        until("it is declared again", START_PATIENCE, async || {
            let now = self.bindings(lost)?;
            Ok((now < before).then(|| format!("{now} of {before} bindings")))
        })
        .await?;
        self.declared = Instant::now();
        Ok(deleted)
    }

    /// How many bindings there are that go when it goes.
    fn bindings(&self, lost: Lost) -> Result<usize> {
        let path = match lost {
            Lost::Queue(queue) | Lost::Bindings(queue) => {
                format!("/api/queues/{}/{}/bindings", self.vhost.name(), queue.name())
            }
            Lost::Exchange => {
                format!("/api/exchanges/{}/{EVENTS_EXCHANGE}/bindings/source", self.vhost.name())
            }
        };
        let answer = self.vhost.request("GET", &path, "")?;
        if answer.status == 404 {
            return Ok(0);
        }
        ensure!(answer.status == 200, "the bindings were not listed: {answer:?}");
        let bindings: Vec<serde_json::Value> =
            serde_json::from_str(&answer.body).context("the bindings are no list")?;
        Ok(bindings.iter().filter(|binding| binding["source"] == EVENTS_EXCHANGE).count())
    }
}
