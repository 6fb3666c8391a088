//! The APIs as those ask them who missed a webhook: by the adapters' own requests, over HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use matchpurse_domain::event::Payload;
use matchpurse_providers::play::Retold;
use matchpurse_providers::{
    AccessToken, AdapterSettings, Fetched, Found, Inquiries, Inquiry, InquiryAnswer, InquiryKind, KeySet,
    Keys, Method, NewEvent, OptionValue, Provider, Verified,
};
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions};
use matchpurse_simulator::{ApiTroubles, Apis, Life, Plan, PlanOptions, PlayOptions, SimulatedSource, play};
use tokio::net::TcpListener;

use crate::plans::NOW;
use crate::sources::{self, PROVIDER_HOLDS, Source};

/// It looks like the e-mail and the password that one provider wants, and will do as a key of the others.
const KEY: &str = "someone@example.com:pa ss&w=rd";

/// A source of which no webhook arrives, the API that knows what they would have told, and how that is asked.
struct Played {
    plan: Plan,
    apis: Apis,
    url: String,
    adapter: &'static dyn Provider,
    settings: AdapterSettings,
    calls: Box<dyn Inquiries>,
    client: HttpClient,
}

/// The settings with which a provider is asked; each adapter reads those that are its own.
fn asking(source: &Source, url: &str) -> AdapterSettings {
    let mut settings = source.settings.clone();
    for (option, value) in [
        ("api_url", url.to_owned()),
        ("pull_url", format!("{url}/matches")),
        ("token_url", format!("{url}/token")),
        ("client_id", "a-game".to_owned()),
    ] {
        settings.options.insert(option.to_owned(), OptionValue::Text(value));
    }
    settings
}

/// All webhooks of a source are lost, and everything has happened.
async fn played(source: &Source, troubles: Option<ApiTroubles>) -> Result<Played> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/{}", listener.local_addr()?, source.name());
    let mut settings = asking(source, &url);
    let keys = Keys { api: KeySet::new([Bytes::from_static(KEY.as_bytes())]), ..source.keys.clone() };
    let mut calls = source.provider.inquiries(&settings, &keys);
    if calls.as_ref().is_err() {
        // Where a source either is told or asks, it is told nothing here.
        settings
            .options
            .retain(|option, _| ["pull_url", "token_url", "client_id"].contains(&option.as_str()));
        let keys = Keys { webhook: KeySet::default(), ..keys };
        calls = source.provider.inquiries(&settings, &keys);
    }
    let Some(calls) = calls? else { bail!("{} cannot be asked", source.name()) };
    let simulated = SimulatedSource::asked_only(settings.clone(), KEY)?;
    let options = PlanOptions {
        lives: 60,
        duplicate_percent: 50,
        odd_percent: 5,
        shuffle_window: 30,
        ..PlanOptions::new(3, vec![simulated])
    };
    let plan = Arc::new(Plan::new(options)?);
    assert!(plan.items().iter().all(|item| item.lost && !item.repeat && item.forgery.is_none()));
    assert_eq!(plan.losses(), Default::default(), "what is never sent is not lost");
    let apis = Apis::new(&plan, troubles);
    tokio::spawn(apis.clone().serve(listener));
    let options = PlayOptions { apis: Some(apis.clone()), ..PlayOptions::new("http://127.0.0.1:1") };
    let report = play(&plan, &options, |_| {}).await?.report;
    assert_eq!((report.sent, report.lost), (0, report.planned));
    let client = HttpClient::new(&HttpClientOptions { proxy_from_environment: false, ..Default::default() })?;
    let Ok(plan) = Arc::try_unwrap(plan) else { bail!("the play is over") };
    Ok(Played { plan, apis, url, adapter: source.provider, settings, calls, client })
}

impl Played {
    async fn token(&self) -> Result<Option<AccessToken>> {
        let Some(request) = self.calls.token_request() else { return Ok(None) };
        Ok(Some(self.calls.read_token(&self.client.send(request).await?)?))
    }

