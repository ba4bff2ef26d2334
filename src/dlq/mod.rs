//! dlq.
