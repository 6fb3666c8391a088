use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::offers::{Eligibility, OfferState};
use uuid::Uuid;

use crate::words::unknown;
use crate::{Client, Result};

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
    let (mut of, mut ids) = (Vec::new(), Vec::new());
    for (question, number) in questions.iter().zip(1_i32..) {
        of.extend(std::iter::repeat_n(number, question.offers.len()));
        ids.extend(question.offers.iter().map(String::as_str));
    }
    // What is found of an offer is one letter, and all of them are one text: a row an offer would cost more than the
    // finding. Sub-selects for one value are looked up by key whatever the planner believes of the arrays.
    let sql = "SELECT (SELECT string_agg(coalesce(
                        (SELECT CASE WHEN o.data IS NULL THEN '-'
                                     WHEN o.state = 'active' THEN 'a'
                                     WHEN (SELECT true FROM offer_start s
                                            WHERE s.source = $1 AND s.offer_id = asked.id
                                              AND s.player_key = ($2::uuid[])[asked.of]) THEN 's'
                                     ELSE 'r' END
                           FROM offer o WHERE o.source = $1 AND o.offer_id = asked.id),
                        '-'), '' ORDER BY asked.place)
                         FROM unnest($3::int4[], $4::text[]) WITH ORDINALITY AS asked (of, id, place)) AS found,
                      (SELECT string_agg(CASE WHEN (SELECT s.standing = 'banned' FROM player_standing s
                                                     WHERE s.player_key = p.key) THEN 'b' ELSE '-' END,
                                         '' ORDER BY p.place)
                         FROM unnest($2::uuid[]) WITH ORDINALITY AS p (key, place)) AS banned";
    let row = client.query_one(sql, &[&source.as_str(), &players, &of, &ids]).await?;
    let found: Option<&str> = row.try_get("found")?;
    let banned: Option<&str> = row.try_get("banned")?;
    let (mut found, banned) = (found.unwrap_or_default().as_bytes(), banned.unwrap_or_default().as_bytes());
    if found.len() != ids.len() || banned.len() != questions.len() {
        return Err(unknown("answer about offers"));
    }
    let mut answers = Vec::with_capacity(questions.len());
    for (question, banned) in questions.iter().zip(banned) {
        let (own, rest) = found.split_at(question.offers.len().min(found.len()));
        answers.push(own.iter().map(|letter| judged(*banned == b'b', *letter)).collect());
        found = rest;
    }
    Ok(answers)
}

fn judged(banned: bool, letter: u8) -> Eligibility {
    let (state, started) = match letter {
        b'a' => (Some(OfferState::Active), false),
        b's' => (Some(OfferState::Removed), true),
        b'r' => (Some(OfferState::Removed), false),
        _ => (None, false),
    };
    Eligibility::judge(banned, state, started)
}
