//! What the answers mean. Pure: evidence in, findings out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::answer::{Answer, Sent};
use crate::case::{Acts, Case, Duty};
use crate::mistakes::Mistake;
use crate::state::{Claim, Counts};
use crate::words;

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it must be.
    Ok,
    /// It works, but should be better.
    Warning,
    /// What was seen decides nothing.
    CouldNotSee,
    /// Not as it must be.
    Wrong,
}

/// What was found out about a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was tried.
    pub case: Case,
    /// In words.
    pub title: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to do; empty when there is nothing to do.
    pub advice: String,
    /// What was sent and what came back.
    pub(crate) deliveries: Vec<Sent>,
}

/// All that a run has learned.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// What was sent, by case; a case that is not there was not tried.
    pub(crate) sent: BTreeMap<Case, Vec<Sent>>,
    /// What was found where the correct delivery was refused.
    pub(crate) mistake: Option<Mistake>,
    pub(crate) counts: Counts,
    /// What the status URL says of what was delivered, and of what never was; none where there is no such URL.
    pub(crate) status: Option<[Claim; 2]>,
    /// What takes longer is told.
    pub(crate) warn_after: Duration,
}

/// What is said where the correct delivery fails: then nothing can be learned from another one that fails.
const UNDECIDED: &str = "The correct delivery is not accepted either, so this says nothing yet.";

/// A verdict with its words.
struct Judged(Verdict, String, String);

impl Evidence {
    /// The findings of all cases, in their order.
    pub(crate) fn judge(&self) -> Vec<Finding> {
        let asked = |case: &Case| *case != Case::StatusUrl || self.status.is_some();
        Case::ALL.into_iter().filter(asked).map(|case| self.finding(case)).collect()
    }

    fn finding(&self, case: Case) -> Finding {
        let sent = self.of(case);
        let Judged(verdict, seen, advice) = match case.duty() {
            Duty::None if case == Case::StatusUrl => self.status_url(),
            Duty::None => self.in_time(),
            _ if sent.is_empty() => Judged(
                Verdict::CouldNotSee,
                "not tried".to_owned(),
                "It is tried when the correct delivery arrives.".to_owned(),
            ),
            Duty::Accept(acts) => self.accepted(case, sent, acts),
            Duty::Refuse => self.refused(case, sent),
        };
        Finding { case, title: case.title(), verdict, seen, advice, deliveries: sent.to_vec() }
    }

    fn of(&self, case: Case) -> &[Sent] {
        self.sent.get(&case).map_or(&[], Vec::as_slice)
    }

    /// Whether the correct delivery was accepted. If not, a refusal says nothing about anything else.
    fn correct_is_accepted(&self) -> bool {
        self.mistake == Some(Mistake::Unsteady) || self.correct_arrived()
    }

    fn correct_arrived(&self) -> bool {
        self.of(Case::Correct).iter().any(|sent| sent.answer.is_success())
    }

    /// Whether signatures seem not to be looked at.
    fn strangers_are_accepted(&self) -> bool {
        self.of(Case::AnotherKey).iter().any(|sent| sent.answer.is_success())
    }

    fn accepted(&self, case: Case, sent: &[Sent], acts: Acts) -> Judged {
        let seen = seen(sent);
        let Some(trouble) = sent.iter().find(|sent| !sent.answer.is_success()) else {
            return self.acted(case, sent, acts, seen);
        };
        if case == Case::Correct {
            let advice = words::correct_refused(&trouble.answer, self.mistake);
            return Judged(Verdict::Wrong, seen, advice);
        }
        if !self.correct_is_accepted() {
            let advice = UNDECIDED;
            return Judged(Verdict::CouldNotSee, seen, advice.to_owned());
        }
        if trouble.answer.code() == Some(429) {
            return Judged(Verdict::CouldNotSee, seen, words::LIMITED.to_owned());
        }
        // One of the copies was taken, and what refused the others is sent again by us.
        if case == Case::RepeatsAtOnce
            && sent.iter().any(|sent| sent.answer.is_success())
            && sent.iter().all(|sent| sent.answer.code().is_some_and(|code| code != 410))
        {
            return Judged(Verdict::Warning, seen, words::COPIES_REFUSED.to_owned());
        }
        Judged(Verdict::Wrong, seen, words::refused(case, &trouble.answer))
    }

