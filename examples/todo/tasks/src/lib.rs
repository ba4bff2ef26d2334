//! todo tasks
