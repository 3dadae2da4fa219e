#!/bin/sh
# Writes deploy/docker/.env with a random secret for every login. Never overwrites one that is there.
set -eu
file="$(dirname "$0")/.env"
[ -e "$file" ] && { echo "$file is there already; remove it to make new secrets." >&2; exit 1; }
umask 077
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
{
  for name in CAMPAIGN INFLUENCER TRACKING BILLING NOTIFY; do
    echo "SOUK_${name}_DATABASE_PASSWORD=$(random)"
    echo "SOUK_${name}_KAFKA_PASSWORD=$(random)"
  done
  for name in ADMIN CONTROLLER SUBSCRIBER; do echo "SOUK_${name}_KAFKA_PASSWORD=$(random)"; done
  for name in POSTGRES_PASSWORD SOUK_REDIS_PASSWORD SOUK_TRACKING_SECRET SOUK_UNSUBSCRIBE_SECRET; do
    echo "$name=$(random)"
  done
} > "$file"
