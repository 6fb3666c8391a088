//! What is tried on an endpoint, and the deliveries that try it.

use bytes::Bytes;
use matchpurse_domain::ids::derived_uuid;
use matchpurse_domain::time::Timestamp;
use matchpurse_domain::webhook::{SigningKey, TOLERANCE_S};
use serde::Serialize;

use crate::body;
use crate::delivery::Delivery;
use crate::secret::EndpointSecret;

/// How far the old and the early delivery are from now, in seconds: twice what is tolerated.
const OUT_OF_TIME_S: i64 = 2 * TOLERANCE_S;

/// How many copies come at once.
const COPIES: usize = 5;

/// One question to an endpoint. The order is that of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// A correct delivery; where it is refused, most of the others say nothing.
    Correct,
    /// Signed by an unknown key and by the endpoint's, in both orders.
    TwoKeys,
    /// Beside the signature there is one of a scheme that is not known.
    UnknownScheme,
    /// Signed with another key only.
    AnotherKey,
    /// A byte of the body is another one than was signed.
    ChangedBody,
    /// The id is another one than was signed.
    ChangedId,
    /// The timestamp is another one than was signed.
    ChangedTimestamp,
    /// Signed correctly, too long ago.
    Old,
    /// Signed correctly, for a time that is still to come.
    Ahead,
    /// One of the three headers is not there.
    MissingHeader,
    /// A body that no writer of JSON would write so.
    UnusualBytes,
    /// The largest body that there is.
    Large,
    /// The head at once, the body in pieces.
    InPieces,
    /// An event type that the endpoint cannot know.
    UnknownType,
    /// The end of a match, then its beginning.
    OutOfOrder,
    /// The same again, some time later.
    Repeat,
    /// The same several times at once.
    RepeatsAtOnce,
    /// Whether the status URL knows what was accepted, and nothing else.
    StatusUrl,
    /// How long the answers took.
    InTime,
}

/// What an endpoint must do with the deliveries of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Answer each with 2xx, and act so often on the id.
    Accept(Acts),
    /// Answer with 4xx, and do nothing.
    Refuse,
    /// Nothing is delivered for it.
    None,
}

/// How often an endpoint acts upon an id whose delivery it has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acts {
    Once,
    /// It may have nothing to do.
    AtMostOnce,
}

/// What the deliveries of one run have in common.
#[derive(Debug)]
pub(crate) struct Plan<'s> {
    pub(crate) secret: &'s EndpointSecret,
    /// Another key, which nobody has been given.
    pub(crate) stranger: SigningKey,
    /// The event type, where the case does not need one of its own.
    pub(crate) kind: &'s str,
    /// Tells this run's ids from those of others.
    pub(crate) run: String,
}

