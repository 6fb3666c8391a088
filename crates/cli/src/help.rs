//! The help: the commands by what they are for, examples, exit codes; and what is made of it for shells and `man`.

use clap::{ArgMatches, Command, CommandFactory as _};
use terminal_size::{Width, terminal_size};

use crate::Cli;
use crate::exit::Ending;
use crate::table::wrapped;

/// Longer lines are hard to read, however wide the terminal is.
pub(crate) const WIDTH_MAX: usize = 100;

/// The commands by what they are for, in the order of the help.
pub(crate) const GROUPS: [(&str, &[&str]); 5] = [
    ("Run", &["demo", "dev", "migrate", "check-config", "doctor"]),
    ("Look", &["listen", "explain", "players", "stats", "leaderboards", "offers", "gaps"]),
    (
        "Repair and decide",
        &["parked", "replay", "anomalies", "correct", "corrections", "rewards", "endpoints", "deliveries"],
    ),
    ("Prove", &["audit", "verify-archive", "archive", "rebuild", "diff", "ratings"]),
    ("Develop", &["send", "simulate", "verify-endpoint", "completions", "man"]),
];

/// What a command line does, a few for each command. A test reads each as the program does.
pub(crate) const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "demo",
        &[
            ("matchpurse demo --install", "on a bare machine"),
            ("matchpurse demo --exit --lives 50", "short, and as a check"),
        ],
    ),
    (
        "dev",
        &[
            ("matchpurse dev", "with one source of each provider"),
            ("matchpurse dev --config matchpurse.toml --rabbitmq", "with your sources, over RabbitMQ"),
        ],
    ),
    (
        "migrate",
        &[("matchpurse migrate --config matchpurse.toml", "before the services of a new version start")],
    ),
    (
        "check-config",
        &[("matchpurse check-config --config matchpurse.toml", "in a pipeline, before it is rolled out")],
    ),
    (
        "doctor",
        &[
            ("matchpurse doctor --config matchpurse.toml", "everything"),
            (
                "matchpurse doctor --config matchpurse.toml --json",
                "for a monitor, which goes by the exit code",
            ),
        ],
    ),
    (
        "listen",
        &[
            ("matchpurse listen --source main-game", "one integration"),
            ("matchpurse listen --rejected", "also what was refused, and why"),
            ("matchpurse listen --json --payload match_snapshot", "for a program"),
        ],
    ),
    (
        "explain",
        &[
            (
                "matchpurse explain main-game 7f0c1e",
                "a match of a source, from the first delivery to the last notice",
            ),
            (
                "matchpurse explain 0f8c8d0e-5f39-8a51-9a3e-4a4f35f4c0b1",
                "an event, or whatever else has this id",
            ),
        ],
    ),
    (
        "players",
        &[
            ("matchpurse players show main-game ann", "all that is known, over all ids of the person"),
            (
                "matchpurse players erase main-game ann --actor me --reason 'ticket 12' --dry-run",
                "what an erasure would change, or what is in its way",
            ),
        ],
    ),
    ("stats", &[("matchpurse stats show servers 6502a892", "the figures of a match, player by player")]),
    (
        "leaderboards",
        &[
            ("matchpurse leaderboards show weekly-rating", "the top of this season"),
            ("matchpurse leaderboards rank weekly-rating servers 76561198000000000", "one player"),
        ],
    ),
    (
        "offers",
        &[
            ("matchpurse offers list wall --state active", "what is open"),
            ("matchpurse offers watch", "what changes, as it comes"),
        ],
    ),
    (
        "parked",
        &[
            ("matchpurse parked list --queue match-escrow", "what one worker gave up"),
            ("matchpurse parked show 17", "why, with the body"),
            (
                "matchpurse parked replay --all --kind technical --actor ann --reason 'the defect is mended'",
                "many",
            ),
        ],
    ),
    (
        "replay",
        &[
            ("matchpurse replay --from 2h --dry-run", "what would change"),
            ("matchpurse replay --from 2h --actor ann --reason 'the queue was lost'", "have it done"),
        ],
    ),
    (
        "gaps",
        &[
            ("matchpurse gaps", "all sources of the configuration"),
            ("matchpurse gaps --source main-game --json", "for a program, which goes by the exit code"),
        ],
    ),
    (
        "anomalies",
        &[
            ("matchpurse anomalies list", "what waits for a decision"),
            ("matchpurse anomalies show 3", "both sides"),
        ],
    ),
    (
        "correct",
        &[
            ("matchpurse correct main-game 7f0c1e --winners blue --dry-run", "what would move"),
            (
                "matchpurse correct main-game 7f0c1e --refund --actor ann --reason 'called off'",
                "have it moved",
            ),
        ],
    ),
    ("corrections", &[("matchpurse corrections list --open", "what waits for a second person")]),
    (
        "rewards",
        &[
            ("matchpurse rewards list --state needs_review", "what waits for a person"),
            (
                "matchpurse rewards release 0f8c8d0e-5f39-4a51-9a3e-4a4f35f4c0b1 --actor ann --reason 'checked'",
                "one",
            ),
        ],
    ),
    (
        "endpoints",
        &[
            ("matchpurse endpoints list", "where notices go, and how that fares"),
            (
                "matchpurse endpoints test game --actor ann --reason 'new firewall'",
                "by the way of every other notice",
            ),
        ],
    ),
    (
        "deliveries",
        &[
            ("matchpurse deliveries list --state given_up", "what did not arrive"),
            ("matchpurse deliveries show 4711", "every attempt, and what is sent"),
        ],
    ),
    (
        "audit",
        &[
            ("matchpurse audit --config matchpurse.toml", "the ledger, the archive and every total"),
            ("matchpurse audit --expect expected.json", "also against what a simulation must lead to"),
        ],
    ),
    (
        "verify-archive",
        &[
            ("matchpurse verify-archive", "every chain"),
            (
                "matchpurse verify-archive --offline --file archive-2026-11-22.jsonl",
                "an exported file by itself",
            ),
        ],
    ),
    (
        "archive",
        &[
            ("matchpurse archive export --source main-game --out -", "to the standard output"),
            ("matchpurse archive detach --before 2026-01-01 --out /backup", "old days, exported and proved"),
        ],
    ),
    (
        "rebuild",
        &[("matchpurse rebuild --into again", "beside the state that is there; goes on where it broke off")],
    ),
    ("diff", &[("matchpurse diff --with again --first 3", "what differs, three rows of each table")]),
    ("ratings", &[("matchpurse ratings rebuild --game shooter --dry-run", "only compare")]),
    (
        "send",
        &[
            ("matchpurse send --list --source games", "the built-in deliveries of the source's provider"),
            ("matchpurse send RecreationalGameCompleted --source games", "one, to `matchpurse dev`"),
            ("matchpurse send body.json --source games --bad-signature", "your own, forged"),
        ],
    ),
    (
        "simulate",
        &[
            ("matchpurse simulate --lives 100", "against `matchpurse dev`"),
            ("matchpurse simulate --config matchpurse.toml --rate 200 --expect expected.json", "at a rate"),
        ],
    ),
    (
        "verify-endpoint",
        &[(
            "matchpurse verify-endpoint https://game.example/hooks --secret-file secret",
            "a test system of yours",
        )],
    ),
    (
        "completions",
        &[
            ("matchpurse completions bash", "to ~/.local/share/bash-completion/completions/matchpurse"),
            ("matchpurse completions zsh", "to a file _matchpurse in one of $fpath"),
        ],
    ),
    (
        "man",
        &[
            ("matchpurse man", "the page matchpurse(1), for `man -l -`"),
            ("matchpurse man --out /usr/local/share/man/man1", "all pages"),
        ],
    ),
];

