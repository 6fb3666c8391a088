//! What nobody vouched for: 401, and nothing of it anywhere.

use anyhow::{Context as _, Result, ensure};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_providers::Delivery;
use sha2::Sha256;

use crate::system::http::{Headers, Request};
use crate::system::service::Service;
use crate::system::sources::{Fixture, Source, fixtures, now};
use crate::system::{START_PATIENCE, System, until};

const A_DAY_S: i64 = 86_400;

/// The deliveries that are forged: of each provider one under each of its keys, and one by each method.
fn originals(source: &Source) -> Result<Vec<Fixture>> {
    let understood = fixtures(source.provider)?.into_iter().filter(|fixture| {
        fixture.golden["reply"]["status"] == 200 && fixture.golden["events"][0]["unrecognized"].is_null()
    });
    let mut originals: Vec<Fixture> = Vec::new();
    for fixture in understood {
        let same = |one: &Fixture| (one.role, one.method) == (fixture.role, fixture.method);
        if !fixture.body.is_empty() && !originals.iter().any(same) {
            originals.push(fixture);
        }
    }
    ensure!(originals.len() >= source.keys.len().max(source.provider.methods().len()), "{}", source.name);
    Ok(originals)
}

/// A forged request, and what is wrong with it.
struct Forged {
    what: String,
    request: Request,
}

/// A body of which one bit is flipped, under the signature of the whole one.
fn flipped_bodies(source: &Source, fixture: &Fixture) -> Result<Vec<Forged>> {
    let original = source.delivery(fixture.role, fixture.method, &fixture.body)?;
    let places = [0, fixture.body.len() / 2, fixture.body.len() - 1];
    Ok(places
        .into_iter()
        .map(|place| {
            let mut request = original.clone();
            request.body[place] ^= 1 << (place % 8);
            Forged { what: format!("a bit of the body flipped at {place}"), request }
        })
        .collect())
}

/// The same body under headers that must not be believed.
fn forged_headers(source: &Source, fixture: &Fixture) -> Result<Vec<Forged>> {
    let original = source.delivery(fixture.role, fixture.method, &fixture.body)?;
    let mut forged = Vec::new();
    let mut add = |what: &str, headers: Headers| {
        forged.push(Forged { what: what.to_owned(), request: Request { headers, ..original.clone() } });
    };
    add("no header", Vec::new());
    for (index, (name, value)) in original.headers.iter().enumerate() {
        let with = |value: Vec<u8>| {
            let mut headers = original.headers.clone();
            headers[index].1 = value;
            headers
        };
        add("an empty header", with(Vec::new()));
        add("the header twice", [original.headers.clone(), vec![(name.clone(), value.clone())]].concat());
        add("two values in the header", with([value.as_slice(), b", ", value].concat()));
        add("a shortened header", with(value[..value.len() - 1].to_vec()));
        for place in [0, value.len() / 3, value.len() / 2, value.len() - 2] {
            let mut flipped = value.clone();
            flipped[place] ^= 1;
            add(&format!("a bit of the header flipped at {place}"), with(flipped));
        }
    }
    let signed = |key: Option<&[u8]>, at| source.sign(fixture.role, fixture.method, &fixture.body, key, at);
    let keys = source.keys.get(fixture.role).context("no key")?;
    add("another key", signed(Some(&keys.other), now())?);
    if source.expires {
        add("an expired token", signed(None, now().plus_seconds(-A_DAY_S))?);
        add("a token of tomorrow", signed(None, now().plus_seconds(A_DAY_S))?);
    }
    for (what, headers) in forged_tokens(&original, &keys.verify) {
        add(&what, headers);
    }
    Ok(forged)
}

/// Where a header carries a token: the same claims under another algorithm.
fn forged_tokens(original: &Request, public_key: &str) -> Vec<(String, Headers)> {
    let mut forged = Vec::new();
    for (index, (_, value)) in original.headers.iter().enumerate() {
        let text = String::from_utf8_lossy(value);
        let parts: Vec<&str> = text.trim_start_matches("Bearer ").split('.').collect();
        let [_, claims, signature] = parts[..] else { continue };
        let mut add = |what: &str, token: String| {
            let mut headers = original.headers.clone();
            headers[index].1 = format!("Bearer {token}").into_bytes();
            forged.push((what.to_owned(), headers));
        };
        let head =
            |alg: &str| BASE64_URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"{alg}\",\"typ\":\"JWT\"}}"));
        for alg in ["none", "None", "nOnE"] {
            add(&format!("alg {alg}"), format!("{}.{claims}.", head(alg)));
            add(&format!("alg {alg} with a signature"), format!("{}.{claims}.{signature}", head(alg)));
        }
        for key in [public_key, public_key.trim_end()] {
            let message = format!("{}.{claims}", head("HS256"));
            let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("any key does");
            mac.update(message.as_bytes());
            let signature = BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
            add("HS256 with the public key", format!("{message}.{signature}"));
        }
        add("no claims", format!("{}.{}.{signature}", head("RS256"), BASE64_URL_SAFE_NO_PAD.encode("{}")));
    }
    forged
}

