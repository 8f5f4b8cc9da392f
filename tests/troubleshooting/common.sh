# Before every script. REDIS is the address that the page calls 127.0.0.1:6379.
set -eu
REDIS=127.0.0.1:6379

# Between two looks at something that is waited for; the test bounds the whole.
until_true() { until "$@" > /dev/null 2>&1; do sleep 0.1; done; }

serve() {
    hookgate serve "$@" >> gateway.log 2>&1 &
    until_true hookgate health
}

receive() { hookgate receive --listen 127.0.0.1:9101 --body "$@" >> receiver.log 2>&1 & }

# What stands on the page, and what it is here.
word() { echo "$1=$2" >> words; }

# A signed webhook; REQUEST_ID, or what ID says, is its request.
send() {
    hookgate send --route github --body body.json "$@" > sent.txt || true
    word "${ID:-REQUEST_ID}" "$(sed -n 's/^request id: //p' sent.txt)"
}

signature() { openssl dgst -sha256 -hmac "$1" body.json | sed 's/^.*= /sha256=/'; }

# Calls the gateway as a provider does: path, secret, and what curl takes. REQUEST_ID, or what ID says, is its request.
call() {
    local path=$1 secret=$2
    shift 2
    curl --silent --insecure --output answer.json --dump-header answer.txt --data-binary @body.json \
        --header 'Content-Type: application/json' --header 'X-GitHub-Event: ping' \
        --header "X-GitHub-Delivery: ${DELIVERY:-0b989ba4-242f-11e5-81e1-c7b6966d2516}" \
        --header "X-Hub-Signature-256: $(signature "$secret")" "$@" "https://127.0.0.1:8443$path" || true
    word "${ID:-REQUEST_ID}" "$(tr -d '\r' < answer.txt | sed -n 's/^x-request-id: //ip')"
}

secret=It-is-a-secret-of-this-test
printf '%s' "$secret" > github-secret
echo '{"zen": "Keep it logically awesome."}' > body.json

# server.crt for a name, by an authority in ca.crt; with an intermediate one in chain.crt where there is a fourth word.
certificate() {
    local from=$1 to=$2 name=$3 by=ca
    printf '%s\n' '[ca]' 'default_ca=d' '[d]' 'new_certs_dir=.' 'database=ca.index' 'rand_serial=yes' 'default_md=sha256' \
        'policy=p' 'unique_subject=no' 'email_in_dn=no' '[p]' 'commonName=supplied' \
        '[authority]' 'basicConstraints=critical,CA:TRUE' 'keyUsage=keyCertSign' 'subjectKeyIdentifier=hash' \
        '[server]' 'basicConstraints=critical,CA:FALSE' "subjectAltName=$name" 'extendedKeyUsage=serverAuth' \
        '[caller]' 'basicConstraints=critical,CA:FALSE' 'subjectAltName=DNS:partner.example.com' \
        'extendedKeyUsage=clientAuth' > ca.cnf
    touch ca.index
    key ca
    openssl req -x509 -config /dev/null -key ca.key -subj /CN=authority -days 3650 -addext basicConstraints=critical,CA:TRUE \
        -addext keyUsage=keyCertSign -addext subjectKeyIdentifier=hash -out ca.crt
    if [ "${4:-}" ]; then
        by=chain
        sign authority 20200101000000Z 20491231000000Z chain ca
    fi
    sign server "$from" "$to" server "$by"
    printf '\n[server.tls]\ncertificate = "server.crt"\nprivate_key = "server.key"\n' >> routes.toml
}

key() { openssl genpkey -quiet -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2> /dev/null; }

# What kind, from when until when, its name, and by whom.
sign() {
    key "$4"
    openssl req -new -config /dev/null -key "$4.key" -subj "/CN=$4" -out "$4.csr"
    openssl ca -batch -notext -config ca.cnf -extensions "$1" -startdate "$2" -enddate "$3" -cert "$5.crt" -keyfile "$5.key" \
        -in "$4.csr" -out "$4.crt" 2> ca.log
}
