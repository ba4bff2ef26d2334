//! The events.

use bowline::message::{Event, Key};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An account was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a contract between services, versioned by its name"
)]
pub struct UserRegistered {
    /// The account.
    pub user: Uuid,
    /// Its e-mail address.
    pub email: String,
    /// What to call the person.
    pub name: String,
}

/// A task was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a contract between services, versioned by its name"
)]
pub struct TaskCreated {
    /// The task.
    pub task: Uuid,
    /// What is to be done.
    pub title: String,
}

/// A task was completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a contract between services, versioned by its name"
)]
pub struct TaskCompleted {
    /// The task.
    pub task: Uuid,
    /// What was to be done.
    pub title: String,
}

/// A task was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a contract between services, versioned by its name"
)]
pub struct TaskDeleted {
    /// The task.
    pub task: Uuid,
    /// What was to be done.
    pub title: String,
}

/// A notification is in the user's inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a contract between services, versioned by its name"
)]
pub struct NotificationSent {
    /// The notification.
    pub notification: Uuid,
    /// Who it is for.
    pub user: Uuid,
    /// The task it is about.
    pub task: Uuid,
    /// One line for a person.
    pub text: String,
}

impl Event for UserRegistered {
    const TYPE: &'static str = "user.registered";

    fn key(&self) -> Option<Key> {
        Some(self.user.into())
    }
}

impl Event for TaskCreated {
    const TYPE: &'static str = "task.created";

    fn key(&self) -> Option<Key> {
        Some(self.task.into())
    }
}

impl Event for TaskCompleted {
    const TYPE: &'static str = "task.completed";

    fn key(&self) -> Option<Key> {
        Some(self.task.into())
    }
}

impl Event for TaskDeleted {
    const TYPE: &'static str = "task.deleted";

    fn key(&self) -> Option<Key> {
        Some(self.task.into())
    }
}

impl Event for NotificationSent {
    const TYPE: &'static str = "notification.sent";

    fn key(&self) -> Option<Key> {
        Some(self.user.into())
    }
}