/// Whether a signature covers the body, as the adapter says of a delivery that it believes.
fn covers_body(source: &Source, fixture: &Fixture) -> Result<bool> {
    let headers = source.sign(fixture.role, fixture.method, &fixture.body, None, now())?;
    let mut delivery = Delivery {
        method: fixture.method,
        headers: Default::default(),
        body: Bytes::copy_from_slice(&fixture.body),
    };
    headers.into_iter().for_each(|(name, value)| delivery.headers.add(&name, value));
    let verified = source.provider.verify(&delivery, &source.settings, &source.active_keys(), now())?;
    Ok(verified.body_authenticated())
}

#[tokio::test]
async fn what_nobody_vouched_for_is_refused_and_leaves_nothing() -> Result<()> {
    let sources: Vec<Source> = matchpurse_providers::all()
        .iter()
        .map(|provider| Source::new(*provider, provider.id()))
        .collect::<Result<_>>()?;
    let mut system = System::start(sources).await?;
    let untouched = system.tables(&[]).await?;

    let (mut wrong, mut refused, mut tokens) = (Vec::new(), 0, 0);
    let mut not_covered: Vec<(SourceName, &str, Forged)> = Vec::new();
    for source in &system.sources {
        for fixture in originals(source)? {
            let mut forged = forged_headers(source, &fixture)?;
            tokens += forged.iter().filter(|one| one.what.contains("HS256")).count();
            let flipped = flipped_bodies(source, &fixture)?;
            if covers_body(source, &fixture)? {
                forged.extend(flipped);
            } else {
                let of = |one| (source.name.clone(), fixture.method.as_str(), one);
                not_covered.extend(flipped.into_iter().map(of));
            }
            for Forged { what, request } in forged {
                let answer = system.send(&request).await?;
                refused += 1;
                let told = answer.header("content-type") == Some("application/problem+json");
                if answer.status != 401 || !told {
                    wrong.push(format!("{}, {}: {what}: {answer:?}", source.name, fixture.name));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "believed:\n{}", wrong.join("\n"));
    ensure!(refused > 60 && tokens > 0, "only {refused} forgeries, {tokens} of tokens");
    ensure!(!not_covered.is_empty(), "no provider whose signature covers no body");

    // Whatever a forgery might have started would be ahead of this in every queue.
    let controls: Vec<(String, Fixture)> = matchpurse_providers::all()
        .iter()
        .flat_map(|provider| {
            let source = system.source(provider.id());
            let originals = source.and_then(originals).unwrap_or_default();
            originals.into_iter().map(|fixture| (provider.id().to_owned(), fixture))
        })
        .collect();
    let unchanged = untouched.changes(&system.tables(&[]).await?);
    ensure!(unchanged.is_empty(), "a forgery left something: {unchanged:?}");
    let deliveries: Vec<(&str, &Fixture)> =
        controls.iter().map(|(name, fixture)| (name.as_str(), fixture)).collect();
    system.deliver_all(&deliveries).await?;
    system.settle().await?;
    let events: usize =
        controls.iter().map(|(_, fixture)| fixture.golden["events"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(system.count("SELECT count(*) FROM archive").await?, i64::try_from(events)?);
    assert_eq!(system.count("SELECT count(DISTINCT event_id) FROM inbox").await?, i64::try_from(events)?);
    assert_eq!(system.count("SELECT count(*) FROM parked").await?, 0);

    // Who says only who calls, not what, is believed whatever the body is; the events say so.
    for (source, method, Forged { what, request }) in not_covered {
        let answer = system.send(&request).await?;
        ensure!(matches!(answer.status, 200 | 422), "{source}: {what}: {answer:?}");
        let id = EventId::of_delivery(&source, method, &request.body, 0).uuid();
        let known = "SELECT count(*) FROM archive WHERE delivery_id = $1";
        until("the archive has it", START_PATIENCE, async || {
            let found: i64 = system.client.query_one(known, &[&id]).await?.try_get(0)?;
            Ok((found == 0).then(|| format!("{source}: {what}")))
        })
        .await?;
        let event: Vec<u8> = system
            .client
            .query_one("SELECT event FROM archive WHERE delivery_id = $1", &[&id])
            .await?
            .try_get(0)?;
        let event = matchpurse_contracts::wire::decode(&event)?;
        ensure!(!event.provenance.body_authenticated, "{source}: {what}");
    }

    let rejected: serde_json::Value = {
        let ingress = system.service(Service::Ingress)?;
        serde_json::from_str(&ingress.admin("/rejected").await?)?
    };
    assert_eq!(rejected["total"], refused);
    system.stop().await
}
