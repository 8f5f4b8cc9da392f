#!/usr/bin/env bash
# The admin API of a running gateway, asked by schemathesis what its OpenAPI document says it can be asked.
set -euo pipefail
cd "$(dirname "$0")/../.."
deploy/setup python3-venv

tools=target/ops
wanted=$(sha256sum < tests/ops/requirements.txt)
if [ "$(cat "$tools/installed" 2> /dev/null || true)" != "$wanted" ]; then
	rm -rf "$tools"
	python3 -m venv "$tools"
	"$tools/bin/pip" install --quiet --disable-pip-version-check --requirement tests/ops/requirements.txt
	echo "$wanted" > "$tools/installed"
fi
"${CARGO:-cargo}" build --quiet --locked --bin hookgate
PYTHONDONTWRITEBYTECODE=1 exec "$tools/bin/python" tests/ops/api.py target/debug/hookgate
