//! Secrets that come with a handshake: kept in the store, and known here to the requests that they prove.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq as _;
use tokio::sync::Mutex;

use crate::{
    config::{Fingerprint, Route, Secret, SignatureVerifier, Verifier, Verify},
    event::RouteName,
    signature::{KeyedScheme, Validity},
    store::{KeptSecret, Store, StoreError},
};

/// How soon a route that waits for its secret may ask again whether another gateway has it.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How often all are read again, so that what was forgotten elsewhere ends here.
const READ_EVERY: Duration = Duration::from_secs(10);
/// Of a secret that signatures rest on, as for those in the configuration.
const SECRET_BYTES_MIN: usize = 8;

/// The kept secrets, as one gateway knows them. The store has the last word.
pub struct KeptSecrets {
    store: Arc<dyn Store>,
    /// Of the routes whose secret comes with a handshake.
    slots: ArcSwap<Slots>,
    /// Held while the store is asked: one asks at a time, and what is known here follows the order of the answers.
    asked: Mutex<Option<Asked>>,
}

type Slots = HashMap<RouteName, Arc<Slot>>;

struct Asked {
    at: Instant,
    answer: Result<(), StoreError>,
}

/// One route's secret.
pub(super) struct Slot {
    route: RouteName,
    /// Of the route that it was made for.
    fingerprint: Fingerprint,
    /// What the route has without it.
    bare: Arc<[KeyedScheme]>,
    known: RwLock<Option<Known>>,
}

#[derive(Clone)]
struct Known {
    secret: Secret,
    schemes: Arc<[KeyedScheme]>,
}

/// What an operator is told of a route: its secret, or that it waits for one.
pub struct Standing {
    pub route: RouteName,
    pub kept: Option<KeptSecret>,
    /// Whether the configuration says that the route's secret comes with a handshake.
    pub configured: bool,
}

impl KeptSecrets {
    pub(super) fn new(routes: &[Arc<Route>], store: Arc<dyn Store>) -> Self {
        Self {
            store,
            slots: ArcSwap::from_pointee(slots(routes, &Slots::default())),
            asked: Mutex::default(),
        }
    }

    /// The slots of these routes from now on. What is known stays known; the store is asked about the rest.
    pub(super) async fn configure(&self, routes: &[Arc<Route>]) {
        let mut asked = self.asked.lock().await;
        let before = self.slots.load_full();
        let slots = slots(routes, &before);
        let news = slots.values().any(|slot| !slot.is_known());
        self.slots.store(Arc::new(slots));
        if news && let Err(error) = self.ask(&mut asked).await {
            tracing::warn!(%error, "could not read the secrets that came in handshakes");
        }
    }

    pub(super) fn slot(&self, route: &RouteName) -> Option<Arc<Slot>> {
        self.slots.load().get(route).cloned()
    }

    /// Whether no route has a secret that comes with a handshake.
    pub fn is_empty(&self) -> bool {
        self.slots.load().is_empty()
    }

    /// Reads again what is kept, for ever.
    pub async fn follow(&self) {
        loop {
            tokio::time::sleep(READ_EVERY).await;
            if self.is_empty() {
                continue;
            }
            if let Err(error) = self.read().await {
                tracing::debug!(%error, "could not read the kept secrets");
            }
        }
    }

    pub async fn read(&self) -> Result<(), StoreError> {
        let mut asked = self.asked.lock().await;
        self.ask(&mut asked).await
    }

    /// For a route that waits for its secret: another gateway may have it. The store is asked at most once
    /// in [`ASK_EVERY`]; whoever comes meanwhile has the same answer.
    pub(super) async fn look_for(&self, slot: &Slot) -> Result<(), StoreError> {
        if slot.is_known() {
            return Ok(());
        }
        let mut asked = self.asked.lock().await;
        match &*asked {
            Some(last) if last.at.elapsed() < ASK_EVERY => last.answer.clone(),
            _ => self.ask(&mut asked).await,
        }
    }

    /// Keeps the route's secret. False: it is no secret for this route, or the route has another already.
    /// The one that it has may come again: the answer to its handshake may have been lost.
    pub(super) async fn keep(&self, slot: &Slot, kept: KeptSecret) -> Result<bool, StoreError> {
        if slot.keyed(&kept.secret).is_none() {
            return Ok(false);
        }
        let mut asked = self.asked.lock().await;
        let slots = self.slots.load_full();
        // The route's own, if the configuration has changed since the handshake began.
        let slot = slots.get(&slot.route).map_or(slot, Arc::as_ref);
        if self.store.keep_secret(&kept).await? {
            slot.know(Some(&kept.secret));
        } else {
            self.ask(&mut asked).await?;
        }
        Ok(slot.is(&kept.secret))
    }

