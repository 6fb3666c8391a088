use bytes::Bytes;
use matchpurse_domain::event::{
    ConversionKind, OfferChange, OfferChanged, Payload, PlayerStanding, RewardPostback, Standing,
    UnrecognizedKind,
};
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::money::Currency;
use matchpurse_domain::source::{Custody, SourcePolicy, TiePolicy};
use matchpurse_domain::time::Timestamp;
use serde_json::{Value, json};

use super::Adapter;
use crate::delivery::{Delivery, Headers, Method};
use crate::keys::{KeyRole, KeySet, Keys};
use crate::normalized::{NewEvent, NormalizeError, Normalized};
use crate::provider::{Provider, SignRequest, VerifyError};
use crate::settings::{AdapterSettings, OptionValue, SettingsError};

const WEBHOOK: &[u8] = b"secret-key";
const POSTBACK: &[u8] = b"postback-key";

fn settings() -> AdapterSettings {
    let policy = SourcePolicy {
        source: SourceName::parse("wall").unwrap(),
        provider: Adapter.id().to_owned(),
        currency: Currency::new("GEM", Some(0)).unwrap(),
        custody: Custody::Provider,
        fee_bps: 0,
        tie_policy: TiePolicy::RefundFull,
        stake: None,
        hold_deadline_s: 86_400,
        on_deadline: matchpurse_domain::source::OnDeadline::Refund,
    };
    AdapterSettings { policy, options: std::collections::BTreeMap::new() }
}

