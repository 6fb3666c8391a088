//! What the scripts say must come of a plan, against the adapters and the rules themselves: in any order,
//! with repeats, with and without an inbox.

use std::collections::HashSet;

use matchpurse_domain::source::{Custody, TiePolicy};
use matchpurse_providers::play::Dice;
use matchpurse_simulator::{Accepted, Effects, Expected, Item, Plan, PlanOptions, audit};

use crate::model::World;
use crate::plans::{NOW, delivery, options};
use crate::sources::{self, PROVIDER_HOLDS, Rules, Source};

/// What comes of these requests, in this order.
fn apply<'i>(
    plan: &Plan,
    sources: &[Source],
    items: impl IntoIterator<Item = &'i Item>,
    inbox: bool,
) -> Effects {
    world(plan, sources, items, inbox).effects()
}

fn world<'i>(
    plan: &Plan,
    sources: &[Source],
    items: impl IntoIterator<Item = &'i Item>,
    inbox: bool,
) -> World {
    let mut world = World::new(inbox);
    for item in items {
        let source = sources.iter().find(|s| Some(s.name().as_str()) == plan.source_of(item)).unwrap();
        world.deliver(source, &delivery(plan, item), NOW);
    }
    world
}

/// By these ids an auditor knows what is missing, without asking an adapter.
#[test]
fn a_plan_knows_every_event_of_its_deliveries() {
    let sources = sources::all(PROVIDER_HOLDS);
    // Of all kinds; and of one whose deliveries tell of votes again and again, each as an event of its own.
    for (kinds, several) in [(vec![], false), (vec!["match_with_history".to_owned()], true)] {
        let options = PlanOptions { kinds, duplicate_percent: 30, odd_percent: 10, ..options(1, &sources) };
        let plan = Plan::new(options).unwrap();
        let world = world(&plan, &sources, plan.items(), true);
        let known: Vec<_> = plan.event_ids().collect();
        assert_eq!(known.iter().map(|(_, event)| *event).collect::<HashSet<_>>(), *world.seen());
        assert_eq!(known.len(), world.seen().len(), "each once");
        let deliveries: HashSet<_> = known.iter().map(|(delivery, _)| *delivery).collect();
        assert_eq!(deliveries, plan.delivery_ids().collect());
        assert!(!several || deliveries.len() < known.len(), "some have several");
    }
}

fn assert_same(expected: &Expected, observed: &Effects) {
    let differences = expected.audit(observed);
    let shown: Vec<String> = differences.iter().take(20).map(ToString::to_string).collect();
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), shown.join("\n"));
}

#[test]
fn every_order_leads_to_what_the_scripts_say() {
    for (seed, inbox) in [(1, true), (2, false), (3, false)] {
        let sources = sources::all(PROVIDER_HOLDS);
        let plan = Plan::new(PlanOptions {
            lives: 150,
            duplicate_percent: 30,
            odd_percent: 10,
            forged_percent: 5,
            ..options(seed, &sources)
        })
        .unwrap();
        let expected = plan.expected();
        assert!(expected.undecided.is_empty());
        assert_same(&expected, &apply(&plan, &sources, plan.items(), inbox));
        assert_same(&expected, &apply(&plan, &sources, plan.items().iter().rev(), inbox));
        let mut items = plan.items().to_vec();
        Dice::new(seed).shuffle(&mut items);
        assert_same(&expected, &apply(&plan, &sources, &items, inbox));
    }
}

#[test]
fn every_rule_of_a_source_is_expected_as_it_is() {
    for custody in [Custody::Provider, Custody::Studio] {
        for tie_policy in [TiePolicy::RefundFull, TiePolicy::RefundMinusFee, TiePolicy::Split] {
            for fee_bps in [0, 333, 10_000] {
                let sources = sources::all(Rules { custody, tie_policy, fee_bps });
                let plan = Plan::new(PlanOptions { lives: 60, ..options(u64::from(fee_bps), &sources) });
                let plan = plan.unwrap();
                let mut items = plan.items().to_vec();
                Dice::new(9).shuffle(&mut items);
                assert_same(&plan.expected(), &apply(&plan, &sources, &items, true));
            }
        }
    }
}

#[test]
fn what_was_taken_in_part_is_counted_and_not_judged() {
    let sources = sources::all(PROVIDER_HOLDS);
    let plan = Plan::new(options(21, &sources)).unwrap();
    let items = &plan.items()[..plan.items().len() / 2];
    let mut accepted = Accepted::default();
    for item in items {
        let signed = plan.sign(item, NOW).unwrap();
        if item.forgery.is_some() {
            *accepted.refused.entry(signed.source.as_str().to_owned()).or_default() += 1;
        } else {
            let method = signed.method.as_str();
            let id = matchpurse_domain::ids::EventId::of_delivery(signed.source, method, &signed.body, 0);
            accepted.deliveries.insert(id);
        }
    }
    let expected = plan.expected_after(&accepted);
    assert!(!expected.undecided.is_empty());
    let observed = apply(&plan, &sources, items, true);
    assert_same(&expected, &observed);
    // Nothing of it may be lost all the same.
    let mut fewer = observed;
    fewer.values_mut().for_each(|effects| effects.events -= 1);
    assert_eq!(expected.audit(&fewer).len(), sources.len());
    assert_eq!(plan.expected_after(&Accepted::whole(&plan)), plan.expected());
}

