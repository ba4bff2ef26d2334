//! Who may import whom. The sources are read as text, so that a forbidden import fails whatever
//! the features are.
#![allow(clippy::expect_used, reason = "a test says what it expects")]
#![allow(dead_code, unreachable_pub, reason = "the reader serves two tests")]

mod source;

use std::collections::BTreeSet;

use source::{LEAVES, Source, is_name, sources};

/// Each top-level module, its layer, and what it may import. A name that begins with `layer`
/// stands for all modules of that layer; a module may always import itself.
const TABLE: &[(&str, u8, &[&str])] = &[
    ("classify", 0, &["layer 0"]),
    ("clock", 0, &["layer 0"]),
    ("config", 0, &["layer 0"]),
    ("error", 0, &["layer 0"]),
    // What becomes of a count: nothing, without the feature.
    ("telemetry", 0, &[]),
    // Where the limits count: private, and for no one else to see.
    ("place", 0, &["layer 0"]),
    ("backoff", 1, &["layer 0", "layer 1"]),
    // What retry and hedge, limits and timeouts share.
    ("budget", 1, &["layer 0", "layer 1"]),
    ("deadline", 1, &["layer 0", "layer 1"]),
    ("keyed", 1, &["layer 0", "layer 1"]),
    ("message", 1, &["layer 0", "layer 1"]),
    ("problem", 1, &["layer 0", "layer 1"]),
    ("request", 1, &["layer 0", "layer 1"]),
    ("shutdown", 1, &["layer 0", "layer 1"]),
    // The Tower patterns know nothing of each other.
    ("adaptive", 2, &["layer 0", "layer 1"]),
    ("breaker", 2, &["layer 0", "layer 1"]),
    ("bulkhead", 2, &["layer 0", "layer 1"]),
    ("chaos", 2, &["layer 0", "layer 1"]),
    ("fallback", 2, &["layer 0", "layer 1"]),
    ("hedge", 2, &["layer 0", "layer 1"]),
    ("rate", 2, &["layer 0", "layer 1"]),
    ("retry", 2, &["layer 0", "layer 1"]),
    ("timeout", 2, &["layer 0", "layer 1"]),
    ("broker", 2, &["layer 0", "layer 1"]),
    ("consumer", 3, &["layer 0", "layer 1", "layer 2"]),
    // Its client puts a pipeline before each service.
    (
        "discovery",
        3,
        &["layer 0", "layer 1", "layer 2", "pipeline"],
    ),
    ("pipeline", 3, &["layer 0", "layer 1", "layer 2"]),
    // Knows the error that says another attempt holds the key: not a dead letter.
    ("dlq", 3, &["layer 0", "layer 1", "broker", "idempotency"]),
    // The lifecycle takes the registration back before it drains.
    ("health", 3, &["layer 0", "layer 1", "discovery"]),
    ("idempotency", 3, &["layer 0", "layer 1", "broker"]),
    ("request_reply", 3, &["layer 0", "layer 1", "broker"]),
    ("outbox", 4, &["layer 0", "layer 1", "broker", "dlq"]),
    ("cqrs", 4, &["layer 0", "layer 1", "idempotency"]),
    ("eventstore", 4, &["layer 0", "layer 1", "idempotency"]),
    ("saga", 4, &["layer 0", "layer 1", "idempotency"]),
    // Opens databases and reads drivers' errors, for the driver leaves only.
    ("driver", 5, &["layer 0"]),
    (
        "testkit",
        6,
        &["layer 0", "layer 1", "layer 2", "layer 3", "layer 4"],
    ),
];

const DRIVERS: [&str; 3] = ["rdkafka", "redis", "sqlx"];

#[test]
fn modules_import_only_what_the_table_allows() {
    let sources = sources();
    assert!(sources.len() > 20, "the sources were read");
    let problems: Vec<String> = sources.iter().flat_map(problems).collect();
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn the_check_finds_a_forbidden_import() {
    let cases = [
        (
            "breaker/layer.rs",
            "use crate::retry::Retry;",
            "breaker must not import retry",
        ),
        (
            "error/io.rs",
            "fn f() { crate::message::Id::new() }",
            "error must not import message",
        ),
        (
            "outbox/relay.rs",
            "use crate::{\n    backoff::Backoff,\n    consumer::{Consumer, x::Y},\n};",
            "outbox must not import consumer",
        ),
        (
            "dlq/memory.rs",
            "use super::super::outbox::Entry;",
            "dlq must not import outbox",
        ),
        (
            "outbox/relay.rs",
            "use crate::driver::open;",
            "outbox must not import driver",
        ),
        (
            "outbox/relay.rs",
            "use crate::testkit::Faults;",
            "outbox must not import testkit",
        ),
        (
            "outbox/relay.rs",
            "use crate::dlq::postgres::Row;",
            "outbox must not import the leaf dlq::postgres",
        ),
        (
            "outbox/relay.rs",
            "fn f(pool: &sqlx::PgPool) {}",
            "outbox must not name sqlx",
        ),
        (
            "broker/mod.rs",
            "use redis::Client;",
            "broker must not name redis",
        ),
        (
            "broker/redis/mod.rs",
            "use crate::outbox::Entry;",
            "broker must not import outbox",
        ),
        ("wizard/mod.rs", "", "wizard is not in the table"),
    ];
    for (file, code, expected) in cases {
        let problems = problems(&Source::new(file, code));
        assert_eq!(problems, [format!("{file}: {expected}")], "{code}");
    }
}

#[test]
fn the_check_lets_what_is_allowed_pass() {
    let cases = [
        (
            "consumer/mod.rs",
            "use crate::broker::Subscriber;\nuse crate::{Error, retry};",
        ),
        (
            "outbox/mod.rs",
            "mod redis;\npub use redis::Redis;\npub use self::sqlite::Sqlite;",
        ),
        (
            "outbox/postgres/mod.rs",
            "use sqlx::PgPool;\nuse crate::driver::open;\nuse super::super::Entry;",
        ),
        (
            "driver/postgres.rs",
            "use sqlx::PgPool;\nuse crate::error::Error;",
        ),
        (
            "retry/mod.rs",
            "// use crate::breaker::Breaker;\nconst S: &str = \"crate::breaker::B\";",
        ),
        (
            "retry/mod.rs",
            "#[cfg(test)]\nmod tests { use crate::testkit::Probe; }",
        ),
        ("testkit/outbox.rs", "use crate::outbox::Store;"),
    ];
    for (file, code) in cases {
        let none: [String; 0] = [];
        assert_eq!(problems(&Source::new(file, code)), none, "{code}");
    }
}

#[test]
fn the_table_names_each_module_once_and_points_down() {
    let names: BTreeSet<_> = TABLE.iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), TABLE.len());
    for (name, layer, allowed) in TABLE {
        for other in *allowed {
            let other_layer = other.strip_prefix("layer ").map_or_else(
                || row(other).expect("a module of the table").0,
                |number| number.parse().expect("a number"),
            );
            assert!(other_layer <= *layer, "{name} -> {other} points up");
        }
    }
}

