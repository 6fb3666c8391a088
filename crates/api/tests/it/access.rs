//! Who may do what.

use std::fmt::Write as _;

use anyhow::Result;
use insta::assert_snapshot;

use crate::harness::{ANN, Api, READER, SETTINGS, WRITER, request};
use crate::http::Request;
use crate::script::shown;

/// One request of each kind of resource; none of them finds anything.
const REQUESTS: [(&str, &str); 30] = [
    ("GET", "/v1/players/ours/x"),
    ("POST", "/v1/players/ours/x/deposits"),
    ("POST", "/v1/players/ours/x/withdrawals"),
    ("GET", "/v1/matches/ours/x"),
    ("GET", "/v1/matches/ours/x/timeline"),
    ("POST", "/v1/matches/ours/x/corrections"),
    ("GET", "/v1/corrections"),
    ("GET", "/v1/corrections/x"),
    ("POST", "/v1/corrections/x/approve"),
    ("POST", "/v1/corrections/x/reject"),
    ("GET", "/v1/ledger/trial-balance"),
    ("GET", "/v1/ledger/accounts/x"),
    ("GET", "/v1/ledger/accounts/x/entries"),
    ("GET", "/v1/rewards"),
    ("GET", "/v1/rewards/x"),
    ("POST", "/v1/rewards/x/release"),
    ("POST", "/v1/rewards/x/reverse"),
    ("POST", "/v1/rewards/x/retry"),
    ("GET", "/v1/endpoints"),
    ("POST", "/v1/endpoints"),
    ("GET", "/v1/endpoints/x"),
    ("PATCH", "/v1/endpoints/x"),
    ("DELETE", "/v1/endpoints/x"),
    ("PUT", "/v1/endpoints/x/secrets"),
    ("POST", "/v1/endpoints/x/enable"),
    ("POST", "/v1/endpoints/x/disable"),
    ("POST", "/v1/endpoints/x/test"),
    ("GET", "/v1/deliveries"),
    ("GET", "/v1/deliveries/x"),
    ("POST", "/v1/deliveries/x/retry"),
];