#[test]
fn an_audit_names_every_difference() {
    let sources = sources::all(PROVIDER_HOLDS);
    let plan = Plan::new(PlanOptions { lives: 400, odd_percent: 5, ..options(31, &sources) }).unwrap();
    let expected = plan.expected();
    let truth = apply(&plan, &sources, plan.items(), true);
    // Each change to what is there is seen as one difference about that thing.
    type Change = fn(&mut matchpurse_simulator::SourceEffects) -> Option<()>;
    let changes: [(&str, Change); 15] = [
        ("net of player", |e| {
            let staked = e.matches.values_mut().find(|m| !m.net.is_empty())?;
            staked.net.values_mut().next().map(|net| *net += 1)
        }),
        (": amounts", |e| {
            let ended = e.matches.values_mut().find(|m| m.settlement.as_deref() == Some("payout"))?;
            ended.amounts.as_mut().map(|amounts| amounts.fee += 1)
        }),
        (": status", |e| e.matches.values_mut().next().map(|m| m.status.push('x'))),
        (": settlement", |e| e.matches.values_mut().find_map(|m| m.settlement.take()).map(drop)),
        ("match ", |e| e.matches.pop_first().map(drop)),
        ("reward ", |e| e.grants.pop_first().map(drop)),
        ("reward ", |e| e.grants.values_mut().next().map(|grant| grant.state = "failed".to_owned())),
        ("record of player", |e| e.records.values_mut().next().map(|record| record.wins += 1)),
        ("totals of player", |e| e.stats.values_mut().next().map(|stats| stats.rounds += 1)),
        ("lines of match", |e| {
            let line = e.lines.as_mut()?.values_mut().next()?.values_mut().next()?;
            line.rounds += 1;
            Some(())
        }),
        ("voted out", |e| e.kicks.pop_first().map(drop)),
        ("offer ", |e| e.offers.values_mut().next().map(|offer| offer.open = !offer.open)),
        ("standing of player", |e| {
            e.standings.values_mut().next().map(|standing| standing.changed_at_us += 1)
        }),
        ("conversion ", |e| e.conversions.pop_first().map(drop)),
        ("parked deliveries", |e| e.parked.values_mut().next().map(|count| *count += 1)),
    ];
    for (name, change) in changes {
        let mut observed = truth.clone();
        let changed = observed.values_mut().find_map(change);
        assert!(changed.is_some(), "nothing to change for {name}");
        let differences = expected.audit(&observed);
        assert_eq!(differences.len(), 1, "{name}: {differences:?}");
        let shown = differences[0].to_string();
        assert!(shown.contains(name), "{name}: {shown}");
    }
}

#[test]
fn an_audit_sees_what_must_not_be_there() {
    let sources = sources::all(PROVIDER_HOLDS);
    let plan = Plan::new(options(41, &sources)).unwrap();
    let expected = plan.expected();
    let truth = apply(&plan, &sources, plan.items(), true);
    // A forgery that is believed shows: its life is nobody's.
    let forged = PlanOptions { forged_percent: 100, ..options(42, &sources) };
    let forged = Plan::new(PlanOptions { odd_percent: 0, ..forged }).unwrap();
    let mut world = World::new(true);
    let believed: Vec<Item> = forged.items().iter().filter(|item| item.forgery.is_some()).copied().collect();
    for item in &believed {
        let source = sources.iter().find(|s| Some(s.name().as_str()) == forged.source_of(item)).unwrap();
        let mut genuine = *item;
        genuine.forgery = None;
        world.deliver(source, &delivery(&forged, &genuine), NOW);
    }
    let mut observed = truth.clone();
    for (name, effects) in world.effects() {
        observed.get_mut(&name).unwrap().add(effects);
    }
    assert!(expected.audit(&observed).len() >= believed.len() / 4);

    // Nothing at all is as wrong as anything.
    assert!(!audit(&expected.effects, &Effects::new()).is_empty());
    assert!(audit(&expected.effects, &truth).is_empty());
    // An anomaly that nobody expects.
    let mut observed = truth;
    let effects = observed.values_mut().next().unwrap();
    effects.anomalies.insert("terminal_conflict".to_owned(), 1);
    assert_eq!(expected.audit(&observed).len(), 1);
}

#[test]
fn expectations_survive_being_written_down() {
    let sources = sources::all(PROVIDER_HOLDS);
    let expected = Plan::new(options(51, &sources)).unwrap().expected();
    let text = serde_json::to_string(&expected).unwrap();
    assert_eq!(serde_json::from_str::<Expected>(&text).unwrap(), expected);
    let text = serde_json::to_string(&expected.effects).unwrap();
    assert_eq!(serde_json::from_str::<Effects>(&text).unwrap(), expected.effects);
}