fn set(keys: &[&'static [u8]]) -> KeySet {
    KeySet::new(keys.iter().map(|key| Bytes::from_static(key)))
}

fn keys() -> Keys {
    Keys { webhook: set(&[WEBHOOK]), postback: set(&[POSTBACK]), ..Keys::default() }
}

fn delivery(signature: &[&str], body: &str) -> Delivery {
    Delivery {
        method: Method::Post,
        headers: signature.iter().map(|value| ("Signature", *value)).collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn verify(signature: &[&str], body: &str, keys: &Keys) -> Result<KeyRole, VerifyError> {
    Adapter.verify(&delivery(signature, body), &settings(), keys, Timestamp::default()).map(|verified| {
        assert!(verified.body_authenticated());
        verified.role()
    })
}

fn signature(body: &str, role: KeyRole) -> String {
    let settings = settings();
    let key = match role {
        KeyRole::Webhook => WEBHOOK,
        KeyRole::Postback | KeyRole::Api => POSTBACK,
    };
    let request = SignRequest {
        method: Method::Post,
        body: body.as_bytes(),
        key,
        role,
        now: Timestamp::default(),
        settings: &settings,
    };
    let signed = Adapter.sign(&request).unwrap();
    let [(name, value)] = signed.headers.as_slice() else { panic!("one header") };
    assert_eq!(*name, "Signature");
    value.clone()
}

const REMOVED: &str = r#"{"type":"offer.removed","timestamp":"2024-07-11T20:26:10.344522Z","data":{"offerId":"123456789456123"}}"#;
const REMOVED_SIGNATURE: &str = "ea308e52e08aab43b88be564517105164b1f4e694b3e7ac0d0f5778b9cbb78ff";

#[test]
fn the_computed_vectors_verify() {
    let pretty = r#"{
    "type": "offer.removed",
    "timestamp": "2024-07-11T20:26:10.344522Z",
    "data": {
        "offerId": "123456789456123"
    }
}"#;
    let escaped = r#"{"type":"offer.updated","timestamp":"2024-07-11T20:26:10.344522Z","data":{"note":"https:\/\/a\/b"}}"#;
    for (body, expected) in [
        (REMOVED, REMOVED_SIGNATURE),
        (pretty, "2138e467ee662ca6f5b713588a5c9a7a6fc355cd7bcbb0e9f9bf7de887cc73a8"),
        (escaped, "901d0da60f7b64b6b892b8a4f339e1b2c6a30be677493d137014906620992a2a"),
    ] {
        assert_eq!(verify(&[expected], body, &keys()), Ok(KeyRole::Webhook));
        assert_eq!(verify(&[&expected.to_uppercase()], body, &keys()), Ok(KeyRole::Webhook));
        assert_eq!(signature(body, KeyRole::Webhook), expected);
    }
}

#[test]
fn the_same_json_in_other_bytes_does_not_verify() {
    // Another library writes `\/` as `/`. Who hashes what it has parsed and written anew gets this value.
    let rewritten = r#"{"type":"offer.updated","timestamp":"2024-07-11T20:26:10.344522Z","data":{"note":"https://a/b"}}"#;
    let sent = rewritten.replace('/', "\\/");
    let over_rewritten = "e7a8f53813adeb2a5c4468e622bd64cd3f41aa006fe387814fd201b5316e9a90";
    let over_sent = "901d0da60f7b64b6b892b8a4f339e1b2c6a30be677493d137014906620992a2a";
    let mismatch = Err(VerifyError::SignatureMismatch);
    assert_eq!(signature(rewritten, KeyRole::Webhook), over_rewritten);
    assert_eq!(verify(&[over_rewritten], &sent, &keys()), mismatch);
    assert_eq!(verify(&[over_sent], rewritten, &keys()), mismatch);
}

#[test]
fn the_header_is_bare_digits_and_stands_once() {
    let check = |values: &[&str]| verify(values, REMOVED, &keys());
    let malformed = Err(VerifyError::HeaderMalformed);
    assert_eq!(check(&[]), Err(VerifyError::HeaderMissing));
    assert_eq!(check(&[REMOVED_SIGNATURE, REMOVED_SIGNATURE]), Err(VerifyError::HeaderDoubled));
    assert_eq!(check(&[&format!("sha256={REMOVED_SIGNATURE}")]), malformed);
    assert_eq!(check(&["sig1=:6jCOUuCKq0O4i+VkUXEFFksfTmlLPnrA0PV3i5y7eP8=:"]), malformed);
    assert_eq!(check(&[""]), malformed);
    assert_eq!(check(&[&REMOVED_SIGNATURE[..62]]), malformed);
    assert_eq!(verify(&[REMOVED_SIGNATURE], &format!("{REMOVED}\n"), &keys()), Err(VerifyError::SignatureMismatch));
}

#[test]
fn the_key_that_fits_is_the_role() {
    let by_postback = signature(REMOVED, KeyRole::Postback);
    assert_eq!(verify(&[&by_postback], REMOVED, &keys()), Ok(KeyRole::Postback));
    let rotated = Keys { webhook: set(&[b"new", WEBHOOK]), postback: set(&[POSTBACK, b"newer"]), ..Keys::default() };
    assert_eq!(verify(&[REMOVED_SIGNATURE], REMOVED, &rotated), Ok(KeyRole::Webhook));
    assert_eq!(verify(&[&by_postback], REMOVED, &rotated), Ok(KeyRole::Postback));
    let webhook_only = Keys { webhook: set(&[WEBHOOK]), ..Keys::default() };
    assert_eq!(verify(&[&by_postback], REMOVED, &webhook_only), Err(VerifyError::SignatureMismatch));
    assert_eq!(verify(&[REMOVED_SIGNATURE], REMOVED, &webhook_only), Ok(KeyRole::Webhook));
    assert_eq!(verify(&[REMOVED_SIGNATURE], REMOVED, &Keys::default()), Err(VerifyError::NoKey));
}

#[test]
fn a_source_that_could_not_work_is_refused() {
    let check = |webhook: &[&'static [u8]], postback: &[&'static [u8]]| {
        Adapter.check(&settings(), &Keys { webhook: set(webhook), postback: set(postback), ..Keys::default() })
    };
    assert_eq!(check(&[WEBHOOK], &[]), Ok(()));
    assert_eq!(check(&[WEBHOOK, b"new"], &[POSTBACK]), Ok(()));
    assert!(matches!(check(&[], &[POSTBACK]), Err(SettingsError::NoKey { key: "secrets" })));
    assert!(matches!(check(&[b""], &[]), Err(SettingsError::NoKey { .. })));
    let same = check(&[b"new", WEBHOOK], &[POSTBACK, WEBHOOK]);
    assert!(matches!(same, Err(SettingsError::BadKey { key: "keys.postback", .. })));
    let mut with_option = settings();
    with_option.options.insert("x".to_owned(), OptionValue::Flag(true));
    let unknown = Adapter.check(&with_option, &keys());
    assert!(matches!(unknown, Err(SettingsError::UnknownOption { .. })));
}

fn try_normalize(role: KeyRole, body: &str) -> Result<Normalized, NormalizeError> {
    let headers: Headers = [("signature", signature(body, role))].into_iter().collect();
    let delivery = Delivery { headers, ..delivery(&[], body) };
    let verified = Adapter.verify(&delivery, &settings(), &keys(), Timestamp::default()).unwrap();
    assert_eq!(verified.role(), role);
    Adapter.normalize(&verified, &settings())
}

/// The only event.
fn normalize(role: KeyRole, body: &str) -> (String, NewEvent) {
    let mut normalized = try_normalize(role, body).unwrap();
    assert_eq!(normalized.events.len(), 1);
    (normalized.provider_type, normalized.events.remove(0))
}

fn offer(body: &Value) -> OfferChanged {
    match normalize(KeyRole::Webhook, &body.to_string()).1.payload {
        Payload::OfferChanged(offer) => offer,
        other => panic!("{other:?}"),
    }
}

fn refused_field(role: KeyRole, body: &Value) -> String {
    try_normalize(role, &body.to_string()).unwrap_err().field
}

#[test]
fn each_offer_type_is_a_change() {
    for (kind, change) in [
        ("offer.removed", OfferChange::Removed),
        ("offer.created", OfferChange::Created),
        ("offer.updated", OfferChange::Updated),
    ] {
        let body = format!(
            r#"{{"type":"{kind}","timestamp":"2024-07-11T20:26:10.344522Z",
                "data":{{ "offerId": 1234567894561234567, "appId":1, "campaignId":"2", "payout": 1.50, "note":"a \/ b" }}}}"#
        );
        let (provider_type, event) = normalize(KeyRole::Webhook, &body);
        let at = Timestamp::from_micros(1_720_729_570_344_522);
        let expected = OfferChanged {
            offer_id: "1234567894561234567".to_owned(),
            change,
            changed_at: at,
            app_id: Some("1".to_owned()),
            campaign_id: Some("2".to_owned()),
            data: r#"{"offerId":1234567894561234567,"appId":1,"campaignId":"2","payout":1.50,"note":"a \/ b"}"#
                .to_owned(),
        };
        assert_eq!(provider_type, kind);
        assert_eq!(event.subject, expected.offer_id);
        assert_eq!(event.occurred_at, Some(at));
        assert_eq!(event.payload, Payload::OfferChanged(expected));
    }
}

