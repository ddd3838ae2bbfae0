#!/bin/sh
# Calls the service `my_array` over TLS with nothing but openssl.
#
#   cargo run --example my_array &
#   sh examples/shell/openssl.sh localhost:1875 ~/.labwire/certs/localhost.crt
#
# The certificate is the one that the manager says it has loaded; -verify_return_error ends the script when
# another one answers.
set -eu
address=${1:-localhost:1875} certificate=${2:-$HOME/.labwire/certs/localhost.crt}
{
  cat <<'LINES'
client shell
{"service":"MyArray","attribute":"linspace","args":[0,1],"kwargs":{"n":5},"uid":"1"}
{"service":"MyArray","attribute":"scalar_multiply","args":[10,[0.0,0.5,1.0]],"uid":"2"}
LINES
  # openssl cannot say that no more lines will come: whoever types sees the answers, then leaves.
  sleep 2
  echo exit
} | openssl s_client -quiet -verify_return_error -CAfile "$certificate" -connect "$address" 2>/dev/null
