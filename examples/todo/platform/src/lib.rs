//! todo platform
