//! The series of routes and targets, which follow the configuration.

use std::{collections::HashMap, sync::Arc};

use prometheus::core::{Collector as _, MetricVec, MetricVecBuilder};

use super::{Labels, NO_ROUTE, PairMetrics, RouteMetrics, TargetMetrics, families::Families};
use crate::event::{RouteName, TargetName};

/// Children, resolved once.
#[derive(Clone, Default)]
pub(super) struct Series {
    pub(super) routes: HashMap<RouteName, Arc<RouteMetrics>>,
    pub(super) targets: HashMap<TargetName, Arc<TargetMetrics>>,
    pub(super) pairs: HashMap<(RouteName, TargetName), Arc<PairMetrics>>,
    /// Of deliveries to these targets of routes that no longer deliver to them.
    pub(super) strays: HashMap<TargetName, Arc<PairMetrics>>,
}

impl Series {
    /// What is there already keeps its counts, the rest begins at 0.
    pub(super) fn make(families: &Families, labels: &Labels<'_>) -> Self {
        let routes = labels.routes.iter().map(|route| {
            let series = families.route(route, labels.reasons);
            (route.name.clone(), Arc::new(series))
        });
        let targets = labels.targets.iter();
        let targets = targets.map(|name| (name.clone(), Arc::new(families.target(name))));
        let pairs = labels.routes.iter().flat_map(|route| {
            let targets = route.targets.iter();
            targets.map(|target| (route.name.clone(), target.clone()))
        });
        let pairs = pairs.map(|(route, target)| {
            let pair = Arc::new(families.pair(&route, &target));
            ((route, target), pair)
        });
        let strays = labels.targets.iter();
        let strays = strays.map(|name| (name.clone(), Arc::new(families.pair(NO_ROUTE, name))));
        Self {
            routes: routes.collect(),
            targets: targets.collect(),
            pairs: pairs.collect(),
            strays: strays.collect(),
        }
    }

    pub(super) fn extend(&mut self, more: Self) {
        self.routes.extend(more.routes);
        self.targets.extend(more.targets);
        self.pairs.extend(more.pairs);
        self.strays.extend(more.strays);
    }
}

/// Takes out of the family the series whose labels, told by their names, are not wanted.
pub(super) fn sweep<T: MetricVecBuilder>(
    family: &MetricVec<T>,
    wanted: impl Fn(&HashMap<&str, &str>) -> bool,
) {
    for collected in family.collect() {
        for series in collected.get_metric() {
            let labels = series.get_label().iter();
            let labels: HashMap<_, _> = labels.map(|label| (label.name(), label.value())).collect();
            if !wanted(&labels) {
                // It is there: only this takes series away, one call at a time.
                drop(family.remove(&labels));
            }
        }
    }
}
