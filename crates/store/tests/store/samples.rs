use bytes::Bytes;
use matchpurse_domain::event::{Event, Payload, PlayerKicked, Provenance, Unrecognized, UnrecognizedKind};
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::time::Timestamp;

pub(crate) fn source(name: &str) -> SourceName {
    SourceName::parse(name).unwrap()
}

/// The `n`-th event of a source.
pub(crate) fn event(source_name: &str, n: u32) -> Event {
    let source = source(source_name);
    let raw = Bytes::from(format!("{{\"n\":{n}}}"));
    let id = EventId::of_delivery(&source, "POST", &raw, 0);
    Event {
        id,
        delivery_id: id,
        source,
        provider: "dathost".to_owned(),
        provider_type: "player_disconnected".to_owned(),
        subject: format!("match-{n}"),
        occurred_at: n.is_multiple_of(2).then(|| Timestamp::from_seconds(1_700_000_000 + i64::from(n))),
        received_at: Timestamp::from_micros(1_700_000_100_000_001),
        provenance: Provenance { body_authenticated: false, amount_rounded: false, vouched: None },
        raw,
        payload: Payload::PlayerKicked(PlayerKicked {
            match_id: format!("match-{n}"),
            player_id: "7".into(),
        }),
    }
}

/// As [`event`], but nobody can read it.
pub(crate) fn unreadable(source_name: &str, n: u32) -> Event {
    let payload = Payload::Unrecognized(Unrecognized {
        kind: UnrecognizedKind::UnknownType,
        reason: "event: \"Tornado\" is not known".to_owned(),
    });
    Event { payload, ..event(source_name, n) }
}
