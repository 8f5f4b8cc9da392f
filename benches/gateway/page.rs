//! The measured part of `docs/performance.md`.

use std::{fs, io, path::Path};

use crate::{Result, report::Report};

const BEGIN: &str = "<!-- measured -->";
const END: &str = "<!-- /measured -->";

/// Replaces what stands between the markers; a missing page is made of them alone.
pub(crate) fn rewrite(path: &Path, report: &Report) -> Result<()> {
    let page = match fs::read_to_string(path) {
        Ok(page) => page,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("# Performance\n\n{BEGIN}\n{END}\n")
        }
        Err(error) => return Err(error.into()),
    };
    let parts = page
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        return Err(format!("{} has no {BEGIN} … {END}", path.display()).into());
    };
    let measured = measured(report);
    fs::write(path, format!("{before}{BEGIN}\n{measured}\n{END}{after}"))?;
    Ok(())
}

fn measured(report: &Report) -> String {
    let mut text = "\n## Machine and versions\n\n| | |\n|---|---|\n".to_owned();
    for (name, value) in &report.facts {
        text.push_str(&format!("| {name} | {value} |\n"));
    }
    text.push_str("\n## Figures\n");
    text.push_str(&report.markdown());
    text.push_str("\n### Plots of the growth\n\n");
    for name in crate::plot::names(&report.growth) {
        text.push_str(&format!("![{name}](performance/{name}.svg)\n"));
    }
    text
}
