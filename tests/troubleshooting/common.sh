# Before every script.
set -eu

# Between two looks at something that is waited for; the test bounds the whole.
until_true() { until "$@" > /dev/null 2>&1; do sleep 0.1; done; }

serve() {
    hookgate serve "$@" >> gateway.log 2>&1 &
    until_true hookgate health
}

receive() { hookgate receive --listen 127.0.0.1:9101 --body "$@" >> receiver.log 2>&1 & }

# What stands on the page, and what it is here.
word() { echo "$1=$2" >> words; }

# A signed webhook; REQUEST_ID is its request.
send() {
    hookgate send --route github --body body.json "$@" > sent.txt || true
    word REQUEST_ID "$(sed -n 's/^request id: //p' sent.txt)"
}

signature() { openssl dgst -sha256 -hmac "$1" body.json | sed 's/^.*= /sha256=/'; }

# Calls the gateway as a provider does: path, secret, and what curl takes. REQUEST_ID is its request.
call() {
    local path=$1 secret=$2
    shift 2
    curl --silent --insecure --output answer.json --dump-header answer.txt --data-binary @body.json \
        --header 'Content-Type: application/json' --header 'X-GitHub-Event: ping' \
        --header "X-GitHub-Delivery: ${DELIVERY:-0b989ba4-242f-11e5-81e1-c7b6966d2516}" \
        --header "X-Hub-Signature-256: $(signature "$secret")" "$@" "https://127.0.0.1:8443$path" || true
    word REQUEST_ID "$(tr -d '\r' < answer.txt | sed -n 's/^x-request-id: //ip')"
}

secret=It-is-a-secret-of-this-test
printf '%s' "$secret" > github-secret
echo '{"zen": "Keep it logically awesome."}' > body.json
