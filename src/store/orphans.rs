//! Deliveries whose target is no more: whose they are, from when that is found out until they are retired.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::event::TargetName;

/// Targets whose pending deliveries are retired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    /// These. Gateways that share a store go over to a configuration one after the other: of what another one may know,
    /// none decides.
    These(Vec<TargetName>),
    /// All that there are, but these.
    AllBut(Vec<TargetName>),
}

impl Gone {
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::These(gone) if gone.is_empty())
    }

    pub fn has(&self, target: &TargetName) -> bool {
        match self {
            Self::These(gone) => gone.contains(target),
            Self::AllBut(known) => !known.contains(target),
        }
    }
}

/// What is to be retired, if it is still gone by then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    pub targets: BTreeSet<TargetName>,
    /// And of every other target that is not known.
    pub unknown: bool,
}

impl Due {
    pub fn extend(&mut self, more: Self) {
        self.targets.extend(more.targets);
        self.unknown |= more.unknown;
    }

    pub fn is_empty(&self) -> bool {
        self.targets.is_empty() && !self.unknown
    }

    /// `known`: the targets that there are.
    pub fn gone(&self, known: &[TargetName]) -> Gone {
        if self.unknown {
            return Gone::AllBut(known.to_vec());
        }
        let gone = self.targets.iter().filter(|target| !known.contains(target));
        Gone::These(gone.cloned().collect())
    }
}

impl From<&Gone> for Due {
    fn from(gone: &Gone) -> Self {
        match gone {
            Gone::These(targets) => Self {
                targets: targets.iter().cloned().collect(),
                unknown: false,
            },
            Gone::AllBut(_) => Self {
                targets: BTreeSet::new(),
                unknown: true,
            },
        }
    }
}

/// Told when the store may hold pending deliveries of targets that are no more: [`super::Store::retire_targets`] is to be
/// called. For one listener.
#[derive(Debug, Default)]
pub struct Orphans {
    due: Mutex<Due>,
    told: Notify,
}

impl Orphans {
    pub fn tell(&self, more: Due) {
        self.lock().extend(more);
        self.told.notify_one();
    }

    pub(super) fn tell_of(&self, target: &TargetName) {
        self.tell(Due {
            targets: BTreeSet::from([target.clone()]),
            unknown: false,
        });
    }

    pub async fn notified(&self) {
        self.told.notified().await;
    }

    /// What was told since this was last asked.
    pub fn take(&self) -> Due {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_retired_unless_it_is_back() {
        let orphans = Orphans::default();
        for target in ["crm", "erp", "crm"] {
            orphans.tell_of(&target.into());
        }
        let mut due = orphans.take();
        assert!(orphans.take().is_empty());
        assert_eq!(due.gone(&["crm".into()]), Gone::These(vec!["erp".into()]));
        due.extend(Due::from(&Gone::AllBut(vec!["old".into()])));
        assert_eq!(due.gone(&["crm".into()]), Gone::AllBut(vec!["crm".into()]));
    }
}
