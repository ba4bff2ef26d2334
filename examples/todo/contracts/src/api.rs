//! The JSON bodies.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The body of a registration.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "a body of the HTTP contract")]
pub struct Registration {
    /// The e-mail address; the name to log in with.
    pub email: String,
    /// 8 to 256 characters.
    pub password: String,
    /// What to call the person; the address when missing.
    #[serde(default)]
    pub name: Option<String>,
    /// What an operator must know to register.
    #[serde(default)]
    pub invitation: Option<String>,
}

/// The body of a log-in.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "a body of the HTTP contract")]
pub struct Credentials {
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: String,
}

/// The answer to a registration or a log-in.
#[derive(Clone, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a body of the HTTP contract")]
pub struct Session {
    /// The bearer token.
    pub token: String,
    /// How many seconds it is good for.
    pub expires_in: u64,
    /// Whose it is.
    pub user: User,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a body of the HTTP contract")]
pub struct User {
    /// Its id.
    pub id: Uuid,
    /// Its e-mail address.
    pub email: String,
    /// What to call the person.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "a body of the HTTP contract")]
pub enum Role {
    /// Use the system.
    User,
    /// Also see and change its operation.
    Operator,
}

/// The body that creates a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "a body of the HTTP contract")]
pub struct NewTask {
    /// What is to be done, 1 to 200 characters.
    pub title: String,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a body of the HTTP contract")]
pub struct Task {
    /// Its id.
    pub id: Uuid,
    /// What is to be done.
    pub title: String,
    /// Whether it is done.
    pub completed: bool,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was completed.
    pub completed_at: Option<DateTime<Utc>>,
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a body of the HTTP contract")]
pub struct Notification {
    /// Its id.
    pub id: Uuid,
    /// The task it is about.
    pub task: Uuid,
    /// The type of the event behind it, e.g. `task.created`.
    pub event: String,
    /// One line for a person.
    pub text: String,
    /// The trace that led to it.
    pub trace_id: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Whether the person has seen it.
    pub read: bool,
}

/// One page of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a body of the HTTP contract")]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page starts, for `?after=`; missing on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Shows everything but the password.
impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration")
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

/// Shows everything but the password.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

/// Shows everything but the token.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
