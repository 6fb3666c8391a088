//! What is sent to an ingress: lives of the simulator, signed, and written out before anything is measured.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use matchpurse_domain::ids::EventId;
use matchpurse_domain::time::Timestamp;
use matchpurse_simulator::{Plan, PlanOptions, SimulatedSource};

use crate::config::sources;
use crate::http;
use crate::load::Request;

/// The source whose deliveries are all alike: games with stakes, which go to three queues.
pub(crate) const ONE_SOURCE: &str = "games";
/// Its lives that are played: every delivery of them is news of a match.
const GAMES: [&str; 2] = ["game", "game_canceled"];
/// A delivery comes again after so many others.
const REPEATED_AFTER: usize = 200;
/// No life has more.
const DELIVERIES_MAX: usize = 40;

/// How a header vouches for a body: what stands before the hexadecimal digits, and the key.
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    pub(crate) header: String,
    pub(crate) prefix: String,
    pub(crate) key: String,
    pub(crate) routing_key: String,
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn one_source() -> Result<SimulatedSource> {
    let found = sources()?.into_iter().find(|source| source.name().as_str() == ONE_SOURCE);
    found.with_context(|| format!("no source {ONE_SOURCE}"))
}

/// A plan without anything unusual.
fn plain(seed: u64, sources: Vec<SimulatedSource>) -> PlanOptions {
    PlanOptions {
        crowd: 5_000,
        odd_percent: 0,
        duplicate_percent: 0,
        forged_percent: 0,
        ..PlanOptions::new(seed, sources)
    }
}

/// So many different deliveries of the one source.
pub(crate) fn of_one_source(seed: u64, count: usize) -> Result<Arc<Vec<Request>>> {
    let mut options = plain(seed, vec![one_source()?]);
    options.kinds = GAMES.map(str::to_owned).to_vec();
    Ok(Arc::new(enough(&options, count)?))
}

/// The first so many requests of a plan with as many lives as that takes.
fn enough(options: &PlanOptions, count: usize) -> Result<Vec<Request>> {
    let mut lives = u32::try_from(count / DELIVERIES_MAX)?.max(10);
    loop {
        let plan = Plan::new(PlanOptions { lives, ..options.clone() })?;
        if plan.items().len() >= count {
            return written(&plan, count);
        }
        // A plan costs much more than it takes to see how long it must be.
        let have = u64::try_from(plan.items().len().max(1))?;
        lives = u32::try_from(u64::from(lives) * u64::try_from(count)? * 11 / (have * 10) + 1)?;
    }
}

/// So many deliveries of all sources as it comes: 1.5 % of them repeated, 1 % with a bad signature, 0.5 % of
/// a kind that nobody knows.
pub(crate) fn mixed(seed: u64, count: usize) -> Result<Arc<Vec<Request>>> {
    let mut options = plain(seed, sources()?);
    options.forged_percent = 1;
    let mut requests = enough(&options, count)?;
    let mut strange = plain(seed + 1, vec![one_source()?]);
    (strange.odd_percent, strange.kinds) = (100, vec!["unknown_event".to_owned()]);
    let mut strange = enough(&strange, count / 200 + 1)?.into_iter();
    for place in (REPEATED_AFTER..requests.len()).step_by(200) {
        if let (Some(strange), Some(at)) = (strange.next(), requests.get_mut(place)) {
            *at = strange;
        }
    }
    // Three of two hundred.
    for place in (REPEATED_AFTER..requests.len()).step_by(67).map(|place| place + 1) {
        let again = place.checked_sub(REPEATED_AFTER).and_then(|place| requests.get(place)).cloned();
        if let (Some(again), Some(at)) = (again, requests.get_mut(place)) {
            *at = again;
        }
    }
    Ok(Arc::new(requests))
}

fn written(plan: &Plan, count: usize) -> Result<Vec<Request>> {
    let now = now();
    let requests = plan.items().iter().take(count).map(|item| {
        let signed = plan.sign(item, now).context("a key that cannot sign")?;
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(signed.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let path = format!("/hooks/{}", signed.source);
        let method = signed.method.as_str();
        let id = EventId::of_delivery(signed.source, method, &signed.body, 0).uuid();
        let id = item.forgery.is_none().then_some(id);
        Ok(Request { bytes: http::request(method, &path, &headers, &signed.body), id })
    });
    requests.collect()
}

/// How the one source signs, found out from a delivery: for programs that know no adapter.
pub(crate) fn signature() -> Result<Signature> {
    let mut options = plain(1, vec![one_source()?]);
    (options.lives, options.kinds) = (1, vec![GAMES[0].to_owned()]);
    let plan = Plan::new(options)?;
    let item = plan.items().first().context("an empty life")?;
    let signed = plan.sign(item, now()).context("a key that cannot sign")?;
    let [(header, value)] = signed.headers.as_slice() else { anyhow::bail!("more than one header vouches") };
    let digits = value.len().checked_sub(64).context("no HMAC-SHA256 in hexadecimal digits")?;
    let settings = crate::config::settings()?;
    let source = settings.sources.iter().find(|(name, _)| name.as_str() == ONE_SOURCE);
    let (_, source) = source.context("no such source")?;
    Ok(Signature {
        header: (*header).to_owned(),
        prefix: value.get(..digits).unwrap_or_default().to_owned(),
        key: source.secrets().first().context("no secret")?.expose().to_owned(),
        routing_key: format!("match_snapshot.{}.{ONE_SOURCE}", source.provider()),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_mix_has_what_it_says() {
        let requests = mixed(7, 4_000).unwrap();
        let ids: Vec<_> = requests.iter().filter_map(|request| request.id).collect();
        let forged = requests.len() - ids.len();
        let repeated = ids.len() - ids.iter().collect::<HashSet<_>>().len();
        assert!((20..=60).contains(&forged), "{forged} forged");
        assert!((40..=70).contains(&repeated), "{repeated} repeated");
    }

    #[test]
    fn one_source_sends_every_delivery_once() {
        let requests = of_one_source(7, 500).unwrap();
        let ids: HashSet<_> = requests.iter().filter_map(|request| request.id).collect();
        assert_eq!(ids.len(), 500);
        let signature = signature().unwrap();
        assert!(signature.routing_key.starts_with("match_snapshot."));
    }
}
