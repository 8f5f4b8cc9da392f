//! From a secret's text to a key.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use x509_parser::{pem::Pem, prelude::FromDer, x509::SubjectPublicKeyInfo};
use zeroize::Zeroizing;

use super::{KeyedSecret, Method, Scheme, SecretForm, Validity, content::Piece, key::Key};

/// Why a secret cannot be used with a scheme. Never tells the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretFault {
    #[error("the secret is empty")]
    Empty,
    #[error("the secret is not base64")]
    NotBase64,
    #[error("the secret is not hex")]
    NotHex,
    #[error("a public key, which anyone may know, proves nothing where a secret is shared")]
    PublicKey,
    #[error("no public key of this kind, as PEM, or as base64 of its SPKI in DER")]
    NotPublicKey,
    #[error("a private key, where the public key that goes with it belongs")]
    PrivateKey,
    #[error("no private key of this kind, as PEM (PKCS #8)")]
    NotPrivateKey,
}

const ED25519_SEED_BYTES: usize = 32;
/// Of the Standard Webhooks: a private Ed25519 key, in base64.
const SEED_PREFIX: &[u8] = b"whsk_";
/// Of the Standard Webhooks: a public Ed25519 key, in base64.
const PUBLIC_PREFIX: &[u8] = b"whpk_";

impl SecretFault {
    /// What to give instead.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Empty | Self::NotBase64 | Self::NotHex => "the secret as it was given out",
            Self::PublicKey => "the secret that both sides know",
            Self::NotPublicKey => "the public key as it was given out",
            Self::PrivateKey => "the public key; the private one stays with who signs",
            Self::NotPrivateKey => "the private key as PEM (PKCS #8)",
        }
    }
}

/// Of `schemes`, the indices of those that `secret` belongs to: those whose own prefix it has, or else all that
/// require none.
pub fn schemes_of(schemes: &[Scheme], secret: &[u8]) -> Vec<usize> {
    let all_where = |belongs: &dyn Fn(Option<&str>) -> bool| -> Vec<usize> {
        let prefixes = schemes
            .iter()
            .map(|scheme| scheme.secret_form.required_prefix());
        let indices = prefixes.enumerate().filter(|(_, prefix)| belongs(*prefix));
        indices.map(|(index, _)| index).collect()
    };
    let own = |prefix: Option<&str>| prefix.is_some_and(|own| secret.starts_with(own.as_bytes()));
    let owners = all_where(&own);
    match owners.is_empty() {
        true => all_where(&|prefix| prefix.is_none()),
        false => owners,
    }
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
        let key = if self.method.has_public_key() {
            let key = self.secret_form.public_key(secret)?;
            Key::public(self.method, &key).ok_or(SecretFault::NotPublicKey)?
        } else {
            let key = self.secret_form.shared_key(secret)?;
            Key::secret(self.method, key).ok_or(SecretFault::Empty)?
        };
        Ok(KeyedSecret {
            key,
            name: name.into(),
            validity,
        })
    }

    /// What [`Scheme::sign`] signs with: the secret, or the private key as PEM (PKCS #8), of Ed25519 also its 32
    /// bytes in hex or base64, with or without `whsk_`.
    pub fn signing_key(&self, name: &str, secret: &[u8]) -> Result<KeyedSecret, SecretFault> {
        if !self.method.has_public_key() {
            return self.keyed_secret(name, secret, Validity::default());
        }
        let key = match der_of_pem(secret, "PRIVATE KEY") {
            Some(pkcs8) => Key::private(self.method, &pkcs8),
            None if self.method == Method::Ed25519 => {
                seed(secret).and_then(|seed| Key::seed(&seed))
            }
            None => None,
        };
        Ok(KeyedSecret {
            key: key.ok_or(SecretFault::NotPrivateKey)?,
            name: name.into(),
            validity: Validity::default(),
        })
    }
}

impl Method {
    /// Whether what is signed with one key is verified with another.
    pub const fn has_public_key(self) -> bool {
        match self {
            Self::Ed25519 | Self::EcdsaP256 | Self::Rsa(_) => true,
            Self::Hmac(_) | Self::Digest(_) | Self::Equal => false,
        }
    }
}

