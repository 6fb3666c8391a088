//! One delivery, signed by itself.

use bytes::Bytes;
use matchpurse_domain::time::Timestamp;
use matchpurse_providers::play::{Retold, ScriptedDelivery};
use matchpurse_providers::{KeyError, KeyRole, Method};

use crate::forgery::Forgery;
use crate::plan::Signed;
use crate::signer::Signer;
use crate::source::SimulatedSource;

impl SimulatedSource {
    /// Signs one delivery now, as its provider does; or forges it, with an altered signature.
    ///
    /// # Errors
    /// When the source has no key of that role, or one that cannot sign.
    pub fn sign_one(
        &self,
        method: Method,
        role: KeyRole,
        body: Bytes,
        now: Timestamp,
        forged: bool,
    ) -> Result<Signed<'_>, KeyError> {
        let delivery = ScriptedDelivery {
            method,
            role,
            body,
            after_ms: 0,
            events: 1,
            parked: None,
            status: 200,
            answer_holds: "",
            retold: Retold::Never,
        };
        // True: what is signed here is signed for this body, whatever the provider's signature covers.
        let signer = Signer::new(true);
        let headers = if forged {
            signer.forge(self, &delivery, now, Forgery::AlteredSignature)?
        } else {
            signer.sign(self, &delivery, now)?
        };
        Ok(Signed { source: self.name(), method, headers, body: delivery.body })
    }
}
