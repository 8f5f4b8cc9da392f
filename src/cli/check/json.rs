//! `check --format json`: for editors and CI.

use serde::Serialize;

use crate::config::{Config, Fault, Faults, Warning};

/// One document a check. Its keys stay; others may be added.
#[derive(Serialize)]
pub(super) struct Report {
    valid: bool,
    /// As it was named.
    file: String,
    /// Of a valid configuration.
    routes: Option<usize>,
    targets: Option<usize>,
    faults: Vec<Diagnosis>,
    warnings: Vec<Diagnosis>,
    /// With `--diff`, of two valid configurations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) diff: Option<super::diff::Report>,
}

#[derive(Serialize)]
struct Diagnosis {
    severity: Severity,
    file: String,
    /// From 1; 0 when it is about the file as a whole.
    line: usize,
    /// From 1, in characters.
    column: usize,
    end_line: usize,
    /// The column after the last character.
    end_column: usize,
    key: String,
    message: String,
    expected: Option<String>,
    hint: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    Error,
    Warning,
}

impl Report {
    pub(super) fn of(file: String, loaded: &Result<Config, Faults>) -> Self {
        let (faults, warnings) = match loaded {
            Ok(config) => (&[][..], config.warnings.as_slice()),
            Err(faults) => (faults.as_slice(), faults.warnings()),
        };
        let config = loaded.as_ref().ok();
        Self {
            valid: config.is_some(),
            file,
            routes: config.map(|config| config.routes.len()),
            targets: config.map(|config| config.targets.len()),
            faults: faults.iter().map(of_fault).collect(),
            warnings: warnings.iter().map(of_warning).collect(),
            diff: None,
        }
    }
}

fn of_fault(fault: &Fault) -> Diagnosis {
    let found = fault.found.as_ref();
    Diagnosis {
        severity: Severity::Error,
        file: fault.file.clone(),
        line: fault.line,
        column: fault.column,
        end_line: fault.end_line,
        end_column: fault.end_column,
        key: fault.key.clone(),
        message: found.map_or_else(|| "missing".to_owned(), |found| format!("found {found}")),
        expected: fault.expected.clone(),
        hint: fault.hint(),
    }
}

fn of_warning(warning: &Warning) -> Diagnosis {
    Diagnosis {
        severity: Severity::Warning,
        file: warning.file.clone(),
        line: warning.line,
        column: warning.column,
        end_line: warning.end_line,
        end_column: warning.end_column,
        key: warning.key.clone(),
        message: warning.message.clone(),
        expected: None,
        hint: Some(warning.hint.clone()),
    }
}
