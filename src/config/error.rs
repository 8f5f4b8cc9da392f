//! What is wrong with a configuration: every fault, each with its place.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::Snippet;

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
    /// Where that which is wrong ends.
    pub end_line: usize,
    /// The column after its last character.
    pub end_column: usize,
    /// The key path, e.g. `routes.github.secrets[0].env`; empty for a fault of syntax.
    pub key: String,
    /// What stands there; `None`: nothing does. Never the value of a secret.
    pub found: Option<String>,
    /// What should stand there; `None`: nothing.
    pub expected: Option<String>,
    /// A name that comes close to what was found.
    pub did_you_mean: Option<String>,
    /// The line that is wrong, without what may be a secret; `None` when the fault is about the file as a whole.
    #[serde(skip)]
    pub snippet: Option<Snippet>,
}

impl Fault {
    pub(super) fn of_file(file: String, found: String, expected: &str) -> Self {
        Self {
            file,
            line: 0,
            column: 0,
            end_line: 0,
            end_column: 0,
            key: String::new(),
            found: Some(found),
            expected: Some(expected.to_owned()),
            did_you_mean: None,
            snippet: None,
        }
    }
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
    /// Where that which is warned about ends.
    pub end_line: usize,
    /// The column after its last character.
    pub end_column: usize,
    /// The key path.
    pub key: String,
    /// What. Never the value of a secret.
    pub message: String,
    /// The next step.
    pub hint: String,
    /// The line, without what may be a secret.
    #[serde(skip)]
    pub snippet: Option<Snippet>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            key,
            message,
            hint,
            ..
        } = self;
        write!(f, "{file}:{line}:{column}: {key}: {message}; {hint}")
    }
}

/// All faults of a configuration in the order of its files, one a line when shown. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    faults: Vec<Fault>,
    warnings: Vec<Warning>,
    files: Vec<PathBuf>,
}

impl Faults {
    /// In this order. `None` when there is no fault.
    pub(super) fn of(
        faults: Vec<Fault>,
        warnings: Vec<Warning>,
        files: Vec<PathBuf>,
    ) -> Option<Self> {
        (!faults.is_empty()).then_some(Self {
            faults,
            warnings,
            files,
        })
    }

    /// A fault of the file as a whole.
    pub(super) fn of_file(path: &Path, found: String) -> Self {
        Self {
            faults: vec![Fault::of_file(
                path.display().to_string(),
                found,
                "a configuration file",
            )],
            warnings: Vec::new(),
            files: vec![path.to_owned()],
        }
    }

    pub fn as_slice(&self) -> &[Fault] {
        &self.faults
    }

    /// What was warned about before the faults were known: not all that there is to warn of.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Every file that was read, or looked for, before the faults were known. While none of them changes, the faults stay.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

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
    fn only_close_names_are_suggested() {
        assert_eq!(closest("timout", ["timeout", "url"]), Some("timeout"));
        assert_eq!(closest("breaker", ["timeout", "url"]), None);
        assert_eq!(closest("x", ["yz"]), None);
    }
}
