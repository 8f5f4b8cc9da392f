//! What came of the cases, for people and for programs.

use serde::Serialize;

use super::compare::Difference;
use crate::cli::{
    BOLD, GREEN, RED,
    out::{Unwritten, say},
};

/// One case.
#[derive(Serialize)]
pub(super) struct Tested {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) name: String,
    /// Empty: it passed.
    pub(super) differences: Vec<Difference>,
}

#[derive(Default, Serialize)]
pub(super) struct Report {
    #[serde(rename = "cases")]
    pub(super) tested: Vec<Tested>,
}

impl Report {
    pub(super) fn failed(&self) -> usize {
        let failed = self.tested.iter().filter(|one| !one.differences.is_empty());
        failed.count()
    }

    pub(super) fn print(&self) -> Result<(), Unwritten> {
        let mut file = "";
        for one in &self.tested {
            if one.file != file {
                file = &one.file;
                say!("{BOLD}{file}{BOLD:#}")?;
            }
            match one.differences.is_empty() {
                true => say!("  {GREEN}✓{GREEN:#} {}", one.name)?,
                false => say!("  {RED}✗{RED:#} {} ({}:{})", one.name, one.file, one.line)?,
            }
            for Difference {
                what,
                expected,
                got,
            } in &one.differences
            {
                say!("      {BOLD}{what}{BOLD:#}")?;
                say!("        expected {GREEN}{expected}{GREEN:#}")?;
                say!("        got      {RED}{got}{RED:#}")?;
            }
        }
        let (all, failed) = (self.tested.len(), self.failed());
        let cases = if all == 1 { "case" } else { "cases" };
        match failed {
            0 => say!("\n{GREEN}ok{GREEN:#}: {all} {cases} passed"),
            _ => say!("\n{RED}failed{RED:#}: {failed} of {all} {cases}"),
        }
    }

    /// `{"passed":2,"failed":1,"cases":[{"file","line","name","differences":[{"what","expected","got"}]}]}`
    pub(super) fn print_json(&self) -> Result<(), Unwritten> {
        let failed = self.failed();
        let report = serde_json::json!({
            "passed": self.tested.len() - failed,
            "failed": failed,
            "cases": self.tested,
        });
        say!("{report:#}")
    }
}
