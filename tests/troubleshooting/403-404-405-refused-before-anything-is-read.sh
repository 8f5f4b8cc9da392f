# A provider that calls from elsewhere than the route lets it, and one that asks with another method.
cat >> routes.toml <<'TOML'

[routes.partner]
path = "/hooks/partner"
provider = "github"
secrets = [{ file = "github-secret" }]
allow_from = ["203.0.113.0/24"]
deliver = []
TOML
serve
ID=FIRST_ID call /hooks/github "$secret" --request PUT
call /hooks/partner "$secret"
