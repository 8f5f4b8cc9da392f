//! What of all there is was asked for.

use crate::{
    arguments::Arguments, contestant::Kind, growth::DIMENSIONS, idle, scenario::SCENARIOS,
};

pub(crate) struct Selection {
    quick: bool,
    growth: bool,
    only: String,
    /// Whether `only` is part of a name; else it is part of contestants'.
    names: bool,
}

impl Selection {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let only = arguments.only.clone();
        let names = SCENARIOS.iter().map(|scenario| scenario.name);
        let names = names.chain(DIMENSIONS.iter().map(|dimension| dimension.name));
        let mut names = names.chain([idle::NAME]);
        Self {
            quick: arguments.quick,
            growth: arguments.growth,
            names: !only.is_empty() && names.any(|name| name.contains(&only)),
            only,
        }
    }

    /// Those of `kinds` that take part in a scenario.
    pub(crate) fn scenario(&self, name: &str, quick: bool, kinds: &[Kind]) -> Vec<Kind> {
        match self.growth || (self.quick && !quick) {
            true => Vec::new(),
            false => self.chosen(name, kinds),
        }
    }

    /// A contestant's name alone does not ask for growth, which takes long.
    pub(crate) fn growth(&self, name: &str, kinds: &[Kind]) -> Vec<Kind> {
        let asked = self.growth || self.names || self.only.is_empty();
        match asked && !self.quick {
            true => self.chosen(name, kinds),
            false => Vec::new(),
        }
    }

    pub(crate) fn idle(&self, kinds: &[Kind]) -> Vec<Kind> {
        match self.growth {
            true => Vec::new(),
            false => self.growth(idle::NAME, kinds),
        }
    }

    fn chosen(&self, name: &str, kinds: &[Kind]) -> Vec<Kind> {
        if self.names {
            return match name.contains(&self.only) {
                true => kinds.to_vec(),
                false => Vec::new(),
            };
        }
        let wanted = |kind: &&Kind| kind.to_string().contains(&self.only);
        kinds.iter().filter(wanted).copied().collect()
    }
}
