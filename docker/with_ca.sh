#!/bin/sh
# Runs a command that downloads. Where the build got a CA bundle (--secret id=ca, for hosts whose TLS goes through
# an intercepting proxy), the command is told of it; nothing of it is left in the image.
set -eu
ca=/run/secrets/ca
if [ -s "$ca" ]; then
    export SSL_CERT_FILE="$ca" PIP_CERT="$ca" REQUESTS_CA_BUNDLE="$ca" GIT_SSL_CAINFO="$ca"
fi
exec "$@"
