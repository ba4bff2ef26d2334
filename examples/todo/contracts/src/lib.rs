//! todo contracts
