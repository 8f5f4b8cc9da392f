//! A store wrapper that hands what this gateway can deliver at once to its dispatcher, in memory.
