//! Reading the page: sections, their commands, and what these print.

/// A symptom: a heading of the second level with commands below it.
pub(super) struct Section {
    pub(super) title: String,
    pub(super) commands: Vec<Command>,
}

/// A line that begins with `$ ` in a block of `console`, with those that go on after a backslash.
pub(super) struct Command {
    pub(super) text: String,
    /// Lines of its output, in order; between them may be others. `…` stands for anything.
    pub(super) output: Vec<String>,
}

impl Section {
    /// The heading in letters that a file can be called by.
    pub(super) fn slug(&self) -> String {
        let lower = self.title.to_lowercase();
        let words = lower.split(|c: char| !c.is_ascii_alphanumeric());
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        words.join("-")
    }
}

pub(super) fn sections(page: &str) -> Vec<Section> {
    let parts = page.split("\n## ").skip(1);
    let sections = parts.map(|part| {
        let (title, text) = part.split_once('\n').unwrap_or((part, ""));
        Section {
            title: title.to_owned(),
            commands: commands(text),
        }
    });
    sections.filter(|s| !s.commands.is_empty()).collect()
}

fn commands(text: &str) -> Vec<Command> {
    let blocks = text.split("```console\n").skip(1);
    let mut commands: Vec<Command> = Vec::new();
    for block in blocks {
        let (block, _) = block.split_once("```").expect("a block that ends");
        let mut goes_on = false;
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                commands.push(Command {
                    text: command.to_owned(),
                    output: Vec::new(),
                });
            } else {
                let last = commands.last_mut().expect("a command before its output");
                match goes_on {
                    true => last.text += &format!("\n{line}"),
                    false => last.output.push(line.to_owned()),
                }
            }
            goes_on = line.ends_with('\\');
        }
    }
    commands
}

/// What is missing in `output`, if anything: each line of `expected` must be part of a line, in order.
pub(super) fn missing<'a>(output: &str, expected: &'a [String]) -> Option<&'a String> {
    let mut lines = output.lines().map(plain);
    expected.iter().find(|line| {
        let line = plain(line);
        !lines.any(|found| has(&found, &line))
    })
}

/// With single spaces: tables are as wide as what is in them.
fn plain(line: &str) -> String {
    let words = line.split([' ', '\t', '│', '┆', '|']);
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

fn has(found: &str, expected: &str) -> bool {
    let mut rest = found;
    expected.split('…').map(str::trim).all(|part| {
        let at = rest.find(part);
        at.map(|at| rest = &rest[at + part.len()..]).is_some()
    })
}

#[test]
fn what_a_page_shows_is_read_and_compared() {
    let page = "# T\n\n## A 401, or so\n\nText.\n\n```console\n$ one \\\n    two\nx …  z\n$ three\n```\n\n## None\n";
    let [section] = &sections(page)[..] else {
        panic!("not one section");
    };
    assert_eq!(section.slug(), "a-401-or-so");
    let [first, second] = &section.commands[..] else {
        panic!("not two commands");
    };
    assert_eq!(first.text, "one \\\n    two");
    assert_eq!((second.text.as_str(), second.output.len()), ("three", 0));
    assert_eq!(missing("a\n│ x   y ┆ z │", &first.output), None);
    assert!(missing("x\nz", &first.output).is_some());
    let twice = [first.output.clone(), first.output.clone()].concat();
    assert!(missing("x y z", &twice).is_some(), "one line for two");
}
