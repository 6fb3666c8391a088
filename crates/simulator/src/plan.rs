mod maker;

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::play::{Moment, Retold, ScriptedDelivery, SourceEffects};
use matchpurse_providers::{KeyError, Method};
use serde::Serialize;
use uuid::Uuid;

use crate::forgery::Forgery;
use crate::signer::Signer;
use crate::source::SimulatedSource;
use maker::{Maker, covers_body};

/// When plans begin, by the providers' clocks, unless another time is given: 2026-11-01T12:00:00Z.
const EPOCH: Timestamp = Timestamp::from_seconds(1_793_534_400);
/// The bounds of what the options may be; a plan is held in memory.
const LIVES_MAX: u32 = 5_000_000;

/// What a plan is made of.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// Everything follows from it: the same options give the same bytes in the same order.
    pub seed: u64,
    /// Who is played.
    pub sources: Vec<SimulatedSource>,
    /// How many lives there are. A life is what one match, contest, offer or player sends: 1 to 40 deliveries.
    pub lives: u32,
    /// Only these kinds of lives; empty for all.
    pub kinds: Vec<String>,
    /// How many players each source has.
    pub crowd: u32,
    /// When the first life begins, by the providers' clocks.
    pub epoch: Timestamp,
    /// How much later each next life begins, in milliseconds of the providers' time; a game takes some
    /// minutes, so a smaller gap means that more of them run at the same time.
    pub life_gap_ms: u64,
    /// How many lives, in percent, are something that must be parked.
    pub odd_percent: u32,
    /// How many deliveries, in percent, come again.
    pub duplicate_percent: u32,
    /// How many forgeries there are, in percent of the deliveries.
    pub forged_percent: u32,
    /// How far a delivery may move from its place, in deliveries; 0 keeps the order.
    pub shuffle_window: u32,
    /// How many deliveries, in percent, are lost: they never arrive, nor do their repeats.
    pub lost_percent: u32,
}

/// What is sent, in which order.
#[derive(Debug)]
pub struct Plan {
    pub(crate) sources: Vec<SimulatedSource>,
    signers: Vec<Signer>,
    pub(crate) deliveries: Vec<Planned>,
    lives: Vec<Life>,
    items: Vec<Item>,
}

/// One life of the plan.
#[derive(Debug, Clone)]
pub struct Life {
    /// Its source, as a place in the options' list.
    pub source: usize,
    /// The kind's name.
    pub kind: &'static str,
    /// What must come of it.
    pub effects: SourceEffects,
    /// The ids of its deliveries, each with whether the provider's API tells it, too.
    pub deliveries: Vec<(EventId, Retold)>,
}

/// What a plan loses on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Losses {
    /// Deliveries that are never sent. Those of sources that are only asked are not among them.
    pub deliveries: u64,
    /// Of them, those of lives of which all that is missing is told by the provider's API.
    pub retold: u64,
}

/// A request with the headers that vouch for it, or that pretend to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<'p> {
    /// The source.
    pub source: &'p SourceName,
    /// The method.
    pub method: Method,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

/// A delivery of the plan, which may be sent several times.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) source: usize,
    pub(crate) kind: &'static str,
    /// The id of its first event.
    pub(crate) id: EventId,
    pub(crate) scripted: ScriptedDelivery,
    /// When it happens; none for what is only forged.
    pub(crate) happens: Option<Moment>,
}

/// One request of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Which delivery, as a place in the plan.
    pub(crate) delivery: usize,
    /// How it is forged, if it is. What is forged belongs to no life: it would be seen if it were believed.
    pub forgery: Option<Forgery>,
    /// True when the delivery has been planned before.
    pub repeat: bool,
    /// True when it happens and is not sent: it is lost, or its source's provider is only asked.
    pub lost: bool,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Nothing can be played: no source, no weight, or no kind of that name.
    #[error("there is nothing to play: no source, or none of the kinds asked for: {}", .0.join(", "))]
    Nothing(Vec<String>),
    /// More than fits.
    #[error("{0} lives are more than the {LIVES_MAX} of one plan")]
    TooMany(u32),
    /// Two sources have one name.
    #[error("two sources are named {0}")]
    DoubledSource(String),
    /// A key cannot sign.
    #[error("source {name}: its key cannot sign")]
    Key {
        /// The source.
        name: String,
        /// Why.
        source: KeyError,
    },
}

impl Life {
    /// Whether everything about it is told to somebody who has got these deliveries, and asks the provider's API if there
    /// is one.
    pub(crate) fn is_told(&self, taken: impl Fn(&EventId) -> bool, api: bool) -> bool {
        let known = self.deliveries.iter().any(|(id, retold)| *retold == Retold::ToWhoKnows && taken(id));
        self.deliveries.iter().all(|(id, retold)| {
            let retold = match retold {
                Retold::Never => false,
                Retold::ToWhoKnows => api && known,
                Retold::ToAll => api,
            };
            retold || taken(id)
        })
    }
}

impl Item {
    /// As it is, and for the first time.
    const fn is_sent_first(&self) -> bool {
        self.forgery.is_none() && !self.repeat && !self.lost
    }
}

impl PlanOptions {
    /// A hundred lives of these sources, a little out of order, with some repeats, forgeries and oddities.
    pub const fn new(seed: u64, sources: Vec<SimulatedSource>) -> Self {
        Self {
            seed,
            sources,
            lives: 100,
            kinds: Vec::new(),
            crowd: 500,
            epoch: EPOCH,
            life_gap_ms: 20_000,
            odd_percent: 2,
            duplicate_percent: 5,
            forged_percent: 2,
            shuffle_window: 20,
            lost_percent: 0,
        }
    }
}

