certificate 20200101000000Z 20491231000000Z DNS:hooks.example.com with-a-chain
serve
