#!/bin/sh
# Calls the service `my_array` with nothing but netcat, at a manager that was started with --disable-tls.
#
#   cargo run --example my_array &
#   sh examples/shell/netcat.sh localhost 1875
#
# `client` says who this is. The requests have a uid each, since answers may come in another order; one at a time, as
# a person types, `MyArray linspace 0 1 n=5` does as well. With -N netcat says that no more lines will come, and stays
# until the last answer is there.
set -eu
host=${1:-localhost} port=${2:-1875}
nc -N "$host" "$port" <<'LINES'
client shell
{"service":"MyArray","attribute":"linspace","args":[0,1],"kwargs":{"n":5},"uid":"1"}
{"service":"MyArray","attribute":"scalar_multiply","args":[10,[0.0,0.5,1.0]],"uid":"2"}
LINES
