GREETING = "Hello World"