/// The command line, with everything that the derived one does not have.
pub(crate) fn command() -> Command {
    let mut command = Cli::command();
    for (name, examples) in EXAMPLES {
        command = command.mut_subcommand(name, |one| one.after_long_help(examples_text(examples)));
    }
    let groups = groups(&command);
    command.after_long_help(exit_codes()).help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}{{options}}{{after-help}}"
    ))
}

/// Reads the command line of this process; ends it where that is wrong, or help is wanted.
pub(crate) fn matches() -> ArgMatches {
    command().color(colour_of(std::env::args())).get_matches()
}

/// Help and errors are coloured before anything is read, so the flag is looked for by hand.
fn colour_of(arguments: impl Iterator<Item = String>) -> clap::ColorChoice {
    let mut arguments = arguments.take_while(|argument| argument != "--");
    let mut choice = String::new();
    while let Some(argument) = arguments.next() {
        if argument == "--color" {
            choice = arguments.next().unwrap_or_default();
        } else if let Some(given) = argument.strip_prefix("--color=") {
            given.clone_into(&mut choice);
        }
    }
    match choice.as_str() {
        "always" => clap::ColorChoice::Always,
        "never" => clap::ColorChoice::Never,
        _ => clap::ColorChoice::Auto,
    }
}

fn heading(text: &str) -> String {
    let style = clap::builder::Styles::styled();
    let style = style.get_header();
    format!("{style}{text}{style:#}\n")
}

