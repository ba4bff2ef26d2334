//! Bad input at each edge: a clear answer that names what and why, and nothing half-done.
#![allow(clippy::expect_used, reason = "a test reports by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use todo_e2e::{Client, Cluster, Mode, Process, binary};

const JSON: &str = "application/json";

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn every_bad_request_gets_a_problem_document_and_changes_nothing() {
    let cluster = Cluster::start(Mode::Embedded, false);
    let nobody = Client::new(cluster.url());
    let ada = Client::register(cluster.url(), "ada");
    let long = format!(r#"{{"title":"{}"}}"#, "x".repeat(201));
    let huge = format!(r#"{{"title":"{}"}}"#, "x".repeat(2 << 20));
    let cases: [(&str, &str, &str, &str, &[u16]); 17] = [
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
        (
            "POST",
            "/api/tasks",
            JSON,
            r#"{"title":"a\u0000b"}"#,
            &[422],
        ),
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
fn a_broker_that_cannot_be_used_is_named_and_its_password_is_not() {
    let cases: [(&str, &[&str]); 5] = [
        (
            "amqp://me:hunter2@mq:5672",
            &["\"amqp://mq:5672\"", "embedded, redis://"],
        ),
        (
            "redis://me:hunter2@host:port",
            &["\"redis://host:port\"", "rediss://host:port"],
        ),
        (
            "kafka://mq?acks=1&sasl.password=hunter2",
            &["properties.acks", "host:port", "2 problems"],
        ),
        (
            "kafka://mq:1?sasl.pasword=hunter2",
            &["cannot be used", "sasl.pasword"],
        ),
        // Nobody listens at this port, as it was free a moment ago.
        (&free("redis://me:hunter2@"), &["cannot be used", "connect"]),
    ];
    for (url, words) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data").display().to_string();
        let variables = [("TODO_DATA", &*data), ("TODO_LISTEN", "127.0.0.1:0")];
        let output = todo(&[&variables[..], &[("TODO_BROKER", url)]].concat());
        fails_with(&output, words);
        fails_with(&output, &["TODO_BROKER"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("hunter2"), "{said}");
    }
    let output = Command::new(binary("todo-tasks")).output();
    let output = output.expect("the program runs");
    fails_with(
        &output,
        &["TODO_BROKER is not set", "TODO_REDIS is not set"],
    );
}

/// `before` and an address at which nobody listens.
fn free(before: &str) -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("{before}{}", port.local_addr().expect("its address"))
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

/// Its own data is made first, and then marked as that of a later version.
#[test]
fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let name = data.display().to_string();
    let variables = [("TODO_LISTEN", "127.0.0.1:0"), ("TODO_DATA", &*name)];
    assert!(running(&variables).terminate().success());
    for file in ["broker.db", "tasks.db"] {
        let file = data.join(file);
        let before = std::fs::read(&file).expect("made");
        newer(&file, "bowline_schema SET version = version + 100");
        let output = todo(&variables);
        fails_with(&output, &["version 101", "knows 0 to 1"]);
        newer(&file, "bowline_schema SET version = version - 100");
        let after = std::fs::read(&file).expect("still there");
        assert_eq!(before.len(), after.len(), "{} was written", file.display());
    }
    assert!(running(&variables).terminate().success());
}

#[test]
fn a_folder_that_may_not_be_written_or_is_in_use_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let name = data.display().to_string();
    let variables = [("TODO_LISTEN", "127.0.0.1:0"), ("TODO_DATA", &*name)];
    let running = running(&variables);
    let output = todo(&variables);
    fails_with(&output, &[&name, "used by another todo"]);
    assert!(running.terminate().success());

    set_mode(&data, 0o555);
    set_mode(folder.path(), 0o755);
    let output = unprivileged(&variables);
    fails_with(&output, &[&name, "cannot be written"]);
    set_mode(&data, 0o755);
}

#[test]
fn a_system_that_others_can_reach_names_its_operators() {
    let output = todo(&[("TODO_LISTEN", "0.0.0.0:0")]);
    fails_with(&output, &["TODO_OPERATORS", "not set"]);
    let output = todo(&[("TODO_LOG", "a=b=c")]);
    fails_with(&output, &["TODO_LOG", "a=b=c"]);
}

fn running(variables: &[(&str, &str)]) -> Process {
    let owned = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Process::start("todo", &[], &owned.collect::<Vec<_>>())
}

fn newer(file: &Path, update: &str) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(async {
            let options = SqliteConnectOptions::new().filename(file);
            let mut database = options.connect().await.expect("opened");
            let update = sqlx::AssertSqlSafe(format!("UPDATE {update}"));
            let done = sqlx::query(update).execute(&mut database).await;
            done.expect("updated");
            database.close().await.expect("closed");
        });
}

fn set_mode(path: &Path, mode: u32) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(path, mode).expect("set");
}

/// As `todo`, for somebody whom modes hold back: root is not held back by any.
fn unprivileged(variables: &[(&str, &str)]) -> Output {
    const NOBODY: u32 = 65_534;
    let program = tempfile::tempdir().expect("a folder");
    set_mode(program.path(), 0o755);
    let copy = program.path().join("todo");
    std::fs::copy(binary("todo"), &copy).expect("copied to where everybody may read");
    let mut command = Command::new(&copy);
    command.current_dir(program.path());
    let root = Command::new("id").arg("-u").output().expect("id runs");
    if root.stdout == b"0\n" {
        std::os::unix::process::CommandExt::uid(&mut command, NOBODY);
    }
    let output = command.envs(variables.iter().copied()).output();
    output.expect("the program runs")
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
