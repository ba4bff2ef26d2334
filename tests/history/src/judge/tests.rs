//! Made-up histories: good ones pass, and each broken promise is seen.

use super::*;

const STRICT: Rules = Rules {
    order: Order::Key,
    sessions_last: true,
    brokers_answer: true,
    epochs_grow: true,
};

fn verdict(rules: Rules, history: &[&str]) -> Verdict {
    let events: Vec<Event> = history
        .iter()
        .map(|line| line.parse().expect("an event"))
        .collect();
    judge(&events, rules)
}

fn assert_fine(history: &[&str]) {
    let verdict = verdict(STRICT, history);
    assert!(verdict.problems.is_empty(), "{verdict}");
}

#[track_caller]
fn assert_seen(problem: &str, history: &[&str]) {
    let verdict = verdict(STRICT, history);
    let seen = |found: &String| found.starts_with(problem);
    assert!(verdict.problems.iter().any(seen), "{verdict}");
}

/// Two records of one key, done one after the other and committed.
const CALM: [&str; 11] = [
    "0 acknowledged t/0@0",
    "0 acknowledged t/0@1",
    "1 assigned t/0@1",
    "1 began t/0@1 0 a",
    "1 done t/0@1 0",
    "1 began t/0@1 1 a",
    "1 done t/0@1 1",
    "1 committing t/0@1 2 1",
    "1 committed 1",
    "1 closing",
    "2 assigned t/0@2 2",
];

#[test]
fn a_calm_history_is_fine() {
    let verdict = verdict(STRICT, &CALM);
    assert!(verdict.is_fine(), "{verdict}");
}

#[test]
fn a_record_that_nobody_has_done_is_lost() {
    let mut history = CALM.to_vec();
    history.push("0 acknowledged t/0@2");
    let found = verdict(STRICT, &history).unfinished;
    assert_eq!(found, ["t/0: [2] are not done", "t/0: committed 2 of 3"]);
}

#[test]
fn an_order_that_is_not_kept_is_seen() {
    let begun = ["1 assigned t/0@1", "1 began t/0@1 0 a", "1 began t/0@1 1 a"];
    assert_seen("begun before 0, which nobody has done", &begun);
    assert_seen("begun while 0 of its key runs", &begun);
    let back = [
        "1 assigned t/0@1",
        "1 began t/0@1 1 a",
        "1 done t/0@1 1",
        "1 began t/0@1 0 a",
    ];
    assert_seen("begun after 1 of its key", &back);
    let others = ["1 assigned t/0@1", "1 began t/0@1 0 a", "1 began t/0@1 1 b"];
    let rules = Rules {
        order: Order::Partition,
        ..STRICT
    };
    let found = verdict(rules, &others).problems;
    assert!(found[0].starts_with("begun while 0"), "{found:?}");
    let found = verdict(STRICT, &others).problems;
    assert!(found.iter().all(|found| !found.starts_with("begun")));
}

#[test]
fn a_failed_attempt_is_tried_again() {
    let mut history = CALM.to_vec();
    history.splice(4..4, ["1 failed t/0@1 0", "1 began t/0@1 0 a"]);
    assert_fine(&history);
}

#[test]
fn a_commit_that_passes_an_undone_record_is_seen() {
    let mut history = CALM.to_vec();
    history.swap(6, 7);
    assert_seen("a commit passes 1, which nobody has done", &history);
    let told = [&CALM[..5], &["1 closing", "2 assigned t/0@2 2"]].concat();
    assert_seen("the group has passed 1, which nobody has done", &told);
}

#[test]
fn a_commit_that_is_forgotten_is_seen() {
    let mut history = CALM.to_vec();
    *history.last_mut().expect("not empty") = "2 assigned t/0@2 1";
    assert_seen("the group went back from 2 to 1", &history);
}

#[test]
fn what_was_given_back_calmly_is_not_repeated() {
    let mut history = CALM[..7].to_vec();
    history.extend([
        "1 releasing t/0@1",
        "2 assigned t/0@2",
        "2 began t/0@2 0 a",
        "2 done t/0@2 0",
    ]);
    assert_seen("repeated though life 1 gave it back calmly", &history);
    for excuse in ["1 killed", "1 frozen", "0 down"] {
        let mut history = history.clone();
        history.insert(7, excuse);
        let problems = verdict(STRICT, &history).problems;
        let repeated = |found: &String| found.starts_with("repeated");
        assert!(!problems.iter().any(repeated), "{excuse}: {problems:?}");
    }
    history.splice(7..7, ["1 committing t/0@1 2 1", "1 unknown 1"]);
    let problems = verdict(STRICT, &history).problems;
    assert!(!problems.iter().any(|found| found.starts_with("repeated")));
}

