//! `matchpurse send`: one delivery, signed as its provider signs it, and what the ingress answers.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Request, Response, Uri};
use matchpurse_domain::ids::SourceName;
use matchpurse_providers::fixtures::{self, Fixture};
use matchpurse_providers::{KeyRole, Method, Provider, by_id};
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions};
use matchpurse_settings::{Settings, SourceSettings};
use matchpurse_simulator::Signed;
use matchpurse_store::now;
use serde_json::{Value, json};

use crate::config::WHERE;
use crate::exit::{Ending, not_there, usage};
use crate::moment::printable;
use crate::out::{Out, Paint};
use crate::simulate::{signing_keys, simulated, sources};
use crate::table::{Table, left, right, words};

/// How much of a header that vouches for something is shown without being asked for, in characters.
const SIGNATURE_SHOWN: usize = 16;

/// How much of a body is shown, in characters.
const BODY_SHOWN: usize = 1_500;

/// Sign one delivery as its provider does, send it, and show the answer
///
/// Without a configuration the sources are those of `matchpurse dev`: games, arena, servers, offerwall. The exit code is 0
/// when the delivery is taken (2xx); with --bad-signature, when it is refused (401).
#[derive(Debug, clap::Args)]
pub(crate) struct SendArgs {
    /// What is sent: a file with the body, or the name of a built-in delivery of the source's provider
    #[arg(value_name = "FIXTURE", required_unless_present = "list")]
    fixture: Option<String>,
    /// As which source it is sent, and by whose keys it is signed
    #[arg(long, value_name = "NAME", required_unless_present = "list")]
    source: Option<String>,
    /// List the built-in deliveries, of the source's provider or of all
    #[arg(long)]
    list: bool,
    /// The configuration that has the source; without it those of `dev`
    #[arg(long, value_name = "FILE", env = "MATCHPURSE_CONFIG", help_heading = WHERE)]
    config: Option<PathBuf>,
    /// Where the ingress is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", help_heading = WHERE)]
    to: String,
    /// Send it although the ingress is on another machine, where it moves what it says
    #[arg(long, help_heading = WHERE)]
    to_another_machine: bool,
    /// Change a character of the signature, which must be refused
    #[arg(long)]
    bad_signature: bool,
    /// The method of the request; by default the delivery's, or the first that the provider uses
    #[arg(long, value_parser = method)]
    method: Option<Method>,
    /// Sign with the source's key for what moves money, where the provider has one for that
    #[arg(long)]
    postback: bool,
    /// A private key to sign with, for a source whose configuration has only the public one
    #[arg(long, value_name = "FILE")]
    sign_key: Option<PathBuf>,
    /// Show the headers that vouch for the body as they are: some hold a secret
    #[arg(long)]
    show_signature: bool,
}

fn method(text: &str) -> Result<Method, String> {
    Method::parse(text).ok_or_else(|| format!("{text:?} is no method that a provider uses"))
}

/// Lists, or sends.
pub(crate) async fn run(args: SendArgs, out: Out) -> Result<Ending> {
    let settings = sources(args.config.as_deref())?;
    let source = args.source.as_deref().map(|name| find(&settings, name)).transpose()?;
    let provider = source.map(|(_, source)| provider_of(source)).transpose()?;
    let (Some((name, source)), Some(provider), false) = (source, provider, args.list) else {
        list(provider, out);
        return Ok(Ending::Done);
    };
    let target = target(&args)?;
    let fixture = fixture(&args, provider)?;
    let given = args.sign_key.as_ref().map(|file| format!("{name}={}", file.display()));
    let keys = signing_keys(args.config.as_deref(), given.as_slice())?;
    let simulated = simulated(name, source, &keys)?;
    let Fixture { method, role, body, .. } = fixture;
    let signed = simulated.sign_one(method, role, body, now(), args.bad_signature);
    let signed = signed.with_context(|| {
        format!("source {name} cannot sign this; a source that has only a public key wants --sign-key FILE")
    })?;
    let url = format!("{target}/hooks/{name}");
    let begun = Instant::now();
    let answer = exchange(&url, &signed).await?;
    let took = begun.elapsed().as_millis();
    let status = answer.status().as_u16();
    if out.json() {
        out.value(&json!({
            "request": { "method": signed.method.as_str(), "url": url, "headers": headers(&signed, &args),
                         "body": body_json(&signed.body) },
            "answer": { "status": status, "headers": answer_headers(&answer),
                        "body": body_json(answer.body()) },
            "took_ms": u64::try_from(took).unwrap_or(u64::MAX),
        }));
    } else {
        print(&url, &signed, &answer, took, &args, out);
    }
    Ok(Ending::of_check(if args.bad_signature { status == 401 } else { answer.status().is_success() }))
}

fn find<'s>(settings: &'s Settings, name: &str) -> Result<(&'s SourceName, &'s SourceSettings)> {
    let found = settings.sources.iter().find(|(known, _)| known.as_str() == name);
    found.ok_or_else(|| {
        let known: Vec<&str> = settings.sources.keys().map(SourceName::as_str).collect();
        not_there(format!("no source is called {name}; there are {}", known.join(", ")))
    })
}

fn provider_of(source: &SourceSettings) -> Result<&'static dyn Provider> {
    by_id(source.provider()).ok_or_else(|| usage(format!("no adapter is called {:?}", source.provider())))
}

