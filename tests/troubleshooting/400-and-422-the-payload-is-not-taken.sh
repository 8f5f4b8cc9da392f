# A body that is cut short, and one without a field that the route requires.
serve
echo '{"id": 1}' > body.json
ID=FIRST_ID call /hooks/github "$secret"
printf '{"zen": "Keep it\n' > body.json
call /hooks/github "$secret"
mv body.json cut.json
echo '{"id": 1}' > other.json
