/// Header of a redriven record: only the consumer group it names handles the record.
pub const REDRIVE_GROUP: &str = "bowline-redrive-group";

/// Header of a redriven record: how often the letter has been redriven, as a decimal number.
pub const REDRIVE_COUNT: &str = "bowline-redrive-count";

/// Header of a redriven record: where the record of the letter stands in the topic, as
/// `partition@offset`.
pub const REDRIVE_ORIGIN: &str = "bowline-redrive-origin";

/// Header of a record in a retry topic: how many attempts there were before it, as a decimal number.
pub const RETRY_ATTEMPT: &str = "bowline-retry-attempt";

/// Header of a record: it is not to be handled before this time, in milliseconds since 1970.
pub const RETRY_DUE: &str = "bowline-retry-due";

/// Header of a record in a retry topic: where it stood first, as `topic/partition@offset`.
pub const RETRY_ORIGIN: &str = "bowline-retry-origin";

/// Header of a record that has headers whose names are not UTF-8: how many, as a decimal number. They
/// cannot be shown; such a record is no message.
pub const UNREADABLE_HEADERS: &str = "bowline-unreadable-headers";
