//! What a studio's engineer is told. Each says what goes wrong for the studio, and what to do.

use matchpurse_domain::webhook::TOLERANCE_S;

use crate::answer::Answer;
use crate::case::Case;
use crate::mistakes::Mistake;

pub(crate) const LIMITED: &str =
    "Your side limits how much it takes, so this could not be tried. Run it again with --pause-ms.";

pub(crate) const COPIES_REFUSED: &str = "One copy was accepted and others were refused: they are sent again later, for nothing. A copy whose twin is \
     still in work can wait for it, and then answer the same 2xx.";

pub(crate) const NO_STATE: &str = "Whether it was done once cannot be seen from the answers. Give --state-url, where your test system tells how \
     often it acted on each webhook-id.";

pub(crate) const NOT_DONE: &str = "It was acknowledged and not done. After a 2xx we never send it again: answer only when it is on durable storage.";

pub(crate) const DONE_ALL_THE_SAME: &str =
    "It was refused, and acted upon all the same. Check the signature before anything else happens.";

pub(crate) const CLAIMS_TOO_MUCH: &str = "What the status URL claims is not sent again: what never came, or was not accepted, is lost. Answer \
     {\"received\": true} only for a webhook-id that is on durable storage.";

pub(crate) const CLAIMS_TOO_LITTLE: &str = "It does not know a webhook-id that was accepted, so this would be sent again. Answer {\"received\": true} from the \
     moment of the 2xx on.";

pub(crate) const CLAIMS_NOTHING: &str = "It must answer a GET with 200 and {\"received\": true} or {\"received\": false}. Whatever else it answers, \
     everything is sent again.";

pub(crate) const SLOW: &str = "An answer that takes too long counts as none, and the same is sent again. Store the delivery, answer, and do \
     the work afterwards.";

/// What is wrong where the correct delivery was not accepted.
pub(crate) fn correct_refused(answer: &Answer, mistake: Option<Mistake>) -> String {
    if let Some(mistake) = mistake {
        return mistake.words();
    }
    if let Answer::Status { clock_ahead_s: Some(ahead), .. } = answer
        && ahead.abs() >= TOLERANCE_S
    {
        return format!(
            "Your clock is {} s {} ours. Set both by NTP: a timestamp may be five minutes from your clock, not more.",
            ahead.abs(),
            if *ahead > 0 { "ahead of" } else { "behind" }
        );
    }
    let words = match answer {
        Answer::Status { code: 401 | 403, .. } => {
            "The signature is not accepted. Is it the secret of this endpoint? Sign webhook-id, a point, \
             webhook-timestamp, a point and the body's bytes with the key that is base64 behind \"whsec_\"."
        }
        answer => return general(answer).unwrap_or(REFUSED).to_owned(),
    };
    words.to_owned()
}

const REFUSED: &str =
    "A correct delivery must be answered with 2xx. Look into your side's log for why it was not.";

/// What is wrong where another delivery was not accepted that had to be.
pub(crate) fn refused(case: Case, answer: &Answer) -> String {
    let of_case = match case {
        Case::TwoKeys => {
            "webhook-signature is a list with spaces between: one that fits is enough, wherever it stands. Otherwise \
             everything is refused while a secret is replaced."
        }
        Case::UnknownScheme => {
            "Pass over signatures that do not begin with \"v1,\", and look for one that fits."
        }
        Case::UnusualBytes => {
            "Sign the bytes as they came, before anything parses them; JSON that is parsed and written again is not \
             the same. And take any JSON, with letters beyond ASCII and members that you do not know."
        }
        Case::Large if matches!(answer, Answer::Status { code: 400..=403, .. }) => {
            "The body is not there as a whole when it is checked: read as many bytes as Content-Length says, up to \
             256 KiB."
        }
        Case::Large => {
            "Bodies may have up to 256 KiB. Raise the limit, of the server before your code as well (nginx: \
             client_max_body_size)."
        }
        Case::InPieces => {
            "The body comes in several packets. Read as many bytes as Content-Length says before you check it."
        }
        Case::UnknownType => {
            "New event types are added. Answer 2xx to what you do not know, and do nothing: otherwise it is sent \
             again for days, and your endpoint counts as failing."
        }
        Case::OutOfOrder => {
            "Deliveries come in any order. Answer 2xx to a notice that came too late, and go by what the payload \
             says; it is the whole match as it was then."
        }
        Case::Repeat => {
            "Answer the same 2xx to a webhook-id that you have already: it is repeated because the first answer may \
             not have arrived, until there is a 2xx."
        }
        Case::RepeatsAtOnce => {
            "Copies may come at once. Let one of them in by a unique index on webhook-id, and answer 2xx to all."
        }
        _ => REFUSED,
    };
    match (answer, general(answer)) {
        // These say what they mean, whatever the case is.
        (Answer::Status { code: 300..400 | 410, .. } | Answer::Silence { .. }, Some(general)) => {
            general.to_owned()
        }
        _ => of_case.to_owned(),
    }
}

