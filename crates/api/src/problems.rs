//! Every problem that the API answers with: one list, from which the answers, the OpenAPI document and the table of
//! `docs/api.md` are made. A name is what clients decide by, so it never changes and never gets another meaning.

/// Makes the enum and its list together, so that no problem can be left out of the list.
macro_rules! problems {
    ($($kind:ident: $status:literal $name:literal, $title:literal, $advice:literal;)*) => {
        /// What kind of a problem it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Kind {
            $(#[doc = $title] $kind,)*
        }

        impl Kind {
            /// All of them, in the order of the documentation.
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),*];

            /// The status that it is answered with.
            pub(crate) const fn status(self) -> u16 {
                match self { $(Self::$kind => $status,)* }
            }

            /// The last part of its `type`.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// What it is called, the same every time.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)* }
            }

            /// What a client can do about it.
            pub(crate) const fn advice(self) -> &'static str {
                match self { $(Self::$kind => $advice,)* }
            }
        }
    };
}

problems! {
    InvalidQuery: 400 "invalid-query", "The query cannot be understood",
        "`field` names the part of the query that is wrong; unknown and doubled names are refused too";
    IdempotencyKeyMissing: 400 "idempotency-key-missing", "No Idempotency-Key",
        "send the header, the same for a repeat and for nothing else";
    IdempotencyKeyInvalid: 400 "idempotency-key-invalid", "The Idempotency-Key cannot be used",
        "one header of 1 to 255 visible ASCII characters";
    MalformedBody: 400 "malformed-body", "The body is no JSON",
        "the detail says where";
    BrokenBody: 400 "broken-body", "The body did not arrive whole",
        "send it again";
    Unauthorized: 401 "unauthorized", "Nobody is known by this",
        "send one header `Authorization: Bearer TOKEN`; a token of an issuer may have ended";
    InsufficientScope: 403 "insufficient-scope", "The token does not allow this",
        "`scope` names the one that is needed";
    SecondPersonRequired: 403 "second-person-required", "Somebody else must approve",
        "have another person approve or reject it";
    NotFound: 404 "not-found", "Nothing is here",
        "look at the path";
    UnknownSource: 404 "unknown-source", "No such source",
        "look at `source`: none of this name is configured";
    UnknownPlayer: 404 "unknown-player", "No such player",
        "the source has told of no player of this id";
    UnknownMatch: 404 "unknown-match", "No such match",
        "the source has told of no match of this id";
    UnknownResult: 404 "unknown-result", "No such result",
        "nobody has told a result of this match";
    UnknownLink: 404 "unknown-link", "No such link",
        "no other match decides this one";
    UnknownMatchToken: 404 "unknown-match-token", "No such match token",
        "the provider knows no such token, or not any more: let the player start anew";
    UnknownCorrection: 404 "unknown-correction", "No such correction",
        "there is no correction of this id";
    UnknownAccount: 404 "unknown-account", "No such account",
        "the ledger has no account of this number";
    UnknownReward: 404 "unknown-reward", "No such reward",
        "there is no reward with this grant id";
    UnknownEndpoint: 404 "unknown-endpoint", "No such endpoint",
        "there is no endpoint of this name";
    UnknownDelivery: 404 "unknown-delivery", "No such delivery",
        "it never was, or ended so long ago that it is not kept";
    UnknownOffer: 404 "unknown-offer", "No such offer",
        "the source has told of no offer of this id";
    UnknownStart: 404 "unknown-start", "No such start",
        "no start of this offer by this player is recorded";
    UnknownParked: 404 "unknown-parked", "No such parked delivery",
        "there is none of this number";
    UnknownAnomaly: 404 "unknown-anomaly", "No such anomaly",
        "there is none of this number";
    UnknownEvent: 404 "unknown-event", "No such event",
        "the archive has no event of this id";
    UnknownLeaderboard: 404 "unknown-leaderboard", "No such leaderboard",
        "none of this name is configured";
    NotOnBoard: 404 "not-on-board", "The player is not on the board",
        "the player has no match in this season that counts for it";
    UnknownErasure: 404 "unknown-erasure", "No such erasure",
        "there is none of this id";
    MethodNotAllowed: 405 "method-not-allowed", "Method not allowed",
        "the header `Allow` has those that are";
    BodyTooSlow: 408 "body-too-slow", "The body took too long",
        "send it again";
    AmbiguousMatch: 409 "ambiguous-match", "Several matches have this id",
        "say which one by `?kind=` and one of `kinds`";
    MatchEnded: 409 "match-ended", "The match has ended",
        "`settlement` says how; only a correction ends it anew";
    ResultDecided: 409 "result-decided", "The match has another result",
        "read the one that was accepted first; only a correction sets another end";
    CorrectionRefused: 409 "correction-refused", "The match cannot end like that",
        "`reason` has a word for why; the detail says it in a sentence";
    CorrectionPending: 409 "correction-pending", "Another correction waits",
        "approve or reject that one first";
    CorrectionDecided: 409 "correction-decided", "The correction was decided before",
        "`state` says how";
    CorrectionOutdated: 409 "correction-outdated", "The match has changed",
        "reject the correction and propose it anew";
    ErasureOpen: 409 "erasure-open", "Something of the player is open",
        "`open` lists what must come to its end first; nothing was changed";
    IdempotencyKeyReused: 409 "idempotency-key-reused", "The Idempotency-Key was used before",
        "a new request needs a new key";
    InsufficientFunds: 409 "insufficient-funds", "Not enough money",
        "nothing moved; `balance` is what the player has";
    NothingToAnswer: 409 "nothing-to-answer", "Nothing waits for an answer",
        "no two ends of the match contradict each other";
    RewardNotHeld: 409 "reward-not-held", "The reward is not held for review",
        "`state` is what it is";
    RewardNotGiven: 409 "reward-not-given", "There is nothing to take back",
        "`state` is what it is";
    NothingToRetry: 409 "nothing-to-retry", "Nothing waits to be delivered",
        "everything has arrived, is being sent, or is wanted by no endpoint";
    EndpointNameTaken: 409 "endpoint-name-taken", "The name is or was another's",
        "choose another name";
    EndpointConfigured: 409 "endpoint-configured", "The endpoint is the configuration's",
        "change it there";
    EndpointDisabled: 409 "endpoint-disabled", "Nothing is sent to the endpoint",
        "enable it first; `disabled_for` says why it is disabled";
    DeliveryNotRetried: 409 "delivery-not-retried", "The delivery is not sent again",
        "`reason` is `in-flight`, `delivered`, `taken-back` or `behind`";
    StartRefused: 409 "start-refused", "The offer is not open to this player",
        "`reason` is the word that a question about it is answered with";
    IdentityOfAnotherPerson: 409 "identity-of-another-person", "An identity is another person's",
        "unlink `identities` there first; nothing was changed";
    ParkedResolved: 409 "parked-resolved", "Something else was done about it",
        "read it anew: it was replayed or discarded before";
    ParkedNoEvent: 409 "parked-no-event", "There is nothing to replay",
        "discard it";
    ParkedUnreadable: 409 "parked-unreadable", "It cannot be read today either",
        "the adapter must learn to read it, or it is discarded";
    AnomalyResolved: 409 "anomaly-resolved", "It was decided before",
        "read it anew";
    BodyTooLarge: 413 "body-too-large", "The body is too large",
        "bodies of up to 65536 bytes are taken";
    UnsupportedMediaType: 415 "unsupported-media-type", "The body is not announced as JSON",
        "`Content-Type: application/json`";
    InvalidBody: 422 "invalid-body", "The body does not say what is needed",
        "`field` is the path of what is wrong";
    AmountOutOfRange: 422 "amount-out-of-range", "The amount is out of range",
        "at least one minor unit; where there is a greatest, `maximum` is it";
    WrongCurrency: 422 "wrong-currency", "The currency is another one",
        "use the source's";
    ProviderCustody: 422 "provider-custody", "The provider holds the money",
        "players' money at such a source moves at the provider only";
    NoMatchTokens: 422 "no-match-tokens", "The source has no match tokens",
        "where its provider has them, set `options.api_url` and `keys.api` of the source for the API too";
    LinkNotTrusted: 422 "link-not-trusted", "The source decides no matches of others",
        "set `decides_linked` of that source, if whoever has its secret may decide who gets the money";
    UnusableEvent: 422 "unusable-event", "The event does not say what is needed",
        "name an archived event that tells an end of this match";
    PrivateTarget: 422 "private-target", "The URL leads into a private network",
        "such endpoints stand in the configuration; `field` says which URL";
    TooManyRequests: 429 "too-many-requests", "Too many requests",
        "wait for as many seconds as `Retry-After` says";
    TooManyStreams: 429 "too-many-streams", "Too many streams are open",
        "close one, or wait";
    Internal: 500 "internal", "Something is broken here",
        "tell the operators, with the answer's `X-Request-Id`";
    ProviderUnusable: 502 "provider-unusable", "The provider cannot be asked",
        "tell the operators, with the answer's `X-Request-Id`: its key or its address is likely wrong";
    Unavailable: 503 "unavailable", "Not possible now",
        "ask again after `Retry-After` seconds, a write with the same Idempotency-Key";
    ProviderAway: 503 "provider-away", "The provider does not answer now",
        "ask again after `Retry-After` seconds";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Kind;

    #[test]
    fn a_name_is_one_problems_and_in_small_words() {
        let names: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        let small = |name: &&str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        assert!(names.iter().all(small), "{names:?}");
    }

    #[test]
    fn they_stand_in_the_order_of_their_statuses() {
        assert!(Kind::ALL.is_sorted_by_key(|kind| kind.status()));
        assert!(Kind::ALL.iter().all(|kind| (400..600).contains(&kind.status())));
    }
}
