receive
serve
sed -i 's#^max_body = "16KiB"#max_bdy = "16KiB"#' routes.toml
