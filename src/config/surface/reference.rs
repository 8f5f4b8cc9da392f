//! The rows as tables of Markdown, for docs/configuration.md.

use super::{Key, Usual, sections};

/// `<!-- keys of NAME … -->`, before the table of that section.
const BEGIN: &str = "<!-- keys of ";
const END: &str = "<!-- end of keys -->";

/// `text` with each table between its markers made anew. `Err`: a marker that names no section, or has no end.
pub fn reference(text: &str) -> Result<String, String> {
    let sections = sections();
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, marked)) = rest.split_once(BEGIN) {
        let name = marked.split_whitespace().next().unwrap_or_default();
        let section = sections.get(name);
        let section = section.ok_or_else(|| format!("no keys of {name:?}"))?;
        let marker = marked.split_once("-->").map(|(marker, _)| marker);
        let marker = marker.ok_or_else(|| format!("the marker of {name} does not end"))?;
        let after = marked.split_once(END).map(|(_, after)| after);
        rest = after.ok_or_else(|| format!("no end of the keys of {name}"))?;
        out += &format!("{before}{BEGIN}{marker}-->\n| key | meaning | default |\n|---|---|---|\n");
        section.keys().for_each(|key| out += &row(key));
        out += END;
    }
    Ok(out + rest)
}

fn row(key: &Key) -> String {
    let usual = match key.usual {
        Usual::Required => "required".to_owned(),
        Usual::Is(value) => format!("`{value}`"),
        Usual::But(value, rest) => format!("`{value}`{rest}"),
        Usual::Words(words) => words.to_owned(),
    };
    let cells = [format!("`{}`", key.name), key.meaning.to_owned(), usual];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    format!("| {} |\n", cells.join(" | ")).replace("|  |", "| |")
}
