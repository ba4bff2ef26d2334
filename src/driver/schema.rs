use crate::error::{Error, Kind};

/// The tables of one module in one kind of database.
#[derive(Debug)]
pub(crate) struct Schema {
    /// The module, e.g. `outbox`; the name of its row in `bowline_schema`.
    pub(crate) module: &'static str,
    /// The steps from an empty database, in order. Step n leads to version n; steps are only ever
    /// added at the end.
    pub(crate) migrations: &'static [&'static str],
}

impl Schema {
    /// The version this build works with.
    pub(crate) fn version(&self) -> i64 {
        i64::try_from(self.migrations.len()).unwrap_or(i64::MAX)
    }

    /// Whether a database of version `found` is one that this build works with.
    ///
    /// # Errors
    ///
    /// [`Kind::Schema`] when it is older or newer.
    #[cfg(feature = "postgres")]
    pub(crate) fn check(
        &self,
        backend: &'static str,
        operation: &'static str,
        found: i64,
    ) -> Result<(), Error> {
        if found == self.version() {
            return Ok(());
        }
        Err(
            Error::new(Kind::Schema, backend, operation).with_detail(format!(
                "schema of {} has version {found}, this build works with {}",
                self.module,
                self.version()
            )),
        )
    }

    /// All steps from an empty database, after `table` has made that of the versions.
    pub(crate) fn sql(&self, table: &str) -> String {
        let mut sql = format!("{table};\n\n");
        for step in self.migrations {
            sql.push_str(step.trim_end().trim_end_matches(';'));
            sql.push_str(";\n\n");
        }
        sql + &format!(
            "INSERT INTO bowline_schema (module, version) VALUES ('{}', {});\n",
            self.module,
            self.version()
        )
    }

    /// The steps that lead from version `from` to this build's.
    ///
    /// # Errors
    ///
    /// [`Kind::Schema`] when the database is newer than this build.
    pub(crate) fn steps(
        &self,
        backend: &'static str,
        from: i64,
    ) -> Result<&'static [&'static str], Error> {
        usize::try_from(from)
            .ok()
            .and_then(|from| self.migrations.get(from..))
            .ok_or_else(|| {
                Error::new(Kind::Schema, backend, "migrate").with_detail(format!(
                    "schema of {} has version {from}, this build knows 0 to {}",
                    self.module,
                    self.version()
                ))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "postgres")]
    fn a_relay_refuses_every_other_version_and_names_both() {
        let schema = Schema {
            module: "outbox",
            migrations: &["a", "b"],
        };
        assert!(schema.check("postgres", "lease", 2).is_ok());
        for other in [0, 1, 3] {
            let error = schema.check("postgres", "lease", other).expect_err("other");
            assert_eq!(error.kind(), Kind::Schema);
            let both = format!("has version {other}, this build works with 2");
            assert!(error.to_string().contains(&both), "{error}");
        }
    }

    #[test]
    fn a_newer_database_is_refused() {
        let schema = Schema {
            module: "outbox",
            migrations: &["a", "b"],
        };
        assert_eq!(schema.steps("sqlite", 0).expect("known"), ["a", "b"]);
        assert_eq!(schema.steps("sqlite", 2).expect("known").len(), 0);
        for unknown in [3, -1] {
            let error = schema.steps("sqlite", unknown).expect_err("unknown");
            assert_eq!(error.kind(), Kind::Schema);
        }
    }
}