    /// All of `sent` was answered with 2xx; what the endpoint has done decides.
    fn acted(&self, case: Case, sent: &[Sent], acts: Acts, seen: String) -> Judged {
        let repeated = matches!(case, Case::Repeat | Case::RepeatsAtOnce);
        let counts = match &self.counts {
            Counts::Known(counts) => counts,
            Counts::NotAsked if repeated => {
                return Judged(Verdict::CouldNotSee, seen, words::NO_STATE.to_owned());
            }
            Counts::Unreadable(why) if repeated => {
                let advice =
                    format!("Whether it was done once cannot be seen: the state URL cannot be read; {why}.");
                return Judged(Verdict::CouldNotSee, seen, advice);
            }
            Counts::NotAsked | Counts::Unreadable(_) => return Judged(Verdict::Ok, seen, String::new()),
        };
        for id in ids(sent) {
            let count = counts.get(id).copied().unwrap_or(0);
            let told = format!("{seen}; done {count} times");
            if count > 1 {
                return Judged(Verdict::Wrong, told, words::done_twice(case).to_owned());
            }
            if count == 0 && acts == Acts::Once {
                return Judged(Verdict::Wrong, told, words::NOT_DONE.to_owned());
            }
        }
        let told = if repeated { format!("{seen}; done once") } else { seen };
        Judged(Verdict::Ok, told, String::new())
    }

    fn refused(&self, case: Case, sent: &[Sent]) -> Judged {
        let seen = seen(sent);
        if sent.iter().any(|sent| sent.answer.is_success()) {
            let again = case != Case::AnotherKey && self.strangers_are_accepted();
            return Judged(Verdict::Wrong, seen, words::believed(case, again).to_owned());
        }
        if let Counts::Known(counts) = &self.counts
            && ids(sent).any(|id| counts.get(id).is_some_and(|count| *count > 0))
        {
            return Judged(
                Verdict::Wrong,
                format!("{seen}; done all the same"),
                words::DONE_ALL_THE_SAME.to_owned(),
            );
        }
        if !self.correct_is_accepted() {
            let advice = UNDECIDED;
            return Judged(Verdict::CouldNotSee, seen, advice.to_owned());
        }
        for sent in sent {
            match &sent.answer {
                Answer::Status { code: 408 | 429, .. } | Answer::NoConnection(_) => {
                    return Judged(Verdict::CouldNotSee, seen, words::LIMITED.to_owned());
                }
                Answer::Status { code, .. } if (400..500).contains(code) && *code != 410 => {}
                answer => return Judged(Verdict::Wrong, seen, words::badly_refused(answer)),
            }
        }
        Judged(Verdict::Ok, seen, String::new())
    }

    fn status_url(&self) -> Judged {
        let Some([delivered, never]) = &self.status else {
            return Judged(Verdict::CouldNotSee, "not asked".to_owned(), String::new());
        };
        let seen =
            format!("for what was delivered: {}; for what never was: {}", delivered.words(), never.words());
        let (verdict, advice) = match (delivered, never) {
            (_, Claim::Received(true)) => (Verdict::Wrong, words::CLAIMS_TOO_MUCH),
            _ if !self.correct_arrived() => (Verdict::CouldNotSee, UNDECIDED),
            (Claim::Received(true), _) => (Verdict::Ok, ""),
            (Claim::Received(false), _) => (Verdict::Wrong, words::CLAIMS_TOO_LITTLE),
            (Claim::Unreadable(_), _) => (Verdict::Wrong, words::CLAIMS_NOTHING),
        };
        Judged(verdict, seen, advice.to_owned())
    }

    fn in_time(&self) -> Judged {
        let answered = self.sent.values().flatten().filter(|sent| sent.answer.code().is_some());
        let slowest = answered.map(|sent| sent.took).max();
        match slowest {
            None => Judged(Verdict::CouldNotSee, "there was no answer".to_owned(), String::new()),
            Some(slowest) if slowest > self.warn_after => {
                let seen = format!("the slowest took {} ms", slowest.as_millis());
                Judged(Verdict::Warning, seen, words::SLOW.to_owned())
            }
            Some(slowest) => {
                Judged(Verdict::Ok, format!("the slowest took {} ms", slowest.as_millis()), String::new())
            }
        }
    }
}

/// What came back, in the order of sending; once for those of which nothing special is known.
fn seen(sent: &[Sent]) -> String {
    let words: Vec<String> = sent.iter().map(|sent| sent.answer.words()).collect();
    if let [first, rest @ ..] = words.as_slice()
        && rest.iter().all(|words| words == first)
    {
        return if rest.is_empty() { first.clone() } else { format!("each {first}") };
    }
    let mut told: Vec<(String, usize)> = Vec::new();
    for (sent, words) in sent.iter().zip(words) {
        let words = if sent.label.is_empty() { words } else { format!("{}: {words}", sent.label) };
        match told.iter_mut().find(|(before, _)| *before == words) {
            Some((_, count)) => *count += 1,
            None => told.push((words, 1)),
        }
    }
    let each = told.into_iter().map(|(words, count)| match count {
        1 => words,
        count => format!("{words} ({count} times)"),
    });
    each.collect::<Vec<_>>().join("; ")
}

fn ids(sent: &[Sent]) -> impl Iterator<Item = &String> {
    sent.iter().filter_map(|sent| sent.id.as_ref()).collect::<BTreeSet<_>>().into_iter()
}
