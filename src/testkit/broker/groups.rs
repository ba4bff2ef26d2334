use super::member::both;
use super::{Harness, Member, into_partition, numbered, publish, topic, unique};
use crate::broker::{Assignment, Commit, Committed, Record, Start, Subscriber};
use crate::error::Kind;

/// Two groups do not disturb each other.
pub async fn each_group_gets_everything<H: Harness>(harness: &H) {
    let topic = topic(harness, 2).await;
    let (a, b) = (unique("group"), unique("group"));
    let mut a = Member::alone(harness, &a, &topic, Start::Earliest, 2).await;
    let mut b = Member::alone(harness, &b, &topic, Start::Earliest, 2).await;
    publish(harness, numbered(&topic, 0, 20)).await;
    a.read(20).await;
    a.commit().await.expect("the assignments stand");
    b.read(20).await;
    for member in [a, b] {
        let mut numbers = member.numbers();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    }
}

/// A second member gets half of the partitions, none of which is ever owned by both, and then each
/// record goes to one of them.
pub async fn a_joining_member_gets_its_share<H: Harness>(harness: &H) {
    let (topic, group) = (topic(harness, 4).await, unique("group"));
    let mut a = Member::alone(harness, &group, &topic, Start::Earliest, 4).await;
    let mut b = Member::join(harness.subscriber(), &group, &topic, Start::Earliest).await;
    both(&mut a, &mut b, "equal shares", |a, b| {
        a.owned.len() == 2 && b.owned.len() == 2
    })
    .await;

    publish(harness, spread(numbered(&topic, 0, 40), 4)).await;
    both(&mut a, &mut b, "all records", |a, b| {
        a.records.len() + b.records.len() >= 40
    })
    .await;
    assert_eq!([a.records.len(), b.records.len()], [20, 20]);
    let mut numbers = [a.numbers(), b.numbers()].concat();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
}

/// What a member commits while a partition is being revoked, the next owner does not see again.
pub async fn released_partitions_go_on_from_the_commit<H: Harness>(harness: &H) {
    let (topic, group) = (topic(harness, 4).await, unique("group"));
    publish(harness, spread(numbered(&topic, 0, 4), 4)).await;
    let mut a = Member::alone(harness, &group, &topic, Start::Earliest, 4).await;
    a.commits_on_release = true;
    a.read(4).await;
    let mut b = Member::join(harness.subscriber(), &group, &topic, Start::Earliest).await;
    both(&mut a, &mut b, "equal shares", |a, b| {
        a.owned.len() == 2 && b.owned.len() == 2
    })
    .await;
    assert!(a.released.len() >= 2, "{a:#?}");
    assert!(a.released.iter().all(|(_, committed)| committed.is_some()));

    publish(harness, spread(numbered(&topic, 4, 8), 4)).await;
    both(&mut a, &mut b, "new records", |_, b| b.records.len() >= 2).await;
    let again: Vec<_> = b
        .numbers()
        .into_iter()
        .filter(|number| *number < 4)
        .collect();
    assert_eq!(again, [0; 0], "committed records came again");
}

/// Others take over from a member that closes.
pub async fn a_member_that_closes_is_replaced<H: Harness>(harness: &H) {
    let (topic, group) = (topic(harness, 2).await, unique("group"));
    let mut a = Member::alone(harness, &group, &topic, Start::Earliest, 2).await;
    let mut b = Member::join(harness.subscriber(), &group, &topic, Start::Earliest).await;
    both(&mut a, &mut b, "equal shares", |a, b| {
        a.owned.len() == 1 && b.owned.len() == 1
    })
    .await;
    a.subscriber.close().await.expect("closed");
    b.own(2).await;
}

/// Getting a partition back does not bring the earlier assignment of it back.
pub async fn an_ended_assignment_stays_ended<H: Harness>(harness: &H) {
    let (topic, group) = (topic(harness, 2).await, unique("group"));
    publish(harness, spread(numbered(&topic, 0, 4), 2)).await;
    let mut a = Member::alone(harness, &group, &topic, Start::Earliest, 2).await;
    a.read(4).await;
    let mut b = Member::join(harness.subscriber(), &group, &topic, Start::Earliest).await;
    both(&mut a, &mut b, "equal shares", |a, b| {
        a.owned.len() == 1 && b.owned.len() == 1
    })
    .await;
    b.subscriber.close().await.expect("closed");
    a.own(2).await;
    let (ended, _) = a.released[0].clone();
    let error = a.subscriber.commit(&[Commit::new(ended.clone(), 2)]).await;
    assert_eq!(error.expect_err("it has ended").kind(), Kind::Fenced);
    let error = a.seek(&ended, 0).await;
    assert_eq!(error.expect_err("it has ended").kind(), Kind::Fenced);
}

