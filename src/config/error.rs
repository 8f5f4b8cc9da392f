//! What is wrong with a configuration: every fault, each with its place.

use std::fmt;

/// One thing that is wrong, and where.
///
/// Shown as `routes.toml:12:11: targets.crm.timeout: found "10 parsecs", expected a duration such as "10s"`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// The file as the operator named it.
    pub file: String,
    /// From 1; 0 when the fault is about the file as a whole.
    pub line: usize,
    /// From 1, in characters; 0 when the fault is about the file as a whole.
    pub column: usize,
    /// The key path, e.g. `routes.github.secrets[0].env`; empty for a fault of syntax.
    pub key: String,
    /// What stands there; `None`: nothing does. Never the value of a secret.
    pub found: Option<String>,
    /// What should stand there; `None`: nothing.
    pub expected: Option<String>,
    /// A name that comes close to what was found.
    pub did_you_mean: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        match &self.found {
            Some(found) => write!(f, ": found {found}")?,
            None => f.write_str(": missing")?,
        }
        if let Some(expected) = &self.expected {
            write!(f, ", expected {expected}")?;
        }
        if let Some(name) = &self.did_you_mean {
            write!(f, "; did you mean `{name}`?")?;
        }
        Ok(())
    }
}

/// Something that loads but should not stay, and where.
///
/// Shown as `routes.toml:12:11: targets.crm.headers.X-Key: a literal secret; …`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Warning {
    /// The file as the operator named it.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The key path.
    pub key: String,
    /// What, and the next step. Never the value of a secret.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            key,
            message,
        } = self;
        write!(f, "{file}:{line}:{column}: {key}: {message}")
    }
}

/// All faults of a file in the order of the file, one a line when shown. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Sorts by place. `None` when there is no fault.
    pub(super) fn of(mut faults: Vec<Fault>) -> Option<Self> {
        faults.sort_by_key(|fault| (fault.line, fault.column));
        (!faults.is_empty()).then_some(Self(faults))
    }

    /// A fault of the file as a whole.
    pub(super) fn of_file(file: &str, found: String) -> Self {
        Self(vec![Fault {
            file: file.to_owned(),
            line: 0,
            column: 0,
            key: String::new(),
            found: Some(found),
            expected: Some("a configuration file".to_owned()),
            did_you_mean: None,
        }])
    }

    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The line and the column of a byte offset, both from 1, columns in characters.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// The candidate that `name` is most likely a slip of, if any comes close.
pub(crate) fn closest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let far = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_from_one() {
        assert_eq!(position("a = 1\nü = 2", 0), (1, 1));
        assert_eq!(position("a = 1\nü = 2", 11), (2, 5));
    }

    #[test]
    fn only_close_names_are_suggested() {
        assert_eq!(closest("timout", ["timeout", "url"]), Some("timeout"));
        assert_eq!(closest("breaker", ["timeout", "url"]), None);
        assert_eq!(closest("x", ["yz"]), None);
    }
}
