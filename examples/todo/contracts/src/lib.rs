//! What the todo services say to each other and to the page: events, topics, names and JSON bodies.
//!
//! The names on the wire are part of the contract; the Rust names are not.

pub mod api;
pub mod events;
pub mod ops;

/// The services' names in the registry and in paths.
pub mod services {
    /// The gateway.
    pub const GATEWAY: &str = "gateway";
    /// Notifications.
    pub const NOTIFICATIONS: &str = "notifications";
    /// Tasks.
    pub const TASKS: &str = "tasks";
    /// Users.
    pub const USERS: &str = "users";
}

/// The topics; each is written by the service of the same name alone.
pub mod topics {
    /// What became of notifications; key: the user's id.
    pub const NOTIFICATIONS: &str = "notifications";
    /// What became of tasks; key: the task's id.
    pub const TASKS: &str = "tasks";
    /// What became of accounts; key: the user's id.
    pub const USERS: &str = "users";
    /// All of them.
    pub const ALL: [&str; 3] = [NOTIFICATIONS, TASKS, USERS];
    /// How many partitions each has.
    pub const PARTITIONS: std::num::NonZeroU32 = std::num::NonZeroU32::new(3).unwrap();
}