#[test]
fn every_form_of_a_time_is_read_and_none_is_made_up() {
    let at = |timestamp: Value| json!({"type": "offer.removed", "timestamp": timestamp, "data": {"offerId": "7"}});
    for (timestamp, seconds) in [
        (json!("2024-01-01T00:00:00.000000Z"), 1_704_067_200),
        (json!("2024-01-01T02:00:00+02:00"), 1_704_067_200),
        (json!("2024-01-01 00:00:00"), 1_704_067_200),
        (json!(1_704_067_200), 1_704_067_200),
        (json!("1704067200"), 1_704_067_200),
    ] {
        assert_eq!(offer(&at(timestamp.clone())).changed_at.seconds(), seconds, "{timestamp}");
    }
    for bad in
        [json!(""), json!("yesterday"), Value::Null, json!(true), json!(1.5), json!(-1), json!(1_704_067_200_000_i64)]
    {
        assert_eq!(refused_field(KeyRole::Webhook, &at(bad.clone())), "timestamp", "{bad}");
    }
    let without = json!({"type": "offer.removed", "data": {"offerId": "7"}});
    assert_eq!(refused_field(KeyRole::Webhook, &without), "timestamp");
}

#[test]
fn an_offer_needs_only_its_id_and_time() {
    let body = |data: Value| json!({"type": "offer.removed", "timestamp": 5, "data": data});
    for data in [json!({"offerId": "7"}), json!({"offerId": "7", "appId": null, "campaignId": ""})] {
        let offer = offer(&body(data));
        assert_eq!((offer.offer_id.as_str(), offer.app_id, offer.campaign_id), ("7", None, None));
    }
    for (data, field) in [
        (json!({}), "data.offerId"),
        (json!({"offerId": ""}), "data.offerId"),
        (json!({"offerId": null}), "data.offerId"),
        (json!({"offerId": 1.5}), "data.offerId"),
        (json!({"id": "7", "offer_id": "7"}), "data.offerId"),
        (json!([]), "data.offerId"),
    ] {
        let field_of_error = refused_field(KeyRole::Webhook, &body(data.clone()));
        // An empty list stands for an object without fields; serde names no field then.
        let expected = if data.is_array() { "data" } else { field };
        assert!(field_of_error.starts_with(expected), "{data}: {field_of_error}");
    }
}

