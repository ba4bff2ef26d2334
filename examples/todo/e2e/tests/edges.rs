//! Bad input at each edge: a clear answer that names what and why, and nothing half-done.
#![allow(clippy::expect_used, reason = "a test reports by panicking")]

use std::process::{Command, Output};

use todo_e2e::{Client, Cluster, Mode, binary};

const JSON: &str = "application/json";

#[test]
fn every_bad_request_gets_a_problem_document_and_changes_nothing() {
    let cluster = Cluster::start(Mode::Embedded, false);
    let nobody = Client::new(cluster.url());
    let ada = Client::register(cluster.url(), "ada");
    let long = format!(r#"{{"title":"{}"}}"#, "x".repeat(201));
    let huge = format!(r#"{{"title":"{}"}}"#, "x".repeat(2 << 20));
    let cases: [(&str, &str, &str, &str, &[u16]); 16] = [
        ("POST", "/api/tasks", JSON, "{", &[400]),
        ("POST", "/api/tasks", JSON, r#"{"title":7}"#, &[422]),
        (
            "POST",
            "/api/tasks",
            JSON,
            r#"{"title":"a","more":1}"#,
            &[422],
        ),
        ("POST", "/api/tasks", JSON, r#"{"title":"  "}"#, &[422]),
        ("POST", "/api/tasks", JSON, &long, &[422]),
        ("POST", "/api/tasks", JSON, &huge, &[413]),
        (
            "POST",
            "/api/tasks",
            "text/plain",
            r#"{"title":"a"}"#,
            &[415],
        ),
        ("PATCH", "/api/tasks", JSON, "{}", &[405]),
        ("GET", "/api/tasks?after=yesterday", JSON, "", &[422]),
        ("POST", "/api/tasks/not-an-id/complete", JSON, "", &[404]),
        ("GET", "/api/nowhere", JSON, "", &[404]),
        ("GET", "/nowhere", JSON, "", &[404]),
        (
            "POST",
            "/api/users/register",
            JSON,
            r#"{"email":"ada","password":"correct horse"}"#,
            &[422],
        ),
        (
            "POST",
            "/api/users/register",
            JSON,
            r#"{"email":"a@b","password":"short"}"#,
            &[422],
        ),
        (
            "POST",
            "/api/users/register",
            JSON,
            r#"{"email":"ADA@example.org","password":"correct horse"}"#,
            &[409],
        ),
        (
            "POST",
            "/api/users/login",
            JSON,
            r#"{"email":"ada@example.org","password":"wrong horse"}"#,
            &[401],
        ),
    ];
    for (method, path, content_type, body, expected) in cases {
        let body = (!body.is_empty()).then_some(body.as_bytes());
        let headers = [("content-type", content_type)];
        let answer = ada.raw(method, path, body, &headers).expect("an answer");
        assert!(
            expected.contains(&answer.status),
            "{method} {path}: {answer:?}"
        );
        assert!(answer.is_problem(), "{method} {path}: {answer:?}");
    }
    for token in [None, Some("Bearer nonsense"), Some("Basic YTpi")] {
        let headers: Vec<_> = token
            .into_iter()
            .map(|token| ("authorization", token))
            .collect();
        let answer = nobody
            .call("GET", "/api/tasks", None, &headers)
            .expect("an answer");
        assert!(
            answer.status == 401 && answer.is_problem(),
            "{token:?}: {answer:?}"
        );
    }
    let first = ada.create("one", "a key").expect("an answer");
    let other = ada.create("two", "a key").expect("an answer");
    assert_eq!(
        (first.status, other.status),
        (201, 422),
        "a key is for one request"
    );
    let key = "k".repeat(300);
    let answer = ada.create("three", &key).expect("an answer");
    assert!(answer.status == 422 && answer.is_problem(), "{answer:?}");
    assert_eq!(
        ada.all("/api/tasks").len(),
        1,
        "only the good request made a task"
    );
}

#[test]
fn settings_that_cannot_be_used_are_all_named_at_the_start() {
    let output = todo(&[
        ("TODO_LISTEN", "here"),
        ("TODO_LISTN", "x"),
        ("TODO_DEMO", "maybe"),
    ]);
    fails_with(
        &output,
        &["TODO_LISTEN", "TODO_LISTN", "TODO_DEMO", "3 problems"],
    );
}

#[test]
fn a_port_in_use_and_a_folder_that_cannot_be_made_are_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data").display().to_string();
    let output = todo(&[("TODO_LISTEN", &address), ("TODO_DATA", &data)]);
    fails_with(&output, &[&address]);

    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").expect("written");
    let below = file.join("data").display().to_string();
    let output = todo(&[("TODO_LISTEN", "127.0.0.1:0"), ("TODO_DATA", &below)]);
    fails_with(&output, &[&below]);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = folder.path().join("broker.db");
    let text = "this is a letter, not a database; please keep it".repeat(100);
    std::fs::write(&broker, &text).expect("written");
    let data = folder.path().display().to_string();
    let output = todo(&[("TODO_LISTEN", "127.0.0.1:0"), ("TODO_DATA", &data)]);
    fails_with(&output, &["corrupt"]);
    assert_eq!(std::fs::read_to_string(&broker).expect("still there"), text);
}

fn todo(variables: &[(&str, &str)]) -> Output {
    Command::new(binary("todo"))
        .envs(variables.iter().copied())
        .output()
        .expect("the program runs")
}

fn fails_with(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it should not start: {said}");
    assert!(!said.contains("panicked"), "{said}");
    for word in words {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
}
