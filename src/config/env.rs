use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{ConfigError, Problems, duration};

/// Reads settings from environment variables that share a prefix, and reports every problem at once.
///
/// A variable that is set but empty counts as not set, and so does an empty file. For each variable `X`, `X_FILE` may name a
/// file that holds the value, as container platforms hand out secrets. Values of [`Secret`]s are
/// never repeated in an error. A variable with the prefix that nothing asked for is a problem too:
/// it is most often a misspelt name.
///
/// ```
/// use bowline::config::Env;
///
/// let mut env = Env::from_pairs("APP", [("APP_PORT", "80a"), ("APP_PROT", "81")]);
/// let port: u16 = env.or("PORT", 8080, "a port, 1 to 65535");
/// let error = env.finish().unwrap_err();
/// assert_eq!(error.problems().len(), 2);
/// # let _ = port;
/// ```
#[derive(Debug)]
pub struct Env {
    prefix: String,
    values: BTreeMap<String, String>,
    problems: Problems,
}

/// A value that is not shown by `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Env {
    /// The variables of this process that start with `prefix` and an underscore.
    #[must_use]
    pub fn prefix(prefix: &str) -> Self {
        let (mut texts, mut others) = (Vec::new(), Vec::new());
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) => texts.push((name, value)),
                Err(_) => others.push(name),
            }
        }
        let mut env = Self::from_pairs(prefix, texts);
        others.retain(|name| name.starts_with(&env.prefix));
        for name in others {
            env.problems.add(name, "not text", "UTF-8");
        }
        env
    }

    /// The given variables, for tests.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        prefix: &str,
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let prefix = format!("{prefix}_");
        let values = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .filter(|(name, value)| name.starts_with(&prefix) && !value.is_empty())
            .collect();
        Self {
            prefix,
            values,
            problems: Problems::default(),
        }
    }

    /// The value of `name`, or `default` when it is not set or not readable; `allowed` says in words
    /// what it may be, for the problem.
    pub fn or<T: FromStr>(&mut self, name: &str, default: T, allowed: &str) -> T {
        self.optional(name, allowed).unwrap_or(default)
    }

    /// The value of `name`, or `None` when it is not set or not readable; `allowed` says in words
    /// what it may be.
    pub fn optional<T: FromStr>(&mut self, name: &str, allowed: &str) -> Option<T> {
        let value = self.take(name)?;
        let parsed = value.parse().ok();
        if parsed.is_none() {
            self.problem(name, format!("{value:?}"), allowed);
        }
        parsed
    }

    /// The value of `name`, which must be set; without it `T`'s default stands in until
    /// [`finish`](Self::finish) reports the problem. `allowed` says in words what it may be.
    pub fn required<T: FromStr + Default>(&mut self, name: &str, allowed: &str) -> T {
        if !self.is_set(name) {
            self.problem(name, "not set", allowed);
        }
        self.optional(name, allowed).unwrap_or_default()
    }

    /// The secret `name`, which must be set.
    pub fn secret(&mut self, name: &str) -> Secret {
        let value = self.take(name);
        if value.is_none() {
            self.problems.add(
                self.full(name),
                "not set",
                "a value, or a file named by _FILE",
            );
        }
        Secret(value.unwrap_or_default())
    }

    /// A duration with its unit, or `default`.
    pub fn duration(&mut self, name: &str, default: Duration) -> Duration {
        let Some(value) = self.take(name) else {
            return default;
        };
        duration::parse(&value).unwrap_or_else(|| {
            self.problems.add(
                self.full(name),
                format!("{value:?}"),
                "a number with ns, us, ms, s, m, h or d",
            );
            default
        })
    }

    /// Adds a problem found by the caller's own check of `name`.
    pub fn problem(&mut self, name: &str, value: impl fmt::Display, allowed: impl Into<String>) {
        self.problems.add(self.full(name), value, allowed);
    }

    /// Whether `name`, or `name_FILE`, is set and not yet taken.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        let full = self.full(name);
        self.values.contains_key(&full) || self.values.contains_key(&format!("{full}_FILE"))
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// All problems at once, variables that nothing asked for among them.
    pub fn finish(mut self) -> Result<(), ConfigError> {
        for name in std::mem::take(&mut self.values).into_keys() {
            self.problems
                .add(name, "set", "only the names this program knows");
        }
        self.problems.into_result()
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let full = self.full(name);
        let file = self.values.remove(&format!("{full}_FILE"));
        let direct = self.values.remove(&full);
        let Some(file) = file else { return direct };
        if direct.is_some() {
            self.problems
                .add(&full, "set together with _FILE", "one of the two");
            return None;
        }
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                let text = text.trim_end_matches(['\r', '\n']);
                (!text.is_empty()).then(|| text.to_owned())
            }
            Err(error) => {
                self.problems.add(
                    format!("{full}_FILE"),
                    file,
                    format!("a readable file ({error})"),
                );
                None
            }
        }
    }
}

impl Secret {
    /// Wraps a secret value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_reported_with_their_names() {
        let pairs = [
            ("T_PORT", "x"),
            ("T_WAIT", "5"),
            ("T_TYPO", "1"),
            ("OTHER", "1"),
            ("T_EMPTY", ""),
        ];
        let mut env = Env::from_pairs("T", pairs);
        assert_eq!(env.or("PORT", 1u16, "a port"), 1);
        assert_eq!(env.duration("WAIT", Duration::ZERO), Duration::ZERO);
        assert_eq!(env.or("EMPTY", 3u8, "a number"), 3);
        assert_eq!(env.required::<String>("NAME", "a name"), "");
        let error = env.finish().expect_err("four problems");
        let fields: Vec<_> = error.problems().iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["T_PORT", "T_WAIT", "T_NAME", "T_TYPO"]);
        assert_eq!(error.problems()[0].allowed, "a port");
    }

    #[test]
    fn a_secret_comes_from_a_file_and_is_never_shown() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("secret");
        std::fs::write(&path, "hunter2\n").expect("written");
        let mut env = Env::from_pairs("T", [("T_KEY_FILE", path.display().to_string())]);
        let secret = env.secret("KEY");
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        env.finish().expect("no problem");

        std::fs::write(&path, "\n").expect("written");
        let mut env = Env::from_pairs("T", [("T_KEY_FILE", path.display().to_string())]);
        assert_eq!(env.secret("KEY").expose(), "");
        let error = env.finish().expect_err("an empty file holds no secret");
        assert_eq!(error.problems()[0].field, "T_KEY");
    }
}
