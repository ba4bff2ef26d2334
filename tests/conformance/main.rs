//! Every suite of `bowline::testkit` on every back-end.

mod discovery;
