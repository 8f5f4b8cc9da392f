certificate 20200101000000Z 20991231000000Z DNS:old.example.com
serve
