//! One question, from why it is asked to when it is asked again.

use std::sync::Arc;

use matchpurse_bus::Publisher;
use matchpurse_domain::time::Timestamp;
use matchpurse_provider_calls::CallError;
use matchpurse_providers::{AccessToken, Found, Inquiry, InquiryAnswer, InquiryKind};
use matchpurse_settings::ReconcilerSettings;
use matchpurse_store::inquiries::{self, Claimed, Patience};
use matchpurse_store::{Store, chain, now};
use metrics::{counter, gauge};
use tokio::time::Instant;

use crate::asker::Calling;
use crate::ended::Ended;
use crate::metric;

/// So many empty lists of offers in a row are believed, where offers are held.
const EMPTY_LISTS: u32 = 2;

/// What asking needs beside the one that is asked.
pub(crate) struct Asking {
    pub(crate) store: Store,
    pub(crate) publisher: Arc<dyn Publisher>,
    pub(crate) settings: ReconcilerSettings,
}

/// What is known beside the question.
struct Known {
    offers: Vec<String>,
    /// The answer is evidence, and no event.
    contradicted: bool,
}

impl Asking {
    /// How long no news are no reason to ask.
    pub(crate) fn patience(&self) -> Patience {
        Patience { silent_s: self.settings.silent_s.into(), ahead_s: self.settings.deadline_ahead_s.into() }
    }

    /// Asks a claimed question and writes down what came of it, all before the lease ends.
    pub(crate) async fn ask(&self, calling: &Calling, claimed: &Claimed, lease_ends: Instant) {
        // Another version of this program may ask what this one does not know.
        let Some(kind) = InquiryKind::parse(&claimed.question.kind) else { return };
        let asked_at = now();
        let ended = self.question(calling, claimed, kind, asked_at, lease_ends).await;
        let (source, subject) = (calling.asker.source.as_str(), &claimed.question.subject);
        let outcome = ended.as_ref().map_or("database_away", Ended::outcome);
        counter!(metric::INQUIRIES, "source" => source.to_owned(), "kind" => kind.as_str(), "outcome" => outcome)
            .increment(1);
        let written = match ended {
            Ok(ended) => {
                ended.tell(source, subject);
                self.write(claimed, kind, &ended, asked_at).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            let reason = chain(&error);
            tracing::warn!(
                source,
                subject,
                reason,
                "what came of asking could not be written down; it is asked again"
            );
        }
    }

    async fn question(
        &self,
        calling: &Calling,
        claimed: &Claimed,
        kind: InquiryKind,
        asked_at: Timestamp,
        lease_ends: Instant,
    ) -> matchpurse_store::Result<Ended> {
        let Some(known) = self.reason(calling, claimed, kind, asked_at).await? else {
            return Ok(Ended::NoReason);
        };
        let (mut page, mut listed, mut events) = (None::<String>, Vec::new(), 0);
        loop {
            let inquiry = Inquiry {
                kind,
                subject: &claimed.question.subject,
                page: page.as_deref(),
                etag: claimed.etag.as_deref().filter(|_| page.is_none()),
                known: &known.offers,
                listed: &listed,
                now: asked_at,
            };
            let inquiries = &calling.asker.inquiries;
            let make = |token: Option<&AccessToken>| inquiries.request(&inquiry, token);
            let answer = match calling.caller.send(&**inquiries, make, lease_ends).await {
                Ok(answer) => inquiries.read(&inquiry, &answer),
                Err(CallError::Store(error)) => return Err(error),
                Err(error) => return Ok(Ended::without_answer(&error)),
            };
            let Found { found, next, etag, listed: on_this_page } = match answer {
                InquiryAnswer::Found(found) => found,
                other => return Ok(Ended::with_nothing(claimed, other)),
            };
            listed.extend(on_this_page);
            let is_all = next.is_none();
            let detail = if is_all {
                counted(calling.asker.source.as_str(), kind, listed.len(), known.offers.len())
            } else {
                String::new()
            };
            if is_all && listed.is_empty() && !known.offers.is_empty() {
                let empty_lists = claimed.empty_lists.saturating_add(1);
                if empty_lists < EMPTY_LISTS {
                    return Ok(Ended::Answered {
                        outcome: "empty_list",
                        detail,
                        events,
                        etag: None,
                        empty_lists,
                    });
                }
            }
            if known.contradicted {
                self.attach(&calling.asker, claimed, &found, asked_at).await?;
                return Ok(Ended::Answered {
                    outcome: "evidence",
                    detail,
                    events: 0,
                    etag: None,
                    empty_lists: 0,
                });
            }
            match self.publish(&calling.asker, found, asked_at, lease_ends).await {
                Ok(count) => events += count,
                Err(error) => return Ok(Ended::not_published(&error)),
            }
            page = next;
            if page.is_none() {
                let outcome = if events == 0 { "nothing_new" } else { "found" };
                return Ok(Ended::Answered { outcome, detail, events, etag, empty_lists: 0 });
            }
        }
    }

    /// Whether there still is a reason to ask, with what is known; none where there is not.
    async fn reason(
        &self,
        calling: &Calling,
        claimed: &Claimed,
        kind: InquiryKind,
        now: Timestamp,
    ) -> matchpurse_store::Result<Option<Known>> {
        let client = self.store.client().await?;
        let question = &claimed.question;
        let known = |offers, contradicted| Ok(Some(Known { offers, contradicted }));
        match kind {
            InquiryKind::Offers => known(inquiries::offers_held(&client, &question.source).await?, false),
            InquiryKind::Match => {
                let need = inquiries::match_need(&client, question, self.patience(), now).await?;
                if need.is_there(now, self.patience()) {
                    known(Vec::new(), need.contradicted)
                } else {
                    Ok(None)
                }
            }
            InquiryKind::PlayersMatches => {
                let all = calling.asker.inquiries.tells_of_all_players(now);
                let needed = match question.subject.as_str() {
                    "" => all,
                    _ => !all && inquiries::player_need(&client, question, now).await?,
                };
                if needed { known(Vec::new(), false) } else { Ok(None) }
            }
        }
    }
}

/// The provider's count beside ours, where it has one: how much of what its webhooks told us is missing or too much.
fn counted(source: &str, kind: InquiryKind, listed: usize, held: usize) -> String {
    if kind != InquiryKind::Offers {
        return String::new();
    }
    for (whose, count) in [("provider", listed), ("held", held)] {
        let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        gauge!(metric::OFFERS, "source" => source.to_owned(), "count" => whose).set(count);
    }
    format!("the provider has {listed} offers, and {held} were held")
}
