//! What a secret's text may have been meant as.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use super::causes::Cause;
use crate::config::SecretText;

/// Another key that may have been meant with a secret's text.
pub(super) struct KeyVariant {
    code: &'static str,
    pub(super) told: &'static str,
    pub(super) key: Zeroizing<Vec<u8>>,
}

impl KeyVariant {
    pub(super) fn cause(&self, name: &str) -> Cause {
        let told = format!(
            "the signature is right under {name} {}: compare it with what the sender has",
            self.told
        );
        Cause::new(self.code, told)
    }
}

/// Which of these the route takes already does not matter: that was tried.
pub(super) fn key_variants(secret: &SecretText) -> Vec<KeyVariant> {
    const SPACE: &str = "secret_whitespace";
    const FORM: &str = "secret_form";
    let text = secret.text.expose();
    let trimmed = text.trim_ascii();
    let bare = [&b"whsec_"[..], b"whsk_", b"sha256=", b"\""]
        .iter()
        .find_map(|prefix| trimmed.strip_prefix(*prefix))
        .unwrap_or(trimmed);
    let unquoted = bare.strip_suffix(b"\"").unwrap_or(bare);
    let base64 = |text: &[u8]| {
        let standard = BASE64.decode(text).ok();
        standard.or_else(|| BASE64_URL.decode(text).ok())
    };
    let all = [
        (SPACE, "without the space around it", Some(trimmed.to_vec())),
        (
            SPACE,
            "with a line end after it",
            Some([trimmed, b"\n"].concat()),
        ),
        (
            SPACE,
            "decoded from base64, without the space around it",
            base64(bare),
        ),
        (FORM, "decoded from base64", base64(unquoted)),
        (FORM, "decoded from hex", hex::decode(unquoted).ok()),
        (
            FORM,
            "taken as text, whole, with its prefix",
            Some(text.to_vec()),
        ),
        (
            FORM,
            "taken as text, without its prefix or quotes",
            Some(unquoted.to_vec()),
        ),
        (FORM, "in lower case", Some(trimmed.to_ascii_lowercase())),
        (FORM, "in upper case", Some(trimmed.to_ascii_uppercase())),
    ];
    let has_space = trimmed != text;
    all.into_iter()
        .filter(|(code, told, _)| *code != SPACE || has_space || told.starts_with("with a"))
        .filter_map(|(code, told, key)| {
            let key = Zeroizing::new(key.filter(|key| !key.is_empty())?);
            Some(KeyVariant { code, told, key })
        })
        .collect()
}

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);
