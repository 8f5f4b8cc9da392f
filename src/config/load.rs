//! From the text of `routes.toml` to a [`Config`]: the order in which it is read.

use std::{cell::RefCell, path::Path};

use toml::de::DeTable;

use super::{
    Config, Faults,
    error::{Fault, position},
    reader::{Context, Table},
    routes::{Inherited, read_routes},
    server::{read_admin, read_server},
    store::{read_store, tls_directory},
    targets::{read_defaults, read_targets},
    telemetry::read_telemetry,
};

impl Config {
    /// Reads the file at `path`, and the environment and files that it names.
    ///
    /// Relative paths within it start from its directory. Fails with every fault at once.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Faults::of_file(&name, format!("no readable file ({error})")))?;
        let base = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, &name, base, &environment)
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
        let (root, errors) = DeTable::parse_recoverable(text);
        let syntax = errors
            .iter()
            .map(|error| syntax_fault(text, file_name, error));
        if let Some(faults) = Faults::of(syntax.collect()) {
            return Err(faults);
        }
        let context = Context {
            text,
            file_name,
            base: base_dir,
            env,
            faults: RefCell::default(),
            warnings: RefCell::default(),
        };
        let mut config = read(Table::root(&context, root.into_inner()));
        if let Some(faults) = Faults::of(context.faults.take()) {
            return Err(faults);
        }
        let mut warnings = context.warnings.take();
        warnings.sort_by_key(|(offset, _)| *offset);
        config.warnings = warnings.into_iter().map(|(_, warning)| warning).collect();
        Ok(config)
    }
}

/// What this gives is a configuration only if no fault was noted on the way.
fn read(mut root: Table<'_>) -> Config {
    let context = root.place.context;
    let mut taken = Vec::new();
    let (store, dedupe_window) = read_store(root.section("store"));
    let tls_directory = tls_directory(&store, context);
    let (server, max_body) = read_server(root.section("server"), &tls_directory, &mut taken);
    let admin = read_admin(root.section("admin"), &mut taken);
    let otlp = read_telemetry(root.section("telemetry"));
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
        otlp,
        targets: targets.valid,
        routes,
        warnings: Vec::new(),
        files: Vec::new(),
    }
}

/// The parser's words name no values.
fn syntax_fault(text: &str, file_name: &str, error: &toml::de::Error) -> Fault {
    let offset = error.span().map_or(text.len(), |span| span.start);
    let (line, column) = position(text, offset);
    Fault {
        file: file_name.to_owned(),
        line,
        column,
        key: String::new(),
        found: Some(format!("a fault of syntax: {}", error.message())),
        expected: None,
        did_you_mean: None,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the configuration is what names environment variables"
)]
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