fn problems(source: &Source) -> Vec<String> {
    let Some(top) = source.module.first() else {
        return Vec::new();
    };
    let Some((_, allowed)) = row(top) else {
        return vec![format!("{}: {top} is not in the table", source.file)];
    };
    let imports: BTreeSet<Vec<String>> = imports(source).into_iter().collect();
    let forbidden = imports.iter().filter_map(|path| {
        let [other, rest @ ..] = &path[..] else {
            return None;
        };
        if other == top {
            return None;
        }
        let of_leaf = other == "driver" && source.is_driver_leaf();
        let listed = allowed.contains(&other.as_str())
            || row(other)
                .is_some_and(|(layer, _)| allowed.contains(&format!("layer {layer}").as_str()));
        let leaf = rest.first().filter(|name| LEAVES.contains(&name.as_str()));
        match leaf {
            _ if !listed && !of_leaf => Some(format!("import {other}")),
            Some(leaf) if top != "testkit" && !of_leaf => {
                Some(format!("import the leaf {other}::{leaf}"))
            }
            _ => None,
        }
    });
    let named = DRIVERS
        .iter()
        .filter(|driver| !source.is_driver_leaf() && top != "driver" && names(&source.code, driver))
        .map(|driver| format!("name {driver}"));
    let what: BTreeSet<String> = forbidden.chain(named).collect();
    what.iter()
        .map(|what| format!("{}: {top} must not {what}", source.file))
        .collect()
}

fn row(name: &str) -> Option<(u8, &'static [&'static str])> {
    let row = TABLE.iter().find(|(module, ..)| *module == name)?;
    Some((row.1, row.2))
}

/// Every path from the crate's root that the code names; two segments are enough.
fn imports(source: &Source) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in source.code.match_indices("crate::") {
        if !continues_a_path(&source.code[..at]) {
            read_tree(&source.code[at + "crate::".len()..], &[], &mut found);
        }
    }
    for (at, _) in source.code.match_indices("super::") {
        if continues_a_path(&source.code[..at]) {
            continue;
        }
        let mut rest = &source.code[at..];
        let mut module = &source.module[..];
        while let Some(next) = rest.strip_prefix("super::") {
            rest = next;
            module = module.split_last().map_or(&[], |(_, parent)| parent);
        }
        read_tree(rest, module, &mut found);
    }
    // `crate::Error` and `crate::macro!` live at the root, which belongs to nobody.
    found.retain(|path| path.first().is_some_and(|name| row(name).is_some()));
    found
}

fn read_tree(code: &str, prefix: &[String], found: &mut Vec<Vec<String>>) {
    let code = code.trim_start();
    if let Some(group) = code.strip_prefix('{') {
        for branch in branches(group) {
            read_tree(branch, prefix, found);
        }
        return;
    }
    let end = code.find(|c| !is_name(c)).unwrap_or(code.len());
    let mut path = prefix.to_vec();
    path.push(code[..end].to_owned());
    match code[end..].strip_prefix("::") {
        Some(rest) if path.len() < 2 => read_tree(rest, &path, found),
        _ => found.push(path),
    }
}

/// The parts of a braced group, whose opening brace is already gone.
fn branches(group: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let mut start = 0;
    let mut parts = Vec::new();
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Whether the crate `driver` is named; a local module of that name is not the crate.
fn names(code: &str, driver: &str) -> bool {
    let is_local = code.contains(&format!("mod {driver};"));
    let path = format!("{driver}::");
    let by_path = code.match_indices(&path).any(|(at, _)| {
        let before = &code[..at];
        let from_root = before
            .strip_suffix("::")
            .is_some_and(|b| !b.ends_with(|c| is_name(c) || c == '>'));
        from_root || (!is_local && !continues_a_path(before))
    });
    by_path || (!is_local && code.contains(&format!("use {driver};")))
}

fn continues_a_path(before: &str) -> bool {
    before.ends_with(|c| is_name(c) || c == ':')
}
