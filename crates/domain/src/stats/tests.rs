use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::event::{Counters, HistoryEntry, MatchStatsSnapshot, PlayerStats, Side, TeamScore};
use crate::ids::PlayerId;
use crate::time::Timestamp;

const RECEIVED: Timestamp = Timestamp::from_seconds(1_700_009_999);

fn player(id: &str, side: Side, kills: i32) -> PlayerStats {
    let mut counters = Counters::default();
    counters.0[0] = kills;
    let (player_id, nickname) = (id.into(), id.to_owned());
    PlayerStats { player_id, side, nickname, connected: true, kicked: false, counters }
}

fn team(name: &str, score: Option<u32>) -> TeamScore {
    TeamScore { name: name.to_owned(), score }
}

fn history(names: &[&str]) -> Vec<HistoryEntry> {
    let entry = |(index, name): (usize, &&str)| HistoryEntry {
        index: u32::try_from(index).unwrap(),
        name: (*name).to_owned(),
        at: Timestamp::from_seconds(1_700_000_000 + i64::try_from(index).unwrap()),
        player_id: None,
    };
    names.iter().enumerate().map(entry).collect()
}

/// Round `one + two` of a match of ann and cat against bob, with dan watching.
fn live(one: u32, two: u32) -> MatchStatsSnapshot {
    let kills = i32::try_from(one + two).unwrap();
    MatchStatsSnapshot {
        match_id: "m".to_owned(),
        map: Some("de_dust2".to_owned()),
        team1: team("A", Some(one)),
        team2: team("B", Some(two)),
        rounds_played: one + two,
        finished: false,
        cancel_reason: None,
        players: vec![
            player("ann", Side::Team1, kills),
            player("bob", Side::Team2, 2),
            player("cat", Side::Team1, 1),
            player("dan", Side::Spectator, 9),
        ],
        history: Vec::new(),
    }
}

fn ended(one: u32, two: u32) -> MatchStatsSnapshot {
    MatchStatsSnapshot { finished: true, ..live(one, two) }
}

fn canceled(reason: Option<&str>, finished: bool, names: &[&str]) -> MatchStatsSnapshot {
    let cancel_reason = reason.map(str::to_owned);
    MatchStatsSnapshot { cancel_reason, finished, history: history(names), ..live(1, 0) }
}

/// What the snapshots lead to.
#[derive(Debug, PartialEq, Eq, Default)]
struct World {
    state: Option<MatchStats>,
    lines: BTreeMap<PlayerId, PlayerStats>,
    totals: BTreeMap<PlayerId, Totals>,
    finals: usize,
    anomalies: Vec<&'static str>,
}

fn play(snapshots: &[MatchStatsSnapshot]) -> World {
    let mut world = World::default();
    for snapshot in snapshots {
        let outcome = apply(world.state.as_ref(), snapshot, RECEIVED);
        if let Some(lines) = outcome.lines {
            world.lines = lines.into_iter().map(|(id, line)| (id.clone(), line.clone())).collect();
        }
        for (player, gain) in &outcome.totals {
            world.totals.entry(player.clone()).or_default().add(gain);
        }
        world.finals += usize::from(outcome.is_final);
        world.anomalies.extend(outcome.anomaly.map(|anomaly| anomaly.kind.as_str()));
        world.state = Some(outcome.state);
    }
    world
}

/// The rounds and the end, then `player wins-losses-draws kills` of the totals, then the anomalies.
fn told(snapshots: &[MatchStatsSnapshot]) -> String {
    let world = play(snapshots);
    let state = world.state.unwrap();
    let end = match (state.canceled, state.winner) {
        (true, _) => format!("canceled {}", state.cancel_reason.unwrap_or_default()),
        (_, Some(winner)) => winner.as_str().to_owned(),
        (_, None) => if state.finished { "finished" } else { "live" }.to_owned(),
    };
    assert_eq!(state.counted, world.finals == 1);
    let mut told = vec![format!("{} {end}", state.rounds_played)];
    told.extend(
        world
            .totals
            .iter()
            .map(|(player, t)| format!("{player} {}-{}-{} {}", t.wins, t.losses, t.draws, t.counters[0])),
    );
    told.extend(world.anomalies.iter().map(|kind| format!("! {kind}")));
    told.join("; ")
}

