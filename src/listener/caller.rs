//! The certificate that a caller showed when it connected, judged again when what it was judged by has changed.

use std::{cell::RefCell, sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, UnixTime};

use super::tls::Identity;
use crate::{clock::Timestamp, ingest::PeerCertificate};

pub(super) struct Caller {
    certificate: PeerCertificate,
    /// The leaf first.
    chain: Vec<CertificateDer<'static>>,
    /// Whose authorities vouched for it last.
    vouched: RefCell<Arc<Identity>>,
}

impl Caller {
    /// Of a handshake that was made with this identity. `None` when no certificate was shown, or none that can be read.
    pub(super) fn new(
        chain: Option<&[CertificateDer<'static>]>,
        identity: Arc<Identity>,
    ) -> Option<Self> {
        let chain = chain?;
        Some(Self {
            certificate: PeerCertificate::read(chain.first()?)?,
            chain: chain.to_vec(),
            vouched: RefCell::new(identity),
        })
    }

    /// `None` when nobody vouches for it any more.
    pub(super) fn certificate(
        &self,
        identity: &Arc<Identity>,
        now: Timestamp,
    ) -> Option<&PeerCertificate> {
        if Arc::ptr_eq(identity, &self.vouched.borrow()) {
            return Some(&self.certificate);
        }
        let (leaf, intermediates) = self.chain.split_first()?;
        let seconds = u64::try_from(now.as_secs()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let callers = identity.callers.as_ref()?;
        callers.verify_client_cert(leaf, intermediates, now).ok()?;
        self.vouched.replace(identity.clone());
        Some(&self.certificate)
    }
}