/// What stands before the second line of what a command does.
const INDENT: &str = "                   ";

/// How wide the help is: as clap has it for everything else.
fn width() -> usize {
    let terminal = terminal_size().map(|(Width(width), _)| usize::from(width));
    let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal.or_else(columns).unwrap_or(WIDTH_MAX).min(WIDTH_MAX)
}

/// The commands with what they do, under their headings.
fn groups(command: &Command) -> String {
    let literal = clap::builder::Styles::styled();
    let literal = literal.get_literal();
    let width = width();
    let mut text = String::new();
    for (name, commands) in GROUPS {
        text.push_str(&heading(&format!("{name}:")));
        for name in commands {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let lines = wrapped(&about, width.saturating_sub(INDENT.len()).max(INDENT.len()));
            text.push_str(&format!(
                "  {literal}{name:17}{literal:#}{}\n",
                lines.join(&format!("\n{INDENT}"))
            ));
        }
        text.push('\n');
    }
    text.push_str(&heading("Options:"));
    text
}

fn examples_text(examples: &[(&str, &str)]) -> String {
    let mut text = heading("Examples:");
    for (line, what) in examples {
        text.push_str(&format!("  {line}\n      {what}\n"));
    }
    text
}

fn exit_codes() -> String {
    let mut text = heading("Exit codes:");
    for ending in Ending::ALL {
        text.push_str(&format!("  {}  {}\n", ending.code(), ending.meaning()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_says_of_itself_beyond_a_sentence_is_in_its_help() {
        let command = command();
        for (name, text) in [
            ("doctor", "It changes nothing."),
            ("listen", "nothing is left out."),
            ("send", "Without a configuration"),
            ("verify-endpoint", "a correct endpoint acts on them"),
        ] {
            let long = command.find_subcommand(name).and_then(Command::get_long_about);
            let long = long.map(ToString::to_string).unwrap_or_default();
            assert!(long.contains(text), "{name}: {long}");
        }
    }

    /// Splits as a shell does, as far as the examples need it.
    fn arguments(line: &str) -> Vec<String> {
        let quoted = line.split('\'').enumerate();
        let parts = quoted.flat_map(|(place, part)| -> Vec<String> {
            if place % 2 == 1 {
                vec![part.to_owned()]
            } else {
                part.split_whitespace().map(str::to_owned).collect()
            }
        });
        parts.collect()
    }

    #[test]
    fn every_command_is_in_one_group_and_has_examples_that_can_be_read() {
        let command = command();
        let mut all: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let mut shown: Vec<&str> = EXAMPLES.iter().map(|(name, _)| *name).collect();
        all.sort_unstable();
        grouped.sort_unstable();
        shown.sort_unstable();
        assert_eq!(all, grouped);
        assert_eq!(all, shown);
        for (name, examples) in EXAMPLES {
            for (line, _) in *examples {
                let read = command.clone().try_get_matches_from(arguments(line));
                assert_eq!(read.unwrap().subcommand_name(), Some(*name), "{line}");
            }
        }
    }

    /// Every command and flag says what it does, in one line where the help is short.
    #[test]
    fn everything_says_what_it_does() {
        fn look(command: &Command, path: &str, short: &mut Vec<String>) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            if about.is_empty() || about.contains('\n') || about.chars().count() > 100 {
                short.push(format!("{path}: {about:?}"));
            }
            for argument in command.get_arguments() {
                if argument.get_help().is_none() {
                    short.push(format!("{path} {}: no help", argument.get_id()));
                }
            }
            for one in command.get_subcommands().filter(|one| one.get_name() != "help") {
                look(one, &format!("{path} {}", one.get_name()), short);
            }
        }
        let mut short = Vec::new();
        let mut command = command();
        command.build();
        look(&command, "matchpurse", &mut short);
        assert!(short.is_empty(), "{short:#?}");
    }

    #[test]
    fn the_flag_for_colours_is_found_wherever_it_stands() {
        let colour = |line: &str| colour_of(line.split(' ').map(str::to_owned));
        assert_eq!(colour("matchpurse --color never parked --help"), clap::ColorChoice::Never);
        assert_eq!(colour("matchpurse parked --color=always --help"), clap::ColorChoice::Always);
        assert_eq!(colour("matchpurse parked --help"), clap::ColorChoice::Auto);
        assert_eq!(colour("matchpurse parked -- --color never"), clap::ColorChoice::Auto);
    }
}
