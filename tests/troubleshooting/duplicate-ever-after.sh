# A provider that gives another event the id of one before.
receive
serve
call /hooks/github "$secret"
echo '{"zen": "Another one, with the same id."}' > body.json
call /hooks/github "$secret"
