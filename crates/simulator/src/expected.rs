use std::collections::{BTreeMap, BTreeSet, HashSet};

use matchpurse_domain::ids::EventId;
use matchpurse_providers::play::{Effects, Retold, SourceEffects};
use serde::{Deserialize, Serialize};

use crate::audit::{self, Difference};
use crate::plan::Plan;

/// Which deliveries were taken: answered with a 2xx, or with the 422 of what is kept and parked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The ids of the deliveries.
    pub deliveries: HashSet<EventId>,
    /// How many requests were refused with 401, by source.
    pub refused: BTreeMap<String, u64>,
}

/// What must be there after exactly these deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The effects.
    pub effects: Effects,
    /// What cannot be said, by source: the ids of the matches, players and other things of lives that were
    /// taken only in part. Empty when every life was taken whole.
    pub undecided: BTreeMap<String, BTreeSet<String>>,
    /// The sources whose providers' APIs are played. Who asks them has more events than were sent, and their times.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub asked: BTreeSet<String>,
}

impl Accepted {
    /// All deliveries of the plan, and every forgery refused.
    pub fn whole(plan: &Plan) -> Self {
        let mut refused: BTreeMap<String, u64> = BTreeMap::new();
        for item in plan.items().iter().filter(|item| item.forgery.is_some()) {
            if let Some(name) = plan.source_of(item) {
                *refused.entry(name.to_owned()).or_default() += 1;
            }
        }
        Self { deliveries: plan.delivery_ids().collect(), refused }
    }
}

impl Plan {
    /// What must be there when the whole plan was taken.
    pub fn expected(&self) -> Expected {
        self.expected_after(&Accepted::whole(self))
    }

    /// What must be there when exactly these deliveries were taken, however often and in whatever order.
    pub fn expected_after(&self, accepted: &Accepted) -> Expected {
        let mut expected = Expected::default();
        let asked = self.sources.iter().filter(|source| source.has_api());
        expected.asked = asked.map(|source| source.name().to_string()).collect();
        for source in self.source_names() {
            let refused = accepted.refused.get(source).copied().unwrap_or(0);
            let effects = SourceEffects { refused: Some(refused), ..SourceEffects::default() };
            expected.effects.insert(source.to_owned(), effects);
        }
        for life in self.lives() {
            let Some(source) = self.sources.get(life.source) else { continue };
            let name = source.name().as_str();
            let taken = |id: &EventId| accepted.deliveries.contains(id);
            // Of what the provider's API tells to all, something may be known although nothing was taken.
            let heard =
                |(id, retold): &(EventId, Retold)| taken(id) || source.has_api() && *retold == Retold::ToAll;
            if life.is_told(taken, source.has_api()) {
                if let Some(effects) = expected.effects.get_mut(name) {
                    effects.add(life.effects.clone());
                }
            } else if life.deliveries.iter().any(heard) {
                let ids = expected.undecided.entry(name.to_owned()).or_default();
                ids.extend(audit::ids(&life.effects));
            }
        }
        self.count_events(accepted, &mut expected);
        expected
    }

    /// Events and parked deliveries follow from the deliveries alone, also of lives that are not whole.
    fn count_events(&self, accepted: &Accepted, expected: &mut Expected) {
        let mut counted = HashSet::new();
        for planned in &self.deliveries {
            let name = self.sources.get(planned.source).map(|source| source.name().as_str());
            let effects = name.and_then(|name| expected.effects.get_mut(name));
            let (Some(effects), true) = (effects, accepted.deliveries.contains(&planned.id)) else {
                continue;
            };
            if !counted.insert(planned.id) {
                continue;
            }
            effects.events += u64::from(planned.scripted.events);
            if let Some(kind) = planned.scripted.parked {
                *effects.parked.entry(kind.as_str().to_owned()).or_default() += 1;
            }
        }
    }
}

impl Expected {
    /// Everything that is there and must not be, must be there and is not, or is there otherwise.
    pub fn audit(&self, observed: &Effects) -> Vec<Difference> {
        audit::compare(self, observed)
    }
}
