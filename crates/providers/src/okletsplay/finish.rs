//! What OkLetsPlay is told when a match was played: `POST {api_url}/api/game/v1/finish`. From OkLetsPlay's page *Result
//! reporting*, as of November 2026; `README.md` says what of it is guessed.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde::Serialize;

use crate::api_call;
use crate::inquiry::AccessToken;
use crate::redemption::CallAnswer;
use crate::result_report::{ReportedGroup, ReportedPlayer, ReportedResult, ResultReports};

use super::pull::Calls;

pub(super) const PATH: &str = "/api/game/v1/finish";

/// Of a synchronous game: one result with everybody in it.
#[derive(Serialize)]
struct Body<'b> {
    match_id: &'b str,
    participants: Vec<Participant<'b>>,
    teams: Vec<Team<'b>>,
}

#[derive(Serialize)]
struct Participant<'b> {
    id: &'b str,
    /// The page types it as `uint8_t`, and shows 300.
    score: i64,
}

#[derive(Serialize)]
struct Team<'b> {
    id: &'b str,
    score: i64,
    ranking: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forfeit: bool,
}

impl<'b> Participant<'b> {
    const fn of(player: &ReportedPlayer<'b>) -> Self {
        Self { id: player.player_id, score: player.score }
    }
}

impl<'b> Team<'b> {
    const fn of(group: &ReportedGroup<'b>) -> Self {
        Self { id: group.group_id, score: group.score, ranking: group.place, forfeit: group.forfeit }
    }
}

impl ResultReports for Calls {
    fn request(&self, result: &ReportedResult<'_>, token: Option<&AccessToken>) -> Option<Request<Bytes>> {
        let body = Body {
            match_id: result.match_id,
            participants: result.players.iter().map(Participant::of).collect(),
            teams: result.groups.iter().map(Team::of).collect(),
        };
        let body = serde_json::to_vec(&body).ok()?;
        api_call::with_token(api_call::post(&self.at(PATH)?, "application/json", body)?, token)
    }

    /// The first result that was accepted stays, so whoever tells another one, or the same again, need not do so any more.
    fn read(&self, answer: &Response<Bytes>) -> CallAnswer {
        match answer.status() {
            StatusCode::CONFLICT => CallAnswer::Taken,
            status => CallAnswer::of_status(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::inquiry::testing::{self, answer, api_keys, token};
    use crate::okletsplay::Adapter;
    use crate::{
        AdapterSettings, CallAnswer, Keys, Provider as _, ReportedGroup, ReportedPlayer, ReportedResult,
        SettingsError,
    };

    fn settings(option: &str, url: &str) -> AdapterSettings {
        let ours = [("token_url", "https://id.example/token"), ("client_id", "our-game"), (option, url)];
        testing::settings("okletsplay", &ours)
    }

    #[test]
    fn a_result_is_told_with_places_and_wide_points() {
        let settings = settings("api_url", "https://prod.okletsplay.com/");
        let calls = Adapter.result_reports(&settings, &api_keys()).unwrap().unwrap();
        let group = |group_id, score, place, forfeit| ReportedGroup { group_id, score, place, forfeit };
        let player = |player_id, score| ReportedPlayer { player_id, score };
        let result = ReportedResult {
            match_id: "59c\"1",
            groups: vec![group("t1", 300, 1, false), group("t2", i64::MAX, 2, true)],
            players: vec![player("a", 300), player("b", -5)],
        };
        let request = calls.request(&result, Some(&token())).unwrap();
        assert_eq!(request.uri(), "https://prod.okletsplay.com/api/game/v1/finish");
        assert_eq!(request.method(), http::Method::POST);
        assert_eq!(request.headers()["authorization"], "Bearer access-token");
        assert!(!format!("{request:?}").contains("access-token"), "the token is not shown");
        assert_eq!(
            request.body(),
            r#"{"match_id":"59c\"1","participants":[{"id":"a","score":300},{"id":"b","score":-5}],"teams":[{"id":"t1","score":300,"ranking":1},{"id":"t2","score":9223372036854775807,"ranking":2,"forfeit":true}]}"#
        );
        assert!(calls.request(&result, None).is_none(), "nothing is told without a token");
        let limit = Adapter.match_tokens(&settings, &api_keys()).unwrap().unwrap().limit();
        assert_eq!(calls.limit(), limit, "one key, one limit");
    }

    #[test]
    fn an_answer_is_the_end_or_asks_for_a_repeat() {
        let settings = settings("api_url", "https://prod.okletsplay.com");
        let calls = Adapter.result_reports(&settings, &api_keys()).unwrap().unwrap();
        for (status, expected) in [
            (200, CallAnswer::Taken),
            (204, CallAnswer::Taken),
            (301, CallAnswer::Again),
            (400, CallAnswer::Refused),
            (401, CallAnswer::KeyRefused),
            (403, CallAnswer::Forbidden),
            (404, CallAnswer::Refused),
            (409, CallAnswer::Taken),
            (422, CallAnswer::Refused),
            (429, CallAnswer::Again),
            (500, CallAnswer::Again),
            (503, CallAnswer::Again),
        ] {
            assert_eq!(calls.read(&answer(status, "")), expected, "{status}");
        }
    }

    #[test]
    fn only_a_source_that_says_where_is_told() {
        let (told, asked) =
            (settings("api_url", "https://api.example"), settings("pull_url", "https://api.example/open"));
        assert!(Adapter.result_reports(&asked, &api_keys()).unwrap().is_none());
        let error = Adapter.result_reports(&told, &Keys::default()).err();
        assert_eq!(error, Some(SettingsError::NoApiKey { option: "api_url" }));
    }
}