    /// False: none was kept. The route then waits for a handshake.
    pub async fn forget(&self, route: &RouteName) -> Result<bool, StoreError> {
        let _alone = self.asked.lock().await;
        let forgotten = self.store.forget_secret(route).await?;
        if let Some(slot) = self.slot(route) {
            slot.know(None);
        }
        Ok(forgotten)
    }

    /// By route: those that wait, and those for which something is kept.
    pub async fn standings(&self) -> Result<Vec<Standing>, StoreError> {
        let slots = self.slots.load_full();
        let waiting = slots.keys().map(|route| (route.clone(), None));
        let mut kept: BTreeMap<_, _> = waiting.collect();
        for secret in self.store.kept_secrets().await? {
            kept.insert(secret.route.clone(), Some(secret));
        }
        let standing = |(route, kept)| Standing {
            configured: slots.contains_key(&route),
            route,
            kept,
        };
        Ok(kept.into_iter().map(standing).collect())
    }

    async fn ask(&self, asked: &mut Option<Asked>) -> Result<(), StoreError> {
        // First, so that a caller that goes away meanwhile does not make the next one ask at once.
        let unanswered = StoreError::Unavailable("the kept secrets are not read yet".to_owned());
        let asked = asked.insert(Asked {
            at: Instant::now(),
            answer: Err(unanswered),
        });
        let answer = self.store.kept_secrets().await;
        asked.answer = answer.map(|kept| {
            for slot in self.slots.load().values() {
                let own = kept.iter().find(|kept| kept.route == slot.route);
                slot.know(own.map(|kept| &kept.secret));
            }
        });
        asked.answer.clone()
    }
}

/// One for each route whose secret comes with a handshake, with what is known of it already.
fn slots(routes: &[Arc<Route>], before: &Slots) -> Slots {
    let slots = routes.iter().filter_map(|route| {
        let schemes = &verifier(route)?.schemes;
        let kept = before.get(&route.name);
        let slot = match kept.filter(|slot| slot.fingerprint == route.fingerprint) {
            Some(slot) => slot.clone(),
            None => Arc::new(Slot::new(route, schemes, kept.map(Arc::as_ref))),
        };
        Some((route.name.clone(), slot))
    });
    slots.collect()
}

impl Slot {
    fn new(route: &Route, schemes: &[KeyedScheme], before: Option<&Self>) -> Self {
        let slot = Self {
            route: route.name.clone(),
            fingerprint: route.fingerprint,
            bare: schemes.into(),
            known: RwLock::default(),
        };
        if let Some(secret) = before.and_then(Self::secret) {
            slot.know(Some(&secret));
        }
        slot
    }

    fn secret(&self) -> Option<Secret> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        Some(known.as_ref()?.secret.clone())
    }

    /// The route's schemes, with the secret if there is one; without it nothing matches them.
    pub(super) fn schemes(&self) -> Arc<[KeyedScheme]> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref().map(|known| &known.schemes);
        known.unwrap_or(&self.bare).clone()
    }

    fn is_known(&self) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.is_some()
    }

    fn is(&self, secret: &Secret) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &Known| known.secret.expose().ct_eq(secret.expose()).into();
        known.as_ref().is_some_and(same)
    }

    fn know(&self, secret: Option<&Secret>) {
        let same = secret.map_or(!self.is_known(), |secret| self.is(secret));
        if same {
            return;
        }
        let schemes = secret.and_then(|secret| {
            let schemes = self.keyed(secret)?;
            Some(Known {
                secret: secret.clone(),
                schemes,
            })
        });
        match schemes {
            Some(_) => tracing::info!(route = &*self.route, "a secret from a handshake is in use"),
            None => tracing::info!(
                route = &*self.route,
                "waiting for a secret from a handshake"
            ),
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = schemes;
    }

    /// `None` when no scheme of the route can be keyed with it.
    fn keyed(&self, secret: &Secret) -> Option<Arc<[KeyedScheme]>> {
        if secret.expose().len() < SECRET_BYTES_MIN {
            return None;
        }
        let mut fits = false;
        let mut schemes = self.bare.to_vec();
        for keyed in &mut schemes {
            let key = keyed.scheme.keyed_secret(
                SignatureVerifier::FROM_HANDSHAKE,
                secret.expose(),
                Validity::default(),
            );
            fits |= key.is_ok();
            keyed.secrets.extend(key.ok());
        }
        fits.then(|| schemes.into())
    }
}

/// The verifier whose secret comes with a handshake.
fn verifier(route: &Route) -> Option<&SignatureVerifier> {
    let Verify::All(verifiers) = &route.verify else {
        return None;
    };
    verifiers.iter().find_map(|verifier| match verifier {
        Verifier::Signature(verifier) if verifier.secret_from_handshake => Some(verifier),
        _ => None,
    })
}
