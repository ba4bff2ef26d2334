//! The public names of the crate, so that a change of the API shows in review.
//!
//! `UPDATE_PUBLIC_API=1 cargo test --test public_api` writes the snapshot anew.
#![allow(clippy::expect_used, reason = "a test says what it expects")]
#![allow(dead_code, unreachable_pub, reason = "the reader serves two tests")]

mod source;

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use source::{Source, is_name, sources};

const SNAPSHOT: &str = "tests/public_api.txt";
const DRIVERS: [&str; 3] = ["rdkafka::", "redis::", "sqlx::"];

#[test]
fn the_public_names_are_those_of_the_snapshot() {
    let mut lines: Vec<String> = sources().iter().flat_map(public_names).collect();
    lines.sort();
    lines.dedup();
    let now = lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").expect("a string grows");
        text
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SNAPSHOT);
    if env::var_os("UPDATE_PUBLIC_API").is_some() {
        fs::write(&path, &now).expect("written");
    }
    let before = fs::read_to_string(&path).expect("the snapshot is there");
    let added = lines
        .iter()
        .filter(|line| !before.lines().any(|b| b == *line))
        .map(|line| format!("+ {line}"));
    let gone = before
        .lines()
        .filter(|b| !lines.iter().any(|line| line == b))
        .map(|b| format!("- {b}"));
    let changes: Vec<String> = added.chain(gone).collect();
    assert!(
        changes.is_empty(),
        "the public API changed:\n{}\nUPDATE_PUBLIC_API=1 cargo test --test public_api accepts it",
        changes.join("\n")
    );
}