#[tokio::test]
async fn every_resource_asks_for_its_scope() -> Result<()> {
    let api = Api::start().await?;
    let mut table = String::new();
    for (method, path) in REQUESTS {
        write!(table, "{method:6} {path:32}")?;
        for secret in
            [None, Some("a-guess-of-whoever-thinks-it-helps"), Some(READER), Some(WRITER), Some(ANN)]
        {
            let asked = match secret {
                Some(secret) => request(secret, method, path, ""),
                None => Request::new(method, path, b""),
            };
            write!(table, " {}", api.send(&asked).await?.status)?;
        }
        table.push('\n');
    }
    assert_snapshot!(format!("{:40} none bad read oper both\n{table}", ""), @"
                                             none bad read oper both
    GET    /v1/players/ours/x               401 401 404 403 404
    POST   /v1/players/ours/x/deposits      401 401 403 415 415
    POST   /v1/players/ours/x/withdrawals   401 401 403 415 415
    GET    /v1/matches/ours/x               401 401 404 403 404
    GET    /v1/matches/ours/x/timeline      401 401 404 403 404
    POST   /v1/matches/ours/x/corrections   401 401 403 415 415
    GET    /v1/corrections                  401 401 200 403 200
    GET    /v1/corrections/x                401 401 404 403 404
    POST   /v1/corrections/x/approve        401 401 403 404 404
    POST   /v1/corrections/x/reject         401 401 403 415 415
    GET    /v1/ledger/trial-balance         401 401 200 403 200
    GET    /v1/ledger/accounts/x            401 401 404 403 404
    GET    /v1/ledger/accounts/x/entries    401 401 404 403 404
    GET    /v1/rewards                      401 401 200 403 200
    GET    /v1/rewards/x                    401 401 404 403 404
    POST   /v1/rewards/x/release            401 401 403 415 415
    POST   /v1/rewards/x/reverse            401 401 403 415 415
    POST   /v1/rewards/x/retry              401 401 403 415 415
    GET    /v1/endpoints                    401 401 200 403 200
    POST   /v1/endpoints                    401 401 403 415 415
    GET    /v1/endpoints/x                  401 401 404 403 404
    PATCH  /v1/endpoints/x                  401 401 403 415 415
    DELETE /v1/endpoints/x                  401 401 403 400 400
    PUT    /v1/endpoints/x/secrets          401 401 403 415 415
    POST   /v1/endpoints/x/enable           401 401 403 415 415
    POST   /v1/endpoints/x/disable          401 401 403 415 415
    POST   /v1/endpoints/x/test             401 401 403 415 415
    GET    /v1/deliveries                   401 401 200 403 200
    GET    /v1/deliveries/x                 401 401 404 403 404
    POST   /v1/deliveries/x/retry           401 401 403 415 415
    ");
    api.stop().await
}

#[tokio::test]
async fn who_is_not_let_in_is_told_how() -> Result<()> {
    let api = Api::start().await?;
    let mut all = String::new();
    let with = |value: &[u8]| {
        let mut request = Request::new("GET", "/v1/corrections", b"");
        request.headers.push(("authorization".to_owned(), value.to_vec()));
        request
    };
    let none = Request::new("GET", "/v1/corrections", b"");
    for asked in [
        &none,
        &with(b"Bearer a-guess-of-whoever-thinks-it-helps"),
        &request(WRITER, "GET", "/v1/corrections", ""),
        &request(READER, "POST", "/v1/players/ours/x/deposits", "{}"),
    ] {
        writeln!(all, "{}", shown(&api.send(asked).await?)?)?;
    }
    assert_snapshot!(all);

    let mut doubled = with(format!("Bearer {ANN}").as_bytes());
    doubled.headers.extend(doubled.headers.clone());
    for bad in [
        &with(format!("Basic {ANN}").as_bytes()),
        &with(ANN.as_bytes()),
        &with(b"Bearer "),
        &with(b"Bearer \xff"),
        &with(format!("Bearer {ANN}x").as_bytes()),
        &with(format!("Bearer {}", &ANN[..ANN.len() - 1]).as_bytes()),
        &doubled,
    ] {
        assert_eq!(api.send(bad).await?.status, 401, "{bad:?}");
    }
    // The scheme's case does not matter.
    assert_eq!(api.send(&with(format!("bearer {ANN}").as_bytes())).await?.status, 200);
    api.stop().await
}

#[tokio::test]
async fn without_tokens_everything_is_refused() -> Result<()> {
    let (before, rest) = SETTINGS.split_once("[api.tokens.ann]").unwrap();
    let (_, sources) = rest.split_once("[sources.ours]").unwrap();
    let api = Api::start_with(&format!("{before}[sources.ours]{sources}")).await?;
    for (method, path) in REQUESTS {
        assert_eq!(api.send(&request(ANN, method, path, "")).await?.status, 401, "{path}");
        assert_eq!(api.send(&request("", method, path, "")).await?.status, 401, "{path}");
    }
    assert_eq!(api.admin("/readyz").await?.status, 200, "it runs all the same");
    api.stop().await
}

#[tokio::test]
async fn a_path_that_is_none_says_nothing_to_strangers() -> Result<()> {
    let api = Api::start().await?;
    for path in ["/v1/nothing", "/v1/players/ours", "/v1/corrections/x/y", "/v1"] {
        assert_eq!(api.send(&Request::new("GET", path, b"")).await?.status, 401, "{path}");
        assert_eq!(api.send(&request(ANN, "GET", path, "")).await?.status, 404, "{path}");
    }
    for path in ["/", "/v2/corrections", "/healthz", "/metrics"] {
        assert_eq!(api.send(&Request::new("GET", path, b"")).await?.status, 404, "{path}");
    }
    api.stop().await
}