#[test]
fn what_is_done_too_late_may_be_repeated() {
    let mut history = CALM[..5].to_vec();
    history.extend(["1 closing", "2 assigned t/0@2", "2 began t/0@2 0 a"]);
    for asked in ["1 stopping", "1 revoking t/0@1"] {
        history.insert(4, asked);
        assert_seen("repeated", &history);
        history.insert(0, "1 hasty");
        let problems = verdict(STRICT, &history).problems;
        assert!(problems.is_empty(), "{problems:?}");
        history.remove(5);
        history.remove(0);
    }
}

#[test]
fn what_is_done_is_not_done_again_in_the_same_assignment() {
    let mut history = CALM.to_vec();
    history.insert(5, "1 began t/0@1 0 a");
    assert_seen("done already", &history);
}

#[test]
fn a_commit_from_a_lost_assignment_is_seen() {
    let mut history = CALM[..7].to_vec();
    history.insert(3, "1 frozen");
    history.extend([
        "2 assigned t/0@2",
        "1 committing t/0@1 2 1",
        "1 committed 1",
        "1 lost t/0@1",
    ]);
    assert_seen("a commit of t/0 from a lost assignment", &history);
    // One that was begun before may have been made before.
    let last = history.len();
    history.swap(last - 4, last - 3);
    let problems = verdict(STRICT, &history).problems;
    assert!(
        problems
            .iter()
            .all(|found| !found.contains("lost assignment"))
    );
}

/// Life 3 was stopped while it was about to be told; meanwhile life 4 has got the partition.
const TOLD_LATE: [&str; 9] = [
    "0 acknowledged t/0@0",
    "3 frozen",
    "4 assigned t/0@15",
    "4 began t/0@15 0 a",
    "4 done t/0@15 0",
    "4 committing t/0@15 1 1",
    "4 committed 1",
    "3 assigned t/0@8",
    "3 began t/0@8 0 a",
];

#[test]
fn who_is_told_of_his_assignment_when_it_is_over_takes_nothing_from_its_owner() {
    let busy = Rules {
        sessions_last: false,
        brokers_answer: false,
        ..STRICT
    };
    let unordered = Rules {
        epochs_grow: false,
        ..busy
    };
    let more = [
        "0 acknowledged t/0@1",
        "4 began t/0@15 1 a",
        "4 done t/0@15 1",
        "4 committing t/0@15 2 2",
        "4 committed 2",
        "3 committing t/0@8 1 1",
    ];
    let history = [&TOLD_LATE[..], &more].concat();
    for rules in [busy, unordered] {
        let refused = [&history[..], &["3 fenced 1", "3 lost t/0@8"]].concat();
        let found = verdict(rules, &refused);
        assert!(found.is_fine(), "{found}");
        let made = [&history[..], &["3 committed 1"]].concat();
        let found = verdict(rules, &made).problems;
        let late = "a commit of t/0 from a lost assignment";
        assert!(found.iter().any(|one| one.starts_with(late)), "{found:?}");
    }
}

#[test]
fn a_partition_has_one_owner() {
    let two = ["1 assigned t/0@1", "2 assigned t/0@2"];
    assert_seen("life 1 owns it already", &two);
    assert_fine(&["1 assigned t/0@1", "1 releasing t/0@1", "2 assigned t/0@2"]);
    assert_fine(&["1 assigned t/0@1", "1 frozen", "2 assigned t/0@2"]);
    assert_seen(
        "lost without a reason",
        &["1 assigned t/0@1", "1 lost t/0@1"],
    );
    let busy = Rules {
        sessions_last: false,
        ..STRICT
    };
    let found = verdict(busy, &two);
    assert!(found.problems.is_empty(), "{found}");
}

#[test]
fn nothing_begins_outside_of_its_assignment() {
    assert_seen("begun without an assignment", &["1 began t/0@1 0 a"]);
    let ended = ["1 assigned t/0@1", "1 closing", "1 began t/0@1 0 a"];
    assert_seen("begun after the assignment ended", &ended);
    let early = ["1 assigned t/0@1 4", "1 began t/0@1 3 a"];
    assert_seen("begun before the start at 4", &early);
}
