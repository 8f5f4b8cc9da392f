//! The presets: what `provider = "…"` stands for. Data, one table.
