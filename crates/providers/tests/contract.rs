//! What every provider's adapter must withstand, whoever wrote it: the same abuse for all.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy lets tests do so, but takes the functions that they share for something else"
)]

mod sources;

use bytes::Bytes;
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::{
    Delivery, Headers, KeyError, KeyRole, KeySet, Keys, Method, OptionValue, SettingsError, SignRequest,
    VerifyError,
};

use sources::{Fixture, NOW, RoleKeys, Source};

const TEN_YEARS_S: i64 = 10 * 365 * 86_400;

/// Runs the check with one delivery for each key role of each provider.
fn for_each_role(check: impl Fn(&Source, &RoleKeys, &Fixture)) {
    for source in sources::all() {
        let fixtures = source.fixtures();
        for (role, keys) in &source.keys {
            let fixture = fixtures.iter().find(|fixture| fixture.role == *role);
            let name = source.provider.id();
            check(&source, keys, fixture.unwrap_or_else(|| panic!("{name} has no delivery of role {role}")));
        }
    }
}

fn signed(source: &Source, fixture: &Fixture) -> Delivery {
    source.signed(fixture.method, fixture.role, &fixture.body)
}

/// What verification says with the keys in use: the body's trust, or why not.
fn verify(source: &Source, delivery: &Delivery) -> Result<bool, VerifyError> {
    verify_with(source, delivery, &source.active_keys(), NOW)
}

fn verify_with(
    source: &Source,
    delivery: &Delivery,
    keys: &Keys,
    now: Timestamp,
) -> Result<bool, VerifyError> {
    let verified = source.provider.verify(delivery, &source.settings, keys, now)?;
    assert_eq!(verified.body(), &delivery.body, "what is vouched for is what came");
    assert_eq!(verified.method(), delivery.method);
    Ok(verified.body_authenticated())
}

/// The delivery with other values of its headers; names that occur twice are sent twice.
fn with_headers(delivery: &Delivery, headers: &[(&str, Vec<u8>)]) -> Delivery {
    Delivery {
        headers: headers.iter().map(|(name, value)| (*name, value.clone())).collect(),
        ..delivery.clone()
    }
}

fn headers(delivery: &Delivery) -> Vec<(&str, Vec<u8>)> {
    delivery.headers.iter().map(|(name, value)| (name, value.to_vec())).collect()
}

/// Every place of a short text, and some two hundred of a long one.
fn places(len: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by((len / 200).max(1)).chain(len.checked_sub(1))
}

/// True when the value is hexadecimal after a word like `sha256=`: then the digits' case means nothing.
fn is_hex(value: &[u8]) -> bool {
    let digits = value.splitn(2, |c| *c == b'=').last().unwrap_or_default();
    digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit)
}

#[test]
fn a_delivery_as_the_provider_signs_it_is_believed() {
    for_each_role(|source, keys, fixture| {
        let delivery = signed(source, fixture);
        let verified =
            source.provider.verify(&delivery, &source.settings, &source.active_keys(), NOW).unwrap();
        assert_eq!(verified.role(), keys.role);
        assert!(source.provider.methods().contains(&fixture.method));
        assert!(source.provider.check(&source.settings, &source.active_keys()).is_ok());
    });
}

#[test]
fn a_flipped_bit_of_the_body_is_noticed_or_the_body_is_not_called_authentic() {
    for_each_role(|source, _, fixture| {
        let delivery = signed(source, fixture);
        let authentic = verify(source, &delivery).unwrap();
        for place in places(fixture.body.len()) {
            let mut body = fixture.body.to_vec();
            body[place] ^= 1 << (place % 8);
            let found = verify(source, &Delivery { body: body.into(), ..delivery.clone() });
            if authentic {
                assert_eq!(found, Err(VerifyError::SignatureMismatch), "{} at {place}", source.provider.id());
            } else {
                assert_eq!(found, Ok(false), "{} at {place}", source.provider.id());
            }
        }
    });
}

#[test]
fn a_flipped_bit_of_a_signed_header_is_noticed() {
    for_each_role(|source, _, fixture| {
        let delivery = signed(source, fixture);
        let headers = headers(&delivery);
        for (index, (_, value)) in headers.iter().enumerate() {
            for (place, bit) in places(value.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
                let mut flipped = headers.clone();
                flipped[index].1[place] ^= 1 << bit;
                // The case of a hexadecimal digit and of a scheme's name says nothing.
                let only_case = flipped[index].1.eq_ignore_ascii_case(value);
                let in_scheme = value.iter().position(|c| *c == b' ').is_some_and(|end| place < end);
                let found = verify(source, &with_headers(&delivery, &flipped));
                assert!(
                    found.is_err() || only_case && (is_hex(value) || in_scheme),
                    "{} at {place}, bit {bit}",
                    source.provider.id()
                );
            }
        }
    });
}

