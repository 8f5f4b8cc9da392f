//! What to do next about a fault.

use super::Fault;

impl Fault {
    /// The next step, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        if let Some(name) = &self.did_you_mean {
            return Some(format!("did you mean `{name}`?"));
        }
        let found = self.found.as_deref().unwrap_or_default();
        if self.key.is_empty() && self.line > 0 {
            let hint = "mend it first: what else is wrong is told when the file can be read";
            return Some(hint.to_owned());
        }
        if self.line == 0 {
            return Some("name the file: `--config FILE`, or HOOKGATE_CONFIG".to_owned());
        }
        let key = self.key.rsplit('.').next().unwrap_or_default();
        let hint = match key {
            _ if found.ends_with("which is not set") => {
                "set it where this command runs too: a check needs the gateway's environment"
            }
            "provider" => "`hookgate providers` lists them",
            "scheme" | "params" | "tolerance" => {
                "`hookgate providers show NAME` tells what a provider signs and needs"
            }
            "sha256" | "keys" => "`hookgate keys new --name NAME` makes a key and its digest",
            "verify" if self.found.is_none() => {
                "`hookgate providers` lists who is known; anybody else is proven by `verify`"
            }
            _ if found == "an unknown key" => "docs/configuration.md says what each key means",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