impl KeyedSecret {
    /// The HMAC of `text`, in hex: some providers ask for it when an address is registered.
    /// `None`: this keys no HMAC.
    pub fn hmac_hex(&self, text: &[u8]) -> Option<String> {
        match &self.key {
            Key::Mac(mac) => {
                let digest = mac.digest(&[Piece::Bytes(text.into())]);
                Some(hex::encode(digest.as_bytes()))
            }
            Key::Plain(..) | Key::Public(_) | Key::Private(..) => None,
        }
    }
}

impl SecretForm {
    /// A prefix that tells whose secret it is.
    pub fn required_prefix(&self) -> Option<&str> {
        match self {
            Self::Base64 {
                prefix,
                required: true,
            } => Some(prefix),
            _ => None,
        }
    }

    /// The bytes of a key that both sides know.
    fn shared_key(&self, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretFault> {
        if is_public(secret) {
            return Err(SecretFault::PublicKey);
        }
        let key = self.bytes(secret)?;
        if key.is_empty() {
            return Err(SecretFault::Empty);
        }
        if SubjectPublicKeyInfo::from_der(&key).is_ok() {
            return Err(SecretFault::PublicKey);
        }
        Ok(key)
    }

    fn public_key(&self, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretFault> {
        if secret.starts_with(SEED_PREFIX) || contains(secret, b"PRIVATE KEY-----") {
            return Err(SecretFault::PrivateKey);
        }
        if let Some(key) = der_of_pem(secret, "PUBLIC KEY") {
            return Ok(key);
        }
        let key = self.bytes(secret).map_err(|fault| match self {
            Self::Spki => SecretFault::NotPublicKey,
            _ => fault,
        })?;
        match key.is_empty() {
            true => Err(SecretFault::Empty),
            false => Ok(key),
        }
    }

    /// As the form says.
    pub(super) fn bytes(&self, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretFault> {
        match self {
            Self::Text => Ok(Zeroizing::new(secret.to_vec())),
            Self::Hex => hex::decode(secret)
                .map(Zeroizing::new)
                .map_err(|_| SecretFault::NotHex),
            Self::Spki => base64(secret),
            Self::Base64OrText { prefix } => match secret.strip_prefix(prefix.as_bytes()) {
                Some(text) => base64(text),
                None => Ok(Zeroizing::new(secret.to_vec())),
            },
            Self::Base64 { prefix, .. } => {
                base64(secret.strip_prefix(prefix.as_bytes()).unwrap_or(secret))
            }
        }
    }
}

fn base64(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretFault> {
    let key = PADDING_OPTIONAL.decode(text);
    key.map(Zeroizing::new).map_err(|_| SecretFault::NotBase64)
}

/// The 32 bytes of a private Ed25519 key; in base64 the public key may follow them.
fn seed(secret: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut seed = match (secret.strip_prefix(SEED_PREFIX), hex::decode(secret)) {
        (None, Ok(bytes)) => Zeroizing::new(bytes),
        (text, _) => base64(text.unwrap_or(secret)).ok()?,
    };
    if seed.len() == 2 * ED25519_SEED_BYTES {
        seed.truncate(ED25519_SEED_BYTES);
    }
    (seed.len() == ED25519_SEED_BYTES).then_some(seed)
}

/// Whether this is a key or certificate that its owner publishes, in one of the forms that these have.
pub fn is_public(secret: &[u8]) -> bool {
    let spki = || base64(secret).is_ok_and(|der| SubjectPublicKeyInfo::from_der(&der).is_ok());
    secret.starts_with(PUBLIC_PREFIX)
        || contains(secret, b"PUBLIC KEY-----")
        || contains(secret, b"-----BEGIN CERTIFICATE-----")
        || spki()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The first block of PEM with this label.
pub(super) fn der_of_pem(text: &[u8], label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut blocks = Pem::iter_from_buffer(text).map_while(Result::ok);
    let block = blocks.find(|block| block.label == label)?;
    Some(Zeroizing::new(block.contents))
}

const PADDING_OPTIONAL: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