#[test]
fn a_header_must_stand_exactly_once() {
    for_each_role(|source, _, fixture| {
        let delivery = signed(source, fixture);
        let headers = headers(&delivery);
        for (index, header) in headers.iter().enumerate() {
            let mut without = headers.clone();
            without.remove(index);
            assert_eq!(verify(source, &with_headers(&delivery, &without)), Err(VerifyError::HeaderMissing));
            let mut twice = headers.clone();
            twice.push(header.clone());
            assert_eq!(verify(source, &with_headers(&delivery, &twice)), Err(VerifyError::HeaderDoubled));
            let other_case = header.0.to_ascii_uppercase();
            twice.last_mut().unwrap().0 = &other_case;
            assert_eq!(verify(source, &with_headers(&delivery, &twice)), Err(VerifyError::HeaderDoubled));
        }
        assert!(verify(source, &Delivery { headers: Headers::default(), ..delivery }).is_err());
    });
}

#[test]
fn a_header_of_another_form_is_refused() {
    for_each_role(|source, _, fixture| {
        let delivery = signed(source, fixture);
        let headers = headers(&delivery);
        for (index, (_, value)) in headers.iter().enumerate() {
            let refuse = |other: Vec<u8>| {
                let mut changed = headers.clone();
                changed[index].1 = other;
                assert!(
                    verify(source, &with_headers(&delivery, &changed)).is_err(),
                    "{}",
                    source.provider.id()
                );
            };
            refuse(Vec::new());
            refuse(value[..value.len() - 1].to_vec());
            refuse(value[1..].to_vec());
            refuse(value[..value.len() / 2].to_vec());
            refuse([value.as_slice(), b"0"].concat());
            refuse([value.as_slice(), b", ", value].concat());
            refuse([b" ", value.as_slice()].concat());
            refuse([value.as_slice(), b"\0"].concat());
            refuse(b"\xff\xfe".to_vec());
            refuse(vec![b'a'; 1024 * 1024]);
        }
    });
}

#[test]
fn only_hexadecimal_digits_may_be_upper_case() {
    for_each_role(|source, _, fixture| {
        let delivery = signed(source, fixture);
        let mut upper = headers(&delivery);
        let mut hex = true;
        for (_, value) in &mut upper {
            hex &= is_hex(value);
            let digits =
                value.iter().position(|c| *c == b'=').filter(|_| is_hex(value)).map_or(0, |at| at + 1);
            value[digits..].make_ascii_uppercase();
        }
        assert_eq!(verify(source, &with_headers(&delivery, &upper)).is_ok(), hex, "{}", source.provider.id());
    });
}

#[test]
fn an_empty_and_a_huge_body_can_be_vouched_for() {
    for_each_role(|source, _, fixture| {
        for body in [Bytes::new(), Bytes::from(vec![b' '; 1024 * 1024])] {
            let delivery = source.signed(fixture.method, fixture.role, &body);
            verify(source, &delivery).unwrap();
        }
        assert!((1..=1024 * 1024).contains(&source.provider.max_body_bytes()));
    });
}

#[test]
fn without_the_right_key_nothing_is_believed() {
    for_each_role(|source, keys, fixture| {
        let delivery = signed(source, fixture);
        assert_eq!(verify_with(source, &delivery, &Keys::default(), NOW), Err(VerifyError::NoKey));
        assert!(source.provider.check(&source.settings, &Keys::default()).is_err());
        let empty = sources::keys([(keys.role, vec![Bytes::new()])]);
        assert_eq!(verify_with(source, &delivery, &empty, NOW), Err(VerifyError::NoKey));
        let wrong = sources::keys([(keys.role, vec![keys.other.verify.clone()])]);
        assert_eq!(verify_with(source, &delivery, &wrong, NOW), Err(VerifyError::SignatureMismatch));
    });
}

#[test]
fn a_key_of_a_role_that_the_provider_does_not_have_is_refused() {
    let mut refused = 0;
    for source in sources::all() {
        let webhook = source.keys["webhook"].active.verify.clone();
        let postback = Bytes::from_static(b"a key for postbacks");
        let both = sources::keys([(KeyRole::Webhook, vec![webhook]), (KeyRole::Postback, vec![postback])]);
        let found = source.provider.check(&source.settings, &both);
        if source.keys.contains_key("postback") {
            assert_eq!(found, Ok(()), "{}", source.provider.id());
        } else {
            let unused = SettingsError::UnusedKey { key: "keys.postback" };
            assert_eq!(found, Err(unused), "{}", source.provider.id());
            refused += 1;
        }
    }
    assert!(refused > 0);
}

