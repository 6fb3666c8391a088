//! Which ids are one player's.

use std::collections::BTreeSet;

use anyhow::Result;
use matchpurse_domain::ids::SourceName;
use matchpurse_operations::links::{Author, Error, IDENTITIES_MAX, replace, unlink};
use matchpurse_store::Store;
use matchpurse_store::links::{Identity, person_of};
use matchpurse_testkit::{Database, Dice};

/// `player@source`.
fn id(text: &str) -> Identity {
    let (player, source) = text.split_once('@').unwrap();
    Identity { source: SourceName::parse(source).unwrap(), player_id: player.into() }
}

fn ids(text: &str) -> BTreeSet<Identity> {
    text.split_whitespace().map(id).collect()
}

fn author() -> Author {
    Author { actor: "backend".to_owned(), reason: String::new() }
}

struct People {
    database: Database,
    store: Store,
}

impl People {
    async fn start() -> Result<Self> {
        let database = Database::create().await?;
        Ok(Self { store: database.store().await?, database })
    }

    async fn put(&self, one: &str, others: &str) -> Result<(), Error> {
        replace(&self.store, &id(one), ids(others), &author()).await.map(drop)
    }

    async fn person(&self, one: &str) -> Result<BTreeSet<Identity>> {
        Ok(person_of(&self.store.client().await?, &id(one)).await?)
    }

    async fn recorded(&self) -> Result<usize> {
        Ok(self.database.texts("SELECT subject FROM operation WHERE kind = 'player_links'").await?.len())
    }
}

#[tokio::test]
async fn a_set_is_replaced_whole_and_seen_from_each_of_its_identities() -> Result<()> {
    let people = People::start().await?;
    assert_eq!(people.person("a@lounge").await?, ids("a@lounge"));
    people.put("a@lounge", "b@play c@servers").await?;
    for one in ["a@lounge", "b@play", "c@servers"] {
        assert_eq!(people.person(one).await?, ids("a@lounge b@play c@servers"));
    }
    // Asked from another one, without one of them and with a new one.
    people.put("b@play", "a@lounge d@servers").await?;
    for one in ["a@lounge", "b@play", "d@servers"] {
        assert_eq!(people.person(one).await?, ids("a@lounge b@play d@servers"));
    }
    assert_eq!(people.person("c@servers").await?, ids("c@servers"));
    // Who is free again may be linked to somebody else.
    people.put("c@servers", "e@play").await?;
    assert_eq!(people.recorded().await?, 3);
    // The same again is no change.
    people.put("a@lounge", "b@play d@servers a@lounge").await?;
    assert_eq!(people.recorded().await?, 3);
    people.put("a@lounge", "").await?;
    for one in ["a@lounge", "b@play", "d@servers"] {
        assert_eq!(people.person(one).await?.len(), 1);
    }
    let left = "SELECT p.player_id FROM player_link JOIN player p USING (player_key)";
    assert_eq!(people.database.texts(left).await?, ["c", "e"]);
    Ok(())
}

#[tokio::test]
async fn an_identity_of_another_person_is_never_moved() -> Result<()> {
    let people = People::start().await?;
    people.put("a@lounge", "b@play").await?;
    people.put("c@servers", "d@play").await?;
    let Err(Error::OtherPersons(whose)) = people.put("a@lounge", "b@play c@servers x@play").await else {
        panic!("it was moved");
    };
    assert_eq!(whose, ids("c@servers"));
    // From an identity that stands alone as well.
    assert!(matches!(people.put("x@play", "b@play").await, Err(Error::OtherPersons(_))));
    assert_eq!(people.person("a@lounge").await?, ids("a@lounge b@play"));
    assert_eq!(people.person("x@play").await?, ids("x@play"));
    assert_eq!(people.recorded().await?, 2);
    // Not even by hand.
    let connection = people.database.connection().await?;
    let moved =
        connection.execute("UPDATE player_link SET person = gen_random_uuid()", &[]).await.unwrap_err();
    assert_eq!(moved.code().map(|code| code.code()), Some("ES014"));
    Ok(())
}

#[tokio::test]
async fn one_is_unlinked_and_nobody_stays_linked_to_nobody() -> Result<()> {
    let people = People::start().await?;
    people.put("a@lounge", "b@play c@servers").await?;
    let left = unlink(&people.store, &id("a@lounge"), &id("c@servers"), &author()).await?;
    assert_eq!(left, ids("a@lounge b@play"));
    assert_eq!(people.person("c@servers").await?, ids("c@servers"));
    // Once more, and of somebody who never was in it, changes nothing.
    for other in ["c@servers", "z@play"] {
        assert_eq!(
            unlink(&people.store, &id("a@lounge"), &id(other), &author()).await?,
            ids("a@lounge b@play")
        );
    }
    assert_eq!(people.recorded().await?, 2);
    let left = unlink(&people.store, &id("a@lounge"), &id("a@lounge"), &author()).await?;
    assert_eq!(left, ids("a@lounge"));
    assert_eq!(people.database.texts("SELECT person::text FROM player_link").await?, Vec::<String>::new());
    assert_eq!(people.recorded().await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_person_has_so_many_identities_and_not_one_more() -> Result<()> {
    let people = People::start().await?;
    let many = |count: usize| (0..count).map(|n| format!("p{n}@play ")).collect::<String>();
    people.put("a@lounge", &many(IDENTITIES_MAX - 1)).await?;
    assert!(matches!(people.put("a@lounge", &many(IDENTITIES_MAX)).await, Err(Error::TooMany)));
    assert_eq!(people.person("a@lounge").await?.len(), IDENTITIES_MAX);
    Ok(())
}

/// Eight at once, each with an order of its own, over a few identities: whoever wins, every identity is in one set.
#[tokio::test]
async fn many_who_link_at_once_neither_deadlock_nor_leave_an_identity_in_two_sets() -> Result<()> {
    const NAMES: [&str; 6] = ["a@lounge", "b@lounge", "a@play", "b@play", "a@servers", "b@servers"];
    let people = People::start().await?;
    let links = |seed: u64| {
        let people = &people;
        async move {
            let mut dice = Dice::new(seed);
            let (mut done, mut refused) = (0, 0);
            for _ in 0..25 {
                let mut some = dice.shuffled(NAMES.to_vec());
                some.truncate(1 + dice.below(3));
                let one = some.remove(0);
                let done_now = match dice.below(4) {
                    0 => {
                        unlink(&people.store, &id(one), &id(NAMES[dice.below(6)]), &author()).await.map(drop)
                    }
                    _ => people.put(one, &some.join(" ")).await,
                };
                match done_now {
                    Ok(()) => done += 1,
                    Err(Error::OtherPersons(_)) => refused += 1,
                    Err(error) => return Err(anyhow::Error::from(error)),
                }
            }
            Ok((done, refused))
        }
    };
    let all =
        tokio::try_join!(links(1), links(2), links(3), links(4), links(5), links(6), links(7), links(8))?;
    assert!(all.0.0 > 0 && all.0.1 > 0);
    let alone = "SELECT person::text FROM player_link GROUP BY person HAVING count(*) < 2";
    assert_eq!(people.database.texts(alone).await?, Vec::<String>::new());
    // Seen from each of its identities a set is the same.
    for name in NAMES {
        let person = people.person(name).await?;
        for other in &person {
            assert_eq!(person_of(&people.store.client().await?, other).await?, person);
        }
    }
    Ok(())
}