#[test]
fn a_players_standing_has_the_time_when_it_was_set() {
    let standing = |body: &Value| match normalize(KeyRole::Webhook, &body.to_string()) {
        (_, NewEvent { payload: Payload::PlayerStanding(standing), subject, occurred_at }) => {
            assert_eq!(subject, standing.player_id.as_str());
            assert_eq!(occurred_at, Some(standing.changed_at));
            standing
        }
        other => panic!("{other:?}"),
    };
    let banned = json!({"type": "player.banned", "timestamp": "2025-01-01T00:00:09Z", "data": {
        "player_id": "player123", "app_id": 1, "ban_reason": "fraud", "created_at": "2025-01-01T00:00:00Z"}});
    let expected = PlayerStanding {
        player_id: "player123".into(),
        standing: Standing::Banned,
        changed_at: Timestamp::from_seconds(1_735_689_600),
        reason: Some("fraud".to_owned()),
    };
    assert_eq!(standing(&banned), expected);
    let lifted = json!({"type": "player.unbanned", "timestamp": "2025-01-01T00:00:09Z", "data": {
        "player_id": 77, "ban_reason": ""}});
    let expected = PlayerStanding {
        player_id: "77".into(),
        standing: Standing::Good,
        changed_at: Timestamp::from_seconds(1_735_689_609),
        reason: None,
    };
    assert_eq!(standing(&lifted), expected);
    for (change, field) in [
        (json!({"type": "player.banned", "data": {"player_id": "p"}}), "data.created_at"),
        (json!({"type": "player.banned", "timestamp": 5, "data": {"player_id": "p", "created_at": "x"}}), "data.created_at"),
        (json!({"type": "player.banned", "timestamp": 5, "data": {}}), "data.player_id"),
        (json!({"type": "player.banned", "timestamp": 5}), "data"),
    ] {
        assert_eq!(refused_field(KeyRole::Webhook, &change), field);
    }
}

fn postback() -> Value {
    serde_json::from_str(include_str!("fixtures/postback_v3.json")).unwrap()
}