impl Plan {
    /// Makes the plan.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn new(options: PlanOptions) -> Result<Self, PlanError> {
        if options.lives > LIVES_MAX {
            return Err(PlanError::TooMany(options.lives));
        }
        let mut names: Vec<&str> = options.sources.iter().map(|source| source.name().as_str()).collect();
        names.sort_unstable();
        if let Some(doubled) = names.windows(2).find(|pair| pair.first() == pair.last()) {
            return Err(PlanError::DoubledSource(doubled.first().copied().unwrap_or_default().to_owned()));
        }
        let covers_body = options.sources.iter().map(covers_body).collect::<Result<Vec<_>, _>>()?;
        let mut maker = Maker::new(&options, covers_body)?;
        maker.live();
        maker.repeat();
        maker.forge();
        maker.lose();
        let items = maker.order();
        let Maker { deliveries, lives, covers_body, .. } = maker;
        let signers = covers_body.into_iter().map(Signer::new).collect();
        Ok(Self { sources: options.sources, signers, deliveries, lives, items })
    }

    /// The requests, in the order in which they are sent.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The lives.
    pub fn lives(&self) -> &[Life] {
        &self.lives
    }

    /// The names of the sources, in the order of the options.
    pub fn source_names(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(|source| source.name().as_str())
    }

    /// What happens and is not sent: ids, methods and bodies.
    pub fn unsent(&self) -> impl Iterator<Item = (EventId, Method, &[u8])> {
        let lost = self.items.iter().filter(|item| item.lost);
        let planned = lost.filter_map(|item| self.deliveries.get(item.delivery));
        planned.map(|planned| (planned.id, planned.scripted.method, planned.scripted.body.as_ref()))
    }

    /// What is lost on purpose.
    pub fn losses(&self) -> Losses {
        let sent: HashSet<EventId> = self.delivery_ids().collect();
        let mut losses = Losses::default();
        for life in &self.lives {
            let Some(source) = self.sources.get(life.source).filter(|source| !source.is_asked_only()) else {
                continue;
            };
            let missing = life.deliveries.iter().filter(|(id, _)| !sent.contains(id)).count();
            let missing = u64::try_from(missing).unwrap_or(u64::MAX);
            losses.deliveries += missing;
            if life.is_told(|id| sent.contains(id), source.has_api()) {
                losses.retold += missing;
            }
        }
        losses
    }

    /// How many lives there are of each kind, by source and kind.
    pub fn kinds(&self) -> BTreeMap<(String, &'static str), u64> {
        let mut kinds = BTreeMap::new();
        for life in &self.lives {
            let name = self.sources.get(life.source).map_or("", |source| source.name().as_str());
            *kinds.entry((name.to_owned(), life.kind)).or_default() += 1;
        }
        kinds
    }

    /// Tells this plan from every other: it depends on every byte and on the order.
    pub fn digest(&self) -> Uuid {
        let mut text = Vec::with_capacity(self.items.len() * 18);
        for item in &self.items {
            if let Some(planned) = self.deliveries.get(item.delivery) {
                text.extend_from_slice(planned.id.uuid().as_bytes());
            }
            text.push(u8::from(item.repeat) | u8::from(item.lost) << 1);
            text.push(item.forgery.map_or(0, |forgery| forgery as u8 + 1));
        }
        Uuid::new_v5(&Uuid::NAMESPACE_OID, &text)
    }

    /// The name of the source that a request belongs to.
    pub fn source_of(&self, item: &Item) -> Option<&str> {
        let planned = self.deliveries.get(item.delivery)?;
        self.sources.get(planned.source).map(|source| source.name().as_str())
    }

    /// A request as it is sent at `now`. It is signed then and not before, because what vouches for it may
    /// hold only for minutes. None when its key cannot sign, which [`Plan::new`] has tried.
    pub fn sign(&self, item: &Item, now: Timestamp) -> Option<Signed<'_>> {
        let planned = self.deliveries.get(item.delivery)?;
        let source = self.sources.get(planned.source)?;
        let signer = self.signers.get(planned.source)?;
        let scripted = &planned.scripted;
        let headers = match item.forgery {
            None => signer.sign(source, scripted, now),
            Some(forgery) => signer.forge(source, scripted, now, forgery),
        };
        let body = match item.forgery {
            // White space at the end means nothing to JSON, and everything to a signature.
            Some(Forgery::AlteredBody) => [scripted.body.as_ref(), b" "].concat().into(),
            _ => scripted.body.clone(),
        };
        Some(Signed { source: source.name(), method: scripted.method, headers: headers.ok()?, body })
    }

    /// The body of a request, before anything is forged about it.
    pub fn body(&self, item: &Item) -> &[u8] {
        self.deliveries.get(item.delivery).map_or(&[], |planned| planned.scripted.body.as_ref())
    }

    /// The ids of all events that come of the deliveries that are sent as they are, each once, behind the delivery's: the
    /// first event's is the same.
    pub fn event_ids(&self) -> impl Iterator<Item = (EventId, EventId)> {
        let sent = self.items.iter().filter(|item| item.is_sent_first());
        let planned = sent.filter_map(|item| self.deliveries.get(item.delivery));
        planned.flat_map(|planned| {
            let source = self.sources.get(planned.source).map(SimulatedSource::name);
            let scripted = &planned.scripted;
            (0..scripted.events).filter_map(move |index| {
                let method = scripted.method.as_str();
                Some((planned.id, EventId::of_delivery(source?, method, &scripted.body, index)))
            })
        })
    }

    /// The ids of all deliveries that are sent as they are, each once.
    pub fn delivery_ids(&self) -> impl Iterator<Item = EventId> {
        self.items
            .iter()
            .filter(|item| item.is_sent_first())
            .filter_map(|item| self.deliveries.get(item.delivery).map(|planned| planned.id))
    }
}
