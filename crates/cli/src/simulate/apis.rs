//! The providers' APIs beside the play, and what is lost so that they have something to tell.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_service_kit::shutdown;
use matchpurse_simulator::{ApiFigures, ApiTroubles, Apis, Plan};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::out::Out;
use crate::say;

/// A late answer is so late.
const SLOW_BY: Duration = Duration::from_secs(2);

/// What gets lost, and who may be asked for it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ApiArgs {
    /// How many deliveries get lost on purpose, their repeats too, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) lose: u32,
    /// Play the providers' APIs too, each below http://ADDRESS/SOURCE; they know what was lost, and want the key of the
    /// source's `keys.api`
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) apis: Option<String>,
    /// For how long the APIs answer after everything was sent; without it until this is interrupted
    #[arg(long, value_name = "SECONDS", requires = "apis")]
    pub(crate) apis_for: Option<u64>,
    /// Of so many of the APIs' answers one is a failure and one two seconds late, and a token is good for as many requests;
    /// without it nothing goes wrong
    #[arg(long, value_name = "N", requires = "apis", value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) api_troubles: Option<u32>,
}

/// The APIs, while they are served.
pub(crate) struct Serving {
    pub(crate) apis: Apis,
    task: JoinHandle<Infallible>,
}

impl Serving {
    /// Begins, if it is asked for.
    pub(crate) async fn begin(args: &ApiArgs, plan: &Plan) -> Result<Option<Self>> {
        let Some(address) = &args.apis else { return Ok(None) };
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let at = listener.local_addr().context("the listener has no address")?;
        let troubles = args.api_troubles.map(|every| ApiTroubles { every, slow_by: SLOW_BY });
        let apis = Apis::new(plan, troubles);
        let sources: Vec<String> = apis.figures().into_keys().collect();
        say(&format!("the providers' APIs answer at http://{at}/SOURCE, of: {}", sources.join(", ")));
        let task = tokio::spawn(apis.clone().serve(listener));
        Ok(Some(Self { apis, task }))
    }

    /// Goes on for as long as is asked for, and tells what came.
    pub(crate) async fn end(self, args: &ApiArgs, out: Out) -> Result<BTreeMap<String, ApiFigures>> {
        let stop = shutdown::on_signals().context("cannot listen for signals")?;
        match args.apis_for {
            Some(seconds) => {
                say(&format!("the providers' APIs answer for {seconds} s more"));
                tokio::select! {
                    () = sleep(Duration::from_secs(seconds)) => {}
                    () = stop.cancelled() => {}
                }
            }
            None => {
                say("the providers' APIs go on until this is interrupted");
                stop.cancelled().await;
            }
        }
        self.task.abort();
        let figures = self.apis.figures();
        if !out.json() {
            for (source, came) in &figures {
                out.line(format_args!(
                    "  asked       {:>7} times {source}: {} answered, {} refused, {} failed, {} late, {} beyond the limit",
                    came.requests, came.answered, came.refused, came.failed, came.slow, came.beyond
                ));
            }
        }
        Ok(figures)
    }
}
