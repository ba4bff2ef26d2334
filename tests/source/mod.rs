//! Reads the crate's sources for the tests that judge their structure.

use std::fs;
use std::path::{Path, PathBuf};

/// One file below `src/`.
#[derive(Debug)]
pub struct Source {
    /// Path below `src/`.
    pub file: String,
    /// Module path from the crate's root: `["outbox", "postgres"]`; empty for `lib.rs`.
    pub module: Vec<String>,
    /// The code without comments, literals' contents and test modules.
    pub code: String,
    /// The file as it is.
    pub text: String,
}

/// Names of the modules that may name a driver.
pub const LEAVES: [&str; 4] = ["kafka", "postgres", "redis", "sqlite"];

/// Every file of the crate that is not a test of it.
pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    files
        .iter()
        .map(|path| {
            let file = path.strip_prefix(&root).expect("below src").display();
            let text = fs::read_to_string(path).expect("readable");
            Source::new(&file.to_string(), &text)
        })
        .filter(|source| !source.is_test())
        .collect()
}

impl Source {
    pub fn new(file: &str, text: &str) -> Self {
        let module = file.strip_suffix(".rs").unwrap_or(file).split('/');
        let mut module: Vec<String> = module.map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
            module.pop();
        }
        Self {
            file: file.to_owned(),
            module,
            code: without_tests(&without_text(text)),
            text: text.to_owned(),
        }
    }

    /// Whether the file belongs to a back-end that names its driver.
    pub fn is_driver_leaf(&self) -> bool {
        let below_top = self.module.iter().skip(1);
        below_top
            .into_iter()
            .any(|name| LEAVES.contains(&name.as_str()))
    }

    fn is_test(&self) -> bool {
        let names = ["tests", "loom_tests"];
        self.module
            .iter()
            .any(|name| names.contains(&name.as_str()))
    }
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Drops comments and what stands inside string and character literals; keeps line breaks.
fn without_text(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(end) = raw_string(rest, out.chars().next_back()) {
            out.push_str("\"\"");
            end
        } else if first == '"' {
            out.push_str("\"\"");
            string(rest)
        } else if let Some(end) = character(rest) {
            out.push_str("' '");
            end
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        out.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
        rest = &rest[skipped..];
    }
    out
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    let closing = rest.char_indices().skip(1).find(|(_, c)| {
        let closes = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        closes
    });
    closing.map_or(rest.len(), |(at, _)| at + 1)
}

fn raw_string(rest: &str, before: Option<char>) -> Option<usize> {
    if before.is_some_and(is_name) {
        return None;
    }
    let body = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let open = rest.len() - body.len() + hashes;
    rest[open..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = rest[open + 1..].find(&close)?;
    Some(open + 1 + end + close.len())
}

/// The length of a character literal; `None` for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let mut characters = inner.char_indices();
    let (_, first) = characters.next()?;
    if first == '\\' {
        let close = inner.get(2..)?.find('\'')?;
        return Some(close + 4);
    }
    let (at, second) = characters.next()?;
    (second == '\'').then_some(at + 2)
}

/// Drops what follows `#[cfg(test)]` up to the end of the item it stands before.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        rest = &rest[item_end(rest)..];
    }
    out + rest
}

fn item_end(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Whether `c` can stand in a name.
pub fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
