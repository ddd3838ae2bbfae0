#!/bin/sh
# Calls the service `my_array` with nothing but netcat, at a manager that was started with --disable-tls.
#
#   cargo run --example my_array &
#   sh examples/shell/netcat.sh localhost 1875
#
# A line that is no JSON is read as words: `client` says who this is, the rest are requests. With -N netcat says
# that no more lines will come, and stays until the last answer is there.
set -eu
host=${1:-localhost} port=${2:-1875}
nc -N "$host" "$port" <<'LINES'
client shell
MyArray linspace 0 1 n=5
MyArray scalar_multiply 10 [0.0,0.5,1.0]
LINES