/// The ingress's address, which is on this machine unless somebody says otherwise.
fn target(args: &SendArgs) -> Result<String> {
    let wrong = || usage(format!("{:?} is no URL as http://127.0.0.1:8080", args.to));
    let url: Uri = args.to.parse().map_err(|_| wrong())?;
    let host = url.host().filter(|_| url.scheme().is_some()).ok_or_else(wrong)?;
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    if !local && !args.to_another_machine {
        return Err(usage(format!(
            "{host} is not this machine, and what is sent there moves money; --to-another-machine says that you mean it"
        )));
    }
    Ok(args.to.trim_end_matches('/').to_owned())
}

/// What is sent: a file where there is one, else what is built in.
fn fixture(args: &SendArgs, provider: &'static dyn Provider) -> Result<Fixture> {
    let name = args.fixture.as_deref().unwrap_or_default();
    let path = Path::new(name);
    let built_in = fixtures::of(provider).into_iter().find(|fixture| fixture.name == name);
    let mut fixture = match built_in {
        Some(fixture) if !path.is_file() => fixture,
        _ if path.is_file() => {
            let body = std::fs::read(path).with_context(|| format!("failed to read {name}"))?;
            let method = provider.methods().first().copied().context("the provider has no method")?;
            Fixture { name: "", method, role: KeyRole::Webhook, body: body.into() }
        }
        _ => {
            return Err(not_there(format!(
                "{name} is no file, and nothing built in of {} is called so; --list shows what is",
                provider.id()
            )));
        }
    };
    fixture.method = args.method.unwrap_or(fixture.method);
    if args.postback {
        fixture.role = KeyRole::Postback;
    }
    Ok(fixture)
}

async fn exchange(url: &str, signed: &Signed<'_>) -> Result<Response<Bytes>> {
    let client = HttpClient::new(&HttpClientOptions {
        proxy_from_environment: false,
        user_agent: "matchpurse-send",
        ..HttpClientOptions::default()
    })?;
    let mut request = Request::builder()
        .method(signed.method.as_str())
        .uri(url)
        .body(signed.body.clone())
        .context("the request cannot be made")?;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in &signed.headers {
        let value = HeaderValue::try_from(value).context("the signature cannot be sent")?;
        request.headers_mut().append(HeaderName::try_from(*name)?, value);
    }
    client
        .send(request)
        .await
        .with_context(|| format!("no answer from {url}: is the ingress there? `matchpurse dev` starts one"))
}

/// The headers that vouch for the body, cut unless somebody wants to see them.
fn headers(signed: &Signed<'_>, args: &SendArgs) -> Vec<(&'static str, String)> {
    let shown = |value: &String| match value.char_indices().nth(SIGNATURE_SHOWN) {
        Some((end, _)) if !args.show_signature => format!("{}…", value.get(..end).unwrap_or_default()),
        _ => value.clone(),
    };
    signed.headers.iter().map(|(name, value)| (*name, shown(value))).collect()
}

fn answer_headers(answer: &Response<Bytes>) -> Vec<(String, String)> {
    let shown = answer.headers().iter();
    let shown =
        shown.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()));
    shown.collect()
}

/// JSON as such, anything else as text.
fn body_json(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(body)))
}

fn body_text(body: &Bytes) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => format!("{value:#}"),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    match text.char_indices().nth(BODY_SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), body.len()),
        None => text,
    }
}

fn print(url: &str, signed: &Signed<'_>, answer: &Response<Bytes>, took: u128, args: &SendArgs, out: Out) {
    let heading = |text: &str| out.line(out.painted(Some(Paint::Heading), text));
    heading(&format!("{} {url}", signed.method.as_str()));
    for (name, value) in headers(signed, args) {
        out.line(format_args!("{name}: {}", printable(&value)));
    }
    if args.bad_signature {
        out.line("(a character of the signature is another one)");
    }
    out.line(format_args!("\n{}\n", printable(&body_text(&signed.body))));
    let status = answer.status();
    let paint = if status.is_success() { Paint::Good } else { Paint::Bad };
    out.line(format_args!("{} after {took} ms", out.painted(Some(paint), &status.to_string())));
    for (name, value) in answer_headers(answer) {
        if ["content-type", "retry-after", "allow"].contains(&name.as_str()) {
            out.line(format_args!("{name}: {}", printable(&value)));
        }
    }
    if !answer.body().is_empty() {
        out.line(format_args!("\n{}", printable(&body_text(answer.body()))));
    }
}

/// The built-in deliveries of one provider, or of all.
fn list(provider: Option<&'static dyn Provider>, out: Out) {
    let all: Vec<&dyn Provider> = match provider {
        Some(one) => vec![one],
        None => matchpurse_providers::all().to_vec(),
    };
    let rows: Vec<(&str, Fixture)> = all
        .into_iter()
        .flat_map(|provider| fixtures::of(provider).into_iter().map(move |fixture| (provider.id(), fixture)))
        .collect();
    let json = |(provider, fixture): &(&str, Fixture)| {
        json!({ "provider": provider, "name": fixture.name, "method": fixture.method.as_str(),
                "key": fixture.role.as_str(), "bytes": fixture.body.len() })
    };
    out.list(&rows, json, |rows| {
        let mut table =
            Table::new([left("provider"), words("name"), left("method"), left("key"), right("bytes")]);
        for (provider, fixture) in rows {
            table.row([
                provider.into(),
                fixture.name.into(),
                fixture.method.as_str().into(),
                fixture.role.as_str().into(),
                fixture.body.len().into(),
            ]);
        }
        table
    });
}