/// Who sets a key for calls that are never made believes that something happens which does not.
#[test]
fn a_key_for_calls_is_refused_where_nobody_is_called() {
    let (mut called, mut refused) = (0, 0);
    for source in sources::all() {
        let api = KeySet::new([Bytes::from_static(b"a key for calls")]);
        let found = source.provider.check(&source.settings, &Keys { api, ..source.active_keys() });
        match found {
            Ok(()) => called += 1,
            Err(error) => {
                let unused = SettingsError::UnusedKey { key: "keys.api" };
                assert_eq!(error, unused, "{}", source.provider.id());
                refused += 1;
            }
        }
        let calls = source.provider.redemptions(&source.settings, &source.active_keys());
        assert!(calls.is_ok_and(|calls| calls.is_none()), "nobody has asked for it");
    }
    assert!(called > 0 && refused > 0);
}

#[test]
fn during_a_rotation_both_keys_hold() {
    for_each_role(|source, keys, fixture| {
        let (old, new) = (&keys.active, &keys.other);
        for order in [[old, new], [new, old]] {
            let both = sources::keys([(keys.role, order.map(|pair| pair.verify.clone()).to_vec())]);
            for pair in [old, new] {
                let delivery = source.signed_with(fixture.method, &pair.sign, keys.role, &fixture.body, NOW);
                assert!(verify_with(source, &delivery, &both, NOW).is_ok(), "{}", source.provider.id());
                // It is noted which of them it was.
                let verified = source.provider.verify(&delivery, &source.settings, &both, NOW).unwrap();
                let which = verified.vouched().which.unwrap();
                let place = 1 + order.iter().position(|other| std::ptr::eq(*other, pair)).unwrap();
                assert_eq!(
                    (usize::from(which.place.get()), which.of),
                    (place, 2),
                    "{}",
                    source.provider.id()
                );
            }
        }
    });
}

#[test]
fn a_key_of_another_role_does_not_vouch() {
    for_each_role(|source, keys, fixture| {
        let delivery = signed(source, fixture);
        for (_, other) in source.keys.iter().filter(|(name, _)| **name != fixture.role) {
            let swapped = sources::keys([(other.role, vec![other.active.verify.clone()])]);
            assert!(verify_with(source, &delivery, &swapped, NOW).is_err());
            // The same bytes under the same key mean what the role of the key says, nothing else.
            let shared = sources::keys([(other.role, vec![keys.active.verify.clone()])]);
            let verified = source.provider.verify(&delivery, &source.settings, &shared, NOW);
            assert!(verified.is_err() || verified.is_ok_and(|verified| verified.role() == other.role));
        }
    });
}

#[test]
fn what_has_a_time_holds_only_for_its_time() {
    for_each_role(|source, keys, fixture| {
        let delivery = signed(source, fixture);
        let later = verify_with(source, &delivery, &source.active_keys(), NOW.plus_seconds(TEN_YEARS_S));
        let future = NOW.plus_seconds(TEN_YEARS_S);
        let early = source.signed_with(fixture.method, &keys.active.sign, keys.role, &fixture.body, future);
        let early = verify(source, &early);
        if source.expires {
            assert_eq!(later, Err(VerifyError::Expired));
            assert_eq!(early, Err(VerifyError::NotYetValid));
        } else {
            assert!(later.is_ok() && early.is_ok(), "{}", source.provider.id());
        }
    });
}

#[test]
fn an_option_that_the_adapter_does_not_have_is_refused() {
    for source in sources::all() {
        let mut settings = source.settings.clone();
        settings.options.insert("no_such_option".to_owned(), OptionValue::Flag(true));
        assert!(source.provider.check(&settings, &source.active_keys()).is_err());
    }
}

#[test]
fn an_empty_key_signs_nothing() {
    for_each_role(|source, keys, fixture| {
        let request = SignRequest {
            method: Method::Post,
            body: &fixture.body,
            key: b"",
            role: keys.role,
            now: NOW,
            settings: &source.settings,
        };
        assert!(matches!(source.provider.sign(&request), Err(KeyError(_))), "{}", source.provider.id());
    });
}

#[test]
fn every_provider_is_found_by_its_name() {
    for source in sources::all() {
        let id = source.provider.id();
        assert_eq!(matchpurse_providers::by_id(id).map(|found| found.id()), Some(id));
        assert!(!source.provider.methods().is_empty());
    }
    assert!(matchpurse_providers::by_id("nobody").is_none());
}

#[test]
fn every_provider_says_how_it_is_set_up() {
    for source in sources::all() {
        let (name, guide) = (source.provider.id(), source.provider.guide());
        let sentences = guide.steps.iter().chain([&guide.verification]);
        assert!(sentences.clone().all(|sentence| sentence.ends_with('.')), "{name}");
        // The page shows the source's address beside them, and no secret stands in words.
        assert!(guide.steps.len() > 1 && guide.steps.iter().any(|step| step.contains("this URL")), "{name}");
    }
}
