#!/bin/sh
set -eu
export NAME={{ Name }} REGION={{AWS::Region}} HOME=${HOME:-/root}
exec boot
