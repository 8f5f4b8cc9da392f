# Redis is gone.
redis-server --port "${REDIS##*:}" --bind 127.0.0.1 --appendonly yes --appendfsync always --dir . > redis.log 2>&1 &
redis=$!
sed -i 's#^url = "file:data"#url = "redis://127.0.0.1:6379"#' routes.toml
until_true redis-cli -p "${REDIS##*:}" ping
serve
kill -KILL "$redis"
call /hooks/github "$secret"
