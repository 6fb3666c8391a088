use matchpurse_domain::event::MatchStatus;
use serde_json::json;

use super::operation::{Operation, Text};
use crate::problems::Kind;
use crate::{corrections, ledger, match_links, match_list, match_statistics, match_tokens, matches, results};

fn kinds() -> Text<'static> {
    Text::Words(vec!["recreational", "free_to_play", "tournament", "platform"])
}

pub(super) fn matches() -> Vec<Operation> {
    let which = "Which of several matches of this id.";
    vec![
        Operation::get("/v1/matches", "listMatches", "Matches, those that were heard of last first")
            .details(
                "A page looks at 10,000 matches at most. Where few of them have the wanted kind or status it may have \
                 fewer rows than `limit`, or none, though more follow: `next` says whether.",
            )
            .query("source", Text::Any, "Only those of this source.")
            .query("kind", kinds(), "Only those.")
            .query("status", Text::Words(MatchStatus::ALL.map(MatchStatus::as_str).to_vec()), "Only those that are there now.")
            .query("player", Text::Any, "Only those of this player of the source, which must be given too.")
            .query("since", Text::Moment, "Only those that were first heard of since.")
            .query("until", Text::Moment, "Only those that were first heard of before.")
            .lists::<match_list::SummaryView>("Matches without their participants."),
        Operation::get("/v1/matches/{source}/{match}", "getMatch", "A match with its participants and its money")
            .query("kind", kinds(), which)
            .shows::<matches::MatchView>("The match.")
            .refuses([Kind::AmbiguousMatch]),
        Operation::get("/v1/matches/{source}/{match}/timeline", "getMatchTimeline", "A match's whole story")
            .lists_as::<matches::Story>("In the order in which it was written."),
        Operation::post("/v1/matches/{source}/{match}/corrections", "correctMatch", "Sets a match's end, or shows what that would do")
            .details(
                "With `dry_run` nothing is done and neither a key nor a reason is needed. Where two persons are needed, \
                 the correction waits for the other one.",
            )
            .query("kind", kinds(), which)
            .key(false)
            .body::<corrections::CorrectionBody>(json!({ "end": { "as": "refund" }, "reason": "ticket 4711", "dry_run": true }))
            .answers_either::<corrections::PreviewView, corrections::CorrectionView>(200, "What would happen; or what was done before under this key.")
            .answers::<corrections::CorrectionView>(201, "It is done.")
            .answers::<corrections::CorrectionView>(202, "It waits for another person.")
            .refuses([
                Kind::AmbiguousMatch,
                Kind::CorrectionRefused,
                Kind::CorrectionPending,
                Kind::UnusableEvent,
                Kind::WrongCurrency,
                Kind::AmountOutOfRange,
                Kind::ProviderCustody,
            ]),
        Operation::get("/v1/matches/{source}/{match}/links", "getMatchLink", "Which match on a game server decides a match")
            .query("kind", kinds(), which)
            .shows::<match_links::LinkView>("The link, and what has become of it.")
            .refuses([Kind::AmbiguousMatch, Kind::UnknownLink]),
        Operation::put("/v1/matches/{source}/{match}/links", "linkMatch", "Has a match on a game server decide a match")
            .details("It can be linked anew until it is decided. When the linked match has ended, its points are told as the result.")
            .query("kind", kinds(), which)
            .body::<match_links::LinkBody>(json!({
                "decided_by": { "source": "servers", "match_id": "65f0" }, "team1": "team-1", "team2": "team-2",
            }))
            .answers::<match_links::LinkView>(200, "It is linked.")
            .refuses([
                Kind::AmbiguousMatch,
                Kind::MatchEnded,
                Kind::ResultDecided,
                Kind::CorrectionRefused,
                Kind::LinkNotTrusted,
            ]),
        Operation::get("/v1/matches/{source}/{match}/result", "getMatchResult", "A match's result that was told here")
            .query("kind", kinds(), which)
            .shows::<results::ResultView>("The result, and how the provider was told of it.")
            .refuses([Kind::AmbiguousMatch, Kind::UnknownResult]),
        Operation::post("/v1/matches/{source}/{match}/result", "tellMatchResult", "Ends a match by a result that its provider does not decide")
            .details(
                "The first that is accepted stays, and the match is settled by it at once. Where the provider takes \
                 results, it is told of it.",
            )
            .query("kind", kinds(), which)
            .key(true)
            .body::<results::ResultBody>(json!({
                "groups": [{ "group_id": "team-1", "score": 16 }, { "group_id": "team-2", "score": 3, "forfeit": true }],
                "players": [{ "player_id": "player-1", "score": 300 }],
            }))
            .answers::<results::ResultView>(201, "It is accepted, and the match is settled.")
            .answers::<results::ResultView>(200, "The same was accepted before.")
            .refuses([Kind::AmbiguousMatch, Kind::MatchEnded, Kind::ResultDecided, Kind::CorrectionRefused]),
        Operation::post("/v1/match-tokens/check", "checkMatchToken", "Says whose a match token is")
            .details(
                "The source's provider is asked, within its limit, for 10 seconds at most. Nothing is kept of the token. Where \
                 the source has a player's matches asked for, it is done at once for a player whose match is not known yet.",
            )
            .body::<match_tokens::CheckBody>(json!({ "source": "main-game", "match_token": "as the game was given it" }))
            .answers::<match_tokens::CheckedView>(200, "What the provider says.")
            .refuses([
                Kind::UnknownMatchToken,
                Kind::NoMatchTokens,
                Kind::ProviderUnusable,
                Kind::ProviderAway,
            ]),
        Operation::get("/v1/matches/{source}/{match}/statistics", "getMatchStatistics", "A match on a game server, with every line")
            .strict_query()
            .shows::<match_statistics::MatchView>("Both teams, the votes, what happened, what was corrected."),
        Operation::post("/v1/matches/{source}/{match}/statistics/corrections", "correctMatchStatistics", "Says which of two ends of a match stands")
            .strict_query()
            .key(true)
            .body::<match_statistics::CorrectionBody>(json!({ "stands": { "as": "first" }, "reason": "ticket 4711" }))
            .answers::<match_statistics::DoneView>(201, "It is done.")
            .answers::<match_statistics::DoneView>(200, "It was done before, under this key.")
            .refuses([Kind::CorrectionRefused, Kind::NothingToAnswer, Kind::UnusableEvent]),
        Operation::get("/v1/corrections", "listCorrections", "Corrections, the newest first")
            .query("state", Text::Words(vec!["proposed", "applied", "rejected"]), "Only those.")
            .lists::<corrections::CorrectionView>("Corrections."),
        Operation::get("/v1/corrections/{id}", "getCorrection", "A correction")
            .strict_query()
            .shows::<corrections::CorrectionView>("The correction."),
        Operation::post("/v1/corrections/{id}/approve", "approveCorrection", "Approves another person's correction")
            .answers::<corrections::CorrectionView>(200, "It is applied.")
            .refuses([
                Kind::SecondPersonRequired,
                Kind::CorrectionDecided,
                Kind::CorrectionOutdated,
                Kind::CorrectionRefused,
                Kind::UnknownMatch,
            ]),
        Operation::post("/v1/corrections/{id}/reject", "rejectCorrection", "Rejects a correction")
            .body::<corrections::RejectBody>(json!({ "reason": "not what the server's log says" }))
            .answers::<corrections::CorrectionView>(200, "It is rejected.")
            .refuses([Kind::CorrectionDecided]),
    ]
}

pub(super) fn ledger() -> Vec<Operation> {
    let at = "As it was at this moment.";
    vec![
        Operation::get("/v1/ledger/trial-balance", "getTrialBalance", "What all accounts hold together")
            .query("at", Text::Moment, at)
            .shows::<ledger::TrialBalance>("By source and currency; every sum is zero."),
        Operation::get("/v1/ledger/accounts/{id}", "getAccount", "An account of the ledger")
            .query("at", Text::Moment, at)
            .shows::<ledger::AccountView>("The account."),
        Operation::get(
            "/v1/ledger/accounts/{id}/entries",
            "listAccountEntries",
            "Every movement on an account, the newest first",
        )
        .lists::<ledger::EntryView>("Entries."),
    ]
}