    async fn ask(&self, inquiry: &Inquiry<'_>, token: Option<&AccessToken>) -> Result<Response<Bytes>> {
        let Some(request) = self.calls.request(inquiry, token) else {
            bail!("it is not asked so: {inquiry:?}")
        };
        Ok(self.client.send(request).await?)
    }

    async fn found(&self, inquiry: &Inquiry<'_>, token: Option<&AccessToken>) -> Result<Found> {
        let answer = self.ask(inquiry, token).await?;
        match self.calls.read(inquiry, &answer) {
            InquiryAnswer::Found(found) => Ok(found),
            other => bail!("{inquiry:?}: {other:?}"),
        }
    }

    /// What a body means, as a webhook or as an answer.
    fn meaning(&self, method: Method, body: &[u8]) -> NewEvent {
        let body = Bytes::copy_from_slice(body);
        let verified = Verified::fetched(Fetched { method, body });
        let mut event = self.adapter.normalize(&verified, &self.settings).unwrap().events.swap_remove(0);
        // What a client sent along is JSON, in whose order the API need not give it.
        if let Payload::MatchSnapshot(snapshot) = &mut event.payload {
            // Some webhooks have no status; what it is stands in their name then.
            snapshot.provider_status.clear();
            let players = snapshot.groups.iter_mut().flat_map(|group| &mut group.players);
            for metadata in players.filter_map(|player| player.reward.as_mut()?.metadata.as_mut()) {
                *metadata = serde_json::from_str::<serde_json::Value>(metadata).unwrap().to_string();
            }
        }
        event
    }

    /// The last that a life's webhooks would have told, of what the API tells too.
    fn last(&self, life: &Life) -> Option<NewEvent> {
        let (last, _) = life.deliveries.iter().rfind(|(_, retold)| *retold != Retold::Never)?;
        let bodies = self.plan.unsent().find(|(id, ..)| id == last);
        bodies.map(|(_, method, body)| self.meaning(method, body))
    }
}

fn about(kind: InquiryKind, subject: &str) -> Inquiry<'_> {
    Inquiry { kind, subject, page: None, etag: None, known: &[], listed: &[], now: NOW }
}

async fn each_match_stands_as_its_last_webhook_would_have_told(played: &Played) -> Result<()> {
    let token = played.token().await?;
    let mut asked = 0;
    // A part of them, so that it stays within the limit.
    for life in played.plan.lives().iter().take(40) {
        let Some(last) = played.last(life) else { continue };
        let inquiry = about(InquiryKind::Match, &last.subject);
        let found = played.found(&inquiry, token.as_ref()).await?.found;
        let [fetched] = found.as_slice() else { bail!("{}: {} things", last.subject, found.len()) };
        let event = played.meaning(fetched.method, &fetched.body);
        assert_eq!((&event.subject, &event.payload), (&last.subject, &last.payload));
        asked += 1;
    }
    assert!(asked > 10, "only {asked} were asked for");
    let answer = played.ask(&about(InquiryKind::Match, "nobody-knows"), token.as_ref()).await?;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    Ok(())
}

async fn the_offers_are_those_that_are_there(played: &Played) -> Result<()> {
    let token = played.token().await?;
    let (mut page, mut listed, mut pages) = (None, Vec::new(), 0);
    loop {
        let inquiry = Inquiry { page: page.as_deref(), listed: &listed, ..about(InquiryKind::Offers, "") };
        let found = played.found(&inquiry, token.as_ref()).await?;
        pages += 1;
        listed.extend(found.listed);
        page = found.next;
        if page.is_none() {
            break;
        }
    }
    let offers = played.plan.lives().iter().flat_map(|life| &life.effects.offers);
    let open: BTreeSet<&String> = offers.filter(|(_, offer)| offer.open).map(|(id, _)| id).collect();
    assert_eq!(listed.iter().collect::<BTreeSet<_>>(), open);
    assert!(pages > 1, "{} offers are one page", listed.len());
    Ok(())
}

