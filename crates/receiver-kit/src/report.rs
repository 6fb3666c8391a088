//! What a run has found, for people and for programs.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::judge::{Finding, Verdict};

/// The width of a line, in characters.
const WIDTH: usize = 110;
/// The width of the verdicts' column.
const INDENT: usize = 15;

/// What was found out about an endpoint. `Display` is for people; serialized it is for programs.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where the deliveries went, without the query.
    pub url: String,
    /// True when nothing is wrong.
    pub good: bool,
    /// What else must be known to read it.
    pub notes: Vec<String>,
    /// The cases, in their order.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn new(url: String, notes: Vec<String>, findings: Vec<Finding>) -> Self {
        let good = findings.iter().all(|finding| finding.verdict != Verdict::Wrong);
        Self { url, good, notes, findings }
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }
}

impl Verdict {
    /// The word for it in the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::CouldNotSee => "could not see",
            Self::Wrong => "WRONG",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.url)?;
        for note in &self.notes {
            paragraph(f, "note", note)?;
        }
        writeln!(f)?;
        let mut told = BTreeSet::new();
        for finding in &self.findings {
            let Finding { title, verdict, seen, advice, .. } = finding;
            // The same advice once is enough.
            let again = !advice.is_empty() && !told.insert(advice);
            let line = format!("{title}: {seen}{}", if again { " (as above)" } else { "" });
            paragraph(f, verdict.word(), &line)?;
            if !advice.is_empty() && !again {
                paragraph(f, "", &format!("> {advice}"))?;
            }
        }
        writeln!(f)?;
        let counts = [Verdict::Ok, Verdict::Warning, Verdict::CouldNotSee, Verdict::Wrong]
            .map(|verdict| format!("{} {}", self.count(verdict), verdict.word()));
        writeln!(f, "{}", counts.join(", "))
    }
}

/// A text behind its mark, in lines that fit.
fn paragraph(f: &mut fmt::Formatter<'_>, mark: &str, text: &str) -> fmt::Result {
    let mut line = format!("{mark:INDENT$}");
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{line}")?;
            line = " ".repeat(if text.starts_with("> ") { INDENT + 2 } else { INDENT });
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    writeln!(f, "{line}")
}
