serve
ID=FIRST_ID call /hooks/github "$secret" --header 'Content-Type: text/plain'
head -c 20000 /dev/zero | tr '\0' 'x' > body.json
call /hooks/github "$secret"
