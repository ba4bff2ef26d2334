use std::error::Error as StdError;
use std::fmt;
use std::io;

/// Why a server could not be started or steered: what was tried, and the end of the server's log.
pub struct Error {
    message: String,
    log: String,
    exited: bool,
}

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            log: String::new(),
            exited: false,
        }
    }

    pub(crate) fn io(doing: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(format!("{doing}: {error}"))
    }

    pub(crate) fn with_log(mut self, log: String) -> Self {
        self.log = log;
        self
    }

    /// Marks that the server ended while it was starting: another port may help.
    pub(crate) fn exited(mut self) -> Self {
        self.exited = true;
        self
    }

    pub(crate) fn has_exited(&self) -> bool {
        self.exited
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.log.is_empty() {
            write!(f, "\n--- end of its log ---\n{}", self.log.trim_end())?;
        }
        Ok(())
    }
}

/// The same text as `Display`, so that `expect` in a test prints the log line by line.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {}
