use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::time::Timestamp;
use matchpurse_providers::Delivery;
use matchpurse_simulator::{Forgery, Item, Plan, PlanError, PlanOptions, SimulatedSource};

use crate::sources::{self, PROVIDER_HOLDS, Source};

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_793_600_000);

pub(crate) fn options(seed: u64, sources: &[Source]) -> PlanOptions {
    PlanOptions { crowd: 60, ..PlanOptions::new(seed, sources::simulated(sources)) }
}

/// A request of the plan as it arrives.
pub(crate) fn delivery(plan: &Plan, item: &Item) -> Delivery {
    let signed = plan.sign(item, NOW).unwrap();
    Delivery { method: signed.method, headers: signed.headers.into_iter().collect(), body: signed.body }
}

/// Everything that is sent, but for the headers, which depend on the time.
fn bytes(plan: &Plan) -> Vec<(String, Vec<u8>, Item)> {
    let of = |item: &Item| (plan.source_of(item).unwrap().to_owned(), plan.body(item).to_vec(), *item);
    plan.items().iter().map(of).collect()
}

#[test]
fn the_same_options_give_the_same_bytes_in_the_same_order() {
    let sources = sources::all(PROVIDER_HOLDS);
    let plan = |seed| Plan::new(options(seed, &sources)).unwrap();
    assert!(bytes(&plan(7)) == bytes(&plan(7)));
    assert_eq!(plan(7).digest(), plan(7).digest());
    assert_ne!(plan(7).digest(), plan(8).digest());
    assert_eq!(plan(7).expected(), plan(7).expected());
    assert_ne!(plan(7).expected(), plan(8).expected());
}

#[test]
fn the_knobs_change_what_they_are_for_and_nothing_else() {
    let sources = sources::all(PROVIDER_HOLDS);
    let calm = PlanOptions {
        duplicate_percent: 0,
        forged_percent: 0,
        odd_percent: 0,
        shuffle_window: 0,
        ..options(3, &sources)
    };
    let plan = Plan::new(calm.clone()).unwrap();
    assert!(plan.items().iter().all(|item| !item.repeat && item.forgery.is_none()));
    let expected = plan.expected();

    let noisy = PlanOptions { duplicate_percent: 30, forged_percent: 20, shuffle_window: 50, ..calm };
    let noisy = Plan::new(noisy).unwrap();
    let count = |wanted: &dyn Fn(&Item) -> bool| noisy.items().iter().filter(|item| wanted(item)).count();
    let once = plan.items().len();
    assert_eq!(count(&|item| !item.repeat && item.forgery.is_none()), once);
    let repeats = count(&|item| item.repeat);
    assert!((once * 30 / 100..once * 60 / 100).contains(&repeats), "{repeats} repeats of {once}");
    let forged = count(&|item| item.forgery.is_some());
    assert!((once * 20 / 100..once * 40 / 100).contains(&forged), "{forged} forgeries beside {once}");
    // Not the order: the same lives with the same effects.
    let without_refusals = |mut expected: matchpurse_simulator::Expected| {
        expected.effects.values_mut().for_each(|effects| effects.refused = None);
        expected
    };
    assert_eq!(without_refusals(noisy.expected()), without_refusals(expected));
}

