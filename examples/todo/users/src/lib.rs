//! todo users
