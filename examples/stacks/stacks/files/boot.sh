#!/bin/sh
# {{ Name }} is put in when the template is composed; ${...} is the shell's own.
set -eu
echo "pool={{ Name }} environment={{ Environment }} region={{ AWS::Region }}" > /etc/pool
exec homeport-agent boot "${HOMEPORT_RELEASE:-}"
