//! The command line, as people and scripts use it.

mod check;
mod demo;
mod program;
mod send;
mod start;
