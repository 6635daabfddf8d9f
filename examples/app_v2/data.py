GREETING = "Hello, wide world"
