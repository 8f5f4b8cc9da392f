//! From the text of `routes.toml` to a [`Config`]: the order in which it is read.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use toml::de::DeTable;

use super::{
    Config, Faults, Keys,
    cases::{Stand, absolute},
    caution::check_used,
    include::{FILE_BYTES_MAX, read_include},
    log::read_log,
    reader::{Context, Named, Order, Place, Table},
    routes::{Inherited, ROUTES_SHAPE, read_routes},
    server::{read_admin, read_server},
    source::Source,
    store::{read_store, tls_directory},
    targets::{read_defaults, read_targets},
    telemetry::read_telemetry,
};

impl Config {
    /// Reads the file at `path`, and the environment and files that it names.
    ///
    /// Relative paths within it start from its directory. Fails with every fault at once.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let text = text_of(path).map_err(|error| unreadable(path, &error))?;
        let context = Context::new(&environment);
        context.look_at(path);
        parse(&context, &Source::of_file(path, text), None)
    }

    /// Like [`Config::load`], with every key that the files say; from `text` if there is one, as if it stood at `path`.
    pub fn load_with_keys(path: &Path, text: Option<String>) -> Result<(Self, Keys), Faults> {
        let text = text.map_or_else(|| text_of(path), Ok);
        let text = text.map_err(|error| unreadable(path, &error))?;
        let mut keys = Keys::default();
        let context = Context::new(&environment);
        let config = parse(&context, &Source::of_file(path, text), Some(&mut keys))?;
        Ok((config, keys))
    }

    /// Like [`Config::load`], with what stands in the place of variables and files.
    pub fn load_standing_in(path: &Path, stand: &Stand) -> Result<Self, Faults> {
        let text = text_of(path).map_err(|error| unreadable(path, &error))?;
        let source = Source::of_file(path, text);
        let variable = |name: &str| match stand.variables.get(name) {
            Some(value) => Some(String::from_utf8_lossy(value.expose()).into_owned()),
            None => environment(name),
        };
        let file = |path: &Path| stand.files.get(&absolute(path)).cloned();
        parse(&Context::new(&variable).standing_in(&file), &source, None)
    }

    /// Like [`Config::load`], from `text` that somebody has called `name`; relative paths start from the working
    /// directory.
    pub fn of_text(text: &str, name: &str) -> Result<Self, Faults> {
        Self::parse(text, name, Path::new(""), &environment)
    }

    /// Like [`Config::load`], from `text`; `file_name` is what faults call it, `base_dir` is what
    /// relative paths start from, and `env` gives the value of an environment variable.
    pub fn parse(
        text: &str,
        file_name: &str,
        base_dir: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Faults> {
        let source = Source::of_text(file_name, base_dir, text);
        parse(&Context::new(env), &source, None)
    }
}

fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(FILE_BYTES_MAX)
        .read_to_string(&mut text)?;
    match text.len() as u64 {
        FILE_BYTES_MAX => Err(io::Error::other("it is too large")),
        _ => Ok(text),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Faults {
    Faults::of_file(path, format!("no readable file ({error})"))
}

/// Every key goes into `keys`.
fn parse(
    context: &Context<'_>,
    source: &Source,
    keys: Option<&mut Keys>,
) -> Result<Config, Faults> {
    let main = tree(context, source);
    if let Some(faults) = take_faults(context) {
        return Err(faults);
    }
    let mut main = Table::root(context, source, main);
    let included = read_include(main.take("include"));
    let trees = included
        .iter()
        .map(|source| (source, tree(context, source)));
    let trees: Vec<_> = trees.collect();
    if let Some(keys) = keys {
        main.add_to(keys);
        trees.iter().for_each(|(_, tree)| keys.add(tree));
    }
    let included: Vec<_> = trees
        .into_iter()
        .map(|(source, tree)| Table::root(context, source, tree))
        .collect();
    // What is in a file that cannot be read would be missed in the others.
    if let Some(faults) = take_faults(context) {
        return Err(faults);
    }
    let mut config = read(main, included);
    if let Some(faults) = take_faults(context) {
        return Err(faults);
    }
    config.warnings = in_order(context.warnings.take());
    config.files = context.files.take().into_iter().collect();
    Ok(config)
}

/// What could be read of a file. Notes its faults of syntax.
pub(super) fn tree<'a>(context: &Context<'_>, source: &'a Source) -> DeTable<'a> {
    let (root, errors) = DeTable::parse_recoverable(&source.text);
    for error in &errors {
        let at = error.span().map_or(source.text.len(), |span| span.start);
        let fault = ((source.number, at), source.syntax_fault(error));
        context.faults.borrow_mut().push(fault);
    }
    root.into_inner()
}

/// What was found wrong so far.
pub(super) fn take_faults(context: &Context<'_>) -> Option<Faults> {
    let files = context.files.borrow().iter().cloned().collect();
    let faults = in_order(context.faults.take());
    if faults.is_empty() {
        return None;
    }
    Faults::of(faults, in_order(context.warnings.take()), files)
}

fn in_order<T>(mut found: Vec<(Order, T)>) -> Vec<T> {
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, one)| one).collect()
}