#[test]
fn what_is_lost_is_lost_with_its_repeats_and_the_rest_stays_what_it_was() {
    let sources = sources::all(PROVIDER_HOLDS);
    let whole = PlanOptions { lives: 300, duplicate_percent: 20, ..options(9, &sources) };
    let told = Plan::new(whole.clone()).unwrap();
    let lossy = |sources: Vec<SimulatedSource>| {
        Plan::new(PlanOptions { lost_percent: 10, sources, ..whole.clone() }).unwrap()
    };
    let with_api = |source: &Source| source.simulated().with_api_key("some@where:key");
    let (asked, unasked) =
        (lossy(sources.iter().map(with_api).collect()), lossy(sources::simulated(&sources)));
    let lost: BTreeSet<_> = asked.unsent().map(|(id, ..)| id).collect();
    let once = told.delivery_ids().count();
    assert!((once * 7 / 100..once * 13 / 100).contains(&lost.len()), "{} of {once}", lost.len());
    assert_eq!(asked.delivery_ids().count() + lost.len(), once);
    // Nothing else is another, and nothing of what is lost comes again.
    let happens = |plan: &Plan| -> Vec<_> {
        let first = plan.items().iter().filter(|item| !item.repeat);
        first.map(|item| (plan.body(item).to_vec(), item.forgery)).collect()
    };
    assert!(happens(&asked) == happens(&told));
    let repeats = |plan: &Plan| plan.items().iter().filter(|item| item.repeat && !item.lost).count();
    assert!(repeats(&asked) < repeats(&told) && repeats(&asked) > repeats(&told) / 2);
    assert_ne!(asked.digest(), told.digest());

    // Who can ask knows more of it than who cannot, and nobody everything.
    let (losses, none) = (asked.losses(), unasked.losses());
    assert_eq!((losses.deliveries, none.deliveries), (u64::try_from(lost.len()).unwrap(), losses.deliveries));
    assert!(none.retold == 0 && losses.retold > 20 && losses.retold < losses.deliveries, "{losses:?}");
    let undecided = |plan: &Plan| plan.expected().undecided.values().map(BTreeSet::len).sum::<usize>();
    assert!(undecided(&told) == 0 && undecided(&asked) > 0 && undecided(&asked) < undecided(&unasked));
    let names: BTreeSet<String> = sources.iter().map(|source| source.name().to_string()).collect();
    assert_eq!((asked.expected().asked, unasked.expected().asked), (names, BTreeSet::new()));
}

#[test]
fn every_kind_of_life_occurs_and_kinds_can_be_chosen() {
    let sources = sources::all(PROVIDER_HOLDS);
    let plan = Plan::new(PlanOptions { lives: 1_500, odd_percent: 20, ..options(5, &sources) }).unwrap();
    let played = plan.kinds();
    for source in &sources {
        for kind in source.provider.lives() {
            let key = (source.name().as_str().to_owned(), kind.name);
            assert!(played.contains_key(&key), "{key:?} is not among 1500 lives");
        }
    }
    let kind = sources[0].provider.lives()[0].name;
    let chosen = PlanOptions { kinds: vec![kind.to_owned()], ..options(5, &sources) };
    let chosen = Plan::new(chosen).unwrap().kinds();
    assert!(chosen.keys().all(|(_, name)| *name == kind) && !chosen.is_empty(), "{chosen:?}");
}

#[test]
fn what_is_genuine_verifies_and_what_is_forged_does_not() {
    let sources = sources::all(PROVIDER_HOLDS);
    let mut used = BTreeMap::<&str, BTreeSet<String>>::new();
    let plan = Plan::new(PlanOptions { lives: 200, forged_percent: 30, ..options(11, &sources) }).unwrap();
    for item in plan.items() {
        let source = sources.iter().find(|s| Some(s.name().as_str()) == plan.source_of(item)).unwrap();
        let delivery = delivery(&plan, item);
        let verified = source.provider.verify(&delivery, &source.settings, &source.keys, NOW);
        assert_eq!(verified.is_ok(), item.forgery.is_none(), "{item:?}: {verified:?}");
        if let Some(forgery) = item.forgery {
            used.entry(source.provider.id()).or_default().insert(format!("{forgery:?}"));
        }
    }
    for source in &sources {
        let forgeries = &used[source.provider.id()];
        assert!(forgeries.len() >= Forgery::ALL.len() - 1, "{}: {forgeries:?}", source.provider.id());
    }
}

#[test]
fn a_plan_of_nothing_is_refused() {
    let sources = sources::all(PROVIDER_HOLDS);
    let plan = |options: PlanOptions| Plan::new(options).unwrap_err();
    assert!(matches!(plan(options(1, &[])), PlanError::Nothing(_)));
    let unknown = PlanOptions { kinds: vec!["none such".to_owned()], ..options(1, &sources) };
    assert!(matches!(plan(unknown), PlanError::Nothing(kinds) if kinds == ["none such"]));
    let idle: Vec<SimulatedSource> = sources.iter().map(|source| source.simulated().with_weight(0)).collect();
    assert!(matches!(plan(PlanOptions::new(1, idle)), PlanError::Nothing(_)));
    let twice = vec![sources[0].simulated(), sources[0].simulated()];
    assert!(matches!(plan(PlanOptions::new(1, twice)), PlanError::DoubledSource(_)));
}