#[test]
fn a_story_of_snapshots_leads_to_these_statistics() {
    let unscored = MatchStatsSnapshot { team2: team("B", None), ..ended(3, 1) };
    let one_more_line = MatchStatsSnapshot { history: history(&["round_end"]), map: None, ..live(2, 1) };
    let won = "4 team1; ann 1-0-0 4; bob 0-1-0 2; cat 1-0-0 1";
    let table: Vec<(Vec<MatchStatsSnapshot>, String)> = vec![
        (vec![live(1, 0), live(2, 1), live(1, 1)], "3 live".into()),
        (vec![live(2, 1), one_more_line, live(2, 1)], "3 live".into()),
        (vec![live(1, 0), ended(3, 1), live(3, 1), ended(3, 1)], won.into()),
        (vec![ended(3, 1), live(9, 9)], won.into()),
        (vec![live(9, 9), ended(3, 1)], won.into()),
        (vec![ended(1, 3)], "4 team2; ann 0-1-0 4; bob 1-0-0 2; cat 0-1-0 1".into()),
        (vec![ended(2, 2)], "4 draw; ann 0-0-1 4; bob 0-0-1 2; cat 0-0-1 1".into()),
        (vec![unscored], "4 finished; ann 0-0-0 4; bob 0-0-0 2; cat 0-0-0 1".into()),
        (vec![ended(3, 1), ended(3, 2)], format!("{won}; ! stats_corrected")),
        (vec![canceled(Some("WHY"), true, &[])], "1 canceled WHY".into()),
        (vec![canceled(None, false, &[MATCH_CANCELED])], "1 canceled ".into()),
        (
            vec![canceled(None, false, &[MATCH_CANCELED]), canceled(Some("WHY"), true, &[])],
            "1 canceled WHY".into(),
        ),
        (
            vec![canceled(Some("WHY"), true, &[]), canceled(None, false, &[MATCH_CANCELED])],
            "1 canceled WHY".into(),
        ),
        (vec![live(3, 0), canceled(Some("WHY"), true, &[]), live(4, 0)], "1 canceled WHY".into()),
        (vec![canceled(Some("WHY"), true, &[]), ended(3, 1)], "1 canceled WHY; ! terminal_conflict".into()),
        (vec![ended(3, 1), canceled(Some("WHY"), true, &[])], format!("{won}; ! terminal_conflict")),
    ];
    for (snapshots, expected) in table {
        assert_eq!(told(&snapshots), expected, "{snapshots:#?}");
    }
}

#[test]
fn a_player_who_left_before_the_furthest_snapshot_has_no_line() {
    let mut without_cat = live(2, 1);
    without_cat.players.retain(|player| player.player_id != PlayerId::from("cat"));
    let lines: Vec<_> = play(&[live(1, 0), without_cat]).lines.into_keys().collect();
    assert_eq!(lines, [PlayerId::from("ann"), "bob".into(), "dan".into()]);
}

#[test]
fn a_player_listed_twice_counts_once() {
    let mut snapshot = ended(3, 1);
    snapshot.players.push(player("ann", Side::Team2, 100));
    assert_eq!(play(&[snapshot]).totals[&PlayerId::from("ann")].counters[0], 4);
}

#[test]
fn connections_after_the_final_are_no_correction() {
    let mut gone = ended(3, 1);
    gone.players.iter_mut().for_each(|player| player.connected = false);
    gone.history = history(&["match_ended", "players_exited"]);
    assert_eq!(play(&[ended(3, 1), gone]).anomalies, Vec::<&str>::new());
}

fn end_of(snapshots: &[MatchStatsSnapshot]) -> Option<i64> {
    play(snapshots).state.unwrap().ended_at.map(|at| at.seconds() - 1_700_000_000)
}

#[test]
fn a_match_ended_when_its_history_says_so_or_else_when_the_news_came() {
    let ended_with = |names: &[&str]| MatchStatsSnapshot { history: history(names), ..ended(3, 1) };
    assert_eq!(end_of(&[live(3, 1)]), None);
    assert_eq!(end_of(&[ended(3, 1)]), Some(9_999));
    assert_eq!(end_of(&[ended_with(&["round_end", MATCH_ENDED, "players_exited"])]), Some(1));
    assert_eq!(end_of(&[ended_with(&["a", "b", "players_exited"])]), Some(2));
    assert_eq!(end_of(&[canceled(None, false, &["a", "b", "c", MATCH_CANCELED])]), Some(3));
    // Of deliveries of one end, the earliest time; another end does not move it.
    assert_eq!(
        end_of(&[ended(3, 1), ended_with(&["a", "b", "c"]), ended_with(&["a", MATCH_ENDED])]),
        Some(1)
    );
    assert_eq!(
        end_of(&[ended(3, 1), MatchStatsSnapshot { history: history(&["a"]), ..ended(3, 2) }]),
        Some(9_999)
    );
}

/// A world in which an operator puts `other` in the place of what the snapshots lead to.
fn corrected(world: &mut World, other: &MatchStatsSnapshot) -> Result<(), Refusal> {
    let state = world.state.clone().unwrap();
    let lines = world.lines.iter().map(|(id, line)| (id, line.side, &line.counters));
    let outcome = correct(&state, lines, other, RECEIVED)?;
    for (player, difference) in &outcome.totals {
        world.totals.entry(player.clone()).or_default().add(difference);
    }
    world.totals.retain(|_, totals| totals.matches != 0);
    world.lines = outcome.lines.unwrap().into_iter().map(|(id, line)| (id.clone(), line.clone())).collect();
    world.state = Some(outcome.state);
    Ok(())
}

