receive --status 500
serve
send
word EVENT "$(sed -n 's/.*"event":"\([^"]*\)".*/\1/p' sent.txt)"
