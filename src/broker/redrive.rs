/// Header of a redriven record: only the consumer group it names handles the record.
pub const REDRIVE_GROUP: &str = "bowline-redrive-group";

/// Header of a redriven record: how often the letter has been redriven, as a decimal number.
pub const REDRIVE_COUNT: &str = "bowline-redrive-count";

/// Header of a redriven record: where the record of the letter stands in the topic, as
/// `partition@offset`.
pub const REDRIVE_ORIGIN: &str = "bowline-redrive-origin";
