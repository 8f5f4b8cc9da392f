certificate 20200101000000Z 20491231000000Z DNS:hooks.example.com
# The authority of whoever may call.
sed -i 's#^\[server.tls\]#[server.tls]\nclient_ca = "ca.crt"#' routes.toml
sign caller 20200101000000Z 20491231000000Z caller ca
cat >> routes.toml <<'TOML'

[routes.partner]
path = "/hooks/partner"
verify = { client_certificate = { names = ["partner.example.com"] } }
event_id = { body = "sha256" }
deliver = []
TOML
serve
call /hooks/partner "$secret"
