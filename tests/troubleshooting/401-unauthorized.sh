# The provider has another secret.
serve
call /hooks/github the-secret-of-last-year
# As the provider's page of deliveries, or a proxy, shows it.
{
    printf 'POST /hooks/github HTTP/1.1\r\nContent-Type: application/json\r\nX-GitHub-Event: ping\r\n'
    printf 'X-GitHub-Delivery: 0b989ba4-242f-11e5-81e1-c7b6966d2516\r\nX-Hub-Signature-256: %s\r\n\r\n' \
        "$(signature the-secret-of-last-year)"
    cat body.json
} > request.http
printf 'the-secret-of-last-year' > old-secret
