//! The log in PostgreSQL, relayed by several at once, whose number changes meanwhile.

mod exactly_once;
mod halted;
mod live;
mod seeds;

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::time::Duration;

use bowline::error::Kind;
use bowline::message::Message;
use bowline::outbox::{self, Lease, Settled, Store as _, Window};
use sqlx::PgPool;

use crate::log::{self, MANY, PART, committed, next_id, payloads, rows_of_part, settle};

const LONG: Duration = Duration::from_secs(600);

fn number(lanes: u32) -> NonZeroU32 {
    NonZeroU32::new(lanes).unwrap()
}

async fn fresh(name: &'static str) -> (PgPool, outbox::Postgres) {
    let (pool, store, lease) = log::outbox(name).await;
    store.release(&lease).await.unwrap();
    (pool, store)
}

async fn lease(store: &outbox::Postgres) -> Option<Lease> {
    let owner = uuid::Uuid::now_v7().to_string();
    store.lease(&owner, LONG).await.unwrap()
}

/// Lets lanes with nothing in hand come to the new number.
async fn changed(lanes: &[(outbox::Postgres, Lease)], wanted: u32) {
    for _ in 0..4 {
        for (store, lease) in lanes {
            match store.read(lease, None, MANY).await {
                Ok(window) => settle(store, lease, &window).await,
                Err(error) => assert_eq!(error.kind(), Kind::Fenced),
            }
        }
    }
    assert_eq!(lanes[0].0.lanes().await.unwrap(), number(wanted));
}

/// An outbox with so many lanes, and each of them with its lease.
async fn with_lanes(name: &'static str, lanes: u32) -> (PgPool, Outbox) {
    let (pool, whole) = fresh(name).await;
    let first = lease(&whole).await.unwrap();
    whole.set_lanes(number(lanes)).await.unwrap();
    changed(&[(whole.clone(), first.clone())], lanes).await;
    whole.release(&first).await.unwrap();
    let mut all = Vec::new();
    for lane in 0..lanes {
        let lane = whole.lane(lane);
        let lease = lease(&lane).await.unwrap();
        all.push((lane, lease));
    }
    assert_eq!(
        lease(&whole.lane(lanes)).await,
        None,
        "there is no such lane"
    );
    (pool, Outbox { whole, lanes: all })
}

struct Outbox {
    whole: outbox::Postgres,
    lanes: Vec<(outbox::Postgres, Lease)>,
}

async fn drain(lanes: &[(outbox::Postgres, Lease)]) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for (store, lease) in lanes {
        all.push(log::drain(store, lease).await);
    }
    all
}

#[tokio::test]
async fn a_key_is_in_one_lane_and_each_lane_has_rows() {
    let (_, Outbox { whole, lanes }) = with_lanes("lanes_keys", 4).await;
    let store = &whole;
    for round in 0..3 {
        for key in 0..40 {
            committed(store, &format!("{key}/{round}"), &key.to_string()).await;
        }
    }
    let mut tx = store.begin().await.unwrap();
    let bare: Vec<_> = (0..40)
        .map(|_| Message::new("suite.bare", "bare"))
        .collect();
    store.enqueue_many(&mut tx, &bare).await.unwrap();
    tx.commit().await.unwrap();

    let read = drain(&lanes).await;
    assert_eq!(read.iter().map(Vec::len).sum::<usize>(), 160);
    let mut lane_of = HashMap::new();
    for (lane, payloads) in read.iter().enumerate() {
        assert!(
            payloads.contains(&"bare".to_owned()),
            "lane {lane}: {payloads:?}"
        );
        let with_key = payloads
            .iter()
            .filter_map(|payload| payload.split_once('/'));
        for (key, round) in with_key {
            let (of_key, rounds) = lane_of.entry(key).or_insert((lane, Vec::new()));
            assert_eq!(*of_key, lane, "key {key}");
            rounds.push(round);
        }
    }
    assert!(
        lane_of
            .values()
            .all(|(_, rounds)| *rounds == ["0", "1", "2"])
    );
    let used: BTreeSet<_> = lane_of.values().map(|(lane, _)| lane).collect();
    assert_eq!(used.len(), 4);
    assert_eq!(drain(&lanes).await, [[""; 0]; 4]);
}

/// A lane has a lease, an epoch, aside rows and a status of its own; the outbox shows them together.
#[tokio::test]
async fn a_lane_is_an_outbox_of_its_own() {
    let (_, Outbox { whole, lanes }) = with_lanes("lanes_own", 2).await;
    for key in 0..20 {
        committed(&whole, "row", &key.to_string()).await;
    }
    let (store, lease) = &lanes[1];
    let window = store.read(lease, None, MANY).await.unwrap();
    let count = u64::try_from(window.entries.len()).unwrap();
    assert!(0 < count && count < 20);
    let mut settled = vec![Settled::Published; window.entries.len()];
    settled[0] = Settled::Parked("why".to_owned());
    settled[1] = Settled::Aside;
    store.settle(lease, &window, &settled).await.unwrap();

    let (first, first_lease) = &lanes[0];
    let of_first = first.set_aside(first_lease, &[], MANY).await.unwrap();
    assert_eq!(of_first, Window::default());
    assert!(!first.read(first_lease, None, MANY).await.unwrap().aside);
    assert!(store.read(lease, None, MANY).await.unwrap().aside);
    assert_eq!(
        store
            .set_aside(lease, &[], MANY)
            .await
            .unwrap()
            .entries
            .len(),
        1
    );
    assert_eq!(first.parked(MANY).await.unwrap(), []);
    assert_eq!(store.parked(MANY).await.unwrap().len(), 1);

    let (one, other) = (first.status().await.unwrap(), store.status().await.unwrap());
    assert_eq!((one.pending, one.parked), (20 - count, 0));
    assert_eq!((other.pending, other.parked), (1, 1));
    assert_eq!(one.owner.as_ref(), Some(&first_lease.owner));
    assert_eq!(other.owner.as_ref(), Some(&lease.owner));
    let none = whole.lane(7).status().await.unwrap();
    assert_eq!(none, outbox::Status::default(), "there is no such lane");
    let all = whole.status().await.unwrap();
    assert_eq!((all.pending, all.parked), (21 - count, 1));
    assert_eq!(all.owner.as_ref(), Some(&first_lease.owner));
}

