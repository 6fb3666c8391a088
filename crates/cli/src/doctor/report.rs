//! What was found: a line each, with what to do about it.

use serde_json::{Value, json};

use crate::exit::Ending;
use crate::moment::printable;
use crate::out::{Out, Paint};

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    Configuration,
    Database,
    Broker,
    Sources,
    Services,
}

impl Area {
    const ALL: [Self; 5] = [Self::Configuration, Self::Database, Self::Broker, Self::Sources, Self::Services];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Database => "database",
            Self::Broker => "broker",
            Self::Sources => "sources",
            Self::Services => "services",
        }
    }
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Ok,
    Warning,
    Failed,
}

impl State {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }

    const fn paint(self) -> Paint {
        match self {
            Self::Ok => Paint::Good,
            Self::Warning => Paint::Waits,
            Self::Failed => Paint::Bad,
        }
    }
}

struct Finding {
    area: Area,
    what: String,
    state: State,
    detail: String,
    advice: Option<String>,
    /// True when nobody answered.
    away: bool,
}

impl Finding {
    fn print(&self, out: Out) {
        let state = format!("{:7}", self.state.as_str());
        let state = out.painted(Some(self.state.paint()), &state);
        out.line(format_args!("  {state}  {}: {}", self.what, printable(&self.detail)));
        if let Some(advice) = &self.advice {
            out.line(format_args!("           → {}", printable(advice)));
        }
    }
}

/// All findings, in order.
#[derive(Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    pub(super) fn ok(&mut self, area: Area, what: impl Into<String>, detail: impl Into<String>) {
        self.add(area, what, State::Ok, detail, None, false);
    }

    pub(super) fn warning(
        &mut self,
        area: Area,
        what: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(area, what, State::Warning, detail, Some(advice.into()), false);
    }

    pub(super) fn failed(
        &mut self,
        area: Area,
        what: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(area, what, State::Failed, detail, Some(advice.into()), false);
    }

    /// A server that everything needs gave no answer.
    pub(super) fn away(
        &mut self,
        area: Area,
        what: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(area, what, State::Failed, detail, Some(advice.into()), true);
    }

    fn add(
        &mut self,
        area: Area,
        what: impl Into<String>,
        state: State,
        detail: impl Into<String>,
        advice: Option<String>,
        away: bool,
    ) {
        let (what, detail) = (what.into(), detail.into());
        self.0.push(Finding { area, what, state, detail, advice, away });
    }

    /// The worst of all.
    pub(super) fn worst(&self) -> State {
        self.0.iter().map(|finding| finding.state).max().unwrap_or(State::Ok)
    }

    /// What the worst means for a script: first the configuration, without which nothing else can be believed, then
    /// servers that are away.
    pub(super) fn ending(&self, strict: bool) -> Ending {
        let mut failed = self.0.iter().filter(|finding| finding.state == State::Failed);
        if failed.clone().any(|finding| finding.area == Area::Configuration) {
            Ending::Usage
        } else if failed.clone().any(|finding| finding.away) {
            Ending::Unreachable
        } else {
            let warned = strict && self.worst() == State::Warning;
            Ending::of_check(failed.next().is_none() && !warned)
        }
    }

    pub(super) fn json(&self) -> Value {
        let finding = |finding: &Finding| {
            json!({ "area": finding.area.as_str(), "what": finding.what, "state": finding.state.as_str(),
                    "detail": finding.detail, "advice": finding.advice })
        };
        self.0.iter().map(finding).collect()
    }

    pub(super) fn print(&self, out: Out) {
        for area in Area::ALL {
            let mut findings = self.0.iter().filter(|finding| finding.area == area).peekable();
            if findings.peek().is_some() {
                out.line(out.painted(Some(Paint::Heading), area.as_str()));
            }
            findings.for_each(|finding| finding.print(out));
        }
        let of = |state| self.0.iter().filter(|finding| finding.state == state).count();
        let (good, warned, failed) = (of(State::Ok), of(State::Warning), of(State::Failed));
        let verdict = format!("{good} ok, {warned} warnings, {failed} failed");
        out.line(out.painted(Some(self.worst().paint()), &verdict));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_says_the_exit_code() {
        let mut report = Report::default();
        report.ok(Area::Database, "a", "b");
        assert_eq!(report.ending(true), Ending::Done);
        report.warning(Area::Database, "a", "b", "c");
        assert_eq!((report.ending(false), report.ending(true)), (Ending::Done, Ending::Found));
        report.failed(Area::Sources, "a", "b", "c");
        assert_eq!(report.ending(false), Ending::Found);
        report.away(Area::Broker, "a", "b", "c");
        assert_eq!(report.ending(false), Ending::Unreachable);
        report.failed(Area::Configuration, "a", "b", "c");
        assert_eq!(report.ending(false), Ending::Usage);
    }
}
