//! todo notifications