/// What a lane has not read keeps a part of the log, also when it has no rows there; when it looks, it
/// notes what it has seen.
#[tokio::test]
async fn a_part_is_emptied_once_every_lane_is_past_it() {
    let (pool, Outbox { whole, lanes }) = with_lanes("lanes_parts", 2).await;
    next_id(&pool, PART).await;
    for _ in 0..3 {
        committed(&whole, "row", "of one lane").await;
    }
    next_id(&pool, 2 * PART).await;
    let read: Vec<_> = drain(&lanes).await;
    let idle = read.iter().position(Vec::is_empty).unwrap();
    whole.tidy().await.unwrap();
    assert_eq!(rows_of_part(&pool, 1).await, 3, "one lane has not noted it");
    // Many transactions later.
    let many = "DO $$ BEGIN FOR i IN 0..10000 LOOP \
        PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$";
    sqlx::raw_sql(many).execute(&pool).await.unwrap();
    let (store, lease) = &lanes[idle];
    let window = store.read(lease, None, MANY).await.unwrap();
    assert_eq!(window.entries, []);
    whole.tidy().await.unwrap();
    assert_eq!(rows_of_part(&pool, 1).await, 0);
}

/// A relay that is at work is not cut off: the lanes wait until what it has in hand is settled.
#[tokio::test]
async fn what_is_in_hand_is_settled_before_the_lanes_change() {
    let (_, store) = fresh("lanes_hand").await;
    let lease = lease(&store).await.unwrap();
    committed(&store, "first", "1").await;
    let hand = store.read(&lease, None, MANY).await.unwrap();
    store.set_lanes(number(3)).await.unwrap();
    committed(&store, "second", "1").await;
    for _ in 0..3 {
        let ahead = store.read(&lease, hand.next.as_ref(), MANY).await.unwrap();
        assert_eq!(ahead.entries, []);
    }
    settle(&store, &lease, &hand).await;
    // What is idle has read further than it has settled.
    let next = store.read(&lease, hand.next.as_ref(), MANY).await.unwrap();
    let next = store.read(&lease, next.next.as_ref(), MANY).await.unwrap();
    assert_eq!(payloads(&next), ["second"]);
    assert_eq!(store.lanes().await.unwrap(), number(1));
    settle(&store, &lease, &next).await;
    changed(&[(store, lease)], 3).await;
}

/// Two lanes would have it in hand otherwise, the one that had the key and the one that gets it.
#[tokio::test]
async fn what_waits_aside_is_given_to_nobody_while_the_lanes_change() {
    let (_, Outbox { whole, lanes }) = with_lanes("lanes_aside", 2).await;
    for key in 0..20 {
        committed(&whole, "row", &key.to_string()).await;
    }
    for (store, lease) in &lanes {
        let window = store.read(lease, None, MANY).await.unwrap();
        let aside = vec![Settled::Aside; window.entries.len()];
        store.settle(lease, &window, &aside).await.unwrap();
    }
    whole.set_lanes(number(1)).await.unwrap();
    let [(first, lease), (second, second_lease)] = &lanes[..] else {
        unreachable!("there are two");
    };
    // The first comes to the barrier, the second does not.
    for _ in 0..3 {
        for (store, lease) in &lanes[..1] {
            let waits = store.set_aside(lease, &[], MANY).await.unwrap();
            assert_eq!(waits.entries, []);
            assert_eq!(store.read(lease, None, MANY).await.unwrap().entries, []);
        }
    }
    for _ in 0..2 {
        let read = second.read(second_lease, None, MANY).await.unwrap();
        assert_eq!(read.entries, []);
        let waits = first.set_aside(lease, &[], MANY).await.unwrap();
        assert_eq!(waits.entries, []);
    }
    first.read(lease, None, MANY).await.unwrap();
    let late = second.read(second_lease, None, MANY).await;
    if let Err(error) = late {
        assert_eq!(error.kind(), Kind::Fenced);
    }
    first.read(lease, None, MANY).await.unwrap();
    assert_eq!(whole.lanes().await.unwrap(), number(1));
    let waits = first.set_aside(lease, &[], MANY).await.unwrap();
    assert_eq!(waits.entries.len(), 20);
}

#[tokio::test]
async fn too_many_lanes_are_refused() {
    let (_, store) = fresh("lanes_many").await;
    let refused = store.set_lanes(number(257)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
    assert!(refused.to_string().contains("257 lanes, allowed: 1 to 256"));
}
