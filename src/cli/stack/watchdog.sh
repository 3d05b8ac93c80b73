# Ends the servers of a stack when its owner is gone: the owner alone holds the other end of standard input.
# Each line replaces what is known: pairs of a signal's name and a process id. At the end of input each process gets
# its signal, and SIGKILL where it is still there SECONDS_MAX later. $1: a folder to remove then, or nothing.
trap '' HUP INT QUIT TERM
SECONDS_MAX=10
servers=
while read -r line; do servers=$line; done

# Neither gone nor a zombie that nobody has collected yet.
alive() { kill -0 "$1" 2>/dev/null && ! grep -q ') Z ' "/proc/$1/stat" 2>/dev/null; }

set -- "$1" $servers
ephemeral=$1
shift
pids=
while [ $# -gt 1 ]; do
    kill -s "$1" "$2" 2>/dev/null
    pids="$pids $2"
    shift 2
done
tries=$((SECONDS_MAX * 50))
for pid in $pids; do
    while alive "$pid" && [ "$tries" -gt 0 ]; do
        sleep 0.02
        tries=$((tries - 1))
    done
    alive "$pid" && kill -s KILL "$pid"
done
[ -z "$ephemeral" ] || rm -rf -- "$ephemeral"