#[test]
fn no_signature_outside_a_driver_leaf_names_a_driver() {
    let problems: Vec<String> = sources()
        .iter()
        .filter(|source| !source.is_driver_leaf())
        .flat_map(driver_signatures)
        .collect();
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn the_scanner_sees_items_methods_variants_and_re_exports() {
    let code = "pub use entry::{Entry, Id};\n\
        pub(crate) fn hidden() {}\n\
        pub struct Relay<S> {\n    pub batch: usize,\n    store: S,\n}\n\
        impl<S: Store> Relay<S> {\n    pub async fn run(self) {\n    }\n    fn private(&self) {\n    }\n}\n\
        pub enum Order {\n    Key,\n    None { since: u8 },\n}\n\
        pub trait Store: Send {\n    type Tx;\n    fn claim(&self) -> Vec<Entry>;\n}\n\
        impl fmt::Debug for Order {\n    fn fmt(&self) {\n    }\n}\n";
    let names = public_names(&Source::new("outbox/relay.rs", code));
    assert_eq!(
        names,
        [
            "outbox::relay use entry::{Entry, Id}",
            "outbox::relay struct Relay",
            "outbox::relay field Relay.batch",
            "outbox::relay fn Relay::run",
            "outbox::relay enum Order",
            "outbox::relay variant Order::Key",
            "outbox::relay variant Order::None",
            "outbox::relay trait Store",
            "outbox::relay type Store::Tx",
            "outbox::relay fn Store::claim",
        ]
    );
}

#[test]
fn the_scanner_sees_a_driver_in_a_signature() {
    let code = "pub fn open(\n    pool: sqlx::PgPool,\n) -> u8 {\n    0\n}\npub fn fine() {\n}\n";
    let found = driver_signatures(&Source::new("outbox/mod.rs", code));
    assert_eq!(
        found,
        ["outbox/mod.rs: `pub fn open( pool: sqlx::PgPool, ) -> u8` names a driver"]
    );
}

/// The item whose body is being read.
enum Owner {
    Impl(String),
    Trait(String),
    Enum(String),
    Struct(String),
}

/// Relies on rustfmt: items begin in column 0, members in column 4, a body ends with `}` in
/// column 0.
fn public_names(source: &Source) -> Vec<String> {
    let module = if source.module.is_empty() {
        "crate".to_owned()
    } else {
        source.module.join("::")
    };
    let mut owner = None;
    let mut names = Vec::new();
    let statements = joined_uses(&source.code);
    for line in statements.lines() {
        let name = if line.starts_with('}') {
            owner = None;
            None
        } else if let Some(member) = line.strip_prefix("    ").filter(|m| !m.starts_with(' ')) {
            owner.as_ref().and_then(|owner| member_name(owner, member))
        } else {
            let item = item_name(line);
            // Deeper lines belong to the member they are in.
            if line.ends_with('{') && !line.starts_with(' ') {
                owner = owner_of(line);
            }
            item
        };
        names.extend(name.map(|name| format!("{module} {name}")));
    }
    names
}

fn item_name(line: &str) -> Option<String> {
    let item = line.strip_prefix("pub ")?;
    if let Some(path) = item.strip_prefix("use ") {
        return Some(format!("use {}", path.trim_end_matches(';')));
    }
    let (kind, name) = kind_and_name(item)?;
    Some(format!("{kind} {name}"))
}

fn member_name(owner: &Owner, member: &str) -> Option<String> {
    let public = member.strip_prefix("pub ");
    match owner {
        Owner::Impl(of) => {
            let (kind, name) = kind_and_name(public?)?;
            Some(format!("{kind} {of}::{name}"))
        }
        Owner::Trait(of) => {
            let (kind, name) = kind_and_name(member)?;
            Some(format!("{kind} {of}::{name}"))
        }
        Owner::Enum(of) => {
            let name = leading_name(member);
            (!name.is_empty()).then(|| format!("variant {of}::{name}"))
        }
        Owner::Struct(of) => Some(format!("field {of}.{}", leading_name(public?))),
    }
}

fn owner_of(line: &str) -> Option<Owner> {
    if line.starts_with("impl") {
        let is_of_trait = line.contains(" for ");
        let head = line.trim_start_matches("impl");
        return (!is_of_trait).then(|| Owner::Impl(leading_name(after_generics(head)).to_owned()));
    }
    let (kind, name) = kind_and_name(line.strip_prefix("pub ")?)?;
    let name = name.to_owned();
    match kind {
        "enum" => Some(Owner::Enum(name)),
        "struct" => Some(Owner::Struct(name)),
        "trait" => Some(Owner::Trait(name)),
        _ => None,
    }
}

/// `("fn", "run")` from `async fn run(self)`.
fn kind_and_name(item: &str) -> Option<(&'static str, &str)> {
    let qualifiers = ["async ", "unsafe ", "extern ", "const fn "];
    let mut item = item;
    while let Some(qualifier) = qualifiers.iter().find(|q| item.starts_with(**q)) {
        item = item[qualifier.len()..].trim_start();
        if *qualifier == "const fn " {
            return Some(("fn", leading_name(item)));
        }
    }
    [
        "fn", "struct", "enum", "trait", "type", "const", "static", "mod", "union",
    ]
    .into_iter()
    .find_map(|kind| {
        let name = leading_name(item.strip_prefix(kind)?.strip_prefix(' ')?);
        (!name.is_empty()).then_some((kind, name))
    })
}

fn leading_name(text: &str) -> &str {
    let text = text.trim_start();
    &text[..text.find(|c| !is_name(c)).unwrap_or(text.len())]
}

/// What follows `<...>`, if the text begins with it.
fn after_generics(text: &str) -> &str {
    let Some(generics) = text.strip_prefix('<') else {
        return text;
    };
    let mut depth = 1_usize;
    let mut before = ' ';
    for (at, c) in generics.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if before != '-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &generics[at + 1..];
        }
        before = c;
    }
    ""
}

/// Puts each `pub use` on one line.
fn joined_uses(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("pub use ") {
        let end = rest[start..]
            .find(';')
            .map_or(rest.len(), |end| start + end + 1);
        out.push_str(&rest[..start]);
        let joined = rest[start..end]
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        out.push_str(&joined.replace("{ ", "{").replace(", }", "}"));
        rest = &rest[end..];
    }
    out + rest
}

fn driver_signatures(source: &Source) -> Vec<String> {
    let code = &source.code;
    let is_local = |driver: &str| code.contains(&format!("mod {};", driver.trim_end_matches(':')));
    code.match_indices("pub ")
        .filter(|(at, _)| !code[..*at].ends_with(is_name))
        .map(|(at, _)| {
            let rest = &code[at..];
            let signature = &rest[..rest.find(['{', ';', '=']).unwrap_or(rest.len())];
            signature.split_whitespace().collect::<Vec<_>>().join(" ")
        })
        .filter(|signature| {
            DRIVERS.iter().any(|driver| {
                !is_local(driver)
                    && signature
                        .match_indices(driver)
                        .any(|(at, _)| !signature[..at].ends_with(is_name))
            })
        })
        .map(|signature| format!("{}: `{signature}` names a driver", source.file))
        .collect()
}
