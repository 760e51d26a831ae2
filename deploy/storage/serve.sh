#!/bin/sh
# serve.sh SECRETS RPC: Garage, with its first key from the folder SECRETS and a secret of its own in the file RPC.
set -eu
umask 077
# Among nodes: one is alone, and its secret need not last.
od -vAn -N32 -tx1 /dev/urandom | tr -d ' \n' >"$2"
# It wants the key in variables; in files `docker inspect` does not show it.
GARAGE_DEFAULT_ACCESS_KEY=$(cat "$1/objectcut_store__s3__access_key_id")
GARAGE_DEFAULT_SECRET_KEY=$(cat "$1/objectcut_store__s3__secret_access_key")
export GARAGE_DEFAULT_ACCESS_KEY GARAGE_DEFAULT_SECRET_KEY
exec garage server --single-node --default-bucket
