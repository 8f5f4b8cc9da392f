#!/usr/bin/env bash
# The files of deploy/: each is judged by the schema or the program of what reads it, and all of them by one another.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/setup systemd-analyze promtool python3-venv

# What Python brings, pinned, and made anew when the pins change.
tools=target/ops-deploy
if ! cmp -s tests/ops/deploy-requirements.txt "$tools/installed"; then
    rm -rf "$tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --requirement tests/ops/deploy-requirements.txt
    cp tests/ops/deploy-requirements.txt "$tools/installed"
fi

echo "deploy/Dockerfile: hadolint"
"$tools/bin/hadolint" deploy/Dockerfile

echo "deploy/compose.yaml: the schema of the Compose specification"
"$tools/bin/check-jsonschema" --quiet --builtin-schema vendor.compose-spec deploy/compose.yaml

echo "deploy/kubernetes, deploy/kubernetes-embedded: the schemas of the oldest and newest Kubernetes that they are for"
for manifest in deploy/kubernetes/*.yaml deploy/kubernetes-embedded/*.yaml; do
    case "$manifest" in
        # No kinds of Kubernetes itself; deploy.py looks at these.
        */kustomization.yaml | */servicemonitor.yaml) continue ;;
    esac
    for version in 1.30.0 1.37.0; do
        "$tools/bin/kubernetes-validate" --strict --quiet --kubernetes-version "$version" "$manifest"
    done
done

echo "deploy/hookgate.service: systemd-analyze"
unit=$(mktemp -d)
trap 'rm -rf "$unit"' EXIT
# Where the program is not installed.
sed 's#^ExecStart=/usr/local/bin/hookgate#ExecStart=/bin/true#' deploy/hookgate.service > "$unit/hookgate.service"
complaints=$(systemd-analyze verify "$unit/hookgate.service" 2>&1)
[ -z "$complaints" ] || { echo "$complaints" >&2; exit 1; }
# 100 is wide open; "OK" ends at 50.
systemd-analyze security --offline=true --no-pager --threshold=20 "$unit/hookgate.service" | tail -n 1

echo "deploy/prometheus/prometheus.yml: promtool"
# The credentials are where Compose puts them.
sed '/authorization:/d; /credentials_file:/d' deploy/prometheus/prometheus.yml > "$unit/prometheus.yml"
cp deploy/prometheus/alerts.yml "$unit/"
promtool check config "$unit/prometheus.yml"

"$tools/bin/python" tests/ops/deploy.py
