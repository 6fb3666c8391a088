//! Making a plan, step by step.

use matchpurse_domain::ids::EventId;
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::play::{Crowd, Dice, LifeKind, Moment, PlayRequest, Script, ScriptedDelivery};
use uuid::Uuid;

use super::{Item, Life, PlanError, PlanOptions, Planned};
use crate::forgery::Forgery;
use crate::signer;
use crate::source::SimulatedSource;

/// The tenth part of the repeats comes as late as the plan allows, the others after this many deliveries.
const REPEAT_WINDOW: u64 = 100;

/// A signature that is the same over two bodies covers none.
pub(super) fn covers_body(source: &SimulatedSource) -> Result<bool, PlanError> {
    if source.is_asked_only() {
        return Ok(false);
    }
    let sign = |body: &'static [u8]| {
        signer::probe(source, body)
            .map_err(|error| PlanError::Key { name: source.name().to_string(), source: error })
    };
    Ok(sign(b"{}")? != sign(b"[]")?)
}

/// A kind of life that a source of the plan can play.
struct Choice {
    source: usize,
    kind: LifeKind,
    weight: u64,
}

/// An item with the place at which it is sent: the smaller, the earlier; the second number settles ties.
type Placed = (u64, u64, Item);

/// A plan in the making. Every step has dice of its own, so that changing one option leaves the rest as it is.
pub(super) struct Maker<'o> {
    options: &'o PlanOptions,
    pub(super) covers_body: Vec<bool>,
    choices: Vec<Choice>,
    dice: Dice,
    pub(super) deliveries: Vec<Planned>,
    pub(super) lives: Vec<Life>,
    placed: Vec<Placed>,
}

/// The dice of each step.
enum Step {
    Lives = 1,
    Repeats,
    Forgeries,
    Order,
    Losses,
}

impl<'o> Maker<'o> {
    pub(super) fn new(options: &'o PlanOptions, covers_body: Vec<bool>) -> Result<Self, PlanError> {
        let mut choices = Vec::new();
        for (place, source) in options.sources.iter().enumerate() {
            let wanted =
                |kind: &&LifeKind| options.kinds.is_empty() || options.kinds.iter().any(|k| k == kind.name);
            for kind in source.provider.lives().iter().filter(wanted) {
                let weight = u64::from(kind.weight) * u64::from(source.weight);
                if weight > 0 && source.key(kind.role).is_some() {
                    choices.push(Choice { source: place, kind: *kind, weight });
                }
            }
        }
        if choices.is_empty() {
            return Err(PlanError::Nothing(options.kinds.clone()));
        }
        // The kinds of a source share the source's weight, however many kinds there are.
        for place in 0..options.sources.len() {
            for odd in [false, true] {
                let of_it = |choice: &&mut Choice| choice.source == place && choice.kind.odd == odd;
                let sum: u64 = choices.iter_mut().filter(of_it).map(|choice| choice.weight).sum();
                let share = options.sources.get(place).map_or(0, |source| u64::from(source.weight));
                for choice in choices.iter_mut().filter(of_it) {
                    choice.weight = (choice.weight * share * 1_000_000).checked_div(sum).unwrap_or(0).max(1);
                }
            }
        }
        Ok(Self {
            options,
            covers_body,
            choices,
            dice: Dice::new(options.seed),
            deliveries: Vec::new(),
            lives: Vec::new(),
            placed: Vec::new(),
        })
    }

    fn dice(&self, step: Step) -> Dice {
        self.dice.fork(step as u64)
    }

    /// A kind by weight; ordinary ones are taken where there are no odd ones, and the other way round.
    fn choose(&self, dice: &mut Dice, odd: bool) -> Option<&Choice> {
        let some = self.choices.iter().any(|choice| choice.kind.odd == odd);
        let of_it = |choice: &&Choice| choice.kind.odd == odd || !some;
        let sum: u64 = self.choices.iter().filter(of_it).map(|choice| choice.weight).sum();
        let mut at = dice.below(sum);
        self.choices.iter().filter(of_it).find(|choice| {
            let found = at < choice.weight;
            at = at.saturating_sub(choice.weight);
            found
        })
    }

    fn play(&self, choice: &Choice, seed: u64, at: Timestamp) -> Option<Script> {
        let source = self.options.sources.get(choice.source)?;
        let crowd_seed = self.dice.fork(u64::MAX - u64::try_from(choice.source).unwrap_or(0)).number();
        source.provider.play(&PlayRequest {
            life: choice.kind.name,
            seed,
            crowd: Crowd { seed: crowd_seed, size: self.options.crowd.max(10) },
            settings: &source.settings,
            key: &source.webhook,
            at,
        })
    }

