use std::collections::HashSet;

use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::offers::{Eligibility, OfferState};
use uuid::Uuid;

use crate::words::unknown;
use crate::{Client, Result};

/// Between ids; no control character is in any.
const SEPARATOR: char = '\u{1F}';

/// Which of these offers may this player see?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The player; nobody needs to know of him yet.
    pub player: PlayerId,
    /// The provider's ids of the offers.
    pub offers: Vec<String>,
}

/// Answers questions about the offers of one source: for each question one answer an offer, in the order of asking. All in
/// one statement, so of one moment: every removal, start and ban that was committed before this was called is in the
/// answers.
///
/// # Errors
/// [`crate::Error`].
pub async fn eligible(
    client: &Client,
    source: &SourceName,
    questions: &[Question],
) -> Result<Vec<Vec<Eligibility>>> {
    let players: Vec<Uuid> = questions.iter().map(|question| question.player.key(source)).collect();
    let ids: Vec<&str> = questions.iter().flat_map(|question| &question.offers).map(String::as_str).collect();
    // What is found of an offer is one letter, and all of them are one text: a row an offer would cost more than the
    // finding. A player has few starts, so all of them come, in place of a look-up for each offer. Sub-selects for one
    // value are looked up by key whatever the planner believes of the arrays.
    let sql = "SELECT (SELECT string_agg(coalesce(
                        (SELECT CASE o.state WHEN 'active' THEN 'a' ELSE 'r' END FROM offer o
                          WHERE o.source = $1 AND o.offer_id = asked.id AND o.known),
                        '-'), '' ORDER BY asked.place)
                         FROM unnest($3::text[]) WITH ORDINALITY AS asked (id, place)) AS found,
                      (SELECT string_agg(CASE WHEN (SELECT s.standing = 'banned' FROM player_standing s
                                                     WHERE s.player_key = p.key) THEN 'b' ELSE '-' END,
                                         '' ORDER BY p.place)
                         FROM unnest($2::uuid[]) WITH ORDINALITY AS p (key, place)) AS banned,
                      ARRAY(SELECT (SELECT string_agg(s.offer_id, chr(31)) FROM offer_start s
                                     WHERE s.player_key = p.key AND s.source = $1)
                              FROM unnest($2::uuid[]) WITH ORDINALITY AS p (key, place)
                             ORDER BY p.place) AS started";
    let row = client.query_one(sql, &[&source.as_str(), &players, &ids]).await?;
    let found: Option<&str> = row.try_get("found")?;
    let banned: Option<&str> = row.try_get("banned")?;
    let started: Vec<Option<&str>> = row.try_get("started")?;
    let (mut found, banned) = (found.unwrap_or_default().as_bytes(), banned.unwrap_or_default().as_bytes());
    let lengths = (ids.len(), questions.len(), questions.len());
    if (found.len(), banned.len(), started.len()) != lengths {
        return Err(unknown("answer about offers"));
    }
    let mut answers = Vec::with_capacity(questions.len());
    for ((question, banned), started) in questions.iter().zip(banned).zip(started) {
        let (own, rest) = found.split_at(question.offers.len().min(found.len()));
        let started: HashSet<&str> = started.map(|ids| ids.split(SEPARATOR).collect()).unwrap_or_default();
        let judge = |(letter, offer): (&u8, &String)| {
            let state = match letter {
                b'a' => Some(OfferState::Active),
                b'r' => Some(OfferState::Removed),
                _ => None,
            };
            Eligibility::judge(*banned == b'b', state, started.contains(offer.as_str()))
        };
        answers.push(own.iter().zip(&question.offers).map(judge).collect());
        found = rest;
    }
    Ok(answers)
}
