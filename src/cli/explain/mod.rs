//! x
mod capture;
mod recorder;
mod rehearsal;
