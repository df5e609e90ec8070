#!/bin/sh
# Makes the roles of the services, each with a schema of its own, as docs/operations.md has it.
set -eu

PGPASSWORD=$(cat /run/postgres/password)
export PGPASSWORD
for file in /run/roles/*; do
    psql --quiet --host=postgres --username=postgres --dbname=l2sces \
        --set=ON_ERROR_STOP=1 --set=role="${file##*/}" --set=password="$(cat "$file")" <<'SQL'
SET client_min_messages = warning;
REVOKE ALL ON DATABASE l2sces FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
SELECT format('CREATE ROLE %I', :'role')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" LOGIN PASSWORD :'password';
GRANT CONNECT ON DATABASE l2sces TO :"role";
CREATE SCHEMA IF NOT EXISTS :"role" AUTHORIZATION :"role";
ALTER ROLE :"role" SET search_path = :"role";
SQL
done
