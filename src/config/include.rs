//! `include`: files that hold routes and targets of their own.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use glob::{MatchOptions, Pattern, glob_with};

use super::{
    reader::{Node, Place, quoted},
    source::Source,
};

const SHAPE: &str = "a list of files such as [\"routes.d/*.toml\"]";
/// What makes a name a pattern.
const META: [char; 3] = ['*', '?', '['];
const FILES_MAX: usize = 10_000;
/// More than any file that people write; a device or a log named by mistake is not read to its end.
pub(super) const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Hidden files are not for `*`: a mounted ConfigMap keeps its files in hidden directories, beside the links to them.
const VISIBLE: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The files in the order of the list, those of a pattern by name; each once.
pub(super) fn read_include(node: Option<Node<'_>>) -> Vec<Source> {
    let Some(node) = node else { return Vec::new() };
    let place = node.place.clone();
    let mut seen: BTreeSet<PathBuf> = place.source.file.iter().map(canonical).collect();
    let mut sources: Vec<Source> = Vec::new();
    for item in node.list(SHAPE).unwrap_or_default() {
        let parsed = item.parse(SHAPE, |text| (!text.is_empty()).then(|| text.to_owned()));
        let Some(text) = parsed else { continue };
        let is_pattern = text.contains(META);
        let paths = match is_pattern {
            true => matching(&item, &text),
            false => vec![item.place.resolve(&text)],
        };
        if is_pattern && paths.is_empty() && item.place.context.is_clean() {
            item.place.warn(
                "no file is called so: its routes and targets are not there",
                "mend the pattern, or put a file there: it is taken up by itself",
            );
        }
        for path in paths {
            if path.is_dir() {
                let found = format!("{}, which is a directory", quoted(&text));
                let files = format!("{}/*.toml", text.trim_end_matches('/'));
                item.place.context.look_at(&path);
                item.place.fault(found, quoted(&files));
            } else if !seen.insert(canonical(&path)) {
                refuse_itself(&item, &path, is_pattern);
            } else if sources.len() == FILES_MAX {
                item.place
                    .fault(format!("more than {FILES_MAX} files"), "fewer");
                return sources;
            } else {
                sources.extend(read(&item.place, path, sources.len() + 1));
            }
        }
    }
    sources
}

/// A pattern may well match the file that it stands in.
fn refuse_itself(item: &Node<'_>, path: &Path, is_pattern: bool) {
    let own = item.place.source.file.as_ref();
    if !is_pattern && own.is_some_and(|own| canonical(own) == canonical(path)) {
        item.reject("another file than this one");
    }
}

/// What links lead to, as far as they lead anywhere.
fn canonical(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn read(place: &Place<'_>, path: PathBuf, number: usize) -> Option<Source> {
    let name = path.display().to_string();
    let fault = |why: &str| {
        place.fault(
            format!("{}, {why}", quoted(&name)),
            format!("a file that the gateway may read at {name}"),
        );
    };
    let bytes = place.context.read(&path, FILE_BYTES_MAX);
    let bytes = bytes
        .map_err(|error| fault(&format!("which cannot be read ({error})")))
        .ok()?;
    if bytes.len() as u64 == FILE_BYTES_MAX {
        fault("which is too large");
        return None;
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| fault("which is not UTF-8"))
        .ok()?;
    Some(Source {
        number,
        base: path.parent().unwrap_or(Path::new("")).to_owned(),
        text: text.to_owned(),
        file: Some(path),
        name,
        marks: OnceLock::new(),
    })
}

/// The files that `text` stands for; none is no fault. Where others could appear is looked at.
fn matching(item: &Node<'_>, text: &str) -> Vec<PathBuf> {
    let base = &item.place.source.base;
    let escaped = Pattern::escape(&base.to_string_lossy());
    let whole = |part: &Path| Path::new(&escaped).join(part);
    let mut directory = Path::new(text).parent();
    while let Some(part) = directory {
        if !part.to_string_lossy().contains(META) {
            item.place.context.look_at(&directory_of(base, part));
            break;
        }
        let found = walk(item, &whole(part)).into_iter();
        for found in found.filter(|path| path.is_dir()) {
            item.place.context.look_at(&found);
        }
        directory = part.parent();
    }
    let files = walk(item, &whole(Path::new(text))).into_iter();
    files.filter(|path| !path.is_dir()).collect()
}

/// `part` below `base`, either of which may be empty.
fn directory_of(base: &Path, part: &Path) -> PathBuf {
    let is_empty = |path: &Path| path.as_os_str().is_empty();
    match (is_empty(base), is_empty(part)) {
        (true, true) => PathBuf::from("."),
        (false, true) => base.to_owned(),
        _ => base.join(part),
    }
}

/// By name.
fn walk(item: &Node<'_>, pattern: &Path) -> Vec<PathBuf> {
    let paths = match glob_with(&pattern.to_string_lossy(), VISIBLE) {
        Ok(paths) => paths,
        Err(error) => {
            item.reject(format!("{SHAPE} ({})", error.msg));
            return Vec::new();
        }
    };
    let read = |path: glob::GlobResult| {
        let fault = |error: glob::GlobError| {
            let found = format!(
                "{}, which cannot be read ({})",
                quoted(&error.path().display().to_string()),
                error.error()
            );
            item.place
                .fault(found, "a directory that the gateway may read");
        };
        path.map_err(fault).ok()
    };
    let mut found: Vec<_> = paths.filter_map(read).collect();
    found.sort();
    found
}