    /// Adds a delivery to the plan; its place there.
    fn add(
        &mut self,
        choice: (usize, &'static str),
        scripted: ScriptedDelivery,
        happens: Option<Timestamp>,
    ) -> usize {
        let (source, kind) = choice;
        let name = self.options.sources.get(source).map(|source| source.name());
        let id = name.map(|name| EventId::of_delivery(name, scripted.method.as_str(), &scripted.body, 0));
        let id = id.unwrap_or_else(|| EventId::from_uuid(Uuid::nil()));
        let happens = happens.map(|at| Moment { at, place: self.deliveries.len() });
        self.deliveries.push(Planned { source, kind, id, scripted, happens });
        self.deliveries.len() - 1
    }

    /// The lives, one beginning after the other; their deliveries in the order of the providers' clocks.
    pub(super) fn live(&mut self) {
        let mut dice = self.dice(Step::Lives);
        let mut timed = Vec::new();
        for number in 0..u64::from(self.options.lives) {
            let begins_ms = number.saturating_mul(self.options.life_gap_ms);
            let odd = dice.chance(self.options.odd_percent);
            let seed = dice.number();
            let Some(choice) = self.choose(&mut dice, odd) else { continue };
            let at = later(self.options.epoch, begins_ms);
            let Some(script) = self.play(choice, seed, at) else { continue };
            let (source, kind) = (choice.source, choice.kind.name);
            let mut deliveries = Vec::with_capacity(script.deliveries.len());
            for scripted in script.deliveries {
                let at_ms = begins_ms.saturating_add(scripted.after_ms);
                let retold = scripted.retold;
                let place = self.add((source, kind), scripted, Some(later(self.options.epoch, at_ms)));
                deliveries.extend(self.deliveries.get(place).map(|planned| (planned.id, retold)));
                timed.push((at_ms, place));
            }
            self.lives.push(Life { source, kind, effects: script.effects, deliveries });
        }
        timed.sort_unstable();
        let window = u64::from(self.options.shuffle_window);
        let mut order = self.dice(Step::Order);
        for (number, (_, delivery)) in (0_u64..).zip(timed) {
            let at = number.saturating_add(order.below(window + 1));
            self.placed.push((at, number, Item { delivery, forgery: None, repeat: false, lost: false }));
        }
    }

    /// Some deliveries come again: most soon, some at the very end.
    pub(super) fn repeat(&mut self) {
        let mut dice = self.dice(Step::Repeats);
        let end = u64::try_from(self.placed.len()).unwrap_or(u64::MAX);
        let mut repeats = Vec::new();
        for (at, number, item) in &self.placed {
            if !dice.chance(self.options.duplicate_percent) {
                continue;
            }
            for _ in 0..dice.between(1, 2) {
                let at = if dice.chance(10) { end } else { at + dice.between(1, REPEAT_WINDOW) };
                repeats.push((at, end + number, Item { repeat: true, ..*item }));
            }
        }
        self.placed.extend(repeats);
    }

    /// Forgeries, of lives that are played by nobody, so that an effect would be one too many.
    pub(super) fn forge(&mut self) {
        let mut dice = self.dice(Step::Forgeries);
        let end = u64::try_from(self.placed.len()).unwrap_or(u64::MAX);
        for number in 0..end {
            if !dice.chance(self.options.forged_percent) {
                continue;
            }
            let seed = dice.number();
            let Some(choice) = self.choose(&mut dice, false) else { continue };
            if self.options.sources.get(choice.source).is_none_or(SimulatedSource::is_asked_only) {
                continue;
            }
            let Some(mut script) = self.play(choice, seed, later(self.options.epoch, number)) else {
                continue;
            };
            let (source, kind) = (choice.source, choice.kind.name);
            let last = script.deliveries.len().saturating_sub(1);
            let which = usize::try_from(dice.between(0, u64::try_from(last).unwrap_or(0))).unwrap_or(0);
            let ways: Vec<Forgery> = Forgery::ALL
                .into_iter()
                .filter(|way| *way != Forgery::AlteredBody || self.covers_body.get(source) == Some(&true))
                .collect();
            let forgery = dice.pick(&ways).copied();
            if which < script.deliveries.len() {
                let scripted = script.deliveries.swap_remove(which);
                let delivery = self.add((source, kind), scripted, None);
                let item = Item { delivery, forgery, repeat: false, lost: false };
                self.placed.push((number, end * 3 + number, item));
            }
        }
    }

    /// Some deliveries never arrive, however often they are sent, and none of a source whose provider is only asked. It
    /// still happens what they would have told.
    pub(super) fn lose(&mut self) {
        let mut dice = self.dice(Step::Losses);
        let lost: Vec<bool> = self
            .deliveries
            .iter()
            .map(|planned| {
                let asked_only =
                    self.options.sources.get(planned.source).is_some_and(SimulatedSource::is_asked_only);
                dice.chance(self.options.lost_percent) || asked_only
            })
            .collect();
        let lost = |item: &Item| item.forgery.is_none() && lost.get(item.delivery) == Some(&true);
        self.placed.retain(|(_, _, item)| !(item.repeat && lost(item)));
        for (_, _, item) in &mut self.placed {
            item.lost = lost(item);
        }
    }

    pub(super) fn order(&mut self) -> Vec<Item> {
        self.placed.sort_by_key(|(at, number, _)| (*at, *number));
        self.placed.iter().map(|(_, _, item)| *item).collect()
    }
}

fn later(at: Timestamp, ms: u64) -> Timestamp {
    let micros = i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000);
    Timestamp::from_micros(at.micros().saturating_add(micros))
}
