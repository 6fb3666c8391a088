//! What must be known to read the findings.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::Uri;
use matchpurse_service_kit::target::is_public;

use crate::answer::{Answer, Sent};
use crate::body::SOURCE;
use crate::case::Case;
use crate::run::Options;

/// How far clocks may be apart before it is told, in seconds.
const CLOCKS_APART_S: i64 = 60;

/// What must be known before the findings are read.
pub(crate) async fn notes(options: &Options) -> Vec<String> {
    let mut notes = vec![format!(
        "what is sent is about the source \"{SOURCE}\", and about players and things that do not exist; a correct \
         endpoint acts on it, so let it be a test system"
    )];
    let uri: Option<Uri> = options.url.expose().parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    if let Some(address) = private_address(host).await {
        notes.push(format!(
            "{address} is not an address of the public internet: it is tried because you named it; the dispatcher \
             sends there only where the endpoint has allow_private = true"
        ));
    } else if options.url.expose().starts_with("http://") {
        notes.push("by http:// everybody on the way can read the deliveries: use https://".to_owned());
    }
    notes
}

/// The first address of a host, if it is not public. A name that cannot be resolved has none: sending tells.
async fn private_address(host: &str) -> Option<IpAddr> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = tokio::net::lookup_host((host, 0)).await.ok()?;
    addresses.map(|address| address.ip()).find(|address| !is_public(*address))
}

/// Tells of clocks that are apart. Answers of a proxy have its clock.
pub(crate) fn clocks(sent: &BTreeMap<Case, Vec<Sent>>) -> Option<String> {
    let apart = sent.values().flatten().find_map(|sent| match sent.answer {
        Answer::Status { clock_ahead_s, .. } => clock_ahead_s,
        _ => None,
    })?;
    let which = if apart > 0 { "ahead of" } else { "behind" };
    (apart.abs() > CLOCKS_APART_S)
        .then(|| format!("the clock of the endpoint is {} s {which} that of this machine", apart.abs()))
}
