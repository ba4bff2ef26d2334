//! What the documentation must say. The sources are read as text, so that a section is missed
//! whatever the features are.
#![allow(clippy::expect_used, reason = "a test says what it expects")]
#![allow(dead_code, unreachable_pub, reason = "the reader serves several tests")]

mod source;

use source::{Source, is_name, sources};

const CANCEL_SAFETY: &str = "# Cancel safety";
const ERRORS: &str = "# Errors";

const DECIDES: &str = "# How it decides";
const NOT_TO_USE: &str = "# When not to use it";
const STACK: &str = "# Order in a stack";
const GUARANTEES: &str = "# Guarantees";
const SHARED: &str = "# State shared between clones";
const DEFAULTS: &str = "# Defaults";
const TELEMETRY: &str = "# Telemetry";
const EXAMPLES: &str = "# Examples";

/// The order in which a module's sections stand; others may stand between them.
const ORDER: [&str; 8] = [
    DECIDES, NOT_TO_USE, STACK, GUARANTEES, SHARED, DEFAULTS, TELEMETRY, EXAMPLES,
];

/// What a module has to say besides [`NOT_TO_USE`] and [`EXAMPLES`], which all of them have.
fn sections_of(module: &str) -> &'static [&'static str] {
    match module {
        "adaptive" | "breaker" | "bulkhead" | "chaos" | "fallback" | "hedge" | "rate" | "retry"
        | "timeout" => &[DECIDES, STACK, SHARED, DEFAULTS, TELEMETRY],
        "consumer" | "dlq" | "idempotency" => &[DECIDES, STACK, GUARANTEES, DEFAULTS, TELEMETRY],
        "broker" | "discovery" | "health" | "outbox" | "request_reply" => {
            &[DECIDES, GUARANTEES, DEFAULTS, TELEMETRY]
        }
        "message" => &[DECIDES, GUARANTEES, DEFAULTS],
        _ => &[],
    }
}

#[test]
fn every_public_async_function_says_what_a_dropped_call_leaves_behind() {
    let sources = documented();
    let functions: usize = sources.iter().map(|source| functions(source).len()).sum();
    assert!(functions > 50, "the sources were read: {functions}");
    let problems: Vec<String> = sources.iter().flat_map(function_problems).collect();
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn every_public_module_has_the_sections_of_its_kind() {
    let sources = documented();
    let root = sources.iter().find(|source| source.module.is_empty());
    let modules = public_modules(root.expect("lib.rs"));
    assert!(modules.len() > 10, "the sources were read: {modules:?}");
    let problems: Vec<String> = modules
        .iter()
        .flat_map(|module| {
            let path = [module.clone()];
            let source = sources.iter().find(|source| source.module == path);
            module_problems(source.expect("the module's file"))
        })
        .collect();
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn the_check_finds_a_function_without_its_sections() {
    let free = "/// Goes.\npub async fn go() {}";
    let method = "impl A {\n    /// Goes.\n    #[must_use]\n    pub async fn go(\n        &self,\n    ) -> Result<(), Error> {";
    let future =
        "pub trait Port {\n    /// Goes.\n    fn go(&self) -> impl Future<Output = ()> + Send;\n}";
    let in_trait =
        "pub trait Port {\n    /// # Cancel safety\n    async fn go(&self) -> io::Result<()>;\n}";
    let returned = "/// Goes.\npub fn go() -> impl Future<Output = Result<u8, E>> {";
    let bounded = "/// # Cancel safety\npub async fn go<F>(f: F) -> Result<(), E>\nwhere\n    F: Fn(u8) -> u8,\n{";
    let cases: [(&str, &[&str]); 6] = [
        (bounded, &["a.rs:2: go has no # Errors"]),
        (free, &["a.rs:2: go has no # Cancel safety"]),
        (
            method,
            &[
                "a.rs:4: go has no # Cancel safety",
                "a.rs:4: go has no # Errors",
            ],
        ),
        (future, &["a.rs:3: go has no # Cancel safety"]),
        (in_trait, &["a.rs:3: go has no # Errors"]),
        (
            returned,
            &[
                "a.rs:2: go has no # Cancel safety",
                "a.rs:2: go has no # Errors",
            ],
        ),
    ];
    for (code, expected) in cases {
        let problems = function_problems(&Source::new("a.rs", code));
        assert_eq!(problems, expected, "{code}");
    }
}

#[test]
fn the_check_lets_what_is_documented_or_private_pass() {
    let cases = [
        "/// Goes.\n///\n/// # Errors\n///\n/// # Cancel safety\n#[cfg(\n    unix\n)]\npub async fn go() -> Result<(), E> {}",
        "pub(crate) async fn go() {}\nasync fn go() {}\nfn go() -> impl Future<Output = ()> {}",
        "trait Port {\n    async fn go();\n}\nimpl Port for A {\n    async fn go() {}\n}",
        "pub trait Port {\n    fn go(&self);\n}\nimpl Port for A {\n    async fn go() {}\n}",
        "pub fn go(work: impl Future<Output = ()>) -> Result<(), E> {}",
        "/// ```\n/// pub async fn go() {}\n/// ```\npub fn go() {}",
    ];
    for code in cases {
        let none: [String; 0] = [];
        let problems = function_problems(&Source::new("a.rs", code));
        assert_eq!(problems, none, "{code}");
    }
}

#[test]
fn the_check_finds_a_module_without_its_sections() {
    let all = "//! Waits.\n//!\n//! # When not to use it\n//!\n//! # Examples\n";
    let none: [String; 0] = [];
    assert_eq!(module_problems(&Source::new("clock.rs", all)), none);
    let problems = module_problems(&Source::new("clock.rs", "//! Tells the time.\n"));
    let expected = [
        "clock.rs: no # When not to use it",
        "clock.rs: no # Examples",
    ];
    assert_eq!(problems, expected);
    let problems = module_problems(&Source::new("message/mod.rs", all));
    let expected = [
        "message/mod.rs: no # How it decides",
        "message/mod.rs: no # Guarantees",
        "message/mod.rs: no # Defaults",
    ];
    assert_eq!(problems, expected);
    let turned = "//! Waits.\n//!\n//! # Examples\n//!\n//! # When not to use it\n";
    let problems = module_problems(&Source::new("clock.rs", turned));
    assert_eq!(
        problems,
        ["clock.rs: # When not to use it stands after # Examples"]
    );
    let lib = Source::new(
        "lib.rs",
        "pub mod a;\nmod b;\n#[cfg(x)]\npub mod c;\npub use a::A;",
    );
    assert_eq!(public_modules(&lib), ["a", "c"]);
}

/// The files whose documentation a user reads; suites for tests are read as code.
fn documented() -> Vec<Source> {
    let mut sources = sources();
    sources.retain(|source| source.module.first().is_none_or(|top| top != "testkit"));
    sources
}

/// A function that a user can call and has to await.
#[derive(Debug)]
struct Function {
    name: String,
    /// From 1.
    line: usize,
    fails: bool,
    docs: Vec<String>,
}

fn function_problems(source: &Source) -> Vec<String> {
    let missing = |function: &Function| {
        let wanted = [(CANCEL_SAFETY, true), (ERRORS, function.fails)];
        let missing = wanted.iter().filter(|(section, is_wanted)| {
            *is_wanted && !function.docs.iter().any(|line| line == section)
        });
        let (file, line, name) = (&source.file, function.line, &function.name);
        missing
            .map(|(section, _)| format!("{file}:{line}: {name} has no {section}"))
            .collect::<Vec<_>>()
    };
    functions(source).iter().flat_map(missing).collect()
}

/// Reads line by line, as rustfmt writes them.
fn functions(source: &Source) -> Vec<Function> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    let mut docs = Vec::new();
    let mut in_public_trait = false;
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let code = line.trim_start();
        if line.starts_with("pub trait ") {
            in_public_trait = true;
        } else if *line == "}" {
            in_public_trait = false;
        }
        if let Some(doc) = code.strip_prefix("///") {
            docs.push(doc.trim().to_owned());
        } else if code.starts_with("#[") {
            // An attribute may take several lines, and the docs before it stay.
            while lines.get(at).is_some_and(|line| !line.ends_with(']')) {
                at += 1;
            }
        } else {
            let docs = std::mem::take(&mut docs);
            let is_reachable = code.starts_with("pub ") || in_public_trait;
            let item = code.strip_prefix("pub ").unwrap_or(code);
            if is_reachable && (item.starts_with("fn ") || item.starts_with("async fn ")) {
                let signature = signature(&lines[at..]);
                found.extend(awaited(&signature).map(|(name, fails)| Function {
                    name,
                    line: at + 1,
                    fails,
                    docs,
                }));
            }
        }
        at += 1;
    }
    found
}

