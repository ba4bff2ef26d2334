//! todo gateway
