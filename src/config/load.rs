//! From the text of `routes.toml` to a [`Config`]: the order in which it is read.

use std::path::Path;

use toml::de::DeTable;

use super::{
    Config, Faults,
    reader::{Context, Order, Table},
    routes::{Inherited, read_routes},
    server::{read_admin, read_server},
    source::Source,
    store::{read_store, tls_directory},
    targets::{read_defaults, read_targets},
};

impl Config {
    /// Reads the file at `path`, and the environment and files that it names.
    ///
    /// Relative paths within it start from its directory. Fails with every fault at once.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Faults::of_file(path, format!("no readable file ({error})")))?;
        let base = path.parent().unwrap_or(Path::new(""));
        let source = Source::of_text(&path.display().to_string(), base, text);
        let context = Context::new(&environment);
        context.look_at(path);
        parse(&context, &source)
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
        parse(&Context::new(env), &source)
    }
}

fn parse<'a>(context: &'a Context<'a>, source: &'a Source) -> Result<Config, Faults> {
    let (root, errors) = DeTable::parse_recoverable(&source.text);
    for error in &errors {
        let at = error.span().map_or(source.text.len(), |span| span.start);
        let fault = source.syntax_fault(error);
        context
            .faults
            .borrow_mut()
            .push(((source.number, at), fault));
    }
    if let Some(faults) = take_faults(context) {
        return Err(faults);
    }
    let mut config = read(Table::root(context, source, root.into_inner()));
    if let Some(faults) = take_faults(context) {
        return Err(faults);
    }
    config.warnings = in_order(context.warnings.take());
    config.files = context.files.take().into_iter().collect();
    Ok(config)
}

/// What was found wrong so far.
pub(super) fn take_faults(context: &Context<'_>) -> Option<Faults> {
    let files = context.files.borrow().iter().cloned().collect();
    Faults::of(in_order(context.faults.take()), files)
}

fn in_order<T>(mut found: Vec<(Order, T)>) -> Vec<T> {
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, one)| one).collect()
}

/// What this gives is a configuration only if no fault was noted on the way.
fn read(mut root: Table<'_>) -> Config {
    let mut taken = Vec::new();
    let (store, dedupe_window) = read_store(root.section("store"));
    let tls_directory = tls_directory(&store, &root.place);
    let (server, max_body) = read_server(root.section("server"), &tls_directory, &mut taken);
    let admin = read_admin(root.section("admin"), &mut taken);
    let defaults = read_defaults(root.section("defaults"));
    let targets = read_targets(root.section("targets"), &defaults);
    let inherited = Inherited {
        max_body,
        max_body_in_flight: server.max_body_in_flight,
        dedupe_window,
        takes_certificates: server.client_authorities.is_some(),
        public_url: server.public_url.as_ref(),
        targets: &targets.names,
    };
    let routes = read_routes(&mut root, &inherited);
    root.finish();
    Config {
        server,
        admin,
        store,
        targets: targets.valid,
        routes,
        warnings: Vec::new(),
        files: Vec::new(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the configuration is what names environment variables"
)]
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