/// What this gives is a configuration only if no fault was noted on the way.
fn read<'a>(mut root: Table<'a>, mut included: Vec<Table<'a>>) -> Config {
    let mut taken = Vec::new();
    let (store, dedupe_window) = read_store(root.section("store"));
    let tls_directory = tls_directory(&store, &root.place);
    let (server, max_body) = read_server(root.section("server"), &tls_directory, &mut taken);
    let admin = read_admin(root.section("admin"), &mut taken);
    let otlp = read_telemetry(root.section("telemetry"));
    let log = read_log(root.section("log"));
    let defaults = read_defaults(root.section("defaults"));
    let targets = read_targets(of_all(&mut root, &mut included, "targets"), &defaults);
    let inherited = Inherited {
        max_body,
        max_body_in_flight: server.max_body_in_flight,
        dedupe_window,
        takes_certificates: server.client_authorities.is_some(),
        public_url: server.public_url.as_ref(),
        targets: &targets.names,
    };
    let (said, place) = (root.has_table("routes"), root.place_of("routes"));
    let routes = of_all(&mut root, &mut included, "routes");
    match (said, place) {
        _ if !routes.is_empty() => {}
        (Some(true), Some(place)) => place.fault("no route", ROUTES_SHAPE),
        (None, _) => root.place.missing("routes", ROUTES_SHAPE),
        _ => {}
    }
    let routes = read_routes(routes, &inherited);
    let lines = routes.iter().flat_map(|route| &route.deliver);
    let used: HashSet<_> = lines.map(|line| &*line.to).collect();
    for (name, place) in targets.names.iter().zip(&targets.places) {
        if root.place.context.is_clean() && !used.contains(name.as_str()) {
            check_used(place);
        }
    }
    let main = root.place.source.name.clone();
    root.finish();
    for table in included {
        table.finish_included(&main);
    }
    Config {
        server,
        admin,
        store,
        otlp,
        log,
        targets: targets.valid,
        routes,
        warnings: Vec::new(),
        files: Vec::new(),
    }
}

/// The named tables below `key`, those of the file first. A name that stands in two files is a fault of the second.
fn of_all<'a>(
    root: &mut Table<'a>,
    included: &mut [Table<'a>],
    key: &'static str,
) -> Vec<Named<'a>> {
    let mut places: HashMap<String, Place<'a>> = HashMap::new();
    let mut all = Vec::new();
    for table in std::iter::once(root).chain(included) {
        for (name, place, node) in table.section(key).named() {
            if let Some(first) = places.get(&name) {
                let found = format!("a second {}, after that at {}", place.path, first.shown());
                place.fault(found, "another name, or only one of them");
            }
            places.entry(name.clone()).or_insert_with(|| place.clone());
            all.push((name, place, node));
        }
    }
    all
}

#[expect(
    clippy::disallowed_methods,
    reason = "the configuration is what names environment variables"
)]
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