/// A member that went silent, and was replaced, cannot move the position of its successor.
pub async fn a_late_commit_is_fenced<H: Harness>(harness: &H) {
    let (topic, group) = (topic(harness, 1).await, unique("group"));
    publish(harness, numbered(&topic, 0, 5)).await;
    let subscriber = harness.impatient_subscriber();
    let mut silent = Member::join(subscriber, &group, &topic, Start::Earliest).await;
    silent.read(5).await;

    let mut member = Member::join(harness.subscriber(), &group, &topic, Start::Earliest).await;
    member.read(5).await;
    let next = member.records[2].position.offset;
    let committed = member
        .subscriber
        .commit(&[Commit::new(member.assignment(0), next)])
        .await;
    committed.expect("the assignment stands");

    let error = silent.commit().await.expect_err("somebody else took over");
    assert_eq!(error.kind(), Kind::Fenced);
    member.subscriber.close().await.expect("closed");

    let mut last = Member::join(harness.subscriber(), &group, &topic, Start::Earliest).await;
    last.read(1).await;
    assert_eq!(last.numbers()[0], 2, "the late commit moved the position");
}

/// A member that went silent, and was replaced, is told so before anything else, and gets a share
/// again.
pub async fn a_silent_member_learns_of_its_loss<H: Harness>(harness: &H) {
    let (topic, group) = (topic(harness, 2).await, unique("group"));
    let subscriber = harness.impatient_subscriber();
    let mut silent = Member::join(subscriber, &group, &topic, Start::Earliest).await;
    silent.own(2).await;
    let before: Vec<_> = silent.owned.values().cloned().collect();
    let mut member = Member::join(harness.subscriber(), &group, &topic, Start::Earliest).await;
    member.own(2).await;

    publish(harness, numbered(&topic, 0, 4)).await;
    silent
        .until("its loss", |silent| silent.lost.len() == 2)
        .await;
    silent.lost.sort_by_key(|lost| lost.partition.partition);
    assert_eq!(silent.lost, before);
    assert_eq!(silent.numbers(), [0; 0], "read what is somebody else's");
    both(
        &mut silent,
        &mut member,
        "equal shares",
        |silent, member| silent.owned.len() == 1 && member.owned.len() == 1,
    )
    .await;
}

/// One assignment that is not ours keeps the others of the same commit from being committed.
pub async fn a_commit_with_one_ended_assignment_changes_nothing<H: Harness>(harness: &H) {
    let (topic, group) = (topic(harness, 2).await, unique("group"));
    publish(harness, spread(numbered(&topic, 0, 4), 2)).await;
    let mut member = Member::alone(harness, &group, &topic, Start::Earliest, 2).await;
    member.read(4).await;
    let (ours, other) = (member.assignment(0), member.assignment(1));
    let next = [&ours, &other].map(|ours| member.next(ours).expect("it was read"));
    let ended = Assignment::new(other.partition, other.epoch.wrapping_sub(1));
    let error = member
        .subscriber
        .commit(&[Commit::new(ours, next[0]), Commit::new(ended, next[1])])
        .await
        .expect_err("one assignment has ended");
    assert_eq!(error.kind(), Kind::Fenced);
    member.subscriber.close().await.expect("closed");

    let mut next = Member::alone(harness, &group, &topic, Start::Earliest, 2).await;
    next.read(4).await;
}

/// What a member commits besides the position comes back to the next owner, as it was, until the next
/// commit; what is too long is refused, and changes nothing.
pub async fn metadata_comes_back_with_the_partition<H: Harness>(harness: &H) {
    let (topic, group) = (topic(harness, 1).await, unique("group"));
    publish(harness, numbered(&topic, 0, 5)).await;
    let mut first = Member::alone(harness, &group, &topic, Start::Earliest, 1).await;
    assert_eq!(first.found.values().collect::<Vec<_>>(), [&None]);
    first.read(5).await;
    let next = first.records[1].position.offset;
    let most = first.subscriber.max_metadata();
    let longest = "\u{e9}".repeat(most / 2);
    let commit = |next, metadata: &str| {
        let commit = Commit::new(first.records[0].assignment(), next);
        [commit.with_metadata(metadata)]
    };
    let (good, bad) = (
        commit(next, &longest),
        commit(next + 1, &format!("{longest}ab")),
    );
    let committed = first.subscriber.commit(&good).await;
    committed.expect("it is as long as it may be");
    let error = first.subscriber.commit(&bad).await;
    assert_eq!(error.expect_err("too long").kind(), Kind::TooLarge);
    first.subscriber.close().await.expect("closed");

    let mut second = Member::alone(harness, &group, &topic, Start::Earliest, 1).await;
    let wanted = Committed::new(next).with_metadata(longest);
    assert_eq!(second.found.values().collect::<Vec<_>>(), [&Some(wanted)]);
    second.read(1).await;
    assert_eq!(
        second.numbers()[0],
        1,
        "the refused commit moved the position"
    );
    let commit = Commit::new(second.assignment(0), next);
    let committed = second.subscriber.commit(&[commit]).await;
    committed.expect("the assignment stands");
    second.subscriber.close().await.expect("closed");

    let third = Member::alone(harness, &group, &topic, Start::Earliest, 1).await;
    let wanted = Some(Committed::new(next));
    assert_eq!(third.found.values().collect::<Vec<_>>(), [&wanted]);
}

/// Puts the first record into partition 0, the second into 1 and so on.
fn spread(records: Vec<Record>, partitions: u32) -> Vec<Record> {
    records
        .into_iter()
        .zip((0..partitions).cycle())
        .map(|(record, partition)| into_partition(record, partition))
        .collect()
}
