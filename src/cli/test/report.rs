//! What came of the cases, for people and for programs.

use serde::Serialize;

use super::compare::Difference;
use crate::cli::{BOLD, GREEN, RED};

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

    pub(super) fn print(&self) {
        let mut file = "";
        for one in &self.tested {
            if one.file != file {
                file = &one.file;
                anstream::println!("{BOLD}{file}{BOLD:#}");
            }
            match one.differences.is_empty() {
                true => anstream::println!("  {GREEN}✓{GREEN:#} {}", one.name),
                false => {
                    anstream::println!("  {RED}✗{RED:#} {} ({}:{})", one.name, one.file, one.line)
                }
            }
            for Difference {
                what,
                expected,
                got,
            } in &one.differences
            {
                anstream::println!("      {BOLD}{what}{BOLD:#}");
                anstream::println!("        expected {GREEN}{expected}{GREEN:#}");
                anstream::println!("        got      {RED}{got}{RED:#}");
            }
        }
        let (all, failed) = (self.tested.len(), self.failed());
        let cases = if all == 1 { "case" } else { "cases" };
        match failed {
            0 => anstream::println!("\n{GREEN}ok{GREEN:#}: {all} {cases} passed"),
            _ => anstream::println!("\n{RED}failed{RED:#}: {failed} of {all} {cases}"),
        }
    }

    /// `{"passed":2,"failed":1,"cases":[{"file","line","name","differences":[{"what","expected","got"}]}]}`
    pub(super) fn print_json(&self) {
        let failed = self.failed();
        let report = serde_json::json!({
            "passed": self.tested.len() - failed,
            "failed": failed,
            "cases": self.tested,
        });
        anstream::println!("{report:#}");
    }
}