impl Case {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 19] = [
        Self::Correct,
        Self::TwoKeys,
        Self::UnknownScheme,
        Self::AnotherKey,
        Self::ChangedBody,
        Self::ChangedId,
        Self::ChangedTimestamp,
        Self::Old,
        Self::Ahead,
        Self::MissingHeader,
        Self::UnusualBytes,
        Self::Large,
        Self::InPieces,
        Self::UnknownType,
        Self::OutOfOrder,
        Self::Repeat,
        Self::RepeatsAtOnce,
        Self::StatusUrl,
        Self::InTime,
    ];

    /// What is tried, in words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Correct => "a correct delivery",
            Self::TwoKeys => "signed by two keys, one of them unknown (rotation)",
            Self::UnknownScheme => "a signature of an unknown scheme beside the right one",
            Self::AnotherKey => "signed with another key",
            Self::ChangedBody => "one byte of the body changed",
            Self::ChangedId => "the webhook-id changed",
            Self::ChangedTimestamp => "the webhook-timestamp changed",
            Self::Old => "signed ten minutes ago",
            Self::Ahead => "signed for ten minutes from now",
            Self::MissingHeader => "a header missing",
            Self::UnusualBytes => "a body with unusual spaces, escapes and letters",
            Self::Large => "a body of 256 KiB",
            Self::InPieces => "a slow sender: the body in pieces",
            Self::UnknownType => "an unknown event type",
            Self::OutOfOrder => "out of order: match.settled, then match.held",
            Self::Repeat => "the same webhook-id again, later",
            Self::RepeatsAtOnce => "the same webhook-id five times at once",
            Self::StatusUrl => "the status URL",
            Self::InTime => "answers in time",
        }
    }

    pub(crate) const fn duty(self) -> Duty {
        match self {
            Self::Correct
            | Self::TwoKeys
            | Self::UnknownScheme
            | Self::UnusualBytes
            | Self::Large
            | Self::InPieces
            | Self::Repeat
            | Self::RepeatsAtOnce => Duty::Accept(Acts::Once),
            Self::UnknownType | Self::OutOfOrder => Duty::Accept(Acts::AtMostOnce),
            Self::AnotherKey
            | Self::ChangedBody
            | Self::ChangedId
            | Self::ChangedTimestamp
            | Self::Old
            | Self::Ahead
            | Self::MissingHeader => Duty::Refuse,
            Self::StatusUrl | Self::InTime => Duty::None,
        }
    }

    /// True when the deliveries do not wait for each other's answers.
    pub(crate) fn at_once(self) -> bool {
        self == Self::RepeatsAtOnce
    }

    /// The deliveries of this case, in their order, as they are to be sent at `now`.
    pub(crate) fn deliveries(self, plan: &Plan<'_>, now: Timestamp) -> Vec<Delivery> {
        let key = plan.secret.key();
        let at_s = now.seconds();
        let id = |number: u8| plan.id(self, number);
        let notice = |number: u8| body::notice(plan.kind, &id(number), now);
        let correct = |number: u8| Delivery::signed(key, id(number), at_s, notice(number));
        match self {
            Self::Correct => vec![correct(1)],
            Self::TwoKeys => {
                let listed = |number, unknown_first| {
                    let ours = correct(number);
                    let theirs = Delivery::signed(&plan.stranger, id(number), at_s, notice(number));
                    let pair = if unknown_first { [theirs, ours.clone()] } else { [ours.clone(), theirs] };
                    Delivery {
                        signature: Some(pair.map(|one| one.signature.unwrap_or_default()).join(" ")),
                        ..ours
                    }
                };
                vec![
                    listed(1, true).labelled("the unknown one first"),
                    listed(2, false).labelled("the unknown one last"),
                ]
            }
            Self::UnknownScheme => {
                let ours = correct(1);
                let signature =
                    ours.signature.as_ref().map(|ours| format!("v1a,{} {ours}", "A".repeat(86) + "=="));
                vec![Delivery { signature, ..ours }]
            }
            Self::AnotherKey => vec![Delivery::signed(&plan.stranger, id(1), at_s, notice(1))],
            Self::ChangedBody => vec![Delivery { body: one_byte_changed(&notice(1)), ..correct(1) }],
            Self::ChangedId => vec![Delivery { id: Some(id(2)), ..correct(1) }],
            Self::ChangedTimestamp => {
                vec![Delivery { timestamp: Some(at_s.saturating_sub(1).to_string()), ..correct(1) }]
            }
            Self::Old => vec![Delivery::signed(key, id(1), at_s.saturating_sub(OUT_OF_TIME_S), notice(1))],
            Self::Ahead => vec![Delivery::signed(key, id(1), at_s.saturating_add(OUT_OF_TIME_S), notice(1))],
            Self::MissingHeader => vec![
                Delivery { signature: None, ..correct(1) }.labelled("without webhook-signature"),
                Delivery { timestamp: None, ..correct(2) }.labelled("without webhook-timestamp"),
                Delivery { id: None, ..correct(3) }.labelled("without webhook-id"),
            ],
            Self::UnusualBytes => {
                vec![Delivery::signed(key, id(1), at_s, body::unusual(plan.kind, &id(1), now))]
            }
            Self::Large => vec![Delivery::signed(key, id(1), at_s, body::large(plan.kind, &id(1), now))],
            Self::InPieces => vec![Delivery { in_pieces: true, ..correct(1) }],
            Self::UnknownType => {
                let body = body::notice("matchpurse.something_new", &id(1), now);
                vec![Delivery::signed(key, id(1), at_s, body)]
            }
            Self::OutOfOrder => {
                // One match, two notices. The later one of the two comes first.
                let subject = id(0);
                let settled = body::notice("match.settled", &subject, now);
                let held = body::notice("match.held", &subject, now.plus_seconds(-60));
                vec![
                    Delivery::signed(key, id(1), at_s, settled).labelled("match.settled"),
                    Delivery::signed(key, id(2), at_s, held).labelled("match.held"),
                ]
            }
            Self::Repeat => {
                // The attempt is another one, the notice is the same to the byte.
                let first = Delivery::signed(key, id(1), at_s.saturating_sub(5), notice(1));
                vec![first.labelled("the first time"), correct(1).labelled("again")]
            }
            Self::RepeatsAtOnce => vec![correct(1); COPIES],
            Self::StatusUrl | Self::InTime => Vec::new(),
        }
    }
}

impl Plan<'_> {
    /// The id of a case's delivery: a UUID as all are, and another one in each run.
    fn id(&self, case: Case, number: u8) -> String {
        derived_uuid("endpoint check", &[&self.run, case.title(), &number.to_string()]).to_string()
    }

    /// The id of the one correct delivery, and an id that is never delivered.
    pub(crate) fn ids_of_status(&self) -> [String; 2] {
        [self.id(Case::Correct, 1), self.id(Case::StatusUrl, 1)]
    }

    /// The id of a delivery that looks for a mistake.
    pub(crate) fn mistake_id(&self, number: usize) -> String {
        derived_uuid("endpoint check", &[&self.run, "mistake", &number.to_string()]).to_string()
    }
}

/// The last letter or digit of a body replaced by another one, so that it stays the JSON that it was.
fn one_byte_changed(body: &Bytes) -> Bytes {
    let mut bytes = body.to_vec();
    if let Some(byte) = bytes.iter_mut().rev().find(|byte| byte.is_ascii_digit()) {
        *byte = if *byte == b'7' { b'8' } else { b'7' };
    }
    bytes.into()
}
