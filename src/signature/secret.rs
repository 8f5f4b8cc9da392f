//! From a secret's text to a keyed MAC.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use super::{KeyedSecret, Mac, Method, Scheme, SecretForm, Validity};

/// Why a secret cannot be used with a scheme. Never tells the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretFault {
    #[error("the secret is empty")]
    Empty,
    #[error("the secret is not base64")]
    NotBase64,
}

impl Scheme {
    /// Prepares `secret` (its text, without surrounding whitespace) for this scheme.
    ///
    /// Base64 secrets may leave out the padding. `name` is what the operator calls the secret;
    /// outside of `validity` it proves nothing.
    pub fn keyed_secret(
        &self,
        name: &str,
        secret: &[u8],
        validity: Validity,
    ) -> Result<KeyedSecret, SecretFault> {
        let key = self.secret_form.key(secret)?;
        if key.is_empty() {
            return Err(SecretFault::Empty);
        }
        Ok(KeyedSecret {
            // HMAC takes keys of every length; the empty one was refused above.
            mac: match self.method {
                Method::Hmac(algorithm) => Mac::new(algorithm, &key).ok_or(SecretFault::Empty)?,
                _ => return Err(SecretFault::Empty),
            },
            name: name.into(),
            validity,
        })
    }
}

impl KeyedSecret {
    /// The HMAC of `text`, in hex: some providers ask for it when an address is registered.
    /// `None`: this keys no HMAC.
    pub fn hmac_hex(&self, text: &[u8]) -> Option<String> {
        Some(hex::encode(self.mac.digest(&[text]).as_bytes()))
    }
}

impl SecretForm {
    fn key(&self, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretFault> {
        match self {
            Self::Text => Ok(Zeroizing::new(secret.to_vec())),
            Self::Hex | Self::Spki | Self::Base64OrText { .. } => Err(SecretFault::NotBase64),
            Self::Base64 { prefix, .. } => {
                let text = secret.strip_prefix(prefix.as_bytes()).unwrap_or(secret);
                let key = PADDING_OPTIONAL.decode(text);
                key.map(Zeroizing::new).map_err(|_| SecretFault::NotBase64)
            }
        }
    }
}

const PADDING_OPTIONAL: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{Algorithm, Encoding, Form, Part};

    const TEXT: SecretForm = SecretForm::Text;
    const BASE64: SecretForm = SecretForm::Base64 {
        prefix: std::borrow::Cow::Borrowed("whsec_"),
        required: false,
    };

    fn keyed(secret_form: SecretForm, secret: &str) -> Result<KeyedSecret, SecretFault> {
        let scheme = Scheme {
            name: "test".into(),
            method: Method::Hmac(Algorithm::Sha256),
            guards: Vec::new().into(),
            body_sha256: None,
            each: None,
            key: crate::signature::KeySource::Secrets,
            encoding: Encoding::Hex,
            signature: crate::signature::Source::Headers(vec!["x-signature".into()].into()),
            form: Form::Bare { prefix: "".into() },
            signed: vec![Part::Body].into(),
            timestamp: None,
            secret_form,
        };
        scheme.keyed_secret("NAME", secret.as_bytes(), Validity::default())
    }

    #[test]
    fn a_base64_secret_needs_neither_prefix_nor_padding() {
        let digest = |form, secret| keyed(form, secret).unwrap().mac.digest(&[b"body"]);
        let expected = digest(TEXT, "secret!");
        for secret in ["whsec_c2VjcmV0IQ==", "whsec_c2VjcmV0IQ", "c2VjcmV0IQ=="] {
            let decoded = digest(BASE64, secret);
            assert_eq!(decoded.as_bytes(), expected.as_bytes(), "{secret}");
            let as_it_stands = digest(TEXT, secret);
            assert_ne!(as_it_stands.as_bytes(), expected.as_bytes(), "{secret}");
        }
    }

    #[test]
    fn a_secret_without_a_key_in_it_is_refused() {
        assert_eq!(keyed(TEXT, "").err(), Some(SecretFault::Empty));
        for (secret, expected) in [
            ("", SecretFault::Empty),
            ("whsec_", SecretFault::Empty),
            ("not base64!", SecretFault::NotBase64),
            // A public key (ed25519) is no HMAC secret.
            (
                "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
                SecretFault::NotBase64,
            ),
        ] {
            assert_eq!(keyed(BASE64, secret).err(), Some(expected), "{secret}");
        }
    }

    #[test]
    fn debug_shows_the_name_and_not_the_key() {
        let shown = format!("{:?}", keyed(TEXT, "hush hush").unwrap());
        assert!(shown.contains("NAME") && !shown.contains("hush"), "{shown}");
    }
}
