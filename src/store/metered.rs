//! A store wrapper that measures every operation.
