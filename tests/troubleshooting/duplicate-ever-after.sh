# A provider that gives another event the id of one before.
receive
serve
ID=FIRST_ID call /hooks/github "$secret"
echo '{"zen": "Another one, with the same id."}' > body.json
call /hooks/github "$secret"
