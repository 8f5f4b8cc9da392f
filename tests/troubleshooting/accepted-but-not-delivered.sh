# The target is paused in the file.
sed -i 's#^allow_private = true#allow_private = true\npaused = true#' routes.toml
receive
serve
send
word EVENT "$(sed -n 's/.*"event":"\([^"]*\)".*/\1/p' sent.txt)"