async fn the_matches_are_those_that_are_not_called_off(played: &Played) -> Result<()> {
    let token = played.token().await?;
    let found = played.found(&about(InquiryKind::PlayersMatches, ""), token.as_ref()).await?.found;
    let told: BTreeMap<String, NewEvent> = (found.iter())
        .map(|fetched| played.meaning(fetched.method, &fetched.body))
        .map(|event| (event.subject.clone(), event))
        .collect();
    let mut expected = BTreeMap::new();
    for life in played.plan.lives() {
        let settled = life.effects.matches.values().any(|effect| effect.settlement.is_some());
        if let Some(last) = played.last(life).filter(|_| !settled) {
            expected.insert(last.subject.clone(), last);
        }
    }
    assert!(expected.len() > 10 && expected.len() < played.plan.lives().len());
    assert_eq!(told.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert!(told.iter().all(|(id, event)| event.payload == expected[id].payload));
    Ok(())
}

#[tokio::test]
async fn an_api_tells_what_the_webhooks_would_have() -> Result<()> {
    for source in sources::all(PROVIDER_HOLDS) {
        let played = played(&source, None).await?;
        let kinds = played.calls.kinds();
        assert!(!kinds.is_empty());
        for kind in kinds {
            match kind {
                InquiryKind::Match => each_match_stands_as_its_last_webhook_would_have_told(&played).await?,
                InquiryKind::Offers => the_offers_are_those_that_are_there(&played).await?,
                InquiryKind::PlayersMatches => the_matches_are_those_that_are_not_called_off(&played).await?,
            }
        }
        let came = played.apis.figures()[source.name().as_str()];
        assert_eq!((came.beyond, came.failed, came.slow), (0, 0, 0), "{came:?}");
        assert_eq!(came.requests, came.answered + came.refused);
    }
    Ok(())
}

#[tokio::test]
async fn an_api_is_as_difficult_as_it_is_told_to_be() -> Result<()> {
    for source in sources::all(PROVIDER_HOLDS) {
        let troubles = ApiTroubles { every: 4, slow_by: Duration::from_millis(20) };
        let played = played(&source, Some(troubles)).await?;
        let (apis, limit) = (&played.apis, played.calls.limit());
        let nobody = |path: &str| -> Result<Request<Bytes>> {
            Ok(Request::get(format!("{}{path}", played.url)).body(Bytes::new())?)
        };
        let status = async |request: Request<Bytes>| -> Result<StatusCode> {
            Ok(played.client.send(request).await?.status())
        };
        assert_eq!(status(nobody("/whatever")?).await?, StatusCode::UNAUTHORIZED, "{}", source.name());
        if let Some(token) = played.token().await? {
            // It is good for four requests, of which one is answered by a failure.
            let kind = played.calls.kinds()[0];
            let mut answers = Vec::new();
            for _ in 0..6 {
                answers.push(played.ask(&about(kind, ""), Some(&token)).await?.status().as_u16());
            }
            assert_eq!(answers, [200, 503, 200, 200, 200, 503]);
            let ended = played.ask(&about(kind, ""), Some(&token)).await?;
            assert_eq!(played.calls.read(&about(kind, ""), &ended), InquiryAnswer::KeyRefused);
        }
        apis.set_away(true);
        assert_eq!(status(nobody("/whatever")?).await?, StatusCode::SERVICE_UNAVAILABLE);
        apis.set_away(false);
        let came = || apis.figures()[source.name().as_str()];
        while came().requests < u64::try_from(limit.calls)? {
            status(nobody("/whatever")?).await?;
        }
        let beyond = played.client.send(nobody("/whatever")?).await?;
        assert_eq!(beyond.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(beyond.headers()["retry-after"], limit.window_s.to_string());
        let came = came();
        // But for those while it was away and beyond the limit, each fourth failed and another one was late.
        let heard = came.requests - came.beyond - 1;
        assert_eq!((came.beyond, came.failed, came.slow), (1, 1 + heard / 4, (heard + 2) / 4));
    }
    Ok(())
}
