# The provider was given a wrong address.
receive
serve
call /hooks/gihub "$secret"
