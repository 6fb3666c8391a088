//! An adapter: what nobody signed is not believed, and of what is signed nothing comes that may not.

use std::sync::LazyLock;

use bytes::Bytes;
use matchpurse_contracts::wire::Message;
use matchpurse_providers::{Delivery, Keys, Method};

use crate::sources::{self, Fixture, NOW, Source, oracle};

/// A source with the ways in which its provider delivers: by method, and the key that signs.
struct Known {
    source: Source,
    keys: Keys,
    ways: Vec<(Method, &'static str)>,
    /// The names of the headers that carry signatures.
    headers: Vec<String>,
    fixtures: Vec<Fixture>,
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| sources::all().into_iter().map(known).collect());

fn known(source: Source) -> Known {
    let fixtures = source.fixtures();
    let mut ways: Vec<(Method, &'static str)> = Vec::new();
    let mut headers = Vec::new();
    for fixture in &fixtures {
        let way = (fixture.method, fixture.role);
        if !ways.contains(&way) {
            ways.push(way);
            let signed = source.signed(fixture.method, fixture.role, &fixture.body);
            headers.extend(signed.headers.iter().map(|(name, _)| name.to_owned()));
        }
    }
    headers.sort();
    headers.dedup();
    Known { keys: source.active_keys(), ways, headers, fixtures, source }
}

fn of(provider: &str) -> &'static Known {
    KNOWN.iter().find(|known| known.source.provider.id() == provider).unwrap()
}

/// The first byte chooses the way: one of those in which the provider delivers, with a good signature over the rest;
/// or, from 128 on, a request that nobody signed, whose header is the first line of the rest.
pub(crate) fn adapter(provider: &str, data: &[u8]) {
    let known = of(provider);
    let Some((way, rest)) = data.split_first() else { return };
    let (method, role) = known.ways[usize::from(*way & 0x7f) % known.ways.len()];
    if *way < 128 {
        let body = Bytes::copy_from_slice(rest);
        let delivered = Fixture { name: String::new(), method, role, body: body.clone() };
        drop(oracle::normalize(&known.source, &delivered, &body));
    } else {
        forged(known, method, rest);
    }
}

/// Whoever has no key can say what he likes.
fn forged(known: &Known, method: Method, rest: &[u8]) {
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (value, body) = rest.split_at(end);
    let headers = known.headers.iter().map(|name| (name.as_str(), value)).collect();
    let delivery = Delivery { method, headers, body: Bytes::copy_from_slice(body) };
    let believed = known.source.provider.verify(&delivery, &known.source.settings, &known.keys, NOW);
    assert!(believed.is_err(), "nobody signed this, and it is believed: {delivery:?}");
}

/// The fixtures' events of all providers, as messages of the broker.
pub(crate) fn messages() -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    for known in &*KNOWN {
        for fixture in &known.fixtures {
            let Ok(read) = oracle::normalize(&known.source, fixture, &fixture.body) else { continue };
            let events = oracle::events(&known.source, fixture, &read);
            messages.extend(events.into_iter().map(|event| Message::new(event, None).body.to_vec()));
        }
    }
    messages
}

/// The provider's fixtures, as inputs.
pub(crate) fn fixtures(provider: &str) -> Vec<Vec<u8>> {
    let known = of(provider);
    let seed = |fixture: &Fixture| {
        let way = known.ways.iter().position(|way| *way == (fixture.method, fixture.role)).unwrap();
        [&[u8::try_from(way).unwrap()], fixture.body.as_ref()].concat()
    };
    known.fixtures.iter().map(seed).collect()
}
