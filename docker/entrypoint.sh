#!/bin/sh
# Starts every container of the suite, in three steps:
#   1. as root: become the owner of the mounted runs/, without any capability, before any code of ours runs;
#   2. check that runs/ can be written;
#   3. run what was asked for (exec, so that signals reach Python):
#        nothing, reproduce   the whole paper $SYSTEM
#        help                 what the paper's program can do
#        VERB ...             one stage of the paper
#        PROGRAM ...          any program of the image (python, bash, pytest ...)
# Exit code 2 where runs/ or the command is wrong; else the exit code of what was run.
set -eu
runs=/workspace/runs

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# --- step 1: from root to the owner of runs/ ---
if [ "$(id -u)" = 0 ] && [ -z "${SYNDET_STARTED:-}" ]; then
    # Without capabilities root cannot look into a folder closed to others; its owner is then the next best answer.
    owner="$(stat -c '%u %g' "$runs" 2>/dev/null || stat -c '%u %g' /workspace)"
    uid="${owner% *}" gid="${owner#* }"
    set -- "$0" "$@"
    export SYNDET_STARTED=1
    exec setpriv --reuid="$uid" --regid="$gid" --clear-groups \
        --inh-caps=-all --bounding-set=-all --no-new-privs -- "$@"
fi
unset SYNDET_STARTED
# The owner of runs/ has no entry in the image's /etc/passwd: programs that ask for a home or a name get these.
export HOME=/tmp USER=syndet LOGNAME=syndet

# --- step 2: a result must find a place (READS_RUNS: for a service that only looks at results) ---
if [ -z "${READS_RUNS:-}" ] && [ ! -w "$runs" ]; then
    die "$runs is not writable for uid $(id -u) (it belongs to $(stat -c 'uid %u, mode %a' "$runs" 2>/dev/null ||
        echo nobody: not mounted)); on the host: chown the folder mounted there (./runs or RUNS_DIR) to uid $(id -u)," \
        "or drop --user and let the container become its owner"
fi

# Only the service that has a network gets the host's CA bundle, where there is one.
if [ -s /run/secrets/ca ]; then
    export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca REQUESTS_CA_BUNDLE=/run/secrets/ca
fi

# --- step 3: what was asked for ---
module="experiments.$(printf %s "${SYSTEM:-}" | tr - _)"

# Becomes a program; the containers that a paper has beside it (SYNDET_RELAY) stay exactly as long as it runs.
start() {
    if [ -n "${SYNDET_RELAY:-}" ]; then
        exec /opt/workflow/bin/python -m suite.launch.relay hold -- "$@"
    fi
    exec "$@"
}

case "${1:-reproduce}" in
    reproduce)
        [ -n "${SYSTEM:-}" ] || die "this is the $SYNDET_TOOLCHAIN toolchain; give a program to run (python, bash)," \
            "or start a paper: docker compose run --rm solid"
        [ $# = 0 ] || shift
        start /opt/workflow/bin/python -m suite reproduce "$SYSTEM" --place here "$@"
        ;;
    help | --help | -h)
        [ -n "${SYSTEM:-}" ] || die "give a program to run in the $SYNDET_TOOLCHAIN toolchain (python, bash)"
        start /opt/venv/bin/python -m "$module" --help
        ;;
esac
if command -v -- "$1" >/dev/null 2>&1; then
    start "$@"
fi
[ -n "${SYSTEM:-}" ] || die "$1: no such program in the $SYNDET_TOOLCHAIN image"
# A stage runs in its own toolchain, here or beside.
start /opt/workflow/bin/python -m suite.launch.relay run -- "$module" "$@"
