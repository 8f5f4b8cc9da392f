#!/usr/bin/env bash
# The completions in the shells that they are for, and the manual pages as mandoc reads them.
set -euo pipefail
cd "$(dirname "$0")/../.."
deploy/setup zsh fish mandoc

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
hookgate() { "${CARGO:-cargo}" run --quiet --locked --bin hookgate -- "$@"; }

hookgate completions zsh > "$made/_hookgate"
zsh --no-exec "$made/_hookgate"
zsh -fc 'fpath=("$1" $fpath) && autoload -U compinit && compinit -D -u && (( $+_comps[hookgate] ))' zsh "$made"

hookgate completions fish > "$made/hookgate.fish"
fish --no-execute "$made/hookgate.fish"
completed=$(fish --no-config --command "source $made/hookgate.fish; complete --do-complete 'hookgate ser'" | cut -f 1)
[ "$completed" = serve ] || { echo "fish completes 'hookgate ser' to '$completed'" >&2; exit 1; }

hookgate completions bash > "$made/hookgate.bash"
bash -n "$made/hookgate.bash"

hookgate man --output "$made/man"
pages=("$made"/man/*.1)
[ "${#pages[@]}" -gt 10 ] || { echo "only ${#pages[@]} pages" >&2; exit 1; }
mandoc -T lint -W error "${pages[@]}"
echo "zsh, fish and bash take the completions; mandoc reads ${#pages[@]} pages"
