//! How many connections one address may hold.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus::IntGauge;

pub(super) struct Slots {
    per_address: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
    open: IntGauge,
}

impl Slots {
    pub(super) fn new(per_address: usize, open: IntGauge) -> Arc<Self> {
        Arc::new(Self {
            per_address,
            held: Mutex::default(),
            open,
        })
    }

    /// `None` when the address holds its fill. A trusted proxy brings many callers: it is not capped.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, is_proxy: bool) -> Option<Slot> {
        let address = address.to_canonical();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(address).or_default();
        if *count >= self.per_address && !is_proxy {
            return None;
        }
        *count += 1;
        self.open.inc();
        Some(Slot {
            slots: self.clone(),
            address,
        })
    }
}

/// One connection's place; given back when dropped.
pub(super) struct Slot {
    slots: Arc<Slots>,
    address: IpAddr,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self
            .slots
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.address);
            }
        }
        self.slots.open.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_fill_and_no_trace_stays() {
        let open = IntGauge::new("open", "open").unwrap();
        let slots = Slots::new(2, open.clone());
        let caller: IpAddr = "192.0.2.1".parse().unwrap();
        let held: Vec<_> = (0..2).map(|_| slots.take(caller, false).unwrap()).collect();
        assert!(slots.take(caller, false).is_none());
        assert!(
            slots
                .take("::ffff:192.0.2.1".parse().unwrap(), false)
                .is_none()
        );
        let proxied: Vec<_> = (0..5)
            .filter_map(|_| slots.take("10.1.2.3".parse().unwrap(), true))
            .collect();
        assert_eq!(proxied.len(), 5);
        assert_eq!(open.get(), 7);
        drop((held, proxied));
        assert_eq!(open.get(), 0);
        assert!(slots.held.lock().unwrap().is_empty());
    }
}
