//! What a command prints: text for people, JSON for programs, colours for a terminal.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _, stdout};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::Value;
use terminal_size::{Width, terminal_size_of};

/// Whether something could not be printed, and not because whoever read had seen enough.
static LOST: AtomicBool = AtomicBool::new(false);

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, as NO_COLOR and CLICOLOR_FORCE say
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Colour {
    /// Whether to colour, where nothing else says it.
    fn decided(self, terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
        let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if set("NO_COLOR") => false,
            Self::Auto if variable("CLICOLOR_FORCE").is_some_and(|value| !["", "0"].contains(&&*value)) => {
                true
            }
            Self::Auto => terminal && variable("TERM").as_deref() != Some("dumb"),
        }
    }
}

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Heading,
    Good,
    Waits,
    Bad,
    Faint,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Heading => "1",
            Self::Good => "32",
            Self::Waits => "33",
            Self::Bad => "31",
            Self::Faint => "2",
        }
    }
}

/// The standard output of one command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    json: bool,
    colour: bool,
    width: Option<usize>,
}

impl Out {
    pub(crate) fn new(json: bool, colour: Colour) -> Self {
        let terminal = stdout().is_terminal();
        let width = terminal_size_of(stdout()).map(|(Width(width), _)| usize::from(width));
        Self { json, colour: colour.decided(terminal, |name| std::env::var(name).ok()), width }
    }

    /// True when JSON is wanted.
    pub(crate) const fn json(self) -> bool {
        self.json
    }

    /// How wide the terminal is; none where nobody reads it on one.
    pub(crate) const fn width(self) -> Option<usize> {
        self.width
    }

    /// The text, as it looks.
    pub(crate) fn painted(self, paint: Option<Paint>, text: &str) -> String {
        match paint {
            Some(paint) if self.colour => format!("\x1b[{}m{text}\x1b[0m", paint.code()),
            _ => text.to_owned(),
        }
    }

    /// A line, or several. Who reads may have seen enough and gone; what the command does is done all the same.
    pub(crate) fn line(self, text: impl Display) {
        if let Err(error) = self.try_line(text)
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            LOST.store(true, Relaxed);
        }
    }

    /// As [`Out::line`], for a command that has nothing else to do than to print.
    pub(crate) fn try_line(self, text: impl Display) -> std::io::Result<()> {
        let mut stdout = stdout().lock();
        writeln!(stdout, "{text}")?;
        stdout.flush()
    }

    /// One JSON value, to be read by people too.
    pub(crate) fn value(self, value: &Value) {
        self.line(format_args!("{value:#}"));
    }

    /// The items of a list: as a JSON object a line, or as the table that `table` makes of them.
    pub(crate) fn list<T>(
        self,
        items: &[T],
        json: impl Fn(&T) -> Value,
        table: impl FnOnce(&[T]) -> crate::table::Table,
    ) {
        if self.json {
            for item in items {
                self.line(json(item));
            }
        } else if items.is_empty() {
            crate::say("there are none");
        } else {
            table(items).print(self);
        }
    }

    /// A list of text in blocks, an item each, for what does not fit into a table.
    pub(crate) fn blocks<T>(self, items: &[T], json: impl Fn(&T) -> Value, text: impl Fn(&T) -> String) {
        if items.is_empty() && !self.json {
            crate::say("there are none");
        }
        for item in items {
            if self.json { self.line(json(item)) } else { self.line(text(item)) }
        }
    }

    /// One thing: as JSON, or as text.
    pub(crate) fn thing(self, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
        if self.json { self.value(&json()) } else { self.line(text()) }
    }
}

/// True when something that was printed got lost: a full disk, not a reader that has gone.
pub(crate) fn lost() -> bool {
    LOST.load(Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_flag_then_the_variables_then_the_terminal() {
        let decided = |colour: Colour, terminal, variables: &[(&str, &str)]| {
            colour.decided(terminal, |name| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(decided(Colour::Auto, true, &[]));
        assert!(!decided(Colour::Auto, false, &[]));
        assert!(!decided(Colour::Auto, true, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]));
        assert!(decided(Colour::Auto, true, &[("NO_COLOR", "")]));
        assert!(decided(Colour::Auto, false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!decided(Colour::Auto, false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!decided(Colour::Auto, true, &[("TERM", "dumb")]));
        assert!(decided(Colour::Always, false, &[("NO_COLOR", "1")]));
        assert!(!decided(Colour::Never, true, &[("CLICOLOR_FORCE", "1")]));
    }
}
