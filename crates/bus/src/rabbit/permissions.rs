//! A user of the broker for each service, with the least that it needs.
//!
//! The broker knows three rights, each a regular expression over names: *configure* (declare and delete), *write* (publish to an
//! exchange, bind a queue), *read* (consume from a queue, bind to an exchange). A service that has no right to configure runs
//! with [`crate::BusOptions::declare`] off: it looks whether everything is there, for which no right is needed.

use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, EVENTS_EXCHANGE, Queue};

/// What one user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// Who: `ingress`, a worker's name, or `topology`, which declares and looks.
    pub user: &'static str,
    /// As the broker wants it: a regular expression, `^$` for nothing.
    pub configure: String,
    /// See there.
    pub write: String,
    /// See there.
    pub read: String,
}

/// Nobody is called like this.
const NOTHING: &str = "^$";

/// Of all users.
pub fn permissions() -> Vec<Permissions> {
    let events = literal(EVENTS_EXCHANGE);
    let nothing = NOTHING.to_owned();
    let publisher = |user| Permissions {
        user,
        configure: NOTHING.to_owned(),
        write: format!("^{events}$"),
        read: NOTHING.to_owned(),
    };
    let publishers = ["ingress", "reconciler"].map(publisher);
    // A retry goes to an exchange that delays; what is given up is brought away by the queue itself.
    let delays = literal("matchpurse.delay.");
    let workers = Queue::ALL.into_iter().map(|queue| {
        let own = literal(queue.name());
        let (write, read) = match queue {
            // It drains the dead letters, and brings the spool to the broker where the ingress does not.
            Queue::EventArchive => {
                (format!("^({events}|{delays}.*)$"), format!("^({own}|{})$", literal(DEAD_LETTER_QUEUE)))
            }
            _ => (format!("^{delays}.*$"), format!("^{own}(\\.[0-9]+)?$")),
        };
        Permissions { user: queue.worker(), configure: nothing.clone(), write, read }
    });
    // `doctor` publishes to a queue of its own, which the broker names.
    let ours = "^(matchpurse\\..*|amq\\.gen.*|amq\\.default)$".to_owned();
    let topology = Permissions { user: "topology", configure: ours.clone(), write: ours.clone(), read: ours };
    publishers.into_iter().chain(workers).chain([topology]).collect()
}

fn literal(name: &str) -> String {
    name.replace('.', "\\.")
}
