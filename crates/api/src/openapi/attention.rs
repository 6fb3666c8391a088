use serde_json::json;

use super::operation::{Operation, Text};
use crate::problems::Kind;
use crate::{anomalies, events, gaps, inquiries, parked};

/// Of lists of which an index knows only a part.
const BOUNDED: &str = "A page looks at 10,000 of them at most. Where few of those are wanted it may have fewer \
     rows than `limit`, or none, though more follow: `next` says whether.";

fn state() -> Text<'static> {
    Text::Words(vec!["open", "resolved"])
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/v1/parked", "listParked", "Deliveries that could not be applied, the newest first")
            .details(BOUNDED)
            .query("state", state(), "Default: open.")
            .query("worker", Text::Any, "Only those of this worker.")
            .query("kind", Text::Words(vec!["technical", "unrecognized", "dead_letter"]), "Only those.")
            .query("source", Text::Any, "Only those of this source.")
            .query("type", Text::Any, "Only those of this type, in the provider's words.")
            .query("since", Text::Moment, "Only those that were parked since.")
            .lists::<parked::ParkedView>("Parked deliveries."),
        Operation::get("/v1/parked/{id}", "getParked", "A parked delivery with its body")
            .strict_query()
            .shows::<parked::WholeView>("The delivery."),
        decision("/v1/parked/{id}/replay", "replayParked", "Has a parked delivery applied after all")
            .refuses([Kind::ParkedNoEvent, Kind::ParkedUnreadable]),
        decision("/v1/parked/{id}/discard", "discardParked", "Says that a parked delivery is not wanted"),
        Operation::get("/v1/anomalies", "listAnomalies", "What contradicts itself, the newest first")
            .details(BOUNDED)
            .query("state", state(), "Default: open.")
            .query("kind", Text::Any, "Only those of this kind.")
            .query("source", Text::Any, "Only those of this source.")
            .query("subject", Text::Any, "Only those about this match, grant, offer or player.")
            .lists::<anomalies::AnomalyView>("Anomalies."),
        Operation::get("/v1/anomalies/{id}", "getAnomaly", "An anomaly")
            .strict_query()
            .shows::<anomalies::AnomalyView>("The anomaly."),
        Operation::post(
            "/v1/anomalies/{id}/resolve",
            "resolveAnomaly",
            "Says what was decided about an anomaly",
        )
        .body::<anomalies::ResolveBody>(json!({ "reason": "corrected by 8c5e1f2a" }))
        .answers::<anomalies::AnomalyView>(200, "As it is now.")
        .refuses([Kind::AnomalyResolved]),
        Operation::get("/v1/gaps", "getGaps", "What should have come and has not")
            .details(
                "Sources that are silent against their own rhythm of the last four weeks, and matches of which a part was \
                 never told. Of matches that have not ended the oldest 10,000 are looked at; of those that have, the latest \
                 10,000 of the last three days.",
            )
            .query("source", Text::Any, "Only this source.")
            .answers::<gaps::GapsView>(200, "All that is missing.")
            .refuses([Kind::UnknownSource]),
        Operation::get("/v1/inquiries", "getInquiries", "What providers are asked now")
            .details(
                "Questions that the reconciler asks providers, because no webhook may have told it: each is there while there \
                 is a reason to ask. 500 are shown.",
            )
            .query("source", Text::Any, "Only of this source.")
            .answers::<inquiries::InquiriesView>(200, "The questions.")
            .refuses([Kind::UnknownSource]),
        Operation::get("/v1/events", "listEvents", "The archive, the newest first")
            .details(
                "A page looks at 10,000 events at most: of one source in the order of its chain, the last \
                 first, otherwise and between two times in the order in which they came. Where few of \
                 them are of the wanted type, or of the wanted source between two times, it may have \
                 fewer rows than `limit`, or none, though more follow: `next` says whether.",
            )
            .query("source", Text::Any, "Only those of this source.")
            .query("subject", Text::Any, "Only those about this match, contest, offer or player.")
            .query("type", Text::Any, "Only those of this type, in the provider's words.")
            .query("from", Text::Moment, "Only those that came since.")
            .query("to", Text::Moment, "Only those that came before.")
            .lists::<events::EventView>("Events."),
        Operation::get("/v1/events/stream", "streamEvents", "What is archived from now on, as Server-Sent Events")
            .details(
                "Without an end. Every event of the stream is named `event`, has an event of the archive as its data, as a \
                 list shows it, and a place as its id; a client that was away goes on behind it, by `Last-Event-ID` or \
                 `after`. An event `reset` says that so much was missed of a source that it is left out: `listEvents` has \
                 it.",
            )
            .query("source", Text::Any, "Only those of this source.")
            .query("subject", Text::Any, "Only those about this match, contest, offer or player.")
            .query("type", Text::Any, "Only those of this type, in the provider's words or ours.")
            .query("after", Text::Any, "The place to go on from: the id of an event of this stream.")
            .answers_other("text/event-stream", json!({ "type": "string" }), "Events `event` and `reset`.")
            .refuses([Kind::TooManyStreams]),
        Operation::get("/v1/events/{id}", "getEvent", "An event with its delivery's body")
            .strict_query()
            .shows::<events::WholeView>("The event."),
    ]
}

fn decision(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::post(path, id, summary)
        .body::<parked::ResolveBody>(json!({ "reason": "ticket 4711" }))
        .answers::<parked::ParkedView>(200, "As it is now.")
        .refuses([Kind::ParkedResolved])
}