/// What an answer other than 2xx does, whatever it answers.
fn general(answer: &Answer) -> Option<&'static str> {
    Some(match answer {
        Answer::Status { code: 300..400, .. } => {
            "Redirects are not followed: a signed delivery goes where the configuration says, not where an answer \
             points. Configure the URL that answers itself (http or https, with or without the last slash?)."
        }
        Answer::Status { code: 404 | 405, .. } => {
            "Nothing takes a POST here. Is it the right URL, with its whole path?"
        }
        Answer::Status { code: 410, .. } => {
            "410 says that nobody will ever be here again: the endpoint is disabled and gets nothing more."
        }
        Answer::Status { code: 413, .. } => "The body is too large for your side: take up to 256 KiB.",
        Answer::Status { code: 415, .. } => "Take Content-Type: application/json.",
        Answer::Status { code: 429, .. } => LIMITED,
        Answer::Status { code: 400 | 422, .. } => {
            "Your side does not understand what it says. If it is not the signature: take any JSON, with members \
             that you do not know."
        }
        Answer::Status { code: 500.., .. } => {
            "Your side failed. It is sent again later; look into your side's log for the cause."
        }
        Answer::Status { code: 100..200, .. } => "This is no answer of HTTP.",
        Answer::Silence { .. } => {
            "Without an answer in time nobody knows whether it arrived, so the same is sent again. Store the \
             delivery, answer, and do the work afterwards."
        }
        Answer::NoConnection(_) => "Is the server running, reachable from here, and its certificate valid?",
        Answer::Broken(_) => {
            "The server closed the connection instead of answering. Read the whole request, and answer it."
        }
        Answer::Status { .. } => return None,
    })
}

/// What is wrong where a delivery was accepted that had to be refused; `again` when no signature seems to matter.
pub(crate) fn believed(case: Case, again: bool) -> &'static str {
    match case {
        Case::Old => {
            "Who has overheard a delivery can send it again for ever. Refuse a webhook-timestamp that is more than \
             five minutes from your clock."
        }
        Case::Ahead => {
            "Refuse a webhook-timestamp that is more than five minutes ahead of your clock, as well as an old one."
        }
        _ if again => "As above: it is not the signature that decides.",
        Case::AnotherKey => {
            "Anybody who knows the URL can make your side give rewards. Compute the signature with the endpoint's \
             secret, compare it in constant time, and refuse with 401 when none fits."
        }
        Case::ChangedBody => {
            "What is signed must be the bytes of the body, all of them: the last of them was changed on the way."
        }
        Case::ChangedId => {
            "Sign the webhook-id too. Otherwise an overheard delivery can be sent again under a new id, and is done \
             again."
        }
        Case::ChangedTimestamp => {
            "Sign the webhook-timestamp too. Otherwise an overheard delivery can be made young again."
        }
        Case::MissingHeader => "Refuse what does not have all three headers with 400 or 401.",
        _ => "It must be refused with 401.",
    }
}

/// What is wrong where a delivery was refused, but not with 4xx.
pub(crate) fn badly_refused(answer: &Answer) -> String {
    let words = match answer {
        Answer::Status { code: 500.., .. } => {
            "It was not accepted, but your code failed over it. Whoever knows the URL can do that; answer 401."
        }
        Answer::Status { code: 410, .. } => {
            "Answer 401. With 410 your endpoint is disabled, if ever a secret is not the same on both sides."
        }
        _ => "Refuse it with 401.",
    };
    words.to_owned()
}

/// What is wrong where something was done more than once.
pub(crate) fn done_twice(case: Case) -> &'static str {
    match case {
        Case::RepeatsAtOnce => {
            "Two copies at once were both done: your side looks for the webhook-id first and writes it afterwards. \
             Insert it under a unique index in the transaction of the effect, and do nothing when it is there."
        }
        _ => {
            "Every delivery may come more than once, always under the same webhook-id. Insert that under a unique \
             index in the transaction of the effect, and do nothing when it is there."
        }
    }
}
