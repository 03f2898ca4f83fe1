# As its documentation begins: releases beside each other, `current` a link, and the server told to load it anew.
set :application, "plain"
set :repo_url, ENV.fetch("BENCH_REPOSITORY")
set :deploy_to, ENV.fetch("BENCH_DEPLOY_TO")
set :branch, "main"
set :keep_releases, 5
set :format, :simpletext
set :log_level, :info
set :ssh_options, {
  port: ENV.fetch("BENCH_SSH_PORT").to_i,
  keys: [ENV.fetch("BENCH_SSH_KEY")],
  keys_only: true,
  auth_methods: ["publickey"],
  verify_host_key: :never,
  use_agent: false,
  config: false,
}

namespace :deploy do
  after :publishing, :reload do
    on roles(:app) do
      execute :sh, "-c", "'[ ! -e #{shared_path}/gunicorn.pid ] || kill -HUP $(cat #{shared_path}/gunicorn.pid)'"
    end
  end
end
