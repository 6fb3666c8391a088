//! The Offer API: which offers there are, page by page.

use bytes::Bytes;
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use matchpurse_domain::time::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::adgem::inquiry;
use crate::api_call;
use crate::play::{Moment, Newest, PlayedApi, ScriptedDelivery, Tokens, answer, refuse, shown, told};
use crate::redemption::CallLimit;

/// A page has no more, whatever is asked for, so that a few offers are several pages.
const PER_PAGE_MAX: usize = 10;

pub(in crate::adgem) struct Api {
    key: String,
    limit: CallLimit,
    tokens: Tokens,
    /// Whether it is there, and its campaign.
    offers: Newest<(bool, Value)>,
}

impl Api {
    pub(in crate::adgem) fn new(key: &[u8], token_uses: Option<u32>) -> Self {
        let (key, limit) = (api_call::escaped(key), inquiry::limit(key));
        Self { key, limit, tokens: Tokens::new(token_uses), offers: Newest::new() }
    }

    fn list(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let number = |name| {
            let query = request.uri().query().unwrap_or_default();
            let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|pair| pair.0 == name);
            value.and_then(|(_, number)| number.parse::<usize>().ok())
        };
        let per_page = number("per_page").unwrap_or(PER_PAGE_MAX).clamp(1, PER_PAGE_MAX);
        let page = number("page").unwrap_or(1).max(1);
        let open = self.offers.all().filter(|(_, (open, _))| *open);
        let open: Vec<Value> =
            open.map(|(id, (_, campaign))| json!({ "id": id, "campaign_id": campaign })).collect();
        let all = json!(open).to_string();
        let etag = format!("\"{}\"", hex::encode(Sha256::digest(all.as_bytes())));
        if shown(request, IF_NONE_MATCH.as_str()) == Some(&etag) {
            let mut unchanged = Response::new(Bytes::new());
            *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
            return unchanged;
        }
        let more = open.len() > page.saturating_mul(per_page);
        let here: Vec<&Value> = open.iter().skip((page - 1).saturating_mul(per_page)).take(per_page).collect();
        let pagination = json!({ "has_more_pages": more, "next_page": more.then_some(page + 1) });
        let list = json!({ "status": "success", "data": { "offers": here, "pagination": pagination } });
        let mut answer = answer(StatusCode::OK, &list);
        if let Ok(etag) = HeaderValue::try_from(etag) {
            answer.headers_mut().insert(ETAG, etag);
        }
        answer
    }
}

impl PlayedApi for Api {
    fn limit(&self) -> CallLimit {
        self.limit
    }

    fn happens(&mut self, moment: Moment, delivery: &ScriptedDelivery) {
        let Some(told) = told(delivery) else { return };
        let open = match told.get("type").and_then(Value::as_str) {
            Some("offer.created") => true,
            Some("offer.removed") => false,
            _ => return,
        };
        let offer = |name| told.get("data").and_then(|data| data.get(name));
        if let Some(id) = offer("offerId").and_then(Value::as_str) {
            self.offers.put(id, moment, (open, offer("campaignId").cloned().unwrap_or_default()));
        }
    }

    fn answer(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/v1/users/token") => {
                self.tokens.give(request.body(), "refresh_token", &self.key, now)
            }
            _ if !self.tokens.take(request, now) => refuse(StatusCode::UNAUTHORIZED),
            (&Method::GET, "/v1/offers") => self.list(request),
            _ => refuse(StatusCode::NOT_FOUND),
        }
    }
}