#[test]
fn a_correction_changes_the_totals_by_the_difference() {
    let mut other = ended(1, 3);
    other.players[2] = player("eve", Side::Team2, 7);
    let ends = [ended(3, 1), other, canceled(Some("WHY"), true, &[]), ended(2, 2)];
    for first in &ends {
        for second in ends.iter().filter(|second| *second != first) {
            let mut world = play(std::slice::from_ref(first));
            corrected(&mut world, second).unwrap();
            let expected = play(std::slice::from_ref(second));
            assert_eq!((&world.totals, &world.lines), (&expected.totals, &expected.lines));
            let state = world.state.clone().unwrap();
            assert_eq!(
                (state.winner, state.counted, state.corrections),
                (expected.state.as_ref().unwrap().winner, !state.canceled, 1)
            );
            // What was overruled is no news any more, and what stands may be told again; a third end is news.
            for told in [first, second] {
                let outcome = apply(Some(&state), told, RECEIVED);
                assert_eq!((outcome.anomaly, outcome.totals.len()), (None, 0));
            }
            assert!(apply(Some(&state), &ended(9, 9), RECEIVED).anomaly.is_some());
            // The first one may be put back.
            corrected(&mut world, first).unwrap();
            assert_eq!(world.totals, play(std::slice::from_ref(first)).totals);
            assert_eq!(world.state.unwrap().corrections, 2);
        }
    }
}

#[test]
fn only_an_end_can_be_corrected_and_only_by_another_one() {
    let refused = |first: &MatchStatsSnapshot, other: &MatchStatsSnapshot| {
        corrected(&mut play(std::slice::from_ref(first)), other).unwrap_err()
    };
    assert_eq!(refused(&live(1, 0), &ended(3, 1)), Refusal::NotEnded);
    assert_eq!(refused(&ended(3, 1), &live(1, 0)), Refusal::NoEnd);
    assert_eq!(refused(&ended(3, 1), &ended(3, 1)), Refusal::Same);
    assert_eq!(refused(&canceled(Some("A"), true, &[]), &canceled(Some("B"), true, &[])), Refusal::Same);
}

/// Snapshots of one match: of every round some, with histories of several lengths, and perhaps an end.
fn harmony() -> impl Strategy<Value = Vec<MatchStatsSnapshot>> {
    let live_ones = prop::collection::btree_set((0_u32..5, 0_usize..3), 0..8);
    (live_ones, 0_u8..5).prop_map(|(live_ones, end)| {
        let mut snapshots: Vec<_> = live_ones
            .into_iter()
            .map(|(round, lines)| {
                let mut snapshot = live(round, 1);
                snapshot.history = history(&["round_end", "round_end"][..lines]);
                snapshot.players.truncate(3 - lines);
                snapshot
            })
            .collect();
        match end {
            0 => snapshots.push(ended(3, 1)),
            // One end, told three times: with all that follows it, without its own entry, without a history.
            4 => snapshots.extend(
                [&["round_end", MATCH_ENDED, "players_exited"][..], &["round_end"], &[]]
                    .map(|names| MatchStatsSnapshot { history: history(names), ..ended(3, 1) }),
            ),
            1 => {
                snapshots.push(canceled(Some("WHY"), true, &[]));
                snapshots.push(canceled(None, false, &[MATCH_CANCELED]));
                snapshots.push(canceled(None, true, &["round_end", MATCH_CANCELED]));
            }
            2 => snapshots.push(ended(1, 1)),
            _ => snapshots.push(live(4, 4)),
        }
        snapshots
    })
}

fn shuffled(
    snapshots: Vec<MatchStatsSnapshot>,
) -> impl Strategy<Value = (Vec<MatchStatsSnapshot>, Vec<MatchStatsSnapshot>)> {
    prop::collection::vec(0..snapshots.len(), 0..snapshots.len().max(1)).prop_flat_map(move |repeats| {
        let more = repeats.into_iter().map(|at| snapshots[at].clone());
        let all: Vec<_> = snapshots.iter().cloned().chain(more).collect();
        (Just(snapshots.clone()), Just(all).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn every_order_with_repeats_gives_the_same_statistics(
        (snapshots, other) in harmony().prop_flat_map(shuffled)
    ) {
        let (first, second) = (play(&snapshots), play(&other));
        prop_assert_eq!(&first.anomalies, &Vec::<&str>::new());
        prop_assert!(second.finals <= 1);
        prop_assert_eq!(first, second);
    }

    #[test]
    fn nothing_changes_the_totals_after_the_first_end(
        (_, later) in harmony().prop_flat_map(shuffled), cancel in any::<bool>()
    ) {
        let end = if cancel { canceled(Some("WHY"), true, &[]) } else { ended(3, 1) };
        let first = play(std::slice::from_ref(&end));
        let after = play(&[vec![end], later].concat());
        prop_assert_eq!(&first.totals, &after.totals);
        prop_assert_eq!(first.finals, after.finals);
    }
}