/// A function's head in one line.
fn signature(lines: &[&str]) -> String {
    let mut signature = String::new();
    for line in lines {
        signature.push_str(line.trim());
        signature.push(' ');
        if line.ends_with(['{', ';', '}']) {
            break;
        }
    }
    signature
}

/// The name of a function that has to be awaited, and whether it can fail.
fn awaited(signature: &str) -> Option<(String, bool)> {
    let (before, after) = signature.split_once("fn ")?;
    let name: String = after.chars().take_while(|c| is_name(*c)).collect();
    let returns = after_arguments(after).trim_start();
    let returns = returns.strip_prefix("-> ").unwrap_or_default();
    let output = if before.ends_with("async ") {
        returns
    } else {
        returns.strip_prefix("impl Future<Output = ")?
    };
    let fails = output.starts_with("Result<") || output.starts_with("io::Result<");
    Some((name, fails))
}

/// What follows the list of arguments, which may hold parentheses of its own.
fn after_arguments(head: &str) -> &str {
    let mut depth = 0_usize;
    for (at, c) in head.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return &head[at + 1..],
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    ""
}

fn module_problems(source: &Source) -> Vec<String> {
    let docs = source
        .text
        .lines()
        .map_while(|line| line.strip_prefix("//!"));
    let headings: Vec<&str> = docs
        .map(str::trim)
        .filter(|line| ORDER.contains(line))
        .collect();
    let file = &source.file;
    let name = source.module.first().map_or("", String::as_str);
    let mut wanted = vec![NOT_TO_USE, EXAMPLES];
    wanted.extend(sections_of(name));
    let place = |section: &str| ORDER.iter().position(|known| *known == section);
    wanted.sort_by_key(|section| place(section));
    let missing = wanted
        .iter()
        .filter(|section| !headings.contains(section))
        .map(|section| format!("{file}: no {section}"));
    let turned = headings
        .windows(2)
        .filter(|pair| place(pair[0]) > place(pair[1]))
        .map(|pair| format!("{file}: {} stands after {}", pair[1], pair[0]));
    missing.chain(turned).collect()
}

/// The modules that `lib.rs` makes public, but for the suites for tests.
fn public_modules(root: &Source) -> Vec<String> {
    let names = root.text.lines().filter_map(|line| {
        let name = line.strip_prefix("pub mod ")?.strip_suffix(';')?;
        (name != "testkit").then(|| name.to_owned())
    });
    names.collect()
}
