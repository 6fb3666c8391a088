//! Ending programs, and starting them again.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::service::{Running, Service};
use super::{START_PATIENCE, STOP_PATIENCE, System, connect, until};

impl System {
    /// Kills a program in the middle of whatever it does.
    pub(crate) fn kill9(&mut self, service: Service) -> Result<()> {
        self.counts_whole = false;
        self.service(service)?.kill9()
    }

    /// Starts a program again that was killed, and waits until it is ready.
    pub(crate) async fn restart(&mut self, service: Service) -> Result<()> {
        self.start_again(service)?;
        self.service(service)?.ready(START_PATIENCE).await
    }

    /// Starts a program again that was killed.
    pub(crate) fn start_again(&mut self, service: Service) -> Result<()> {
        let (config, folder) = (self.config.clone(), self.folder.0.clone());
        let variables = self.variables_of(service);
        let programs = self.programs.clone();
        let running = self.service(service)?;
        let admin = running.admin_address().to_owned();
        *running = Running::start(service, programs.as_deref(), &config, &variables, &admin, &folder)?;
        Ok(())
    }

    /// Asks a program to end, which it must do well, starts it again, and waits until it is ready.
    pub(crate) async fn roll(&mut self, service: Service) -> Result<()> {
        self.counts_whole = false;
        let status = self.service(service)?.terminate(STOP_PATIENCE).await?;
        ensure!(status.success(), "{} ended with {status}", service.name());
        self.restart(service).await
    }

    /// What a service is started with beside the plan's variables, from its next start on.
    pub(crate) fn vary(&mut self, service: Service, variables: Vec<(String, String)>) {
        self.varied.insert(service, variables);
    }

    /// The folder whose programs are started from now on; none for those beside this test.
    pub(crate) fn use_programs(&mut self, folder: Option<PathBuf>) {
        self.programs = folder;
    }

    /// Connects to the database again as soon as it takes connections.
    pub(crate) async fn reconnect_until_it_answers(&mut self) -> Result<()> {
        let url = self.database_url.clone();
        until("the database answers", START_PATIENCE, async || {
            let connected = connect(&url).await;
            Ok(connected.map(|client| self.client = client).err().map(|error| format!("{error:#}")))
        })
        .await
    }

    pub(super) fn variables_of(&self, service: Service) -> Vec<(String, String)> {
        let [planned, varied] = [&self.variables, &self.varied]
            .map(|variables| variables.get(&service).into_iter().flatten().cloned());
        // Each has the rights of its own role, as in production: a right that is missing fails a test.
        let own = self.database.as_ref().map(|database| {
            let role = format!("matchpurse_{}", service.name().replace('-', "_"));
            ("MATCHPURSE_DATABASE__URL".to_owned(), database.url_as(&role))
        });
        own.into_iter().chain(planned).chain(varied).collect()
    }
}
