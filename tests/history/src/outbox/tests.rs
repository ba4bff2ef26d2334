//! Made-up histories: good ones pass, and each broken promise is seen.

use super::*;

/// Three rows of one key, one of another, and one without.
fn rows() -> Vec<Row> {
    let row = |id, topic: &str, key: Option<&str>| Row {
        id,
        topic: topic.to_owned(),
        key: key.map(str::to_owned),
        name: id.to_string(),
    };
    let of_a = [1, 3, 4].map(|id| row(id, "t", Some("a")));
    let others = [row(2, "t", Some("b")), row(5, "t", None)];
    of_a.into_iter().chain(others).collect()
}

/// `1:3` is row 3 by life 1, `1?3` the same when the life does not hear of it, `1-` when it gives up
/// waiting, `1!` trouble of life 1, `!` of everybody.
fn verdict(history: &str) -> Verdict {
    let step = |word: &str| {
        if let Some(life) = word.strip_suffix('!') {
            return Step::Trouble(life.parse().ok());
        }
        if let Some(life) = word.strip_suffix('-') {
            return Step::Deaf(life.parse().expect("a life"));
        }
        let (life, name) = word.split_once([':', '?']).expect("a step");
        Step::Appended {
            life: life.parse().expect("a life"),
            name: name.to_owned(),
            answer: if word.contains(':') {
                Answer::Told
            } else {
                Answer::Lost
            },
        }
    };
    let steps: Vec<Step> = history.split_whitespace().map(step).collect();
    judge_published(&rows(), &steps, 3)
}

#[track_caller]
fn assert_fine(history: &str) -> Verdict {
    let verdict = verdict(history);
    assert!(verdict.is_fine(), "{verdict}");
    verdict
}

#[track_caller]
fn assert_seen(problem: &str, history: &str) {
    let verdict = verdict(history);
    let mut found = verdict.problems.iter().chain(&verdict.unfinished);
    assert!(found.any(|found| found.contains(problem)), "{verdict}");
}

#[test]
fn a_calm_history_is_fine() {
    let verdict = assert_fine("1:1 1:2 1:3 1:4 1:5");
    assert_eq!((verdict.done, verdict.repeated), (5, 0));
}

#[test]
fn keys_have_no_order_between_them() {
    assert_fine("1:5 1:1 1:3 1:4 1:2");
}

#[test]
fn a_row_that_never_came_is_lost() {
    assert_seen("[\"4\"] were not published", "1:1 1:2 1:3 1:5");
}

#[test]
fn a_row_that_was_not_committed_is_a_ghost() {
    assert_seen("9 was not committed", "1:1 1:2 1:9 1:3 1:4 1:5");
}

#[test]
fn a_key_that_is_turned_around_is_seen() {
    assert_seen("3 came first after row 4", "1:1 1:2 1:4 1:3 1:5");
    // A crash is no excuse.
    assert_seen("1 came first after row 3", "1:3 1! 2:1 2:2 2:3 2:4 2:5");
}

#[test]
fn what_a_zombie_sends_again_is_a_copy() {
    let verdict = assert_fine("1:1 1! 2:1 2:2 2:3 2:4 2:5 1:2 1:3");
    assert_eq!(verdict.repeated, 3);
}

#[test]
fn a_zombie_that_is_first_with_a_later_row_is_seen() {
    assert_seen("3 came first after row 4", "1:1 1! 2:1 1:4 2:2 2:3 2:4 2:5");
}

#[test]
fn a_copy_needs_a_reason() {
    assert_seen("1 was repeated by life 1", "1:1 1:1 1:2 1:3 1:4 1:5");
    assert_fine("1?1 1:1 1:2 1:3 1:4 1:5");
    assert_fine("1:1 1! 1:1 1:2 1:3 1:4 1:5");
    assert_seen("1 was repeated by life 1", "1:1 2! 1:1 1:2 1:3 1:4 1:5");
}

#[test]
fn what_a_life_did_not_wait_for_it_was_not_told() {
    assert_fine("1! 1:1 1- 1:1 1:2 1:3 1:4 1:5");
    assert_seen("1 was repeated by life 1", "1! 1:1 2- 1:1 1:2 1:3 1:4 1:5");
    assert_seen("1 copies", "1:1 1- 1:1 1:2 1:3 1:4 1:5");
}

#[test]
fn a_trouble_explains_a_window_of_copies_and_no_more() {
    assert_fine("1:1 1:2 1:3 ! 2:1 2:2 2:3 2:4 2:5");
    let more = "1:1 1:2 1:3 1:4 ! 2:1 2:2 2:3 2:4 2:5";
    assert_seen(
        "4 copies, where 1 troubles and 0 lost answers explain 3",
        more,
    );
}
