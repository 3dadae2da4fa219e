#!/bin/bash
# One database and one login per service; none can open another's. Run once by the image, on an empty data folder.
set -eu
for service in campaign influencer tracking billing notify; do
  variable="SOUK_${service^^}_DATABASE_PASSWORD"
  psql -v ON_ERROR_STOP=1 -v password="${!variable}" -U "$POSTGRES_USER" <<SQL
CREATE ROLE $service LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE DATABASE $service OWNER $service;
REVOKE ALL ON DATABASE $service FROM PUBLIC;
SQL
done
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -c 'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC'
