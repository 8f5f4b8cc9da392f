//! The targets change while deliveries go on: in two steps, so that what can fail has been done before anything changes.

use std::{collections::HashSet, sync::Arc};

use super::{
    Delivery, DeliveryError, Removed, Running,
    circuit::Circuit,
    client,
    courier::Courier,
    expressions::{Expressions, Lines},
    pauses,
    request::Template,
    unit::{Parts, Planned, Prepared, Unit},
    worker::Worker,
};
use crate::{
    config::Target,
    outbound::AddressGuard,
    store::handover::{Lane, Presence},
};

impl Delivery {
    /// Does all that can fail of making the targets these. Nothing changes before [`Delivery::apply`]; no other may be
    /// applied between the two.
    pub fn prepare(
        &self,
        targets: &[Arc<Target>],
        lines: &Lines,
    ) -> Result<Prepared, DeliveryError> {
        let mut kept = Vec::new();
        let mut changed = Vec::new();
        for target in targets {
            let lines = lines.of_target(&target.name);
            let running = self.running();
            let unit = running.as_ref().and_then(|now| now.units.get(&target.name));
            match unit.is_some_and(|unit| unit.is_of(target, &lines)) {
                true => kept.push(Planned::Kept(target.name.clone())),
                false => changed.push((target.clone(), lines)),
            }
        }
        let roots = client::shared_roots(&self.roots, changed.iter().map(|(target, _)| &**target))?;
        let mut planned = kept;
        for (target, lines) in changed {
            planned.push(Planned::Built(Box::new(Parts {
                client: client::client(&target, roots.clone(), self.names.clone())?,
                template: Template::new(target.clone())?,
                target,
                lines,
            })));
        }
        Ok(Prepared(planned))
    }

    /// Targets that are new get their lanes, those that have changed another one: of these the attempts under way end as
    /// they would, and all that waits goes out as it is said now. What has not changed goes on, with its breaker,
    /// its rate and its connections.
    ///
    /// To be called before requests are accepted for new targets; and [`Delivery::remove`] after the last is for the
    /// removed ones, which keep their lanes until then.
    pub fn apply(&self, prepared: Prepared) -> Removed {
        let mut running = self.running();
        let Some(running) = running.as_mut() else {
            return Removed::default();
        };
        let mut built = Vec::new();
        let mut stay = HashSet::new();
        for planned in prepared.0 {
            match planned {
                Planned::Kept(name) => stay.insert(name),
                Planned::Built(parts) => {
                    let name = parts.target.name.clone();
                    built.push(parts);
                    stay.insert(name)
                }
            };
        }
        let gone = running.units.extract_if(|name, _| !stay.contains(name));
        let removed = Removed(gone.map(|(_, unit)| unit).collect());
        let paused = self.pauses.paused();
        let made = built.into_iter().map(|parts| {
            let spec = parts.lane_spec(pauses::counts(&paused, &parts.target.name));
            self.unit(*parts, self.lanes.make(spec), running)
        });
        let made: Vec<(Unit, Worker)> = made.collect();
        let gates: Vec<_> = made.iter().map(|(unit, _)| unit.gate().clone()).collect();
        self.lanes.put(&gates);
        drop(paused);
        for (unit, worker) in made {
            let gate = unit.gate().clone();
            announce(&unit.target);
            // After its lane was put: what it gives back is told to the new one.
            if let Some(old) = running.units.insert(unit.target.name.clone(), unit) {
                old.leave();
            }
            self.pauses.show(&gate);
            if let Some(metrics) = self.metrics.target(gate.target()) {
                metrics.circuit_open.set(0);
            }
            self.tasks.spawn(worker.run());
        }
        removed
    }

    /// Takes their lanes from removed targets. When their attempts under way have ended, at once if there are none,
    /// [`Lanes::orphans`](crate::store::handover::Lanes::orphans) is told, and only then
    /// [`Store::retire_targets`](crate::store::Store::retire_targets) is to be called: before, it makes dead letters of
    /// what may have been delivered.
    pub fn remove(&self, removed: Removed) {
        let gates: Vec<_> = removed.0.iter().map(|unit| unit.gate().clone()).collect();
        for unit in &removed.0 {
            unit.courier.presence.remove();
        }
        self.lanes.remove(&gates);
        removed.0.into_iter().for_each(Unit::leave);
    }

    fn unit(&self, parts: Parts, lane: Lane, running: &Running) -> (Unit, Worker) {
        let Parts {
            target,
            lines,
            client,
            template,
        } = parts;
        let before = running.units.get(&target.name);
        let target_metrics = self.metrics.target(&target.name);
        let courier = Arc::new(Courier {
            circuit: Circuit::new(&target, &lane.gate, target_metrics.clone()),
            target: target.clone(),
            client,
            template,
            expressions: Expressions::new(&lines, self.pool.clone()),
            gate: lane.gate,
            presence: before.map_or_else(
                || Presence::new(target.name.clone(), self.lanes.clone()),
                |unit| unit.courier.presence.clone(),
            ),
            settlements: running.settlements.clone(),
            metrics: self.metrics.clone(),
            target_metrics,
            clock: self.clock.clone(),
            tracer: self.tracer.clone(),
            abort: self.abort.clone(),
        });
        let stop = self.stop.child_token();
        let worker = Worker::new(
            courier.clone(),
            lane.queue,
            self.tasks.clone(),
            stop.clone(),
        );
        let unit = Unit {
            target,
            lines,
            courier,
            stop,
        };
        (unit, worker)
    }
}

/// Warns of an address that every connection will be refused to.
fn announce(target: &Target) {
    let guard = AddressGuard {
        place: format!("under [targets.{}]", target.name).into(),
        allow_private: target.allow_private,
    };
    let host = target.url.host_str().unwrap_or_default();
    if let Err(error) = guard.check_literal(host) {
        tracing::warn!(target_name = %target.name, %error, "this target cannot be connected to");
    }
}