fn reward(body: &Value) -> RewardPostback {
    match normalize(KeyRole::Postback, &body.to_string()).1.payload {
        Payload::RewardPostback(reward) => reward,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_postback_is_a_reward_keyed_by_its_conversion() {
    let body = postback().to_string();
    let (provider_type, event) = normalize(KeyRole::Postback, &body);
    assert_eq!(provider_type, "reward");
    assert_eq!(event.subject, "c5eb2a9d-41a4-4088-80bb-ebc87bd1bb62");
    assert_eq!(event.occurred_at, Some(Timestamp::from_seconds(1_720_727_170)));
    let reward = reward(&postback());
    assert_eq!(reward.conversion_id, event.subject);
    assert_eq!(reward.request_id.as_deref(), Some("01786456-b959-404a-baa7-05ef8a2e0290"));
    assert_eq!(reward.player_id.as_str(), "player123");
    assert_eq!(reward.offer_id.as_deref(), Some("12345678900123456"));
    assert_eq!(reward.goal_id.as_deref(), Some("12345678911123456"));
    assert_eq!(reward.goal_name.as_deref(), Some("Reach level 20"));
    assert_eq!(reward.kind, ConversionKind::Reward);
    let shown = |money: Option<matchpurse_domain::money::Money>| money.map(|m| format!("{m:?}"));
    assert_eq!(shown(reward.amount).as_deref(), Some("150 GEM"));
    assert_eq!(shown(reward.payout).as_deref(), Some("150 USD"));
}

#[test]
fn an_amount_may_be_empty_but_never_something_else() {
    let with = |amount: Value| {
        let mut body = postback();
        body["data"]["amount"] = amount;
        body
    };
    for (amount, minor_units) in [
        (Value::Null, None),
        (json!(""), None),
        (json!(0), Some(0)),
        (json!("150"), Some(150)),
        (json!(150.0), Some(150)),
    ] {
        assert_eq!(reward(&with(amount)).amount.map(|m| m.minor_units), minor_units);
    }
    let mut without = postback();
    without["data"].as_object_mut().unwrap().remove("amount");
    assert_eq!(reward(&without).amount, None);
    for bad in [json!(-1), json!(1.5), json!("1,5"), json!(true), json!({}), json!(1e30)] {
        assert_eq!(refused_field(KeyRole::Postback, &with(bad.clone())), "data.amount", "{bad}");
    }
}

#[test]
fn a_payout_finer_than_a_cent_fails_nothing() {
    for (payout, cents) in [
        (json!(1.5), Some(150)),
        (json!("0.07"), Some(7)),
        (json!(0.125), None),
        (json!("n/a"), None),
        (json!(""), None),
        (Value::Null, None),
    ] {
        let mut body = postback();
        body["data"]["payout"] = payout;
        let reward = reward(&body);
        assert_eq!(reward.payout.map(|m| m.minor_units), cents);
        assert_eq!(reward.amount.unwrap().minor_units, 150);
    }
}

#[test]
fn only_known_conversions_credit() {
    let with = |word: Value| {
        let mut body = postback();
        body["data"]["conversion_type"] = word;
        body
    };
    assert_eq!(reward(&with(json!("install"))).kind, ConversionKind::Install);
    assert_eq!(reward(&with(Value::Null)).kind, ConversionKind::Reward);
    let (_, event) = normalize(KeyRole::Postback, &with(json!("bonus")).to_string());
    assert_eq!(event.subject, "c5eb2a9d-41a4-4088-80bb-ebc87bd1bb62");
    assert!(matches!(event.payload, Payload::Unrecognized(u) if u.kind == UnrecognizedKind::UnknownStatus));
}

#[test]
fn a_conversion_is_taken_back_by_an_amount_of_any_sign_or_none() {
    for word in ["reversal", "reversed", "chargeback"] {
        for (amount, units) in [
            (json!(-150), Some(150)),
            (json!(150), Some(150)),
            (json!("-150"), Some(150)),
            (json!(0), None),
            (json!("-0"), None),
            (json!(""), None),
            (Value::Null, None),
        ] {
            let mut body = postback();
            body["data"]["conversion_type"] = json!(word);
            body["data"]["amount"] = amount;
            let reward = reward(&body);
            assert_eq!(reward.kind, ConversionKind::Reversal);
            assert_eq!(reward.amount.map(|amount| amount.minor_units), units, "{body}");
        }
        let mut body = postback();
        body["data"]["conversion_type"] = json!(word);
        for amount in ["--150", "+150", "-1e400", "-"] {
            body["data"]["amount"] = json!(amount);
            assert_eq!(refused_field(KeyRole::Postback, &body), "data.amount", "{amount}");
        }
    }
}

#[test]
fn what_a_postback_does_not_need_may_be_missing() {
    let bare = json!({"data": {"conversion_id": 5, "player_id": 7, "goal_id": "", "offer_id": null}});
    let (_, event) = normalize(KeyRole::Postback, &bare.to_string());
    assert_eq!((event.subject.as_str(), event.occurred_at), ("5", None));
    assert_eq!(reward(&bare).goal_id, None);
    for field in ["conversion_id", "player_id"] {
        let mut body = postback();
        body["data"][field] = json!("");
        assert_eq!(refused_field(KeyRole::Postback, &body), format!("data.{field}"));
    }
}

#[test]
fn a_body_signed_with_one_key_does_not_pass_as_the_others() {
    let postback = postback().to_string();
    for (role, body) in [
        (KeyRole::Webhook, postback.as_str()),
        // Naming itself an event does not make a postback one.
        (KeyRole::Webhook, r#"{"type":"offer.removed","timestamp":5,"data":{"offerId":"1","conversion_id":"c","player_id":"p"}}"#),
        (KeyRole::Postback, REMOVED),
        (KeyRole::Postback, r#"{"type":"player.banned","timestamp":5,"data":{"player_id":"p"}}"#),
        (KeyRole::Postback, r#"{"type":"something new"}"#),
    ] {
        let refused = try_normalize(role, body).unwrap_err();
        assert_eq!(refused.to_string(), "body: signed with the key of another kind of delivery", "{body}");
    }
}

#[test]
fn what_is_not_known_is_kept_and_what_cannot_be_read_is_refused() {
    for (role, body, kind) in [
        (KeyRole::Webhook, r#"{"type":"offer.capped","timestamp":5,"data":{"offerId":"7"}}"#, "offer.capped"),
        (KeyRole::Webhook, r#"{"type":"offer.capped","data":null}"#, "offer.capped"),
        (KeyRole::Webhook, r#"{"type":"offer.capped","data":"text"}"#, "offer.capped"),
        (KeyRole::Webhook, r#"{"type":"offer.capped","data":["conversion_id",5]}"#, "offer.capped"),
        (KeyRole::Webhook, r#"{"type":"offer.capped","data":{"\ud800":1}}"#, "offer.capped"),
        (KeyRole::Postback, r#"{"data":[5]}"#, ""),
        (KeyRole::Webhook, r#"{"type":""}"#, ""),
        (KeyRole::Webhook, "{}", ""),
        (KeyRole::Postback, r#"{"request_id":"x"}"#, ""),
    ] {
        let (provider_type, event) = normalize(role, body);
        assert_eq!((provider_type.as_str(), event.subject.as_str()), (kind, ""));
        assert!(matches!(event.payload, Payload::Unrecognized(u) if u.kind == UnrecognizedKind::UnknownType));
    }
    for body in ["", "null", "[]", "<html>", r#"{"type":5}"#, r#"{"type":"a","type":"b"}"#, "\u{feff}{}"] {
        assert!(try_normalize(KeyRole::Webhook, body).is_err(), "{body}");
    }
}
