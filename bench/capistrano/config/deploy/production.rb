server "127.0.0.1", user: ENV.fetch("BENCH_USER"), roles: %w[app]
