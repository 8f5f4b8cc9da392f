certificate 20200101000000Z 20200601000000Z DNS:hooks.example.com
serve
