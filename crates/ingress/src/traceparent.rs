//! The W3C trace context of a delivery: <https://www.w3.org/TR/trace-context/>.

use matchpurse_domain::ids::EventId;
pub(crate) use matchpurse_service_kit::traceparent::read;

/// A trace of our own for a delivery that brings none: the event's id is the trace's, so that whoever has
/// one finds the other, and a redelivery joins the same trace. Version and variant bits of a UUID are never
/// all zero, so neither of the two ids is.
pub(crate) fn of_delivery(id: EventId) -> String {
    let trace = id.uuid().as_u128();
    let parent = trace & u128::from(u64::MAX);
    format!("00-{trace:032x}-{parent:016x}-01")
}

#[cfg(test)]
mod tests {
    use matchpurse_domain::ids::SourceName;

    use super::*;

    #[test]
    fn a_context_of_our_own_is_valid_and_names_the_event() {
        let id = EventId::of_delivery(&SourceName::parse("duel").unwrap(), "POST", b"{}", 0);
        let own = of_delivery(id);
        assert_eq!(read(own.as_bytes()).as_deref(), Some(own.as_str()));
        assert!(own.contains(&id.to_string().replace('-', "")), "{own} is not of {id}");
    }
}
